"""Which items of its dataset a PyTorch ``DataLoader`` can give. PyTorch is never imported here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding


def items_of(loader: Any, count: int) -> tuple[Array, tuple[Finding, ...]]:
    """Return the items that a loader over a dataset of ``count`` items can give, each once and in order, and a note.

    Raises `DataError` for a sampler whose items cannot be known: one of another class than PyTorch's own, or one that
    draws a part of the items, another one each time.
    """
    from_batches = loader.batch_sampler
    # A loader that was given a batch sampler has a sampler as well, which it never asks.
    sampler: Any = loader.sampler if from_batches is None else from_batches
    while type(sampler) is _kind("BatchSampler"):
        sampler = sampler.sampler
    items, drawn = _items(sampler)
    known = items.ndim == 1 and items.dtype.kind in "iu" and (items >= -count).all() and (items < count).all()
    if not known:
        raise DataError("pictures.sampler", type=type(sampler).__name__)
    findings = (Finding("assumed_order", say("images.found_sampler", type=type(sampler).__name__)),) if drawn else ()
    return np.unique(np.where(items < 0, items + count, items).astype(np.int64)), findings


def _kind(name: str) -> Any:
    return getattr(sys.modules["torch"].utils.data, name)


def _items(sampler: Any) -> tuple[Array, bool]:
    """Return the items of a sampler, and whether it draws them more or less often; no numbers where nobody can know."""
    unknown, kind = np.empty(0), type(sampler)
    if kind is _kind("SequentialSampler"):
        return np.arange(len(sampler.data_source)), False
    if kind is _kind("SubsetRandomSampler"):
        return _numbers(sampler.indices), False
    if kind is _kind("RandomSampler"):
        every = np.arange(len(sampler.data_source))
    elif kind is _kind("WeightedRandomSampler"):
        every = np.flatnonzero(np.asarray(sampler.weights) > 0)
    else:
        given = isinstance(sampler, (list, tuple, range, np.ndarray, sys.modules["torch"].Tensor))
        return (_numbers(sampler) if given else unknown), False
    if not sampler.replacement and sampler.num_samples < len(every):
        return unknown, True
    return every, sampler.replacement


def _numbers(given: Any) -> Array:
    """Return whole numbers, or batches of them, as one array; an array of another type for anything else."""
    try:
        parts = [np.asarray(part).reshape(-1) for part in given]
    except (TypeError, ValueError, RuntimeError):
        return np.empty(0)
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
