"""Members, intervals and comparisons. Shapes: n rows, k outputs, c checkpoints, K folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Task


@dataclass(frozen=True, eq=False, repr=False)
class History(Shown):
    """What one member did.

    ``status`` is ``unbounded`` where an unpenalized linear model has no solution: its weights grow for ever, and those
    kept are at l2 = 1e-6.

    ``checkpoints`` is (c,) epochs, ``curves[name]`` is (c,): ``train_loss``, ``stop_loss``, ``score_loss``,
    ``penalty``, ``train_accuracy``, ``stop_accuracy``, ``score_accuracy``, all in evaluation mode (no dropout, no
    penalty, hard labels), NaN where there is nothing to measure, losses in the user's unit (see `FoldData`).
    ``predictions`` is (rows of the fold's score set, k): probabilities, or values in the target's own unit; ``seen`` is
    the same for its training rows, (rows, k), without rows where there are very many (`wellfit.engines.base.seen_rows`)
    and in records of older versions.
    ``best_epoch`` is the epoch whose weights are kept: the last, or early stopping's choice. ``weight_norms`` holds the
    Frobenius norm of each layer's kept weights, ``zero_weights`` of all ``weights`` are exactly zero, and
    ``inputs_used`` columns of the design matrix have a weight that is not. ``units`` are the shares of the hidden units
    that are always on, always off and saturated on training rows (see `MLP.unit_shares`), NaN without hidden layers.
    """

    status: Literal["finished", "stopped", "diverged", "unbounded"]
    epochs: int
    best_epoch: int
    steps: int
    checkpoints: Array
    curves: Mapping[str, Array]
    predictions: Array
    weight_norms: tuple[float, ...]
    zero_weights: int
    weights: int
    inputs_used: int = 0
    units: tuple[float, float, float] = (float("nan"),) * 3
    seen: Array = field(default_factory=lambda: np.empty((0, 1)))


@dataclass(frozen=True)
class Interval:
    """A 95% interval ``[low, high]`` around ``mean`` and the sentence that says what it estimates."""

    mean: float
    low: float
    high: float
    estimates: str


@dataclass(frozen=True)
class Difference:
    """A paired difference to the reference cocktail, and the word for it: better, worse or undecided.

    Positive means better for scores that should be high, negative better for losses; ``word`` has that read already.
    The interval is of this difference alone, and so is ``p_value`` (two-sided, NaN where unknown). Of many cocktails
    compared the word is adjusted for their number: see `wellfit.evidence.intervals.family`.
    """

    interval: Interval
    word: Literal["better", "worse", "undecided", "reference"]
    p_value: float = float("nan")


@dataclass(frozen=True, eq=False)
class CocktailResult:
    """One line of a comparison. Intervals are None where members diverged (``diverged`` counts them).

    ``gap`` is the validation over the training loss, ``rise`` the validation loss at the end of training over its
    lowest (whose epoch is read off the other folds): both are ratios, 1 where there is none. ``diverged_epoch`` is the
    epoch in which the first member diverged; ``unbounded`` counts the members of a linear model that has no solution
    without a penalty (see `History`).
    """

    cocktail: str
    members: int
    diverged: int
    train_loss: Interval | None
    loss: Interval | None
    score: Interval | None
    loss_difference: Difference | None
    score_difference: Difference | None
    best_epoch: float
    curves: Mapping[str, Array] = field(default_factory=dict)
    checkpoints: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    gap: Interval | None = None
    rise: Interval | None = None
    diverged_epoch: int = 0
    unbounded: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """A population read as a comparison of cocktails: folds x seeds members a cocktail.

    ``results`` keeps the asked order; ``winner`` is a cocktail's text. ``metric`` names the score and
    ``higher_is_better`` its sense. ``out_of_fold[cocktail]`` is (rows, k): predictions for ``rows`` averaged over
    seeds.
    """

    data: str
    task: Task
    metric: str
    higher_is_better: bool
    network: str
    training: str
    folds: int
    seeds: int
    seed: int
    results: tuple[CocktailResult, ...]
    winner: str
    rows: Array
    out_of_fold: Mapping[str, Array]
