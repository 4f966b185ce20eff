"""What one run over shards has and lacks: shards are taken, answers received, ended members handed over once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from time import perf_counter

from wellfit.engines.base import Engine, Member, State
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.errors import WellfitError
from wellfit.executors.base import Keep, MemberError
from wellfit.executors.remote import Answer, Order, Recipe
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
        states: Sequence[State | None] | None,
        until: Sequence[int] | None,
    ) -> None:
        self.engine, self.members, self.data = engine, members, data
        self.shards = Shards(engine, members, data, states, until)
        self.starts = list(self.shards.at)
        spans = zip(self.starts, self.shards.ends, self.shards.epoch_steps, strict=True)
        self.total = sum((end - start) * steps for start, end, steps in spans)
        self.steps = 0
        self.states: list[State | bytes | None] = [None] * len(members) if states is None else list(states)
        self.open = set(range(len(members)))
        self.ended: dict[int, State] = {}
        self.under_way: dict[int, State] = {}  # what was reached and is not kept yet
        self.passing: dict[int, State] = {}  # what is to be kept
        self.unkept = [0.0] * len(members)  # seconds of training since a member was kept
        self.keep_seconds: float | None = None
        self.failure: WellfitError | None = None
        self.cause: BaseException | None = None
        self.lost: list[tuple[int, WellfitError, BaseException | None]] = []
        self.taking = 0.0  # seconds that the last answer took here
        for index in self.shards.done:
            self._end(index, states[index])  # type: ignore[index, arg-type]  # only given states are at their ends

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
        states = tuple(
            state_to_bytes(s) if isinstance(s, State) else s for s in map(self.states.__getitem__, shard.members)
        )
        soon = min(LEAST_SECONDS, self.shards.slice_limit)
        return Order(data, run, recipe, members, states, ends, shard.further, soon)

    def keep_within(self, seconds: float | None) -> None:
        """Have long members handed back at least so often, None for as it comes."""
        self.keep_seconds = seconds
        if seconds is not None:
            self.shards.slice_limit = min(seconds, self.shards.slice_limit)

    def keep_states(self, keep: Keep | None, *, all_under_way: bool = False) -> None:
        """Hand over the states that are due, or of all members under way."""
        if keep is None:
            return
        if all_under_way:
            self.passing |= self.under_way
        while self.passing:
            index, state = self.passing.popitem()
            self.under_way.pop(index, None)
            keep(index, state)

    def receive(self, shard: Shard, answer: Answer) -> None:
        """Take an answer in; members that were received before are not received again."""
        began, members = perf_counter(), shard.members
        cost = sum(self._reached(members[place], state_from_bytes(sent), sent) for place, sent in answer.reached)
        for index in members:
            self._pass_time(index, answer.seconds / len(members))
        told = answer.failure
        if told is None:
            self._go_on(shard)
            self.pace.shard_done(cost, answer.seconds, answer.gap)
        elif told.kind == "MemoryError":
            # What a shard has not trained is what its worker's memory did not suffice for.
            for index in [i for i in members if i in self.open]:
                self._lose(index, told.cause or MemoryError(told.error))
        else:
            failure = MemberError("executors.member_failed", member=told.member, kind=told.kind, error=told.error)
            self.stop(failure, told.cause or RuntimeError(f"{told.kind}: {told.error}"))
        self.taking = perf_counter() - began

    def crashed(self, shard: Shard, lives: int, error: BaseException) -> None:
        """Let the pieces of a shard whose worker was lost wait again, each for itself: one may be the reason."""
        for piece in shard.pieces:
            piece.crashes += 1
            if piece.crashes < lives:
                self.shards.give_back(piece)
                continue
            for index in piece.members:
                self._lose(index, error, say("executors.crashed", times=piece.crashes))

    def _lose(self, index: int, error: BaseException, reason: str | None = None) -> None:
        """Give a member up; the others are trained to their ends before that is raised."""
        member = self.members[index]
        if reason is None:
            counts = {"lost": 1, "members": len(self.members)}
            failure = MemberError("executors.member_memory", member=member, **counts)
        else:
            failure = MemberError("executors.member_failed", member=member, kind=type(error).__name__, error=reason)
        self.lost.append((index, failure, error))
        self.open.discard(index)

    def raise_failure(self) -> None:
        """Raise what ended the run, or named the first member that was given up."""
        if self.failure is not None:
            raise self.failure from self.cause
        if self.lost:
            _, failure, cause = self.lost[0]
            if failure.key == "executors.member_memory":
                failure = MemberError(failure.key, **{**failure.values, "lost": len(self.lost)})
            raise failure from cause

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
            self.under_way[index] = state
        self.steps += (epoch - shards.at[index]) * shards.epoch_steps[index]
        shards.at[index] = epoch
        return cost

    def _end(self, index: int, state: State) -> None:
        self.under_way.pop(index, None)
        self.passing.pop(index, None)
        self.states[index] = None
        self.ended[index] = state
        self.open.discard(index)

    def _pass_time(self, index: int, seconds: float) -> None:
        """Note that a member trained for so long, and that its state is due to be kept if that is long enough."""
        self.unkept[index] += seconds
        # A slice aims at the time between two states; a little less than that must do.
        if index in self.under_way and self.keep_seconds is not None and self.unkept[index] > 0.9 * self.keep_seconds:
            self.unkept[index] = 0.0
            self.passing[index] = self.under_way[index]

    def _go_on(self, shard: Shard) -> None:
        """Let the pieces wait again that did not end: long members on their way, or what an interrupt cut short."""
        for piece in shard.pieces:
            if not self.open.isdisjoint(piece.members):
                piece.crashes = 0
                self.shards.give_back(piece)
