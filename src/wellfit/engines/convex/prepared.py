"""What the convex engine keeps of a fold, and what it reads off many solutions there at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellfit.engines.base import CURVES
from wellfit.engines.convex.kernels import outputs_of, squared_losses
from wellfit.engines.convex.normal import Rows
from wellfit.engines.convex.solve import Problem, Solutions
from wellfit.records import Array

Part = tuple[Rows, Array, Array | None]  # x, y and weights of some rows


@dataclass(frozen=True, eq=False)
class Shown:
    """What P solutions on one fold show, as arrays: what `wellfit.records.History` says of each.

    ``parameters`` (P, T), ``curves`` (P, len(CURVES), 2) at both of their checkpoints; ``norms`` of weights, how many
    of all ``weights`` are ``zeros``, and how many columns are ``used``, (P,) each.
    """

    parameters: Array
    curves: Array
    norms: Array
    zeros: Array
    weights: int
    used: Array


@dataclass(frozen=True, eq=False)
class Prepared:
    """A fold's problem, and the rows on which curves are measured: of training, stop and score.

    ``seen`` (m, d) are the training rows whose predictions are kept (`wellfit.engines.base.seen_rows`).
    Of P solutions no row of an answer depends on the others, not in its last bit.
    """

    problem: Problem
    parts: tuple[Part, Part, Part]
    seen: Rows

    def outputs(self, weights: Array, biases: Array, *, seen: bool = False) -> Array:
        """Return what P models, weights (P, k, d) and biases (P, k), say of the score rows or those seen, (P, n, k)."""
        if weights.shape[1] == 1:
            columns = self._seen_columns if seen else self._columns[1]
            found = np.empty((len(weights), columns.shape[1], 1))
            flat = np.ascontiguousarray(weights[:, 0]), np.ascontiguousarray(biases[:, 0])
            outputs_of(columns, *flat, found[:, :, 0])
            return found
        x = self._seen_columns.T if seen else self._x[2]
        return np.array([x @ w.T + b for w, b in zip(weights, biases, strict=True)])

    def figures(self, solutions: Solutions, strengths: Sequence[tuple[float, float]]) -> Array:
        """Return the rows of curves, (P, len(CURVES)), of solutions for P pairs (l1, l2)."""
        found = np.full((len(strengths), len(CURVES)), np.nan)
        if self.problem.task == "regression":
            self._measure_squares(solutions, found)
        else:
            for row, w, b in zip(found, solutions.weights, solutions.biases, strict=True):
                parts = zip(self._x, self.parts, strict=True)
                measured = [_measure(self.problem.task, x @ w.T + b, y, own) for x, (_, y, own) in parts]
                row[:3], row[4:] = zip(*measured, strict=True)
        flat, (l1, l2) = solutions.flat, np.array(strengths).reshape(-1, 2).T
        found[:, 3] = l1 * np.abs(flat).sum(axis=1) + l2 / 2 * (flat * flat).sum(axis=1)
        return found

    def _measure_squares(self, solutions: Solutions, found: Array) -> None:
        weights, biases = (np.ascontiguousarray(part[:, 0]) for part in (solutions.weights, solutions.biases))
        problem, columns = self.problem, (None, *self._columns)
        for at, (_, y, given) in enumerate(self.parts):
            if at == 0 and problem.by_normal(1.0, 0.0):
                found[:, 0] = problem.normal.losses(weights, biases)
            elif len(y) and (given is None or given.any()):
                rows = self._train_columns if columns[at] is None else columns[at]
                shares = np.full(len(y), 1 / len(y)) if given is None else given / given.sum()
                squared_losses(rows, y[:, 0].copy(), shares, weights, biases, losses := np.empty(len(weights)))
                found[:, at] = losses

    @cached_property
    def _seen_columns(self) -> Array:
        return np.ascontiguousarray(self.seen.taken().T)

    @property
    def _train_columns(self) -> Array:
        return np.ascontiguousarray(self.parts[0][0].taken().T)

    @cached_property
    def _columns(self) -> tuple[Array, Array]:
        """The columns (d, n) of the rows of stop and of score."""
        _, (stop, *_), (score, *_) = self.parts
        return np.ascontiguousarray(stop.taken().T), np.ascontiguousarray(score.taken().T)

    @cached_property
    def _x(self) -> tuple[Array, Array, Array]:
        """The rows (n, d) of each part."""
        train, stop, score = (rows.taken() for rows, *_ in self.parts)
        return train, stop, score


def _measure(task: str, z: Array, y: Array, weights: Array | None) -> tuple[float, float]:
    """Return (mean loss, share classified right) of logits z (n, k); NaN without rows, or without a weight."""
    from scipy.special import logsumexp

    if not len(y) or (weights is not None and not weights.any()):
        return np.nan, np.nan
    if task == "binary":
        losses, right = (np.logaddexp(0, z) - y * z)[:, 0], ((z > 0) == (y > 0.5))[:, 0]
    else:
        losses, right = logsumexp(z, axis=1) - (y * z).sum(1), z.argmax(1) == y.argmax(1)
    return float(np.average(losses, weights=weights)), float(np.average(right, weights=weights))
