"""Train a population: what the ledger holds is not trained again, what ends is recorded at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wellfit.engines.base import Engine, Member, State, history
from wellfit.engines.choice import default_engine
from wellfit.executors import Executor, Threads, member_steps
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike, member_key
from wellfit.population.plan import check
from wellfit.records import History, TrainingData


def train(
    members: Sequence[Member],
    data: TrainingData,
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
) -> list[History]:
    """Return one history per member, in the members' order.

    By default the compiled engine trains on all cores. Members found in ``ledger`` are not trained again; each other
    one is recorded as soon as it ends. On ``KeyboardInterrupt`` all that has ended is recorded before it is raised
    again, so the same call continues where it stopped. ``progress(done, total)`` counts member-steps, recorded ones
    included. A diverged member is a history like any other: its ``status`` says so.
    Raises `UnsupportedError` before any work where a member cannot be trained, and what the executor and the ledger
    raise.
    """
    if engine is None:
        engine = default_engine()
    check(members, data, engine)
    gathered = _Gathering(members, data, engine, ledger)
    total = sum(member_steps(member, data) for member in gathered.unique)
    done = total - sum(member_steps(member, data) for member in gathered.waiting)
    if progress is not None:
        progress(done, total)
    if gathered.waiting:
        report = None if progress is None else lambda now, _: progress(done + now, total)
        gathered.run(Threads() if executor is None else executor, report)
    return [gathered.histories[member] for member in members]


class _Gathering:
    """Histories by member, as they come in. Equal members are one training."""

    def __init__(
        self, members: Sequence[Member], data: TrainingData, engine: Engine, ledger: LedgerLike | None
    ) -> None:
        self.data, self.engine, self.ledger = data, engine, ledger
        self.unique = list(dict.fromkeys(members))
        self.keys = {} if ledger is None else {m: member_key(engine, data, m) for m in self.unique}
        self.histories: dict[Member, History] = {}
        if ledger is not None:
            found = {m: ledger.get(self.keys[m]) for m in self.unique}
            self.histories = {m: h for m, h in found.items() if h is not None}
        self.waiting = [m for m in self.unique if m not in self.histories]

    def run(self, executor: Executor, progress: Progress | None) -> None:
        """Train what waits."""
        ended = executor.run(self.engine, self.waiting, self.data, progress=progress)
        item: tuple[int, State] | None = None
        try:
            for item in ended:
                self.record(item)
        except KeyboardInterrupt as stop:
            # The interrupt came either inside the executor, which has then handed over all that had ended, or here:
            # then the item in hand is recorded (again), and the executor is told and hands over the rest.
            if item is not None:
                self.record(item)
            item = ended.throw(stop)
            while True:
                self.record(item)
                item = next(ended)

    def record(self, item: tuple[int, State]) -> None:
        """Keep one result, and write it down."""
        index, state = item
        member = self.waiting[index]
        # A diverged member's weights overflow on the way to its predictions: that is its result, not a warning.
        with np.errstate(all="ignore"):
            result = history(member, state, self.data)
        self.histories[member] = result
        if self.ledger is not None:
            self.ledger.put(self.keys[member], result)
