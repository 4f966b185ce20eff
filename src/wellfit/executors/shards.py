"""How a population is cut into shards: long enough that sending them costs little, short enough that none is late."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wellfit.engines.base import Engine, Member, State, groups
from wellfit.executors.base import epoch_work
from wellfit.records import TrainingData

LEAST_SECONDS, MOST_SECONDS = 0.25, 60.0  # of a shard
SLICE_SECONDS = 2.0  # a longer member is handed over after about so long, and goes on anywhere
OVERHEAD = 0.02  # share of a worker's time that may pass between two shards
DRIVER = 0.5  # share of the driver's time that shards may take
LAST, LAST_SECONDS = 2, 0.05  # shards a worker should still get of what is left: the later, the smaller, down to this
SLOWER, FASTER = 0.7, 8.0  # how fast the speed follows one shard, down and up: the first may have compiled


@dataclass
class Piece:
    """Members that stay together, by index; most pieces are one. ``crashes`` counts the workers lost with it."""

    members: tuple[int, ...]
    crashes: int = 0


@dataclass(frozen=True)
class Shard:
    """Pieces to train in one go; ``until[k]`` are the epochs of piece k's members.

    Where it is a trial, of one member for one epoch, the worker goes on to epoch ``further`` if that is soon done.
    """

    pieces: tuple[Piece, ...]
    until: tuple[tuple[int, ...], ...]
    further: int | None = None

    @property
    def members(self) -> list[int]:
        """All members, by index, in order."""
        return [i for piece in self.pieces for i in piece.members]


class Pace:
    """How long a shard should be, from what the shards before it took. All times in seconds.

    >>> pace = Pace()
    >>> pace.shard_done(cost=100.0, seconds=0.5, gap=0.004)
    >>> pace.driver_spent(0.001)
    >>> round(pace.speed), pace.seconds(workers=2), pace.seconds(workers=1000)
    (200, 0.25, 2.0)
    """

    def __init__(self) -> None:
        self.speed = 0.0  # cost a second on one worker; 0 while nothing is known
        self.gap = 0.0
        self.driver = 0.0

    def shard_done(self, cost: float, seconds: float, gap: float | None) -> None:
        """Learn from a shard of this ``cost``; ``gap`` is how long its worker had waited for it."""
        seen = cost / max(seconds, 1e-9)
        self.speed = min(max(seen, SLOWER * self.speed), FASTER * self.speed) if self.speed else seen
        if gap is not None:
            # A worker also waits where there is nothing to do: one long wait must not count much.
            gap = min(gap, 0.01 + 2 * self.gap)
            self.gap += 0.1 * (gap - self.gap) if self.gap else gap

    def driver_spent(self, seconds: float) -> None:
        """Learn what one shard costs the driver: sending it and taking its answer."""
        self.driver += 0.1 * (seconds - self.driver) if self.driver else seconds

    def seconds(self, workers: int) -> float:
        """Return how long a shard should be."""
        wanted = max(LEAST_SECONDS, self.gap / OVERHEAD, workers * self.driver / DRIVER)
        return min(wanted, MOST_SECONDS)


class Shards:
    """The work of one run: what waits, and how far each member is. Costs are multiplications, about."""

    def __init__(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        states: Sequence[State | None] | None,
        until: Sequence[int] | None,
    ) -> None:
        self.members, self.data, self.pace = members, data, Pace()
        self.slice_limit = MOST_SECONDS
        ends = [m.training.epochs for m in members]
        self.ends = ends if until is None else [min(u, e) for u, e in zip(until, ends, strict=True)]
        given = [None] * len(members) if states is None else list(states)
        begun = [0 if state is None else state.epoch for state in given]
        self.at = [min(epoch, end) for epoch, end in zip(begun, self.ends, strict=True)]
        an_epoch = epoch_work(members, data)
        self.epoch_steps = [steps for steps, _ in an_epoch]
        self.epoch_cost = [float(steps * cost) for steps, cost in an_epoch]
        over = {
            i
            for i, state in enumerate(given)
            if state is not None and (state.status != "running" or self.at[i] >= self.ends[i])
        }
        # In the members' order: the worker's engine puts them into its own again.
        pieces = [Piece(tuple(sorted(group))) for group in groups(engine, members, data)]
        # A piece whose members are all at their ends is done; of a group that goes on, all go along.
        self.done = [i for piece in pieces if over.issuperset(piece.members) for i in piece.members]
        rest = [piece for piece in pieces if not over.issuperset(piece.members)]
        self.waiting = deque(sorted(rest, key=lambda piece: -self.cost(piece)))
        self.left = sum(map(self.cost, rest))

    def cost(self, piece: Piece) -> float:
        """Return what the rest of a piece costs."""
        return sum((self.ends[i] - self.at[i]) * self.epoch_cost[i] for i in piece.members)

    def take(self, workers: int) -> Shard | None:
        """Return the next shard, None where nothing waits. While the speed is not known it is one epoch of a member."""
        if not self.waiting:
            return None
        speed, seconds = self.pace.speed, self.pace.seconds(workers)
        # Near the end shards become smaller, so that no worker is left with much while others have nothing.
        room = min(speed * seconds, max(self.left / (LAST * workers), speed * LAST_SECONDS))
        pieces: list[Piece] = []
        until: list[tuple[int, ...]] = []
        cost, known = 0.0, speed > 0
        while self.waiting and (not pieces or (known and cost + self.cost(self.waiting[0]) <= room)):
            piece = self.waiting.popleft()
            self.left -= self.cost(piece)
            ends, worth = self._reach(piece, speed * min(max(seconds, SLICE_SECONDS), self.slice_limit))
            pieces.append(piece)
            until.append(ends)
            cost += worth
        trial = not known and len(pieces[0].members) == 1
        return Shard(tuple(pieces), tuple(until), self.ends[pieces[0].members[0]] if trial else None)

    def _reach(self, piece: Piece, room: float) -> tuple[tuple[int, ...], float]:
        """Return how far to train a piece, and what that costs: all the way, unless it is one that takes long."""
        whole = self.cost(piece)
        if len(piece.members) > 1 or whole <= 1.5 * room:
            return tuple(self.ends[i] for i in piece.members), whole
        (index,) = piece.members
        epochs = max(1, int(room / max(self.epoch_cost[index], 1e-9)))
        end = min(self.at[index] + epochs, self.ends[index])
        return (end,), (end - self.at[index]) * self.epoch_cost[index]

    def give_back(self, piece: Piece) -> None:
        """Let a piece wait again: one that goes on, or one whose worker was lost. It is among the longest, so first."""
        self.left += self.cost(piece)
        self.waiting.appendleft(piece)
