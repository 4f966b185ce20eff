"""Small images for tests: IDX bytes, PNG bytes, folders of images by class."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from wellfit.rng import DATA, generator


def idx(array: np.ndarray, code: int = 8) -> bytes:
    """The bytes of an IDX file, written from the format's description."""
    return bytes((0, 0, code, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def pictures(count: int = 12, shape: tuple[int, ...] = (6, 5), seed: int = 1) -> np.ndarray:
    return generator(seed, DATA).integers(0, 256, (count, *shape)).astype(np.uint8)


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def image_folder(root: Path, classes: dict[str, np.ndarray], ending: str = "png") -> Path:
    """Write pixels (n, h, w) or (n, h, w, 3) of each class as ``root/class/i.png``; return the root."""
    for name, images in classes.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i, pixels in enumerate(images):
            (root / name / f"{i:03}.{ending}").write_bytes(encoded(pixels))
    return root


def idx_folder(root: Path, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    """Write images and labels of each part (train, t10k) as IDX files; return the folder."""
    root.mkdir(exist_ok=True)
    for part, (x, y) in parts.items():
        (root / f"{part}-images-idx3-ubyte").write_bytes(idx(x))
        (root / f"{part}-labels-idx1-ubyte").write_bytes(idx(y))
    return root
