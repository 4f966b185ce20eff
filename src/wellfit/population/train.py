"""Train a population: what the ledger holds is not trained again, what ends is recorded at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np

from wellfit.engines.base import Engine, Member, State, histories, reads_together
from wellfit.engines.choice import default_engine
from wellfit.executors import Executor, MemberError, Threads
from wellfit.executors.base import Progress, epoch_work
from wellfit.ledger import LedgerLike, member_key
from wellfit.population.plan import check
from wellfit.population.resuming import begun, keeping, recalled
from wellfit.records import History, TrainingData

Take = Callable[[Member, History], None]
TOGETHER = 256  # members that end are read together at most


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
    one is recorded as soon as it ends, and long ones on their way too, every few seconds. On ``KeyboardInterrupt`` all
    that has ended, and how far the others are, is recorded before it is raised again, so the same call continues where
    it stopped. ``progress(done, total)`` counts member-steps, recorded ones included. A diverged member is a history
    like any other: its ``status`` says so.
    Raises `UnsupportedError` before any work where a member cannot be trained, `MemberError` where one fails (after all
    others where the memory did not suffice for it), and what the ledger raises.
    """
    histories: dict[Member, History] = {}
    train_each(members, data, histories.__setitem__, engine=engine, executor=executor, ledger=ledger, progress=progress)
    return [histories[member] for member in members]


def train_each(
    members: Sequence[Member],
    data: TrainingData,
    take: Take,
    *,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
) -> None:
    """Train as `train` does and hand over each history instead of holding them all, for very large populations.

    ``take(member, history)`` is called in the calling thread: as members end, then for each that was recorded before.
    Equal members are one training, and come once (after an interrupt the last one may come again).
    """
    if engine is None:
        engine = default_engine()
    check(members, data, engine)
    gathered = _Gathering(members, data, engine, ledger, take)
    waiting = gathered.recall()
    total, left = _work(gathered.unique, data), _work(waiting, data)
    done = total - left
    if progress is not None:
        progress(done, total)
    place = Threads() if executor is None else executor
    if waiting:
        report = None if progress is None else lambda now, _: progress(done + now, total)
        gathered.run(place, report)
    if gathered.hand_on():  # what was recorded and is of no use
        gathered.run(place, None)


def _work(members: Sequence[Member], data: TrainingData) -> int:
    """Return the steps of members in all."""
    return sum(steps * m.training.epochs for m, (steps, _) in zip(members, epoch_work(members, data), strict=True))


class _Gathering:
    """Histories as they come in, recorded and handed on. Equal members are one training."""

    def __init__(
        self, members: Sequence[Member], data: TrainingData, engine: Engine, ledger: LedgerLike | None, take: Take
    ) -> None:
        self.data, self.engine, self.ledger, self.take = data, engine, ledger, take
        self.unique = list(dict.fromkeys(members))
        self.known: list[tuple[Member, str]] = []
        self.waiting: list[Member] = []
        self.keys: list[str] = []  # of those that wait
        self.ended: list[tuple[int, State]] = []  # and not yet read
        self.lost: list[tuple[Member, MemoryError]] = []

    def recall(self) -> list[Member]:
        """Return what waits to be trained; of what is recorded only the keys are read, so that training begins soon."""
        recorded = set() if self.ledger is None else set(self.ledger.keys())
        for member in self.unique:
            key = "" if self.ledger is None else member_key(self.engine, self.data, member)
            if key in recorded:
                self.known.append((member, key))
            else:
                self.waiting.append(member)
                self.keys.append(key)
        return self.waiting

    def hand_on(self) -> list[Member]:
        """Hand on what was recorded before; return, and let wait, what turns out to fit no member of ours."""
        self.waiting, self.keys = [], []
        for member, key in self.known:
            found = recalled(self.ledger, key, member, self.data)
            if found is None:
                self.waiting.append(member)
                self.keys.append(key)
            else:
                self.take(member, found)
        return self.waiting

    def run(self, executor: Executor, progress: Progress | None) -> None:
        """Train what waits, each from where it is."""
        states = [
            begun(self.ledger, k, m, self.engine, self.data) for k, m in zip(self.keys, self.waiting, strict=True)
        ]
        run = executor.run(
            self.engine,
            self.waiting,
            self.data,
            states=states if any(state is not None for state in states) else None,
            progress=progress,
            keep=keeping(self.ledger, self.keys),
        )
        item: tuple[int, State] | None = None
        with closing(run) as ended:  # a failure in here must leave no worker behind
            try:
                for item in ended:
                    self.record(item)
            except KeyboardInterrupt as stop:
                # The interrupt came either inside the executor, which has then handed over all that had ended, or
                # here: then the item in hand is recorded (again), and the executor is told and hands over the rest.
                if item is not None:
                    self.record(item)
                item = ended.throw(stop)
                while True:
                    self.record(item)
                    item = next(ended)
            finally:
                self.read_on()
        if self.lost:
            member, error = self.lost[0]
            counts = {"lost": len(self.lost), "members": len(self.waiting)}
            raise MemberError("executors.member_memory", member=member, **counts) from error

    def record(self, item: tuple[int, State]) -> None:
        """Take one result: it is written down at once, or read with others where that is faster and no ledger waits."""
        self.ended.append(item)
        waits = self.ledger is None and reads_together(self.engine, self.waiting[item[0]], self.data)
        if not waits or len(self.ended) >= TOGETHER:
            self.read_on()

    def read_on(self) -> None:
        """Read what has ended, write it down, and hand it on."""
        ended, self.ended = self.ended, []
        try:
            found = self.read(ended)
        except MemoryError:  # one at a time says whose it was
            found = [result for item in ended for result in self.read_alone(item)]
        for (index, _), result in found:
            if self.ledger is not None:
                self.ledger.put(self.keys[index], result)
            self.take(self.waiting[index], result)

    def read(self, ended: Sequence[tuple[int, State]]) -> list[tuple[tuple[int, State], History]]:
        """Return the history of each result."""
        members = [self.waiting[index] for index, _ in ended]
        # A diverged member's weights overflow on the way to its predictions: that is its result, not a warning.
        with np.errstate(all="ignore"):
            found = histories(self.engine, members, [state for _, state in ended], self.data)
        return list(zip(ended, found, strict=True))

    def read_alone(self, item: tuple[int, State]) -> list[tuple[tuple[int, State], History]]:
        """Return the history of one result, or none where the memory does not suffice for it."""
        try:
            return self.read([item])
        except MemoryError as error:
            self.lost.append((self.waiting[item[0]], error))
            return []
