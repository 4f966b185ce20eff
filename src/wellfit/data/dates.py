"""Dates in the usual spellings as days since 1970-01-01 (the day's part of a time included)."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

_EPOCH = dt.date(1970, 1, 1).toordinal()
_TIME = (
    r"(?:[T ]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2}(?:\.\d+)?))?"
    r"(?: ?(?P<half>[AaPp][Mm]))?(?P<zone> ?Z| ?[+-]\d{2}:?\d{2})?)?"
)
_FIRST_YEAR = re.compile(r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})" + _TIME)
_LAST_YEAR = re.compile(r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4})" + _TIME)
_DAY_NAME = re.compile(r"(?P<d>\d{1,2})[ -](?P<name>[A-Za-z]{3,9})\.?[ -](?P<y>\d{4})" + _TIME)
_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3,9})\.? (?P<d>\d{1,2}),? (?P<y>\d{4})" + _TIME)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip


@dataclass(frozen=True)
class Dates:
    """Days per word (None where a word is no date).

    ``day_first`` is the order of day and month that was used, None where no word needed one; ``ambiguous`` where
    nothing proves it.
    """

    days: list[float | None]
    day_first: bool | None
    ambiguous: bool


def parse_dates(words: Sequence[str], day_first: bool | None = None, *, partial: bool = False) -> Dates | None:
    """Read ISO dates (2020-01-31, with or without a time and zone), 31.01.2020, 1/31/2020, 31/1/2020, 31 Jan 2020 and
    Jan 31, 2020.

    Between slashes and dashes the day comes first where a word proves it (31/1/2020), else the month. ``day_first``
    states the order. Returns None where a word is no date, unless ``partial``.

    >>> parse_dates(["1970-01-02", "1970-01-02 12:00"]).days
    [1.0, 1.5]
    >>> parse_dates(["31/1/1970", "1/2/1970"]).days, parse_dates(["red"])
    ([30.0, 31.0], None)
    """
    matches: list[re.Match | None] = []
    for word in words:
        match = _match(word)
        if match is None and not partial:
            return None
        matches.append(match)
    ambiguous = False
    pairs = [(int(m["a"]), int(m["b"])) for m in matches if m and m.re is _LAST_YEAR and m["s"] != "."]
    if pairs and day_first is None:
        day_first = any(a > 12 for a, _ in pairs)
        ambiguous = any(a != b for a, b in pairs) and all(a <= 12 and b <= 12 for a, b in pairs)
    days = [None if m is None else _days(m, bool(day_first)) for m in matches]
    if not partial and None in days:
        return None
    return Dates(days, day_first if pairs else None, ambiguous)


def _match(word: str) -> re.Match | None:
    if not 8 <= len(word) <= 50 or not word.isascii():
        return None
    for pattern in (_FIRST_YEAR, _LAST_YEAR, _DAY_NAME, _NAME_DAY):
        match = pattern.fullmatch(word)
        if match:
            return match
    return None


def _days(match: re.Match, day_first: bool) -> float | None:
    """Return days since 1970, None where no such day or time exists."""
    parts = match.groupdict()
    if "a" in parts:
        first_is_day = day_first or parts["s"] == "."
        day, month = (parts["a"], parts["b"]) if first_is_day else (parts["b"], parts["a"])
    elif "name" in parts:
        name, day = parts["name"].lower(), parts["d"]
        if name[:3] not in _MONTHS or (name[3:] and name not in _FULL and name != "sept"):
            return None
        month = _MONTHS.index(name[:3]) + 1
    else:
        day, month = parts["d"], parts["m"]
    try:
        whole = dt.date(int(parts["y"]), int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        return None
    seconds = _seconds(parts)
    return None if seconds is None else whole + seconds / 86400


def _seconds(parts: dict) -> float | None:
    if parts["H"] is None:
        return 0.0
    hour, minute, second = int(parts["H"]), int(parts["M"]), float(parts["S"] or 0)
    if parts["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (parts["half"].lower() == "pm")
    if hour > 23 or minute > 59 or second >= 61:
        return None
    zone = (parts["zone"] or "").strip()
    offset = 0 if zone in ("", "Z") else (int(zone[1:3]) * 60 + int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    return hour * 3600 + minute * 60 + second - offset * 60
