"""The objective and its training once more, in plain NumPy and float64: what engines are checked against.

Written from the formulas in ``docs/objective.md``, without a line shared with any engine: row-major examples, one
matrix at a time, nothing fused, nothing fast. Shapes: x (n, d), y (n, k), W (out, in).
"""

from __future__ import annotations

import numpy as np

from wellfit import rng
from wellfit.engines.base import Member
from wellfit.nets.training import batches
from wellfit.records import Array, TrainingData

Layers = list[tuple[Array, Array]]


def _activation(name: str, z: Array) -> tuple[Array, Array]:
    """Return f(z) and f'(z)."""
    from scipy.stats import norm

    if name == "relu":
        return np.where(z > 0, z, 0), (z > 0).astype(float)
    if name == "tanh":
        return np.tanh(z), 1 / np.cosh(z) ** 2
    if name == "gelu":
        return z * norm.cdf(z), norm.cdf(z) + z * norm.pdf(z)
    s = 1 / (1 + np.exp(-z))
    return z * s, s * (1 + z * (1 - s))


def loss_and_delta(task: str, out: Array, y: Array) -> tuple[float, Array]:
    """Return the mean loss of outputs (n, k) and its derivative by them."""
    n = len(out)
    if task == "binary":
        p = 1 / (1 + np.exp(-out))
        return float(np.mean(np.sum(np.logaddexp(0, out) - y * out, axis=1))), (p - y) / n
    if task == "multiclass":
        top = out - out.max(axis=1, keepdims=True)
        p = np.exp(top) / np.exp(top).sum(axis=1, keepdims=True)
        return float(-np.mean(np.sum(y * (top - np.log(np.exp(top).sum(axis=1, keepdims=True))), axis=1))), (p - y) / n
    return float(np.mean(np.sum((out - y) ** 2, axis=1))), 2 * (out - y) / n


def objective(
    member: Member, task: str, layers: Layers, x: Array, y: Array, masks: list[Array]
) -> tuple[float, Layers]:
    """Return the smooth part of J (mean loss + l2/2 sum W^2) and its gradient, with dropout masks (n, units) fixed."""
    strengths = member.cocktail.resolve(len(layers))
    inputs, slopes = [x], []
    for (weights, bias), mask in zip(layers[:-1], masks, strict=True):
        a, slope = _activation(member.network.activation, inputs[-1] @ weights.T + bias)
        inputs.append(a * mask)
        slopes.append(slope * mask)
    weights, bias = layers[-1]
    value, delta = loss_and_delta(task, inputs[-1] @ weights.T + bias, y)
    gradient: Layers = []
    for i in range(len(layers) - 1, -1, -1):
        weights = layers[i][0]
        value += strengths.l2[i] / 2 * float(np.sum(weights**2))
        gradient.insert(0, (delta.T @ inputs[i] + strengths.l2[i] * weights, delta.sum(axis=0)))
        if i:
            delta = (delta @ weights) * slopes[i - 1]
    return value, gradient


def prox_l1(w: Array, threshold: Array | float) -> Array:
    """Return the soft threshold of w: sign(w) max(|w| - threshold, 0)."""
    return np.sign(w) * np.maximum(np.abs(w) - threshold, 0)


class _Optimizer:
    """One optimizer for all parts, by the formulas of `wellfit.nets.Training`."""

    def __init__(self, member: Member, total_steps: int) -> None:
        self.training, self.total, self.done = member.training, total_steps, 0
        self.first: dict[tuple[int, int], Array] = {}
        self.second: dict[tuple[int, int], Array] = {}

    def rate(self) -> float:
        base = self.training.learning_rate
        if self.training.schedule == "cosine":
            return base * (1 + np.cos(np.pi * self.done / self.total)) / 2
        return base

    def step(self, at: tuple[int, int], w: Array, g: Array, l1: float, decay: float) -> Array:
        training, lr = self.training, self.rate()
        u, v = self.first.get(at, np.zeros_like(w)), self.second.get(at, np.zeros_like(w))
        if training.optimizer == "gd":
            move, eta = g, lr * np.ones_like(w)
        elif training.optimizer == "sgd":
            u = training.momentum * u + g
            move = g + training.momentum * u if training.nesterov else u
            eta = lr / (1 - training.momentum) * np.ones_like(w)
        else:
            u, v = 0.9 * u + 0.1 * g, 0.999 * v + 0.001 * g * g
            root = np.sqrt(v / (1 - 0.999 ** (self.done + 1))) + 1e-8
            move, eta = u / (1 - 0.9 ** (self.done + 1)) / root, lr / root
        self.first[at], self.second[at] = u, v
        return prox_l1((1 - lr * decay) * w - lr * move, l1 * eta)


def masks_of(member: Member, count: int, columns: int, epoch: int, step: int) -> list[Array]:
    """Return the dropout masks (count, units) of a batch whose buffers have ``columns`` columns."""
    rates = member.cocktail.resolve(member.network.layers).dropout
    out = []
    for layer, (width, rate) in enumerate(zip(member.network.hidden, rates, strict=True)):
        if rate == 0:
            out.append(np.ones((count, width)))
        else:
            mask = rng.dropout_mask(member.seed, layer, (width, columns), rate, epoch=epoch, step=step)
            out.append(mask[:, :count].T)
    return out


def train(member: Member, data: TrainingData, epochs: int, start: Array, lanes: int = 16) -> Array:
    """Return the flat parameters after ``epochs`` epochs from ``start``, both (P,) float64; no early stopping.

    ``lanes`` is the padding of a batch's columns in the engine under test: it fixes which draw a unit's mask gets.
    """
    fold, network = data.folds[member.fold], member.network
    strengths = member.cocktail.resolve(network.layers)
    rows, size = fold.rows.train, member.training.batch_size
    steps, _ = batches(len(rows), size)
    layers = [(w.copy(), b.copy()) for w, b in network.unpack(start, fold.x.shape[1], data.outputs)]
    optimizer = _Optimizer(member, member.training.epochs * steps)
    for epoch in range(epochs):
        order = rows if steps == 1 else rows[rng.permutation(member.seed, rng.SHUFFLE, len(rows), epoch=epoch)]
        for step in range(steps):
            usual = len(rows) if steps == 1 else int(size or 0)
            batch = order[step * usual :] if step == steps - 1 else order[step * usual : (step + 1) * usual]
            masks = masks_of(member, len(batch), -(-len(batch) // lanes) * lanes, epoch, step)
            _, gradient = objective(member, data.task, layers, fold.x[batch], fold.y[batch], masks)
            for i, ((w, b), (gw, gb)) in enumerate(zip(layers, gradient, strict=True)):
                new = optimizer.step((i, 0), w, gw, strengths.l1[i], strengths.weight_decay[i])
                layers[i] = (new, optimizer.step((i, 1), b, gb, 0.0, 0.0))
            optimizer.done += 1
    return network.pack(layers)
