"""Paths and what is read off them. Shapes: P points, K folds, S seeds, d features, k outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wellfit.records.comparing import Difference, Interval
from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Task


@dataclass(frozen=True, eq=False)
class WarmStarts:
    """A path trained point after point, each member starting where its weaker neighbour ended, beside the plain path.

    ``losses`` is (P, K, S); ``differences`` are the paired differences in validation loss to the independent members,
    one a point (None where a member diverged), and ``sentence`` says how the two differ.
    """

    losses: Array
    differences: tuple[Difference | None, ...]
    sentence: str


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The exact solutions along a linear path, fitted on all rows that it may learn from; d features, k outputs.

    ``names`` are the d columns of the design matrix, ``standardized`` (P, k, d) the weights on the columns as the fit
    sees them: numeric ones (and, in regression, the target) of standard deviation 1, by which they can be compared,
    the 0/1 columns of categories as they are; ``coefficients`` (P, k, d)
    and ``intercepts`` (P, k) are the same model in the columns' and the target's own units. ``outputs`` names the k
    outputs: the target, or its classes (of two classes the second). ``freedom`` (P,) is the effective number of
    parameters, intercepts not counted. ``exists`` is (P,): False where without a penalty no solution exists.
    """

    names: tuple[str, ...]
    outputs: tuple[str, ...]
    standardized: Array
    coefficients: Array
    intercepts: Array
    freedom: Array
    exists: Array

    def used(self, point: int) -> tuple[str, ...]:
        """Return the names of the features that have a weight at a point, the largest standardized weight first."""
        sizes = np.abs(self.standardized[point]).max(axis=0)
        return tuple(self.names[j] for j in np.argsort(-sizes, kind="stable") if sizes[j])


@dataclass(frozen=True, eq=False, repr=False)
class Path(Shown):
    """A population along one ingredient: P points from none to the end of its range, K folds, S seeds.

    ``strengths`` is (P,), the weakest first: 0 (infinity for a bound, all epochs for early stopping) is none.
    ``losses``, ``train_losses`` and ``scores`` are (P, K, S), NaN where the member diverged. ``best`` has the lowest
    mean validation loss; ``one_standard_error`` is the strongest point whose mean lies within one standard error of it
    (Hastie, Tibshirani & Friedman 2009, 7.10); both are indices. ``right`` is (P,): True where the mean lies within
    that standard error, False where the strength is too weak or too strong.
    ``weight_norms`` is (P, layers), ``zeros`` the share of weights that are exactly zero, ``inputs_used`` the count of
    columns of the design matrix in use out of ``inputs``, ``units`` (P, 3) the shares of hidden units always on, always
    off and saturated: means over folds and seeds. ``curves[name]`` is (P, c) along ``checkpoints``: means likewise.
    ``out_of_fold`` is (P, rows, k), averaged over seeds. ``chance`` is the mean validation loss of predicting the mean.
    ``end`` says why the path ends where it does. ``linear`` holds the coefficients where solutions are exact, and is
    None for networks.
    """

    data: str
    task: Task
    metric: str
    higher_is_better: bool
    network: str
    training: str
    base: str
    over: str
    folds: int
    seeds: int
    seed: int
    strengths: Array
    cocktails: tuple[str, ...]
    losses: Array
    train_losses: Array
    scores: Array
    loss: tuple[Interval | None, ...]
    train_loss: tuple[Interval | None, ...]
    score: tuple[Interval | None, ...]
    standard_error: float
    best: int
    one_standard_error: int
    right: Array
    diverged: Array
    weight_norms: Array
    zeros: Array
    inputs_used: Array
    inputs: int
    units: Array
    curves: Mapping[str, Array]
    checkpoints: Array
    chance: float
    end: str
    rows: Array
    out_of_fold: Array
    warm: WarmStarts | None = None
    linear: Coefficients | None = None

    def mean(self, values: Array) -> Array:
        """Return the mean over folds and seeds of ``values`` (P, K, S): NaN where a member diverged."""
        return values.mean(axis=(1, 2))


@dataclass(frozen=True, repr=False)
class Simplest(Shown):
    """Whether a network is better than a linear model: both regularized, on the same folds.

    ``linear`` and ``network_cocktail`` are the cocktails that are best over all folds; scores and differences are at
    strengths chosen on the other folds. Differences are network less linear model, and ``word`` is said of the network.
    """

    metric: str
    linear: str
    network: str
    network_cocktail: str
    linear_score: Interval
    network_score: Interval
    difference: Difference
    loss_difference: Difference
    sentence: str
