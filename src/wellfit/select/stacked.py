"""The curves of many histories as arrays: a path reads thousands, and one at a time costs more than solving them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wellfit.records import Array, History


class Stacked:
    """The curves of M histories side by side, a member that stopped earlier carrying its last value forward."""

    def __init__(self, histories: Sequence[History]) -> None:
        self.histories = histories
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
