"""A search as plain values for a file: no timings, so that equal budgets in steps give equal files."""

from __future__ import annotations

import json
from dataclasses import asdict

from wellfit.records import Difference, SearchRecord
from wellfit.select.output import FORMAT, bounds, plain

_PLAIN = ("data", "task", "metric", "higher_is_better", "folds", "seed", "sampler", "budget", "spent", "repeat")
_CHOSEN = ("winner", "winner_epoch", "temperature", "single_loss", "ensemble_loss", "single_score", "ensemble_score")


def search_json(search: SearchRecord) -> dict[str, object]:
    """Return the search's figures as values that JSON can hold; NaN and infinity become None.

    ``epochs`` are the rungs, ``trials[i]["losses"]`` the validation loss at each rung that the trial reached, and
    ``worth`` what leaving an ingredient out does to the loss. Out-of-fold predictions are left out.
    """
    values: dict[str, object] = {"format": FORMAT}
    values |= {name: getattr(search, name) for name in _PLAIN}
    values |= {"rows": len(search.rows), "epochs": search.epochs, "trials": [asdict(trial) for trial in search.trials]}
    values |= {name: getattr(search, name) for name in _CHOSEN}
    values |= {
        "parts": [asdict(part) for part in search.parts],
        "score": {
            **(bounds(search.score.score) or {}),
            "naive": search.score.naive,
            "optimism": search.score.optimism,
            "resamples": search.score.resamples,
            "estimates": search.score.score.estimates,
        },
        "worth": {name: _difference(difference) for name, difference in search.worth.items()},
    }
    return {key: plain(value) for key, value in values.items()}


def search_text(search: SearchRecord) -> str:
    """Return what ``search.json`` holds."""
    # A lone surrogate in a column's name has no UTF-8: it is written as JSON's escape.
    return json.dumps(search_json(search), indent=2, allow_nan=False) + "\n"


def _difference(difference: Difference) -> dict[str, object]:
    return {"without_it": difference.word, **(bounds(difference.interval) or {})}
