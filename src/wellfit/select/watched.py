"""An engine that remembers: one training gives the network at many of its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wellfit.engines.base import Engine, Member, State
from wellfit.records import TrainingData


class Watched:
    """An engine that keeps each member's state at some epochs on the way; everything else is the ``engine``'s."""

    def __init__(self, engine: Engine, epochs: Sequence[int]) -> None:
        self.engine, self.epochs = engine, epochs
        self.name, self.version = engine.name, engine.version
        self._states: dict[tuple[Member, int], State] = {}

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason why the engine cannot train the member."""
        return self.engine.supports(member, data)

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before training."""
        return self.engine.init(members, data)

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at the epochs ``until``, and keep those passed on the way."""
        now = list(states)
        for epoch in self.epochs:
            now = self.engine.advance(members, now, [min(u, epoch) for u in until], data)
            for member, state in zip(members, now, strict=True):
                if state.epoch == epoch:
                    self._states[member, epoch] = state
        return self.engine.advance(members, now, until, data)

    def taken(self, member: Member, last: State) -> dict[int, State]:
        """Return a member's state at each epoch, and forget them; from where its training broke off, the ``last``."""
        found = {epoch: self._states.pop((member, epoch), last) for epoch in self.epochs}
        if 0 in found:  # some engines measure the untrained network only when they begin to train it
            begun = found[0].curves.copy()
            begun[0] = last.curves[0]
            found[0] = replace(found[0], curves=begun)
        return found
