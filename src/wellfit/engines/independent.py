"""The objective and its training once more, in plain NumPy and float64: what engines are checked against.

Written from the formulas in ``docs/objective.md``, without a line shared with any engine: row-major examples, one
matrix at a time, nothing fused, nothing fast. Shapes: x (n, d), y (n, k), W (out, in).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wellfit import rng
from wellfit.cocktail import Strengths
from wellfit.cocktail.noise import mixup_quantiles
from wellfit.cocktail.schedules import schedule_factor
from wellfit.engines.base import Member, mlp_of, training_weights
from wellfit.nets import MLP
from wellfit.nets.training import batches
from wellfit.records import Array, TrainingData

_EPSILON, _MOMENTUM = 1e-5, 0.1  # of batch normalization


@dataclass
class Parts:
    """Parameters taken apart, or their gradient: [(W, b), ...] and, if any, batch norm's [(scale, shift), ...]."""

    layers: list[tuple[Array, Array]]
    norms: list[tuple[Array, Array]] = field(default_factory=list)

    @classmethod
    def of(cls, network: MLP, flat: Array, inputs: int, outputs: int) -> Parts:
        """Take the learned part of a parameter vector apart."""
        layers = [(w.copy(), b.copy()) for w, b in network.unpack(flat, inputs, outputs)]
        size, norms = network.size(inputs, outputs), []
        if len(flat) > size:
            cuts = np.cumsum(network.hidden)[:-1]
            units = sum(network.hidden)
            scales, shifts = (np.split(flat[size + i * units : size + (i + 1) * units], cuts) for i in (0, 1))
            norms = [(a.copy(), b.copy()) for a, b in zip(scales, shifts, strict=True)]
        return cls(layers, norms)

    def flat(self) -> Array:
        """Return the vector again: weights and biases, all scales, all shifts."""
        scales, shifts = ([n[i] for n in self.norms] for i in (0, 1))
        return np.concatenate([np.ravel(a) for a in (*(a for pair in self.layers for a in pair), *scales, *shifts)])


def _activation(name: str, z: Array) -> tuple[Array, Array]:
    """Return f(z) and f'(z)."""
    from scipy.stats import norm

    if name == "relu":
        return np.where(z > 0, z, 0), (z > 0).astype(float)
    if name == "leaky_relu":
        return np.where(z > 0, z, 0.01 * z), np.where(z > 0, 1, 0.01)
    if name == "tanh":
        return np.tanh(z), 1 / np.cosh(z) ** 2
    if name == "gelu":
        return z * norm.cdf(z), norm.cdf(z) + z * norm.pdf(z)
    s = 1 / (1 + np.exp(-z))
    return z * s, s * (1 + z * (1 - s))


def loss_and_delta(task: str, out: Array, y: Array, loss: str = "auto", parameter: float = 0.0) -> tuple[Array, Array]:
    """Return the loss of each row, (n,), of outputs (n, k), and its derivative by them, (n, k)."""
    if task == "binary":
        return (np.logaddexp(0, out) - y * out)[:, 0], 1 / (1 + np.exp(-out)) - y
    if task == "multiclass":
        top = out - out.max(axis=1, keepdims=True)
        total = np.exp(top).sum(axis=1, keepdims=True)
        return -np.sum(y * (top - np.log(total)), axis=1), np.exp(top) / total - y
    r = out - y
    if loss == "absolute":
        values, slopes = np.abs(r), np.sign(r)
    elif loss == "huber":
        inside = np.abs(r) <= parameter
        values = np.where(inside, r**2 / 2, parameter * (np.abs(r) - parameter / 2))
        slopes = np.where(inside, r, parameter * np.sign(r))
    elif loss == "quantile":
        values = np.where(r > 0, (1 - parameter) * r, -parameter * r)
        slopes = np.where(r > 0, 1 - parameter, np.where(r < 0, -parameter, 0))
    else:
        values, slopes = r**2, 2 * r
    return values.sum(axis=1), slopes


def _normalize(z: Array) -> tuple[Array, Array]:
    """Return z less its mean over its standard deviation, column by column, and 1 over that deviation."""
    spread = 1 / np.sqrt(z.var(axis=0) + _EPSILON)
    return (z - z.mean(axis=0)) * spread, spread


def objective(
    member: Member,
    task: str,
    parts: Parts,
    x: Array,
    y: Array,
    masks: list[Array],
    weights: Array | None = None,
    statistics: list[tuple[Array, Array]] | None = None,
) -> tuple[float, Parts]:
    """Return the smooth part of J and its gradient on one batch, with dropout masks (n, units) fixed.

    The smooth part is the mean of weight times loss, plus l2/2 sum W^2. Where ``statistics`` is a list, each hidden
    layer's batch mean and unbiased variance are appended to it.
    """
    layers = parts.layers
    strengths = member.cocktail.resolve(len(layers))
    inputs, slopes, normed = [x], [], []
    for i, ((w, b), mask) in enumerate(zip(layers[:-1], masks, strict=True)):
        z = inputs[-1] @ w.T + b
        if parts.norms:
            if statistics is not None:
                statistics.append((z.mean(axis=0), z.var(axis=0) * len(z) / max(len(z) - 1, 1)))
            normed.append(_normalize(z))
            z = parts.norms[i][0] * normed[i][0] + parts.norms[i][1]
        a, slope = _activation(mlp_of(member).activation, z)
        inputs.append(a * mask)
        slopes.append(slope * mask)
    w, b = layers[-1]
    values, delta = loss_and_delta(task, inputs[-1] @ w.T + b, y, *member.training.loss_and_parameter(task))
    each = np.ones(len(x)) if weights is None else weights
    value, delta = float(np.mean(each * values)), delta * each[:, None] / len(x)
    gradient = Parts([])
    for i in range(len(layers) - 1, -1, -1):
        w = layers[i][0]
        value += strengths.l2[i] / 2 * float(np.sum(w**2))
        # A bias before a normalization has no effect; Adam would make steps of the rounding errors of its gradient.
        felt = i == len(layers) - 1 or not parts.norms
        gradient.layers.insert(0, (delta.T @ inputs[i] + strengths.l2[i] * w, delta.sum(axis=0) * felt))
        if i:
            delta = (delta @ w) * slopes[i - 1]
            if parts.norms:
                z, spread = normed[i - 1]
                gradient.norms.insert(0, ((delta * z).sum(axis=0), delta.sum(axis=0)))
                d = delta * parts.norms[i - 1][0]
                delta = spread * (d - d.mean(axis=0) - z * (d * z).mean(axis=0))
    return value, gradient


def prox_l1(w: Array, threshold: Array | float) -> Array:
    """Return the soft threshold of w: sign(w) max(|w| - threshold, 0)."""
    return np.sign(w) * np.maximum(np.abs(w) - threshold, 0)


def prox_columns(w: Array, threshold: float) -> Array:
    """Return w with each column shortened by the threshold, or 0 where it is no longer than that."""
    size = np.linalg.norm(w, axis=0)
    return w * np.where(size > threshold, 1 - threshold / np.where(size > 0, size, 1), 0)


def bound_rows(w: Array, bound: float) -> Array:
    """Return w with rows longer than the bound cut to it."""
    size = np.linalg.norm(w, axis=1, keepdims=True)
    return w * np.where(size > bound, bound / np.where(size > 0, size, 1), 1)


class _Optimizer:
    """One optimizer for all parts, by the formulas of `wellfit.nets.Training`."""

    def __init__(self, member: Member, total_steps: int) -> None:
        self.training, self.total, self.done = member.training, total_steps, 0
        self.first: dict[object, Array] = {}
        self.second: dict[object, Array] = {}

    @property
    def progress(self) -> float:
        return self.done / self.total

    @property
    def rate(self) -> float:
        return self.training.learning_rate * schedule_factor(self.training.schedule, self.progress)

    def step(self, at: object, w: Array, g: Array, l1: float = 0.0, decay: float = 0.0) -> Array:
        training, lr = self.training, self.rate
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


def now(strengths: Strengths, progress: float) -> Strengths:
    """Return the strengths at this share of the training: each times its schedule's factor, bounds over it."""
    changed = {}
    for name, schedule in strengths.schedules.items():
        factor, value = schedule_factor(schedule, progress), getattr(strengths, name)
        if name in ("max_norm", "gradient_clipping"):
            factor = 1 / factor if factor else np.inf
        changed[name] = tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
    return Strengths(**{**strengths.__dict__, **changed})


def masks_of(
    member: Member, count: int, columns: int, epoch: int, step: int, rates: tuple[float, ...] | None = None
) -> list[Array]:
    """Return the dropout masks (count, units) of a batch whose buffers have ``columns`` columns."""
    if rates is None:
        rates = member.network.strengths(member.cocktail).dropout
    out = []
    for layer, (width, rate) in enumerate(zip(mlp_of(member).hidden, rates, strict=True)):
        if rate == 0:
            out.append(np.ones((count, width)))
        else:
            mask = rng.dropout_mask(member.seed, layer, (width, columns), rate, epoch=epoch, step=step)
            out.append(mask[:, :count].T)
    return out


def disturbed(
    member: Member, present: Strengths, x: Array, y: Array, weights: Array | None, columns: int, epoch: int, step: int
) -> tuple[Array, Array, Array | None]:
    """Return a batch after mixup, input noise, input dropout and label smoothing."""
    seed, at = member.seed, {"epoch": epoch, "step": step}
    if present.mixup > 0:
        base = member.network.strengths(member.cocktail).mixup
        place, distance = rng.mixup_draw(seed, len(x), **at)
        c = np.interp(place, np.arange(1025) / 1024, mixup_quantiles(base))
        c = 1 - (1 - c) * present.mixup / base
        partner = np.roll(np.arange(len(x)), -distance)
        x, y = (c * a + (1 - c) * a[partner] for a in (x, y))
        weights = None if weights is None else c * weights + (1 - c) * weights[partner]
    shape = (x.shape[1], columns)
    if present.input_noise > 0:
        x = x + present.input_noise * rng.gaussian_noise(seed, shape, **at)[:, : len(x)].T
    if present.input_dropout > 0:
        x = x * rng.dropout_mask(seed, -1, shape, present.input_dropout, **at)[:, : len(x)].T
    s = present.label_smoothing
    return x, (1 - s) * y + s / max(y.shape[1], 2), weights


def train(member: Member, data: TrainingData, epochs: int, start: Array, lanes: int = 16) -> tuple[Array, Array]:
    """Return the flat parameters and their average after ``epochs`` epochs from ``start``, (T,) float64 each.

    No early stopping. ``lanes`` is the padding of a batch's columns in the engine under test: it fixes which draw a
    unit's mask gets.
    """
    fold, network = data.folds[member.fold], mlp_of(member)
    strengths = member.network.strengths(member.cocktail)
    rows, size = fold.rows.train, member.training.batch_size
    steps, _ = batches(len(rows), size)
    inputs, average = fold.x.shape[1], start.copy()
    parts, weights = Parts.of(network, start, inputs, data.outputs), training_weights(member, fold, data.task)
    running = start[len(parts.flat()) :].reshape(2, -1).copy()  # means and variances, (2, 0) without batch norm
    optimizer = _Optimizer(member, member.training.epochs * steps)
    for epoch in range(epochs):
        order = rows if steps == 1 else rows[rng.permutation(member.seed, rng.SHUFFLE, len(rows), epoch=epoch)]
        for step in range(steps):
            usual = len(rows) if steps == 1 else int(size or 0)
            batch = order[step * usual :] if step == steps - 1 else order[step * usual : (step + 1) * usual]
            columns = -(-len(batch) // lanes) * lanes
            present = now(strengths, optimizer.progress)
            x, y, w = disturbed(
                member, present, fold.x[batch], fold.y[batch], None if weights is None else weights[batch],
                columns, epoch, step,
            )  # fmt: skip
            masks = masks_of(member, len(batch), columns, epoch, step, present.dropout)
            seen: list[tuple[Array, Array]] = []
            bare = Member(network, member.cocktail.parse("none"), member.training, member.seed, member.fold)
            _, gradient = objective(bare, data.task, parts, x, y, masks, w, seen)
            _descend(optimizer, parts, gradient, present)
            if parts.norms:
                running += _MOMENTUM * (np.array([np.concatenate(s) for s in zip(*seen, strict=True)]) - running)
            flat = np.concatenate([parts.flat(), running.ravel()])
            decay = min(present.ema, (1 + optimizer.done) / (10 + optimizer.done))
            average = decay * average + (1 - decay) * flat
            optimizer.done += 1
    return np.concatenate([parts.flat(), running.ravel()]), average


def _descend(optimizer: _Optimizer, parts: Parts, gradient: Parts, present: Strengths) -> None:
    """Clip, step, prox, bound: one optimizer step on all parts, in place."""
    factor = min(1.0, present.gradient_clipping / max(float(np.linalg.norm(gradient.flat())), 1e-300))
    for i, ((w, b), (gw, gb)) in enumerate(zip(parts.layers, gradient.layers, strict=True)):
        new = optimizer.step((i, 0), w, factor * gw + present.l2[i] * w, present.l1[i], present.weight_decay[i])
        if i == 0 and present.group_lasso:
            eta = optimizer.rate / (1 - optimizer.training.momentum)
            new = prox_columns(new, eta * present.group_lasso)
        parts.layers[i] = (bound_rows(new, present.max_norm[i]), optimizer.step((i, 1), b, factor * gb))
    for i, (pair, slopes) in enumerate(zip(parts.norms, gradient.norms, strict=True)):
        scale, shift = (optimizer.step(("norm", i, j), pair[j], factor * slopes[j]) for j in (0, 1))
        parts.norms[i] = (scale, shift)
