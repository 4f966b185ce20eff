"""Least squares with fewer columns than rows: two moments of the rows say all, for every penalty."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellfit.engines.convex.kernels import NARROW, from_moments, minimize_along, squared_losses
from wellfit.engines.convex.quadratic import minimize
from wellfit.records import Array

FEW = 300  # columns up to which it pays to write their products down
# The optimality conditions hold to this share of the gradient at the null model.
TOLERANCE = 1e-9
ROUNDS = 50
# Up to this condition number of H its solution without a penalty is as good as that of the columns themselves.
ROUND = 1e5
# A mean whose square is this share of the mean square is rounding: the columns are centred already.
NOTHING = 1e-20
# Below this share of the target's spread a loss made of moments is mostly rounding: it is measured on the rows.
CANCELLED = 1e-4


def rounding(x: Array | Rows) -> float:
    """Return the share of the largest singular value of x up to which one may be nothing but rounding."""
    return max(x.shape) * float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a matrix (N, d), by default all: a set of rows, copied only while they are looked at."""

    matrix: Array
    chosen: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (n, d)."""
        return len(self.matrix) if self.chosen is None else len(self.chosen), self.matrix.shape[1]

    def taken(self) -> Array:
        """Return the rows, (n, d)."""
        return self.matrix if self.chosen is None else self.matrix.take(self.chosen, 0)


class NormalEquations:
    """The normal equations H w = s of columns x (n, d) and target y (n,), their means taken out; weights sum to 1.

    The mean squared error of weights w, with the bias that is best for them, is ``spread - s'w + w'Hw / 2``.
    """

    def __init__(self, rows: Rows, y: Array, weights: Array, *, alike: bool = False) -> None:
        """``alike`` says that all weights are."""
        self.rows, self.y, self.weights = rows, y, weights
        x = rows.taken()
        self.means, self.mean = weights @ x, float(weights @ y)
        target, unit = y - self.mean, 2 * float(weights[0])
        if not alike:
            roots, unit = np.sqrt(2 * weights), 1.0
            columns, target = (x - self.means) * roots[:, None], target * roots
            products = columns.T @ columns
        else:
            columns, products = x, x.T @ x
            if (self.means**2 > NOTHING * products.diagonal() / len(x)).any():
                columns = x - self.means
                products = columns.T @ columns
        self.hessian, self.slope = products * unit, columns.T @ target * unit
        self._sizes: dict[bytes, Array] = {}
        self.spread = float(target @ target) * unit / 2

    def sizes(self, chosen: Array) -> Array:
        """Return the eigenvalues of H on the chosen columns, (m,): many points of a path have the same."""
        key = chosen.tobytes()
        if key not in self._sizes:
            self._sizes[key] = np.linalg.eigvalsh(self.hessian[np.ix_(chosen, chosen)]).clip(0)
        return self._sizes[key]

    @cached_property
    def unpenalized(self) -> Array | None:
        """The shortest weights (d,) that minimize the squared error, or None where products of columns say too little.

        Each eigenvalue of H must be clear of rounding, or that of a direction along which the columns are nothing else.
        """
        sizes, vectors = np.linalg.eigh(self.hessian)
        clear = sizes * ROUND > sizes[-1]
        if not clear.all():
            roots = np.sqrt(2 * self.weights)[:, None]
            rest = np.linalg.norm((self.rows.taken() - self.means) @ vectors[:, ~clear] * roots, axis=0)
            if (rest > rounding(self.rows) * max(sizes[-1], 0.0) ** 0.5).any():
                return None
        some, found = vectors[:, clear], np.zeros(len(sizes))
        for _ in range(2):  # the second time refines
            found = found + some @ (some.T @ (self.slope - self.hessian @ found) / sizes[clear])
        return found

    def minima(self, strengths: Array, start: Array | None = None) -> tuple[Array, Array]:
        """Return the weights (P, d) and biases (P,) that are best for P pairs (l1, l2); the first begins at ``start``.

        Without any penalty `unpenalized` must be known.
        Each does not depend on the others but for rounding, and up to `NARROW` columns not even by that, unless
        columns are collinear.
        """
        found = np.zeros((len(strengths), len(self.slope)))
        if self.slope.any():
            if start is not None:
                found[0] = start
            exact = np.zeros(len(strengths), dtype=bool)
            if len(self.slope) <= NARROW:
                minimize_along(self.hessian, self.slope, strengths, found, exact)
            free = ~strengths.any(axis=1)
            if free.any():
                found[free] = self.unpenalized
            # Of many minima without a lasso penalty coordinate descent finds any; `minimize` the shortest.
            for p in np.flatnonzero(~free & ((~exact & (strengths[:, 0] == 0)) | self._broken(found, strengths))):
                found[p] = self._minimum(strengths[p], found[p - 1] if p else found[p])
        return found, self.mean - self._from_moments(found)[:, 0]

    def _broken(self, found: Array, strengths: Array) -> Array:
        """Return which rows of weights break their optimality conditions, (P,)."""
        gradient = found @ self.hessian + strengths[:, 1:] * found - self.slope
        lasso = strengths[:, :1]
        size = np.where(found == 0, np.abs(gradient) - lasso, np.abs(gradient + lasso * np.sign(found)))
        return size.max(axis=1) > TOLERANCE * np.abs(self.slope).max()

    def _minimum(self, pair: Array, weights: Array) -> Array:
        l1, l2 = pair
        curved, strengths = self.hessian + l2 * np.eye(len(self.slope)), np.full(len(self.slope), l1)
        for _ in range(ROUNDS):  # once is enough, but for columns that are nearly alike
            weights = minimize(curved, self.slope, strengths, weights)
            if not self._broken(weights[None], pair[None])[0]:
                break
        return weights

    def losses(self, weights: Array, biases: Array) -> Array:
        """Return the mean squared errors, (P,), of P minima: weights (P, d) and biases (P,)."""
        found = self._from_moments(weights)[:, 1].copy()
        small = np.flatnonzero(found <= CANCELLED * self.spread)
        if small.size:
            exact = np.empty(small.size)
            columns = np.ascontiguousarray(self.rows.taken().T)
            squared_losses(columns, self.y, self.weights, weights[small], biases[small], exact)
            found[small] = exact
        return found

    def _from_moments(self, weights: Array) -> Array:
        # Compiled, and each on its own, so that no sum is taken in another order where there are more of them.
        found = np.empty((len(weights), 2))
        from_moments(self.hessian, self.slope, self.means, self.spread, weights, found)
        return found
