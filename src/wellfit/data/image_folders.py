"""A folder of images by class: ``cats/a.png``, ``dogs/b.jpg``; or the same below ``train/`` and ``test/``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from wellfit.data.image_files import ImageOptions, is_image
from wellfit.data.image_parts import Parts, class_folders, parts_of
from wellfit.data.image_reading import files_below, read_files, stacked
from wellfit.data.pixels import TARGET, refuse_equal
from wellfit.data.raw import Raw, Words, brief, brief_path, listing
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Finding


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
        yield Finding("unused_validation", say("images.found_unused_validation", label=brief_path(parts.validation)))
    if parts.others:
        names = {"train": brief(parts.train.name), "names": listing(path.name for path in parts.others)}
        text = say("pictures.found_beside", label=brief_path(folder), **names)
        yield Finding("other_folders", text, count=len(parts.others))


def _read(folder: Path, classes: list[Path], options: ImageOptions, like: Raw | None = None) -> Raw:
    label = brief_path(folder)
    every = [(path, code) for code, name in enumerate(classes) for path in files_below(name)]
    loose = sum(is_image(path) for path in folder.iterdir())
    if loose and not any(is_image(path) for path, _ in every):
        raise DataError("images.no_class_folders", label=label)
    read = read_files(folder, [path for path, _ in every], options, None if like is None else _size(like))
    codes = np.array([every[i][1] for i in read.kept], dtype=np.int64)
    # A name that is no text on this system is shown as well as can be.
    names = tuple(os.fsencode(path.name).decode("utf-8", "replace") for path in classes)
    refuse_equal(names, label)
    words = Words(codes, names, categorical=True, literal=True).take(np.arange(len(codes)))
    empty = [path.name for code, path in enumerate(classes) if code not in codes]
    return Raw(
        label,
        brief(folder.resolve().name),
        {TARGET: words},
        len(codes),
        target=TARGET,
        task="classification",
        inputs=stacked(read.pixels),
        findings=(*read.findings(), *_findings(folder, empty, loose)),
        resized=options.size is not None,
    )


def _size(raw: Raw) -> tuple[int, int]:
    assert raw.inputs is not None
    return raw.inputs.shape[2], raw.inputs.shape[3]


def _findings(folder: Path, empty: list[str], loose: int) -> Iterator[Finding]:
    """Yield what was left out: class folders without an image, images in no class folder."""
    if empty:
        text = say("images.found_empty_class", label=brief_path(folder), names=listing(empty))
        yield Finding("empty_class", text, count=len(empty))
    if loose:
        text = say("images.found_loose", label=brief_path(folder), count=loose)
        yield Finding("loose_images", text, count=loose)
