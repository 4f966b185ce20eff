"""The compiled engine: MLPs on a CPU, one compiled loop a member, no Python per step."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member, State, initial_state, misfit, mlp_of, refuse_misfits
from wellfit.engines.blas import one_blas_thread
from wellfit.engines.compiled.jit import ensure_compiled
from wellfit.engines.compiled.plan import EPOCH, RUNNING, STATUS, Rows
from wellfit.engines.compiled.setup import make_layout, make_plan, make_progress, make_rows, make_state, make_work
from wellfit.engines.compiled.train import train
from wellfit.messages import say
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData

# A kernel call lasts about this long, so that Ctrl-C and progress work between calls.
_SLICE_SECONDS = 0.1


class CompiledEngine:
    """Trains multilayer perceptrons with compiled loops (Numba); keeps the five promises of the engine contract.

    One call advances its members one after another in the calling thread, without the interpreter lock: an executor
    runs several calls side by side. Results are the same bits on any number of threads.
    """

    name = "compiled"
    version = "2"

    def __init__(self) -> None:
        self._rows: WeakKeyDictionary[FoldData, dict[str, Rows]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._paces: dict[tuple[MLP, int, int], float] = {}  # steps a second, by network, batch and columns

    def __reduce__(self) -> tuple:
        """Travel without what is kept of the data: a worker elsewhere makes its own."""
        return CompiledEngine, ()

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason why this engine cannot train the member."""
        if not isinstance(member.network, MLP):
            return say("torch.mlps_only", network=member.network)
        if member.training.precision == "bfloat16":
            return say("torch.no_bfloat16")
        reason = misfit(member, data)
        if reason is None and data.folds[member.fold].x.ndim != 2:
            return say("torch.rows_only", network=member.network, inputs=data.folds[member.fold].inputs)
        return reason

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before training. Raises `UnsupportedError` for a misfit, before any work."""
        refuse_misfits(self, members, data)
        return [initial_state(member, data) for member in members]

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
        fold = data.folds[member.fold]
        rows = self._rows_of(fold, member.training.precision)
        plan = make_plan(member, rows, data.task)
        layout = make_layout(member, plan, fold, data)
        work, progress = make_work(plan, layout, rows), make_progress(state)
        counts, kind = progress.counts, (mlp_of(member), plan.batch, fold.x.shape[1])
        budget = max(1, int(self._paces.get(kind, 0.0) * _SLICE_SECONDS))
        while True:
            start = time.perf_counter()
            made = train(plan, layout, rows, progress, work, until, budget)
            if counts[STATUS] != RUNNING or counts[EPOCH] >= until:
                return make_state(progress)
            self._paces[kind] = made / max(time.perf_counter() - start, 1e-6)
            budget = max(1, min(budget * 64, int(self._paces[kind] * _SLICE_SECONDS)))

    def _rows_of(self, fold: FoldData, precision: str) -> Rows:
        """Return the fold's arrays in this precision: cast once, shared by all members and threads."""
        with self._lock:
            kept = self._rows.setdefault(fold, {})
            if precision not in kept:
                kept[precision] = make_rows(fold, precision)
            return kept[precision]


def compile_now(precision: str) -> None:
    """Compile the kernels in this process by training on nothing much: see `ensure_compiled`, which runs it."""
    gc.disable()  # the process ends with this, and collecting what Numba makes takes a tenth of the time
    one = np.ones((1, 1))
    indices = np.zeros(1, np.int64)
    fold = FoldData(one, one, Fold(indices, indices[:0], indices[:0]))
    data = TrainingData("regression", 1, (fold,))
    member = Member(MLP(()), Cocktail(), Training("gd", 1.0, 1, None, precision=precision), 0, 0)
    engine = CompiledEngine()
    [state] = engine.init([member], data)
    rows = engine._rows_of(fold, precision)
    plan = make_plan(member, rows, data.task)
    layout = make_layout(member, plan, fold, data)
    train(plan, layout, rows, make_progress(state), make_work(plan, layout, rows), 1, 1)
