"""A comparison as a table: a line a cocktail where there is width, ranges under their means where there is little."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wellfit.evidence.metrics import metric_said
from wellfit.messages import say
from wellfit.report.text import harmless

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from wellfit.records import CocktailResult, Comparison, Interval

_STYLES = {"better": "green", "worse": "red", "undecided": "yellow", "reference": ""}
# From this width on, a range stands beside its mean.
_WIDE = 110


def comparison(comparison: Comparison, width: int) -> Iterator[str | Table]:
    """Give the table, and around it what was compared, the metric's sense and the winner."""
    about = {name: getattr(comparison, name) for name in ("data", "task", "network", "training", "folds", "seeds")}
    yield say("cli.table_title", **about)
    yield ""
    yield _table(comparison, wide=width >= _WIDE)
    yield ""
    note = "cli.table_note_high" if comparison.higher_is_better else "cli.table_note_low"
    yield say(note, metric=metric_said(comparison.metric), winner=comparison.winner)


def _table(comparison: Comparison, *, wide: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Lines between the cocktails only where one takes several lines of the screen.
    table = Table(box=box.SIMPLE_HEAD if wide else box.HORIZONTALS, show_edge=False, pad_edge=False)
    table.show_lines = not wide
    table.add_column(say("cli.table_cocktail"), overflow="fold")
    metric = harmless(metric_said(comparison.metric))
    for heading in (say("cli.table_loss"), metric, say("cli.table_difference", metric=metric)):
        # A long metric's name is folded where the screen is narrow: cut short it would name another.
        table.add_column(heading, justify="right", no_wrap=wide, overflow="ellipsis" if wide else "fold")
    table.add_column(say("cli.table_word"), no_wrap=True)
    losses, scores = [r.loss for r in comparison.results], [r.score for r in comparison.results]
    # Paired differences are narrower than what they are differences of; one more decimal shows enough of that.
    digits = _digits(scores)
    apart = [_apart(r) for r in comparison.results]
    columns = [
        _ranged(losses, wide, _digits(losses)),
        _ranged(scores, wide, digits),
        _ranged(apart, wide, min(_digits(apart), digits + 1), sign="+"),
    ]
    for i, result in enumerate(comparison.results):
        style = "bold" if result.cocktail == comparison.winner else ""
        table.add_row(Text(harmless(result.cocktail), style), *(Text(column[i]) for column in columns), _word(result))
    return table


def _apart(result: CocktailResult) -> Interval | None:
    difference = result.score_difference
    return None if difference is None or difference.word == "reference" else difference.interval


def _word(result: CocktailResult) -> Text:
    from rich.text import Text

    if result.diverged:
        return Text(say("cli.table_diverged", diverged=result.diverged, members=result.members), "red")
    word = "reference" if result.score_difference is None else result.score_difference.word
    return Text(say(f"cli.table_{word}"), _STYLES[word])


def _digits(intervals: Sequence[Interval | None]) -> int:
    """Return the decimals of a column: what its narrowest range is worth."""
    return max((decimals(interval) for interval in intervals if interval is not None), default=3)


def _ranged(intervals: Sequence[Interval | None], wide: bool, digits: int, *, sign: str = "") -> list[str]:
    """Return a column of means with their ranges, all with ``digits`` decimals; "" where there is none."""
    cells = []
    for interval in intervals:
        if interval is None:
            cells.append("")
            continue
        # Adding 0 turns the -0.0 that rounding leaves into 0.
        mean = f"{round(interval.mean, digits) + 0.0:{sign}.{digits}f}"
        low, high = (f"{round(v, digits) + 0.0:.{digits}f}" for v in (interval.low, interval.high))
        if not math.isfinite(interval.low):
            cells.append(mean)
        else:
            cells.append(say("cli.table_beside" if wide else "cli.table_below", mean=mean, low=low, high=high))
    return cells


def decimals(interval: Interval) -> int:
    """Return the decimals worth printing: two significant digits of the interval's half width, at most 6.

    >>> from wellfit.records import Interval
    >>> decimals(Interval(0.9381, 0.921, 0.955, "")), decimals(Interval(1234.5, 1100.0, 1369.0, ""))
    (3, 0)
    """
    half = (interval.high - interval.low) / 2
    if not math.isfinite(half) or half <= 0:
        return 3
    return max(0, min(6, 1 - math.floor(math.log10(half))))
