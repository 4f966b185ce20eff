"""What a search tried, chose and may claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wellfit.records.comparing import Difference, Interval
from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Task


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


@dataclass(frozen=True, eq=False, repr=False)
class SearchRecord(Shown):
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
