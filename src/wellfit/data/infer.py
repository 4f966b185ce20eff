"""What a column holds: numbers, categories, booleans or dates, read from its distinct words.

The same functions read training, test and prediction tables: with ``kind`` None they infer, with a kind they insist on
it and name the cell that does not fit. Missing are the markers below; ``-`` and ``None`` are missing among numbers,
dates and booleans, but may be categories ("+" and "-").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wellfit.data.dates import parse_dates
from wellfit.data.raw import Column, Numbers, Raw, Words, brief, write_float
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding, Kind

MISSING = frozenset(
    ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "NULL", "null", "Null", "NaT", "?")
)
MAYBE_MISSING = MISSING | {"-", "None"}
BOOLEANS = {"true": 1.0, "false": 0.0}
# Where a column is known to be boolean these are read too; they do not make a column boolean.
BOOLEAN_WORDS = BOOLEANS | {"1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0, "t": 1.0, "f": 0.0, "y": 1.0, "n": 0.0}

# Sums of squares of larger values overflow, and no measurement needs them.
LARGEST = 1e150

_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)?(,\d*)?([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+\.0+")


@dataclass
class Reader:
    """Reads the columns of one table and gathers what it finds; ``day_first`` is the order of dates like 3/4/2020.

    ``day_first`` maps a column to the order that the training table proved (or assumed); ``strict`` refuses a column
    of dates that can be read both ways, where nothing is known of the training table.
    """

    raw: Raw
    strict: bool = False
    day_first: dict[str, bool] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def read(self, name: str, kind: Kind | None = None) -> tuple[Kind, Array] | None:
        """Return a column's kind and values (n,) as `wellfit.records.Table` holds them; None where all is missing.

        With ``kind`` given the column is read as that kind, and all may be missing. Raises `DataError` naming row and
        column for a value that does not fit the kind, that is infinite or too large to square.
        """
        column = self.raw.columns[name]
        got = self._numbers(name, column, kind) if isinstance(column, Numbers) else self._words(name, column, kind)
        if got is not None and got[0] != "categorical":
            refuse_unbounded(self.raw, name, column, got[1])
        return got

    def _numbers(self, name: str, column: Numbers, kind: Kind | None) -> tuple[Kind, Array] | None:
        values = column.values
        if kind is None:
            return None if np.isnan(values).all() else (column.kind, values)
        if kind == "categorical":
            table, codes = np.unique(values, return_inverse=True)
            return kind, np.array([_write_number(v, column.kind) for v in table], dtype=object)[codes]
        unfit = np.zeros(len(values), dtype=bool)
        if column.kind == "date" and kind != "date":
            unfit = ~np.isnan(values)
        elif kind == "boolean":
            unfit = ~(np.isnan(values) | (values == 0) | (values == 1))
        if unfit.any():
            row = int(np.argmax(unfit))
            self._refuse(name, row, write_float(float(values[row])), kind)
        return kind, values

    def _words(self, name: str, column: Words, kind: Kind | None) -> tuple[Kind, Array] | None:
        live = live_words(column.words)
        parsed: Sequence[float | None] | None = None
        if kind is None and column.categorical:
            kind = "categorical"
        elif kind is None:
            if not live:
                return None
            kind, parsed = self._infer(name, column, live)
        if kind == "categorical":
            return kind, np.array([category(word) for word in column.words], dtype=object)[column.codes]
        if parsed is None:
            parsed = self._insist(name, live, kind)
        if None in parsed:
            word = live[parsed.index(None)]
            row = int(np.argmax(column.codes == column.words.index(word)))
            self._refuse(name, row, word, kind)
        return kind, spread(column, live, parsed)

    def _infer(self, name: str, column: Words, live: Sequence[str]) -> tuple[Kind, Sequence[float | None] | None]:
        """Return the kind that all words agree on, categorical where there is none, and what was parsed on the way."""
        numbers = parse_numbers(live, self.raw.european)
        if numbers is not None:
            return "numeric", numbers
        if all(word.casefold() in BOOLEANS for word in live):
            return "boolean", None
        if parse_dates(live) is not None:
            return "date", None
        self._note_mostly_numbers(name, column)
        return "categorical", None

    def _insist(self, name: str, live: Sequence[str], kind: Kind) -> Sequence[float | None]:
        """Return each word's value as this kind, None where it does not fit."""
        if kind == "numeric":
            return best_numbers(live, self.raw.european)
        if kind == "boolean":
            return [BOOLEAN_WORDS.get(word.casefold()) for word in live]
        return self._dates(name, live)

    def _dates(self, name: str, live: Sequence[str]) -> Sequence[float | None]:
        """Read dates in the order known from the training table, else as the words prove, else month first."""
        read = parse_dates(live, self.day_first.get(name), partial=True)
        assert read is not None
        if read.ambiguous and name not in self.day_first:
            example = next(word for word in live if not word[:4].isdigit())
            if self.strict:
                raise DataError("data.ambiguous_date", label=self.raw.label, column=brief(name), value=brief(example))
            text = say("data.found_date_order", column=brief(name), value=brief(example))
            self.findings.append(Finding("assumed_date_order", text, (name,), len(live)))
        if read.day_first is not None:
            self.day_first[name] = read.day_first
        return read.days

    def _note_mostly_numbers(self, name: str, column: Words) -> None:
        """Say so where a few odd words turn a column of numbers into categories."""
        if len(column.words) < 20 or sum(_is_number(word) for word in column.words[:20]) < 10:
            return
        odd = [i for i, word in enumerate(column.words) if word not in MAYBE_MISSING and not _is_number(word)]
        bad = np.isin(column.codes, odd)
        if 0 < bad.sum() <= 0.1 * len(column):
            row = int(np.argmax(bad))
            value = brief(column.words[column.codes[row]])
            place, count = self.raw.place(row), int(bad.sum())
            text = say("data.found_mostly_numbers", column=brief(name), place=place, value=value, count=count)
            self.findings.append(Finding("mostly_numeric", text, (name,), count))

    def _refuse(self, name: str, row: int, value: str, kind: Kind) -> None:
        key, place = f"data.not_{kind}", self.raw.place(row)
        raise DataError(key, label=self.raw.label, place=place, column=brief(name), value=brief(value))


def live_words(words: Sequence[str]) -> Sequence[str]:
    """Return the words that are not missing among numbers, dates and booleans."""
    return words if MAYBE_MISSING.isdisjoint(words) else [word for word in words if word not in MAYBE_MISSING]


def spread(column: Words, live: Sequence[str], parsed: Sequence[float | None]) -> Array:
    """Return the column (n,) float64 whose `live_words` have these values; NaN for all other words."""
    if live is column.words:
        return np.array(parsed, dtype=np.float64)[column.codes]
    values = np.full(len(column.words), np.nan)
    values[[i for i, word in enumerate(column.words) if word not in MAYBE_MISSING]] = parsed
    return values[column.codes]


def refuse_unbounded(raw: Raw, name: str, column: Column, values: Array) -> None:
    """Raise `DataError` naming row and column where a value is infinite or too large to square."""
    unfit = np.abs(values) > LARGEST
    if not unfit.any():
        return
    row = int(np.argmax(unfit))
    value = column.words[column.codes[row]] if isinstance(column, Words) else f"{values[row]:g}"
    key = "data.infinite" if np.isinf(values[row]) else "data.too_large"
    place = raw.place(row)
    raise DataError(key, label=raw.label, place=place, column=brief(name), value=brief(value), top=LARGEST)


def category(word: str) -> str | None:
    """Return the category that a word stands for; None for missing. Whole numbers lose their point, so that a column
    that went through floats ("1.0") meets one that did not ("1").

    >>> category("1.0"), category("red"), category("NA")
    ('1', 'red', None)
    """
    if word in MISSING:
        return None
    return word.partition(".")[0] if _WHOLE.fullmatch(word) else word


def parse_numbers(words: Sequence[str], european: bool) -> list[float] | None:
    """Return the numbers that all words write in one style; None where there is no such style.

    Styles: 1234.5; 1.234,5 (tried before the next where ``european``); 1,234.5.

    >>> parse_numbers(["1,5", "2"], european=True), parse_numbers(["1,500", "2"], european=False)
    ([1.5, 2.0], [1500.0, 2.0])
    """
    try:
        numbers = list(map(float, words))
    except ValueError:
        if not any("," in word for word in words):
            return None
    else:
        # Python reads 1_000 as a number, which no table writes, and any spelling of nan.
        return None if "_" in "".join(words) or np.isnan(numbers).any() else numbers
    for style in _styles(european)[1:]:
        read = [style(word) for word in words]
        if None not in read:
            return read
    return None


def best_numbers(words: Sequence[str], european: bool) -> list[float | None]:
    """Return each word's number in the style that reads most of them, None where it reads no number."""
    whole = parse_numbers(words, european)
    if whole is not None:
        return list(whole)
    return max(([style(word) for word in words] for style in _styles(european)), key=lambda read: -read.count(None))


def _plain(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return None if "_" in word or number != number else number


def _decimal_comma(word: str) -> float | None:
    if not _DECIMAL_COMMA.fullmatch(word):
        return None
    return _plain(word.replace(".", "").replace(",", "."))


def _thousands(word: str) -> float | None:
    return _plain(word.replace(",", "")) if "," not in word or _THOUSANDS.fullmatch(word) else None


def _styles(european: bool) -> tuple:
    return (_plain, _decimal_comma, _thousands) if european else (_plain, _thousands, _decimal_comma)


def _write_number(value: float, kind: Kind) -> str | None:
    """Return the category that a text file would hold in place of this value."""
    if np.isnan(value):
        return None
    if kind == "boolean":
        return str(value != 0)
    if kind == "date" and value == int(value):
        return str(np.datetime64(int(value), "D"))
    return write_float(value)


def _is_number(word: str) -> bool:
    return _plain(word) is not None
