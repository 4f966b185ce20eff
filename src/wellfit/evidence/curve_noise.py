"""What a single curve of epochs tells beyond its own noise: whether it rises at its end, falls still, and by how much.

A curve is taken as a smooth trend plus autocorrelated noise, AR(1) with the same spread everywhere, its outliers drawn
in. Nothing here knows folds or seeds: what is "beyond noise" is beyond the jumps from epoch to epoch, no more.
Thresholds are quantiles of the statistic over simulated flat curves of the same length and autocorrelation that went
through the same estimates; a flat curve is the hardest one on which to raise no false alarm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wellfit import rng
from wellfit.records import Array

LEAST = 8  # epochs below which there is no telling noise from trend
MOST = 96  # longer curves are averaged in blocks of epochs
LEVEL = 0.993  # of the simulated flat curves stay below the threshold
SHARES = (0.05, 0.1, 0.2, 0.33)  # of the curve: the windows whose means are compared
NEIGHBOURS = 0.35  # share of the curve on which a point of the trend is fitted
SPIKE = 6.0  # robust deviations from the median of neighbours beyond which a value is a spike
CLIP = 3.5  # outliers are drawn in to so many robust standard deviations from the trend
DROP = 0.1  # the part of the first fall that must be left for noise to be measured
GRID = tuple(np.round(np.arange(0, 0.96, 0.1), 2))
DRAWS, TABLE = 2000, 300
USUAL = (0.4, 0.2)  # what is believed of the autocorrelation before the curve is seen: mean and spread
SEED, BOOTSTRAPS = 20070, 400


@dataclass(frozen=True, eq=False)
class Noise:
    """The noise of a curve: its standard deviation and its correlation from one point to the next."""

    spread: float
    memory: float


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve made ready: block means (n,), their middle epochs (n,), the trend (n,) and the noise around it."""

    values: Array
    epochs: Array
    trend: Array
    noise: Noise


@dataclass(frozen=True)
class Rise:
    """How far the last tenth of a curve lies above the lowest tenth before it.

    ``size`` is the difference of their means, corrected for the lowest having been picked, in the curve's unit, with a
    95% interval over the noise between epochs; ``beyond`` says whether flat noise would show it in less than 1 of 100
    curves; ``best`` is the index of the middle of that lowest tenth.
    """

    size: float
    low: float
    high: float
    beyond: bool
    best: int


def prepare(values: Array, epochs: Array) -> Curve:
    """Return the curve of finite ``values`` (c,) at ``epochs`` (c,), c at least `LEAST`."""
    values = despiked(values)
    parts = np.array_split(np.arange(len(values)), min(len(values), MOST))
    means = np.array([values[part].mean() for part in parts])
    at = np.array([epochs[part].mean() for part in parts])
    trend = smooth(means)
    start = settled(means)
    rest = means[start:]
    residuals = _drawn_in(rest - smooth(rest))
    noise = _noise(residuals)
    kept = np.concatenate([means[:start], smooth(rest) + residuals])
    return Curve(kept, at, trend, noise)


def despiked(values: Array) -> Array:
    """Return the values (n,) with single spikes drawn in to `SPIKE` robust deviations from the median of five."""
    padded = np.concatenate([values[2:0:-1], values, values[-2:-4:-1]])
    medians = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    apart = values - medians
    limit = SPIKE * 1.4826 * float(np.median(np.abs(apart)))
    return medians + np.clip(apart, -limit, limit) if limit else values


def settled(values: Array) -> int:
    """Return the index from where the first steep fall is over; at least `LEAST` points and a half remain."""
    medians = np.array([np.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))])
    low = medians.min()
    over = np.flatnonzero(medians <= low + DROP * (medians[0] - low))
    return int(min(over[0] if over.size else 0, max(0, len(values) - max(LEAST, len(values) // 2))))


def smooth(values: Array) -> Array:
    """Return the trend of ``values`` (..., n): local lines, tricube weights (Cleveland 1979)."""
    return values @ _smoother(values.shape[-1]).T


@lru_cache(maxsize=128)
def _smoother(n: int) -> Array:
    reach = max(4.0, NEIGHBOURS * n)
    at = np.arange(n, dtype=np.float64)
    rows = []
    for i in range(n):
        # At the ends the window keeps its width, and reaches further to the other side.
        half = max(reach / 2, reach - min(i, n - 1 - i))
        weights = np.clip(1 - (np.abs(at - i) / (half + 1)) ** 3, 0, None) ** 3
        design = np.stack([np.ones(n), at - i], axis=1)
        inner = design.T @ (weights[:, None] * design)
        rows.append(np.linalg.solve(inner, (weights[:, None] * design).T)[0])
    found = np.array(rows)
    found.setflags(write=False)
    return found


def _drawn_in(residuals: Array) -> Array:
    """Return residuals (..., n) with outliers drawn in."""
    limit = CLIP * 1.4826 * np.median(np.abs(residuals), axis=-1, keepdims=True)
    return np.clip(residuals, -limit, limit)


def _raw(residuals: Array) -> tuple[Array, Array]:
    """Return the spread and the lag-1 autocorrelation of residuals (..., n), as they are."""
    squares = (residuals**2).sum(axis=-1)
    products = (residuals[..., 1:] * residuals[..., :-1]).sum(axis=-1)
    return np.sqrt(squares / residuals.shape[-1]), products / np.where(squares > 0, squares, 1.0)


@lru_cache(maxsize=128)
def _bias(n: int) -> tuple[Array, Array, Array]:
    """Return what smoothing n points makes of AR(1) noise of spread 1, (g,) each over `GRID`.

    The medians of raw spread and autocorrelation over simulated noise, and the standard error of the latter.
    """
    spreads, memories, errors = [], [], []
    for g, memory in enumerate(GRID):
        noise = simulated(n, memory, TABLE, step=g)
        spread, raw = _raw(_drawn_in(noise - smooth(noise)))
        spreads.append(np.median(spread))
        memories.append(np.median(raw))
        errors.append(raw.std())
    return np.array(spreads), np.maximum.accumulate(memories) + 1e-9 * np.arange(len(GRID)), np.array(errors)


def simulated(n: int, memory: float, draws: int, *, step: int = 0) -> Array:
    """Return ``draws`` stationary AR(1) curves of n points and spread 1, (draws, n): equal calls, equal curves."""
    shocks = rng.normal(SEED, rng.RESAMPLE, draws * n, epoch=n, step=step).reshape(draws, n)
    found = np.empty_like(shocks)
    found[:, 0] = shocks[:, 0]
    fresh = np.sqrt(1 - memory**2)
    for i in range(1, n):
        found[:, i] = memory * found[:, i - 1] + fresh * shocks[:, i]
    return found


def _noise(residuals: Array) -> Noise:
    """Return the noise behind residuals (n,) of a smoothed curve: what smoothing took away is put back."""
    spread, raw = _raw(residuals)
    memory = float(_memory(len(residuals), raw))
    return Noise(float(spread / np.interp(memory, GRID, _bias(len(residuals))[0])), memory)


def _memory(n: int, raw: Array) -> Array:
    """Return the autocorrelation behind raw ones (...,) of n points: drawn to `USUAL` the more, the fewer they are.

    That is the mean of a normal estimate with a normal prior: a short curve alone says next to nothing about it.
    """
    _, memories, errors = _bias(n)
    plain = np.interp(raw, memories, GRID)
    error = np.interp(raw, memories, errors)
    weight = USUAL[1] ** 2 / (USUAL[1] ** 2 + error**2)
    return weight * plain + (1 - weight) * USUAL[0]


def rise(curve: Curve) -> Rise:
    """Return how far the curve's end lies above its lowest stretch before."""
    n, noise = len(curve.values), curve.noise
    sizes, at = _rises(curve.values)
    scales, threshold = _threshold(n, round(noise.memory, 1))
    tiny = noise.spread <= 1e-9 * max(float(np.abs(curve.values).max()), 1e-300)
    statistic = float((sizes / scales).max()) / (noise.spread or 1e-300)
    beyond = bool(sizes.max() > 0) if tiny else statistic > threshold
    size, low, high = _interval(curve)
    return Rise(size, low, high, beyond and size > 0, int(at[windows(n).index(tenth(n))]))


def tenth(n: int) -> int:
    """Return the width of the stretches of which the size of a rise is measured: a tenth of n points, at least 2."""
    return max(2, round(0.1 * n))


def windows(n: int) -> tuple[int, ...]:
    """Return the widths of the windows whose means are compared."""
    return tuple(sorted({max(2, round(share * n)) for share in SHARES}))


def _rises(values: Array) -> tuple[Array, Array]:
    """Return, for each window, the mean of the end less the lowest mean before it, and where: (..., windows) each."""
    n = values.shape[-1]
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(axis=-1)], axis=-1)
    sizes, at = [], []
    for width in windows(n):
        means = (sums[..., width:] - sums[..., :-width]) / width
        before = means[..., : n - 2 * width + 1]
        sizes.append(means[..., -1] - before.min(axis=-1))
        at.append(before.argmin(axis=-1) + (width - 1) // 2)
    return np.stack(sizes, axis=-1), np.stack(at, axis=-1)


@lru_cache(maxsize=256)
def _threshold(n: int, memory: float) -> tuple[Array, float]:
    """Return the scale of each window's rise and the `LEVEL` quantile of the largest, over flat curves of spread 1."""
    curves = simulated(n, memory, DRAWS, step=1000)
    sizes, _ = _rises(curves)
    scales = np.quantile(sizes, LEVEL, axis=0)
    spread, raw = _raw(_drawn_in(curves - smooth(curves)))
    spread = spread / np.interp(_memory(n, raw), GRID, _bias(n)[0])
    return scales, float(np.quantile((sizes / scales).max(axis=-1) / spread, LEVEL))


def _interval(curve: Curve) -> tuple[float, float, float]:
    """Return the mean of the last tenth less that of the lowest tenth before, and its 95% interval."""
    at = windows(len(curve.values)).index(tenth(len(curve.values)))
    found, truth = _rises(curve.values)[0][at], _rises(curve.trend)[0][at]
    return basic(float(found), float(truth), _rises(_again(curve))[0][:, at])


def _again(curve: Curve) -> Array:
    """Return the trend with noise laid on it anew, (draws, n): the parametric bootstrap."""
    n = len(curve.trend)
    return curve.trend + curve.noise.spread * simulated(n, curve.noise.memory, BOOTSTRAPS, step=2000)


def basic(found: float, truth: float, again: Array) -> tuple[float, float, float]:
    """Return an estimate less its bootstrap bias, and its basic 95% interval (Davison & Hinkley 1997, 5.2)."""
    off = np.quantile(again - truth, [0.025, 0.5, 0.975])
    return found - float(off[1]), found - float(off[2]), found - float(off[0])


def ahead(curve: Curve) -> tuple[float, float, float]:
    """Return how far the curve would fall in as many epochs again, and the 95% interval of that, never below 0.

    The trend's falls over the last two quarters are carried on as a geometric series whose ratio is at most 1.
    """
    again = smooth(_again(curve))
    size, low, high = basic(float(_carried(curve.trend)), float(_carried(smooth(curve.trend))), _carried(again))
    return max(size, 0.0), max(low, 0.0), max(high, 0.0)


def _carried(trend: Array) -> Array:
    n = trend.shape[-1]
    first, second = trend[..., n // 2] - trend[..., 3 * n // 4], trend[..., 3 * n // 4] - trend[..., -1]
    ratio = np.clip(second / np.where(first > 0, first, np.inf), 0, 1)
    ratio = np.where((first <= 0) & (second > 0), 1.0, ratio)
    return np.clip(second, 0, None) * (ratio + ratio**2 + ratio**3 + ratio**4)


def last_half(curve: Curve) -> Curve:
    """Return the later half of a curve, at least `LEAST` points of it, turned upside down: its falls are rises."""
    n = max(LEAST, len(curve.values) // 2)
    return Curve(-curve.values[-n:], curve.epochs[-n:], -curve.trend[-n:], curve.noise)


def level(curve: Curve, index: int) -> tuple[float, float]:
    """Return the mean of the curve around an index, over a tenth of its points, and its standard error."""
    width = tenth(len(curve.values))
    start = min(max(0, index - (width - 1) // 2), len(curve.values) - width)
    kept = 1 + 2 * sum((1 - j / width) * curve.noise.memory**j for j in range(1, width))
    return float(curve.values[start : start + width].mean()), curve.noise.spread * float(np.sqrt(kept / width))
