"""An engine that remembers: one training gives the network at many of its epochs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wellfit.engines.base import Engine, Member, State, history
from wellfit.engines.choice import by_steps
from wellfit.executors import Executor
from wellfit.executors.base import Progress, member_steps
from wellfit.ledger import LedgerLike, member_key
from wellfit.population import check, recalled
from wellfit.records import History, TrainingData


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


@dataclass(frozen=True, eq=False)
class Moments:
    """What members were at some point of a training that is not theirs alone, and the ledger that keeps it."""

    engine: Engine
    data: TrainingData
    ledger: LedgerLike | None

    def recalled(self, member: Member, names: Sequence[str]) -> list[History] | None:
        """Return what the ledger holds of a member under all these names, or None where one is not there."""
        if self.ledger is None:
            return None
        found = [recalled(self.ledger, self._key(member, name), member, self.data) for name in names]
        return None if None in found else [h for h in found if h is not None]

    def record(self, member: Member, state: State, name: str) -> History:
        """Return the history of a member in a state, and keep it under a name."""
        with np.errstate(all="ignore"):  # a diverged member's predictions overflow: its status says so
            found = history(member, state, self.data)
        if self.ledger is not None:
            self.ledger.put(self._key(member, name), found)
        return found

    def _key(self, member: Member, name: str) -> str:
        return hashlib.sha256(f"{member_key(self.engine, self.data, member)}\n{name}".encode()).hexdigest()


def snapshots(
    members: Sequence[Member],
    data: TrainingData,
    epochs: Sequence[int],
    *,
    engine: Engine,
    executor: Executor,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
) -> list[list[History]]:
    """Return the members' histories at each of the epochs, which ascend, (epochs, members): one training of each.

    What ``ledger`` holds of all epochs of a member is not trained again. ``progress(done, total)`` counts the steps
    of these members. Raises `UnsupportedError` before any work where one cannot be trained.
    """
    engine = by_steps(engine)
    check(members, data, engine)
    moments, names = Moments(engine, data, ledger), [f"at epoch {epoch}" for epoch in epochs]
    kept = {m: moments.recalled(m, names) for m in members}
    waiting = [m for m in members if kept[m] is None]
    steps = {m: member_steps(m, data, epochs[-1]) for m in members}
    total, done = sum(steps.values()), sum(s for m, s in steps.items() if kept[m] is not None)
    if progress is not None:
        progress(done, total)
    report = None if progress is None else lambda more, _: progress(done + more, total)
    watched, until = Watched(engine, epochs), [epochs[-1]] * len(waiting)
    for i, last in executor.run(watched, waiting, data, until=until, progress=report) if waiting else ():
        taken = watched.taken(waiting[i], last)
        kept[waiting[i]] = [moments.record(waiting[i], taken[e], n) for e, n in zip(epochs, names, strict=True)]
    return [[found[i] for found in map(kept.__getitem__, members) if found] for i in range(len(epochs))]
