"""Names and numbers made fit to show: harmless, short, and aligned."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

from wellfit.messages import catalogue, retold, say

MINUS = "−"
TOO_SMALL = 8
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LACKING = "–"
# Embeddings, overrides, isolates and marks: left in, one name could turn round the text that follows it.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# Chinese has no spaces between its words, and may be broken between any two of its characters.
_LONG_WORD = re.compile("[^\\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]{81,}")
# Where a command line's characters are not plain ones, the command is shown escaped, so that it can still be pasted.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
# Joiners that written languages need; every other invisible mark is shown as its code.
_JOINERS = frozenset("\u200c\u200d")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def clean(text: object, limit: int = 60) -> str:
    """Return text that is safe to draw and write: one line, no control or direction characters, at most ``limit``.

    A longer text loses its middle, because the ends of column names tell them apart. Escaping for HTML is not done
    here: the template does it.

    >>> clean("a\\tb\\x00c"), clean("x" * 50, limit=9)
    ('a b\ufffdc', 'xxxxxx…xx')
    """
    return retold(_clean, text if isinstance(text, str) else str(text), limit)


def _clean(text: str, limit: int) -> str:
    # The cut comes first as well, so that a name of a million characters costs nothing.
    raw = text
    if len(raw) > 40 * limit:
        raw = raw[: 20 * limit] + raw[-20 * limit :]
    line = " ".join(_BIDI.sub("", raw).split())
    line = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") or c == "\ufffe" else c for c in line)
    if len(line) <= limit:
        return line
    tail = (limit - 1) // 3
    return f"{line[: limit - 1 - tail]}…{line[-tail:]}"


def sentence(text: object, limit: int = 900) -> str:
    """Return a sentence fit to show: as `clean`, and no word in it is longer than 80 characters.

    >>> len(sentence("The column " + "x" * 10_000 + " holds one value."))
    108
    """
    return retold(_sentence, text if isinstance(text, str) else str(text), limit)


def _sentence(text: str, limit: int) -> str:
    return _clean(_LONG_WORD.sub(lambda m: _clean(m[0], 80), text), limit)


def metric_name(metric: str) -> str:
    """Return a metric's name in words; one that the catalogue lacks keeps its own.

    >>> metric_name("auc"), metric_name("my_metric")
    ('AUC', 'my_metric')
    """
    key = f"metric_{metric.replace('-', '_')}"
    return say(f"report.metric_{metric.replace('-', '_')}") if key in catalogue("report") else clean(metric)


def screen_width() -> int:
    """Return the width of the terminal; where stdout is none, that of a wide table."""
    import shutil

    return shutil.get_terminal_size(fallback=(120, 24)).columns


def harmless(text: object) -> str:
    r"""Return the text in one line with control characters, escapes and direction marks shown as their codes.

    >>> harmless("dose\x1b[31m\nred")
    'dose\\x1b[31m\\nred'
    """
    return "".join(_coded(c) for c in str(text))


def _coded(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN or char in _JOINERS:
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def clause(text: str) -> str:
    """Return part of a sentence as a sentence of its own: a capital in front, a full stop behind.

    >>> clause("its loss rose")
    'Its loss rose.'
    """
    return say("report.clause", text=retold(_capital, text))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def letters(text: str) -> int:
    """Return how many letters' room a text takes: a Chinese sign takes that of two.

    >>> letters("loss"), letters("损失")
    (4, 4)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def printable(text: str) -> str:
    """Return the text with characters that cannot be written or pasted shown as escapes: for the command.

    >>> printable("wellfit run a\\x00b")
    'wellfit run a\\\\x00b'
    """
    escaped = _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)
    return _BIDI.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), escaped)


def finite(value: object) -> float | None:
    """Return the value as a float, or None where it is no finite number."""
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number is caught
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def decimals(values: Iterable[float | None]) -> int:
    """Return how many decimals a column of these numbers needs: three digits that count for its largest.

    >>> decimals([0.912, 0.9]), decimals([54.2]), decimals([0.0012])
    (3, 2, 5)
    """
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=1.0)
    if largest == 0:
        return 3
    power = math.floor(math.log10(largest))
    return max(0, 3 - max(power, 0)) if power >= -1 else min(2 - power, TOO_SMALL)


def number(value: float | None, places: int, *, signed: bool = False) -> str:
    """Return a number with so many decimals and a true minus sign; a dash where there is none.

    >>> number(-0.0123, 3), number(0.5, 2, signed=True), number(None, 3)
    ('−0.012', '+0.50', '–')
    """
    if value is None or not math.isfinite(value):
        return LACKING
    # A column of very small numbers has run out of decimals; one stray tiny value in a usual column is a zero.
    if value and (abs(value) >= 1e9 or (places >= TOO_SMALL and abs(value) < 1e-7)):
        return ("+" if signed and value > 0 else "") + _scientific(value, 2)
    value = 0.0 if round(value, places) == 0 else value
    written = f"{value:+.{places}f}" if signed and value else f"{value:.{places}f}"
    return written.replace("-", MINUS)


def amount(value: float | None, places: int) -> str:
    """Return a number that is never below 0 as `number` does, but one too small to be seen not as a zero.

    >>> amount(0.00002, 3), amount(0.25, 3), amount(0.0, 3)
    ('<0.001', '0.250', '0.000')
    """
    if value is not None and places < TOO_SMALL and 0 < value < 0.5 * 10.0**-places:
        return f"<{10.0**-places:.{places}f}"
    return number(value, places)


def digits(value: float | None) -> str:
    """Return a number that stands alone, with three digits that count.

    >>> digits(0.26812), digits(4.9e-7), digits(None)
    ('0.268', '4.90·10⁻⁷', '–')
    """
    if value is not None and math.isfinite(value) and 0 < abs(value) < 1e-4:
        return _scientific(value, 2)
    return number(value, decimals([value]))


def share(value: float) -> str:
    """Return a share of 1 in percent: 0% and 100% are none and all of it, exactly.

    >>> share(0.123), share(0.9971), share(0.99999), share(0.0001), share(1)
    ('12%', '99.7%', '>99.9%', '<0.1%', '100%')
    """
    rest = min(value, 1 - value)
    if rest <= 0 or rest >= 0.01:
        return f"{100 * value:.0f}%"
    if rest < 1e-3:
        return "<0.1%" if value < 0.5 else ">99.9%"
    return f"{100 * value:.1f}%"


def _scientific(value: float, places: int) -> str:
    """Return "3.00·10⁻¹²", or "10⁻¹²" where the number is that power and no decimals are asked for."""
    mantissa, _, exponent = f"{value:.{places}e}".partition("e")
    power = "10" + str(int(exponent)).translate(_RAISED)
    written = power if mantissa == "1" else f"{mantissa}·{power}"
    return written.replace("-", MINUS)


def short(value: float) -> str:
    """Return a number for an axis: as few characters as say it.

    >>> short(0.30000000000000004), short(-20.0), short(30000.0), short(10.0 * 1e-6)
    ('0.3', '−20', '30,000', '10⁻⁵')
    """
    if value and not 1e-3 <= abs(value) < 1e9:
        return _scientific(value, 0 if math.isclose(float(f"{value:.0e}"), value) else 1)
    if abs(value) >= 1e4 and value == int(value):
        return f"{value:,.0f}".replace("-", MINUS)
    return f"{value:.6g}".replace("-", MINUS)
