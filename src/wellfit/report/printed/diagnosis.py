"""A diagnosis as text: the verdict, the evidence for it, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wellfit.messages import say

if TYPE_CHECKING:
    from wellfit.records import Diagnosis


def diagnosis(found: Diagnosis) -> Iterator[str]:
    """Give the verdict, the evidence line by line, and the next steps with their costs."""
    if found.network:
        names = ("data", "task", "network", "cocktail", "training", "folds", "seeds")
        yield say("diagnose.title", **{name: getattr(found, name) for name in names})
        yield ""
    # A sentence on curves of one's own begins with the verdict.
    word = say(f"diagnose.word_{found.verdict.replace(' ', '_').replace('-', '_')}")
    yield say("diagnose.verdict", verdict=word, sentence=found.sentence) if found.network else found.sentence
    yield ""
    yield say("diagnose.evidence")
    for line in found.evidence:
        yield say("diagnose.line", text=line.text)
    if found.next_steps:
        yield ""
        yield say("diagnose.steps")
    for i, step in enumerate(found.next_steps):
        if step.cost:
            yield say("diagnose.step_line", number=i + 1, text=step.text, cost=step.cost)
        else:
            yield say("diagnose.step_free", number=i + 1, text=step.text)
