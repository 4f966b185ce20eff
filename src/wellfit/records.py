"""What flows between rooms: frozen dataclasses of NumPy arrays and plain values.

Shapes: n rows, d input features, k outputs, c checkpoints, K folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Array = np.ndarray
Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["numeric", "categorical", "boolean", "date"]


@dataclass(frozen=True)
class Finding:
    """Something about the data that the user should know: a leak, an identifier, duplicate rows, dropped rows.

    ``kind`` is a stable word for programs (``leak``, ``identifier``, ``duplicates``, ``constant``, ...), ``text`` the
    sentence for people; ``columns`` and ``count`` name the place.
    """

    kind: str
    text: str
    columns: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True, eq=False)
class Table:
    """A checked table: features by column, one target.

    ``columns[name]`` is (n,): float64 with NaN for missing (numeric; boolean as 0/1; date as days since 1970), or
    object with ``str`` or ``None`` (categorical). ``target`` is (n,): int64 codes into ``classes`` or float64 for
    regression. ``test_rows`` are the rows of a test set that came with the data, else None; ``groups``, ``times``
    and ``weights`` (how much a row counts) are (n,) where asked for.
    """

    name: str
    columns: Mapping[str, Array]
    kinds: Mapping[str, Kind]
    target: Array
    target_name: str
    task: Task
    classes: tuple[str, ...] = ()
    test_rows: Array | None = None
    groups: Array | None = None
    times: Array | None = None
    weights: Array | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows n, test rows included."""
        return len(self.target)


@dataclass(frozen=True, eq=False)
class Split:
    """Row indices of the parts of a table and the sentence that states the rule. ``validation`` may be empty."""

    train: Array
    validation: Array
    test: Array
    rule: str


@dataclass(frozen=True, eq=False)
class Fold:
    """Three disjoint sets of rows: ``train``, ``stop`` (early stopping's own, may be empty) and ``score``."""

    train: Array
    stop: Array
    score: Array


@dataclass(frozen=True, eq=False)
class FoldData:
    """What an engine trains on for one fold: a design matrix made with *this fold's training rows* only.

    ``x`` is (n, d) float64, ``y`` is (n, k) float64: one-hot (multiclass), 0/1 (binary), standardized (regression).
    ``loss_unit`` turns the engine's loss into the user's unit (the squared target scale in regression, else 1);
    ``target_mean`` and ``target_scale`` turn regression predictions back. ``weights`` is None or (n,): how much each
    row counts, in training and in curves.
    """

    x: Array
    y: Array
    rows: Fold
    loss_unit: float = 1.0
    target_mean: float = 0.0
    target_scale: float = 1.0
    weights: Array | None = None


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All folds that a population may name by index. ``task`` fixes the loss: sigmoid or softmax cross-entropy, or
    the mean squared error. ``outputs`` is k. ``fingerprint`` is a hash of everything a result depends on.
    """

    task: Task
    outputs: int
    folds: tuple[FoldData, ...]
    fingerprint: str = ""


@dataclass(frozen=True, eq=False)
class History:
    """What one member did.

    ``status`` is ``unbounded`` where an unpenalized linear model has no solution: its weights grow for ever, and those
    kept are at l2 = 1e-6.

    ``checkpoints`` is (c,) epochs, ``curves[name]`` is (c,): ``train_loss``, ``stop_loss``, ``score_loss``,
    ``penalty``, ``train_accuracy``, ``stop_accuracy``, ``score_accuracy``, all in evaluation mode (no dropout, no
    penalty, hard labels), NaN where there is nothing to measure, losses in the user's unit (see `FoldData`).
    ``predictions`` is (rows of the fold's score set, k): probabilities, or values in the target's own unit.
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
    """

    interval: Interval
    word: Literal["better", "worse", "undecided", "reference"]


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


@dataclass(frozen=True, eq=False)
class Comparison:
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

    ``names`` are the d columns of the design matrix, ``standardized`` (P, k, d) the weights on columns of standard
    deviation 1 (and, in regression, for such a target), by which features can be compared; ``coefficients`` (P, k, d)
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


@dataclass(frozen=True, eq=False)
class Path:
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


@dataclass(frozen=True)
class Simplest:
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


@dataclass(frozen=True)
class Trial:
    """One candidate of a search. ``losses`` holds its mean validation loss at each rung it reached (NaN: diverged).

    ``source`` is ``portfolio`` or ``proposed``; ``learning_rate`` and ``batch_size`` are the training's; ``binned``
    says whether bins stood beside the numeric columns.
    """

    number: int
    source: str
    cocktail: str
    network: str
    learning_rate: float
    batch_size: int | None
    losses: tuple[float, ...]
    seeds: int = 1
    binned: bool = False


@dataclass(frozen=True)
class Part:
    """A part of an ensemble: a trial at one of its epochs, and its share."""

    trial: int
    epoch: int
    share: float


@dataclass(frozen=True, eq=False)
class Corrected:
    """A score that allows for having been selected, beside ``naive``, that of the selected thing on its own rows.

    ``optimism`` is how much better the naive score looks; ``resamples`` is how many bootstrap resamples it took.
    """

    score: Interval
    naive: float
    optimism: float
    resamples: int


@dataclass(frozen=True, eq=False)
class SearchRecord:
    """What a search tried, chose and may claim.

    ``budget`` and ``spent`` are standard member-steps; the same budget in steps gives the same answer. ``epochs`` are
    the rungs. ``winner`` is the number of the best single trial and ``winner_epoch`` the epoch at which it is best;
    ``parts`` is the ensemble, ``temperature`` what its logits are divided by. ``worth`` says of each of the winner's
    ingredients what leaving it out does to the validation loss, paired over folds. ``score`` is the corrected score,
    ``single_loss`` and ``ensemble_loss`` are out of fold and not corrected. ``out_of_fold`` is (rows, k), the
    ensemble's predictions for ``rows``. ``repeat`` is the ``budget`` argument that repeats the search.
    """

    data: str
    task: Task
    metric: str
    higher_is_better: bool
    folds: int
    seed: int
    sampler: str
    budget: int
    spent: int
    epochs: tuple[int, ...]
    trials: tuple[Trial, ...]
    winner: int
    winner_epoch: int
    parts: tuple[Part, ...]
    temperature: float
    single_loss: float
    ensemble_loss: float
    single_score: float
    ensemble_score: float
    score: Corrected
    worth: Mapping[str, Difference]
    rows: Array
    out_of_fold: Array

    @property
    def repeat(self) -> str:
        """The budget, as text, with which the same search gives the same answer."""
        return f"{self.budget} steps"


@dataclass(frozen=True, eq=False)
class Boundary:
    """A decision map over two features: ``z`` is (g, g), z[i, j] the value at (xs[j], ys[i]).

    ``z`` holds the probability of class 1 (binary), the class index (multiclass) or the prediction (regression), in
    the features' own units. ``points`` is (n, 2), ``labels`` (n,) the targets, ``held_out`` (n,) True for test rows.
    """

    xs: Array
    ys: Array
    z: Array
    points: Array
    labels: Array
    held_out: Array
    names: tuple[str, str]
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Portrait:
    """One cocktail refitted on all development rows, to look at: its cost curve, weights and decision map.

    ``role`` is ``none``, ``l2``, ``dropout`` or ``winner``; ``weights`` holds one flat array per layer.
    """

    role: str
    cocktail: str
    history: History
    weights: tuple[Array, ...]
    boundary: Boundary | None


@dataclass(frozen=True, eq=False)
class RunRecord:
    """All that a report shows. ``summary`` is what ``summary.json`` holds; each of ``paths`` gets a section.

    ``search`` is None where none was made: the winner of the comparison is then the model. ``simplest`` is None where
    the network was not compared with a linear model.
    """

    summary: Mapping[str, object]
    verdict: str
    comparison: Comparison
    portraits: tuple[Portrait, ...]
    findings: tuple[Finding, ...]
    rules: tuple[str, ...]
    command: str
    versions: Mapping[str, str]
    paths: tuple[Path, ...] = ()
    search: SearchRecord | None = None
    simplest: Simplest | None = None
