"""The lessons with little networks, few points and short trainings."""

from __future__ import annotations

from dataclasses import replace

import wellfit as wf
from wellfit.report.lessons import Lesson, Resampled, Turn

SHORT = {"learning_rate": 0.03, "epochs": 40, "batch_size": None}


def small(lesson: Lesson) -> Lesson:
    """The same lesson, trained in a moment."""
    return replace(lesson, turns=tuple(map(_small, lesson.turns)))


def _small(turn: Turn) -> Turn:
    turn = replace(turn, network="6,3", training=wf.Training(**SHORT), folds=2, seeds=1)
    if isinstance(turn, Resampled):
        return replace(turn, samples=6, size=12, grid=9, points=(1e-3, 0.1, 3.0))
    return replace(turn, rates=turn.rates[1:7:2]) if turn.rates else replace(turn, points=4)
