"""What every reader returns: columns as numbers or as words with codes, before anything is decided about them.

Text is kept dictionary-encoded, so that a million rows cost four bytes a cell and every decision about a column (is it
numeric, a date, ...) looks at its distinct words only.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wellfit.errors import DataError
from wellfit.messages import join, say
from wellfit.records import Array, Finding, Kind, Scale


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column that its source states to be numbers: ``values`` (n,) float64, NaN for missing."""

    values: Array
    kind: Kind = "numeric"

    def take(self, rows: Array) -> Numbers:
        """Return the same column for these rows."""
        return Numbers(self.values[rows], self.kind)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Words:
    """A column of text: row i holds ``words[codes[i]]``; the empty word is missing.

    ``words`` are distinct and stripped, and each occurs. ``categorical`` where the source states categories, whose
    order is then kept. ``literal`` where they are names that the source states, not cells: ``NA`` is one like any
    other, as are ``1`` and ``1.0``, ``x`` and `` x``.
    """

    codes: Array
    words: tuple[str, ...]
    categorical: bool = False
    literal: bool = False

    def take(self, rows: Array) -> Words:
        """Return the same column for these rows; words that no longer occur are dropped."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return replace(self, codes=codes, words=tuple(self.words[i] for i in used))

    def __len__(self) -> int:
        return len(self.codes)


Column = Numbers | Words


@dataclass(frozen=True, eq=False)
class Raw:
    """A table as read. ``label`` is what messages call it and ``title`` its short name.

    ``lines`` holds the line of each row in a text file; ``target`` names the column that the source itself states as
    target; ``european`` says that its numbers are written with a decimal comma; ``named`` is False where the names
    were made up for an array; ``test`` holds the test rows that came along; ``origin`` the positions of the rows as
    they were read. ``inputs`` are images (n, channels, height, width) or other inputs (n, ...) in place of features,
    whose numbers are on the ``scale`` that their source states, or None where that is still to be read off them.
    ``class_names`` are those that the source states for the classes 0, 1, ..., whether a row has them or not.
    ``resized`` says that image files were resized as they were read.
    """

    label: str
    title: str
    columns: Mapping[str, Column]
    rows: int
    target: str | None = None
    task: str | None = None
    test: Raw | None = None
    lines: Array | None = None
    origin: Array | None = None
    european: bool = False
    named: bool = True
    findings: tuple[Finding, ...] = ()
    inputs: Array | None = None
    scale: Scale | None = None
    class_names: tuple[str, ...] = ()
    resized: bool = False

    def place(self, row: int) -> str:
        """Return where a row stands, for a message: its line in a text file, else its number counted from 1."""
        if self.lines is not None:
            return say("data.place_line", number=int(self.lines[row]))
        return say("data.place_row", number=int(row if self.origin is None else self.origin[row]) + 1)

    def take(self, rows: Array) -> Raw:
        """Return the same table with these rows."""
        return replace(
            self,
            columns={name: column.take(rows) for name, column in self.columns.items()},
            rows=len(rows),
            lines=None if self.lines is None else self.lines[rows],
            origin=rows if self.origin is None else self.origin[rows],
            inputs=None if self.inputs is None else self.inputs[rows],
        )


def encode(values: Iterable[str], count: int) -> Words:
    """Return text as distinct stripped words and codes.

    >>> encode(["a", " b", "a "], 3).words
    ('a', 'b')
    """
    table: defaultdict[str, int] = defaultdict()
    table.default_factory = table.__len__
    codes = np.fromiter(map(table.__getitem__, values), np.int32, count)
    return tidy(codes, table)


def tidy(codes: Array, words: Iterable[str]) -> Words:
    """Return codes and words with the words stripped, and merged where stripping made them equal."""
    words = tuple(words)
    if len("0".join(("", *words, "")).split(None, 1)) == 1:  # no white space at all: quicker than stripping each
        return Words(codes, words)
    stripped = [word.strip() for word in words]
    if len(set(stripped)) == len(words):
        return Words(codes, tuple(stripped))
    merged = encode(stripped, len(stripped))
    return Words(merged.codes[codes], merged.words)


def write_cell(value: object, column: str = "") -> str:
    """Return a Python value as the word that a CSV would hold: '' for missing, '3' for 3.0.

    Raises `DataError` naming the column for a value that is no cell of a table (a list, an array, ...).

    >>> write_cell(3.0), write_cell(None), write_cell(True), write_cell(" x ")
    ('3', '', 'True', 'x')
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float):
        return write_float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, (list, tuple, dict, set, np.ndarray)):
        raise DataError("data.unsupported_type", column=brief(column), type=type(value).__name__)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return str(value).strip()


def write_float(value: float) -> str:
    """Return the shortest text of a number, whole numbers without a point; '' for NaN."""
    if value != value:
        return ""
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


def clean_name(name: object) -> str:
    """Return a column name on one line without doubled spaces."""
    if isinstance(name, tuple):  # several header rows in a DataFrame
        name = " ".join(str(part) for part in name)
    if isinstance(name, bytes):
        name = name.decode("utf-8", "replace")
    return " ".join(str(name).split())


def unique_names(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """Return names made distinct (a, a_2) and filled in where empty, and what was found."""
    taken, out, doubled, unnamed = set(names), [], [], []
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        fresh = name
        if not name:
            fresh = f"unnamed_{position}"
            unnamed.append(fresh)
        elif name in seen:
            doubled.append(name)
        number = 2
        while fresh in seen or (fresh != name and fresh in taken):
            fresh = f"{name or f'unnamed_{position}'}_{number}"
            number += 1
        seen.add(fresh)
        out.append(fresh)
    findings = []
    if doubled:
        columns = tuple(dict.fromkeys(doubled))
        text = say("data.found_duplicate_names", names=listing(columns))
        findings.append(Finding("duplicate_names", text, columns, len(doubled)))
    if unnamed:
        text = say("data.found_unnamed", names=listing(unnamed))
        findings.append(Finding("unnamed_columns", text, tuple(unnamed), len(unnamed)))
    return tuple(out), tuple(findings)


def brief(value: object, top: int = 40) -> str:
    """Return a value for a message: on one line, printable and not longer than ``top``."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= top else text[: top - 3] + "..."


def brief_path(path: object, top: int = 200) -> str:
    """Return a path for a message: as `brief` does, but cut in the middle, for its end names the file.

    >>> brief_path("photos/of/my/two/cats/17.png", 20)
    'photo.../cats/17.png'
    """
    text = brief(path, len(str(path)))
    first = (top - 3) // 3
    return text if len(text) <= top else f"{text[:first]}...{text[first + 3 - top :]}"


def listing(names: Iterable[str], top: int = 10, shorten: Callable[[object], str] = brief) -> str:
    """Return names for a message, cut short after ``top``, each made short by ``shorten``."""
    names = list(names)
    shown = join(shorten(name) for name in names[:top])
    return shown if len(names) <= top else say("data.and_more", shown=shown, count=len(names) - top)


def find_name(name: object, names: Sequence[str], option: str) -> str:
    """Return the column that a user's name means: the same, or the only one that differs in case.

    Raises `DataError` naming the nearest columns, and the option that named this one.
    """
    wanted = clean_name(name)
    if wanted in names:
        return wanted
    alike = [n for n in names if n.casefold() == wanted.casefold()]
    if len(alike) == 1:
        return alike[0]
    lower = {n.casefold(): n for n in names}
    near = alike or [lower[n] for n in difflib.get_close_matches(wanted.casefold(), lower, 3, 0.5)]
    key = "data.unknown_column_near" if near else "data.unknown_column"
    raise DataError(key, option=option, name=brief(wanted), near=listing(near), columns=listing(names))
