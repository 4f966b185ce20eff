"""Load a table from any source, with its target, task and column kinds; read the same columns for prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wellfit.data.files import read_source
from wellfit.data.frames import rename
from wellfit.data.image_files import ImageOptions
from wellfit.data.infer import Reader, category
from wellfit.data.pixels import coded_alike, joined, settle_inputs
from wellfit.data.raw import Numbers, Raw, brief, encode, find_name, listing, write_float
from wellfit.data.target import Goal, choose_target, missing_targets, read_target, settle, understand
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding, Kind, Scale, Table, Task


@dataclass(frozen=True)
class _Roles:
    """What the user said about columns, as names that the table has."""

    drop: tuple[str, ...]
    group: str | None
    time: str | None
    weight: str | None
    kinds: Mapping[str, Kind]

    @property
    def aside(self) -> tuple[str, ...]:
        """Columns that are no features."""
        return (*self.drop, *(name for name in (self.group, self.time, self.weight) if name is not None))


def load(
    source: Any,
    *,
    target: str | None = None,
    task: Task | None = None,
    drop: Iterable[str] = (),
    test: Any = None,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    categorical: Iterable[str] = (),
    numeric: Iterable[str] = (),
    image_size: object = None,
    skip_corrupt: bool = False,
    name: str | None = None,
) -> Table:
    """Load a table of n rows and check it.

    ``source`` is a path (CSV with commas, semicolons or tabs, also gzip; ``.npz`` or ``.mat`` with X, y and optional
    Xval, yval; Parquet), a built-in name (football, digits, breast-cancer, wine, iris, diabetes, fashion-mnist), a
    DataFrame, a mapping of columns, or a pair (X, y). ``test`` is the same for test rows: they are appended and named
    in ``test_rows``, their columns matched by name and read as the training columns were. Names of columns match
    whatever their case.

    Without ``target`` it is the column named target, y, label or class, else the last. ``task`` (binary, multiclass,
    regression, or classification) is inferred by the rule in `wellfit.data.target.understand`. ``drop``, ``group``,
    ``time`` and ``weight`` columns are no features; ``weight`` says how much each row counts in training and in losses
    (scores count every row once); ``categorical`` and ``numeric`` state kinds. What was assumed, renamed or
    dropped stands in ``findings``.

    Images come as a folder of IDX files or one of them, a folder of images by class (``image_size``, such as 28 or
    "28x32", resizes them to that height and width; ``skip_corrupt`` leaves out files that cannot be read), arrays X of
    three or four dimensions, or a PyTorch ``Dataset`` or ``DataLoader`` of inputs and targets: see docs/images.md. The
    table then has ``inputs`` in place of columns.

    Raises `DataError`, one line that names file, row and column, where the data cannot be used; `MissingExtraError`
    for Parquet without pyarrow.

    >>> table = load({"size": [1, 2, 3, 4], "colour": ["red", "blue", None, "red"], "y": ["a", "b", "a", "b"]})
    >>> table.task, table.classes, dict(table.kinds)
    ('binary', ('a', 'b'), {'size': 'numeric', 'colour': 'categorical'})
    """
    images = ImageOptions.of(image_size, skip_corrupt)
    raw = read_source(source, images)
    test_raw = raw.test if test is None else _read_test(test, images)
    findings = list(raw.findings)
    if raw.rows == 1:
        raise DataError("data.one_row", label=raw.label)
    if len(raw.columns) == 1 and raw.inputs is None:
        raise DataError("data.one_column", label=raw.label, name=brief(next(iter(raw.columns))))
    roles = _roles(raw, drop, (group, time, weight), categorical, numeric)
    chosen = choose_target(raw, target, roles.aside, findings)
    if chosen in roles.aside:
        raise DataError("data.target_aside", name=brief(chosen))
    raw = _with_target(raw, chosen, findings)
    goal = understand(raw, chosen, task or raw.task or _task_of_kind(roles.kinds.get(chosen)), findings)
    if raw.inputs is not None:
        raw = settle_inputs(raw, findings)
    reader = Reader(raw)
    parts = [_part(reader, goal, roles)]
    findings += reader.findings
    if test_raw is not None:
        test_raw = _aligned(test_raw, raw, goal, parts[0], roles)
        test_raw = _with_target(test_raw, goal.name, findings)
        if test_raw.inputs is not None:
            test_raw = settle_inputs(test_raw, findings, like=raw)
        test_reader = Reader(test_raw, strict=True, day_first=reader.day_first)
        parts.append(_part(test_reader, goal, roles, parts[0]))
    table = _table(parts, goal, name or raw.title, tuple(findings), raw.scale)
    return replace(table, resized=raw.resized)


def read_features(source: Any, kinds: Mapping[str, Kind]) -> dict[str, Array]:
    """Read the columns named in ``kinds`` for prediction: each (n,), as `wellfit.records.Table` holds them.

    ``source`` is what `load` takes; other columns are ignored and order does not matter. A bare array has its columns
    in the order of ``kinds``. Raises `DataError` naming lacking columns, and row and column of a value that does not
    fit its kind.

    >>> read_features({"colour": ["red", "green"], "size": ["3", "NA"]}, {"size": "numeric", "colour": "categorical"})
    {'size': array([ 3., nan]), 'colour': array(['red', 'green'], dtype=object)}
    """
    raw = _matched(read_source(source), tuple(kinds), tuple(kinds))
    reader = Reader(raw, strict=True)
    return {name: _values(reader, name, kind) for name, kind in kinds.items()}


def _read_test(test: Any, images: ImageOptions) -> Raw:
    """Read the test rows. A file that is not there is told apart from that of the training rows."""
    try:
        return read_source(test, images)
    except DataError as error:
        if not error.key.startswith("data.missing_file"):
            raise
        raise DataError("data.missing_test", sentence=error.args[0]) from None


@dataclass(frozen=True, eq=False)
class _Part:
    """The training or the test rows of a table, read."""

    columns: dict[str, Array]
    kinds: dict[str, Kind]
    target: Array
    groups: list[str] | None
    times: Array | None
    time_kind: Kind | None
    weights: Array | None
    inputs: Array | None


def _part(reader: Reader, goal: Goal, roles: _Roles, like: _Part | None = None) -> _Part:
    """Read the features, target, groups and times of one part; the test part is read like the training part."""
    if like is None:
        columns, kinds = _infer_features(reader, goal, roles)
    else:
        kinds = like.kinds
        columns = {name: _values(reader, name, kind) for name, kind in kinds.items()}
    values = read_target(reader.raw, goal)
    groups = None if roles.group is None else _groups(reader, roles.group)
    time_kind, times = _times(reader, roles.time, None if like is None else like.time_kind)
    weights = None if roles.weight is None else _weights(reader, roles.weight, needed=like is None)
    inputs = reader.raw.inputs
    return _Part(columns, kinds, values, groups, times, time_kind, weights, inputs)


def _roles(
    raw: Raw,
    drop: Iterable[str],
    apart: tuple[str | None, str | None, str | None],
    categorical: Iterable[str],
    numeric: Iterable[str],
) -> _Roles:
    """Return the user's options with the names that the table has. Raises `DataError` for an unknown name."""
    names = list(raw.columns)

    def find(wanted: Iterable[str] | str | None, option: str) -> tuple[str, ...]:
        wanted = () if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
        return tuple(dict.fromkeys(find_name(name, names, option) for name in wanted))

    words, numbers = find(categorical, "categorical"), find(numeric, "numeric")
    both = [name for name in words if name in numbers]
    if both:
        raise DataError("data.two_kinds", name=brief(both[0]))
    kinds: dict[str, Kind] = {**dict.fromkeys(words, "categorical"), **dict.fromkeys(numbers, "numeric")}
    special = (find(name, option) for name, option in zip(apart, ("group", "time", "weight"), strict=True))
    group, time, weight = (found[0] if found else None for found in special)
    return _Roles(find(drop, "drop"), group, time, weight, kinds)


def _task_of_kind(kind: Kind | None) -> str | None:
    """Return the task that a stated kind of the target means."""
    return {"categorical": "classification", "numeric": "regression"}.get(kind or "")


def _with_target(raw: Raw, name: str, findings: list[Finding]) -> Raw:
    """Return the rows that have a target, which is settled, and say how many had none."""
    raw = settle(raw, name)
    missing = missing_targets(raw.columns[name])
    count = int(missing.sum())
    if count == raw.rows:
        raise DataError("data.no_target_values", label=raw.label, name=brief(name))
    if count:
        text = say("data.found_missing_target", label=raw.label, name=brief(name), count=count)
        findings.append(Finding("missing_target", text, (name,), count))
        raw = raw.take(np.flatnonzero(~missing))
    return raw


def _infer_features(reader: Reader, goal: Goal, roles: _Roles) -> tuple[dict[str, Array], dict[str, Kind]]:
    """Read all features; a column without any value is dropped, and said to be."""
    columns: dict[str, Array] = {}
    kinds: dict[str, Kind] = {}
    if reader.raw.inputs is not None:
        return columns, kinds
    empty = []
    for name in reader.raw.columns:
        if name == goal.name or name in roles.aside:
            continue
        read = reader.read(name, roles.kinds.get(name))
        if read is None or _all_missing(read[1]):
            empty.append(name)
        else:
            kinds[name], columns[name] = read
    if empty:
        text = say("data.found_all_missing", names=listing(empty))
        reader.findings.append(Finding("all_missing", text, tuple(empty), len(empty)))
    if not columns:
        raise DataError("data.no_features" if not empty else "data.all_missing", label=reader.raw.label)
    return columns, kinds


def _all_missing(values: Array) -> bool:
    if values.dtype == object:
        return all(value is None for value in values)
    return bool(np.isnan(values).all())


def _values(reader: Reader, name: str, kind: Kind) -> Array:
    read = reader.read(name, kind)
    assert read is not None  # a column read with its kind may be all missing
    return read[1]


def _groups(reader: Reader, name: str) -> list[str]:
    """Return the group of each row as text. A row without one is refused: it could stand on both sides of a split."""
    column = reader.raw.columns[name]
    if isinstance(column, Numbers):
        words = [write_float(float(value)) for value in column.values]
    else:
        labels = [category(word) or "" for word in column.words]
        words = [labels[code] for code in column.codes]
    if "" in words:
        place = reader.raw.place(words.index(""))
        raise DataError("data.no_group", label=reader.raw.label, place=place, column=brief(name))
    return words


def _times(reader: Reader, name: str | None, kind: Kind | None) -> tuple[Kind | None, Array | None]:
    """Return the time of each row: numbers, or days since 1970. Raises `DataError` for a missing or odd one."""
    if name is None:
        return None, None
    read = reader.read(name, kind)
    if read is None or read[0] not in ("numeric", "date"):
        raise DataError("data.no_times", label=reader.raw.label, column=brief(name))
    missing = np.isnan(read[1])
    if missing.any():
        place = reader.raw.place(int(np.argmax(missing)))
        raise DataError("data.no_time", label=reader.raw.label, place=place, column=brief(name))
    return read


def _weights(reader: Reader, name: str, *, needed: bool) -> Array:
    """Return how much each row counts. Test rows without the column count alike."""
    if not needed and name not in reader.raw.columns:
        return np.ones(reader.raw.rows)
    read = reader.read(name, "numeric")
    if read is None:
        raise DataError("data.no_weights", label=reader.raw.label, column=brief(name))
    bad = ~(np.isfinite(read[1]) & (read[1] >= 0))
    if bad.any():
        place = reader.raw.place(int(np.argmax(bad)))
        raise DataError("data.bad_weight", label=reader.raw.label, place=place, column=brief(name))
    if not read[1].any():
        raise DataError("data.no_weights", label=reader.raw.label, column=brief(name))
    return read[1]


def _aligned(test: Raw, train: Raw, goal: Goal, like: _Part, roles: _Roles) -> Raw:
    """Return the test table with the names of the training table. Raises `DataError` where columns lack."""
    if (test.inputs is None) != (train.inputs is None):
        raise DataError("images.not_both", label=test.label)
    test = coded_alike(test, train)
    if test.target is not None and test.target != goal.name and goal.name not in test.columns:
        columns = {goal.name if name == test.target else name: column for name, column in test.columns.items()}
        test = replace(test, columns=columns, target=goal.name)
    order = tuple(name for name in train.columns if name != goal.name)
    needed = tuple(name for name in (*like.kinds, roles.group, roles.time, goal.name) if name is not None)
    return _matched(test, needed, order)


def _matched(raw: Raw, needed: tuple[str, ...], order: tuple[str, ...]) -> Raw:
    """Return a table that has the ``needed`` columns: its own, or those of a bare array, which stand in ``order``."""
    lacking = [name for name in needed if name not in raw.columns]
    if lacking and not raw.named and len(raw.columns) - (raw.target is not None) == len(order):
        raw = rename(raw, order)
        lacking = [name for name in needed if name not in raw.columns]
    if lacking:
        raise DataError("data.lacking_columns", label=raw.label, names=listing(lacking), columns=listing(raw.columns))
    return raw


def _table(parts: list[_Part], goal: Goal, name: str, findings: tuple[Finding, ...], scale: Scale | None) -> Table:
    """Return the rows of all parts as one table; those of the second part are its test rows."""
    first = parts[0]
    train, rows = len(first.target), sum(len(part.target) for part in parts)
    groups = None
    if first.groups is not None:
        labels = [label for part in parts for label in part.groups or ()]
        groups = encode(labels, len(labels)).codes.astype(np.int64)
    return Table(
        name=name,
        columns={column: np.concatenate([part.columns[column] for part in parts]) for column in first.kinds},
        kinds=first.kinds,
        target=np.concatenate([part.target for part in parts]),
        target_name=goal.name,
        task=goal.task,
        classes=goal.classes,
        test_rows=np.arange(train, rows) if len(parts) > 1 else None,
        groups=groups,
        times=None if first.times is None else np.concatenate([np.asarray(part.times) for part in parts]),
        weights=None if first.weights is None else np.concatenate([np.asarray(part.weights) for part in parts]),
        findings=findings,
        inputs=None if first.inputs is None else joined([np.asarray(part.inputs) for part in parts]),
        scale=scale or "bytes",
    )
