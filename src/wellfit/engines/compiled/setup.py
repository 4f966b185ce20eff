"""From members, data and states to what the kernel works on, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from wellfit.cocktail import Cocktail, Strengths
from wellfit.cocktail.noise import mixup_quantiles
from wellfit.cocktail.schedules import SCHEDULES
from wellfit.engines.base import CURVES, Member, State, Status, curve_rows, mlp_of, training_weights
from wellfit.engines.compiled.activations import RELU
from wellfit.engines.compiled.losses import loss_code
from wellfit.engines.compiled.optimizers import CODE_OF_OPTIMIZER
from wellfit.engines.compiled.plan import (
    BATCH,
    BEST_EPOCH,
    BLOCK,
    CHECKPOINT,
    EPOCH,
    RUNNING,
    STATUS,
    STEP,
    WAITED,
    Layout,
    Plan,
    Progress,
    Rows,
    Work,
)
from wellfit.engines.compiled.registers import BYTES
from wellfit.engines.compiled.tiles import LANES, padded
from wellfit.nets.network import ACTIVATIONS, MLP
from wellfit.nets.training import batches, checkpoints
from wellfit.records import FoldData, TrainingData

_STATUS: tuple[Status, ...] = ("running", "finished", "stopped", "diverged")
# The fields of Strengths in the order of Layout.base: one value a layer, then one value.
_BY_LAYER = ("l1", "l2", "weight_decay", "max_norm", "dropout")
_WHOLE = ("group_lasso", "input_dropout", "input_noise", "label_smoothing", "mixup", "gradient_clipping", "ema")
_BOUNDS = ("max_norm", "gradient_clipping")


def make_rows(fold: FoldData, precision: str) -> Rows:
    """Return a fold's arrays in this precision, to be shared by all its members."""
    train, parts = fold.rows.train.astype(np.int64), curve_rows(fold)
    x, y = (np.ascontiguousarray(a, dtype=precision) for a in (fold.x, fold.y))
    weights = None if fold.weights is None else fold.weights.astype(float)[:, None]
    return Rows(
        x=x.reshape(-1),
        y=y.reshape(-1),
        train=train,
        counts=np.array([len(p) for p in parts], np.int64),
        curve_x=_blocks(x, parts),
        curve_y=_blocks(y, parts),
        curve_weights=np.empty(0) if weights is None else _blocks(weights, parts),
    )


def _blocks(values: np.ndarray, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows of each part as columns in blocks, one after another, flat: see `Rows`."""
    blocks = []
    for rows in parts:
        for start in range(0, len(rows), BLOCK):
            here = values[rows[start : start + BLOCK]].T
            blocks.append(np.pad(here, ((0, 0), (0, padded(here.shape[1]) - here.shape[1]))).reshape(-1))
    out = _aligned(sum(map(len, blocks)), values.dtype)
    return np.concatenate([*blocks, out[:0]], out=out)


def make_plan(member: Member, rows: Rows, task: str) -> Plan:
    """Return the kernel's plan of this member."""
    training, strengths = member.training, member.network.strengths(member.cocktail)
    stop = strengths.early_stopping
    n = rows.train.size
    steps, largest = batches(n, training.batch_size)
    seed = member.seed & 0xFFFFFFFFFFFFFFFF
    loss, parameter = training.loss_and_parameter(task)
    return Plan(
        activation=ACTIVATIONS.index(mlp_of(member).activation),
        loss=loss_code(task, loss),
        loss_parameter=float(parameter),
        optimizer=CODE_OF_OPTIMIZER[training.optimizer],
        nesterov=training.nesterov,
        momentum=float(training.momentum),
        learning_rate=float(training.learning_rate),
        schedule=SCHEDULES.index(training.schedule),
        scheduled=training.schedule != "constant" or bool(strengths.schedules),
        batch_norm=strengths.batch_norm,
        averaged=strengths.ema > 0,
        disturbed=_disturbed(strengths),
        epochs=int(training.epochs),
        batch=n if steps == 1 else int(training.batch_size or n),
        batches=steps,
        full=steps == 1,
        patience=stop.patience if stop else 0,
        on_score=bool(stop and stop.on == "score"),
        min_delta=stop.min_delta if stop else 0.0,
        key0=seed & 0xFFFFFFFF,
        key1=seed >> 32,
        capacity=padded(max(largest, min(BLOCK, int(rows.counts.max())))),
    )


def _disturbed(strengths: Strengths) -> bool:
    return any((strengths.input_dropout, strengths.input_noise, strengths.label_smoothing, strengths.mixup))


def make_layout(member: Member, plan: Plan, fold: FoldData, data: TrainingData) -> Layout:
    """Return the network's sizes and the cocktail's strengths, by place."""
    network, training = mlp_of(member), member.training
    strengths = member.network.strengths(member.cocktail)
    widths = np.array([fold.x.shape[1], *network.hidden, data.outputs], np.int64)
    weights = training_weights(member, fold, data.task)
    base, schedules = _base(network, member.cocktail)
    return Layout(
        widths=widths,
        units=np.concatenate([[0], np.cumsum(widths[1:-1])]).astype(np.int64),
        at=np.concatenate([[0], np.cumsum(widths[1:] * plan.capacity)]).astype(np.int64),
        base=base,
        schedules=schedules,
        checkpoints=checkpoints(training.epochs),
        quantiles=np.array(mixup_quantiles(strengths.mixup)) if strengths.mixup else np.empty(0),
        weights=np.empty(0, training.precision) if weights is None else weights.astype(training.precision),
    )


@lru_cache(maxsize=1024)  # asked before every slice of a training
def _base(network: MLP, cocktail: Cocktail) -> tuple[np.ndarray, np.ndarray]:
    """Return the strengths in the order of `Layout.base` and the code of each one's schedule, not to be written to."""
    strengths = network.strengths(cocktail)
    base: list[float] = []
    codes: list[int] = []
    for name in (*_BY_LAYER, *_WHOLE):
        value = getattr(strengths, name)
        values = list(value) if isinstance(value, tuple) else [value]
        if name == "dropout":
            values.append(0.0)
        if name == "mixup":
            values = [float(value > 0)]  # how far c moves from 1; its distribution is in the quantiles
        if name in _BOUNDS:
            values = [1.0 / v for v in values]
        base += values
        codes += [SCHEDULES.index(strengths.schedules.get(name, "constant"))] * len(values)
    return np.array(base, float), np.array(codes, np.int64)


def make_work(plan: Plan, layout: Layout, rows: Rows) -> Work:
    """Return buffers for one member."""
    kind, widths, m = rows.x.dtype, layout.widths, plan.capacity
    size = int(layout.at[-1])
    inputs = -(-int(widths[0]) * m // 64) * 64  # noise is drawn 64 at a time
    norm = int(layout.units[-1]) if plan.batch_norm else 0
    parameters = int(np.sum(widths[:-1] * widths[1:] + widths[1:])) + 4 * norm
    widest = int(widths.max())
    sizes = {
        "z": size,
        "slope": 0 if plan.activation == RELU else size,
        "error": widest * m,
        "normed": size if norm else 0,
        "spread": norm,
        "strip": 2 * LANES * widest,
        "x": inputs,
        "y": int(widths[-1]) * m,
        "weights": m if layout.weights.size else 0,
        "gradient": parameters,
        "folded": parameters if norm else 0,
        "zeros": widest,
        "norms": int(widths[0]),
        "rows": 2 * m,
    }
    return Work(
        **_buffers(sizes, kind),
        order=np.zeros(rows.train.size, np.int64),
        now=np.zeros(layout.base.size),
        factors=np.zeros(len(SCHEDULES)),
        loaded=np.zeros(1, np.int64),
    )


def _buffers(sizes: Mapping[str, int], kind: np.dtype) -> dict[str, np.ndarray]:
    """Return zeros of these sizes, parts of one array, each of which starts where a vector does."""
    step, found, at = BYTES // kind.itemsize, {}, 0
    whole = _aligned(sum(-(-size // step) * step for size in sizes.values()), kind)
    for name, size in sizes.items():
        found[name] = whole[at : at + size]
        at += -(-size // step) * step
    return found


def _aligned(size: int, kind: np.dtype) -> np.ndarray:
    """Return zeros that start where a vector does: a load across two cache lines takes twice as long."""
    room = np.zeros(size + BYTES // kind.itemsize, kind)
    start = -room.ctypes.data % BYTES // kind.itemsize
    return room[start : start + size]


def make_progress(state: State) -> Progress:
    """Return the kernel's mutable copy of a state."""
    counts = np.zeros(7, np.int64)
    counts[EPOCH], counts[BATCH], counts[STEP] = state.epoch, 0, state.step
    counts[CHECKPOINT] = np.count_nonzero(~np.isnan(state.curves[:, 0]))
    counts[BEST_EPOCH], counts[WAITED], counts[STATUS] = state.best_epoch, state.waited, RUNNING
    return Progress(
        parameters=state.parameters.copy(),
        moments=state.moments.flatten(),
        average=state.average.astype(state.parameters.dtype),
        best=state.best_parameters.copy(),
        curves=state.curves.flatten(),
        counts=counts,
        best_loss=np.array([state.best_loss]),
    )


def make_state(progress: Progress) -> State:
    """Return the state of a kernel's progress."""
    counts = progress.counts
    return State(
        parameters=progress.parameters,
        moments=progress.moments.reshape(2, -1),
        best_parameters=progress.best,
        curves=progress.curves.reshape(-1, len(CURVES)),
        epoch=int(counts[EPOCH]),
        step=int(counts[STEP]),
        status=_STATUS[counts[STATUS]],
        best_epoch=int(counts[BEST_EPOCH]),
        best_loss=float(progress.best_loss[0]),
        waited=int(counts[WAITED]),
        average=progress.average,
    )
