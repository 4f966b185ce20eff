"""The coefficients of linear models along a path, in the data's own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member
from wellfit.executors import Executor
from wellfit.nets import MLP, Training
from wellfit.records import Array, Coefficients, Fold, Table

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
    from wellfit.data import Preprocessor, prepare

    data = prepare(table, [Fold(rows, rows[:0], rows[:0])], bent=False)
    preprocessor = Preprocessor.fit(table, rows, bent=False)
    members = [Member(MLP(()), cocktail, training, 0, 0) for cocktail in cocktails]
    ended = dict(executor.run(engine, members, data))
    states = [ended[i] for i in range(len(members))]
    [fold], k = data.folds, data.outputs
    standardized = np.array([s.parameters[:-k].reshape(k, -1) for s in states])
    biases = np.array([s.parameters[-k:] for s in states])
    centres, scales = _units(preprocessor)
    own = standardized / scales * fold.target_scale
    return Coefficients(
        names=preprocessor.feature_names,
        outputs=_outputs(table),
        standardized=standardized,
        coefficients=own,
        intercepts=biases * fold.target_scale + fold.target_mean - own @ centres,
        freedom=np.array([engine.freedom(m, s, data) for m, s in zip(members, states, strict=True)]),
        exists=np.array([s.status != "unbounded" for s in states]),
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
            scales.append(plan.scale if own else 1.0)  # type: ignore[union-attr]
    return np.array(centres), np.array(scales)
