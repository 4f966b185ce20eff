"""Tables that are in memory already: arrays, (X, y) pairs, mappings of columns, pandas DataFrames and Series."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wellfit.data.pixels import image_table
from wellfit.data.raw import Column, Numbers, Raw, Words, brief, clean_name, encode, tidy, unique_names, write_cell
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Kind

DAY = np.timedelta64(1, "D")


def is_frame(value: object, kind: str = "DataFrame") -> bool:
    """Tell whether a value is a pandas object, without importing pandas for those who do not use it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, getattr(pandas, kind))


def read_table(value: object, title: str = "table") -> Raw:
    """Return an array (n, d), a mapping of columns or a DataFrame as a raw table. Raises `DataError`."""
    label = say("data.label_table")
    if is_frame(value):
        # The type checker does not know pandas.
        return _from_columns(value, [value.iloc[:, j] for j in range(value.shape[1])], label, title)  # type: ignore[attr-defined]
    if isinstance(value, Mapping):
        return _from_columns(value, list(value.values()), label, title)
    x = dense(value)
    if x.dtype.names:
        return _from_columns(x.dtype.names, [x[name] for name in x.dtype.names], label, title)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2:
        raise DataError("data.not_two_dimensional", shape=x.shape)
    names = tuple(f"x{j}" for j in range(1, x.shape[1] + 1))
    columns = {name: to_column(x[:, j], name) for j, name in enumerate(names)}
    return _checked(Raw(label, title, columns, len(x), named=False))


def read_pair(x: object, y: object, title: str = "table", target: str = "target") -> Raw:
    """Return features, or images of three or four dimensions, and a target that came apart as one raw table.

    Raises `DataError` where they do not fit.
    """
    images = _images(x)
    if images is not None:
        name, column = to_target(y, len(images), target)
        return image_table(images, column, say("data.label_table"), title, target=name)
    table = read_table(x, title)
    name, column = to_target(y, table.rows, target)
    if name in table.columns:
        raise DataError("data.target_among_features", name=brief(name))
    columns = {**table.columns, name: column}
    return Raw(table.label, title, columns, table.rows, target=name, named=table.named, findings=table.findings)


def _images(x: Any) -> Array | None:
    """Return an array of images, three or four dimensions; None where a value is a table of columns."""
    if is_frame(x) or isinstance(x, Mapping) or hasattr(x, "toarray") or getattr(x, "ndim", 3) not in (3, 4):
        return None
    array = dense(x)
    return array if array.ndim in (3, 4) else None


def to_target(y: Any, rows: int, target: str) -> tuple[str, Column]:
    """Return the name and the column of a target that came apart. Raises `DataError` where it does not fit the rows."""
    if is_frame(y) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    name = clean_name(y.name) if is_frame(y, "Series") and y.name is not None else target
    values: Any = y
    if not is_frame(y, "Series"):
        values = dense(y)
        if values.ndim == 2 and 1 in values.shape:
            values = values.ravel()
        if values.ndim != 1:
            raise DataError("data.target_shape", shape=values.shape)
    if len(values) != rows:
        raise DataError("data.lengths_differ", rows=rows, targets=len(values))
    return name, to_column(values, name)


def rename(table: Raw, names: Sequence[str]) -> Raw:
    """Return a table of made-up names with these names for its features, in order."""
    features = [name for name in table.columns if name != table.target]
    distinct, findings = unique_names([clean_name(name) for name in names])
    if len(distinct) != len(features):
        raise DataError("data.names_count", names=len(distinct), columns=len(features))
    columns = {new: table.columns[old] for new, old in zip(distinct, features, strict=True)}
    if table.target is not None:
        if table.target in columns:
            raise DataError("data.target_among_features", name=brief(table.target))
        columns[table.target] = table.columns[table.target]
    return Raw(
        table.label,
        table.title,
        columns,
        table.rows,
        target=table.target,
        test=table.test,
        findings=(*table.findings, *findings),
    )


def to_column(values: Any, name: str) -> Column:
    """Return one column of values as numbers or words. Raises `DataError` for values that no table holds."""
    if is_frame(values, "Series"):
        values = _series(values, name)
        if isinstance(values, Words):
            return values
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind not in "fiu":
        values = np.ma.filled(values.astype(object), None)
    array = dense(values)
    if array.ndim != 1:
        raise DataError("data.column_shape", column=brief(name), shape=array.shape)
    numbers = _numbers(array)
    if numbers is not None:
        return numbers
    if array.dtype.kind not in "OUST":
        raise DataError("data.unsupported_type", column=brief(name), type=array.dtype)
    return encode([value if type(value) is str else write_cell(value, name) for value in array.tolist()], len(array))


def _numbers(array: Array) -> Numbers | None:
    """Return numbers, booleans, dates (days since 1970) or durations (days) as numbers; None for anything else."""
    kinds: dict[str, Kind] = {"f": "numeric", "i": "numeric", "u": "numeric", "b": "boolean"}
    if array.dtype.kind in kinds:
        with np.errstate(over="ignore"):  # a longer float may become infinite, which is reported later
            return Numbers(array.astype(np.float64), kinds[array.dtype.kind])
    if array.dtype.kind in "Mm" and array.dtype not in ("m8[Y]", "m8[M]"):  # a month has no fixed number of days
        gap = np.isnat(array)
        since = array - np.datetime64(0, "D") if array.dtype.kind == "M" else array
        days = np.where(gap, np.nan, np.where(gap, DAY, since) / DAY)
        return Numbers(days, "date" if array.dtype.kind == "M" else "numeric")
    return None


def _series(series: Any, name: str) -> Words | Array:
    """Return a pandas Series as a NumPy array, or as words where it holds categories."""
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        # A category that no row has is dropped by `take`; -1 is missing and points to the empty word at the end.
        words = tidy(series.cat.codes.to_numpy(), [*(write_cell(c, name) for c in series.cat.categories), ""])
        return Words(words.codes, words.words, categorical=True).take(np.arange(len(series)))
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if isinstance(dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    if pd.api.types.is_bool_dtype(dtype):
        return series.astype("boolean").to_numpy(dtype=object, na_value=None)
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return series.to_numpy(dtype="datetime64[ns]")
    return series.to_numpy(dtype=object)


def dense(value: Any) -> Array:
    """Return an array; masked values become NaN, sparse matrices dense."""
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "fiu":
        return np.ma.filled(value.astype(np.float64), np.nan)
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        value = value.toarray()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, a tensor on another device
        raise DataError("data.not_an_array", type=type(value).__name__) from None
    if array.ndim == 0:
        raise DataError("data.not_a_source", type=type(value).__name__)
    return array


def _from_columns(names: Any, values: list, label: str, title: str) -> Raw:
    distinct, findings = unique_names([clean_name(name) for name in names])
    columns = {name: to_column(value, name) for name, value in zip(distinct, values, strict=True)}
    sizes = {len(column) for column in columns.values()}
    if len(sizes) > 1:
        raise DataError("data.columns_differ", sizes=", ".join(map(str, sorted(sizes))))
    return _checked(Raw(label, title, columns, sizes.pop() if sizes else 0, findings=findings))


def _checked(table: Raw) -> Raw:
    if not table.rows or not table.columns:
        raise DataError("data.empty_table", label=table.label)
    return table
