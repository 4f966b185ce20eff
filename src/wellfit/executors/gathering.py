"""What one run over shards has and lacks: shards are taken, answers received, ended members handed over once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from time import perf_counter

from wellfit.engines.base import Engine, Member, State
from wellfit.engines.states import state_from_bytes
from wellfit.errors import WellfitError
from wellfit.executors.base import MemberError
from wellfit.executors.remote import Answer, Order, Recipe, begun
from wellfit.executors.shards import LEAST_SECONDS, Pace, Shard, Shards
from wellfit.messages import say
from wellfit.records import TrainingData


class Gathering:
    """The members of a run: which wait, which ended, and the states that the others have reached."""

    def __init__(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        states: Sequence[State] | None,
        until: Sequence[int] | None,
    ) -> None:
        self.engine, self.members, self.data = engine, members, data
        self.shards = Shards(engine, members, data, states, until)
        self.starts = list(self.shards.at)
        spans = zip(self.starts, self.shards.ends, self.shards.epoch_steps, strict=True)
        self.total = sum((end - start) * steps for start, end, steps in spans)
        self.steps = 0
        self.states = begun(states, len(members))
        self.open = set(range(len(members)))
        self.ended: dict[int, State] = {}
        self.failure: WellfitError | None = None
        self.cause: BaseException | None = None
        self.taking = 0.0  # seconds that the last answer took here
        for index in self.shards.done:
            self._end(index, states[index])  # type: ignore[index]  # only given states are at their ends

    @property
    def pace(self) -> Pace:
        """How long shards should be."""
        return self.shards.pace

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done; what ended may still have to be delivered."""
        return self.failure is not None or not self.open

    def take(self, workers: int) -> Shard | None:
        """Return the next shard, None where nothing waits now."""
        return self.shards.take(workers)

    def order(self, shard: Shard, recipe: Recipe, data: str, run: str) -> Order:
        """Return what a worker needs to train a shard."""
        ends = tuple(end for piece in shard.until for end in piece)
        members = tuple(self.members[i] for i in shard.members)
        states = tuple(self.states[i] for i in shard.members)
        return Order(data, run, recipe, members, states, ends, shard.further, LEAST_SECONDS)

    def receive(self, shard: Shard, answer: Answer) -> None:
        """Take an answer in; members that were received before are not received again."""
        began, members = perf_counter(), shard.members
        cost = 0.0
        for place, sent in answer.ended:
            cost += self._reached(members[place], state_from_bytes(sent), sent)
        if answer.failure is None:
            self._go_on(shard)
            self.pace.shard_done(cost, answer.seconds, answer.gap)
        else:
            told = answer.failure
            self.stop(
                MemberError("executors.member_failed", member=told.member, kind=told.kind, error=told.error),
                told.cause or RuntimeError(f"{told.kind}: {told.error}"),
            )
        self.taking = perf_counter() - began

    def lost(self, shard: Shard, lives: int, error: BaseException) -> None:
        """Let the pieces of a shard whose worker was lost wait again, each for itself: one may be the reason."""
        for piece in shard.pieces:
            piece.crashes += 1
            if piece.crashes >= lives:
                first = self.members[piece.members[0]]
                reason = say("executors.crashed", times=piece.crashes)
                self.stop(MemberError("executors.member_failed", member=first, kind=type(error).__name__, error=reason))
            self.shards.give_back(piece)

    def stop(self, failure: WellfitError, cause: BaseException | None = None) -> None:
        """End the run with this failure, unless there is one already."""
        if self.failure is None:
            self.failure, self.cause = failure, cause

    def deliver(self) -> Generator[tuple[int, State], None, None]:
        """Yield what has ended and was not yet given.

        An interrupt may come between any two calls. Nothing is called between forgetting an item and handing it over,
        so that none is lost.
        """
        while self.ended:
            index = next(iter(self.ended))
            state = self.ended[index]
            del self.ended[index]
            yield index, state

    def _reached(self, index: int, state: State, sent: bytes) -> float:
        """Note how far a member came, and return what that cost; ``sent`` is its state as bytes, to go on with."""
        shards = self.shards
        if index not in self.open:
            return 0.0
        cost = (state.epoch - shards.at[index]) * shards.epoch_cost[index]
        if state.status != "running" or state.epoch >= shards.ends[index]:
            self._end(index, state)
            epoch = shards.ends[index]
        else:
            self.states[index], epoch = sent, state.epoch
        self.steps += (epoch - shards.at[index]) * shards.epoch_steps[index]
        shards.at[index] = epoch
        return cost

    def _end(self, index: int, state: State) -> None:
        self.ended[index] = state
        self.open.discard(index)

    def _go_on(self, shard: Shard) -> None:
        """Let the pieces wait again that did not end: long members on their way, or what an interrupt cut short."""
        for piece in shard.pieces:
            if not self.open.isdisjoint(piece.members):
                piece.crashes = 0
                self.shards.give_back(piece)
