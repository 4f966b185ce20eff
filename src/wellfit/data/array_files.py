"""Binary tables: .npz, .mat and Parquet. No file can run code: pickled objects are refused."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from wellfit.data.frames import read_pair, read_table, rename
from wellfit.data.mat_files import read_arrays
from wellfit.data.pixels import with_class_names
from wellfit.data.raw import Finding, Raw, listing
from wellfit.errors import DataError, MissingExtraError
from wellfit.messages import say

# Names in use for the parts, compared without case and underscores; the first that is there counts.
X_KEYS = ("x", "xtrain", "data")
Y_KEYS = ("y", "ytrain", "target")
TEST_KEYS = (("xtest", "ytest"), ("xval", "yval"))
NAME_KEYS = ("names", "featurenames", "columns")
CLASS_KEYS = ("classes", "classnames")


def read_npz(data: bytes, label: str, title: str) -> Raw:
    """Read X, y and optional X_test, y_test (or Xval, yval) and names from a NumPy archive. Raises `DataError`."""
    return _from_arrays(npz_arrays(data, label), label, title)


def npz_arrays(data: bytes, label: str) -> dict[str, Any]:
    """Return all arrays of a NumPy archive by name. Raises `DataError`."""

    def arrays() -> dict[str, Any]:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    if not data.startswith(b"PK"):
        raise DataError("data.broken", label=label, format=".npz")
    try:
        members = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except Exception:
        members = []
    if members and not any(name.endswith(".npy") for name in members):
        raise DataError("data.archive", label=label)
    return _parse(arrays, label, ".npz")


def read_mat(data: bytes, label: str, title: str) -> Raw:
    """Read X, y and optional Xval, yval from a MATLAB file (version 5 to 7). Raises `DataError`."""
    if data.startswith(b"\x89HDF") or data.startswith(b"MATLAB 7.3"):
        raise DataError("data.mat_73", label=label)
    if not data.startswith(b"MATLAB 5"):
        raise DataError("data.broken", label=label, format=".mat")
    return _from_arrays(_parse(lambda: read_arrays(data), label, ".mat"), label, title)


def read_parquet(data: bytes, label: str, title: str) -> Raw:
    """Read a Parquet file. Raises `DataError`, and `MissingExtraError` where pyarrow is absent."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet") from None
    frame = _parse(lambda: pq.read_table(pa.BufferReader(data)).to_pandas(), label, "Parquet")
    if any(name is not None for name in frame.index.names):
        frame = _parse(frame.reset_index, label, "Parquet")
    return replace(read_table(frame, title), label=label)


def _parse(read: Callable[[], Any], label: str, form: str) -> Any:
    """Call a format's own parser; whatever it throws means that the file is broken."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except Exception as error:
        if "pickle" in str(error):
            raise DataError("data.pickled", label=label) from None
        raise DataError("data.broken", label=label, format=form) from None


def plain_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays by their names in small letters and without underscores, as `X_KEYS` has them."""
    return {key.lower().replace("_", ""): value for key, value in arrays.items()}


def _from_arrays(arrays: Mapping[str, Any], label: str, title: str) -> Raw:
    """Return the table that arrays by name hold."""
    plain = plain_names(arrays)
    x, y = (next((plain[key] for key in keys if key in plain), None) for keys in (X_KEYS, Y_KEYS))
    if x is None or y is None:
        raise DataError("data.no_x_y", label=label, keys=listing(arrays) or say("data.none"))
    table = replace(read_pair(x, y, title, "y"), label=label)
    pairs = [(a, b) for a, b in TEST_KEYS if a in plain and b in plain]
    if pairs:
        a, b = pairs[0]
        table = replace(table, test=replace(read_pair(plain[a], plain[b], title, "y"), label=label))
    if len(pairs) > 1:
        text = say("data.found_unused_validation")
        table = replace(table, findings=(*table.findings, Finding("unused_validation", text)))
    if table.inputs is not None:
        return _with_classes(table, next((plain[key] for key in CLASS_KEYS if key in plain), None))
    names = next((plain[key] for key in NAME_KEYS if key in plain), None)
    if names is None:
        return table
    labels = _words(names)
    test = rename(table.test, labels) if table.test is not None else None
    return replace(rename(table, labels), test=test)


def _with_classes(table: Raw, names: Any) -> Raw:
    """Return a table of images with these names for its classes 0, 1, ..., in its test rows as well."""
    if names is None or table.target is None:
        return table
    test = None if table.test is None else _with_classes(table.test, names)
    return replace(with_class_names(table, _words(names)), test=test)


def _words(names: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in np.asarray(names).ravel().tolist())
