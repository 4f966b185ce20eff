"""The one touch of the test rows: the loss and the score of a model that is already chosen and fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellfit.evidence import as_metric, test_interval
from wellfit.evidence.metrics import log_loss, metric_said, rmse
from wellfit.job.study import Study
from wellfit.messages import say
from wellfit.nets.fitted import Predictor
from wellfit.records import Array, Interval


@dataclass(frozen=True, eq=False)
class Tested:
    """Loss and score on the test rows; NaN where the fit diverged."""

    loss: float
    score: Interval


def on_test_rows(study: Study, name: str, model: Predictor | None, rows: Array) -> Tested:
    """Return how a model does on the test ``rows``, (m,): its loss in the user's unit, its score and interval.

    ``name`` is its cocktail's; the model is None where its fit diverged.
    """
    table, metric = study.table, as_metric(study.asked.metric, study.table.task)
    if model is None:
        text = say("job.test_diverged", cocktail=name, metric=metric_said(metric.name))
        return Tested(np.nan, Interval(np.nan, np.nan, np.nan, text))
    predictions = model.outputs_on(table, rows)
    target = table.target[rows]
    if table.task == "regression":
        loss = rmse(table.task, target, predictions) ** 2
    else:
        loss = log_loss(table.task, target, predictions)
    return Tested(loss, test_interval(metric, target, predictions, study.asked.seed))
