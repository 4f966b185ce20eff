"""The compiled engine: MLPs on a CPU, one compiled loop a member, no Python per step."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail
from wellfit.engines.base import CURVES, Member, State, Status
from wellfit.engines.compiled.blas import one_blas_thread
from wellfit.engines.compiled.jit import ensure_compiled
from wellfit.engines.compiled.losses import LOSS_OF_TASK
from wellfit.engines.compiled.optimizers import CODE_OF_OPTIMIZER
from wellfit.engines.compiled.tiles import padded
from wellfit.engines.compiled.train import (
    BATCH,
    BEST_EPOCH,
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
    train,
)
from wellfit.errors import SettingError, UnsupportedError
from wellfit.messages import say
from wellfit.nets import MLP, Training
from wellfit.nets.network import ACTIVATIONS
from wellfit.nets.training import batches, checkpoints
from wellfit.records import FoldData, TrainingData

# A kernel call lasts about this long, so that Ctrl-C and progress work between calls.
_SLICE_SECONDS = 0.1
# Curves on the training rows are measured on at most so many of them (a fixed random sample).
CURVE_ROWS = 4096
# Rows are evaluated in blocks of at least so many columns.
_BLOCK = 256
_STATUS: tuple[Status, ...] = ("running", "finished", "stopped", "diverged")


class CompiledEngine:
    """Trains multilayer perceptrons with compiled loops (Numba); keeps the five promises of the engine contract.

    One call advances its members one after another in the calling thread, without the interpreter lock: an executor
    runs several calls side by side. Results are the same bits on any number of threads.
    """

    name = "compiled"
    version = "1"

    def __init__(self) -> None:
        self._rows: WeakKeyDictionary[FoldData, dict[str, Rows]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason why this engine cannot train the member."""
        if not 0 <= member.fold < len(data.folds):
            return say("engines.no_such_fold", fold=member.fold, folds=len(data.folds))
        rows = data.folds[member.fold].rows
        if not rows.train.size:
            return say("engines.no_training_rows", fold=member.fold)
        try:
            strengths = member.cocktail.resolve(member.network.layers)
        except SettingError as error:
            return str(error)
        if strengths.early_stopping and not rows.stop.size:
            return say("engines.no_stop_rows", fold=member.fold)
        return None

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before training. Raises `UnsupportedError` for a misfit, before any work."""
        for member in members:
            reason = self.supports(member, data)
            if reason:
                raise UnsupportedError("engines.unsupported", member=member, reason=reason)
        return [self._init(member, data) for member in members]

    def _init(self, member: Member, data: TrainingData) -> State:
        inputs = data.folds[member.fold].x.shape[1]
        parameters = member.network.initialize(member.seed, inputs, data.outputs).astype(member.training.precision)
        stops = member.cocktail.resolve(member.network.layers).early_stopping is not None
        return State(
            parameters=parameters,
            moments=np.zeros((2, parameters.size), parameters.dtype),
            best_parameters=parameters.copy() if stops else parameters[:0].copy(),
            curves=np.full((len(checkpoints(member.training.epochs)), len(CURVES)), np.nan),
        )

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at the absolute epochs ``until``; the given states are not modified."""
        with one_blas_thread():
            return [self._advance(m, s, u, data) for m, s, u in zip(members, states, until, strict=True)]

    def _advance(self, member: Member, state: State, until: int, data: TrainingData) -> State:
        until = min(until, member.training.epochs)
        if state.status != "running" or (state.epoch >= until and not np.isnan(state.curves[0, 0])):
            return state
        ensure_compiled(member.training.precision)
        rows = self._rows_of(data.folds[member.fold], member.training.precision)
        plan = _plan(member, rows, LOSS_OF_TASK[data.task])
        layout = _layout(member, plan, data.folds[member.fold].x.shape[1], data.outputs)
        work, progress = _work(plan, layout, rows), _progress(state)
        counts, budget = progress.counts, 1
        while True:
            start = time.perf_counter()
            train(plan, layout, rows, progress, work, until, budget)
            if counts[STATUS] != RUNNING or counts[EPOCH] >= until:
                return _state(progress)
            spent = time.perf_counter() - start
            budget = max(1, min(budget * 64, int(budget * _SLICE_SECONDS / max(spent, 1e-6))))

    def _rows_of(self, fold: FoldData, precision: str) -> Rows:
        """Return the fold's arrays in this precision: cast once, shared by all members and threads."""
        with self._lock:
            kept = self._rows.setdefault(fold, {})
            if precision not in kept:
                train_rows, curve = fold.rows.train.astype(np.int64), fold.rows.train.astype(np.int64)
                if curve.size > CURVE_ROWS:
                    curve = np.sort(rng.generator(0, rng.RESAMPLE).choice(curve, CURVE_ROWS, replace=False))
                kept[precision] = Rows(
                    x=np.ascontiguousarray(fold.x, dtype=precision).reshape(-1),
                    y=np.ascontiguousarray(fold.y, dtype=precision).reshape(-1),
                    train=train_rows,
                    curve=curve,
                    stop=fold.rows.stop.astype(np.int64),
                    score=fold.rows.score.astype(np.int64),
                )
            return kept[precision]


def _plan(member: Member, rows: Rows, loss: int) -> Plan:
    """Return the kernel's plan of this member."""
    training = member.training
    stop = member.cocktail.resolve(member.network.layers).early_stopping
    n = rows.train.size
    steps, largest = batches(n, training.batch_size)
    evaluated = max(rows.curve.size, rows.stop.size, rows.score.size)
    seed = member.seed & 0xFFFFFFFFFFFFFFFF
    return Plan(
        activation=ACTIVATIONS.index(member.network.activation),
        loss=loss,
        optimizer=CODE_OF_OPTIMIZER[training.optimizer],
        nesterov=training.nesterov,
        momentum=float(training.momentum),
        learning_rate=float(training.learning_rate),
        cosine=training.schedule == "cosine",
        epochs=int(training.epochs),
        batch=n if steps == 1 else int(training.batch_size or n),
        batches=steps,
        full=steps == 1,
        patience=stop.patience if stop else 0,
        min_delta=stop.min_delta if stop else 0.0,
        key0=seed & 0xFFFFFFFF,
        key1=seed >> 32,
        shuffle_stream=rng.SHUFFLE,
        dropout_stream=rng.DROPOUT,
        capacity=padded(max(largest, min(_BLOCK, evaluated))),
    )


def _layout(member: Member, plan: Plan, inputs: int, outputs: int) -> Layout:
    """Return the network's sizes and the cocktail's strengths, by layer."""
    network, training = member.network, member.training
    strengths = member.cocktail.resolve(network.layers)
    widths = np.array([inputs, *network.hidden, outputs], np.int64)
    return Layout(
        widths=widths,
        at=np.concatenate([[0], np.cumsum(widths[1:] * plan.capacity)]).astype(np.int64),
        strengths=np.array([*strengths.l1, *strengths.l2, *strengths.weight_decay], training.precision),
        rates=np.array([*strengths.dropout, 0.0]),
        checkpoints=checkpoints(training.epochs),
    )


def _work(plan: Plan, layout: Layout, rows: Rows) -> Work:
    """Return buffers for one member."""
    kind, widths, capacity = rows.x.dtype, layout.widths, plan.capacity
    dropped = widths[1:-1][layout.rates[:-1] > 0]
    mask = int(-(-dropped.max() * capacity // 128) * 128) if dropped.size else 1
    size = layout.at[-1]
    return Work(
        z=np.zeros(size, kind),
        slope=np.zeros(size, kind),
        error=np.zeros(size, kind),
        mask=np.zeros(mask, kind),
        x=np.zeros(widths[0] * capacity, kind),
        y=np.zeros(widths[-1] * capacity, kind),
        gradient=np.zeros(int(np.sum(widths[:-1] * widths[1:] + widths[1:])), kind),
        order=np.zeros(rows.train.size, np.int64),
        zeros=np.zeros(widths.max(), kind),
        rows=np.zeros(2 * capacity, kind),
        loaded=np.zeros(1, np.int64),
    )


def _progress(state: State) -> Progress:
    """Return the kernel's mutable copy of a state."""
    counts = np.zeros(7, np.int64)
    counts[EPOCH], counts[BATCH], counts[STEP] = state.epoch, 0, state.step
    counts[CHECKPOINT] = np.count_nonzero(~np.isnan(state.curves[:, 0]))
    counts[BEST_EPOCH], counts[WAITED], counts[STATUS] = state.best_epoch, state.waited, RUNNING
    return Progress(
        parameters=state.parameters.copy(),
        moments=state.moments.flatten(),
        best=state.best_parameters.copy(),
        curves=state.curves.flatten(),
        counts=counts,
        best_loss=np.array([state.best_loss]),
    )


def _state(progress: Progress) -> State:
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
    )


def compile_now(precision: str) -> None:
    """Compile the kernels in this process by training on nothing much: see `ensure_compiled`, which runs it."""
    one = np.ones((1, 1), precision)
    indices = np.zeros(1, np.int64)
    rows = Rows(one.reshape(-1), one.reshape(-1), indices, indices, indices[:0], indices[:0])
    member = Member(MLP(()), Cocktail(), Training("gd", 1.0, 1, None, precision=precision), 0, 0)
    plan = _plan(member, rows, LOSS_OF_TASK["regression"])
    layout = _layout(member, plan, 1, 1)
    zeros = np.zeros(2, precision)
    curves = np.full((2, len(CURVES)), np.nan)
    state = State(zeros, np.zeros((2, 2), precision), zeros[:0], curves)
    train(plan, layout, rows, _progress(state), _work(plan, layout, rows), 1, 1)
