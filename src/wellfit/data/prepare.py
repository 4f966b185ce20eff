"""From a table and its folds to what engines train on. Nothing here looks at a row outside a fold's training rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wellfit.data import preprocess
from wellfit.data.encoded import Coded, Encoded
from wellfit.data.pixels import as_read, extremes, tones
from wellfit.data.preprocess import Preprocessor
from wellfit.errors import DataError
from wellfit.records import Array, Fold, FoldData, Table, TrainingData

# Beyond these the squared scale of a regression target overflows or vanishes.
_SMALLEST, _LARGEST = 1e-150, 1e150


def prepare(
    table: Table, folds: Sequence[Fold], *, bins: int = 0, bent: bool = True, flat: bool = False
) -> TrainingData:
    """Return design matrices and targets of all folds, each made with that fold's training rows only.

    The matrices hold all n rows of the table, so that a fold's row indices are the table's; folds with the same
    training rows share one matrix. ``bins`` and ``bent`` are as in `Preprocessor.fit`. Regression targets are
    standardized by the training rows. ``fingerprint`` is a SHA-256 over the table's content, the folds, these settings
    and the version of the preprocessing. Raises `DataError` where a fold has no training row, where all columns are
    constant there, or where the target is too large or too small to be squared.

    Where the table has ``inputs`` in place of columns, all folds share them as they are; ``flat``, for networks that
    take rows, makes them (n, d) float64, bytes read as x / 127.5 - 1. Nothing is fitted to any row, except what
    augmentation takes for black and white in images that are no bytes: to the fold's training rows (`FoldData.tones`).
    """
    columns = Encoded(table)
    table = replace(table, columns=columns)
    x = None if table.inputs is None else flattened(table.inputs) if flat else table.inputs
    each = None if flat else _extremes(table)
    made: dict[bytes, FoldData] = {}
    out = []
    for fold in folds:
        key = _view(fold.train, np.int64).tobytes()
        if key not in made:
            if len(fold.train) == 0:
                raise DataError("splits.no_training_rows")
            if x is None:
                # Where no number is missing, what it would be filled with is not looked for.
                plan = Preprocessor.fit(table, fold.train, bins=bins, bent=bent, fills=not columns.whole)
                made[key] = _with_target(table, fold, _matrix(plan, columns))
            else:
                made[key] = _with_target(table, fold, x)
            if each is not None:
                made[key] = replace(made[key], tones=tones(each[fold.train]))
        out.append(replace(made[key], rows=fold))
    mark = fingerprint(table, folds, bins=bins, bent=bent, flat=flat)
    return TrainingData(table.task, _outputs(table), tuple(out), mark)


def prepare_rows(table: Table, rows: Array, *, bent: bool = True) -> tuple[TrainingData, Preprocessor]:
    """Return one fold that trains on ``rows`` (m,) and scores none, as `prepare` would, and its preprocessing."""
    part, plan = Fold(rows, rows[:0], rows[:0]), Preprocessor.fit(table, rows, bent=bent)
    fold = _with_target(table, part, _matrix(plan, table.columns))
    return TrainingData(table.task, _outputs(table), (fold,), fingerprint(table, [part], bent=bent)), plan


def _outputs(table: Table) -> int:
    return len(table.classes) if table.task == "multiclass" else 1


def flattened(x: Array) -> Array:
    """Return inputs (n, ...) as rows (n, d) float64 for networks that know no shape; bytes from -1 to 1."""
    return as_read(x.reshape(len(x), -1))


def fingerprint(table: Table, folds: Sequence[Fold], *, bins: int = 0, bent: bool = True, flat: bool = False) -> str:
    """Return a SHA-256, in hexadecimal, over all that `prepare` returns depends on. The order of columns counts."""
    total = hashlib.sha256()

    def add(name: str, content: bytes | memoryview) -> None:
        # Lengths go in too, so that no two contents run together into the same bytes.
        total.update(f"{name} {len(content)}|".encode("utf-8", "surrogatepass"))
        total.update(content)

    add("preprocessing", str(preprocess.VERSION).encode())
    if bins:
        add("bins", str(bins).encode())
    if not bent:
        add("straight", str(preprocess.STRAIGHT_VERSION).encode())
    add(table.task, "\x1f".join(table.classes).encode("utf-8", "surrogatepass"))
    add("target", _view(table.target, table.target.dtype.type))
    for name, values in table.columns.items():
        if table.kinds[name] == "categorical":
            column = Coded.of(values)
            add(name, "\x1f".join(column.levels).encode("utf-8", "surrogatepass"))
            add(name, _view(column.codes, np.int64))
        else:
            # Every NaN becomes the same NaN, and -0 becomes 0.
            absent = np.isnan(values)
            add(name, _view((np.where(absent, np.nan, values) if absent.any() else values) + 0.0, np.float64))
    if table.inputs is not None:
        add("inputs", f"{table.inputs.dtype.str} {table.inputs.shape} {'flat' if flat else ''}".encode())
        add("values", np.ascontiguousarray(table.inputs).reshape(-1).view(np.uint8).data)
        if table.scale == "given" and not flat:
            add("tones", b"1")
    if table.weights is not None:
        add("weights", _view(table.weights, np.float64))
    for fold in folds:
        for part, rows in (("train", fold.train), ("stop", fold.stop), ("score", fold.score)):
            add(part, _view(rows, np.int64))
    return total.hexdigest()


def _extremes(table: Table) -> Array | None:
    """Return the `extremes` of images whose black and white nothing but the images themselves tells, else None."""
    x = table.inputs
    return extremes(x) if x is not None and x.ndim == 4 and table.scale == "given" else None


def _view(values: Array, kind: type) -> memoryview:
    """Return the bytes of values as they are kept, without a copy."""
    return np.ascontiguousarray(values, dtype=kind).reshape(-1).view(np.uint8).data


def _matrix(preprocessor: Preprocessor, columns: Mapping[str, Any]) -> Array:
    """Return the design matrix (n, d)."""
    if not preprocessor.feature_names:
        raise DataError("splits.no_features")
    return preprocessor.transform(columns)


def _with_target(table: Table, fold: Fold, x: Array) -> FoldData:
    if table.task == "regression":
        mean, scale = target_scale(table, fold.train)
        y = ((table.target - mean) / scale)[:, None]
        return FoldData(x, y, fold, scale**2, mean, scale, table.weights)
    if table.task == "binary":
        return FoldData(x, (table.target == 1).astype(np.float64)[:, None], fold, weights=table.weights)
    return FoldData(x, np.eye(len(table.classes))[table.target], fold, weights=table.weights)


def target_scale(table: Table, rows: Array) -> tuple[float, float]:
    """Return the mean and standard deviation of a regression target over ``rows``; a scale of 1 where it is constant.

    Raises `DataError` where the square of the scale cannot be represented.
    """
    y = table.target[rows]
    unit = float(np.abs(y).max()) or 1.0
    mean, scale = float((y / unit).mean()), float((y / unit).std())
    if scale <= 4 * np.finfo(float).eps:  # constant but for rounding
        return mean * unit, 1.0
    if not _SMALLEST < scale * unit < _LARGEST:
        raise DataError("splits.target_scale", target=table.target_name, scale=scale * unit)
    return mean * unit, scale * unit
