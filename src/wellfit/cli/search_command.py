"""The command search: one budget for cocktails, training choices and networks together; the best, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wellfit.cli import options as given
from wellfit.cli.interrupt import kept
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Problem, Stopped
from wellfit.cli.screen import answer, harmless, screen_width, show, tell
from wellfit.messages import say


@click.command(cls=Command, help=say("cli.search"), short_help=say("cli.search_short"))
@click.argument("data")
@given.options(given.DATA, given.SEARCH, given.NETWORK, given.FOLDING, given.REPEAT, given.OUTPUT, given.PLACE)
@click.option("--shard", hidden=True)  # refused in words of its own
def search(data: str, **asked: Any) -> None:
    """Search cocktails and what interacts with them, and print what was found."""
    from wellfit.cli.progress import Watch
    from wellfit.job.files import MODEL, SEARCH
    from wellfit.job.search_job import search_into
    from wellfit.report.search_text import repeat_sentence, repeated
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
        from wellfit.report.printed.search import search as search_blocks

        show(search_blocks(found.record, screen_width()))
        print()
        answer(repeat_sentence(found.record))
        # Not wrapped, so that the command can be copied.
        print(harmless(repeated(given.typed(), found.record)))
    for name in (SEARCH, MODEL) if out else ():
        tell(say("cli.written", path=Path(out) / name))
