"""The command bias-variance: a network's expected error in parts, as a table and what it says."""

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
    from wellfit import records

MEASURED = (
    option("--over", metavar="INGREDIENT", help=say("bias_variance.opt_over")),
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
        print_bias_variance(found)
    for name in FILES if out else ():
        tell(say("cli.written", path=Path(out) / name))


def print_bias_variance(found: records.BiasVariance) -> None:
    """Print what was measured, a table for each loss, and the sentences."""
    import shutil

    from rich import box
    from rich.table import Table
    from rich.text import Text

    from wellfit.report.bias_variance_text import columns, loss_name, sentences, title

    screen = console(sys.stdout)
    screen.width = shutil.get_terminal_size(fallback=(120, 24)).columns
    answer(title(found))
    for loss in found.parts:
        told = columns(found, loss)
        # Parts of parts are left to a wider screen: --json and --out have them all.
        while len(told) > 4 and sum(max(map(len, [c.name, *c.cells])) + 2 for c in told) > screen.width:
            told.pop()
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for column in told:
            table.add_column(harmless(column.name), justify="right", overflow="fold")
        for i in range(len(found.strengths)):
            chosen = "bold" if found.over and i == found.best and loss == next(iter(found.parts)) else ""
            table.add_row(*(Text(harmless(c.cells[i]).replace("−", "-"), chosen) for c in told))
        print()
        answer(loss_name(loss))
        screen.print(table)
    print()
    for sentence in sentences(found):
        answer(sentence)
