"""A bias-variance decomposition as plain values for files: no timings, so that equal runs give equal files."""

from __future__ import annotations

import csv
import io
import json

from wellfit.records import BiasVariance, Decomposition
from wellfit.select.output import FORMAT, bounds, plain

PARTS = ("total", "bias", "noise", "variance", "data", "seed", "unbiased", "biased")


def bias_variance_json(found: BiasVariance) -> dict[str, object]:
    """Return the figures as values that JSON can hold; NaN and infinity become None.

    ``parts`` has for each loss one entry a strength, the weakest first (None where members diverged), and in it for
    each part mean, low, high and what it estimates. ``bias`` holds the noise too where ``noise`` is None.
    """
    names = ("data", "task", "network", "training", "base", "over", "end", "known", "exact")
    counts = ("train_rows", "rows", "resamples", "seeds", "seed", "strengths", "cocktails", "diverged", "best")
    values = {"format": FORMAT} | {name: getattr(found, name) for name in (*names, *counts)}
    values["parts"] = {loss: [_parts(parts) for parts in points] for loss, points in found.parts.items()}
    return {key: plain(value) for key, value in values.items()}


def bias_variance_text(found: BiasVariance) -> str:
    """Return what ``bias_variance.json`` holds."""
    return json.dumps(bias_variance_json(found), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def bias_variance_csv(found: BiasVariance) -> str:
    """Return a line for each loss, strength and part: mean, low and high; nothing where members diverged."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["loss", "cocktail", "strength", "part", "mean", "low", "high"])
    for loss, points in found.parts.items():
        for cocktail, strength, parts in zip(found.cocktails, found.strengths.tolist(), points, strict=True):
            for name in PARTS:
                interval = None if parts is None else getattr(parts, name)
                if interval is not None:
                    writer.writerow([loss, cocktail, strength, name, interval.mean, interval.low, interval.high])
    return text.getvalue()


def _parts(parts: Decomposition | None) -> dict[str, object] | None:
    if parts is None:
        return None
    found: dict[str, object] = {}
    for name in PARTS:
        interval = getattr(parts, name)
        found[name] = None if interval is None else {**(bounds(interval) or {}), "estimates": interval.estimates}
    return found
