"""Unfinished members and the ledger: where a member goes on from, and how far it is now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from wellfit.engines.base import Engine, Member, State, Status
from wellfit.errors import ModelFileError
from wellfit.executors.base import Keep
from wellfit.ledger import LedgerLike
from wellfit.records import TrainingData

_ARRAYS = ("parameters", "moments", "best_parameters", "average", "curves")


def begun(ledger: LedgerLike | None, key: str, member: Member, engine: Engine, data: TrainingData) -> State | None:
    """Return the state that a ledger holds of a member, or None where there is none that fits it.

    What is no state of this member (a file from elsewhere may hold anything) is as good as none: an engine trusts the
    shapes of what it continues.
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
    if not all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**62 for count in counts):
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
