"""Bias and variance, measured. Shapes: P strengths, R resamples, S seeds, n rows scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wellfit.records.comparing import Interval
from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Task

Loss = Literal["squared", "log-loss", "brier", "0-1"]


@dataclass(frozen=True)
class Decomposition:
    """The expected loss of a training procedure in parts, each with its Monte-Carlo 95% interval.

    ``total = bias + variance (+ noise)``. Where the truth is unknown ``noise`` is None and ``bias`` holds both.
    ``variance = data + seed``: what new training rows change, and what a new seed changes on the same rows; both are
    None where there is one seed or the loss has no such split (0-1). For 0-1, ``variance = unbiased - biased``.
    """

    loss: Loss
    total: Interval
    bias: Interval
    variance: Interval
    noise: Interval | None = None
    data: Interval | None = None
    seed: Interval | None = None
    unbiased: Interval | None = None
    biased: Interval | None = None


@dataclass(frozen=True, eq=False, repr=False)
class BiasVariance(Shown):
    """Bias and variance of a network, at one strength or along the strengths of an ingredient.

    ``strengths`` is (P,), the weakest first, with ``cocktails`` their texts; ``over`` is "" and P is 1 where nothing is
    turned up. ``parts[loss]`` holds a `Decomposition` for each strength, None where members diverged (``diverged``
    counts them, (P,)); the first loss is the one that training lowers. ``known`` says that the data come from a known
    generator: resamples are then fresh draws of ``train_rows`` rows, else bootstrap resamples. ``best`` is the strength
    with the lowest total of the first loss. ``exact`` says that seeds make no difference.
    """

    data: str
    task: Task
    network: str
    training: str
    base: str
    over: str
    end: str
    known: bool
    exact: bool
    train_rows: int
    rows: int
    resamples: int
    seeds: int
    seed: int
    strengths: Array
    cocktails: tuple[str, ...]
    parts: Mapping[Loss, tuple[Decomposition | None, ...]]
    diverged: Array
    best: int
