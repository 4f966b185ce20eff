"""The strengths of a path: those that were given, or a grid whose end is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wellfit.engines.base import Engine, Member
from wellfit.engines.choice import exact_engine
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.nets import Training
from wellfit.population import check
from wellfit.records import Array, TrainingData
from wellfit.select.axes import Over, Train, epochs_at, grid


def strengths_along(
    over: Over,
    points: int | Sequence[float],
    members: Sequence[Member],
    data: TrainingData,
    train: Train,
    engine: Engine,
) -> tuple[Array, str]:
    """Return the strengths, (P,), the weakest first, and why they end there.

    ``members`` are those of the base cocktail, one a training set; ``points`` how many strengths, or the strengths
    themselves, to which none is added. Raises `SettingError` for an impossible strength, by name, and
    `UnsupportedError` where the engine cannot train the ingredient.
    """
    if not isinstance(points, int | np.integer):
        return _given(over, points, members[0].training), say("path.end_given")
    probe = replace(members[0], cocktail=over.cocktail(0.5))
    check([probe], data, engine)
    exact = None if over.axis.spacing == "epochs" else exact_engine(engine, probe, data)
    problems = [exact.problem(m, data) for m in members] if exact is not None else ()
    return grid(over, int(points), members, data, train, problems)


def _given(over: Over, points: Sequence[float], training: Training) -> Array:
    given, last = np.asarray(points, dtype=np.float64), training.epochs
    if over.axis.spacing == "epochs":
        bad = given[~((given >= 0) & (given <= last))]
        if bad.size:
            raise SettingError("path.bad_epochs", value=f"{bad[0]:g}", last=last)
        return epochs_at(np.append(given, last), training)
    for strength in given:
        over.cocktail(float(strength))
    strengths = np.unique(np.append(given, over.axis.none))
    return strengths[::-1] if over.axis.spacing == "bound" else strengths
