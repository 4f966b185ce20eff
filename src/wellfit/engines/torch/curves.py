"""Curves: losses and shares classified right at checkpoints, in evaluation mode; early stopping. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.engines.base import State, curve_rows
from wellfit.engines.torch.losses import right, row_losses
from wellfit.engines.torch.updates import Present
from wellfit.nets.torch_door import require_torch

if TYPE_CHECKING:
    from wellfit.engines.torch.stack import Stack

torch: Any = require_torch()

CHUNK = 512  # rows evaluated at once


def measure(stack: Stack, places: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the line of `CURVES` of each of the members that train at these places."""
    counted = stack.vectors.parameters.clone()
    for p in places:
        if stack.strengths[p].ema:
            counted[p] = stack.vectors.average[p]
    lines = {p: np.full(7, np.nan) for p in places}
    rows = {p: curve_rows(stack.batches.folds[p]) for p in places}
    for part in range(3):
        for together in _same_count(rows, part):
            found = _part(stack, counted, together, [rows[p][part] for p in together])
            for p, (loss, share) in zip(together, found, strict=True):
                lines[p][part], lines[p][4 + part] = loss, share
    for p, line in lines.items():
        line[3] = _penalty(stack, p, counted[p])
    return lines


def _same_count(rows: dict[int, tuple], part: int) -> list[list[int]]:
    """Return the places in groups with the same number of rows in a part; those without rows are left out."""
    by_count: dict[int, list[int]] = {}
    for p, parts in rows.items():
        by_count.setdefault(len(parts[part]), []).append(p)
    return [places for count, places in by_count.items() if count]


def _part(stack: Stack, counted: Any, places: Sequence[int], rows: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Return the mean loss and the share classified right of each member on its rows."""
    from wellfit.engines.torch.batches import Batches

    own = [stack.own[p] for p in places]
    reader = Batches(own, [stack.strengths[p] for p in places], stack.data, stack.held, stack.dtype)
    weights = [fold.weights for fold in reader.folds]
    vectors = counted[list(places)]
    sums = torch.zeros(3, len(places), dtype=torch.float64, device=stack.device)
    for start in range(0, len(rows[0]), CHUNK):
        batch = reader.gather([r[start : start + CHUNK] for r in rows], weights)
        out = stack.evaluate(vectors, batch.x)
        each = row_losses(stack.data.task, *stack.loss, out, batch.y).double()
        hit = right(stack.data.task, out, batch.y).double()
        weight = torch.ones_like(each) if batch.weights is None else batch.weights.double()
        sums += torch.stack([(weight * each).sum(1), (weight * hit).sum(1), weight.sum(1)])
    loss, share = (sums[:2] / sums[2]).tolist()  # NaN where no row has weight
    return list(zip(loss, share, strict=True))


def _penalty(stack: Stack, p: int, vector: Any) -> float:
    """Return sum over layers of l1 sum|W| + l2/2 sum W^2, and group lasso's sum of norms, in float64."""
    member = stack.own[p]
    progress = stack.step / (member.training.epochs * stack.steps)
    present = Present([stack.strengths[p]], [progress], vector.double())
    total, layout = 0.0, stack.built.layout
    for i, w in enumerate(layout.weights_in(vector.double())):
        if (l1 := present.of("l1")) is not None:
            total += float(l1[0, i] * w.abs().sum())
        if (l2 := present.of("l2")) is not None:
            total += float(l2[0, i] / 2 * (w * w).sum())
        if i == stack.built.entry and (group := present.of("group_lasso")) is not None:
            rest = [axis for axis in range(w.ndim) if axis != 1]
            total += float(group[0] * torch.linalg.vector_norm(w, dim=rest).sum())
    return total


def record(stack: Stack, p: int, state: State, line: np.ndarray) -> State:
    """Return the state with a line of its curves; the best weights and patience where early stopping is on."""
    at = int(np.count_nonzero(~np.isnan(state.curves[:, 0])))
    curves = state.curves.copy()
    curves[at] = line
    state = replace(state, curves=curves)
    if not np.isfinite(line[0]):
        return replace(state, status="diverged")
    stop = stack.strengths[p].early_stopping
    if stop is None:
        return state
    watched = -line[5] if stop.on == "score" else line[1]
    if watched < state.best_loss - stop.min_delta or at == 0:
        vectors = stack.vectors
        best = vectors.average[p] if stack.strengths[p].ema else vectors.parameters[p]
        kept = best.detach().cpu().numpy().copy()
        return replace(state, best_loss=float(watched), best_epoch=state.epoch, waited=0, best_parameters=kept)
    state = replace(state, waited=state.waited + 1)
    return replace(state, status="stopped") if state.waited >= stop.patience else state
