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

    ``checkpoints`` is (c,) epochs, ``curves[name]`` is (c,): ``train_loss``, ``stop_loss``, ``score_loss``,
    ``penalty``, ``train_accuracy``, ``stop_accuracy``, ``score_accuracy``, all in evaluation mode (no dropout, no
    penalty, hard labels), NaN where there is nothing to measure, losses in the user's unit (see `FoldData`).
    ``predictions`` is (rows of the fold's score set, k): probabilities, or values in the target's own unit.
    ``best_epoch`` is the epoch whose weights are kept: the last, or early stopping's choice.
    """

    status: Literal["finished", "stopped", "diverged"]
    epochs: int
    best_epoch: int
    steps: int
    checkpoints: Array
    curves: Mapping[str, Array]
    predictions: Array
    weight_norms: tuple[float, ...]
    zero_weights: int
    weights: int


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
    epoch in which the first member diverged.
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
    """All that a report shows. ``summary`` is what ``summary.json`` holds."""

    summary: Mapping[str, object]
    verdict: str
    comparison: Comparison
    portraits: tuple[Portrait, ...]
    findings: tuple[Finding, ...]
    rules: tuple[str, ...]
    command: str
    versions: Mapping[str, str]
