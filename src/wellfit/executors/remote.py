"""What a worker process does for an executor that sends shards: train one, and say how long it took.

Orders and answers are plain values; states travel as bytes of the safetensors format (see `wellfit.engines.states`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from wellfit import __version__
from wellfit.engines.base import Engine, Member, State
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.errors import SettingError
from wellfit.executors.base import MemberError
from wellfit.executors.threads import Threads
from wellfit.records import Fold, FoldData, TrainingData

KEPT = 2  # data sets and engines that a worker process keeps for the next shard


@dataclass(frozen=True)
class Recipe:
    """How a worker makes an engine: ``make(*given)``. ``name`` and ``version`` are what must come out."""

    make: Callable[..., Engine]
    given: tuple
    name: str
    version: str


@dataclass(frozen=True)
class Order:
    """A shard to train: members, the epochs at which to hand them over, and states as bytes or None to begin.

    ``data`` names the data among those a worker keeps, ``run`` the call that the shard belongs to. Where ``further`` is
    given, the order is a trial: its only member goes on for about ``soon`` seconds, at most to that epoch.
    """

    data: str
    run: str
    recipe: Recipe
    members: tuple[Member, ...]
    states: tuple[bytes | None, ...]
    until: tuple[int, ...]
    further: int | None = None
    soon: float = 0.0
    version: str = __version__


@dataclass(frozen=True)
class Failure:
    """A member that could not be trained: its text, the error's kind and text, and the error where it can travel."""

    member: str
    kind: str
    error: str
    cause: BaseException | None


@dataclass(frozen=True)
class Answer:
    """How far members came: (place in the order, state as bytes); those that did not begin are not in it.

    ``seconds`` is what the order took here; ``gap`` is how long this process had waited for it since the one before,
    None for the first of a run.
    """

    reached: tuple[tuple[int, bytes], ...]
    seconds: float
    gap: float | None
    failure: Failure | None = None


class _Kept(OrderedDict[Any, Any]):
    """The last few things made, by key."""

    def of(self, key: object, make: Callable[[], Any]) -> Any:
        """Return what is kept under ``key``, made now where there is nothing."""
        if key not in self:
            self[key] = make()
        self.move_to_end(key)
        while len(self) > KEPT:
            self.popitem(last=False)
        return self[key]


_data, _engines = _Kept(), _Kept()
_last: tuple[str, float] = ("", 0.0)


def serve(order: Order, fetch: Callable[[], TrainingData]) -> Answer:
    """Train what is ordered, in this process and one thread. ``fetch`` gets the data where it is not kept here.

    An interrupt ends the work early: what has ended by then is in the answer. Raises `SettingError` where this process
    has another version of wellfit or of the engine than whoever ordered.
    """
    global _last
    began = perf_counter()
    gap = began - _last[1] if _last[0] == order.run else None
    if order.version != __version__:
        raise SettingError("executors.other_version", here=order.version, there=__version__)
    work = _Work(order)
    failure = None
    try:
        work.train(_engines.of(order.recipe, lambda: _made(order.recipe)), fetch)
    except KeyboardInterrupt:
        pass
    except MemberError as error:
        failure = _told(error)
    out = tuple((place, state_to_bytes(state)) for place, state in work.reached.items())
    _last = (order.run, perf_counter())
    return Answer(out, _last[1] - began, gap, failure)


class _Work:
    """The members of an order, and how far each has come."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.reached: dict[int, State] = {}

    def train(self, engine: Engine, fetch: Callable[[], TrainingData]) -> None:
        """Train what is ordered; what is reached stays here, whatever ends this."""
        order = self.order
        data: TrainingData = _data.of(order.data, lambda: writable(fetch()))
        states = [None if sent is None else state_from_bytes(sent) for sent in order.states]
        began = perf_counter()
        self._run(engine, data, states, order.until)
        if order.further is None:
            return
        # A trial: how long an epoch takes is known now, and so how far to go on.
        while self.reached[0].status == "running" and (epoch := self.reached[0].epoch) < order.further:
            spent = perf_counter() - began
            more = int((order.soon - spent) * max(epoch, 1) / max(spent, 1e-9))
            if more < 1:
                return
            self._run(engine, data, [self.reached[0]], [min(epoch + more, order.further)])

    def _run(self, engine: Engine, data: TrainingData, states: Sequence[State | None], until: Sequence[int]) -> None:
        threads = Threads(1)
        threads.keep_seconds = math.inf  # only where an interrupt ends it
        keep = self.reached.__setitem__
        for place, state in threads.run(engine, self.order.members, data, states=states, until=until, keep=keep):
            self.reached[place] = state


def _made(recipe: Recipe) -> Engine:
    engine = recipe.make(*recipe.given)
    if (engine.name, engine.version) != (recipe.name, recipe.version):
        here, there = f"{recipe.name} {recipe.version}", f"{engine.name} {engine.version}"
        raise SettingError("executors.other_version", here=here, there=there)
    return engine


def _told(error: MemberError) -> Failure:
    """Return a failure in words that any process can read, with the error itself where it can travel."""
    cause = error.__cause__
    # An error may hold anything: a lock, a file, a class that is known here only.
    args = () if cause is None else cause.args
    plain = type(cause).__module__ == "builtins" and all(isinstance(a, str | int | float) for a in args)
    return Failure(str(error.values["member"]), type(cause).__name__, str(cause), cause if plain else None)


def writable(data: TrainingData) -> TrainingData:
    """Return the data in arrays of this process's own: those from a shared store are read-only, another type to Numba.

    Arrays that folds share are copied once.
    """
    copies: dict[tuple[Any, ...], np.ndarray] = {}

    def own(array: np.ndarray) -> np.ndarray:
        if array.flags.writeable:
            return array
        at = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        return copies.setdefault(at, np.array(array))

    def fold(given: FoldData) -> FoldData:
        rows = Fold(own(given.rows.train), own(given.rows.stop), own(given.rows.score))
        weights, tones = (None if array is None else own(array) for array in (given.weights, given.tones))
        return replace(given, x=own(given.x), y=own(given.y), rows=rows, weights=weights, tones=tones)

    return TrainingData(data.task, data.outputs, tuple(map(fold, data.folds)), data.fingerprint)


def recipe_of(engine: Engine) -> Recipe | None:
    """Return how to make this engine in another process, or None where it belongs to this one.

    An engine says so by Python's own ``__reduce__``; those of this package that are made without settings need not. Any
    other may keep something in its own memory that whoever made it will ask for, so it is not sent.
    """
    kind = type(engine)
    if kind.__reduce__ is not object.__reduce__:
        reduced = engine.__reduce__()
        if isinstance(reduced, tuple) and len(reduced) == 2:
            return Recipe(reduced[0], reduced[1], engine.name, engine.version)
        return None
    own = kind.__module__.startswith("wellfit.engines.") and _takes_nothing(kind)
    return Recipe(kind, (), engine.name, engine.version) if own else None


def _takes_nothing(kind: type) -> bool:
    import inspect

    return not inspect.signature(kind).parameters
