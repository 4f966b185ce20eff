"""Images to predict: the same kinds of sources as for training, without labels, as a network takes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wellfit.data.array_files import X_KEYS, npz_arrays, plain_names
from wellfit.data.contents import contents
from wellfit.data.files import read_source
from wellfit.data.frames import dense
from wellfit.data.idx_files import is_idx, parse_idx
from wellfit.data.image_files import ImageOptions, is_image
from wellfit.data.image_reading import files_below, read_files, stacked
from wellfit.data.pixels import channels_first, settle_inputs
from wellfit.data.raw import Raw, brief_path
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding, Scale


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images to predict: ``inputs`` (n, *shape), the ``names`` of their files as paths from the folder, or none where
    they do not come from image files, and ``findings`` about what was left out.
    """

    inputs: Array
    names: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def read_images(source: Any, shape: Sequence[int], scale: Scale = "bytes", *, resize: bool = False) -> Array:
    """Return inputs (n, *shape) for a network that was trained on inputs of this shape and `Table.scale`.

    The rest is as in `read_pictures`.

    >>> read_images(np.zeros((8, 8)), (1, 8, 8)).shape, read_images(np.zeros((5, 8, 8, 3)), (3, 8, 8)).shape
    ((1, 1, 8, 8), (5, 3, 8, 8))
    """
    return read_pictures(source, shape, scale, resize=resize).inputs


def read_pictures(
    source: Any, shape: Sequence[int], scale: Scale = "bytes", *, resize: bool = False, skip_corrupt: bool = False
) -> Pictures:
    """Return the images of a source as a network takes them that was trained on inputs of this shape and `Table.scale`.

    ``source`` is the path of an image, of a folder of images (in the order of their paths; class folders count for
    nothing), of IDX images or of an ``.npz`` with X; an array (n, ...) or one image; or what `wellfit.data.load` takes,
    whose target is not used. ``resize`` resizes image files, and ``skip_corrupt`` leaves out those that cannot be read.
    Raises `DataError` that names what does not fit.
    """
    path = _files_at(source)
    if path is not None:
        options = ImageOptions((shape[-2], shape[-1]) if resize and len(shape) == 3 else None, skip_corrupt)
        raw, names = _image_files(path, tuple(shape), options)
    elif skip_corrupt:
        raise DataError("images.no_folder", label=brief_path(source))
    else:
        raw, names = _read(source, tuple(shape)), ()
    like = Raw(raw.label, raw.title, {}, 1, inputs=np.empty((1, *shape), dtype=np.float32), scale=scale)
    settled = settle_inputs(raw, [], like=like).inputs
    assert settled is not None
    return Pictures(settled, names, raw.findings)


def _files_at(source: Any) -> Path | None:
    """Return the path of a folder, or of an image; None for any other source."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = Path(os.fspath(source)).expanduser()
    return path if path.is_dir() or is_image(path) else None


def _read(source: Any, shape: tuple[int, ...]) -> Raw:
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.fspath(source)).expanduser()
        label = brief_path(path)
        if is_idx(path.name):
            return _array(parse_idx(contents(path, label), label), label, shape)
        if path.suffix.lower() == ".npz":
            arrays = plain_names(npz_arrays(contents(path, label), label))
            x = next((arrays[key] for key in X_KEYS if key in arrays), None)
            if x is not None:
                return _array(x, label, shape)
    elif isinstance(source, (np.ndarray, list)) or hasattr(source, "__array__"):
        return _array(dense(source), say("data.label_table"), shape)
    raw = read_source(source)
    if raw.inputs is None:
        raise DataError("images.not_both", label=raw.label)
    return raw


def _image_files(path: Path, shape: tuple[int, ...], options: ImageOptions) -> tuple[Raw, tuple[str, ...]]:
    """Return the images of a folder, or one image, with the names of their files."""
    label = brief_path(path)
    folder, files = (path, files_below(path)) if path.is_dir() else (path.parent, [path])
    if len(shape) != 3:
        raise DataError("images.takes_no_images", label=label, expected=shape)
    read = read_files(folder, files, options, (shape[1], shape[2]), "pictures.model_size")
    names = tuple(files[i].relative_to(folder).as_posix() for i in read.kept)
    raw = Raw(label, path.name, {}, len(names), inputs=stacked(read.pixels), findings=tuple(read.findings()))
    return raw, names


def _array(x: Array, label: str, shape: tuple[int, ...]) -> Raw:
    """Return an array of inputs, or a single one, as a raw table; of images the channels may stand last."""
    single = [shape]
    if len(shape) == 3:
        single += [(*shape[1:], shape[0]), *([shape[1:]] if shape[0] == 1 else [])]
    if x.shape in single:
        x = x[None]
    if x.size == 0:
        raise DataError("data.empty_table", label=label)
    if len(shape) == 3:
        x, _ = channels_first(x, label)
    return Raw(label, label, {}, len(x), inputs=x)
