"""The command lesson: pages and notebooks for a class, made from the built-in data."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from wellfit.cli import options as given
from wellfit.cli.language import option
from wellfit.cli.program import Command, Problem
from wellfit.cli.screen import answer, console
from wellfit.messages import say


@click.command(cls=Command, help=say("cli.lesson"), short_help=say("cli.lesson_short"))
@click.argument("name", required=False)
@option("--all", "every", is_flag=True, help=say("cli.opt_all_lessons"))
@option("--out", metavar="DIR", help=say("cli.opt_out_lessons"))
@option("--threads", metavar="N", type=given.Whole(), help=say("cli.opt_threads"))
def lesson(name: str | None, every: bool, out: str | None, threads: int | None) -> None:
    """Write lessons, or list them."""
    if name and every:
        raise Problem("lesson.all_and_one")
    if not name and not every:
        if out is not None:
            raise Problem("lesson.none_asked")
        _list()
        return
    from wellfit.cli.progress import Watch
    from wellfit.job.lesson import FOLDER, lessons
    from wellfit.report.lessons import LESSONS, find

    asked = [find(name).name] if name else [each.name for each in LESSONS]
    with Watch() as watch:

        def written(path: Path) -> None:
            watch.notice(say("cli.written", path=path))

        folder = FOLDER if out is None else out
        lessons(asked, out=folder, threads=threads, progress=watch.progress, notice=watch.notice, written=written)


def _list() -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from wellfit.report.lessons import LESSONS

    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in LESSONS:
        table.add_row(Text(each.name), Text(each.title))
    console(sys.stdout).print(table)
    print()
    answer(say("lesson.list"))
