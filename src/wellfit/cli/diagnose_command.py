"""The command diagnose: the verdict on one network, the evidence for it, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wellfit.cli import options as given
from wellfit.cli.language import option
from wellfit.cli.places import placed
from wellfit.cli.program import Command, Problem
from wellfit.cli.screen import answer
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
        raise Problem("diagnose.no_source" if data is None else "diagnose.both_sources")
    found = _read(asked["history"]) if data is None else _trained(data, asked)
    if asked["as_json"]:
        from wellfit.select.diagnose_output import diagnosis_text

        print(diagnosis_text(found), end="")
    else:
        print_diagnosis(found)


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


def print_diagnosis(found: Diagnosis) -> None:
    """Print the verdict, the evidence line by line, and the next steps with their costs."""
    if found.network:
        names = ("data", "task", "network", "cocktail", "training", "folds", "seeds")
        answer(say("diagnose.title", **{name: getattr(found, name) for name in names}))
        print()
    # A sentence on curves of one's own begins with the verdict.
    word = say(f"diagnose.word_{found.verdict.replace(' ', '_').replace('-', '_')}")
    answer(say("diagnose.verdict", verdict=word, sentence=found.sentence) if found.network else found.sentence)
    print()
    answer(say("diagnose.evidence"))
    for line in found.evidence:
        answer(say("diagnose.line", text=line.text))
    if found.next_steps:
        print()
        answer(say("diagnose.steps"))
    for i, step in enumerate(found.next_steps):
        if step.cost:
            answer(say("diagnose.step_line", number=i + 1, text=step.text, cost=step.cost))
        else:
            answer(say("diagnose.step_free", number=i + 1, text=step.text))
