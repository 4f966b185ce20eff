"""A comparison, or the sanity checks, as plain values for a file: no timings, so that equal runs give equal files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.records import CocktailResult, Comparison, Difference, Interval

if TYPE_CHECKING:
    from wellfit.select.sanity import Sanity

FORMAT = 1


def comparison_json(comparison: Comparison) -> dict[str, object]:
    """Return the comparison's figures as values that JSON can hold; NaN and infinity become None.

    Curves and out-of-fold predictions are left out: the report and ``out_of_fold.csv`` hold them.
    """
    values = {
        "format": FORMAT,
        "data": comparison.data,
        "task": comparison.task,
        "metric": comparison.metric,
        "higher_is_better": comparison.higher_is_better,
        "rows": len(comparison.rows),
        "network": comparison.network,
        "training": comparison.training,
        "folds": comparison.folds,
        "seeds": comparison.seeds,
        "seed": comparison.seed,
        "winner": comparison.winner,
        "results": [_result(result) for result in comparison.results],
    }
    return {key: plain(value) for key, value in values.items()}


def comparison_text(comparison: Comparison) -> str:
    """Return what ``comparison.json`` holds."""
    return json.dumps(comparison_json(comparison), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def sanity_json(found: Sanity) -> dict[str, object]:
    """Return the checks of `wellfit.sanity` as values that JSON can hold; NaN and infinity become None."""
    values = {
        "format": FORMAT,
        "data": found.data,
        "task": found.task,
        "network": found.network,
        "rows": found.rows,
        "seed": found.seed,
        "ok": found.ok,
        "checks": [{"name": c.name, "ok": c.ok, "text": c.text, "values": c.values} for c in found.checks],
    }
    return {key: plain(value) for key, value in values.items()}


def sanity_text(found: Sanity) -> str:
    """Return what ``wellfit sanity --json`` prints."""
    return json.dumps(sanity_json(found), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _result(result: CocktailResult) -> dict[str, object]:
    return {
        "cocktail": result.cocktail,
        "members": result.members,
        "diverged": result.diverged,
        "best_epoch": result.best_epoch,
        "loss": _interval(result.loss),
        "score": _interval(result.score),
        "train_loss": _interval(result.train_loss),
        "loss_difference": _difference(result.loss_difference),
        "score_difference": _difference(result.score_difference),
        "gap": _interval(result.gap),
        "rise": _interval(result.rise),
    }


def _interval(interval: Interval | None) -> dict[str, object] | None:
    if interval is None:
        return None
    return {**(bounds(interval) or {}), "estimates": interval.estimates}


def _difference(difference: Difference | None) -> dict[str, object] | None:
    if difference is None:
        return None
    return {"word": difference.word, **(_interval(difference.interval) or {})}


def bounds(interval: Interval | None) -> dict[str, float] | None:
    """Return an interval without its sentence."""
    return None if interval is None else {"mean": interval.mean, "low": interval.low, "high": interval.high}


def plain(value: object) -> object:
    """Return values that JSON can hold: arrays as lists, NaN and infinity as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value
