"""What a kernel works on: the plan of a member, its network's layout, its rows, its progress, its buffers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Rows are evaluated in blocks of so many columns.
BLOCK = 256
RUNNING, FINISHED, STOPPED, DIVERGED = range(4)
# Places in Progress.counts.
EPOCH, BATCH, STEP, CHECKPOINT, BEST_EPOCH, WAITED, STATUS = range(7)
# Places in Layout.base for a network of L layers: L each of l1, l2, decoupled decay, 1 / max-norm and dropout (0 after
# the last layer), then, from 5 L on, those for the whole network. Bounds stand as reciprocals, so that 0 is none.
L1, L2, DECAY, MAX_NORM, DROPOUT, WHOLE = range(6)
GROUP_LASSO, INPUT_DROPOUT, INPUT_NOISE, SMOOTHING, MIXUP, CLIPPING, AVERAGE = range(7)
CONSTANT, COSINE, ONE_CYCLE, FLAT_COSINE = range(4)


class Plan(NamedTuple):
    """What stays the same through a member's training; codes are those of the kernels' files."""

    activation: int
    loss: int
    loss_parameter: float
    optimizer: int
    nesterov: bool
    momentum: float
    learning_rate: float
    schedule: int
    scheduled: bool  # whether the learning rate or any strength changes
    batch_norm: bool
    averaged: bool  # whether the network is evaluated at its average weights
    disturbed: bool  # whether inputs or targets are disturbed, so that a batch must be loaded anew for every step
    epochs: int
    batch: int  # rows of a usual batch
    batches: int  # in an epoch
    full: bool  # all training rows at once, in their own order
    patience: int  # 0: no early stopping
    on_score: bool  # what early stopping watches: the score, or the loss
    min_delta: float
    key0: int
    key1: int
    capacity: int  # columns that the buffers hold


class Layout(NamedTuple):
    """The network's sizes, and strengths by place."""

    widths: np.ndarray  # (L + 1,) int64, inputs first
    units: np.ndarray  # (L,) int64: hidden units before each hidden layer, and in all
    at: np.ndarray  # (L + 1,) int64: where each layer's piece of z and slope starts
    base: np.ndarray  # (5 L + 7,) float64: strengths before any schedule
    schedules: np.ndarray  # (5 L + 7,) int64: the schedule of each
    checkpoints: np.ndarray  # (c,) int64
    quantiles: np.ndarray  # (1025,) of mixup's coefficient, or (0,)
    weights: np.ndarray  # (n,) weights of the rows in training, in the member's precision, or (0,)


class Rows(NamedTuple):
    """The fold's data, flat in the member's precision.

    The rows of curves (training, stop and score rows) stand in blocks of up to `BLOCK` columns, (d, m) and (k, m)
    each, ready to be evaluated; only a part's last block is smaller, padded to whole vectors.
    """

    x: np.ndarray  # (n d,)
    y: np.ndarray  # (n k,)
    train: np.ndarray  # (rows,) int64
    counts: np.ndarray  # (3,) int64: rows of each part of the curves
    curve_x: np.ndarray
    curve_y: np.ndarray
    curve_weights: np.ndarray  # (columns,) float64 weights of the rows in curves, or (0,)


class Progress(NamedTuple):
    """The mutable state; T is the length of the parameter vector, batch-norm parameters and statistics included."""

    parameters: np.ndarray  # (T,)
    moments: np.ndarray  # (2 T,)
    average: np.ndarray  # (T,) or (0,)
    best: np.ndarray  # (T,) or (0,)
    curves: np.ndarray  # (c 7,)
    counts: np.ndarray  # (7,) int64
    best_loss: np.ndarray  # (1,)


class Work(NamedTuple):
    """Buffers, m columns each where not said otherwise."""

    z: np.ndarray  # outputs of all layers
    slope: np.ndarray  # slopes of the activations, or (0,) for ReLU
    error: np.ndarray  # of one layer
    normed: np.ndarray  # batch-normalized outputs before scale and shift, or (0,)
    spread: np.ndarray  # (sum of widths,): 1 / standard deviation of each unit, or (0,)
    strip: np.ndarray  # two vectors times the widest layer
    x: np.ndarray  # (d m,)
    y: np.ndarray  # (k m,)
    weights: np.ndarray  # (m,) weights of a batch in training, or (0,)
    gradient: np.ndarray  # (T,)
    folded: np.ndarray  # (T,) or (0,): parameters with batch normalization folded into the weights
    order: np.ndarray  # (rows,) int64
    zeros: np.ndarray  # (widest layer,)
    norms: np.ndarray  # (d,)
    rows: np.ndarray  # (2 m,): work rows of the loss
    now: np.ndarray  # (5 L + 7,) float64: strengths at this step
    factors: np.ndarray  # (4,) float64: factor of each schedule at this step
    loaded: np.ndarray  # (1,) int64: whether x holds the one batch of a full-batch training
