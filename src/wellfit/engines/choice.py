"""Which engine does the work for a member: an exact solver, compiled training, or PyTorch for modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from wellfit.engines.base import Engine, Member, State, advance_within, engine_of, groups
from wellfit.nets import MLP
from wellfit.records import TrainingData

if TYPE_CHECKING:
    from wellfit.engines.convex import ConvexEngine


class Engines:
    """Gives each member to the first of several engines that can train it; itself an engine.

    Each member's results are those of its own engine, to the last bit, and are recorded under that engine's name.
    """

    name, version = "choice", "1"

    def __init__(self, *engines: Engine) -> None:
        self.engines = engines
        self._chosen: WeakKeyDictionary[TrainingData, dict[Member, Engine]] = WeakKeyDictionary()
        self._able: WeakKeyDictionary[TrainingData, set[Member]] = WeakKeyDictionary()  # those that some engine trains

    def __reduce__(self) -> tuple:
        """Travel as the engines to choose from."""
        return Engines, self.engines

    def of(self, member: Member, data: TrainingData) -> Engine:
        """Return the engine that trains the member; where none can, the one that would train its network."""
        return self._of([member], data)[0]

    def _of(self, members: Sequence[Member], data: TrainingData) -> list[Engine]:
        """Return the engine of each member, each looked for once."""
        known, found = self._chosen.setdefault(data, {}), []
        able = self._able.setdefault(data, set())
        for member in members:
            engine = known.get(member)
            if engine is None:
                engine = next((e for e in self.engines if e.supports(member, data) is None), None)
                if engine is None:
                    engine = next(e for e in self.engines if _is_for(e, member))
                else:
                    able.add(member)
                known[member] = engine
            found.append(engine)
        return found

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason of the engine that would train such a network."""
        engine = self.of(member, data)
        return None if member in self._able[data] else engine.supports(member, data)

    def groups(self, members: Sequence[Member], data: TrainingData) -> list[list[int]]:
        """Return the groups of each engine."""
        found = []
        for engine, places in self._shared(members, data):
            own = groups(engine, [members[i] for i in places], data)
            found += [[places[i] for i in group] for group in own]
        return found

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before training. Raises `UnsupportedError` for a misfit, before any work."""
        found: dict[int, State] = {}
        for engine, places in self._shared(members, data):
            found |= zip(places, engine.init([members[i] for i in places], data), strict=True)
        return [found[i] for i in range(len(members))]

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at the absolute epochs ``until``."""
        return self.advance_for(members, states, until, data, math.inf)

    def advance_for(
        self,
        members: Sequence[Member],
        states: Sequence[State],
        until: Sequence[int],
        data: TrainingData,
        seconds: float,
    ) -> list[State]:
        """Return the states at the epochs ``until``, or after about so many seconds: see `advance_within`."""
        found: dict[int, State] = {}
        for engine, places in self._shared(members, data):
            mine, begun, ends = [members[i] for i in places], [states[i] for i in places], [until[i] for i in places]
            found |= zip(places, advance_within(engine, mine, begun, ends, data, seconds), strict=True)
        return [found[i] for i in range(len(members))]

    def _shared(self, members: Sequence[Member], data: TrainingData) -> list[tuple[Engine, list[int]]]:
        """Return each engine with the places of its members."""
        places: dict[int, list[int]] = {}
        engines = self._of(members, data)
        for i, engine in enumerate(engines):
            places.setdefault(id(engine), []).append(i)
        return [(engines[some[0]], some) for some in places.values()]


def _is_for(engine: Engine, member: Member) -> bool:
    """Return whether an engine is the one to ask for a reason: exact solvers say what they lack, not what is wrong."""
    from wellfit.engines.compiled import CompiledEngine
    from wellfit.engines.convex import ConvexEngine

    if isinstance(engine, ConvexEngine):
        return False
    return not isinstance(engine, CompiledEngine) or isinstance(member.network, MLP)


def default_engine() -> Engine:
    """Return the engine of all questions: exact solutions of linear members, compiled training of MLPs, PyTorch's."""
    from wellfit.engines.compiled import CompiledEngine
    from wellfit.engines.convex import ConvexEngine
    from wellfit.engines.torch import TorchEngine

    return Engines(ConvexEngine(), CompiledEngine(), TorchEngine())


def exact_engine(engine: Engine, member: Member, data: TrainingData) -> ConvexEngine | None:
    """Return the engine that solves the member exactly, so that its seed makes no difference; None where none does."""
    from wellfit.engines.convex import ConvexEngine

    found = engine_of(engine, member, data)
    return found if isinstance(found, ConvexEngine) else None


def by_steps(engine: Engine) -> Engine:
    """Return the engine that trains epoch by epoch: an exact solution has nothing on the way to look at."""
    from wellfit.engines.convex import ConvexEngine

    if not isinstance(engine, Engines):
        return engine
    rest = tuple(e for e in engine.engines if not isinstance(e, ConvexEngine))
    return rest[0] if len(rest) == 1 else Engines(*rest)
