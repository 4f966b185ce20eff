"""A search as a table of its best trials, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wellfit.messages import say
from wellfit.report.search_text import (
    Row,
    best_trials,
    note,
    rows,
    score_sentences,
    sentences,
    title,
    worth_sentences,
)
from wellfit.report.text import harmless

if TYPE_CHECKING:
    from rich.table import Table

    from wellfit.records import SearchRecord

# What a narrow screen leaves out, first what is missed least; a cocktail has at least so many letters.
_SPARED = ("seeds", "batch", "share", "rate", "network", "inputs")
_COCKTAIL = 26


def search(found: SearchRecord, width: int) -> Iterator[str | Table]:
    """Give the best trials as a table, what was chosen, what it scores and why."""
    trials = best_trials(found)
    yield title(found)
    yield ""
    yield _table(rows(found, trials), width)
    yield ""
    yield note(found, len(trials))
    for part in (sentences(found), score_sentences(found), worth_sentences(found)):
        yield ""
        yield from part


def _table(trials: list[Row], width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = ["number", "cocktail", "loss", "epochs", "network", "inputs", "rate", "batch", "seeds", "share"]
    names = [name for name in names if any(getattr(row, name) for row in trials)]
    for spared in _SPARED:
        if _COCKTAIL + sum(_room(name, trials) + 2 for name in names if name != "cocktail") > width:
            names = [name for name in names if name != spared]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.collapse_padding = True
    for name in names:
        text = name in ("cocktail", "network", "inputs")
        least = min(_COCKTAIL, _room(name, trials)) if name == "cocktail" else _room(name, trials)
        justify = "left" if text else "right"
        head = say(f"search.column_{name}")
        table.add_column(head, justify=justify, overflow="fold", min_width=least)  # type: ignore[arg-type]  # rich's words
    for row in trials:
        cells = [harmless(getattr(row, name)).replace("−", "-") for name in names]
        style = "bold green" if row.won else ""
        table.add_row(*(Text(cell, style) for cell in cells))
    return table


def _room(name: str, trials: list[Row]) -> int:
    """Return the width that a column needs."""
    from rich.cells import cell_len

    return max(cell_len(say(f"search.column_{name}")), *(cell_len(harmless(getattr(row, name))) for row in trials))
