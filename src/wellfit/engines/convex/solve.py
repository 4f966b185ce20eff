"""Linear problems and their exact solutions: what the engine calls, and what anyone may call with plain arrays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from wellfit.engines.blas import one_blas_thread
from wellfit.engines.convex.losses import Logistic, Loss, Softmax, Squares
from wellfit.engines.convex.newton import Newton
from wellfit.engines.convex.normal import FEW, NormalEquations, Rows, rounding
from wellfit.records import Array, Task

# The ridge penalty in place of none where without one no solution exists.
FLOOR = 1e-6
MOST_FREE = 3000
CLEAR = 1e-8  # share of the largest squared singular value down to which the smallest is clear of rounding
FLAT = 1e-7  # curvature along a direction of unit spread, below which it counts as none
LOSSES: dict[str, Callable[[Array, Array, Array], Loss]] = {
    "binary": Logistic,
    "multiclass": Softmax,
    "regression": Squares,
}


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights (k, d) and bias (k,) in the way of `MLP`'s flat vector, and whether the problem asked has a solution.

    Where ``exists`` is False weights would grow without bound (the classes are separable, or some direction separates
    a part of them, and nothing is penalized): these are the weights at l2 = 1e-6.
    """

    weights: Array
    bias: Array
    exists: bool = True

    @property
    def parameters(self) -> Array:
        """The flat vector, (k d + k,)."""
        return np.concatenate([self.weights.ravel(), self.bias])


@dataclass(frozen=True, eq=False)
class Solutions:
    """P solutions side by side: weights (P, k, d), biases (P, k), and which exist, (P,): see `Solution`."""

    weights: Array
    biases: Array
    exists: Array

    @property
    def flat(self) -> Array:
        """The weights as (P, k d); P may be 0."""
        count, k, d = self.weights.shape
        return self.weights.reshape(count, k * d)

    @property
    def parameters(self) -> Array:
        """The flat vectors, (P, k d + k)."""
        return np.concatenate([self.flat, self.biases], axis=1)


@dataclass(frozen=True, eq=False)
class Problem:
    """A linear model to be fitted: x (n, d), y (n, k) as in `wellfit.records.FoldData`, weights (n,) or None.

    ``x`` may also be some rows of a larger matrix, which are then copied only where they are looked at.

    The objective is that of ``docs/objective.md``: mean loss + l1 sum|w| + l2/2 sum w^2, biases without a penalty.
    """

    task: Task
    x: Array | Rows
    y: Array
    weights: Array | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def solve(self, l1: float = 0.0, l2: float = 0.0, start: Solution | None = None) -> Solution:
        """Return the solution. ``start`` is one of a similar penalty, to begin from.

        Without a lasso penalty, and with more columns than rows, several classes or no penalty at all, the problem is
        turned to the singular vectors of x first (the solution lies in their span): columns are then uncorrelated, and
        of many solutions this is the shortest.
        """
        if self.by_normal(l1, l2):
            begin = None if start is None else start.weights[0]
            return Solution(*self.normal.minima(np.array([[l1, l2]]), begin))
        with self._lock:
            wide = self.x.shape[1] > self.x.shape[0] or self.task == "multiclass"
            if not l1 and (not l2 or wide):
                return self._turned(l2, start)
            found = self._newton.minimum(l1, l2, None if start is None else self._centred(start))
            weights = found.parameters[:, :-1]
        return self._solution(weights, found.parameters[:, -1] - weights @ self._centre, found.exists)

    def along(self, strengths: Sequence[tuple[float, float]], start: Solution | None = None) -> Solutions:
        """Return the solutions for P pairs (l1, l2), each begun at the one before: the strongest had better come first.

        No solution depends on the others by more than rounding.
        """
        count, k = len(strengths), self.y.shape[1]
        found = Solutions(np.empty((count, k, self.x.shape[1])), np.empty((count, k)), np.ones(count, dtype=bool))
        # The normal equations answer for every penalty alike, but perhaps not for none: each is asked about once.
        penalized = [l1 > 0 or l2 > 0 for l1, l2 in strengths]
        answered = {some: self.by_normal(float(some), 0.0) for some in set(penalized)}
        at_once = [p for p, some in enumerate(penalized) if answered[some]]
        if at_once:
            begin = None if start is None else start.weights[0]
            weights, biases = self.normal.minima(np.array([strengths[p] for p in at_once]), begin)
            found.weights[at_once, 0], found.biases[at_once, 0] = weights, biases
        for p in sorted(set(range(count)).difference(at_once)):
            start = self.solve(*strengths[p], start)
            found.weights[p], found.biases[p], found.exists[p] = start.weights, start.bias, start.exists
        return found

    def by_normal(self, l1: float, l2: float) -> bool:
        """Whether the solution comes from the normal equations: least squares, few columns, and not singular."""
        few = self.task == "regression" and self.x.shape[1] < min(FEW, len(self.y))
        return few and (l1 > 0 or l2 > 0 or self.normal.unpenalized is not None)

    @cached_property
    def rows(self) -> Rows:
        """The rows x."""
        return self.x if isinstance(self.x, Rows) else Rows(self.x)

    @cached_property
    def normal(self) -> NormalEquations:
        """The normal equations of least squares."""
        with one_blas_thread():  # whoever asks first
            return NormalEquations(self.rows, self.y[:, 0].copy(), self._shares, alike=self.weights is None)

    def strongest(self) -> float:
        """Return the smallest l1 at which every weight is 0, whatever l2: the largest slope of the null model."""
        if self.by_normal(1.0, 0.0):
            return float(np.abs(self.normal.slope).max(initial=0.0))
        with self._lock:
            return float(np.abs(self._null_slopes()).max(initial=0.0))

    def flattening(self, share: float) -> float:
        """Return about the l2 at which predictions spread by ``share``, of a target of unit spread or as chances.

        There weights are small: to first order the null model's slopes over l2.
        """
        with self._lock:
            null = self._loss.null()
            z = self._shares @ (self._loss.x @ null.T)
            outputs = (self.rows.taken() - self._centre) @ self._null_slopes().T
        spread = np.sqrt(self._shares @ outputs**2)
        if self.task == "regression":
            bends = np.ones(1)
        else:
            chances = 1 / (1 + np.exp(-z)) if self.task == "binary" else np.exp(z) / np.exp(z).sum()
            bends = chances * (1 - chances)
        return float((spread * bends).max() / share)

    def _null_slopes(self) -> Array:
        null = self._loss.null()
        _, slopes = self._loss.look(self._loss.x @ null.T)
        return slopes.T @ self._loss.x[:, :-1]

    def freedom(self, solution: Solution, l2: float) -> float:
        """Return the effective number of parameters of a solution, biases not counted.

        The trace of (H + l2)^-1 H over the weights that are not 0, with H the loss's second derivatives there, biases
        fitted: for least squares with a lasso the count of these weights, for ridge the trace of the hat matrix (Zou,
        Hastie & Tibshirani 2007; Hastie, Tibshirani & Friedman 2009, 3.4.1). NaN for more than `MOST_FREE` weights of
        several classes.
        """
        if self.by_normal(1.0, l2):
            used = np.flatnonzero(solution.weights[0])
            return _trace(self.normal.sizes(used), l2) if used.size else 0.0
        parameters = self._centred(solution)
        free = parameters != 0
        free[:, -1] = False
        chosen = np.flatnonzero(free)
        if not chosen.size:
            return 0.0
        with self._lock:
            loss = self._loss
            if loss.outputs > 1 and chosen.size > MOST_FREE:
                return float("nan")
            z = loss.x @ parameters.T
            if loss.outputs == 1 and chosen.size > len(loss.x):
                return _freedom_of_rows(loss, z, chosen, l2)
            biases = np.arange(1, loss.outputs + 1) * loss.x.shape[1] - 1
            curves = loss.curvature(z, np.concatenate([chosen, biases]))
        m = chosen.size
        across = curves[:m, m:]
        inner = curves[:m, :m] - across @ np.linalg.pinv(curves[m:, m:], hermitian=True) @ across.T
        sizes = np.linalg.eigvalsh(inner).clip(0)
        return _trace(sizes, l2)

    def _turned(self, l2: float, start: Solution | None = None) -> Solution:
        # Without a penalty the scale of the directions is free: the unit one makes the problem round.
        scores, back = self._directions
        stretch = np.ones(len(back)) if l2 else 1 / np.linalg.norm(scores, axis=0).clip(1e-300) * len(scores) ** 0.5
        begin = None
        if start is not None and l2:
            begin = self._centred(start)
            begin = np.column_stack([begin[:, :-1] @ back.T, begin[:, -1]])
        loss = self._make(scores * stretch) if not l2 else self._scores
        found = Newton(loss).minimum(0.0, l2, begin)
        if not l2 and not (found.exists and _is_curved(loss, found.parameters)):
            return Solution(**{**vars(self._turned(FLOOR)), "exists": False})
        weights = (found.parameters[:, :-1] * stretch) @ back
        return self._solution(weights, found.parameters[:, -1] - weights @ self._centre, found.exists or bool(l2))

    def _centred(self, solution: Solution) -> Array:
        """Return the parameters of a solution, (k, d + 1), for columns with mean 0."""
        return np.column_stack([solution.weights, solution.bias + solution.weights @ self._centre])

    def _solution(self, weights: Array, bias: Array, exists: bool) -> Solution:
        """Return the solution; of biases that may be shifted all alike, those with mean 0."""
        return Solution(weights, bias - bias.mean() if len(bias) > 1 else bias, exists)

    @cached_property
    def _shares(self) -> Array:
        if self.weights is None:
            return np.full(len(self.y), 1 / len(self.y))
        return self.weights / self.weights.sum()

    @cached_property
    def _centre(self) -> Array:
        return self._shares @ self.rows.taken()

    @cached_property
    def _newton(self) -> Newton:
        return Newton(self._loss)

    @cached_property
    def _loss(self) -> Loss:
        # The bias takes up where columns lie: far from 0 their products would be all alike.
        return self._make(self.rows.taken() - self._centre)

    def _make(self, x: Array) -> Loss:
        """Return the loss over columns x with one of ones behind them, in column order."""
        return LOSSES[self.task](np.asfortranarray(np.column_stack([x, np.ones(len(x))])), self.y, self._shares)

    @cached_property
    def _scores(self) -> Loss:
        return self._make(self._directions[0])

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        """Return the scores (n, r) of the rows along the r right singular vectors (r, d) that are not null."""
        centred = self.rows.taken() - self._centre
        return _by_products(centred) or _by_singular_values(centred)


def _by_products(x: Array) -> tuple[Array, Array] | None:
    """Return `Problem._directions` from the products of columns, at a tenth of the cost; None where rounding matters.

    Squared singular values must be clear of rounding, or belong to directions along which x is nothing else.
    """
    if len(x) <= x.shape[1]:
        return None
    sizes, vectors = np.linalg.eigh(x.T @ x)
    clear = sizes > CLEAR * sizes[-1]
    scores = x @ vectors
    rest = np.linalg.norm(scores[:, ~clear], axis=0)
    if (rest > rounding(x) * max(sizes[-1], 0.0) ** 0.5).any():
        return None
    return scores[:, clear], vectors[:, clear].T


def _by_singular_values(x: Array) -> tuple[Array, Array]:
    from scipy.linalg import svd

    left, sizes, right = svd(x, full_matrices=False, check_finite=False, lapack_driver="gesvd")
    kept = sizes > rounding(x) * sizes.max(initial=0.0)
    return left[:, kept] * sizes[kept], right[kept]


def _is_curved(loss: Loss, parameters: Array) -> bool:
    """Whether the loss rises in every direction from here: where weights grow for ever it is flat in some."""
    if isinstance(loss, Squares):
        return True
    curves = loss.curvature(loss.x @ parameters.T, np.arange(parameters.size))
    columns = np.tile(np.arange(parameters.shape[1]), loss.outputs)
    if loss.outputs > 1:  # a shift of all classes alike is free
        curves = curves + (columns[:, None] == columns) / loss.outputs
    return bool(np.linalg.eigvalsh(curves)[0] > FLAT)


def _freedom_of_rows(loss: Loss, z: Array, chosen: Array, l2: float) -> float:
    """Return `Problem.freedom` where there are fewer rows than weights: by the rows' own products."""
    root = np.sqrt(loss.bends(z))
    some = loss.x[:, chosen]
    centred = (some - (root**2 @ some) / (root**2).sum()) * root[:, None]
    return _trace(np.linalg.eigvalsh(centred @ centred.T).clip(0), l2)


def _trace(sizes: Array, l2: float) -> float:
    kept = sizes[sizes > len(sizes) * np.finfo(float).eps * sizes.max(initial=0.0)]
    return float((kept / (kept + l2)).sum())


def solve(
    x: Array, y: Array, task: Task = "regression", *, l1: float = 0.0, l2: float = 0.0, weights: Array | None = None
) -> Solution:
    """Return the linear model of plain arrays that minimizes mean loss + l1 sum|w| + l2/2 sum w^2, exactly.

    ``x`` is (n, d); ``y`` is (n,): values, or labels 0 and 1 (``binary``), or codes 0 to k - 1 (``multiclass``).
    Nothing is scaled or centred. The mean squared error has no factor 1/2: see `wellfit.cocktail.dialects` for what
    other libraries call the same strength. ``weights`` (n,) say how much a row counts. Raises `DataError` for NaN,
    infinity, labels or shapes that do not fit, `SettingError` for an unknown task or a negative strength.

    >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> found = solve(x, np.array([1.0, 3.0, 5.0, 7.0]))
    >>> found.weights.round(12), found.bias.round(12)
    (array([[2.]]), array([1.]))
    >>> solve(x, np.array([1.0, 3.0, 5.0, 7.0]), l1=10.0).weights
    array([[0.]])
    """
    from wellfit.errors import DataError, SettingError

    if task not in LOSSES:
        raise SettingError("convex.unknown_task", task=task, known=", ".join(LOSSES))
    if not (0 <= l1 < np.inf and 0 <= l2 < np.inf):
        raise SettingError("convex.bad_strength", first=l1, second=l2)
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or not len(x):
        raise DataError("convex.wrong_shapes", x=x.shape, y=y.shape)
    if not np.isfinite(x).all() or not np.isfinite(np.asarray(y, dtype=np.float64)).all():
        raise DataError("convex.not_finite")
    if task != "regression":
        most = 1 if task == "binary" else len(y) - 1
        wrong = np.flatnonzero((y != np.round(y)) | (y < 0) | (y > most))
        if wrong.size:
            raise DataError("convex.bad_label", row=wrong[0], label=y[wrong[0]], most=most)
    counts = None if weights is None else np.asarray(weights, dtype=np.float64)
    if counts is not None and (counts.shape != y.shape or not (counts >= 0).all() or not 0 < counts.sum() < np.inf):
        raise DataError("convex.bad_weights", rows=len(y), given=counts.shape)
    target = np.eye(int(y.max()) + 1)[y.astype(int)] if task == "multiclass" else y.astype(np.float64)[:, None]
    return Problem(task, x, target, counts).solve(l1, l2)
