"""What is measured inside one network: slopes, reliance on inputs, robustness, roughness, sub-networks, freedom.

Everything here is a pure function of a network's parameters and rows of its design matrix; nothing is trained.
``docs/workings.md`` has the formulas and their sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wellfit import rng
from wellfit.nets import MLP
from wellfit.nets.network import LEAK, activate, all_classes, link
from wellfit.records import Array, Averaging, Task

_EPS = float(np.finfo(np.float64).eps)
MOST_CELLS = 40_000_000  # numbers in a matrix of per-row derivatives
MOST_CURVED = 1500  # rows times outputs, beyond which curvature is not measured
ROUNDING = 1e-12
FREE = 1e-9  # the penalty of what has none, as a share of the mean curvature: it must not be 0
Predict = Callable[[Array], Array]


def loss_of(task: Task, y: Array, predictions: Array) -> Array:
    """Return each row's loss, (n,): cross-entropy, or the squared error. ``y`` and ``predictions`` are (n, k).

    >>> loss_of("binary", np.array([[1.0]]), np.array([[0.5]])).round(4)
    array([0.6931])
    """
    if task == "regression":
        return ((y - predictions) ** 2).sum(axis=1)
    chances = all_classes(predictions)
    wanted = np.hstack([1 - y, y]) if task == "binary" else y
    return -(wanted * np.log(chances)).sum(axis=1)


def slopes(network: MLP, parameters: Array, x: Array, outputs: int) -> Array:
    """Return the derivatives of the outputs before any link along each column, (n, k, d), at x (n, d)."""
    pairs = network.unpack(parameters, x.shape[1], outputs)
    bends, a = [], x
    for weights, bias in pairs[:-1]:
        z = a @ weights.T + bias
        bends.append(derivative(network.activation, z))
        a = activate(network.activation, z)
    found = np.broadcast_to(pairs[-1][0], (len(x), *pairs[-1][0].shape))
    for (weights, _), bend in zip(reversed(pairs[:-1]), reversed(bends), strict=True):
        found = (found * bend[:, None, :]) @ weights
    return np.array(found)


def derivative(name: str, z: Array) -> Array:
    """Return the activation's derivative at z, any shape; at a ReLU's kink 0."""
    from scipy.special import expit, ndtr

    if name == "relu":
        return (z > 0).astype(np.float64)
    if name == "leaky_relu":
        return np.where(z > 0, 1.0, LEAK)
    if name == "tanh":
        return 1 - np.tanh(z) ** 2
    if name == "gelu":
        return ndtr(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    s = expit(z)
    return s * (1 + z * (1 - s))


def sensitivities(found: Array, spreads: Array) -> Array:
    """Return the root mean squared slope along each column in units of its spread, (d,), from slopes (n, k, d)."""
    return np.sqrt((found**2).sum(axis=1).mean(axis=0)) * spreads


def reliance(sensitivity: Array) -> float:
    """Return on how many columns a network relies, as if evenly: (sum s)^2 / sum s^2, from 1 to d, of s (d,).

    The participation ratio (an inverse Herfindahl index); 0 where all are 0.

    >>> reliance(np.array([1.0, 1.0, 0.0])), reliance(np.array([5.0, 0.0]))
    (2.0, 1.0)
    """
    squares = float((sensitivity**2).sum())
    return float(sensitivity.sum() ** 2 / squares) if squares else 0.0


def under_noise(
    predict: Predict, task: Task, x: Array, y: Array, levels: Sequence[float], *, seed: int, draws: int
) -> Array:
    """Return the mean loss with Gaussian noise of these standard deviations on x (n, d), (levels,): equal draws."""
    found = np.zeros(len(levels))
    for draw in range(draws):
        noise = rng.normal(seed, rng.NOISE, x.size, epoch=draw).reshape(x.shape)
        found += [loss_of(task, y, predict(x + level * noise)).mean() for level in levels]
    return found / draws


def along_segments(predict: Predict, task: Task, starts: Array, ends: Array, points: int = 33) -> tuple[float, float]:
    """Return (roughness, crossings): means over the straight lines from ``starts`` to ``ends``, (m, d) each.

    Roughness is the length of the way that the prediction takes, less the distance of its ends: 0 for whatever only
    rises or only falls between two rows (a linear model). Distances are total variation of probabilities, |p - q| of
    two classes, or |difference| in regression. Crossings are changes of the likeliest class beyond the one that may be
    needed; NaN in regression.

    >>> bump = lambda x: np.abs(x)
    >>> along_segments(bump, "regression", np.array([[-1.0]]), np.array([[1.0]]))[0]
    2.0
    """
    at = np.linspace(0, 1, points)
    inside = starts[:, None, :] + at[:, None] * (ends - starts)[:, None, :]
    line = predict(inside.reshape(-1, starts.shape[1])).reshape(len(starts), points, -1)
    if task != "regression":
        line = np.concatenate([1 - line, line], -1) if line.shape[-1] == 1 else line
    half = 1.0 if task == "regression" else 0.5
    way = half * np.abs(np.diff(line, axis=1)).sum(axis=(1, 2))
    direct = half * np.abs(line[:, -1] - line[:, 0]).sum(axis=1)
    # Of what only rises or only falls, rounding is left.
    rough = float(np.where(way - direct > ROUNDING * np.maximum(way, 1), way - direct, 0).mean())
    if task == "regression":
        return rough, float("nan")
    classes = line.argmax(axis=2)
    changes = (np.diff(classes, axis=1) != 0).sum(axis=1) - (classes[:, 0] != classes[:, -1])
    return rough, float(changes.mean())


Masks = Sequence[Array]  # for the inputs and each hidden layer (units, M): 0, or 1/keep


def draw_masks(
    network: MLP, inputs: int, dropout: Sequence[float], input_dropout: float, *, count: int, seed: int
) -> list[Array]:
    """Return ``count`` sub-networks as masks for the inputs and each hidden layer, (units, count) each."""
    rates = (input_dropout, *dropout)
    return [
        rng.dropout_mask(seed, layer - 1, (units, count), rate, epoch=0, step=layer)
        if rate
        else np.ones((units, count))
        for layer, (units, rate) in enumerate(zip((inputs, *network.hidden), rates, strict=True))
    ]


def subnetwork(network: MLP, parameters: Array, x: Array, outputs: int, masks: Masks, m: int) -> Array:
    """Return the outputs before any link, (n, k), of sub-network ``m``: the same units dropped for every row."""
    pairs = network.unpack(parameters, x.shape[1], outputs)
    a = x * masks[0][:, m]
    for (weights, bias), mask in zip(pairs[:-1], masks[1:], strict=True):
        a = activate(network.activation, a @ weights.T + bias) * mask[:, m]
    weights, bias = pairs[-1]
    return a @ weights.T + bias


def averaged(network: MLP, parameters: Array, task: Task, x: Array, y: Array, masks: Masks) -> Averaging:
    """Return the whole network beside the average of its sub-networks, on x (n, d) and y (n, k).

    The geometric mean of probabilities, renormalized, is the link of the mean logits; in regression both means are the
    same. Without a hidden layer, or with one whose units alone are dropped, the whole network is exactly the geometric
    mean over all masks (Baldi & Sadowski 2013); deeper it approximates it.
    """
    count, outputs = masks[0].shape[1], y.shape[1]
    logits = np.array([subnetwork(network, parameters, x, outputs, masks, m) for m in range(count)])
    if task == "multiclass":
        logits -= logits.mean(axis=2, keepdims=True)
    single = np.array([link(task, z) for z in logits])
    whole = link(task, network.forward(parameters, x, outputs))
    arithmetic, geometric = single.mean(axis=0), link(task, logits.mean(axis=0))
    error = np.sqrt(single.var(axis=0, ddof=1).mean() / count)
    return Averaging(
        count=count,
        loss=float(loss_of(task, y, whole).mean()),
        arithmetic=float(loss_of(task, y, arithmetic).mean()),
        arithmetic_error=_jackknife(lambda p: loss_of(task, y, p).mean(), single),
        geometric=float(loss_of(task, y, geometric).mean()),
        geometric_error=_jackknife(lambda z: loss_of(task, y, link(task, z)).mean(), logits),
        single=float(np.mean([loss_of(task, y, p).mean() for p in single])),
        apart_arithmetic=_apart(whole, arithmetic),
        apart_geometric=_apart(whole, geometric),
        apart_error=float(error),
    )


def _apart(one: Array, other: Array) -> float:
    return float(np.sqrt(((one - other) ** 2).mean()))


def _jackknife(statistic: Callable[[Array], float], values: Array) -> float:
    """Return the standard error of a statistic of the mean of ``values`` (M, ...), by leaving each out once."""
    total, count = values.sum(axis=0), len(values)
    left = np.array([statistic((total - value) / (count - 1)) for value in values])
    return float(np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum()))


def shrinkage(before: Array, with_it: Array, without: Array) -> float:
    """Return by which factor one step shrinks a layer's weights on an ingredient's account.

    From the same weights ``before`` (out, in) one step is taken with the ingredient and one without; what the two
    differ by is the ingredient's part, and 1 + <W, difference> / <W, W> its factor along W. NaN for weights all 0.

    >>> w = np.array([[1.0, -2.0]])
    >>> round(shrinkage(w, 0.9 * w + 1, w + 1), 12)
    0.9
    """
    squares = float((before**2).sum())
    return 1 + float((before * (with_it - without)).sum()) / squares if squares else float("nan")


def curvature_freedom(
    network: MLP, parameters: Array, task: Task, x: Array, outputs: int, l2: Sequence[float]
) -> float:
    """Return the effective number of parameters by curvature: sum h / (h + l2) over the loss's curvatures h.

    H is the Gauss-Newton matrix of the mean loss on x (n, d), ``l2`` one strength a layer, biases without and
    counted (MacKay 1992; Moody 1992). Exact for linear models. NaN where x has too many rows or nothing is penalized.
    """
    n, size = len(x), len(parameters)
    if n * outputs > MOST_CURVED or n * outputs * size > MOST_CELLS or not any(l2):
        return float("nan")
    rows = _derivatives(network, parameters, x, outputs)  # (n, k, P)
    predictions = link(task, network.forward(parameters, x, outputs))
    if task == "regression":
        roots = np.broadcast_to(np.sqrt(2.0) * np.eye(outputs), (n, outputs, outputs))
    elif task == "binary":
        roots = np.sqrt(predictions * (1 - predictions))[:, :, None]
    else:  # diag(p) - p p' = R' R with R = diag(sqrt p) (I - 1 p')
        roots = np.sqrt(predictions)[:, :, None] * (np.eye(outputs) - predictions[:, None, :])
    a = (roots @ rows).reshape(-1, size) / np.sqrt(n)
    penalty = np.concatenate([
        np.concatenate([np.full(o * i, s), np.zeros(o)])
        for (o, i), s in zip(network.shapes(x.shape[1], outputs), l2, strict=True)
    ])  # fmt: skip
    penalty = np.maximum(penalty, FREE * float((a**2).sum(axis=0).mean()))
    scaled = a / np.sqrt(penalty)
    sizes = np.linalg.eigvalsh(scaled @ scaled.T if len(scaled) < size else scaled.T @ scaled).clip(0)
    return float((sizes / (1 + sizes)).sum())


def _derivatives(network: MLP, parameters: Array, x: Array, outputs: int) -> Array:
    """Return the derivatives of the outputs by every parameter, (n, k, P)."""
    pairs = network.unpack(parameters, x.shape[1], outputs)
    ins, bends, a = [x], [], x
    for weights, bias in pairs[:-1]:
        z = a @ weights.T + bias
        bends.append(derivative(network.activation, z))
        a = activate(network.activation, z)
        ins.append(a)
    back = np.broadcast_to(np.eye(outputs), (len(x), outputs, outputs))
    parts: list[Array] = []
    for layer in reversed(range(len(pairs))):
        by_weight = back[:, :, :, None] * ins[layer][:, None, None, :]
        parts[:0] = [by_weight.reshape(len(x), outputs, -1), np.array(back)]
        if layer:
            back = (back @ pairs[layer][0]) * bends[layer - 1][:, None, :]
    return np.concatenate(parts, axis=2)


def perturbed_freedom(changes: Array, directions: Array, size: float) -> tuple[float, float]:
    """Return the generalized degrees of freedom and their Monte-Carlo standard error.

    The sum over rows of how much the fitted value follows its own target (Ye 1998). ``directions`` (M, n, k) are random
    signs laid on the targets times ``size`` up and down, ``changes`` (M, n, k) the fitted values of the one less those
    of the other. The mean over M of directions times changes over twice the size estimates the trace without bias
    for a linear fit.
    """
    each = (directions * changes).sum(axis=(1, 2)) / (2 * size)
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
    return float(each.mean()), error
