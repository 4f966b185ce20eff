"""The command diagnose: the verdict on one network, the evidence for it, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wellfit.cli import options as given
from wellfit.cli.language import option
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Problem
from wellfit.cli.screen import show
from wellfit.messages import say

if TYPE_CHECKING:
    from wellfit.records import Diagnosis

ABOUT = (
    option("--history", metavar="CURVES", help=say("diagnose.opt_history")),
    option("--validation", metavar="FILE", help=say("diagnose.opt_validation")),
    option("--cocktail", metavar="TEXT", help=say("diagnose.opt_cocktail")),
)
SEEDS = (option("--seeds", metavar="N", type=given.Whole(), help=say("diagnose.opt_seeds")),)


@click.command(cls=Command, help=say("diagnose.help"), short_help=say("diagnose.short"))
@click.argument("data", required=False)
@given.options(given.DATA, ABOUT, given.TRAINING, given.FOLDING, SEEDS, given.REPEAT, given.JSON, given.PLACE)
def diagnose(data: str | None, **asked: Any) -> None:
    """Print what ails a network, or what a user's own curves can tell."""
    if (data is None) == (asked["history"] is None):
        raise Problem("diagnose.no_data" if data is None else "diagnose.data_and_history")
    found = _read(asked["history"]) if data is None else _trained(data, asked)
    if asked["as_json"]:
        from wellfit.select.diagnose_output import diagnosis_text

        print(diagnosis_text(found), end="")
    else:
        from wellfit.report.printed.diagnosis import diagnosis

        show(diagnosis(found))


def _read(history: str) -> Diagnosis:
    from wellfit.select.diagnose import diagnose as read

    return read(history=history)


def _trained(data: str, asked: dict[str, Any]) -> Diagnosis:
    from wellfit.cli.progress import Watch
    from wellfit.job.diagnosing import diagnosis_of

    with Watch() as watch, placed(asked) as executor:
        return diagnosis_of(
            data,
            **given.load_options(asked),
            validation=asked["validation"],
            network=asked["network"],
            cocktail=asked["cocktail"],
            training=given.training_changes(asked),
            metric=asked["metric"],
            folds=asked["folds"],
            seeds=asked["seeds"],
            seed=asked["seed"],
            threads=asked["threads"],
            executor=executor,
            progress=watch.progress,
            notice=watch.notice,
        )
