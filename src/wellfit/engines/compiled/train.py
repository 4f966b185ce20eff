"""The training loop of one member, compiled whole: batches, passes, steps, curves, early stopping, divergence."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wellfit.engines.compiled.activations import RELU, activate, activate_and_drop, rectify, through
from wellfit.engines.compiled.draws import keep_mask, shuffle
from wellfit.engines.compiled.jit import entry_kernel, kernel
from wellfit.engines.compiled.losses import loss_gradient, loss_sum
from wellfit.engines.compiled.lowlevel import flush_subnormals, piece, restore_subnormals
from wellfit.engines.compiled.optimizers import ADAM, BETA1, BETA2, step
from wellfit.engines.compiled.tiles import LANES, back_product, outer_product, product, row_sums

RUNNING, FINISHED, STOPPED, DIVERGED = range(4)
# Places in Progress.counts.
EPOCH, BATCH, STEP, CHECKPOINT, BEST_EPOCH, WAITED, STATUS = range(7)


class Plan(NamedTuple):
    """What stays the same through a member's training; codes are those of the kernels' files."""

    activation: int
    loss: int
    optimizer: int
    nesterov: bool
    momentum: float
    learning_rate: float
    cosine: bool
    epochs: int
    batch: int  # rows of a usual batch
    batches: int  # in an epoch
    full: bool  # all training rows at once, in their own order
    patience: int  # 0: no early stopping
    min_delta: float
    key0: int
    key1: int
    shuffle_stream: int
    dropout_stream: int
    capacity: int  # columns that the buffers hold


class Layout(NamedTuple):
    """The network's sizes and strengths, by layer."""

    widths: np.ndarray  # (L + 1,) int64, inputs first
    at: np.ndarray  # (L + 1,) int64: where each layer's piece of z, slope and error starts
    strengths: np.ndarray  # (3 L,) in the member's precision: l1, l2, decoupled decay
    rates: np.ndarray  # (L,) float64, dropout after each layer; 0 after the last
    checkpoints: np.ndarray  # (c,) int64


class Rows(NamedTuple):
    """The fold's data: x (n d,) and y (n k,) flat in the member's precision, and row indices (int64)."""

    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    curve: np.ndarray  # training rows on which the training curve is measured
    stop: np.ndarray
    score: np.ndarray


class Progress(NamedTuple):
    """The mutable state: parameters (P,), moments (2 P,), best (P,) or empty, curves (c 7,), counts, best loss (1,)."""

    parameters: np.ndarray
    moments: np.ndarray
    best: np.ndarray
    curves: np.ndarray
    counts: np.ndarray
    best_loss: np.ndarray


class Work(NamedTuple):
    """Buffers: activations z, slopes, errors, the mask of one layer, one batch, gradient, order, zeros, two rows."""

    z: np.ndarray
    slope: np.ndarray
    error: np.ndarray
    mask: np.ndarray
    x: np.ndarray  # (d m,)
    y: np.ndarray  # (k m,)
    gradient: np.ndarray
    order: np.ndarray
    zeros: np.ndarray
    rows: np.ndarray  # (2 m,): work rows of the loss
    loaded: np.ndarray  # (1,) int64: whether x holds the one batch of a full-batch training


@kernel
def _bare(a):
    """The array as a view that is not reference-counted: the caller of `train` keeps it alive."""
    return piece(a, 0, a.size)


@kernel
def _load(xs, ys, d, k, order, start, count, m, x, y):
    """Copy ``count`` rows of xs and ys as columns of x (d, m) and y (k, m); padding columns are 0."""
    for i in range(count):
        row = order[start + i]
        source = piece(xs, row * d, d)
        for j in range(d):
            x[j * m + i] = source[j]
        for j in range(k):
            y[j * m + i] = ys[row * k + j]
    for i in range(count, m):
        for j in range(d):
            x[j * m + i] = 0
        for j in range(k):
            y[j * m + i] = 0


@kernel
def forward(plan, layout, p, x, z, slope, mask, m, dropping, epoch, batch):
    """Outputs of all layers for the batch x (d, m); z of the last layer holds logits or values."""
    layers = layout.widths.size - 1
    k0, k1 = np.uint32(plan.key0), np.uint32(plan.key1)
    w_at, before = np.int64(0), x
    for layer in range(layers):
        n, o, here = layout.widths[layer], layout.widths[layer + 1], layout.at[layer]
        out = piece(z, here, o * m)
        product(p, w_at, o, n, before, w_at + o * n, out, m)
        w_at += o * n + o
        before = out
        if layer == layers - 1:
            return
        rate = layout.rates[layer]
        if dropping > 0 and rate > 0:
            threshold = max(1, round((1.0 - rate) * 65536.0))
            keep_mask(mask, o * m, threshold, k0, k1, plan.dropout_stream + layer, epoch, batch)
            activate_and_drop(plan.activation, out, piece(slope, here, o * m), mask)
        elif plan.activation == RELU:
            rectify(out)
        else:
            activate(plan.activation, out, piece(slope, here, o * m))


@kernel
def backward(plan, layout, p, x, z, slope, errors, zeros, m, g):
    """The gradient of the mean loss into ``g``; z of the last layer holds dJ/dZ on entry."""
    layers = layout.widths.size - 1
    w_at = p.size
    error = piece(z, layout.at[layers - 1], layout.widths[layers] * m)
    for layer in range(layers - 1, -1, -1):
        n, o = layout.widths[layer], layout.widths[layer + 1]
        w_at -= o * n + o
        row_sums(error, o, m, g, w_at + o * n)
        if layer == 0:
            outer_product(error, o, x, n, m, g, w_at)
            return
        below = layout.at[layer - 1]
        inputs, e = piece(z, below, n * m), piece(errors, below, n * m)
        outer_product(error, o, inputs, n, m, g, w_at)
        back_product(p, w_at, o, n, error, zeros, e, m)
        through(plan.activation, e, piece(slope, below, n * m), inputs, layout.rates[layer - 1] > 0)
        error = e


@kernel
def update(plan, layout, p, moments, g, done):
    """Optimizer step number ``done`` + 1 on every piece: weights with their layer's strengths, biases without any."""
    cast = p.dtype.type
    rate = plan.learning_rate
    if plan.cosine:
        rate *= 0.5 * (1.0 + math.cos(math.pi * done / (plan.epochs * plan.batches)))
    lr, momentum, none = cast(rate), cast(plan.momentum), cast(0)
    correct1, correct2 = none, none
    if plan.optimizer == ADAM:
        correct1, correct2 = cast(1.0 / (1.0 - BETA1 ** (done + 1))), cast(1.0 / (1.0 - BETA2 ** (done + 1)))
    at, layers = 0, layout.widths.size - 1
    for half in range(2 * layers):
        layer, bias = half >> 1, half & 1
        o = layout.widths[layer + 1]
        size = o if bias else o * layout.widths[layer]
        l1, l2, decay = none, none, none
        if not bias:
            l1, l2 = layout.strengths[layer], layout.strengths[layers + layer]
            decay = layout.strengths[2 * layers + layer]
        w, gradient = piece(p, at, size), piece(g, at, size)
        u, v = piece(moments, at, size), piece(moments, p.size + at, size)
        step(plan.optimizer, w, gradient, u, v, lr, l1, l2, decay, momentum, plan.nesterov, correct1, correct2)
        at += size


@kernel
def measure(plan, layout, p, rows, indices, work):
    """Return (mean loss, share classified right) on the rows ``indices``, in evaluation mode; NaN for no rows."""
    loss, right, n = 0.0, 0, indices.size
    if n == 0:
        return np.nan, np.nan
    last = layout.widths.size - 2
    d, k = layout.widths[0], layout.widths[last + 1]
    start = np.int64(0)
    while start < n:
        count = min(plan.capacity, n - start)
        m = (count + LANES - 1) // LANES * LANES
        _load(rows.x, rows.y, d, k, indices, start, count, m, work.x, work.y)
        forward(plan, layout, p, work.x, work.z, work.slope, work.mask, m, np.int64(0), start, start)
        some, more = loss_sum(plan.loss, piece(work.z, layout.at[last], k * m), work.y, k, m, count)
        loss += some
        right += more
        start += count
    return loss / n, right / n


@kernel
def penalty(layout, p):
    """Return sum over layers of l1 sum|W| + l2/2 sum W^2, in float64."""
    total, at, layers = 0.0, 0, layout.widths.size - 1
    for layer in range(layers):
        n, o = layout.widths[layer], layout.widths[layer + 1]
        ones, squares = 0.0, 0.0
        for j in range(at, at + o * n):
            w = float(p[j])
            ones += abs(w)
            squares += w * w
        total += layout.strengths[layer] * ones + 0.5 * layout.strengths[layers + layer] * squares
        at += o * n + o
    return total


@kernel
def record(plan, layout, rows, progress, work):
    """Measure the curves at a checkpoint; keep the best weights and count patience where early stopping is on."""
    counts, p = progress.counts, progress.parameters
    curve = piece(progress.curves, 7 * counts[CHECKPOINT], 7)
    for part in range(3):
        indices = rows.curve if part == 0 else (rows.stop if part == 1 else rows.score)
        curve[part], curve[4 + part] = measure(plan, layout, p, rows, indices, work)
    curve[3] = penalty(layout, p)
    counts[CHECKPOINT] += 1
    work.loaded[0] = 0
    if not math.isfinite(curve[0]):
        counts[STATUS] = DIVERGED
    elif plan.patience > 0:
        if curve[1] < progress.best_loss[0] - plan.min_delta or counts[CHECKPOINT] == 1:
            progress.best_loss[0] = curve[1]
            counts[BEST_EPOCH] = counts[EPOCH]
            counts[WAITED] = 0
            for j in range(p.size):
                progress.best[j] = p[j]
        else:
            counts[WAITED] += 1
            if counts[WAITED] >= plan.patience:
                counts[STATUS] = STOPPED


@kernel
def _finite(p):
    """Return whether all parameters are finite: a ReLU can hide NaN from the loss, so the weights are asked."""
    total = p.dtype.type(0)
    for j in range(p.size):
        total += abs(p[j])
    return math.isfinite(total)


@kernel
def _one_step(plan, layout, rows, progress, work):
    """One batch: load, forward, backward, update."""
    counts, p = progress.counts, progress.parameters
    n, epoch, batch = rows.train.size, counts[EPOCH], counts[BATCH]
    last = layout.widths.size - 2
    d, k = layout.widths[0], layout.widths[last + 1]
    start = batch * plan.batch
    count = n - start if batch == plan.batches - 1 else plan.batch
    m = (count + LANES - 1) // LANES * LANES
    if not plan.full:
        if batch == 0:
            shuffle(rows.train, work.order, np.uint32(plan.key0), np.uint32(plan.key1), plan.shuffle_stream, epoch)
        _load(rows.x, rows.y, d, k, work.order, start, count, m, work.x, work.y)
    elif work.loaded[0] == 0:
        _load(rows.x, rows.y, d, k, rows.train, start, n, m, work.x, work.y)
        work.loaded[0] = 1
    forward(plan, layout, p, work.x, work.z, work.slope, work.mask, m, np.int64(1), epoch, batch)
    out = piece(work.z, layout.at[last], k * m)
    loss_gradient(plan.loss, out, work.y, k, m, count, piece(work.rows, 0, m), piece(work.rows, m, m))
    backward(plan, layout, p, work.x, work.z, work.slope, work.error, work.zeros, m, work.gradient)
    update(plan, layout, p, progress.moments, work.gradient, counts[STEP])
    counts[STEP] += 1


@entry_kernel
def train(plan, layout, rows, progress, work, until, budget):
    """Train to the absolute epoch ``until`` or for ``budget`` steps; return the steps made."""
    a, r, s, w = layout, rows, progress, work
    layout = Layout(_bare(a.widths), _bare(a.at), _bare(a.strengths), _bare(a.rates), _bare(a.checkpoints))
    rows = Rows(_bare(r.x), _bare(r.y), _bare(r.train), _bare(r.curve), _bare(r.stop), _bare(r.score))
    progress = Progress(
        _bare(s.parameters), _bare(s.moments), _bare(s.best), _bare(s.curves), _bare(s.counts), _bare(s.best_loss)
    )
    work = Work(
        _bare(w.z),
        _bare(w.slope),
        _bare(w.error),
        _bare(w.mask),
        _bare(w.x),
        _bare(w.y),
        _bare(w.gradient),
        _bare(w.order),
        _bare(w.zeros),
        _bare(w.rows),
        _bare(w.loaded),
    )
    before = flush_subnormals()
    counts = progress.counts
    made = 0
    if counts[CHECKPOINT] == 0:
        record(plan, layout, rows, progress, work)
    while made < budget and counts[EPOCH] < until and counts[STATUS] == RUNNING:
        _one_step(plan, layout, rows, progress, work)
        made += 1
        counts[BATCH] += 1
        if counts[BATCH] < plan.batches:
            continue
        counts[BATCH] = 0
        counts[EPOCH] += 1
        if not _finite(progress.parameters):
            counts[STATUS] = DIVERGED
        elif counts[EPOCH] == layout.checkpoints[counts[CHECKPOINT]]:
            record(plan, layout, rows, progress, work)
        if counts[STATUS] == RUNNING and counts[EPOCH] == plan.epochs:
            counts[STATUS] = FINISHED
    restore_subnormals(before)
    return made
