"""A folder of images by class: ``cats/a.png``, ``dogs/b.jpg``; or the same below ``train/`` and ``test/``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from wellfit.data.image_files import BrokenImage, ImageOptions, is_image, read_image
from wellfit.data.image_parts import Parts, class_folders, parts_of
from wellfit.data.pixels import TARGET, refuse_equal
from wellfit.data.raw import Raw, Words, brief, listing
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding


def read_image_folder(folder: Path, options: ImageOptions) -> Raw:
    """Return the images below ``folder`` with the names of their class folders as target, in the order of their names.

    Where it holds ``train/``, the images of ``test/`` (or else ``val/``) are test rows: see `parts_of`. An image is
    (1, height, width) where all are grey, else (3, height, width), bytes. All need one size, or ``options.size`` to be
    resized to.
    Raises `DataError` naming the file that is damaged or of another size; damaged ones are left out, and named in a
    finding, with ``options.skip_corrupt``.
    """
    below = class_folders(folder)
    parts = parts_of(folder, below)
    if parts is None:
        return _read(folder, below, options)
    raw = replace(_read(parts.train, class_folders(parts.train), options), title=brief(folder.resolve().name))
    raw = replace(raw, findings=(*raw.findings, *_unused(folder, parts)))
    test = parts.test or parts.validation
    if test is None:
        return raw
    other = _read(test, class_folders(test), options, like=raw)
    assert raw.inputs is not None
    assert other.inputs is not None
    if raw.inputs.shape[1] < other.inputs.shape[1]:  # test images in colour
        raw = replace(raw, inputs=np.repeat(raw.inputs, 3, axis=1))
    return replace(raw, test=replace(other, findings=()), findings=(*raw.findings, *other.findings))


def _unused(folder: Path, parts: Parts) -> Iterator[Finding]:
    if parts.test and parts.validation:
        yield Finding("unused_validation", say("images.found_unused_validation", label=brief(parts.validation, 200)))
    if parts.others:
        names = {"train": brief(parts.train.name), "names": listing(path.name for path in parts.others)}
        text = say("pictures.found_beside", label=brief(folder, 200), **names)
        yield Finding("other_folders", text, count=len(parts.others))


def images_below(folder: Path) -> list[Path]:
    """Return the image files in a folder and its folders, in the order of their paths; hidden ones are left out."""
    return [path for path in _files_below(folder) if is_image(path)]


def _files_below(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    places = {path: path.relative_to(folder) for path in found}
    seen = [path for path in found if not any(part.startswith(".") for part in places[path].parts)]
    return sorted(seen, key=lambda path: places[path].as_posix())


def _read(folder: Path, classes: list[Path], options: ImageOptions, like: Raw | None = None) -> Raw:
    label = brief(folder, 200)
    every = [(path, code) for code, name in enumerate(classes) for path in _files_below(name)]
    files = [(path, code) for path, code in every if is_image(path)]
    others = Counter(path.suffix.lower() or "-" for path, _ in every if not is_image(path))
    if not files:
        if others:
            raise DataError("pictures.only_others", label=label, endings=_counted(others))
        loose = any(is_image(path) for path in folder.iterdir())
        raise DataError("images.no_class_folders" if loose else "images.no_images", label=label)
    read = read_files([path for path, _ in files], options, None if like is None else _size(like))
    if not read.pixels:
        raise DataError("images.all_broken", label=label, count=len(read.broken))
    codes = np.array([files[i][1] for i in read.kept], dtype=np.int64)
    # A name that is no text on this system is shown as well as can be.
    names = tuple(os.fsencode(path.name).decode("utf-8", "replace") for path in classes)
    refuse_equal(names, label)
    words = Words(codes, names, categorical=True, literal=True).take(np.arange(len(codes)))
    empty = [path.name for code, path in enumerate(classes) if code not in codes]
    findings = tuple(_findings(folder, empty, read, others))
    title = brief(folder.resolve().name)
    columns = {TARGET: words}
    inputs = stacked(read.pixels)
    return Raw(
        label, title, columns, len(codes), target=TARGET, task="classification", inputs=inputs, findings=findings
    )


def _size(raw: Raw) -> tuple[int, int]:
    assert raw.inputs is not None
    return raw.inputs.shape[2], raw.inputs.shape[3]


def _findings(folder: Path, empty: list[str], read: Files, others: Counter[str]) -> Iterator[Finding]:
    """Yield what was left out: damaged images, further frames, files of other kinds, class folders without an image,
    images in no class folder.
    """
    for kind, key, paths in (
        ("corrupt_images", "images.found_corrupt", read.broken),
        ("further_frames", "pictures.found_frames", read.framed),
    ):
        if paths:
            names = listing(str(path.relative_to(folder)) for path in paths)
            yield Finding(kind, say(key, label=brief(folder, 200), count=len(paths), names=names), count=len(paths))
    if others:
        text = say("pictures.found_others", label=brief(folder, 200), count=others.total(), endings=_counted(others))
        yield Finding("other_files", text, count=others.total())
    if empty:
        text = say("images.found_empty_class", label=brief(folder, 200), names=listing(empty))
        yield Finding("empty_class", text, count=len(empty))
    loose = sum(is_image(path) for path in folder.iterdir())
    if loose:
        text = say("images.found_loose", label=brief(folder, 200), count=loose)
        yield Finding("loose_images", text, count=loose)


def _counted(endings: Counter[str]) -> str:
    return listing(f"{ending} ({count:,})" for ending, count in sorted(endings.items()))


@dataclass
class Files:
    """Image files that were read: their ``pixels``, their positions ``kept`` among the files, those that are
    ``broken``, and those of which only the first of several frames was taken (``framed``).
    """

    pixels: list[Array] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    framed: list[Path] = field(default_factory=list)


def read_files(paths: Sequence[Path], options: ImageOptions, expected: tuple[int, int] | None = None) -> Files:
    """Return what could be read of image files, and what not.

    ``expected`` is the size (height, width) that all need; without it, that of the first. Raises `DataError` naming
    the first that is damaged, unless ``options.skip_corrupt``, or that has another size.
    """
    read = Files()
    expected = options.size or expected
    for i, path in enumerate(paths):
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
            raise DataError("images.other_size", label=brief(path, 200), **sizes)
        read.pixels.append(here)
        read.kept.append(i)
        if frames > 1:
            read.framed.append(path)
    return read


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
