"""The draws of `wellfit.rng` for many members at once, on any device. Keys are (M, 2): two 32-bit words a seed.

PyTorch has no unsigned arithmetic to speak of: 32-bit words are held in int64, whose products wrap as they should.
Imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from wellfit import rng
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()

_M0, _M1, _W0, _W1, _LOW = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85, 0xFFFFFFFF


LANES = 16  # a batch's columns are counted in whole vectors, as the compiled engine lays them: draws are then its own


def padded(columns: int) -> int:
    """Return a number of columns rounded up to whole vectors."""
    return -(-columns // LANES) * LANES


def keys_of(seeds: Sequence[int], device: Any) -> Any:
    """Return the keys (M, 2) of seeds."""
    pairs = [(seed & _LOW, (seed >> 32) & _LOW) for seed in seeds]
    return torch.tensor(pairs, dtype=torch.int64, device=device)


def philox(keys: Any, blocks: int, stream: int, epoch: int, step: int, rounds: int) -> tuple[Any, Any, Any, Any]:
    """Return the four words, (M, blocks) each, of Philox4x32 at counters (0 to blocks - 1, step, epoch, stream)."""
    k0, k1 = keys[:, :1], keys[:, 1:]
    c0 = torch.arange(blocks, dtype=torch.int64, device=keys.device)[None]
    c1, c2, c3 = (torch.full((1, 1), v, dtype=torch.int64, device=keys.device) for v in (step, epoch, stream))
    for _ in range(rounds):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _LOW) ^ c1 ^ k0,
            p1 & _LOW,
            ((p0 >> 32) & _LOW) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    shape = (len(keys), blocks)
    return c0.expand(shape), c1.expand(shape), c2.expand(shape), c3.expand(shape)


def kept(keys: Any, place: int, units: int, columns: int, threshold: Any, epoch: int, step: int) -> Any:
    """Return which units `rng.dropout_mask` keeps in each column, (M, columns, units) bool.

    ``threshold`` is (M, 1): 65536 times the share to keep.
    """
    count, columns = columns, padded(columns)
    tiles = -(-units * columns // 128)
    words = philox(keys, tiles * 16, rng.DROPOUT + place, epoch, step, 7)
    drawn = torch.stack([w.reshape(-1, tiles, 16) for w in words], dim=2)  # (M, tiles, 4, 16)
    halves = torch.stack([drawn & 0xFFFF, drawn >> 16], dim=-1)
    flat = halves.reshape(len(keys), -1)[:, : units * columns]
    return (flat < threshold).view(-1, units, columns)[:, :, :count].transpose(1, 2)


def gaussian(keys: Any, inputs: int, columns: int, epoch: int, step: int, stream: int = rng.NOISE) -> Any:
    """Return the noise of `rng.gaussian_noise`, (M, columns, inputs) float64."""
    count, columns = columns, padded(columns)
    tiles = -(-inputs * columns // 64)
    words = philox(keys, tiles * 16, stream, epoch, step, 7)
    unit = [(w >> 1).double() * 2.0**-31 for w in words]
    parts = []
    for first in (0, 2):
        radius = torch.sqrt(-2 * torch.log(unit[first] + 2.0**-32))
        angle = 2 * torch.pi * unit[first + 1]
        parts += [radius * torch.cos(angle), radius * torch.sin(angle)]
    # Parts are cosine and sine of the first pair of words, then of the second; a tile holds 16 of each in turn.
    tiled = torch.stack([p.reshape(-1, tiles, 16) for p in parts], dim=2)
    flat = tiled.reshape(len(keys), -1)[:, : inputs * columns]
    return flat.view(-1, inputs, columns)[:, :, :count].transpose(1, 2)


def uniforms(keys: Any, count: int, stream: int, epoch: int, step: int) -> Any:
    """Return ``count`` uniform numbers in (0, 1) for each member, (M, count) float64, of 32 bits each."""
    words = torch.stack(philox(keys, -(-count // 4), stream, epoch, step, 7), dim=-1)
    return (words.reshape(len(keys), -1)[:, :count].double() + 0.5) * 2.0**-32


def mixing(seed: int, count: int, quantiles: np.ndarray, epoch: int, step: int) -> tuple[float, int]:
    """Return mixup's coefficient, as drawn from the quantiles of its distribution, and the distance of the partner."""
    place, distance = rng.mixup_draw(seed, count, epoch=epoch, step=step)
    return float(np.interp(place, np.arange(len(quantiles)) / (len(quantiles) - 1), quantiles)), distance
