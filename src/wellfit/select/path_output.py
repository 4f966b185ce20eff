"""A path as plain values for a file: no timings, so that equal runs give equal files."""

from __future__ import annotations

import json

import numpy as np

from wellfit.records import Difference, Path
from wellfit.select.output import FORMAT, bounds, plain


def path_json(path: Path) -> dict[str, object]:
    """Return the path's figures as values that JSON can hold; NaN and infinity become None.

    Lists have one entry a point, the weakest first; a bound's first strength, which is none, is None. Curves and
    out-of-fold predictions are left out. ``linear`` is None for networks; for linear models it holds the coefficients
    in use at the best and at the one-standard-error strength, the largest first, one number an output.
    """
    values = {
        "format": FORMAT,
        "data": path.data,
        "task": path.task,
        "metric": path.metric,
        "higher_is_better": path.higher_is_better,
        "rows": len(path.rows),
        "network": path.network,
        "training": path.training,
        "base": path.base,
        "over": path.over,
        "folds": path.folds,
        "seeds": path.seeds,
        "seed": path.seed,
        "strengths": path.strengths,
        "cocktails": path.cocktails,
        "train_loss": [bounds(interval) for interval in path.train_loss],
        "loss": [bounds(interval) for interval in path.loss],
        "score": [bounds(interval) for interval in path.score],
        "diverged": path.diverged,
        "zeros": path.zeros,
        "inputs": path.inputs,
        "inputs_used": path.inputs_used,
        "units": [dict(zip(("on", "off", "saturated"), shares, strict=True)) for shares in path.units],
        "weight_norms": path.weight_norms,
        "chance": path.chance,
        "standard_error": path.standard_error,
        "best": path.best,
        "one_standard_error": path.one_standard_error,
        "right": path.right,
        "end": path.end,
        "warm": _warm(path),
        "linear": _linear(path),
    }
    return {key: plain(value) for key, value in values.items()}


def path_text(path: Path) -> str:
    """Return what ``path.json`` holds."""
    return json.dumps(path_json(path), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _warm(path: Path) -> dict[str, object] | None:
    if path.warm is None:
        return None
    return {
        "loss": path.mean(path.warm.losses),
        "differences": [_difference(difference) for difference in path.warm.differences],
        "sentence": path.warm.sentence,
    }


def _difference(difference: Difference | None) -> dict[str, object] | None:
    return None if difference is None else {"word": difference.word, **(bounds(difference.interval) or {})}


def _linear(path: Path) -> dict[str, object] | None:
    linear = path.linear
    if linear is None:
        return None

    def at(point: int) -> dict[str, object]:
        sizes = np.abs(linear.standardized[point]).max(axis=0)
        order = [j for j in np.argsort(-sizes, kind="stable") if sizes[j]]
        return {
            "strength": path.strengths[point],
            "intercepts": linear.intercepts[point],
            "features": [
                {
                    "name": linear.names[j],
                    "coefficients": linear.coefficients[point, :, j],
                    "standardized": linear.standardized[point, :, j],
                }
                for j in order
            ],
        }

    return {
        "outputs": linear.outputs,
        "freedom": linear.freedom,
        "used": linear.standardized.any(axis=1).sum(axis=1),
        "exists": linear.exists,
        "best": at(path.best),
        "one_standard_error": at(path.one_standard_error),
    }
