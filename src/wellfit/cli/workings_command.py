"""The command workings: what happens inside a network along one ingredient, as a table and in sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellfit.cli import options as given
from wellfit.cli.interrupt import kept
from wellfit.cli.language import option
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Stopped
from wellfit.cli.screen import answer, console, harmless, tell
from wellfit.messages import say

if TYPE_CHECKING:
    from wellfit.records import Workings

ALONG = (
    option("--over", metavar="INGREDIENT", help=say("cli.opt_over")),
    option("--model", metavar="RUN", help=say("workings.opt_model")),
    option("--points", metavar="N", type=given.Whole(3), help=say("workings.opt_points")),
    option("--cocktail", metavar="TEXT", help=say("cli.opt_base")),
    option("--folds", metavar="N", type=given.Whole(2), help=say("workings.opt_folds")),
)


@click.command(cls=Command, help=say("workings.help"), short_help=say("workings.short"))
@click.argument("data")
@given.options(given.DATA, ALONG, given.TRAINING, given.REPEAT, given.OUTPUT, given.QUICK, given.PLACE)
def workings(data: str, **asked: Any) -> None:
    """Look inside the network, and print what is found."""
    from wellfit.cli.progress import Watch
    from wellfit.job.workings_job import PICTURE, WORKINGS, workings_into
    from wellfit.select.workings_output import workings_text

    out = asked["out"]
    with Watch() as watch, placed(asked) as executor:
        try:
            found = workings_into(
                data,
                asked["over"],
                options=given.load_options(asked),
                training=given.training_changes(asked),
                executor=executor,
                progress=watch.progress,
                notice=watch.notice,
                **{
                    n: asked[n] for n in ("model", "points", "cocktail", "network", "folds", "seed", "quick", "threads")
                },
                out=out,
            )
        except KeyboardInterrupt as error:
            raise Stopped(kept(None)) from error
    if asked["as_json"]:
        print(workings_text(found), end="")
    else:
        print_workings(found)
    for name in (WORKINGS, PICTURE) if out else ():
        tell(say("cli.written", path=Path(out) / name))


def print_workings(found: Workings) -> None:
    """Print what was looked into, a row a point, and what the figures say."""
    import shutil

    from rich import box
    from rich.table import Table
    from rich.text import Text

    from wellfit.report.workings_text import sentences, table, title

    answer(title(found))
    print()
    names, rows = table(found)
    width = shutil.get_terminal_size(fallback=(120, 24)).columns
    cells = [[harmless(cell).replace("−", "-") for cell in row.cells] for row in rows]
    labels = [harmless(row.strength) for row in rows]
    rooms = [
        max(*(len(part) for part in name.split()), *(len(row[i]) for row in cells)) for i, name in enumerate(names)
    ]
    left = max(map(len, [say("workings.column_strength"), *labels]))
    while len(rooms) > 3 and left + sum(room + 2 for room in rooms) > width:
        rooms.pop()
    shown = Table(box=box.HORIZONTALS, show_edge=False, pad_edge=False, collapse_padding=True)
    shown.add_column(say("workings.column_strength"), overflow="fold")
    for name, room in zip(names, rooms, strict=False):
        shown.add_column(harmless(name), justify="right", min_width=room, max_width=room, overflow="fold")
    for label, row, line in zip(labels, rows, cells, strict=True):
        style = "bold" if row.best else ""
        shown.add_row(Text(label, style), *(Text(cell, style) for cell in line[: len(rooms)]))
    screen = console(sys.stdout)
    screen.width = width
    screen.print(shown)
    print()
    for sentence in sentences(found):
        answer(sentence)
