"""Schedules: how a learning rate, or the strength of an ingredient, changes over a training."""

from __future__ import annotations

import math

SCHEDULES = ("constant", "cosine", "one_cycle", "flat_cosine")
# One-cycle, as in PyTorch: up from 1/25 of the top over the first 30% of the steps, then down to 1/250,000.
WARM_UP, FIRST, LAST = 0.3, 1 / 25, 1 / 250_000


def schedule_factor(schedule: str, progress: float) -> float:
    """Return the factor, 0 to 1, at ``progress`` (steps done over all steps, 0 to 1).

    ``cosine`` falls from 1 to 0 (Loshchilov & Hutter 2017, eq. 5 without restarts). ``flat_cosine`` stays at 1 for
    half of the training and falls then ("flat_cos" of RealMLP: Holzmueller, Grinsztajn & Steinwart 2024).
    ``one_cycle`` rises to 1 first (Smith & Topin 2018, with PyTorch's figures).

    >>> [round(schedule_factor(name, 0.75), 3) for name in SCHEDULES]
    [1.0, 0.146, 0.283, 0.5]
    """
    if schedule == "cosine":
        return _between(1.0, 0.0, progress)
    if schedule == "flat_cosine":
        return _between(1.0, 0.0, max(2 * progress - 1, 0.0))
    if schedule == "one_cycle":
        if progress < WARM_UP:
            return _between(FIRST, 1.0, progress / WARM_UP)
        return _between(1.0, LAST, (progress - WARM_UP) / (1 - WARM_UP))
    return 1.0


def _between(start: float, end: float, share: float) -> float:
    """Return the value at ``share`` of the way from start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
