"""The command bias-variance: a network's expected error in parts, as a table and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wellfit.cli import options as given
from wellfit.cli.interrupt import kept
from wellfit.cli.language import option
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Stopped
from wellfit.cli.screen import screen_width, show, tell
from wellfit.messages import say

MEASURED = (
    option("--over", metavar="INGREDIENT", type=given.Turned(), help=say("bias_variance.opt_over")),
    option("--points", metavar="N", type=given.Whole(3), help=say("bias_variance.opt_points")),
    option("--cocktail", metavar="TEXT", help=say("bias_variance.opt_cocktail")),
    option("--resamples", metavar="N", type=given.Whole(2), default=50, help=say("bias_variance.opt_resamples")),
    option("--seeds", metavar="N", type=given.Whole(), default=4, help=say("bias_variance.opt_seeds")),
)


@click.command("bias-variance", cls=Command, help=say("bias_variance.help"), short_help=say("bias_variance.help_short"))
@click.argument("data")
@given.options(given.DATA, MEASURED, given.TRAINING, given.REPEAT, given.OUTPUT, given.QUICK, given.PLACE)
def bias_variance(data: str, **asked: Any) -> None:
    """Measure bias and variance, and print the parts."""
    from wellfit.cli.progress import Watch
    from wellfit.job.bias_variance_job import FILES, bias_variance_into
    from wellfit.select.bias_variance_output import bias_variance_text

    out = asked["out"]
    with Watch() as watch, placed(asked) as executor:
        try:
            found = bias_variance_into(
                data,
                **given.load_options(asked),
                **{name: asked[name] for name in ("over", "points", "cocktail", "network", "resamples", "seeds")},
                **{name: asked[name] for name in ("seed", "quick", "threads")},
                training=given.training_changes(asked),
                executor=executor,
                out=out,
                progress=watch.progress,
                notice=watch.notice,
                arguments=given.typed(),
            )
        except KeyboardInterrupt as error:
            raise Stopped(kept(out)) from error
    if asked["as_json"]:
        print(bias_variance_text(found), end="")
    else:
        from wellfit.report.printed.bias_variance import bias_variance as bias_variance_blocks

        show(bias_variance_blocks(found, screen_width()))
    for name in FILES if out else ():
        tell(say("cli.written", path=Path(out) / name))
