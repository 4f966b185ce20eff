"""What ails a model, the evidence for it, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from wellfit.records.comparing import Interval
from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Task

Word = Literal[
    "overfits",
    "underfits",
    "both",
    "fits well",
    "noise-limited",
    "undertrained",
    "leak suspected",
    "shifted validation",
    "undecided",
]
VERDICTS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True)
class Evidence:
    """One thing that was measured: ``name`` is a stable word for programs, ``text`` the sentence for people.

    ``interval`` is None where what was measured is not a number with an interval.
    """

    name: str
    text: str
    interval: Interval | None = None


@dataclass(frozen=True)
class NextStep:
    """What to do: ``action`` is a stable word, ``text`` the sentence.

    ``worth`` is the expected change in validation loss (negative is better), None where it was not measured; ``cost``
    says in words what it takes. ``rows`` and ``columns`` name what is to be looked at.
    """

    action: str
    text: str
    worth: Interval | None = None
    cost: str = ""
    rows: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Loss against the count of training rows: G sizes, K folds.

    ``sizes`` is (G,) training rows; ``train_losses`` and ``losses`` are (G, K), seeds averaged. ``fit`` holds (a, b, c)
    of the power law ``a + b n^-c``, NaN where none could be fitted.
    """

    sizes: Array
    train_losses: Array
    losses: Array
    fit: tuple[float, float, float] = (float("nan"),) * 3


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Shown):
    """The verdict on one network with one cocktail, its evidence, and what to do next, the most worthwhile first.

    ``curves[name]`` is (c,) along ``checkpoints``: means over folds and seeds, or what the user gave. ``task`` and the
    settings are empty where a user's own curves were read.
    """

    verdict: Word
    sentence: str
    evidence: tuple[Evidence, ...]
    next_steps: tuple[NextStep, ...]
    data: str = ""
    task: Task | None = None
    network: str = ""
    cocktail: str = ""
    training: str = ""
    metric: str = ""
    folds: int = 0
    seeds: int = 0
    seed: int = 0
    learning_curve: LearningCurve | None = None
    curves: Mapping[str, Array] = field(default_factory=dict)
    checkpoints: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
