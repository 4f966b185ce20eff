"""What members see at one step: rows gathered onto the device, mixed, disturbed and smoothed. Imports PyTorch."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from wellfit import rng
from wellfit.cocktail import Strengths
from wellfit.cocktail.augment import KINDS
from wellfit.cocktail.noise import mixup_quantiles
from wellfit.engines.base import Member, training_weights
from wellfit.engines.torch import draws
from wellfit.engines.torch.updates import Present
from wellfit.nets.built import as_inputs
from wellfit.nets.torch_door import require_torch
from wellfit.records import Array, TrainingData

torch: Any = require_torch()


@dataclass
class Batch:
    """x (M, n, ...), y (M, n, k), and weights (M, n) or None where all rows count alike."""

    x: Any
    y: Any
    weights: Any | None


class Held:
    """Arrays on the device: each is taken there once, whoever asks, and kept as long as the array is.

    A tensor that shares an array's memory would keep it alive, and is made in no time: of these none is kept.
    """

    def __init__(self, device: Any) -> None:
        self.device = device
        self._kept: dict[int, tuple[weakref.ref, Any]] = {}

    def of(self, array: Array) -> Any:
        """Return an array as a tensor on the device."""
        found = self._kept.get(id(array))
        if found is not None and found[0]() is array:
            return found[1]
        # PyTorch warns of memory that cannot be written to, though nothing here writes to it.
        shared = array.flags.writeable and array.flags.c_contiguous
        tensor = torch.from_numpy(array if shared else array.copy()).to(self.device)
        if shared and self.device.type == "cpu":
            return tensor
        key = id(array)
        self._kept[key] = (weakref.ref(array, lambda _: self._kept.pop(key, None)), tensor)
        return tensor


class Batches:
    """The batches of members that train in step: same counts of rows and batches, folds and seeds of their own."""

    def __init__(
        self, members: Sequence[Member], strengths: Sequence[Strengths], data: TrainingData, held: Held, dtype: Any
    ) -> None:
        self.members, self.strengths, self.data, self.held, self.dtype = members, strengths, data, held, dtype
        self.keys = draws.keys_of([m.seed for m in members], held.device)
        self.folds = [data.folds[m.fold] for m in members]
        self.weights = [training_weights(m, f, data.task) for m, f in zip(members, self.folds, strict=True)]
        self._order: tuple[int, list[Array]] | None = None

    def rows(self, epoch: int, steps: int, size: int) -> list[Array]:
        """Return each member's training rows in the order of an epoch."""
        if self._order is None or self._order[0] != epoch:
            orders = []
            for member, fold in zip(self.members, self.folds, strict=True):
                rows = fold.rows.train
                orders.append(rows if steps == 1 else rows[_shuffled(member.seed, size, epoch)])
            self._order = (epoch, orders)
        return self._order[1]

    def take(self, present: Present, epoch: int, step: int, steps: int, usual: int) -> Batch:
        """Return the batch of a step of an epoch, disturbed as the cocktails say."""
        orders = self.rows(epoch, steps, len(self.folds[0].rows.train))
        last = step == steps - 1
        chosen = [o[step * usual :] if last else o[step * usual : (step + 1) * usual] for o in orders]
        batch = self.gather(chosen, self.weights)
        self._disturb(batch, present, epoch, step)
        return batch

    def gather(self, chosen: Sequence[Array], weights: Sequence[Array | None]) -> Batch:
        """Return the members' rows (n,) each, as networks read them."""
        x = torch.stack([self._pick(f.x, rows) for f, rows in zip(self.folds, chosen, strict=True)])
        y = torch.stack([self._pick(f.y, rows) for f, rows in zip(self.folds, chosen, strict=True)])
        own = None
        if any(w is not None for w in weights):
            ones = [np.ones(len(r)) if w is None else w[r] for w, r in zip(weights, chosen, strict=True)]
            own = torch.as_tensor(np.stack(ones), dtype=self.dtype, device=self.held.device)
        return Batch(as_inputs(x, self.dtype), y.to(self.dtype), own)

    def _pick(self, array: Array, rows: Array) -> Any:
        return self.held.of(array)[torch.as_tensor(rows, device=self.held.device)]

    def _disturb(self, batch: Batch, present: Present, epoch: int, step: int) -> None:
        """Augment, mix, add noise, drop, smooth; in this order."""
        if any(s.augment for s in self.strengths):
            self._augment(batch, present, epoch, step)
        if present.of("mixup") is not None:
            self._mix(batch, present.of("mixup"), epoch, step)
        members, count = batch.x.shape[:2]
        wide = (members, *(1 for _ in batch.x.shape[1:]))
        inputs = batch.x[0, 0].numel()
        if (noise := present.of("input_noise")) is not None:
            drawn = draws.gaussian(self.keys, inputs, count, epoch, step).to(self.dtype)
            batch.x = batch.x + noise.view(wide) * drawn.reshape(batch.x.shape)
        if (drop := present.of("input_dropout")) is not None:
            keep, scale = mask(self.keys, -1, drop, inputs, count, epoch, step)
            batch.x = batch.x * keep.reshape(batch.x.shape) * scale.view(wide).to(self.dtype)
        if (smooth := present.of("label_smoothing")) is not None:
            share = smooth.view(-1, 1, 1)
            batch.y = (1 - share) * batch.y + share / max(batch.y.shape[2], 2)

    def _augment(self, batch: Batch, present: Present, epoch: int, step: int) -> None:
        """Change each image by its own draws (see `wellfit.engines.torch.augment`)."""
        from wellfit.engines.torch.augment import DRAWS, augmented
        from wellfit.engines.torch.warp import PLAIN, Tones

        count = batch.x.shape[1]
        factors = present.factors("augment")
        none = (0.0,) * len(KINDS)
        own = [
            [f * a for a in (s.augment.amounts if s.augment else none)]
            for s, f in zip(self.strengths, factors, strict=True)
        ]
        amounts = torch.tensor(own, dtype=self.dtype, device=self.held.device).repeat_interleave(count, 0)
        drawn = draws.uniforms(self.keys, count * DRAWS, rng.AUGMENT, epoch, step).view(-1, DRAWS)
        flat = batch.x.flatten(0, 1)

        def noise() -> Any:
            found = draws.gaussian(self.keys, flat[0].numel(), count, epoch, step, rng.AUGMENT_NOISE)
            return found.reshape(flat.shape).to(self.dtype)

        own_tones = self._tones()
        tones = PLAIN if own_tones is None else Tones(*own_tones.repeat_interleave(count, 1))
        batch.x = augmented(flat, amounts, drawn, noise, tones).view(batch.x.shape)

    def _tones(self) -> Any | None:
        """Return what is black and what white to each member, (2, M, C, 1, 1); None where all have -1 and 1."""
        if all(fold.tones is None for fold in self.folds):
            return None
        channels = self.folds[0].x.shape[1]
        plain = np.repeat([[-1.0], [1.0]], channels, axis=1)
        known = np.stack([plain if fold.tones is None else fold.tones for fold in self.folds], axis=1)
        return torch.as_tensor(known[..., None, None], dtype=self.dtype, device=self.held.device)

    def _mix(self, batch: Batch, strength: Any, epoch: int, step: int) -> None:
        """Mix each row with another one of its batch (Zhang et al. 2018), one coefficient a batch."""
        for m, (member, strengths) in enumerate(zip(self.members, self.strengths, strict=True)):
            if not strengths.mixup:
                continue
            quantiles = mixup_quantiles(strengths.mixup)
            c, distance = draws.mixing(member.seed, batch.x.shape[1], quantiles, epoch, step)
            c = 1 - (1 - c) * float(strength[m]) / strengths.mixup  # a schedule moves it towards 1: no mixing
            parts = [batch.x, batch.y] + ([] if batch.weights is None else [batch.weights])
            for part in parts:
                part[m] = c * part[m] + (1 - c) * part[m].roll(-distance, 0)


def mask(keys: Any, place: int, rate: Any, units: int, columns: int, epoch: int, step: int) -> tuple[Any, Any]:
    """Return which units dropout keeps, (M, columns, units) bool, and the scale of what is kept, (M,) float64."""
    threshold = torch.clamp(torch.round((1 - rate.double()) * 65536), min=1)
    keep = draws.kept(keys, place, units, columns, threshold[:, None], epoch, step)
    return keep, 65536 / threshold


# An epoch may be trained in many slices, and a large permutation takes a while.
@lru_cache(maxsize=64)
def _shuffled(seed: int, count: int, epoch: int) -> Array:
    return rng.permutation(seed, rng.SHUFFLE, count, epoch=epoch)
