"""Scripts that `code` prints are run, in the tests of every library, for many cocktails and every task.

Where a library can do the same, its 20 full-batch steps are held against our objective in NumPy (`peers.Trainer`).
"""

from __future__ import annotations

import math

import numpy as np
from peers import STEPS, Trainer, sample

from wellfit.cocktail import as_cocktail
from wellfit.cocktail.schedules import schedule_factor
from wellfit.nets.code import code

TRAININGS = {
    "gd": {"optimizer": "gd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02},
    "nesterov cosine": {
        "optimizer": "sgd",
        "momentum": 0.8,
        "nesterov": True,
        "learning_rate": 0.05,
        "schedule": "cosine",
    },
    "adam": {"optimizer": "adam", "learning_rate": 0.02},
    "adamw cosine": {"optimizer": "adamw", "learning_rate": 0.05, "schedule": "cosine"},
}


def text_for(network, cocktail, training, task, dialect, rows=40, **more):
    outputs = 3 if task == "multiclass" else 1
    return code(
        network,
        as_cocktail(cocktail),
        training,
        inputs=5,
        outputs=outputs,
        task=task,
        rows=rows,
        dialect=dialect,
        **more,
    )


def data_for(task, rows=40):
    """X, y as a user has them: in regression y in its own unit."""
    x, y, _ = sample(task, rows=rows)
    return x, y * 7 + 100 if task == "regression" else y


def run(text, task, rows=40, space=None):
    """Execute a script, or a part of one in the space of the part before it; its names."""
    if space is None:
        x, y = data_for(task, rows)
        space = {"X": x, "y": y}
    exec(compile(text, "script", "exec"), space)
    return space


def cut(text, mark):
    """Split a script before the line that begins with the mark."""
    head, found, tail = text.partition(f"\n{mark}")
    assert found, mark
    return head + "\n", f"{mark}{tail}"


def trained(network, cocktail, training, task, weights, **how):
    """Our objective for 20 full-batch steps from these weights, on the target as the scripts scale it."""
    x, y, _ = sample(task)
    s = as_cocktail(cocktail).resolve(network.layers)
    trainer = Trainer(
        task,
        weights,
        activation=network.activation,
        optimizer=training.optimizer,
        momentum=training.momentum,
        nesterov=training.nesterov,
        l1=s.l1,
        l2=s.l2,
        weight_decay=s.weight_decay,
        **how,
    )
    for i in range(STEPS):
        share = 0.5 * (1 + math.cos(math.pi * i / STEPS)) if training.schedule == "cosine" else 1.0
        trainer.step(x, y, training.learning_rate * share)
    return trainer


def check_predictions(space, task, rows=40):
    x, y = data_for(task, rows)
    found = space["predict"](x)
    assert found.shape == ((rows, 3) if task == "multiclass" else (rows,))
    assert np.isfinite(found).all()
    if task == "multiclass":
        assert np.abs(found.sum(1) - 1).max() < 1e-5
    if task == "binary":
        assert ((found >= 0) & (found <= 1)).all()
    return found, y


class Whole(Trainer):
    """All deterministic ingredients, losses and schedules by their formulas; mixup and noise with fixed draws."""

    def __init__(self, task, weights, s, training, activation, *, total=STEPS, draws=(0.3, 7), **how):
        chosen = {"optimizer": training.optimizer, "momentum": training.momentum, "nesterov": training.nesterov}
        super().__init__(task, weights, activation=activation, **chosen, **how)
        self.s, self.training, self.total, self.draws = s, training, total, draws
        self.kind, self.parameter = training.loss_and_parameter(task)
        widths = [len(b) for _, b in self.weights[:-1]]
        self.units = [[np.ones(n), np.zeros(n)] for n in widths]  # scale and shift
        self.running = [[np.zeros(n), np.ones(n)] for n in widths]
        self.average = None

    def everything(self):
        flat = [part for pair in self.weights for part in pair]
        return [*flat, *(part for pair in self.units + self.running for part in pair)] if self.s.batch_norm else flat

    def now(self, name):
        value, factor = getattr(self.s, name), schedule_factor(self.s.schedules.get(name, "constant"), self.progress)
        if name in ("max_norm", "gradient_clipping"):
            return tuple(v / factor for v in value) if isinstance(value, tuple) else value / factor
        return tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor

    def row_weights(self, y):
        given, classes = self.training.class_weights, max(2, len(np.unique(y)))
        if given is None:
            return np.ones(len(y))
        counts = np.array([(y == c).sum() for c in range(classes)])
        weights = (len(y) / (classes * counts) if given == "balanced" else np.array(given))[y]
        return weights / weights.mean()

    def slope(self, z):
        if self.activation == "leaky_relu":
            return np.maximum(z, 0.01 * z), np.where(z > 0, 1.0, 0.01)
        return np.tanh(z), 1 - np.tanh(z) ** 2

    def delta(self, z, y):
        r = z - y
        if self.task == "binary":
            return 1 / (1 + np.exp(-z)) - y
        if self.task == "multiclass":
            top = np.exp(z - z.max(1, keepdims=True))
            return top / top.sum(1, keepdims=True) - y
        t = self.parameter
        return {
            "squared": 2 * r,
            "absolute": np.sign(r),
            "huber": np.clip(r, -t, t),
            "quantile": np.where(r > 0, 1 - t, -t),
        }[self.kind]

    def all_gradients(self, x, y, w):
        inputs, slopes, kept = [x], [], []
        for i, (weights, bias) in enumerate(self.weights[:-1]):
            z, hat, sd = inputs[-1] @ weights.T + bias, None, None
            if self.s.batch_norm:
                mean, var = z.mean(0), z.var(0)
                sd = np.sqrt(var + 1e-5)
                hat = (z - mean) / sd
                z = self.units[i][0] * hat + self.units[i][1]
                old, n = self.running[i], len(x)
                self.running[i] = [0.9 * old[0] + 0.1 * mean, 0.9 * old[1] + 0.1 * var * n / (n - 1)]
            a, slope = self.slope(z)
            inputs, slopes, kept = [*inputs, a], [*slopes, slope], [*kept, (hat, sd)]
        weights, bias = self.weights[-1]
        delta, found = self.delta(inputs[-1] @ weights.T + bias, y) * w[:, None] / len(x), {}
        for i in range(len(self.weights) - 1, -1, -1):
            found[i, "w"], found[i, "b"] = delta.T @ inputs[i], delta.sum(0)
            if i:
                delta = delta @ self.weights[i][0] * slopes[i - 1]
                hat, sd = kept[i - 1]
                if hat is not None:
                    found[i - 1, "scale"], found[i - 1, "shift"] = (delta * hat).sum(0), delta.sum(0)
                    d = delta * self.units[i - 1][0]
                    delta = (d - d.mean(0) - hat * (d * hat).mean(0)) / sd
        return found

    def whole_step(self, x, y):
        """One full-batch step; y is (n,): classes or values."""
        self.progress = self.steps / self.total
        self.steps += 1
        lr = self.training.learning_rate * schedule_factor(self.training.schedule, self.progress)
        k, w = len(self.weights[-1][1]), self.row_weights(y)
        y = np.eye(k)[y] if self.task == "multiclass" else np.reshape(y, (-1, 1)).astype(float)
        if self.s.mixup:
            share = self.now("mixup") / self.s.mixup * (1 - self.draws[0])
            x, y, w = (p + share * (np.roll(p, -self.draws[1], 0) - p) for p in (x, y, w))
        x = x + self.now("input_noise")
        smooth = self.now("label_smoothing")
        y = (1 - smooth) * y + smooth / max(k, 2) if smooth else y
        grads = self.all_gradients(x, y, w)
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        grads = {key: g * min(1, self.now("gradient_clipping") / norm) for key, g in grads.items()}
        l1, l2, decay, bound = (self.now(name) for name in ("l1", "l2", "weight_decay", "max_norm"))
        for i, (weights, bias) in enumerate(self.weights):
            move, factor = self._direction((i, "w"), grads[i, "w"] + l2[i] * weights)
            weights = (1 - lr * decay[i]) * weights - lr * move
            weights = np.sign(weights) * np.maximum(np.abs(weights) - l1[i] * lr * factor, 0)
            if i == 0 and self.s.group_lasso:
                size = np.linalg.norm(weights, axis=0)
                weights = weights * np.maximum(1 - self.now("group_lasso") * lr * factor / np.maximum(size, 1e-300), 0)
            size = np.linalg.norm(weights, axis=1, keepdims=True)
            weights = weights * np.minimum(1, bound[i] / np.maximum(size, 1e-300))
            self.weights[i] = (weights, bias - lr * self._direction((i, "b"), grads[i, "b"])[0])
            if (i, "scale") in grads:
                for j, name in enumerate(("scale", "shift")):
                    self.units[i][j] = self.units[i][j] - lr * self._direction((i, name), grads[i, name])[0]
        if self.average is not None:
            keep = min(self.now("ema"), self.steps / (9 + self.steps))
            self.average = [a + (1 - keep) * (b - a) for a, b in zip(self.average, self.everything(), strict=True)]

    def run(self, x, y):
        self.average = self.everything() if self.s.ema else None
        for _ in range(self.total):
            self.whole_step(x, y)
        return self


WEIGHTED = {"binary": (1.0, 3.0), "multiclass": "balanced", "regression": None}
LOSSES = {"binary": "auto", "multiclass": "auto", "regression": "huber:0.7"}


def furthest(mine, theirs):
    return max(float(np.abs(a - b).max()) for a, b in zip(mine, theirs, strict=True))
