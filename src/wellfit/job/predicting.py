"""Predictions of a saved model as CSV."""

from __future__ import annotations

from pathlib import Path

from wellfit.job.outputs import csv_text
from wellfit.messages import standard
from wellfit.nets import NetworkLike
from wellfit.nets.fitted import Fitted
from wellfit.records import Array


def predictions(model: str | Path, source: object, *, network: NetworkLike | None = None) -> str:
    """Return one line for each row of ``source``: the prediction and, for classes, the probability of each.

    ``model`` is a file or the folder of a run, ``network`` its module where that is the user's own. ``source`` is a
    table, or images for a model of images. Raises `ModelFileError` for the model and `DataError` for the source,
    naming the columns that it lacks.
    """
    fitted = Fitted.load(model, network=network)
    labels, chances = fitted.read_outputs(fitted.outputs_of(fitted.read(source)))
    columns: dict[str, Array] = {standard("job.column_prediction"): labels}
    for i, label in enumerate(fitted.classes):
        columns[standard("job.column_chance", label=label)] = chances[:, i]
    return csv_text(columns)
