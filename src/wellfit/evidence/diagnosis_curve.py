"""Learning curves over the count of training rows: the power law through them, and what more rows would bring.

Losses fall about as ``a + b n^-c`` (C. Cortes et al., *Learning curves: asymptotic values and rate of convergence*,
NeurIPS 1993). The fit is least squares over a grid of c with a and b not negative. Its uncertainty is that of leaving
one fold out at a time (the jackknife), with the allowance for shared training rows of Nadeau and Bengio (2003).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wellfit.evidence.intervals import half_width
from wellfit.records import Array, Interval

RATES = np.linspace(0.05, 2.0, 40)
FEWEST = 3  # sizes
MOST_TIMES = 1000.0


def power_law(sizes: Array, losses: Array) -> tuple[float, float, float]:
    """Return (a, b, c) of ``a + b n^-c`` through losses (G,) at sizes (G,); NaN for fewer than `FEWEST` sizes.

    >>> sizes = np.array([50.0, 100.0, 200.0])
    >>> a, b, c = power_law(sizes, 0.3 + 4 * sizes**-0.5)
    >>> round(a, 3), round(b, 3), round(c, 3)
    (0.3, 4.0, 0.5)
    """
    nothing = (float("nan"),) * 3
    if len(sizes) < FEWEST or not np.isfinite(losses).all():
        return nothing
    best, lowest = nothing, np.inf
    unit = float(sizes.max())  # so that b is of the losses' order
    for rate in RATES:
        falling = (sizes / unit) ** -rate
        b = max(0.0, _slope(falling, losses))
        a = float(losses.mean() - b * falling.mean())
        if a < 0:
            a, b = 0.0, max(0.0, float((falling * losses).sum() / (falling**2).sum()))
        error = float(((a + b * falling - losses) ** 2).sum())
        if error < lowest - 1e-15:
            lowest, best = error, (a, float(b * unit**rate), float(rate))
    return best


def _slope(x: Array, y: Array) -> float:
    rest = x - x.mean()
    return float(rest @ y / (rest @ rest))


def at(fit: tuple[float, float, float], rows: float) -> float:
    """Return the loss that a fit promises for so many training rows."""
    a, b, c = fit
    return a + b * rows**-c


def change(sizes: Array, losses: Array, times: float, test_share: float, estimates: str) -> Interval:
    """Return how the loss would change with ``times`` as many training rows as the last size, and its interval.

    ``losses`` is (G, K); ``test_share`` is the ratio of score to training rows.
    """

    def figure(values: Array) -> float:
        fit = power_law(sizes, values)
        return at(fit, times * sizes[-1]) - at(fit, sizes[-1])

    return jackknife(figure, losses, test_share, estimates)


def halving(sizes: Array, gaps: Array, test_share: float, estimates: str) -> Interval:
    """Return how many times as many training rows would halve the gap, whose G means over folds fall as ``n^-c``.

    ``gaps`` is (G, K). No more than `MOST_TIMES` is said, which also stands where the gap does not fall; NaN where a
    mean gap is not above 0.
    """

    def rate(values: Array) -> float:
        return -_slope(np.log(sizes), np.log(values)) if (values > 0).all() else float("nan")

    found = jackknife(rate, gaps, test_share, estimates)
    return Interval(_times(found.mean), _times(found.high), _times(found.low), estimates)


def _times(rate: float) -> float:
    if np.isnan(rate):
        return float("nan")
    return min(float(2 ** min(1 / rate, 100.0)), MOST_TIMES) if rate > 0 else MOST_TIMES


def jackknife(figure: Callable[[Array], float], values: Array, test_share: float, estimates: str) -> Interval:
    """Return a figure of the mean over folds of values (G, K), and its interval; NaN bounds for one fold."""
    folds = values.shape[1]
    whole = figure(values.mean(axis=1))
    if folds < 2:
        return Interval(whole, float("nan"), float("nan"), estimates)
    without = np.array([figure(np.delete(values, k, axis=1).mean(axis=1)) for k in range(folds)])
    # K - 1 times the spread of the leave-one-out figures is that of single folds.
    half = half_width((folds - 1) * float(without.std(ddof=1)), folds, test_share)
    return Interval(whole, whole - half, whole + half, estimates)
