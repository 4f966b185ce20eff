"""Curves that a user already has, from whatever wrote them, as one pair of arrays: training and validation by epoch.

Known are Keras (``History``, ``CSVLogger``), PyTorch Lightning's ``CSVLogger`` (several rows an epoch, each with a part
of the columns), tables of any logger whose columns say which rows they measure, and this package's own histories.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from wellfit.errors import DataError
from wellfit.records import Array, History

# The words of a column's name that tell whose rows it measures, the most telling first.
VALIDATION = ("val", "valid", "validation", "dev", "eval", "stop", "test", "score", "holdout")
TRAIN = ("train", "training", "tr", "fit")
LOSSES = (
    "loss",
    "cost",
    "objective",
    "nll",
    "mse",
    "mean_squared_error",
    "rmse",
    "mae",
    "mean_absolute_error",
    "error",
)
ACCURACIES = ("accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")
EPOCHS = ("epoch", "epochs", "checkpoint", "checkpoints", "iteration", "iterations", "iter", "round", "step", "steps")
_NOTHING = ("", "na", "n/a", "none", "null", "-", "<na>")


@dataclass(frozen=True, eq=False)
class OwnCurves:
    """A pair of curves at the epochs (c,) at which validation was measured, lower is better.

    ``train`` is (c,) with NaN where it was not measured, or None; ``validation`` (c,). ``measure`` is the column's
    measure: a loss, or ``accuracy``: then both curves are error rates. ``accuracy`` (c,) is the validation accuracy
    beside a loss, or None. ``averaged`` says that a training value is the mean over steps while the weights moved
    (in Keras always, and where steps were averaged here); ``diverged`` is the epoch from which on nothing is finite.
    """

    label: str
    epochs: Array
    train: Array | None
    validation: Array
    measure: str
    names: tuple[str, str]
    accuracy: Array | None = None
    averaged: bool = False
    diverged: float | None = None


@dataclass(frozen=True)
class _Column:
    name: str
    role: str  # train, validation, epoch
    measure: str
    rank: int


def read_curves(history: object) -> OwnCurves:
    """Return the curves of a CSV's path, a mapping of lists, a Keras ``History``, a DataFrame or a wellfit `History`.

    In a CSV an empty cell was not measured, while ``nan`` and ``inf`` were; None was not measured anywhere. Raises
    `DataError` for anything else, naming row and column.

    >>> found = read_curves({"loss": [3, 2, 1], "val_loss": [3, 2.5, None]})
    >>> found.validation.tolist(), found.train.tolist()
    ([3.0, 2.5], [3.0, 2.0])
    """
    label, cells, is_text = _cells(history)
    lengths = {name: len(values) for name, values in cells.items()}
    if not lengths or not max(lengths.values()):
        raise DataError("from_history.empty", label=label)
    roles = _roles(list(cells))
    if len({lengths[c.name] for c in roles}) > 1:
        told = ", ".join(f"{c.name} {lengths[c.name]}" for c in roles)
        raise DataError("from_history.unequal", label=label, lengths=told)
    numbers = {c.name: _numbers(cells[c.name], c.name, label, is_text) for c in roles}
    train, validation = _pair(roles, numbers, label, list(cells))
    epoch = next((c for c in sorted(roles, key=lambda c: c.rank) if c.role == "epoch"), None)
    at = np.arange(1.0, lengths[validation.name] + 1) if epoch is None else numbers[epoch.name][0]
    _check_epochs(at, epoch, label)
    extra = next((c for c in roles if c.role == "validation" and c.measure == "accuracy"), None)
    if validation.measure == "accuracy" or extra is None:
        extra = None
    return _joined(label, at, numbers, train, validation, extra, is_text)


def _cells(history: object) -> tuple[str, dict[str, Sequence], bool]:
    """Return what is read, its columns, and whether cells are text."""
    if isinstance(history, str | PathLike):
        return _csv(Path(history))
    if isinstance(history, History):
        kept = {name: list(line) for name, line in history.curves.items() if not np.isnan(line).all()}
        return "history", {"epoch": list(history.checkpoints), **kept}, False
    inner = getattr(history, "history", None)
    if isinstance(inner, Mapping):
        epochs = getattr(history, "epoch", None)
        counts = {len(v) for v in inner.values() if hasattr(v, "__len__")}
        given = {"epoch": epochs} if isinstance(epochs, list) and counts == {len(epochs)} else {}
        return "history", _lists({**given, **inner}), False
    if hasattr(history, "columns") and hasattr(history, "to_dict"):
        return "table", {str(name): list(history[name]) for name in history.columns}, False  # type: ignore[index]  # a DataFrame
    if isinstance(history, Mapping):
        return "history", _lists(history), False
    raise DataError("from_history.not_curves", kind=type(history).__name__)


def _lists(given: Mapping) -> dict[str, Sequence]:
    found: dict[str, Sequence] = {}
    for name, values in given.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise DataError("from_history.not_list", column=name, kind=type(values).__name__)
        found[str(name)] = list(values)
    return found


def _csv(path: Path) -> tuple[str, dict[str, Sequence], bool]:
    if not path.is_file():
        raise DataError("from_history.no_file", path=path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("from_history.not_text", path=path) from None
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row]
    except csv.Error:
        raise DataError("from_history.not_text", path=path) from None
    if len(rows) < 2:
        raise DataError("from_history.empty", label=path.name)
    names = [name.strip() for name in rows[0]]
    for i, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            raise DataError("from_history.ragged", label=path.name, row=i, found=len(row), expected=len(names))
    turned = (lambda cell: cell.replace(",", ".")) if separator == ";" else str
    columns = zip(*rows[1:], strict=True)
    return path.name, {n: [turned(c.strip()) for c in column] for n, column in zip(names, columns, strict=True)}, True


def _roles(names: list[str]) -> list[_Column]:
    """Return the columns that are understood, each with its role and measure."""
    found = []
    for name in names:
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
        tokens = [t for t in re.split(r"[^a-z0-9]+", spaced.lower()) if t]
        if "_".join(tokens) in EPOCHS:
            found.append(_Column(name, "epoch", "", EPOCHS.index("_".join(tokens))))
            continue
        words = VALIDATION + TRAIN
        whose = [t for t in tokens if t in words]
        rest = "_".join(t for t in tokens if t not in words and t not in ("epoch", "step"))
        role = "validation" if any(t in VALIDATION for t in whose) else "train"
        rank = words.index(whose[0]) if whose else len(words)
        measure = "accuracy" if rest in ACCURACIES else rest if rest in LOSSES else "loss" if whose and not rest else ""
        if measure and len(set(whose)) < 2:
            # Of "train_loss_epoch" and "train_loss_step" the former.
            found.append(_Column(name, role, measure, 2 * rank + ("step" in tokens)))
    return found


Numbers = tuple[Array, Array]  # the values, and where something was measured


def _numbers(cells: Sequence, name: str, label: str, is_text: bool) -> Numbers:
    values, given = np.full(len(cells), np.nan), np.ones(len(cells), dtype=bool)
    for i, cell in enumerate(cells):
        if cell is None or type(cell).__name__ == "NAType" or (is_text and cell.lower() in _NOTHING):
            given[i] = False
            continue
        try:
            values[i] = float(None if isinstance(cell, bool) else cell)  # type: ignore[arg-type]  # what is none is caught
        except (TypeError, ValueError):
            place = {"row": i + 1, "column": name, "value": str(cell)[:40]}
            raise DataError("from_history.not_number", label=label, **place) from None
    return values, given


def _pair(
    roles: list[_Column], numbers: Mapping[str, Numbers], label: str, names: list[str]
) -> tuple[_Column | None, _Column]:
    """Return the training column (None where there is none) and the validation column of the best measure."""
    held = [c for c in roles if c.role == "validation" and np.isfinite(numbers[c.name][0]).any()]
    if not held:
        raise DataError("from_history.no_validation", label=label, columns=", ".join(names)[:300])
    order = (*LOSSES, "accuracy")
    measures = {c.measure for c in roles if c.role == "train"}
    held.sort(key=lambda c: (c.measure not in measures, order.index(c.measure), c.rank))
    chosen = held[0]
    mates = sorted((c for c in roles if c.role == "train" and c.measure == chosen.measure), key=lambda c: c.rank)
    return (mates[0] if mates else None), chosen


def _check_epochs(at: Array, epoch: _Column | None, label: str) -> None:
    if epoch is None:
        return
    if not np.isfinite(at).all():
        row = int(np.flatnonzero(~np.isfinite(at))[0])
        raise DataError("from_history.no_epoch", label=label, row=row + 1, column=epoch.name)
    back = np.flatnonzero(np.diff(at) < 0)
    if back.size:
        i = int(back[0])
        raise DataError("from_history.two_runs", label=label, row=i + 2, before=f"{at[i]:g}", after=f"{at[i + 1]:g}")


def _joined(
    label: str,
    at: Array,
    numbers: Mapping[str, Numbers],
    train: _Column | None,
    validation: _Column,
    extra: _Column | None,
    is_text: bool,
) -> OwnCurves:
    """Return the curves at the epochs with a validation value; training values since the last one are averaged."""
    shared = bool((np.diff(at) == 0).any())

    def given(column: _Column) -> Numbers:
        values, there = numbers[column.name]
        # In a table of numbers NaN says both; where rows share an epoch, or numbers follow, it was not measured.
        last = np.flatnonzero(np.isfinite(values))
        later = np.arange(len(values)) < (last[-1] if last.size else -1)
        return values, there & (np.isfinite(values) | (~later & (is_text or not shared)))

    (values, there), times = given(validation), np.unique(at) if shared else at
    broken = math.inf
    trained, averaged = None, train is not None and train.name == "loss"
    if train is not None:
        own, own_there = given(train)
        lost = np.flatnonzero(own_there & ~np.isfinite(own))
        broken = float(at[lost[0]]) if lost.size else math.inf
        points = times if shared else at[there]
        place = np.searchsorted(points, at)  # the first point at or after each row
        sound = own_there & np.isfinite(own) & (place < len(points))
        counts = np.bincount(place[sound], minlength=len(points))
        sums = np.bincount(place[sound], own[sound], minlength=len(points))
        trained = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        averaged |= bool((counts > 1).any())
    if train is None or not np.isfinite(own[own_there]).all():
        lost = np.flatnonzero(there & ~np.isfinite(values))
        broken = min(broken, float(at[lost[0]])) if lost.size else broken
    if shared:
        line, held = _last_by_epoch(at, values, there, times)
    else:
        line, held = values[there], at[there]
        times = held
    keep = np.isfinite(line) & (times < broken)
    accuracy = _at(at, *given(extra), times)[keep] if extra is not None else None
    rate = validation.measure == "accuracy"
    return OwnCurves(
        label=label,
        epochs=times[keep],
        train=None if trained is None else (_error(trained) if rate else trained)[keep],
        validation=(_error(line) if rate else line)[keep],
        measure=validation.measure,
        names=("" if train is None else train.name, validation.name),
        accuracy=accuracy,
        averaged=averaged,
        diverged=None if math.isinf(broken) else broken,
    )


def _last_by_epoch(at: Array, values: Array, there: Array, times: Array) -> tuple[Array, Array]:
    found = np.full(len(times), np.nan)
    found[np.searchsorted(times, at[there])] = values[there]  # of several the last stays
    return found, times


def _at(at: Array, values: Array, there: Array, times: Array) -> Array:
    return _last_by_epoch(at, values, there & np.isin(at, times), times)[0]


def _error(accuracy: Array) -> Array:
    """Return error rates of accuracies, which may be percentages."""
    top = np.nanmax(accuracy, initial=0.0)
    return 1 - accuracy / (100.0 if top > 1.5 else 1.0)
