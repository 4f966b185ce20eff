"""The mean loss of a linear model, its slope and its curvature. Parameters are (k, d + 1): weights, then the bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from wellfit.records import Array


class Loss(Protocol):
    """The mean over rows of a convex loss; ``x`` is (n, d + 1) with a last column of ones, ``weights`` sum to 1."""

    x: Array
    outputs: int

    def look(self, z: Array) -> tuple[float, Array]:
        """Return the mean loss of outputs z, (n, k), and its derivative by z, (n, k)."""

    def bends(self, z: Array) -> Array:
        """Return the second derivative by the outputs z (n, 1) of each row, (n,). Not for several outputs."""

    def curvature(self, z: Array, chosen: Array) -> Array:
        """Return the second derivatives by the chosen of the k (d + 1) parameters, (m,) flat indices: (m, m)."""

    def null(self) -> Array:
        """Return the best parameters without weights, (k, d + 1): biases alone."""


class Squares:
    """Mean squared error, without a factor of 1/2, of y (n, 1)."""

    outputs = 1

    def __init__(self, x: Array, y: Array, weights: Array) -> None:
        self.x, self.y, self.weights = x, y, weights

    def look(self, z: Array) -> tuple[float, Array]:
        """Return the mean loss of outputs z, (n, 1), and its derivative by z, (n, 1)."""
        residual = z[:, 0] - self.y[:, 0]
        weighted = self.weights * residual
        return float(weighted @ residual), 2 * weighted[:, None]

    def bends(self, z: Array) -> Array:  # noqa: ARG002 (the same everywhere)
        """Return the second derivative by the output of each row, (n,)."""
        return 2 * self.weights

    def curvature(self, z: Array, chosen: Array) -> Array:
        """Return the second derivatives by the chosen parameters, (m, m)."""
        some = self.x[:, chosen] * np.sqrt(self.bends(z))[:, None]
        return some.T @ some

    def null(self) -> Array:
        """Return the mean as the bias."""
        found = np.zeros((1, self.x.shape[1]))
        found[0, -1] = self.weights @ self.y[:, 0]
        return found


class Logistic:
    """Mean cross-entropy of labels y (n, 1), 0 or 1, from logits."""

    outputs = 1

    def __init__(self, x: Array, y: Array, weights: Array) -> None:
        self.x, self.y, self.weights = x, y, weights

    def look(self, z: Array) -> tuple[float, Array]:
        """Return the mean loss of logits z, (n, 1), and its derivative by z, (n, 1)."""
        z, y = z[:, 0], self.y[:, 0]
        small = np.exp(-np.abs(z))
        losses = np.maximum(z, 0) + np.log1p(small) - y * z
        chance = np.where(z > 0, 1.0, small) / (1 + small)
        return float(self.weights @ losses), (self.weights * (chance - y))[:, None]

    def bends(self, z: Array) -> Array:
        """Return the second derivative by the logit of each row, (n,)."""
        small = np.exp(-np.abs(z[:, 0]))
        return self.weights * small / (1 + small) ** 2

    def curvature(self, z: Array, chosen: Array) -> Array:
        """Return the second derivatives by the chosen parameters, (m, m)."""
        some = (self.x if chosen.size == self.x.shape[1] else self.x[:, chosen]) * np.sqrt(self.bends(z))[:, None]
        return some.T @ some

    def null(self) -> Array:
        """Return the log odds as the bias; within what float64 tells from certainty where there is one class."""
        found = np.zeros((1, self.x.shape[1]))
        share = np.clip(self.weights @ self.y[:, 0], 1e-12, 1 - 1e-12)
        found[0, -1] = np.log(share / (1 - share))
        return found


class Softmax:
    """Mean cross-entropy of one-hot labels y (n, k), from logits.

    A shift of all biases alike changes nothing. `curvature` is raised along it, which moves no minimum, so that it can
    be inverted.
    """

    def __init__(self, x: Array, y: Array, weights: Array) -> None:
        self.x, self.y, self.weights, self.outputs = x, y, weights, y.shape[1]

    def look(self, z: Array) -> tuple[float, Array]:
        """Return the mean loss of logits z, (n, k), and its derivative by z, (n, k)."""
        above = z - z.max(axis=1, keepdims=True)
        sizes = np.exp(above)
        sums = sizes.sum(axis=1, keepdims=True)
        losses = np.log(sums[:, 0]) - (self.y * above).sum(1)
        return float(self.weights @ losses), self.weights[:, None] * (sizes / sums - self.y)

    def bends(self, z: Array) -> Array:
        """Raise: there are k by k for each row."""
        raise NotImplementedError

    def curvature(self, z: Array, chosen: Array) -> Array:
        """Return the second derivatives by the chosen parameters, (m, m)."""
        from scipy.special import softmax

        p = softmax(z, axis=1)
        width, k = self.x.shape[1], self.outputs
        classes, columns = np.divmod(chosen, width)
        places = [np.flatnonzero(classes == c) for c in range(k)]
        parts = [self.x[:, columns[at]] for at in places]
        found = np.empty((chosen.size, chosen.size))
        for a in range(k):
            for b in range(a, k):
                bend = self.weights * p[:, a] * ((a == b) - p[:, b])
                block = parts[a].T @ (bend[:, None] * parts[b])
                found[np.ix_(places[a], places[b])] = block
                found[np.ix_(places[b], places[a])] = block.T
        biases = np.flatnonzero(columns == width - 1)
        found[np.ix_(biases, biases)] += 1 / k
        return found

    def products(self, z: Array) -> Callable[[Array], Array]:
        """Return what multiplies parameters (k, d + 1) by all second derivatives, which are never written down."""
        from scipy.special import softmax

        p = softmax(z, axis=1)

        def multiply(change: Array) -> Array:
            moved = self.x @ change.T
            return (self.weights[:, None] * p * (moved - (p * moved).sum(1, keepdims=True))).T @ self.x

        return multiply

    def diagonal(self, z: Array) -> Array:
        """Return the second derivative by each parameter, (k, d + 1)."""
        from scipy.special import softmax

        p = softmax(z, axis=1)
        return (self.weights[:, None] * p * (1 - p)).T @ self.x**2

    def null(self) -> Array:
        """Return the log shares of the classes as biases; within what float64 tells from 0."""
        found = np.zeros((self.outputs, self.x.shape[1]))
        found[:, -1] = np.log(np.clip(self.weights @ self.y, 1e-12, 1))
        found[:, -1] -= found[:, -1].mean()
        return found
