"""The one touch of the test rows: the loss and the score of a model that is already chosen and fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellfit.evidence import as_metric, test_interval
from wellfit.evidence.metrics import log_loss, rmse
from wellfit.job.refit import Refit
from wellfit.job.study import Study
from wellfit.messages import say
from wellfit.records import Array, Interval


@dataclass(frozen=True, eq=False)
class Tested:
    """Loss and score on the test rows; NaN where the fit diverged."""

    loss: float
    score: Interval


def on_test_rows(study: Study, fit: Refit, rows: Array) -> Tested:
    """Return how the fit does on the test ``rows``, (m,): its loss in the user's unit, its score and interval."""
    table, metric = study.table, as_metric(study.asked.metric, study.table.task)
    if not fit.sound:
        text = say("job.test_diverged", cocktail=fit.cocktail, metric=metric.name)
        return Tested(np.nan, Interval(np.nan, np.nan, np.nan, text))
    predictions = fit.model.outputs_of({name: table.columns[name][rows] for name in fit.model.kinds})
    target = table.target[rows]
    if table.task == "regression":
        loss = rmse(table.task, target, predictions) ** 2
    else:
        loss = log_loss(table.task, target, predictions)
    return Tested(loss, test_interval(metric, target, predictions, study.asked.seed))
