"""The coefficients of linear models along a path, in the data's own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member
from wellfit.executors import Executor
from wellfit.nets import MLP, Training
from wellfit.records import Array, Coefficients, Table

if TYPE_CHECKING:
    from wellfit.data import Preprocessor
    from wellfit.engines.convex import ConvexEngine


def coefficients(
    table: Table,
    rows: Array,
    cocktails: Sequence[Cocktail],
    training: Training,
    engine: ConvexEngine,
    executor: Executor,
) -> Coefficients:
    """Return the exact linear model of each cocktail on ``rows`` (m,), one after another along a path.

    Raises what `wellfit.data.prepare` and the executor raise.
    """
    from wellfit.data.prepare import prepare_rows
    from wellfit.engines.convex import penalty

    data, preprocessor = prepare_rows(table, rows, bent=False)
    member, [fold] = Member(MLP(()), cocktails[0], training, 0, 0), data.folds
    penalties = [penalty(cocktail) for cocktail in cocktails]
    if engine.at_once([member], len(cocktails), data):
        solutions = engine.along(member, penalties, data)
    else:
        members = [replace(member, cocktail=cocktail) for cocktail in cocktails]
        ended = dict(executor.run(engine, members, data))
        solutions = engine.solutions([ended[i] for i in range(len(members))], data)
    standardized, biases = solutions.weights, solutions.biases
    centres, scales = _units(preprocessor)
    own = standardized / scales * fold.target_scale
    return Coefficients(
        names=preprocessor.feature_names,
        outputs=_outputs(table),
        standardized=standardized,
        coefficients=own,
        intercepts=biases * fold.target_scale + fold.target_mean - own @ centres,
        freedom=engine.freedom(member, penalties, solutions, data),
        exists=solutions.exists,
    )


def _outputs(table: Table) -> tuple[str, ...]:
    if table.task == "regression":
        return (table.target_name,)
    return table.classes[1:] if table.task == "binary" else table.classes


def _units(preprocessor: Preprocessor) -> tuple[Array, Array]:
    """Return what is subtracted from each column of the design matrix and what it is divided by, (d,) each."""
    from wellfit.data.preprocess import Numeric

    centres, scales = [], []
    for plan in preprocessor.plans:
        for name in plan.features:
            own = isinstance(plan, Numeric) and name == plan.name and plan.scale > 0
            centres.append(plan.mean if own else 0.0)  # type: ignore[union-attr]  # a Numeric
            scales.append(plan.scale if own else 1.0)  # type: ignore[union-attr]  # a Numeric
    return np.array(centres), np.array(scales)
