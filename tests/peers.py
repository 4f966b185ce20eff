"""What dialects and generated code are held against: our objective trained in plain float64 NumPy, written apart from
the package's own loops, and Keras brought up on the torch backend without touching the user's home.
"""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from scipy.special import erf, expit, log_softmax, softmax

TASKS = ("binary", "multiclass", "regression")
STEPS = 20
# Keras's torch backend, under NumPy 2.4, asks NumPy for an array in a way that only warns there.
KERAS_WARNING = r"ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
_ACTIVATIONS = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "gelu": (
        lambda z: z * 0.5 * (1 + erf(z / np.sqrt(2))),
        lambda z: 0.5 * (1 + erf(z / np.sqrt(2))) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
    ),
    "silu": (lambda z: z * expit(z), lambda z: expit(z) * (1 + z * (1 - expit(z)))),
}


@dataclass
class Trainer:
    """J = mean loss + l1 sum|W| + l2/2 sum W^2 and one optimizer; weights are [(W (out, in), b (out,)), ...]."""

    task: str
    weights: list
    activation: str = "relu"
    optimizer: str = "gd"
    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    l1: tuple = ()
    l2: tuple = ()
    weight_decay: tuple = ()
    eps: float = 1e-8
    eps_early: bool = False  # Keras and scikit-learn add eps before they correct Adam's bias, we and PyTorch after
    steps: int = 0
    moments: dict = field(default_factory=dict)

    def __post_init__(self):
        self.weights = [(np.array(w, float), np.array(b, float)) for w, b in self.weights]
        zero = (0.0,) * len(self.weights)
        self.l1, self.l2, self.weight_decay = self.l1 or zero, self.l2 or zero, self.weight_decay or zero

    def outputs(self, x):
        f = _ACTIVATIONS[self.activation][0]
        for w, b in self.weights[:-1]:
            x = f(x @ w.T + b)
        w, b = self.weights[-1]
        return x @ w.T + b

    def loss(self, x, y):
        """Mean loss without penalty; y is (n,): classes or values."""
        z = self.outputs(x)
        if self.task == "regression":
            return np.mean((z[:, 0] - y) ** 2)
        if self.task == "binary":
            return np.mean(np.logaddexp(0, z[:, 0]) - y * z[:, 0])
        return -np.mean(log_softmax(z, axis=1)[np.arange(len(y)), y])

    def penalty(self):
        return sum(
            a * np.abs(w).sum() + c / 2 * (w**2).sum()
            for (w, _), a, c in zip(self.weights, self.l1, self.l2, strict=True)
        )

    def gradients(self, x, y):
        """Gradients of the smooth part (mean loss + L2), [(dW, db), ...]."""
        f, slope = _ACTIVATIONS[self.activation]
        inputs, before = [x], []
        for w, b in self.weights:
            before.append(inputs[-1] @ w.T + b)
            inputs.append(f(before[-1]))
        z, n = before[-1], len(x)
        if self.task == "regression":
            delta = 2 * (z - np.reshape(y, (-1, 1))) / n
        elif self.task == "binary":
            delta = (expit(z) - np.reshape(y, (-1, 1))) / n
        else:
            delta = (softmax(z, axis=1) - np.eye(z.shape[1])[y]) / n
        found = []
        for i in range(len(self.weights) - 1, -1, -1):
            w, _ = self.weights[i]
            found.append((delta.T @ inputs[i] + self.l2[i] * w, delta.sum(0)))
            if i:
                delta = delta @ w * slope(before[i - 1])
        return found[::-1]

    def _direction(self, key, g):
        """Return the step before the learning rate, and the prox threshold's factor."""
        if self.optimizer in ("adam", "adamw"):
            m, v = self.moments.get(key, (0.0, 0.0))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            self.moments[key] = m, v
            correction = 1 - 0.999**self.steps
            eps = self.eps / np.sqrt(correction) if self.eps_early else self.eps
            root = np.sqrt(v / correction) + eps
            return m / (1 - 0.9**self.steps) / root, 1 / root
        if self.momentum:
            m = self.momentum * self.moments[key] + g if key in self.moments else g
            self.moments[key] = m
            return (g + self.momentum * m if self.nesterov else m), 1 / (1 - self.momentum)
        return g, 1.0

    def step(self, x, y, lr=None):
        lr = self.lr if lr is None else lr
        self.steps += 1
        grads, new = self.gradients(x, y), []
        for i, ((w, b), (dw, db)) in enumerate(zip(self.weights, grads, strict=True)):
            move, factor = self._direction((i, "w"), dw)
            w = (1 - lr * self.weight_decay[i]) * w - lr * move
            if self.l1[i]:
                w = np.sign(w) * np.maximum(np.abs(w) - self.l1[i] * lr * factor, 0)
            new.append((w, b - lr * self._direction((i, "b"), db)[0]))
        self.weights = new


def apart(trainer: Trainer, weights) -> float:
    """Largest difference between the trainer's weights and those of a library, [(W (out, in), b), ...]."""
    pairs = zip(trainer.weights, weights, strict=True)
    return max(float(np.abs(a - b).max()) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True))


def start(network, inputs, outputs, seed=0):
    """Initial weights of a network, with biases that are not zero (a penalty on biases must show)."""
    pairs = network.unpack(network.initialize(seed, inputs, outputs), inputs, outputs)
    draw = np.random.default_rng(seed)
    return [(w.copy(), draw.normal(0, 0.3, b.shape)) for w, b in pairs]


def sample(task, rows=40, inputs=5, seed=1):
    """A small problem: x (rows, inputs), y (rows,), k outputs."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, inputs))
    score = x @ draw.normal(size=inputs) + 0.3 * draw.normal(size=rows)
    if task == "regression":
        return x, (score - score.mean()) / score.std(), 1
    if task == "binary":
        return x, (score > 0).astype(int), 1
    return x, np.digitize(score, np.quantile(score, [1 / 3, 2 / 3])), 3


def import_torch():
    """PyTorch on one thread: its threads wait for each other busily where other tests want the same cores."""
    import torch

    torch.set_num_threads(1)
    return torch


def import_keras(folder):
    """Import Keras on the torch backend with its settings in a folder of the tests', not in the user's home."""
    import_torch()
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
        os.environ["KERAS_HOME"] = str(folder)
    with warnings.catch_warnings():
        # NumPy 2.4 and torch deprecations raised inside Keras's own import are no business of ours.
        warnings.simplefilter("ignore")
        import keras
    assert keras.backend.backend() == "torch"
    return keras


@contextmanager
def keras_floats(keras, name):
    """Let new layers of Keras hold this floating-point type while the block runs; then all is as it was.

    Keras makes a policy of `floatx` at its first layer and keeps it: `set_floatx` alone comes too late wherever another
    test has made a layer.
    """
    from keras.src.backend.common import global_state

    before = keras.config.floatx(), global_state.get_global_attribute("dtype_policy")
    keras.config.set_floatx(name)
    global_state.set_global_attribute("dtype_policy", None)
    try:
        yield keras
    finally:
        keras.config.set_floatx(before[0])
        global_state.set_global_attribute("dtype_policy", before[1])
