"""A diagnosis as plain values for a file: no timings, so that equal runs give equal files."""

from __future__ import annotations

import json

from wellfit.records import Diagnosis, Interval
from wellfit.select.output import FORMAT, bounds, plain

_PLAIN = ("data", "task", "network", "cocktail", "training", "metric", "folds", "seeds", "seed")


def diagnosis_json(found: Diagnosis) -> dict[str, object]:
    """Return a diagnosis as values that JSON can hold; NaN and infinity become None.

    ``next_steps[i]["rows"]`` are indices into the table, from 0. Curves over epochs are left out.
    """
    values: dict[str, object] = {"format": FORMAT, "verdict": found.verdict, "sentence": found.sentence}
    values["evidence"] = [{"name": e.name, "text": e.text, "interval": _interval(e.interval)} for e in found.evidence]
    values["next_steps"] = [
        {
            "action": step.action,
            "text": step.text,
            "worth": _interval(step.worth),
            "cost": step.cost,
            "rows": step.rows,
            "columns": step.columns,
        }
        for step in found.next_steps
    ]
    values |= {name: getattr(found, name) for name in _PLAIN}
    if found.learning_curve is not None:
        curve = found.learning_curve
        values["learning_curve"] = {
            "sizes": curve.sizes,
            "train_loss": curve.train_losses.mean(axis=1),
            "validation_loss": curve.losses.mean(axis=1),
            "fit": curve.fit,
        }
    return {key: plain(value) for key, value in values.items()}


def diagnosis_text(found: Diagnosis) -> str:
    """Return what ``wellfit diagnose --json`` prints."""
    return json.dumps(diagnosis_json(found), indent=2, allow_nan=False) + "\n"


def _interval(interval: Interval | None) -> dict[str, object] | None:
    return None if interval is None else {**(bounds(interval) or {}), "estimates": interval.estimates}
