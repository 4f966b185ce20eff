"""What a rule has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wellfit.messages import join, say

SHOWN = 4  # places named in the text


@dataclass(frozen=True)
class Advice:
    """One finding: the rule's name, where (parameters or layers by name), what is wrong, and how to mend it.

    >>> print(Advice("missing_eval", ("model",), "Wrong.", "Mend it."))
    missing_eval (model): Wrong. Mend it.
    """

    rule: str
    place: tuple[str, ...]
    text: str
    mend: str

    def __str__(self) -> str:
        """Return it as one paragraph."""
        return say("toolbox.advice", rule=self.rule, place=listed(self.place), text=self.text, mend=self.mend)


def listed(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    if len(names) <= SHOWN:
        return join(names)
    return say("toolbox.and_more", names=join(names[:SHOWN]), count=len(names) - SHOWN)
