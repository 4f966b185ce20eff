"""From a path, a built-in name or something in memory to a raw table."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from wellfit.data.array_files import read_mat, read_npz, read_parquet
from wellfit.data.builtin import BUILTIN
from wellfit.data.contents import GZIP, unpacked
from wellfit.data.csv_files import read_csv
from wellfit.data.frames import is_frame, read_pair, read_table
from wellfit.data.idx_files import is_idx, read_idx, read_idx_folder
from wellfit.data.image_files import AS_THEY_ARE, ImageOptions, is_image
from wellfit.data.image_folders import read_image_folder
from wellfit.data.raw import Raw, brief, brief_path
from wellfit.data.torch_sources import is_torch, read_torch
from wellfit.errors import DataError

MOST_BESIDE = 10_000  # names in a folder that are looked through for one like the missing file's


def read_source(source: object, images: ImageOptions = AS_THEY_ARE) -> Raw:
    """Read whatever `wellfit.data.load` takes. Raises `DataError`, and `MissingExtraError` for Parquet without pyarrow.

    A text that is a built-in name means the built-in data; write ``./iris`` for a file of that name. ``images`` is for
    folders of images, and refused elsewhere.
    """
    if isinstance(source, (str, os.PathLike)) and (folder := _folder(os.fspath(source))) is not None:
        return read_folder(folder, images)
    if images.given:
        raise DataError("images.no_folder", label=brief_path(source))
    if isinstance(source, str) and (name := _builtin(source)):
        return BUILTIN[name]()
    if isinstance(source, (str, os.PathLike)):
        return read_path(os.fspath(source))
    if isinstance(source, tuple) and len(source) == 2 and not isinstance(source[0], (str, int, float)):
        return read_pair(source[0], source[1])
    if is_torch(source):
        return read_torch(source)
    if is_frame(source) or isinstance(source, (Mapping, np.ndarray, list)) or hasattr(source, "toarray"):
        return read_table(source)
    raise DataError("data.not_a_source", type=type(source).__name__)


def _folder(given: str | bytes) -> Path | None:
    """Return the path of a folder; None for a file, a built-in name, or a name that leads nowhere."""
    text = os.fsdecode(given)
    try:
        path = Path(text).expanduser()
        # A built-in name means the built-in data, although there may be a folder of that name.
        return path if text and path.is_dir() and _builtin(text) is None else None
    except (OSError, ValueError, RuntimeError):  # read_path says what is wrong
        return None


def _builtin(text: str) -> str | None:
    name = text.strip().lower().replace("_", "-")
    return name if name in BUILTIN else None


def read_folder(folder: Path, images: ImageOptions) -> Raw:
    """Read a folder of IDX files, or of images by class. Raises `DataError` where it holds neither."""
    try:
        raw = read_idx_folder(folder)
        if raw is None:
            return read_image_folder(folder, images)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError("data.unreadable", label=brief_path(folder), reason=reason) from None
    if images.given:
        raise DataError("images.no_folder", label=brief_path(folder))
    return raw


def read_path(given: str | bytes) -> Raw:
    """Read a file by what it holds, else by its name's ending. Raises `DataError` where it is no table."""
    text = os.fsdecode(given)
    label = brief_path(text)
    data = _bytes(text, label)
    name = Path(text).name
    if data.startswith(GZIP):
        data, name = unpacked(data, label), name.removesuffix(".gz")
    if not data:
        raise DataError("data.empty_file", label=label)
    stem, _, ending = name.rpartition(".")
    title, ending = brief(stem or name), ending.lower()
    if is_idx(name, data):
        return read_idx(Path(text).expanduser())
    if is_image(Path(name)):
        raise DataError("images.one_image", label=label)
    if data.startswith(b"PAR1") or ending in ("parquet", "pq"):
        return read_parquet(data, label, title)
    if data.startswith(b"PK\x03\x04") or ending == "npz":
        return read_npz(data, label, title)
    if data.startswith((b"MATLAB ", b"\x89HDF")) or ending == "mat":
        return read_mat(data, label, title)
    return read_csv(data, label, title)


def _bytes(text: str, label: str) -> bytes:
    """Return a file's bytes, or say why there are none."""
    try:
        path = Path(text).expanduser()
        if path.exists() and not path.is_file():
            raise DataError("data.not_a_file", label=label)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise DataError("data.unreadable", label=label, reason=error.strerror or type(error).__name__) from None
    except DataError:
        raise
    except (ValueError, RuntimeError):  # a zero byte in the name; no home folder for ~
        pass
    raise _missing(text, label) from None


def _missing(text: str, label: str) -> DataError:
    """Return the error for a file that there is not, which names a file beside it, or built-in data, of a near name."""
    beside = _beside(text)
    # A word without an ending is more likely a built-in name than a file's.
    near = difflib.get_close_matches(text.lower(), BUILTIN, 1, 0.55 if re.fullmatch(r"[\w-]+", text) else 0.75)
    if beside:
        return DataError("data.missing_file_beside", label=label, near=brief_path(beside))
    key = "data.missing_file_near" if near else "data.missing_file"
    return DataError(key, label=label, near=near[0] if near else "", builtin=", ".join(BUILTIN))


def _beside(text: str) -> str | None:
    """Return the path of the file or folder beside the missing one whose name is most like its name, if one is."""
    try:
        path = Path(text).expanduser()
        names = [each.name for each in islice(path.parent.iterdir(), MOST_BESIDE) if not each.name.startswith(".")]
    except (OSError, ValueError, RuntimeError):
        return None
    lower = {name.lower(): name for name in sorted(names)}
    wanted = path.name.lower()
    # Names are not alike by their endings alone.
    stem = wanted.partition(".")[0]
    alike = {name for name in lower if difflib.get_close_matches(stem, [name.partition(".")[0]], 1, 0.75)}
    near = difflib.get_close_matches(wanted, sorted(alike), 1, 0.75)
    return str(Path(text).parent / lower[near[0]]) if near else None
