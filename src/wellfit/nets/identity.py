"""What a ledger knows a module by: what it is, how it begins and what it does, in digits that every machine agrees on.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.nets.samples import values
from wellfit.nets.torch_door import require_torch
from wellfit.nets.torch_threads import alone
from wellfit.records import Array

if TYPE_CHECKING:
    from wellfit.nets.built import Built

torch: Any = require_torch()

# Steps of the digits: about 1/400 of a size, and of what is told in its unit. No round number, so that what is a simple
# fraction lies on no edge between two steps.
STEPS = 397.31
# By how much weights are moved, against those that begin at 0 and let nothing through.
MOVED = 0.05


def identity(built: Built) -> str:
    """Return what tells a module from an edited one, as a text.

    It holds the layers, the operations of a forward pass, how each tensor begins, and for a fixed input the outputs in
    evaluation and in training with fixed masks, the buffers afterwards and the gradient. Numbers are computed in
    float64 where the module can, and told by three figures of about three digits each: processors draw and add with
    other last bits, so that a figure may fall on the other side of an edge, but once in many thousand.
    """
    start = built.initialize(0)
    lines = [repr(built.net), repr(built.layout.slots), *built.heard]
    lines += [_told(start[slot.start : slot.stop]) for slot in built.layout.slots]
    with alone():
        lines += [_told(part) for part in _behaviour(built, start)]
    return "\n".join(lines)


def _behaviour(built: Built, start: Array) -> list[Array]:
    """Return the outputs in evaluation; and outputs, buffers and gradient of a training pass with fixed masks."""
    vector = torch.tensor(start)
    vector[: built.layout.learned] += MOVED * values((built.layout.learned,))
    for dtype in (torch.float64, torch.float32):
        own = vector.to(dtype)
        with suppress(Exception):  # where no training pass succeeds, training says so
            with torch.no_grad():
                out = built.evaluate(own, built.example(dtype))
            found = (out, *built.slopes(own, feed=_masks(built)))
            return [part.double().numpy().ravel() for part in found]
    return []


def _masks(built: Built) -> list[tuple[Any, Any]]:
    """Return a mask and a scale for each call of a dropout layer: no two alike, of about two thirds."""
    rows = len(built.example())
    masks = [values((i + 1, rows, *shape))[i] > -0.5 for i, shape in enumerate(built.masks)]
    return [(mask, torch.tensor(1.5)) for mask in masks]


def _told(numbers: Array) -> str:
    """Return size, mean and one projection of numbers (n,), in steps; and how many are not finite."""
    finite = np.isfinite(numbers)
    kept = np.where(finite, numbers, 0.0)
    size = math.sqrt(float(np.mean(kept**2))) if kept.size else 0.0
    if size == 0:
        return f"0 {np.sum(~finite)}"
    pattern = values((kept.size,)).numpy()
    figures = (math.log(size), kept.mean() / size, float(kept @ pattern) / (size * math.sqrt(kept.size)))
    return " ".join(str(round(STEPS * figure)) for figure in figures) + f" {np.sum(~finite)}"
