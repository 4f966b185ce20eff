"""The command path: one ingredient from none to the end of its range, as a table and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wellfit.cli import options as given
from wellfit.cli.interrupt import kept
from wellfit.cli.language import option
from wellfit.cli.places import placed, tell_share
from wellfit.cli.program import Command, Problem, Stopped
from wellfit.cli.screen import screen_width, show, tell
from wellfit.messages import join, say

ALONG = (
    option("--over", metavar="INGREDIENT", type=given.Turned(), help=say("cli.opt_over")),
    option("--points", metavar="N", type=given.Whole(3), help=say("cli.opt_points")),
    option("--warm", is_flag=True, help=say("cli.opt_warm")),
    option("--cocktail", metavar="TEXT", help=say("cli.opt_base")),
)


_HELP = join([say("cli.path"), say("path.help_linear")], "paragraphs")


@click.command(cls=Command, help=_HELP, short_help=say("cli.path_short"))
@click.argument("data")
@given.options(given.DATA, ALONG, given.TRAINING, given.STUDY, given.OUTPUT, given.QUICK)
@given.options(given.PLACE, given.SHARE)
def path(data: str, **asked: Any) -> None:
    """Turn one ingredient up, and print what happens."""
    from wellfit.cli.progress import Watch
    from wellfit.job import Incomplete
    from wellfit.job.path_job import path_into, written
    from wellfit.select.path_output import path_text

    if asked["over"] is None:
        raise Problem("cli.missing", what="--over", command="wellfit path")
    out = asked["out"]
    with Watch() as watch, placed(asked) as executor:
        try:
            found = path_into(
                data,
                asked["over"],
                **given.load_options(asked),
                points=asked["points"],
                warm=asked["warm"],
                cocktail=asked["cocktail"],
                metric=asked["metric"],
                network=asked["network"],
                training=given.training_changes(asked),
                folds=asked["folds"],
                seeds=asked["seeds"],
                seed=asked["seed"],
                quick=asked["quick"],
                threads=asked["threads"],
                executor=executor,
                shard=asked["shard"],
                out=out,
                progress=watch.progress,
                notice=watch.notice,
                arguments=given.typed(),
            )
        except KeyboardInterrupt as error:
            raise Stopped(kept(out)) from error
        except Incomplete as share:
            tell_share(share, data, out)
            return
    if asked["as_json"]:
        print(path_text(found), end="")
    else:
        from wellfit.report.printed.path import path as path_blocks

        show(path_blocks(found, screen_width()))
    for name in written(found) if out else ():
        tell(say("cli.written", path=Path(out) / name))
