"""What the members of a path show, as arrays: a path reads thousands, and one at a time costs more than solving them.

Members are in the order of the population: P points, then K folds, then S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from wellfit.engines.base import CURVES, Member
from wellfit.records import Array, History, TrainingData

if TYPE_CHECKING:
    from wellfit.engines.convex import ConvexEngine


class Readings(Protocol):
    """What M members show."""

    @property
    def longest(self) -> int:
        """How many checkpoints the member had that had most."""

    @property
    def diverged(self) -> Array:
        """Which members diverged, (M,)."""

    @property
    def norms(self) -> Array:
        """The norms of the layers' weights, (M, layers)."""

    @property
    def zeros(self) -> Array:
        """The share of the weights that are 0, (M,)."""

    @property
    def used(self) -> Array:
        """How many columns have a weight that is not 0, (M,)."""

    @property
    def units(self) -> Array:
        """The shares of hidden units that are on, off and saturated, (M, 3)."""

    def predictions(self, fold: int) -> Sequence[Sequence[Array]]:
        """Return what the members of a fold say of its score rows, (n, k): by points, then by seeds."""

    def seen(self, fold: int) -> Sequence[Sequence[Array]]:
        """Return the same of its training rows, as `wellfit.records.History` keeps it."""

    def curves(self, name: str) -> Array:
        """Return a curve up to the last checkpoint that any member has, (M, longest)."""

    def kept(self, name: str) -> Array:
        """Return a curve's values at the epochs whose weights are kept, (M,)."""


class Stacked:
    """The readings of M histories side by side, a member that stopped earlier carrying its last value forward."""

    def __init__(self, histories: Sequence[History], folds: int = 1, seeds: int = 1) -> None:
        self.histories, self.folds, self.seeds = histories, folds, seeds
        self._made: dict[str, Array] = {}
        self.lengths = np.array([len(h.checkpoints) for h in histories])
        self.longest = int(self.lengths.max())
        best = np.array([h.best_epoch for h in histories])
        ends = self._side_by_side([h.checkpoints for h in histories])
        past = np.arange(self.longest) < self.lengths[:, None]
        self.at = ((ends <= best[:, None]) & past).sum(axis=1) - 1

    def _side_by_side(self, curves: Sequence[Array]) -> Array:
        """Return (M, longest) values."""
        together = np.concatenate(curves)
        if (self.lengths == self.longest).all():
            return together.reshape(-1, self.longest)
        starts = np.cumsum(self.lengths) - self.lengths
        return together[starts[:, None] + np.minimum(np.arange(self.longest), self.lengths[:, None] - 1)]

    def curves(self, name: str) -> Array:
        """Return a curve up to the last checkpoint that any member has, (M, longest)."""
        if name not in self._made:
            self._made[name] = self._side_by_side([h.curves[name] for h in self.histories])
        return self._made[name]

    def kept(self, name: str) -> Array:
        """Return a curve's values at the epochs whose weights are kept, (M,): `wellfit.select.reading.kept_value`."""
        return self.curves(name)[np.arange(len(self.at)), self.at]

    def predictions(self, fold: int) -> Sequence[Sequence[Array]]:
        """Return what the members of a fold say of its score rows, (n, k): by points, then by seeds."""
        return [[h.predictions for h in members] for members in self._of(fold)]

    def seen(self, fold: int) -> Sequence[Sequence[Array]]:
        """Return the same of its training rows, as `wellfit.records.History` keeps it."""
        return [[h.seen for h in members] for members in self._of(fold)]

    def _of(self, fold: int) -> list[Sequence[History]]:
        starts = range(fold * self.seeds, len(self.histories), self.folds * self.seeds)
        return [self.histories[i : i + self.seeds] for i in starts]

    @property
    def diverged(self) -> Array:
        """Which members diverged, (M,)."""
        return np.array([h.status == "diverged" for h in self.histories])

    @property
    def norms(self) -> Array:
        """The norms of the layers' weights, (M, layers)."""
        return np.array([h.weight_norms for h in self.histories])

    @property
    def zeros(self) -> Array:
        """The share of the weights that are 0, (M,)."""
        return np.array([h.zero_weights / h.weights for h in self.histories])

    @property
    def used(self) -> Array:
        """How many columns have a weight that is not 0, (M,)."""
        return np.array([h.inputs_used for h in self.histories])

    @property
    def units(self) -> Array:
        """The shares of hidden units that are on, off and saturated, (M, 3)."""
        return np.array([h.units for h in self.histories])


class Solved:
    """The readings of exact solutions that never were histories: at P points, from one member a fold."""

    longest = 2  # before it is solved and after

    def __init__(
        self,
        engine: ConvexEngine,
        members: Sequence[Member],
        penalties: Sequence[tuple[float, float]],
        data: TrainingData,
    ) -> None:
        """``penalties`` are those of the points: P pairs (l1, l2)."""
        self.engine, self.members, self.data = engine, members, data
        self.folds = [engine.shown(member, penalties, data) for member in members]
        self.count = len(members) * len(penalties)

    def _members(self, values: Sequence[Array]) -> Array:
        """Return (M, ...) values from those of each fold, (P, ...)."""
        together = np.stack(values, axis=1)
        return together.reshape(-1, *together.shape[2:])

    @cached_property
    def _curves(self) -> Array:
        return self._members([fold.curves for fold in self.folds])

    def curves(self, name: str) -> Array:
        """Return a curve, (M, 2)."""
        return self._curves[:, CURVES.index(name)]

    def kept(self, name: str) -> Array:
        """Return a curve's values of the solutions, (M,)."""
        return self.curves(name)[:, -1]

    def predictions(self, fold: int) -> Sequence[Sequence[Array]]:
        """Return what the solutions of a fold say of its score rows, (n, k): by points, one seed each."""
        said = self.engine.predictions(self.members[fold], self.folds[fold].parameters, self.data)
        return [[one] for one in said]

    def seen(self, fold: int) -> Sequence[Sequence[Array]]:
        """Return the same of its training rows."""
        said = self.engine.predictions(self.members[fold], self.folds[fold].parameters, self.data, seen=True)
        return [[one] for one in said]

    @property
    def diverged(self) -> Array:
        """Solutions do not diverge, (M,)."""
        return np.zeros(self.count, dtype=bool)

    @property
    def norms(self) -> Array:
        """The norms of the weights, (M, 1)."""
        return self._members([fold.norms[:, None] for fold in self.folds])

    @property
    def zeros(self) -> Array:
        """The share of the weights that are 0, (M,)."""
        return self._members([fold.zeros / fold.weights for fold in self.folds])

    @property
    def used(self) -> Array:
        """How many columns have a weight that is not 0, (M,)."""
        return self._members([fold.used for fold in self.folds])

    @property
    def units(self) -> Array:
        """Linear models have no hidden units, (M, 3)."""
        return np.full((self.count, 3), np.nan)
