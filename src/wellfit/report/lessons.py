"""The lessons as data: which networks are trained, where a reader should look, and the formula.

The texts stand in the catalogue's room ``lesson``, under the lesson's name. Every figure in them is a place that is
filled from the trained networks (see `wellfit.report.lesson_facts`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from typing import Literal

from wellfit.cocktail import Cocktail
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.nets import Training

Place = Literal["first", "best", "strong", "last"]


@dataclass(frozen=True)
class Turn:
    """One ingredient that is turned up: `wellfit.path` on all training rows of built-in data.

    Where ``rates`` are given, the learning rate is turned instead, at the same number of epochs, without a cocktail.
    """

    over: str
    points: int | tuple[float, ...]
    network: str = "64,32"
    training: Training = field(default_factory=lambda: Training(learning_rate=0.01, epochs=500, batch_size=None))
    folds: int = 5
    seeds: int = 2
    rates: tuple[float, ...] = ()
    data: str = "football"


@dataclass(frozen=True)
class Resampled(Turn):
    """Samples of a problem with a known truth, sin(2 pi x) with noise: a network is trained on each at each strength.

    ``samples`` of ``size`` rows, x even in [0, 1], noise of standard deviation ``noise``; read at ``grid`` points.
    """

    samples: int = 40
    size: int = 30
    noise: float = 0.3
    grid: int = 60
    activation: str = "tanh"


@dataclass(frozen=True)
class Lesson:
    """A lesson: its turns, the places to look at (turn, place), and its formulas (see `lesson_formulas`)."""

    name: str
    turns: tuple[Turn, ...]
    looks: tuple[tuple[int, Place], ...] = ((0, "first"), (0, "best"), (0, "strong"))

    @property
    def key(self) -> str:
        """The lesson's name as it stands in the catalogue."""
        return self.name.replace("-", "_")

    @property
    def title(self) -> str:
        """The lesson's title."""
        return say(f"lesson.{self.key}_title")

    @property
    def resampled(self) -> Resampled | None:
        """The turn of samples, where the lesson has one."""
        return next((turn for turn in self.turns if isinstance(turn, Resampled)), None)


_LONG = Training(learning_rate=0.01, epochs=1000, batch_size=None)
_RATES = (0.03, 0.02, 0.01, 0.005, 0.003, 0.002, 0.001, 0.0005, 0.0003, 0.0002, 0.0001)
_STRENGTHS = (1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2)

LESSONS = (
    Lesson("overfitting", (Turn("l2", 15),), ((0, "first"), (0, "best"), (0, "last"))),
    Lesson("l1-or-l2", (Turn("l1", 13), Turn("l2", 13)), ((0, "first"), (0, "best"), (1, "best"))),
    Lesson("dropout", (Turn("dropout", 15),)),
    Lesson("early-stopping", (Turn("early_stopping", 18),)),
    Lesson("augmentation", (Turn("input_noise", 13), Turn("mixup", 13)), ((0, "first"), (0, "best"), (1, "strong"))),
    Lesson("bias-variance", (Resampled("l2", _STRENGTHS, network="32,16", training=_LONG, seeds=1, data="wave"),)),
    Lesson(
        "learning-rate",
        (Turn("learning_rate", (), training=_LONG, seeds=1, rates=_RATES), Turn("l2", 13, training=_LONG, seeds=1)),
        ((0, "first"), (0, "best"), (1, "best")),
    ),
)


def find(name: str) -> Lesson:
    """Return the lesson of that name. Raises `SettingError`, with the name that is near or all of them.

    >>> find("dropout").title
    'Dropout'
    """
    known = {lesson.name: lesson for lesson in LESSONS}
    asked = str(name).strip().lower().replace("_", "-")
    if asked in known:
        return known[asked]
    if near := difflib.get_close_matches(asked, known, 1):
        raise SettingError("lesson.unknown_near", value=name, near=near[0])
    raise SettingError("lesson.unknown", value=name, known=", ".join(known))


def training_text(training: Training) -> str:
    """Return the call that makes a training, with the fields alone that are not the default.

    >>> training_text(Training(epochs=500, batch_size=None))
    'wf.Training(epochs=500, batch_size=None)'
    """
    given = [(f.name, getattr(training, f.name)) for f in fields(training) if getattr(training, f.name) != f.default]
    return f"wf.Training({', '.join(f'{name}={value!r}' for name, value in given)})"


def cocktail_at(turn: Turn, strength: float) -> Cocktail:
    """Return the cocktail of a strength of a penalty."""
    return Cocktail.parse(f"{turn.over}={strength:g}") if strength else Cocktail()
