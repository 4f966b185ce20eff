"""What to tell about members whose weights became infinite."""

from __future__ import annotations

from collections.abc import Sequence

from wellfit.engines.base import Member
from wellfit.messages import say
from wellfit.records import Finding, History


def diverged_findings(members: Sequence[Member], histories: Sequence[History]) -> tuple[Finding, ...]:
    """Return one finding (kind ``diverged``) where all members diverged, else one for each cocktail that has some."""
    lost = [m for m, h in zip(members, histories, strict=True) if h.status == "diverged"]
    if not lost:
        return ()
    if len(lost) == len(members):
        text = say("population.all_diverged", members=len(members), rates=_rates(lost))
        return (Finding("diverged", text, count=len(lost)),)
    found = []
    for cocktail in dict.fromkeys(m.cocktail for m in lost):
        mine = [m for m in lost if m.cocktail == cocktail]
        text = say(
            "population.some_diverged",
            diverged=len(mine),
            members=sum(m.cocktail == cocktail for m in members),
            cocktail=cocktail,
            rates=_rates(mine),
        )
        found.append(Finding("diverged", text, count=len(mine)))
    return tuple(found)


def _rates(members: Sequence[Member]) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted({m.training.learning_rate for m in members}))
