"""A small engine in plain NumPy that keeps the contract of `wellfit.engines.base`: gradient descent on an MLP.

It stands in for the compiled engine where a test is about populations, not about training. It knows ``l2``, ``l1``
(plain proximal step) and ``early_stopping``, in batches, in float64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit, log_softmax, softmax

from wellfit import rng
from wellfit.engines.base import CURVES, Member, State
from wellfit.nets.training import batches, checkpoints
from wellfit.records import Fold, FoldData, TrainingData


class NumpyEngine:
    name, version = "numpy", "1"

    def __init__(self) -> None:
        self.advanced: list[Member] = []

    def supports(self, member, data):
        strengths = member.cocktail.resolve(member.network.layers)
        if any(strengths.dropout) or any(strengths.weight_decay):
            return "the NumPy engine knows no dropout and no weight decay"
        if member.network.activation != "relu":
            return "the NumPy engine knows ReLU only"
        return None

    def init(self, members, data):
        states = []
        for m in members:
            inputs = data.folds[m.fold].x.shape[1]
            start = m.network.initialize(m.seed, inputs, data.outputs)
            curves = np.full((len(checkpoints(m.training.epochs)), len(CURVES)), np.nan)
            best = start.copy() if m.cocktail.resolve(m.network.layers).early_stopping else np.empty(0)
            states.append(State(start, np.zeros((2, start.size)), best, curves))
        return states

    def advance(self, members, states, until, data):
        with np.errstate(all="ignore"):
            return [self._member(*each, data) for each in zip(members, states, until, strict=True)]

    def _member(self, m, state, until, data):
        if state.status != "running" or state.epoch >= until:
            return state
        self.advanced.append(m)
        fold, strengths = data.folds[m.fold], m.cocktail.resolve(m.network.layers)
        points = checkpoints(m.training.epochs)
        state = replace(state, parameters=state.parameters.copy(), curves=state.curves.copy())
        if state.epoch == 0 and np.isnan(state.curves[0, 0]):
            state = _record(m, state, 0, fold, data, strengths)
        while state.epoch < until and state.status == "running":
            rows, epoch = fold.rows.train, state.epoch
            steps, batch = batches(len(rows), m.training.batch_size)
            order = rows if steps == 1 else rows[rng.permutation(m.seed, rng.SHUFFLE, len(rows), epoch=epoch)]
            for s in range(steps):
                take = order[s * batch : (s + 1) * batch]
                _step(m, state.parameters, fold.x[take], fold.y[take], data.task, strengths)
            state = replace(state, epoch=epoch + 1, step=state.step + steps)
            if not np.isfinite(state.parameters).all():
                state = replace(state, status="diverged")
            elif state.epoch in points:
                state = _record(m, state, int(np.searchsorted(points, state.epoch)), fold, data, strengths)
        if state.status == "running" and state.epoch == m.training.epochs:
            state = replace(state, status="finished")
        return state


def _step(m, parameters, x, y, task, strengths):
    pairs = m.network.unpack(parameters, x.shape[1], y.shape[1])
    inputs = [x]
    for w, b in pairs[:-1]:
        inputs.append(np.maximum(inputs[-1] @ w.T + b, 0))
    raw = inputs[-1] @ pairs[-1][0].T + pairs[-1][1]
    out = expit(raw) if task == "binary" else softmax(raw, axis=1) if task == "multiclass" else raw
    delta = (out - y) / len(x) * (2 if task == "regression" else 1)
    rate = m.training.learning_rate
    for layer in range(len(pairs) - 1, -1, -1):
        w, b = pairs[layer]
        gw, gb = delta.T @ inputs[layer], delta.sum(0)
        delta = (delta @ w) * (inputs[layer] > 0)
        w -= rate * (gw + strengths.l2[layer] * w)
        b -= rate * gb
        w[:] = np.sign(w) * np.maximum(np.abs(w) - rate * strengths.l1[layer], 0)


def _measure(m, parameters, fold, rows, data):
    if not len(rows):
        return np.nan, np.nan
    raw, y = m.network.forward(parameters, fold.x[rows], data.outputs), fold.y[rows]
    if data.task == "regression":
        return ((raw - y) ** 2).mean(), np.nan
    if data.task == "binary":
        return (np.logaddexp(0, raw) - y * raw).mean(), ((raw > 0) == y).mean()
    return -(y * log_softmax(raw, axis=1)).sum(1).mean(), (raw.argmax(1) == y.argmax(1)).mean()


def _record(m, state, at, fold, data, strengths):
    p, rows = state.parameters, fold.rows
    (train, stop, score) = (_measure(m, p, fold, r, data) for r in (rows.train, rows.stop, rows.score))
    pairs = m.network.unpack(p, fold.x.shape[1], data.outputs)
    penalty = sum(
        a * np.abs(w).sum() + b / 2 * (w**2).sum()
        for a, b, (w, _) in zip(strengths.l1, strengths.l2, pairs, strict=True)
    )
    state.curves[at] = [train[0], stop[0], score[0], penalty, train[1], stop[1], score[1]]
    early = strengths.early_stopping
    if early is None:
        return state
    if stop[0] < state.best_loss - early.min_delta:
        return replace(state, best_loss=stop[0], best_epoch=state.epoch, best_parameters=p.copy(), waited=0)
    waited = state.waited + 1
    return replace(state, waited=waited, status="stopped" if waited >= early.patience else state.status)


def make_data(task="binary", rows=60, features=3, folds=3, *, stop=False, seed=0, noise=0.5, classes=3, name="hand"):
    """A TrainingData made by hand: K folds, and with ``stop`` K more with stop rows and the same score rows."""
    draw = rng.generator(seed, rng.DATA)
    x = draw.normal(size=(rows, features))
    value = x[:, 0] + noise * draw.normal(size=rows)
    if task == "regression":
        y = value[:, None]
    elif task == "binary":
        y = (value > 0).astype(float)[:, None]
    else:
        edges = np.quantile(value, np.arange(1, classes) / classes)
        y = np.eye(classes)[np.digitize(value, edges)]
    parts = np.array_split(np.arange(rows), folds)
    made = []
    for with_stop in (False, True)[: 1 + stop]:
        for k in range(folds):
            train = np.concatenate([p for j, p in enumerate(parts) if j != k])
            held = train[::6] if with_stop else train[:0]
            fold = Fold(np.setdiff1d(train, held), held, parts[k])
            unit = dict(loss_unit=4.0, target_mean=1.0, target_scale=2.0) if task == "regression" else {}
            made.append(FoldData(x, y, fold, **unit))
    return TrainingData(task, y.shape[1], tuple(made), f"{name}-{task}-{rows}-{features}-{folds}-{stop}-{seed}")
