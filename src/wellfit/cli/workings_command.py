"""The command workings: what happens inside a network along one ingredient, as a table and in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wellfit.cli import options as given
from wellfit.cli.interrupt import kept
from wellfit.cli.language import option
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Problem, Stopped
from wellfit.cli.screen import screen_width, show, tell
from wellfit.messages import say

ALONG = (
    option("--over", metavar="INGREDIENT", type=given.Turned(), help=say("cli.opt_over")),
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

    if (asked["over"] is None) == (asked["model"] is None):
        raise Problem("workings.over_or_model_options")
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
        from wellfit.report.printed.workings import workings as workings_blocks

        show(workings_blocks(found, screen_width()))
    for name in (WORKINGS, PICTURE) if out else ():
        tell(say("cli.written", path=Path(out) / name))
