"""IDX files: the format of MNIST and its relatives (LeCun, Cortes & Burges, *The MNIST database*, 1998).

Two zero bytes, the type of the numbers, the number of dimensions, each dimension in four bytes (the highest first),
then the numbers themselves. Images and labels stand in two files: ``train-images-idx3-ubyte`` goes with
``train-labels-idx1-ubyte``, and ``t10k-`` names the test images. Each may be gzip-compressed. Bytes only are read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from wellfit.data.contents import contents
from wellfit.data.pixels import image_table
from wellfit.data.raw import Column, Numbers, Raw, brief, brief_path, listing
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding

_BYTES = 8
_OTHERS = {9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
_NAME = re.compile(r"(idx\d?([-_.]ubyte)?|ubyte)(\.gz)?$", re.IGNORECASE)
_TEST_PARTS = frozenset(("t10k", "test", "testing"))
_VALIDATION_PARTS = frozenset(("val", "valid", "validation"))


def is_idx(name: str, data: bytes = b"") -> bool:
    """Tell whether a file is named as IDX files are, or begins as they do.

    >>> is_idx("t10k-images-idx3-ubyte.gz"), is_idx("images.idx"), is_idx("images.csv")
    (True, True, False)
    """
    return bool(_NAME.search(name)) or (data[:2] == b"\0\0" and data[2:3] in map(_byte, (_BYTES, *_OTHERS)))


def _byte(value: int) -> bytes:
    return bytes((value,))


def parse_idx(data: bytes, label: str) -> Array:
    """Return the array of an unpacked IDX file, uint8 and read-only. Raises `DataError` that says what is wrong.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]), "labels.idx")
    array([5, 6, 7], dtype=uint8)
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in (_BYTES, *_OTHERS):
        raise DataError("images.idx_start", label=label, start=data[:4].hex(" ") or "-")
    if data[2] != _BYTES:
        raise DataError("images.idx_type", label=label, type=_OTHERS[data[2]])
    start = 4 + 4 * data[3]
    if data[3] == 0 or len(data) < start:
        raise DataError("images.idx_header", label=label, dimensions=data[3])
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    expected, found = prod(shape), len(data) - start
    if found != expected:
        key = "images.idx_short" if found < expected else "images.idx_long"
        raise DataError(key, label=label, shape=_times(shape), expected=expected, found=found)
    if prod(side or 1 for side in shape) > np.iinfo(np.intp).max:  # NumPy has no such array, though it be empty
        raise DataError("images.idx_beyond", label=label, shape=_times(shape))
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def read_idx_pair(images: Path, labels: Path, title: str, names: tuple[str, ...] = ()) -> Raw:
    """Return the images of one IDX file with the labels of another; ``names`` are those of the classes 0, 1, ...

    Raises `DataError` naming the file that is damaged, or both where their counts disagree.
    """
    x = parse_idx(contents(images, brief_path(images)), brief_path(images))
    y = parse_idx(contents(labels, brief_path(labels)), brief_path(labels))
    if x.ndim not in (3, 4):
        raise DataError("images.idx_images", label=brief_path(images), shape=_times(x.shape))
    if y.ndim != 1:
        raise DataError("images.idx_labels", label=brief_path(labels), shape=_times(y.shape))
    if len(x) != len(y):
        names_of = {"images": brief_path(images), "labels": brief_path(labels)}
        raise DataError("images.idx_counts", **names_of, rows=len(x), targets=len(y))
    column: Column = Numbers(y.astype(np.float64))
    return image_table(x, column, brief_path(images), title, task="classification", names=names)


def read_idx(path: Path) -> Raw:
    """Return the images of the file at ``path`` with the labels beside it, or the other way round."""
    others = _idx_files(path.parent)
    kind = "labels" if "labels" in path.name.lower() else "images"
    wanted = "images" if kind == "labels" else "labels"
    part, found = _split(path.name, kind)
    if not found:
        raise DataError("images.idx_name", label=brief_path(path))
    beside = _part_of(others, wanted, part)
    if beside is None:
        name = path.name.lower().replace(kind, wanted).replace("idx3", "idx1")
        raise DataError("images.idx_alone", label=brief_path(path), wanted=brief(name))
    pair = (path, beside) if kind == "images" else (beside, path)
    return read_idx_pair(*pair, brief(part or path.parent.name or path.stem))


def read_idx_folder(folder: Path) -> Raw | None:
    """Return the training images in a folder of IDX files, with its test images as test rows; None where it has none.

    Where there is one pair of files alone it may have any name. Raises `DataError` for what is damaged or lacking.
    """
    files = _idx_files(folder)
    parts = list(dict.fromkeys(part for path in files for part, found in [_split(path.name, "images")] if found))
    if not parts:
        return None
    # Test images go before validation images.
    tests = [part for names in (_TEST_PARTS, _VALIDATION_PARTS) for part in parts if names & _words(part)]
    trains = [part for part in parts if part not in tests] or tests
    tests = [part for part in tests if part not in trains]
    if len(trains) > 1:
        raise DataError("images.idx_many", label=brief_path(folder), parts=listing(trains))
    made = []
    for part in (trains[0], *tests[:1]):
        images = _part_of(files, "images", part)
        assert images is not None  # the part was found by its images
        made.append(replace(read_idx(images), title=brief(folder.resolve().name)))
    raw = replace(made[0], label=brief_path(folder), test=made[1] if len(made) > 1 else None)
    if len(tests) > 1:
        text = say("pictures.found_unused_idx", label=raw.label, used=brief(tests[0]), unused=listing(tests[1:]))
        raw = replace(raw, findings=(*raw.findings, Finding("unused_validation", text)))
    return raw


def _words(part: str) -> frozenset[str]:
    """Return the words of a part's name: ``medieval-train`` holds no ``val``."""
    return frozenset(re.split(r"[\W_]+", part))


def _idx_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and is_idx(path.name))


def _split(name: str, word: str) -> tuple[str, bool]:
    """Return what stands before ``word`` in a file's name (its part: train, t10k, ...) and whether the word is there.

    >>> _split("train-images-idx3-ubyte.gz", "images")
    ('train', True)
    """
    part, found, _ = name.lower().partition(word)
    return part.strip("-_. "), bool(found)


def _part_of(files: list[Path], word: str, part: str) -> Path | None:
    """Return the file of a part, the unpacked one where it is there twice."""
    fitting = [path for path in files if _split(path.name, word) == (part, True)]
    return min(fitting, key=lambda path: path.suffix.lower() == ".gz", default=None)
