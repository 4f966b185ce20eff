"""The textbook network in plain NumPy: what the engines are checked against, and what a learner reads.

A network of any depth with ReLU hidden layers, trained by full-batch gradient descent, with L1, L2, elastic net
(both at once) and dropout, one strength per layer. Read from top to bottom: `train` at the end is the whole algorithm.

Notation, as in the textbook exercise: examples are *columns*. m examples, d features, k outputs, L layers.

=========  ==========  ====================================================================
``X``      (d, m)      the examples
``Y``      (k, m)      the targets: 0/1 (binary), one-hot (multiclass), values (regression)
``W``      (out, in)   a layer's weights
``b``      (out, 1)    its biases
``Z``      (out, m)    ``W A + b``, before the activation; the last one holds the logits
``A``      (out, m)    after the activation
=========  ==========  ====================================================================

What is minimized is ``mean loss + sum over layers (l1 sum|W| + l2/2 sum W^2)``; biases are never penalized. The
exercise writes ``lambda/(2m) sum W^2``: that is ``l2 = lambda/m``. Written for clarity: the engines are the fast ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from wellfit import rng
from wellfit.errors import SettingError
from wellfit.records import Array, Task

# One (W, b) per layer, first layer first; gradients have the same form.
Parameters = Sequence[tuple[Array, Array]]
# One number for all layers, or one per layer.
Strengths = float | Sequence[float]
Random = np.random.RandomState | np.random.Generator


class Pass(NamedTuple):
    """What a forward pass leaves behind for the backward pass.

    ``inputs[l]`` is (in, m), what layer l saw (``inputs[0]`` is X); ``scales[l]`` is what dropout multiplied hidden
    layer l's activations by, (out, m), or None; ``logits`` is the last Z, (k, m).
    """

    inputs: list[Array]
    scales: list[Array | None]
    logits: Array


def initialize_parameters(sizes: Sequence[int], random: Random) -> Parameters:
    """Return starting parameters for layers of these sizes: W is N(0, 1/in), b is 0.

    ``sizes`` is (d, hidden..., k). The draws come layer by layer from ``random``; the textbook exercise's own are
    those of ``np.random.RandomState(3)``.

    >>> [W.shape for W, b in initialize_parameters((2, 20, 3, 1), np.random.RandomState(3))]
    [(20, 2), (3, 20), (1, 3)]
    """
    return [
        (random.standard_normal((out, fan_in)) / np.sqrt(fan_in), np.zeros((out, 1))) for fan_in, out in pairwise(sizes)
    ]


def relu(Z: Array) -> Array:
    """Return max(0, Z), any shape."""
    return np.maximum(Z, 0)


def sigmoid(Z: Array) -> Array:
    """Return 1/(1 + exp(-Z)), any shape; Z below -700, where exp(-Z) would overflow, gives what -700 gives: 1e-304.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).round(12).tolist()
    [0.0, 0.5, 1.0]
    """
    return 1 / (1 + np.exp(-np.maximum(Z, -700)))


def softmax(Z: Array) -> Array:
    """Return exp(Z) over its sum down each column, (k, m); the column's maximum is taken off first: no overflow."""
    powers = np.exp(Z - Z.max(axis=0))
    return powers / powers.sum(axis=0)


def outputs(logits: Array, task: Task) -> Array:
    """Return the last A, (k, m): probabilities from logits by sigmoid or softmax, or the values of a regression."""
    if task == "regression":
        return logits
    return sigmoid(logits) if task == "binary" else softmax(logits)


def forward(X: Array, parameters: Parameters, keep: Strengths = 1.0) -> Pass:
    """Return the forward pass over X, (d, m), as it is done at test time: no unit is dropped.

    ``keep`` stays 1 for a network trained without dropout or with inverted dropout. A network trained with
    *classical* dropout saw only the share ``keep`` of its hidden activations while it was trained, so here, at test
    time, they are multiplied by ``keep`` (one number, or one per hidden layer).
    """
    shares = _shares(keep, len(parameters) - 1)
    inputs = [X]
    for (W, b), share in zip(parameters[:-1], shares, strict=True):
        A = relu(W @ inputs[-1] + b)
        inputs.append(A if share == 1 else A * share)
    W, b = parameters[-1]
    return Pass(inputs, [None] * len(shares), W @ inputs[-1] + b)


def forward_with_dropout(
    X: Array, parameters: Parameters, keep: Strengths, random: Random, *, inverted: bool = True
) -> Pass:
    """Return the forward pass over X, (d, m), as it is done in training: each hidden unit is kept with chance ``keep``.

    Every unit is dropped for each example anew; a layer whose share is 1 keeps all and draws nothing.

    *Inverted* dropout divides the kept activations by ``keep``; their expectation is then the activation itself, and
    at test time nothing needs doing. *Classical* dropout (``inverted=False``; Srivastava et al. 2014) does not divide;
    their expectation is ``keep`` times the activation, which `forward` makes up for at test time. The two are one
    model in two notations: inverted with ``keep W`` in the following layer is classical with ``W``.
    """
    shares = _shares(keep, len(parameters) - 1)
    inputs, scales = [X], []
    for (W, b), share in zip(parameters[:-1], shares, strict=True):
        A = relu(W @ inputs[-1] + b)
        scale = None
        if share != 1:
            mask = random.random(A.shape) < share
            scale = mask / share if inverted else mask.astype(A.dtype)
            A = A * scale
        inputs.append(A)
        scales.append(scale)
    W, b = parameters[-1]
    return Pass(inputs, scales, W @ inputs[-1] + b)


def textbook_cost(A: Array, Y: Array) -> float:
    """Return the mean cross-entropy of probabilities A, (1, m), as textbooks print it: read it, do not run it.

    Beyond logits of about 37 the sigmoid rounds to 1, ``log(1 - A)`` is infinite, and the sum is infinite or not a
    number. `cost` is the same quantity from the logits, always finite, and equal wherever this one is finite.
    """
    return float(np.mean(-(Y * np.log(A) + (1 - Y) * np.log(1 - A))))


def cost(
    logits: Array,
    Y: Array,
    parameters: Parameters = (),
    l1: Strengths = 0.0,
    l2: Strengths = 0.0,
    task: Task = "binary",
) -> float:
    """Return the mean loss of logits (k, m) against Y (k, m), plus the penalties where ``parameters`` are given.

    The loss of one example, straight from its logits z:

    - binary: ``log(1 + exp(z)) - y z``, which is `textbook_cost` with ``a = sigmoid(z)`` put in and simplified;
    - multiclass: ``log(sum of exp(z)) - z of the right class``;
    - regression: ``(y - z)^2``, without 1/2.
    """
    if task == "binary":
        losses = np.logaddexp(0, logits) - Y * logits
    elif task == "multiclass":
        top = logits.max(axis=0)
        losses = top + np.log(np.exp(logits - top).sum(axis=0)) - (Y * logits).sum(axis=0)
    else:
        losses = (Y - logits) ** 2
    return float(losses.sum() / Y.shape[1]) + penalty(parameters, l1, l2)


def penalty(parameters: Parameters, l1: Strengths = 0.0, l2: Strengths = 0.0) -> float:
    """Return ``l1 sum|W| + l2/2 sum W^2`` summed over the layers. An elastic net is both strengths at once."""
    ones, twos = per_layer(l1, len(parameters), "l1"), per_layer(l2, len(parameters), "l2")
    return sum(
        float(one * np.abs(W).sum() + two / 2 * np.square(W).sum())
        for (W, _), one, two in zip(parameters, ones, twos, strict=True)
    )


def backward(
    result: Pass, Y: Array, parameters: Parameters, l1: Strengths = 0.0, l2: Strengths = 0.0, task: Task = "binary"
) -> Parameters:
    """Return the gradient of `cost` with respect to every (W, b), for the units that ``result`` kept.

    The loss's derivative with respect to the last Z is ``(A - Y)/m`` with a sigmoid or a softmax on top, and twice
    that for the squared error. |W| has no derivative at 0: its subgradient ``sign(W)`` takes 0 there.
    """
    ones, twos = per_layer(l1, len(parameters), "l1"), per_layer(l2, len(parameters), "l2")
    dZ = (outputs(result.logits, task) - Y) / Y.shape[1]
    if task == "regression":
        dZ = 2 * dZ
    gradients = []
    for layer in reversed(range(len(parameters))):
        W, A = parameters[layer][0], result.inputs[layer]
        dW = dZ @ A.T
        if twos[layer]:
            dW += twos[layer] * W
        if ones[layer]:
            dW += ones[layer] * np.sign(W)
        gradients.append((dW, dZ.sum(axis=1, keepdims=True)))
        if layer > 0:
            dZ = (W.T @ dZ) * (A > 0)
            scale = result.scales[layer - 1]
            if scale is not None:
                dZ *= scale
    return gradients[::-1]


def update(parameters: Parameters, gradients: Parameters, learning_rate: float, l1: Strengths = 0.0) -> Parameters:
    """Return the parameters after one step of gradient descent, and with ``l1`` after its proximal step.

    The proximal step moves every weight ``learning_rate * l1`` towards 0 and stops there, so that zeros are exact; a
    subgradient step (`backward` with ``l1``) jumps back and forth across 0 for ever. Use one or the other.
    """
    ones = per_layer(l1, len(parameters), "l1")
    new = []
    for (W, b), (dW, db), one in zip(parameters, gradients, ones, strict=True):
        V = W - learning_rate * dW
        if one:
            V = np.sign(V) * np.maximum(np.abs(V) - learning_rate * one, 0)
        new.append((V, b - learning_rate * db))
    return new


def train(
    X: Array,
    Y: Array,
    parameters: Parameters,
    *,
    learning_rate: float,
    iterations: int,
    l1: Strengths = 0.0,
    l2: Strengths = 0.0,
    keep: Strengths = 1.0,
    masks: Callable[[int], Random] | None = None,
    proximal: bool = True,
    task: Task = "binary",
    every: int = 1000,
) -> tuple[Parameters, dict[int, float]]:
    """Train on X (d, m) and Y (k, m); return the final parameters and the cost before every ``every``-th update.

    The cost is the one being descended: penalties included, and with dropout that of the units kept in that pass. It
    stands under the number of updates done, and once more before the last. ``masks(iteration)`` is the source that
    dropout draws from (default: fresh masks at every pass; the textbook exercise's way is `redraw_from`).
    ``proximal`` chooses the step for l1: proximal, or the textbook's subgradient. Raises `SettingError`.

    >>> X, Y = np.array([[-2.0, -1.0, 1.0, 2.0]]), np.array([[0.0, 0.0, 1.0, 1.0]])
    >>> start = initialize_parameters((1, 3, 1), np.random.RandomState(3))
    >>> fitted, costs = train(X, Y, start, learning_rate=0.3, iterations=200, l2=0.01, every=100)
    >>> {done: round(value, 3) for done, value in costs.items()}
    {0: 1.916, 100: 0.101, 199: 0.071}
    """
    fresh = rng.generator(0, rng.DROPOUT)
    masks = masks or (lambda _: fresh)
    costs = {}
    for done in range(iterations):
        result = forward(X, parameters) if keep == 1 else forward_with_dropout(X, parameters, keep, masks(done))
        if done % every == 0 or done == iterations - 1:
            costs[done] = cost(result.logits, Y, parameters, l1, l2, task)
        gradients = backward(result, Y, parameters, 0.0 if proximal else l1, l2, task)
        parameters = update(parameters, gradients, learning_rate, l1 if proximal else 0.0)
    return parameters, costs


def redraw_from(seed: int) -> Callable[[int], Random]:
    """Return ``masks`` for `train` that start again from ``seed`` at every pass, as the textbook exercise does.

    Every pass then drops the *same* units of the same examples: repeatable to the last digit, but one fixed thinned
    network, not the average over thinned networks that dropout is. Fresh masks are what the engines draw.
    """
    random = np.random.RandomState(seed)

    def start_again(_: int) -> Random:
        random.seed(seed)
        return random

    return start_again


def predict(X: Array, parameters: Parameters, keep: Strengths = 1.0) -> Array:
    """Return the class, 0 or 1, that a binary network gives each example: (1, m). A logit above 0 is P above 1/2."""
    return (forward(X, parameters, keep).logits > 0).astype(np.int64)


def accuracy(X: Array, Y: Array, parameters: Parameters, keep: Strengths = 1.0) -> float:
    """Return the share of examples whose class, 0 or 1, `predict` gets right."""
    return float(np.mean(predict(X, parameters, keep) == Y))


def numerical_gradients(function: Callable[[Parameters], float], parameters: Parameters, step: float) -> Parameters:
    """Return the gradient of ``function`` by central differences: ``(f(p + step) - f(p - step)) / (2 step)``.

    One parameter at a time, so two evaluations for each: slow, and independent of `backward`.
    """
    arrays = [part.astype(np.float64) for pair in parameters for part in pair]
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    gradients = []
    for array in arrays:
        gradient = np.empty_like(array)
        for place in np.ndindex(array.shape):
            value = array[place]
            array[place] = value + step
            above = function(pairs)
            array[place] = value - step
            below = function(pairs)
            array[place] = value
            gradient[place] = (above - below) / (2 * step)
        gradients.append(gradient)
    return list(zip(gradients[::2], gradients[1::2], strict=True))


def check_gradients(
    X: Array,
    Y: Array,
    parameters: Parameters,
    *,
    l1: Strengths = 0.0,
    l2: Strengths = 0.0,
    keep: Strengths = 1.0,
    task: Task = "binary",
    seed: int = 1,
    step: float = 1e-6,
) -> float:
    """Return how far `backward` is from central differences: ``|a - n| / (|a| + |n|)``, Euclidean norms.

    Dropout's masks are drawn from ``seed`` alike in every pass, so that one function is differentiated. Expect below
    1e-6; a wrong formula gives 1e-2 or more. ReLU and |W| have kinks: a parameter within ``step`` of one may raise it.
    """
    masks = redraw_from(seed)

    def passed(at: Parameters) -> Pass:
        return forward(X, at) if keep == 1 else forward_with_dropout(X, at, keep, masks(0))

    def function(at: Parameters) -> float:
        return cost(passed(at).logits, Y, at, l1, l2, task)

    ours = flat(backward(passed(parameters), Y, parameters, l1, l2, task))
    theirs = flat(numerical_gradients(function, parameters, step))
    return float(np.linalg.norm(ours - theirs) / (np.linalg.norm(ours) + np.linalg.norm(theirs)))


def flat(parameters: Parameters) -> Array:
    """Return all parameters as one vector: each layer's W row by row, then its b, as in `wellfit.nets.MLP`."""
    return np.concatenate([np.ravel(part) for pair in parameters for part in pair])


def unflatten(vector: Array, sizes: Sequence[int]) -> Parameters:
    """Return the parameters of layers of these sizes from one vector: the inverse of `flat`."""
    pairs, at = [], 0
    for fan_in, out in pairwise(sizes):
        W = vector[at : at + out * fan_in].reshape(out, fan_in)
        at += out * fan_in
        pairs.append((W, vector[at : at + out].reshape(out, 1)))
        at += out
    return pairs


def per_layer(strength: Strengths, places: int, name: str) -> Sequence[float]:
    """Return one strength for each of ``places`` layers. Raises `SettingError` where another number of them is given.

    >>> per_layer(0.5, 3, "l2")
    (0.5, 0.5, 0.5)
    """
    if isinstance(strength, (int, float, np.number)):
        return (strength,) * places
    if len(strength) != places:
        raise SettingError("reference.wrong_count", name=name, given=len(strength), needed=places)
    return strength


def _shares(keep: Strengths, places: int) -> Sequence[float]:
    shares = per_layer(keep, places, "keep")
    for share in shares:
        if not 0 < share <= 1:
            raise SettingError("reference.bad_keep", value=share)
    return shares
