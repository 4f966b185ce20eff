"""One share of a population, for clusters whose machines do not talk: which members are in it follows from their keys.

A share trains its members into a ledger of its own; ledgers are joined afterwards (`wellfit merge`), and the same
question asked with the joined ledger finds everything trained.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Engine, Member, State
from wellfit.errors import SettingError, WellfitError
from wellfit.executors import Executor
from wellfit.executors.base import Keep, Progress
from wellfit.ledger import member_key
from wellfit.records import TrainingData


class Incomplete(WellfitError):
    """A share has trained its members; the rest of the population, which other shares train, is not here."""


@dataclass(frozen=True)
class Shard:
    """Share ``index`` of ``count``, the first is 1.

    >>> str(Shard.parse("2/8"))
    '2/8'
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the share that a text like ``2/8`` names. Raises `SettingError`."""
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SettingError("shares.bad_shard", value=text)
        return cls(int(found[1]), int(found[2]))

    def holds(self, key: str) -> bool:
        """Whether a result is this share's: a function of its key, 64 hex digits, so that shares need not talk."""
        return int(key, 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


class Share:
    """An executor that trains this share's members of each population, and then says that the others are not here.

    A population is divided where its members are known before anything is trained. Along a path these are the ones
    among whose cocktails is the ``reference``, the base of the path; what is tried on the way to them (where the path
    ends), or is one training for all points, is trained whole by every share: what comes next depends on it. Without a
    reference every population is divided.

    ``own`` and ``others`` count the members of divided populations that were not in the ledger.
    """

    def __init__(self, executor: Executor, shard: Shard, reference: Cocktail | None = None) -> None:
        self.executor, self.shard = executor, shard
        self.reference = reference
        self.own = self.others = 0

    @property
    def keep_seconds(self) -> float:
        """As the executor's."""
        return self.executor.keep_seconds

    @keep_seconds.setter
    def keep_seconds(self, seconds: float) -> None:
        self.executor.keep_seconds = seconds

    def run(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        *,
        states: Sequence[State | None] | None = None,
        until: Sequence[int] | None = None,
        progress: Progress | None = None,
        keep: Keep | None = None,
    ) -> Generator[tuple[int, State], None, None]:
        """Yield this share's members as they end, and raise `Incomplete` where there are others."""
        if until is not None or not self._divides(members):
            yield from self.executor.run(
                engine, members, data, states=states, until=until, progress=progress, keep=keep
            )
            return
        mine = [i for i, member in enumerate(members) if self.shard.holds(member_key(engine, data, member))]
        self.own += len(mine)
        self.others += len(members) - len(mine)
        ended = self.executor.run(
            engine,
            [members[i] for i in mine],
            data,
            states=None if states is None else [states[i] for i in mine],
            progress=progress,
            keep=None if keep is None else lambda index, state: keep(mine[index], state),
        )
        yield from _renamed(ended, mine)
        if len(mine) < len(members):
            raise Incomplete("shares.incomplete", shard=self.shard, own=self.own, others=self.others)

    def _divides(self, members: Sequence[Member]) -> bool:
        return self.reference is None or any(member.cocktail == self.reference for member in members)


def _renamed(
    ended: Generator[tuple[int, State], None, None], names: Sequence[int]
) -> Generator[tuple[int, State], None, None]:
    """Yield what ends under other indices. What is thrown in here goes on to the inner run, and its rest comes out."""
    try:
        for index, state in ended:
            yield names[index], state
    except KeyboardInterrupt as stop:
        try:
            index, state = ended.throw(stop)
            while True:
                yield names[index], state
                index, state = next(ended)
        except StopIteration:
            raise stop from None
    finally:
        ended.close()
