"""Predictions of a saved model as CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from wellfit.job.outputs import csv_text
from wellfit.job.runs import model_of
from wellfit.messages import standard
from wellfit.nets import NetworkLike
from wellfit.nets.fitted import Fitted
from wellfit.records import Array


def predictions(
    model: str | Path,
    source: object,
    *,
    network: NetworkLike | None = None,
    skip_corrupt: bool = False,
    notice: Callable[[str], None] | None = None,
) -> str:
    """Return one line for each row of ``source``: the prediction and, for classes, the probability of each.

    ``model`` is a file or the folder of a run, ``network`` its module where that is the user's own. ``source`` is a
    table, or images for a model of images; image files have their path in front, from the folder that was given, and
    ``skip_corrupt`` leaves out those that cannot be read. ``notice`` gets each sentence about what was left out. Raises
    `ModelFileError` for the model and `DataError` for the source, naming the columns that it lacks.
    """
    fitted = Fitted.load(model_of(model), network=network)
    columns: dict[str, Array] = {}
    if fitted.inputs:
        pictures = fitted.pictures(source, skip_corrupt=skip_corrupt)
        if pictures.names:
            columns[standard("pictures.column_file")] = np.array(pictures.names, dtype=object)
        if notice is not None:
            for finding in pictures.findings:
                notice(finding.text)
        outputs = fitted.outputs_of(pictures.inputs)
    else:
        outputs = fitted.outputs_of(fitted.read(source, skip_corrupt=skip_corrupt))
    labels, chances = fitted.read_outputs(outputs)
    columns[standard("job.column_prediction")] = labels
    for i, label in enumerate(fitted.classes):
        columns[standard("job.column_chance", label=label)] = chances[:, i]
    return csv_text(columns)
