"""Members and the ledger: what is recorded of one, where it goes on from, and how far it is now.

A ledger may come from elsewhere. What does not fit its member is as good as absent: the member is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from wellfit.engines.base import CURVES, Engine, Member, State, Status, seen_rows
from wellfit.errors import ModelFileError
from wellfit.executors.base import Keep
from wellfit.ledger import LedgerLike
from wellfit.records import History, TrainingData

ENDS = tuple(status for status in get_args(Status) if status != "running")
_ARRAYS = ("parameters", "moments", "best_parameters", "average", "curves")


def recalled(ledger: LedgerLike | None, key: str, member: Member, data: TrainingData) -> History | None:
    """Return the history that a ledger holds of a member, or None where there is none that fits it."""
    found = None if ledger is None else ledger.get(key)
    return found if found is not None and _is_history(found, member, data) else None


def _is_history(found: History, member: Member, data: TrainingData) -> bool:
    """Whether a history may be one of this member: counts, and the shapes that readers rely on."""
    counts = (found.epochs, found.best_epoch, found.steps, found.zero_weights, found.weights, found.inputs_used)
    if found.status not in ENDS or not all(map(_is_count, counts)):
        return False
    fold = data.folds[member.fold]
    points = found.checkpoints
    return (
        points.ndim == 1
        and points.dtype.kind == "i"
        and set(found.curves) == set(CURVES)
        and all(curve.shape == points.shape and curve.dtype == np.float64 for curve in found.curves.values())
        and all(said.dtype == np.float64 for said in (found.predictions, found.seen))
        and found.predictions.shape == (len(fold.rows.score), data.outputs)
        and found.seen.shape in ((len(seen_rows(fold, data.outputs)), data.outputs), (0, 1))
        and len(found.weight_norms) == member.network.layers
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def begun(ledger: LedgerLike | None, key: str, member: Member, engine: Engine, data: TrainingData) -> State | None:
    """Return the state that a ledger holds of a member, or None where there is none that fits it.

    An engine trusts the shapes of what it continues, so they are looked at here.
    """
    if ledger is None:
        return None
    try:
        state = ledger.state(key)
    except ModelFileError:
        return None
    if state is None or not _fits(state, engine.init([member], data)[0], member):
        return None
    return state


def _fits(state: State, fresh: State, member: Member) -> bool:
    """Whether a state may be one of this member: arrays as in the untrained state, counts within their bounds."""
    for name in _ARRAYS:
        one, other = getattr(state, name), getattr(fresh, name)
        if not isinstance(one, np.ndarray) or one.dtype != other.dtype or one.shape != other.shape:
            return False
    counts = (state.epoch, state.step, state.best_epoch, state.waited)
    if not all(map(_is_count, counts)):
        return False
    ends = member.training.epochs
    return state.epoch <= ends and state.best_epoch <= ends and state.status in get_args(Status)


def keeping(ledger: LedgerLike | None, keys: Sequence[str]) -> Keep | None:
    """Return what an executor keeps states of members with, under these keys; None without a ledger.

    >>> keeping(None, []) is None
    True
    """
    if ledger is None:
        return None
    return lambda index, state: ledger.put_state(keys[index], state)
