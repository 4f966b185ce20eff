"""Networks as values: architecture, layout of the flat parameter vector, initialization, plain evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail, Strengths
from wellfit.errors import SettingError
from wellfit.nets.module import Inputs, Module, module, module_of_file
from wellfit.nets.modules import MODULES
from wellfit.records import hash_once

ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "leaky_relu")
LEAK = 0.01  # slope of the leaky ReLU below 0
GAINS = {"relu": 2.0, "gelu": 2.0, "silu": 2.0, "tanh": 1.0, "leaky_relu": 2 / (1 + LEAK**2)}
MOST_KEPT = 100_000  # starting parameters of networks no larger than this are kept for a while
MAX_WIDTH = 16384
# A tanh unit counts as saturated on a row where |z| is above this, so that |tanh z| > 0.987.
SATURATED, MOSTLY = 2.5, 0.95
# Batch normalization: added to a variance, and the share by which running averages move (PyTorch's).
EPSILON, RUNNING = 1e-5, 0.1


@hash_once
@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron: hidden widths and one activation; no hidden widths is the linear network.

    The parameter vector is flat: for each layer W of shape (out, in), row-major as in PyTorch's ``Linear``, then the
    bias (out,). Weights start as N(0, gain / in) with gain 2 for ReLU, GELU and SiLU, 2 / (1 + 0.01^2) for leaky ReLU
    (He et al. 2015) and 1 for tanh and linear layers (LeCun et al. 1998; with square layers, Glorot & Bengio 2010),
    biases at 0.
    Raises `SettingError` for widths below 1 or an unknown activation.

    >>> MLP((20, 3)).shapes(inputs=2, outputs=1)
    ((20, 2), (3, 20), (1, 3))
    >>> str(MLP((64, 32), "tanh"))
    '64,32:tanh'
    """

    hidden: tuple[int, ...] = (64, 32)
    activation: str = "relu"

    def __post_init__(self) -> None:
        widths = tuple(self.hidden)
        for width in widths:
            if not isinstance(width, int | np.integer) or not 1 <= width <= MAX_WIDTH:
                raise SettingError("nets.bad_width", value=width, top=MAX_WIDTH)
        object.__setattr__(self, "hidden", tuple(int(w) for w in widths))
        if self.activation not in ACTIVATIONS:
            raise SettingError("nets.unknown_activation", value=self.activation, known=", ".join(ACTIVATIONS))

    def __str__(self) -> str:
        """Return the text form that `as_network` reads back."""
        if not self.hidden:
            return "linear"
        tail = "" if self.activation == "relu" else f":{self.activation}"
        return ",".join(map(str, self.hidden)) + tail

    @property
    def key(self) -> str:
        """What a ledger knows it by."""
        return str(self)

    @property
    def entry(self) -> int:
        """The place, among the weights, of the layer that an input meets first."""
        return 0

    @property
    def linear(self) -> bool:
        """Whether there is no hidden layer."""
        return not self.hidden

    @property
    def layers(self) -> int:
        """Number of weight matrices."""
        return len(self.hidden) + 1

    def strengths(self, cocktail: Cocktail) -> Strengths:
        """Return the cocktail bound to this network. Raises `SettingError` where the two do not go together."""
        return cocktail.resolve(self.layers)

    def bound(self, inputs: Inputs, outputs: int) -> MLP:
        """Return this network: its layers do not depend on the data."""
        del inputs, outputs
        return self

    def shapes(self, inputs: Inputs, outputs: int) -> tuple[tuple[int, int], ...]:
        """Return the shape (out, in) of every weight matrix."""
        widths = (int(np.prod(inputs)), *self.hidden, outputs)
        return tuple((widths[i + 1], widths[i]) for i in range(self.layers))

    def size(self, inputs: Inputs, outputs: int) -> int:
        """Return the length P of the parameter vector."""
        return sum(o * i + o for o, i in self.shapes(inputs, outputs))

    def products(self, inputs: Inputs, outputs: int) -> int:
        """Return the multiplications of one row's forward pass, biases counted."""
        return self.size(inputs, outputs)

    def weights(
        self, parameters: np.ndarray, inputs: Inputs, outputs: int, *, batch_norm: bool = False
    ) -> list[np.ndarray]:
        """Return views of the weight matrices in the flat vector, in order: with ``batch_norm`` they stand there too.

        Here and below ``batch_norm`` is for modules, whose parameters are not folded, and makes no difference.
        """
        del batch_norm
        return [w for w, _ in self.unpack(parameters, inputs, outputs)]

    def initialize(self, seed: int, inputs: Inputs, outputs: int, *, batch_norm: bool = False) -> np.ndarray:
        """Return the starting parameters, (P,) float64: a pure function of seed and shape.

        With ``batch_norm``, (P + 4 H,) for H hidden units: behind them scales 1, shifts 0, running means 0 and
        running variances 1, each (H,) over all hidden layers.
        """
        draw = _drawn if self.size(inputs, outputs) <= MOST_KEPT else _drawn.__wrapped__
        parts = [draw(self, seed, inputs, outputs)]
        if batch_norm:
            units = sum(self.hidden)
            parts += [np.ones(units), np.zeros(2 * units), np.ones(units)]
        return np.concatenate(parts)

    def fold(self, parameters: np.ndarray, inputs: Inputs, outputs: int) -> np.ndarray:
        """Return the parameters (P,) of the plain network that equals a batch-normalized one in evaluation.

        There scale (W a + b - mean) / sqrt(variance + epsilon) + shift is affine in a. Parameters of length P, without
        batch normalization, come back as they are.
        """
        size, units = self.size(inputs, outputs), sum(self.hidden)
        if len(parameters) == size:
            return parameters
        scales, shifts, means, variances = parameters[size:].reshape(4, units)
        folded, at = [], 0
        pairs = self.unpack(parameters, inputs, outputs)
        for weights, bias in pairs[:-1]:
            here = slice(at, at + len(bias))
            factor = scales[here] / np.sqrt(variances[here] + EPSILON)
            folded.append((weights * factor[:, None], (bias - means[here]) * factor + shifts[here]))
            at += len(bias)
        return self.pack([*folded, pairs[-1]])

    def unpack(self, parameters: np.ndarray, inputs: Inputs, outputs: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return views (W of shape (out, in), b of shape (out,)) into the flat vector, layer by layer."""
        views, at = [], 0
        for out, fan_in in self.shapes(inputs, outputs):
            weights = parameters[at : at + out * fan_in].reshape(out, fan_in)
            at += out * fan_in
            views.append((weights, parameters[at : at + out]))
            at += out
        return views

    def pack(self, layers: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return the flat vector for [(W, b), ...]: the inverse of `unpack`."""
        return np.concatenate([np.ravel(part) for pair in layers for part in pair])

    def forward(self, parameters: np.ndarray, x: np.ndarray, outputs: int, *, batch_norm: bool = False) -> np.ndarray:
        """Return the outputs before any link (logits or values), (n, k), for x of shape (n, d)."""
        del batch_norm
        pairs = self.unpack(parameters, x.shape[1], outputs)
        for weights, bias in pairs[:-1]:
            x = activate(self.activation, x @ weights.T + bias)
        weights, bias = pairs[-1]
        return x @ weights.T + bias

    def unit_shares(
        self, parameters: np.ndarray, x: np.ndarray, outputs: int, *, batch_norm: bool = False
    ) -> tuple[float, float, float]:
        """Return which shares of the hidden units are always on, always off and saturated on x, (n, d).

        A unit is on where its pre-activation is above 0; one that is always off is dead (ReLU), one that is always on
        acts linearly. A tanh unit is saturated where it lies in its flat part (|tanh z| > 0.987) on 95% of the rows or
        more; other activations have one flat side, and their share is 0. All NaN without hidden layers or rows.
        """
        del batch_norm
        if not self.hidden or not len(x):
            return (float("nan"),) * 3
        on, off, flat = [], [], []
        for weights, bias in self.unpack(parameters, x.shape[1], outputs)[:-1]:
            z = x @ weights.T + bias
            on.append((z > 0).all(0))
            off.append((z <= 0).all(0))
            flat.append((np.abs(z) > SATURATED).mean(0) >= MOSTLY)
            x = activate(self.activation, z)
        shares = [float(np.concatenate(part).mean()) for part in (on, off, flat)]
        return shares[0], shares[1], shares[2] if self.activation == "tanh" else 0.0


def activate(name: str, z: np.ndarray) -> np.ndarray:
    """Return the activation of z, any shape.

    GELU is the exact x * Phi(x) (Hendrycks & Gimpel 2016), SiLU is x * sigmoid(x) (Elfwing et al. 2018), leaky ReLU
    max(x, 0.01 x) (Maas et al. 2013).
    """
    from scipy.special import expit, ndtr

    if name == "relu":
        return np.maximum(z, 0)
    if name == "leaky_relu":
        return np.where(z > 0, z, LEAK * z)
    if name == "tanh":
        return np.tanh(z)
    return z * (ndtr(z) if name == "gelu" else expit(z))


def link(task: str, outputs: np.ndarray) -> np.ndarray:
    """Turn outputs (..., k) into probabilities (sigmoid for binary, softmax for multiclass) or leave values."""
    if task == "regression":
        return outputs
    from scipy.special import expit, softmax

    return expit(outputs) if task == "binary" else softmax(outputs, axis=-1)


def apply_temperature(task: str, predictions: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``predictions`` (..., k) with logits divided by ``temperature``, of the same shape; regression as it is.

    Probabilities are clipped at float64's epsilon first. Raises `SettingError` for a temperature that is not above 0.

    >>> apply_temperature("binary", np.array([[0.8], [0.5]]), 2.0).round(3)
    array([[0.667],
           [0.5  ]])
    >>> apply_temperature("multiclass", np.array([[0.8, 0.1, 0.1]]), 0.5).round(3)
    array([[0.97 , 0.015, 0.015]])
    """
    from scipy.special import softmax

    if not (np.isfinite(temperature) and temperature > 0):
        raise SettingError("nets.bad_temperature", value=temperature)
    predictions = np.asarray(predictions, dtype=np.float64)
    if task == "regression" or temperature == 1:
        return predictions
    scaled = softmax(np.log(all_classes(predictions)) / temperature, axis=-1)
    return scaled[..., 1:] if task == "binary" else scaled


def all_classes(predictions: np.ndarray) -> np.ndarray:
    """Return the probabilities of all classes, clipped, (..., classes): of both where there is one output."""
    both = np.concatenate([1 - predictions, predictions], -1) if predictions.shape[-1] == 1 else predictions
    return np.clip(both, np.finfo(np.float64).eps, 1)


Network = MLP | Module
NetworkLike = MLP | Module | str | tuple[int, ...]


def as_network(value: NetworkLike | None) -> Network:
    """Return a network from a network, widths, None (64,32), or a text.

    A text is widths ("64,32", "64,32:tanh"), "linear", the name of a PyTorch module that comes with wellfit ("cnn"), or
    a file of one's own with the name of a module class in it ("nets/mine.py:Net"), which is run. Raises `SettingError`
    where it is none of these.
    """
    if value is None:
        return MLP()
    if isinstance(value, MLP | Module):
        return value
    if isinstance(value, tuple | list):
        return MLP(tuple(value))
    if callable(value):
        name = getattr(value, "__name__", type(value).__name__)
        plain = name.isidentifier()
        raise SettingError(
            "nets.nameless_module", name=name.lower() if plain else "my-net", factory=name if plain else "factory"
        )
    text = str(value).strip()
    if ".py:" in text:
        return module_of_file(text)
    if text in MODULES:
        return module(text)
    if text.lower() == "linear":
        return MLP(())
    widths, _, activation = text.partition(":")
    try:
        hidden = tuple(int(w) for w in widths.split(","))
    except ValueError:
        raise SettingError("nets.bad_text", value=text) from None
    return MLP(hidden, activation.strip().lower() or "relu")


@lru_cache(maxsize=16)  # cocktails and folds of a population start from the same few seeds
def _drawn(network: MLP, seed: int, inputs: Inputs, outputs: int) -> np.ndarray:
    """Return starting weights and biases, (P,) float64, not to be written to."""
    parts = []
    for layer, (out, fan_in) in enumerate(network.shapes(inputs, outputs)):
        gain = 1.0 if layer == network.layers - 1 else GAINS[network.activation]
        parts += [rng.normal(seed, rng.INIT, out * fan_in, epoch=layer) * np.sqrt(gain / fan_in), np.zeros(out)]
    return np.concatenate(parts)


def Linear() -> MLP:
    """Return the linear network: no hidden layer.

    >>> str(Linear())
    'linear'
    """
    return MLP(())
