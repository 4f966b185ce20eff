"""One image file, read with Pillow: its pixels as bytes, turned as its camera says, or what is wrong with it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wellfit.data.raw import brief, brief_path
from wellfit.errors import DataError
from wellfit.records import Array

# The usual endings, known without asking Pillow for all of its own, and those of tables, not worth asking for.
ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm")
)
_TABLES = frozenset(("", ".csv", ".tsv", ".txt", ".gz", ".npz", ".mat", ".parquet", ".pq", ".json", ".md"))
# Pillow reads these with the help of another program, or not at all.
_FOREIGN = frozenset(("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"))
_SIXTEEN_BITS = frozenset(("I;16", "I;16L", "I;16B", "I;16N"))
_SIDES = re.compile(r"(\d{1,5})(?:\s*[x×*,]\s*(\d{1,5}))?", re.IGNORECASE)
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True)
class ImageOptions:
    """How a folder of images is read: ``size`` (height, width) to resize to, or None; whether to leave out what is
    corrupt.
    """

    size: tuple[int, int] | None = None
    skip_corrupt: bool = False

    @classmethod
    def of(cls, image_size: object = None, skip_corrupt: bool = False) -> ImageOptions:
        """Read what a user gave: 28, "28" and "28x28" are height and width.

        Raises `DataError` for anything else, and for more pixels than Pillow opens.

        >>> ImageOptions.of("28x32"), ImageOptions.of(28).size
        (ImageOptions(size=(28, 32), skip_corrupt=False), (28, 28))
        """
        if image_size is None:
            return cls(None, skip_corrupt)
        sides = isinstance(image_size, Sequence) and not isinstance(image_size, str)
        text = "x".join(map(str, image_size)) if sides else str(image_size).strip()  # type: ignore[call-overload]
        match = _SIDES.fullmatch(text)
        size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if 0 in size:
            raise DataError("images.bad_size", value=brief(image_size))
        from PIL import Image

        top = Image.MAX_IMAGE_PIXELS
        if top is not None and size[0] * size[1] > top:
            raise DataError("pictures.size_too_large", value=brief(image_size), top=top)
        return cls(size, skip_corrupt)

    @property
    def given(self) -> bool:
        """Whether anything was asked for."""
        return self != AS_THEY_ARE


AS_THEY_ARE = ImageOptions()


class Picture(NamedTuple):
    """An image that was read: its ``pixels``, uint8, and how many ``frames`` or pages the file has; it is the first.

    The pixels are (height, width) where it is grey, else (height, width, 3).
    """

    pixels: Array
    frames: int


class BrokenImage(Exception):
    """An image that cannot be read: caught by whoever may leave it out. ``error`` says why, for a user."""

    def __init__(self, error: DataError) -> None:
        super().__init__(str(error))
        self.error = error


def is_image(path: Path) -> bool:
    """Tell whether a file's name ends as those of images do, in a format that Pillow reads by itself."""
    ending = path.suffix.lower()
    return ending in ENDINGS or (ending not in _TABLES and _has_reader(ending))


def _has_reader(ending: str) -> bool:
    from PIL import Image

    form = Image.registered_extensions().get(ending)
    return form in Image.OPEN and form not in _FOREIGN


def read_image(path: Path, size: tuple[int, int] | None = None) -> Picture:
    """Return an image file's pixels, those of its first frame where it has several, and their number.

    An image of equal red, green and blue is grey. What is transparent stands on white. The camera's orientation (EXIF)
    is applied, then ``size`` (height, width). Raises `BrokenImage` for a file that is no image, is cut short or
    damaged, or is larger than Pillow allows (it may be a decompression bomb); `DataError` for 32 bits a pixel.
    """
    from PIL import Image, ImageOps

    label = brief_path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BrokenImage(DataError("data.unreadable", label=label, reason=reason)) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # From memory: Pillow 13.0 scrambles a turned TIFF image that it maps from a file.
            with Image.open(io.BytesIO(data)) as image:
                # The further pictures of a camera's MPO file are views of the same thing.
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                image.load()
                pixels = pixels_of(ImageOps.exif_transpose(image), label, size, image.format)
    except (DataError, MemoryError):  # nothing is wrong with the file
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BrokenImage(DataError("images.too_large", label=label, top=Image.MAX_IMAGE_PIXELS or 0)) from None
    except Image.UnidentifiedImageError:
        raise BrokenImage(DataError("images.no_image", label=label)) from None
    except Exception:  # a format's parser may raise anything on damaged bytes
        raise BrokenImage(DataError("images.broken", label=label)) from None
    grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return Picture(pixels[..., 0] if grey else pixels, frames)


def pixels_of(image: Any, label: str, size: tuple[int, int] | None = None, form: str | None = None) -> Array:
    """Return the pixels of a Pillow image, uint8: (height, width) where its mode is grey, else (height, width, 3).

    ``form`` is the format of the file that it comes from. Raises `DataError`, with the ``label``, for numbers of 32
    bits, whose black and white nobody knows.
    """
    from PIL import Image

    # Of PGM files Pillow makes numbers of 32 bits that go to 65,535.
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and form == "PPM"):  # Pillow would clip them
        deep = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.clip(np.rint(deep / 257), 0, 255).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DataError("pictures.wide_numbers", label=label, mode=image.mode)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        shown = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", shown.size, _WHITE), shown)
    image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    if size is not None and image.size != size[::-1]:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(image)
