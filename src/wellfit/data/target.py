"""The target: which column it is, and whether it holds classes or measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wellfit.data.dates import parse_dates
from wellfit.data.infer import (
    MAYBE_MISSING,
    MISSING,
    best_numbers,
    category,
    live_words,
    parse_numbers,
    refuse_unbounded,
    spread,
)
from wellfit.data.raw import Column, Numbers, Raw, Words, brief, find_name, listing, write_float
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding, Task

USUAL_NAMES = ("target", "y", "label", "class")
TASKS = ("binary", "multiclass", "regression")
MOST_CODES = 20  # whole numbers with more distinct values are measurements
ROWS_A_CODE = 5
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Goal:
    """What is to be predicted: the task and, for classes, their names in the order of their codes."""

    name: str
    task: Task
    classes: tuple[str, ...]


def choose_target(raw: Raw, wanted: object, aside: Sequence[str], findings: list[Finding]) -> str:
    """Return the target's column: as asked, as the source states, by a usual name, or the last where that can be.

    ``aside`` are columns that serve otherwise (dropped, groups, times). Raises `DataError` for an unknown name, and
    one that asks for ``--target`` where no column is a plausible target.
    """
    names = list(raw.columns)
    if wanted is not None:
        chosen = find_name(wanted, names, "target")
        if raw.target is not None and chosen != raw.target:
            raise DataError("data.target_stated", label=raw.label, target=brief(raw.target), name=brief(chosen))
        for finding in raw.findings:
            if finding.kind == "duplicate_names" and chosen in finding.columns:
                raise DataError("data.target_twice", label=raw.label, name=brief(chosen))
        return chosen
    if raw.target is not None:
        return raw.target
    free = [name for name in names if name not in aside]
    usual = [name for word in USUAL_NAMES for name in free if name.casefold() == word]
    chosen = usual[0] if usual else free[-1] if free else ""
    if not free:
        raise DataError("data.which_target", label=raw.label, columns=listing(names))
    if not usual and (why := _implausible(settle(raw, chosen).columns[chosen])):
        reason = say(_NO_TARGETS[why])
        raise DataError(
            "data.which_target_last", label=raw.label, name=brief(chosen), reason=reason, columns=listing(names)
        )
    findings.append(Finding("assumed_target", say("data.found_assumed_target", name=brief(chosen)), (chosen,)))
    return choose_target(raw, chosen, aside, findings)


_NO_TARGETS = {
    "empty": "data.last_empty",
    "constant": "data.last_constant",
    "dates": "data.last_dates",
    "unique": "data.last_unique",
}


def _implausible(column: Column) -> str | None:
    """Return why a column cannot be a target that nobody named: ``empty``, ``constant``, ``dates`` or ``unique``."""
    numbers = isinstance(column, Numbers)
    if isinstance(column, Numbers):
        live = list(np.unique(column.values[~np.isnan(column.values)]))
    else:
        live = [word for word in column.words if word not in MAYBE_MISSING]
    if len(live) < 2:
        return "constant" if live else "empty"
    if _are_dates(column):
        return "dates"
    return None if numbers or not too_many(len(live), len(column)) else "unique"


def _are_dates(column: Column) -> bool:
    if isinstance(column, Numbers):
        return column.kind == "date"
    live = [word for word in column.words if word not in MAYBE_MISSING]
    return not column.categorical and bool(live) and parse_dates(live) is not None


def too_many(classes: int, rows: int) -> bool:
    """Tell whether there are more classes than can be learned: more than half the rows, or than 1000."""
    return classes > 2 and (classes > rows / 2 or classes > MOST_CLASSES)


def settle(raw: Raw, name: str) -> Raw:
    """Return the table with a column as numbers where all its words are numbers (``-`` and ``None`` are missing)."""
    column = raw.columns[name]
    if isinstance(column, Numbers) or column.categorical:
        return raw
    live = live_words(column.words)
    numbers = parse_numbers(live, raw.european) if live else None
    if numbers is None:
        return raw
    return replace(raw, columns={**raw.columns, name: Numbers(spread(column, live, numbers))})


def missing_targets(column: Column) -> Array:
    """Return (n,) True where a row of a settled column has no target; among classes ``-`` and ``None`` are classes."""
    if isinstance(column, Numbers):
        return np.isnan(column.values)
    if column.literal:
        return np.zeros(len(column), dtype=bool)
    return np.isin(column.codes, [i for i, word in enumerate(column.words) if word in MISSING])


def understand(raw: Raw, name: str, stated: str | None, findings: list[Finding]) -> Goal:
    """Return the goal of a settled target column without missing rows.

    The rule where no task is stated: text, categories and booleans are classes; so are any two whole numbers, and
    whole numbers that count from 0 or 1 with at most as many gaps as values (or are -1, 0, 1), where there are at most
    MOST_CODES of them and ROWS_A_CODE rows for each on average, for that is how classes are coded; other whole
    numbers, like a scale from 3 to 9, and all fractions are measurements. Raises `DataError` where the target cannot
    be learned.
    """
    if stated not in (None, "classification", *TASKS):
        raise DataError("data.unknown_task", task=stated, known=", ".join((*TASKS, "classification")))
    column = raw.columns[name]
    if _are_dates(column):
        raise DataError("data.date_target", name=brief(name))
    numeric = isinstance(column, Numbers) and column.kind != "boolean"
    if stated == "regression" or (stated is None and numeric and not _codes(column, name, findings)):
        goal = Goal(name, "regression", ())
        values = read_target(raw, goal)
        if len(np.unique(values)) < 2:
            raise DataError("data.constant_target", label=raw.label, name=brief(name), value=f"{values[0]:g}")
        return goal
    names, counts = _classes(raw, column, name)
    if len(names) < 2:
        raise DataError("data.one_class", label=raw.label, name=brief(name), value=brief(names[0]))
    if too_many(len(names), raw.rows):
        raise DataError("data.too_many_classes", name=brief(name), classes=len(names), rows=raw.rows)
    task: Task = "binary" if len(names) == 2 else "multiclass"
    if stated in TASKS and stated != task:
        raise DataError("data.task_misfit", name=brief(name), classes=len(names), task=stated, fits=task)
    lonely = [label for label, count in zip(names, counts, strict=True) if count == 1]
    if lonely:
        findings.append(
            Finding("rare_class", say("data.found_rare_class", classes=listing(lonely)), (name,), len(lonely))
        )
    return Goal(name, task, names)


def _codes(column: Column, name: str, findings: list[Finding]) -> bool:
    """Tell whether numbers are codes of classes by the rule in `understand`, and say so where it was a near thing."""
    assert isinstance(column, Numbers)
    distinct = np.unique(column.values)
    if not np.isfinite(distinct).all() or (distinct != np.round(distinct)).any():
        return False
    count, low, high = len(distinct), int(distinct[0]), int(distinct[-1])
    if count <= 2:
        return True
    counts_up = low in (0, 1) and high - low + 1 <= 2 * count
    codes = (counts_up or (low, high) == (-1, 1)) and count <= MOST_CODES and len(column) >= ROWS_A_CODE * count
    if count <= MOST_CODES:
        key = "data.found_codes" if codes else "data.found_measurements"
        text = say(key, name=brief(name), count=count, low=low, high=high)
        findings.append(Finding("assumed_task", text, (name,)))
    return codes


def _classes(raw: Raw, column: Column, name: str) -> tuple[tuple[str, ...], Array]:
    """Return the class names in order (stated, by number, or alphabetical) and the rows of each."""
    if isinstance(column, Numbers):
        refuse_unbounded(raw, name, column, column.values)
        distinct, counts = np.unique(column.values, return_counts=True)
        return tuple(_write_class(v, column) for v in distinct), counts
    labels = _labels(column)
    order = list(dict.fromkeys(labels if column.categorical else sorted(labels)))
    position = {label: i for i, label in enumerate(order)}
    codes = np.array([position[label] for label in labels])[column.codes]
    return tuple(order), np.bincount(codes, minlength=len(order))


def _labels(column: Words) -> list[str]:
    """Return the class that each word of a column stands for."""
    return list(column.words) if column.literal else [category(word) or word for word in column.words]


def _write_class(value: float, column: Numbers) -> str:
    return str(value != 0) if column.kind == "boolean" else write_float(float(value))


def read_target(raw: Raw, goal: Goal) -> Array:
    """Return the target (n,) of a settled column without missing rows, as `wellfit.records.Table` holds it.

    Raises `DataError` naming the row for a value that is no number (regression) or none of the classes.
    """
    column = raw.columns[goal.name]
    if goal.task == "regression":
        return _read_measurements(raw, column, goal.name)
    if isinstance(column, Numbers):
        distinct, codes = np.unique(column.values, return_inverse=True)
        labels = [_write_class(v, column) for v in distinct]
    else:
        codes, labels = column.codes, _labels(column)
    position = {label: i for i, label in enumerate(goal.classes)}
    known = np.array([position.get(label, -1) for label in labels], dtype=np.int64)[codes]
    if (known < 0).any():
        row = int(np.argmax(known < 0))
        place, value = raw.place(row), brief(labels[codes[row]])
        raise DataError("data.unknown_class", label=raw.label, place=place, value=value, known=listing(goal.classes))
    return known


def _read_measurements(raw: Raw, column: Column, name: str) -> Array:
    if isinstance(column, Words):  # words that are all numbers were settled, so one of these is none
        live = live_words(column.words)
        read = best_numbers(live, raw.european)
        word = live[read.index(None)] if None in read else column.words[0]
        row = int(np.argmax(column.codes == column.words.index(word)))
        place = raw.place(row)
        raise DataError("data.not_numeric", label=raw.label, place=place, column=brief(name), value=brief(word))
    refuse_unbounded(raw, name, column, column.values)
    return column.values
