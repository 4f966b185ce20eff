"""The command search: one budget for cocktails, training choices and networks together; the best, and what it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellfit.cli import options as given
from wellfit.cli.interrupt import kept
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Problem, Stopped
from wellfit.cli.screen import answer, console, harmless, tell
from wellfit.messages import say

if TYPE_CHECKING:
    from rich.table import Table

    from wellfit.records import SearchRecord
    from wellfit.report.search_text import Row

# What a narrow screen leaves out, first what is missed least; a cocktail has at least so many letters.
_SPARED = ("seeds", "batch", "share", "rate", "network", "inputs")
_COCKTAIL = 26


@click.command(cls=Command, help=say("cli.search"), short_help=say("cli.search_short"))
@click.argument("data")
@given.options(given.DATA, given.SEARCH, given.NETWORK, given.FOLDING, given.REPEAT, given.OUTPUT, given.PLACE)
@click.option("--shard", hidden=True)  # refused in words of its own
def search(data: str, **asked: Any) -> None:
    """Search cocktails and what interacts with them, and print what was found."""
    from wellfit.cli.progress import Watch
    from wellfit.job.files import MODEL, SEARCH
    from wellfit.job.search_job import search_into
    from wellfit.select.search_output import search_text

    if asked["shard"] is not None:
        raise Problem("shares.not_of_search")
    out = asked["out"]
    with Watch() as watch, placed(asked) as executor:
        try:
            found = search_into(
                data,
                **given.load_options(asked),
                budget=asked["budget"],
                sampler=asked["sampler"],
                metric=asked["metric"],
                network=asked["network"],
                folds=asked["folds"],
                seed=asked["seed"],
                threads=asked["threads"],
                executor=executor,
                out=out,
                progress=watch.progress,
                notice=watch.notice,
                arguments=given.typed(),
            )
        except KeyboardInterrupt as error:
            raise Stopped(kept(out)) from error
    if asked["as_json"]:
        print(search_text(found.record), end="")
    else:
        print_search(found.record)
    for name in (SEARCH, MODEL) if out else ():
        tell(say("cli.written", path=Path(out) / name))


def print_search(found: SearchRecord) -> None:
    """Print the best trials as a table, what was chosen, what it scores and why, and how to repeat it."""
    import shutil

    from wellfit.report.search_text import (
        best_trials,
        note,
        repeat_sentence,
        repeated,
        rows,
        score_sentences,
        sentences,
        title,
        worth_sentences,
    )

    trials = best_trials(found)
    width = shutil.get_terminal_size(fallback=(120, 24)).columns
    answer(title(found))
    print()
    screen = console(sys.stdout)
    screen.width = width
    screen.print(_table(rows(found, trials), width))
    print()
    answer(note(found, len(trials)))
    for part in (sentences(found), score_sentences(found), worth_sentences(found), [repeat_sentence(found)]):
        print()
        for sentence in part:
            answer(sentence)
    # Not wrapped, so that the command can be copied.
    print(harmless(repeated(click.get_current_context().find_root().obj, found)))


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
