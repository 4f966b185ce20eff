"""What to tell about members whose weights became infinite, and which learning rate would not have done that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Engine, Member
from wellfit.executors import Executor
from wellfit.messages import join, say
from wellfit.population.train import train
from wellfit.records import Finding, History, TrainingData

# What a learning rate that diverges is divided by. Fine steps first: most rates are too high by little.
DIVISORS = (3.0, 10.0, 30.0, 100.0, 1e3, 1e4, 1e5, 1e6)


def diverged_findings(
    members: Sequence[Member],
    histories: Sequence[History],
    data: TrainingData | None = None,
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
) -> tuple[Finding, ...]:
    """Return one finding (kind ``diverged``) where all members diverged, else one for each cocktail that has some.

    Each names the largest learning rate that does not diverge, as far as it is known: from the members beside it, or,
    where all diverged and ``data`` is given, from a few more trainings (see `largest_safe_rate`).
    """
    lost = [m for m, h in zip(members, histories, strict=True) if h.status == "diverged"]
    if not lost:
        return ()
    if len(lost) == len(members):
        advice = advise(lost, data, engine=engine, executor=executor)
        text = say("population.all_diverged", members=len(members), rates=_rates(lost), advice=advice)
        return (Finding("diverged", text, count=len(lost)),)
    found = []
    for cocktail in dict.fromkeys(m.cocktail for m in lost):
        mine = [m for m in lost if m.cocktail == cocktail]
        ended = [h.epochs for m, h in zip(members, histories, strict=True) if m.cocktail == cocktail and m in mine]
        beside = [m for m in members if m.cocktail == cocktail]
        text = say(
            "population.some_diverged",
            diverged=len(mine),
            members=len(beside),
            cocktail=cocktail,
            rates=_rates(mine),
            epoch=min(ended),
        )
        bad = {m.training.learning_rate for m in mine}
        held = [m.training.learning_rate for m in beside if m.training.learning_rate < min(bad)]
        if held:
            text = join([text, say("population.rate_held", rate=f"{max(held):g}")], "sentences")
        found.append(Finding("diverged", text, count=len(mine)))
    return tuple(found)


def advise(
    lost: Sequence[Member],
    data: TrainingData | None,
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
) -> str:
    """Return what to do about diverged members, as the end of a sentence: the largest learning rate that holds.

    It is looked for with the first of the members with the fewest ingredients; without ``data`` a tenth is advised.
    """
    if data is None:
        return say("population.try_tenth")
    member = min(lost, key=lambda m: (len(m.cocktail.ingredients), m.training.learning_rate))
    rate = largest_safe_rate(member, data, engine=engine, executor=executor)
    if rate is None:
        return say("population.no_safe_rate", rate=f"{_lower_rates(member)[-1]:g}")
    return say("population.safe_rate", rate=f"{rate:g}")


def largest_safe_rate(
    member: Member, data: TrainingData, *, engine: Engine | None = None, executor: Executor | None = None
) -> float | None:
    """Return the largest learning rate below a diverged member's at which its network does not diverge, or None.

    One population: the member's network, fold, seed and training with no cocktail, at its rate divided by 3, 10, 30,
    100, 1e3, ... 1e6. A training whose loss ends above where it began counts as diverging too: it was only too short to
    become infinite. Rates above one that diverges are not taken.
    Raises what `wellfit.population.train` raises.
    """
    tries = [
        replace(member, cocktail=Cocktail(), training=replace(member.training, learning_rate=rate))
        for rate in _lower_rates(member)
    ]
    safe = None
    # From the lowest rate upwards, up to the first that does not hold.
    histories = train(tries, data, engine=engine, executor=executor)
    for tried, history in zip(reversed(tries), reversed(histories), strict=True):
        if not _holds(history):
            break
        safe = tried.training.learning_rate
    return safe


def _holds(history: History) -> bool:
    loss = history.curves["train_loss"]
    return history.status != "diverged" and bool(loss[-1] <= loss[0])


def _lower_rates(member: Member) -> list[float]:
    """Return the rates to try, the highest first, rounded to two digits so that they can be typed."""
    return [float(f"{member.training.learning_rate / divisor:.1e}") for divisor in DIVISORS]


def _rates(members: Sequence[Member]) -> str:
    return join(f"{rate:g}" for rate in sorted({m.training.learning_rate for m in members}))
