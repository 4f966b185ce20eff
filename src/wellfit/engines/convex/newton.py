"""Proximal Newton steps on a working set: the minimum of a convex loss with a lasso and a ridge penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellfit.engines.convex.losses import Loss, Softmax, Squares
from wellfit.engines.convex.quadratic import minimize
from wellfit.records import Array

# The optimality conditions hold to this share of the gradient at the null model.
TOLERANCE = 1e-9
STEPS, ROUNDS = 100, 50
FEW = 300  # so few parameters are never screened
PRODUCTS = 500  # of conjugate gradients in a step
# Second derivatives serve for as long as the way to the minimum seems to take no more than PATIENCE steps with them;
# where they cost less than CHEAP gradients they are always made anew.
PATIENCE, CHEAP = 4.0, 8
# The gradient of a weight that is 0 is taken to grow by at most NEAR times what the penalty has shrunk since the start.
# With 1 that is the sequential strong rule (Tibshirani et al. 2012), rarely wrong. With less fewer parameters are kept,
# and those left out wrongly join later: twice as fast on 62 rows of 2,000 columns.
NEAR = 0.3
# A Newton step at the minimum moves no logit by more than this; where none exists each moves some by about 1.
STILL = 1e-2


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the minimum is, (k, d + 1), and whether there is one: without a penalty weights may grow for ever."""

    parameters: Array
    exists: bool = True


class Newton:
    """Finds minima of loss + l1 sum|w| + l2/2 sum w^2 over weights w and biases, which bear no penalty.

    Newton steps with the penalty kept as it is (Lee, Sun & Saunders 2014), each a quadratic problem solved exactly, on
    the parameters that seem to matter, until no other breaks its condition. The second derivatives at one minimum are
    the first ones for the next, where that begins there.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss, self.null = loss, loss.null()
        steepest = np.abs(loss.look(loss.x @ self.null.T)[1].T @ loss.x).max()
        self.tolerance = TOLERANCE * max(float(steepest), 1e-12)
        self.last: tuple[Array, _Curvature] | None = None  # where the minimum before was, and the bend there

    def minimum(self, l1: float, l2: float, start: Array | None = None) -> Minimum:
        """Return the minimum. ``start`` (k, d + 1) is where to begin, by default at the null model."""
        begin = self.null if start is None else start
        if not l1 and l2 and isinstance(self.loss, Softmax):
            return Minimum(_by_products(self.loss, l2, begin, self.tolerance))
        known = self.last[1] if self.last is not None and np.array_equal(self.last[0], begin) else None
        run = _Run(self.loss, l1, l2, begin, self.tolerance, known)
        if start is None and l1 and begin.size > FEW:
            top = float(np.abs(run.gradient[:, :-1]).max())
            while top > 3 * l1:
                top /= 3
                run.l1 = top
                run.to_the_end()
            run.l1 = l1
        exists = run.to_the_end()
        self.last = None if run.bend is None else (run.parameters, run.bend)
        return Minimum(run.parameters, exists)


@dataclass(frozen=True, eq=False)
class _Curvature:
    """Second derivatives of a loss by some of its parameters, (m,) flat indices: (m, m)."""

    chosen: Array
    curves: Array

    def of(self, chosen: Array) -> Array | None:
        """Return those by fewer of the parameters, None where some are lacking."""
        if np.array_equal(chosen, self.chosen):
            return self.curves
        at = np.searchsorted(self.chosen, chosen)
        if at[-1] >= len(self.chosen) or not np.array_equal(self.chosen[at], chosen):
            return None
        return self.curves[np.ix_(at, at)]


def _gradient(loss: Loss, slopes: Array, parameters: Array, l2: float) -> Array:
    found = slopes.T @ loss.x
    found[:, :-1] += l2 * parameters[:, :-1]
    return found


class _Run:
    """Newton's way from some parameters to the minimum."""

    def __init__(
        self, loss: Loss, l1: float, l2: float, start: Array, tolerance: float, bend: _Curvature | None
    ) -> None:
        self.loss, self.l1, self.l2, self.tolerance = loss, l1, l2, tolerance
        self.parameters = start.copy()
        self.z = loss.x @ start.T
        self.weight = np.ones(start.shape, dtype=bool)  # which parameters are weights, not biases
        self.weight[:, -1] = False
        self.value, slopes = loss.look(self.z)
        self.gradient = _gradient(loss, slopes, start, l2)
        self.set = np.empty(0, dtype=np.int64)
        self.bend = bend  # at a point near by, or None
        self.moved = np.inf  # the largest change of an output in the last step

    def to_the_end(self) -> bool:
        """Go to the minimum; return whether there is one."""
        self._choose(self._screened())
        for _ in range(ROUNDS):
            exists = self._on_set()
            broken = self._broken().ravel() > self.tolerance
            broken[self.set] = False
            if not broken.any():
                return exists
            self._choose(np.union1d(self.set, np.flatnonzero(broken)))
        return exists

    def _screened(self) -> Array:
        """Return the parameters that may well not be 0, flat indices."""
        if self.parameters.size <= FEW or not self.l1:
            return np.arange(self.parameters.size)
        sizes = np.abs(self.gradient[:, :-1])
        keep = (self.parameters != 0) | ~self.weight
        keep[:, :-1] |= sizes > self.l1 - NEAR * (float(sizes.max()) - self.l1)
        return np.flatnonzero(keep)

    def _choose(self, chosen: Array) -> None:
        self.set = chosen

    def _broken(self) -> Array:
        """Return by how much each parameter breaks its optimality condition, (k, d + 1)."""
        slope = np.abs(self.gradient + self.l1 * self.weight * np.sign(self.parameters))
        return np.where((self.parameters == 0) & self.weight, np.maximum(np.abs(self.gradient) - self.l1, 0), slope)

    def _error(self) -> float:
        return float(self._broken().ravel()[self.set].max())

    def _on_set(self) -> bool:
        """Take steps until the conditions hold on the working set; return whether they can."""
        error, exact = self._error(), isinstance(self.loss, Squares)
        for _ in range(STEPS):
            if error <= self.tolerance and (exact or self.moved <= STILL or error == 0):
                return True
            curves = None if self.bend is None else self.bend.of(self.set)
            fresh = curves is None
            if curves is None:
                curves = self.loss.curvature(self.z, self.set)
                self.bend = _Curvature(self.set, curves)
            held = self._step(curves)
            before, error = error, self._error()
            if exact:
                if not held:
                    return True
            elif not held or self._is_slow(before, error):
                if not held and fresh:
                    return error <= np.sqrt(self.tolerance) and self.moved <= STILL  # no step helps any more
                self.bend = None
        return False

    def _is_slow(self, before: float, error: float) -> bool:
        """Return whether new second derivatives would save steps that cost more, from what the last step did."""
        if self.set.size**2 < CHEAP * self.parameters.size or error >= before:
            return True
        return np.log(error / self.tolerance) > PATIENCE * np.log(before / error)

    def _step(self, curves: Array) -> bool:
        """Take one step, halved until it lowers the objective; return whether any did."""
        flat, chosen = self.parameters.ravel(), self.set
        hessian = curves + np.diag(self.l2 * self.weight.ravel()[chosen]) if self.l2 else curves
        here, slope = flat[chosen], self.gradient.ravel()[chosen]
        l1 = self.l1 * self.weight.ravel()[chosen]
        target = minimize(hessian, hessian @ here - slope, l1, here)
        change = np.zeros_like(self.parameters)
        change.ravel()[chosen] = target - here
        used = np.flatnonzero(change.any(axis=0))
        if not used.size:
            return False
        outputs = (
            self.loss.x[:, used] @ change[:, used].T if 2 * used.size < change.shape[1] else self.loss.x @ change.T
        )
        expected = float(slope @ (target - here) + l1 @ (np.abs(target) - np.abs(here)))
        value, share = self.value + self._penalty(self.parameters), 1.0
        # What a step gains near the minimum is less than what rounding does to the objective: there it is not asked.
        slack = max(-1e-4 * expected, 0.0) if expected < -1e-11 * (1 + value) else -1e-12 * (1 + value)
        while share > 1e-9:
            moved, z = self.parameters + share * change, self.z + share * outputs
            loss, slopes = self.loss.look(z)
            if loss + self._penalty(moved) <= value - share * slack:
                self.parameters, self.z, self.value = moved, z, loss
                self.gradient = _gradient(self.loss, slopes, moved, self.l2)
                self.moved = share * float(np.abs(outputs).max())
                return True
            share /= 2
        return False

    def _penalty(self, parameters: Array) -> float:
        weights = parameters[:, :-1]
        squares = self.l2 / 2 * float(np.vdot(weights, weights)) if self.l2 else 0.0
        return squares + (self.l1 * float(np.abs(weights).sum()) if self.l1 else 0.0)


def _by_products(loss: Softmax, l2: float, start: Array, tolerance: float) -> Array:
    """Return the minimum for several classes with a ridge penalty: Newton steps by conjugate gradients.

    Truncated (Nocedal & Wright 2006, algorithm 7.1), with the diagonal as preconditioner: a good one where columns are
    uncorrelated, as `Problem` turns them.
    """
    parameters, z = start.copy(), loss.x @ start.T
    value, slopes = loss.look(z)
    value += l2 / 2 * float(np.vdot(start[:, :-1], start[:, :-1]))
    for _ in range(STEPS):
        gradient = _gradient(loss, slopes, parameters, l2)
        error = float(np.abs(gradient).max())
        if error <= tolerance:
            break
        step = _conjugate(loss, z, l2, gradient, min(0.1, (error / tolerance) ** -0.25))
        outputs, share = loss.x @ step.T, 1.0
        expected = float(np.vdot(gradient, step))
        while share > 1e-9:
            moved, ahead = parameters + share * step, z + share * outputs
            loss_there, slopes_there = loss.look(ahead)
            there = loss_there + l2 / 2 * float(np.vdot(moved[:, :-1], moved[:, :-1]))
            if there <= value + 1e-4 * share * expected + 1e-15 * abs(value):
                break
            share /= 2
        else:
            break  # rounding is all that is left
        parameters, z, value, slopes = moved, ahead, there, slopes_there
    return parameters


def _conjugate(loss: Softmax, z: Array, l2: float, gradient: Array, share: float) -> Array:
    """Return the Newton step, up to a residual of this share of the gradient."""
    ridge = np.full(gradient.shape, l2)
    ridge[:, -1] = 0.0
    multiply, diagonal = loss.products(z), loss.diagonal(z) + ridge + 1e-12
    step, residual = np.zeros_like(gradient), -gradient
    ahead = residual / diagonal
    direction, size = ahead, float(np.vdot(residual, ahead))
    limit = share * float(np.linalg.norm(gradient))
    for _ in range(PRODUCTS):
        if float(np.linalg.norm(residual)) <= limit:
            break
        product = multiply(direction) + ridge * direction
        curve = float(np.vdot(direction, product))
        if curve <= 0:  # along a shift of all biases, which changes nothing
            break
        step = step + size / curve * direction
        residual = residual - size / curve * product
        ahead = residual / diagonal
        before, size = size, float(np.vdot(residual, ahead))
        direction = ahead + size / before * direction
    return step if step.any() else -gradient / diagonal
