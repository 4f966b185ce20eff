"""Many image files, read one after another: their pixels, their size, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wellfit.data.image_files import BrokenImage, ImageOptions, is_image, read_image
from wellfit.data.raw import brief_path, listing
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and its folders, in the order of their paths; hidden ones are left out."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    places = {path: path.relative_to(folder) for path in found}
    seen = [path for path in found if not any(part.startswith(".") for part in places[path].parts)]
    return sorted(seen, key=lambda path: places[path].as_posix())


@dataclass
class Files:
    """Files below a ``folder`` that were read: the ``pixels`` of images, their positions ``kept`` among the files,
    images that are ``broken``, those of which only the first of several frames was taken (``framed``), and how many
    files there are of ``others`` kinds, by the endings of their names.
    """

    folder: Path
    pixels: list[Array] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    framed: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def findings(self) -> Iterator[Finding]:
        """Yield what was left out: damaged images, further frames, files of other kinds."""
        label = brief_path(self.folder)
        for kind, key, paths in (
            ("corrupt_images", "images.found_corrupt", self.broken),
            ("further_frames", "pictures.found_frames", self.framed),
        ):
            if paths:
                names = listing((str(path.relative_to(self.folder)) for path in paths), shorten=brief_path)
                yield Finding(kind, say(key, label=label, count=len(paths), names=names), count=len(paths))
        if self.others:
            text = say("pictures.found_others", label=label, count=self.others.total(), endings=self.endings())
            yield Finding("other_files", text, count=self.others.total())

    def endings(self) -> str:
        """Return the endings of other files' names with their numbers, for a message."""
        return listing(f"{ending} ({count:,})" for ending, count in sorted(self.others.items()))


def read_files(
    folder: Path,
    paths: Sequence[Path],
    options: ImageOptions,
    expected: tuple[int, int] | None = None,
    misfit: str = "images.other_size",
) -> Files:
    """Return what could be read of the files ``paths`` below a folder, and what not.

    ``expected`` is the size (height, width) that all need; without it, that of the first. Raises `DataError` naming
    the first that is damaged, unless ``options.skip_corrupt``, or that has another size (the message ``misfit``); and
    where there is no image, or none that can be read.
    """
    read = Files(folder)
    expected = options.size or expected
    for i, path in enumerate(paths):
        if not is_image(path):
            read.others[path.suffix.lower() or "-"] += 1
            continue
        try:
            here, frames = read_image(path, options.size)
        except BrokenImage as damaged:
            if not options.skip_corrupt:
                raise damaged.error from None
            read.broken.append(path)
            continue
        expected = expected or (here.shape[0], here.shape[1])
        if here.shape[:2] != expected:
            sizes = {"size": _by(here.shape[:2]), "expected": _by(expected)}
            raise DataError(misfit, label=brief_path(path), **sizes)
        read.pixels.append(here)
        read.kept.append(i)
        if frames > 1:
            read.framed.append(path)
    if not read.pixels:
        raise _nothing(read)
    return read


def _nothing(read: Files) -> DataError:
    """Return the error that says why nothing was read."""
    label = brief_path(read.folder)
    if read.broken:
        return DataError("images.all_broken", label=label, count=len(read.broken))
    if read.others:
        return DataError("pictures.only_others", label=label, endings=read.endings())
    return DataError("images.no_images", label=label)


def _by(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def stacked(pixels: Sequence[Array], channels: int | None = None) -> Array:
    """Return images (n, channels, height, width) of pixels (h, w) or (h, w, 3): one channel where all are grey."""
    colour = channels == 3 if channels else any(image.ndim == 3 for image in pixels)
    height, width = pixels[0].shape[:2]
    out = np.empty((len(pixels), 3 if colour else 1, height, width), dtype=np.uint8)
    for i, image in enumerate(pixels):
        out[i] = np.moveaxis(image, 2, 0) if image.ndim == 3 else image
    return out
