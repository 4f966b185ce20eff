"""What a bias-variance decomposition says in words: its title, its table, its sentences."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wellfit.messages import catalogue, join, retold, say
from wellfit.records import BiasVariance, Decomposition, Interval
from wellfit.records.decomposition import Loss
from wellfit.report.text import clean, digits

PARTS = ("total", "bias", "noise", "variance", "data", "seed", "unbiased", "biased")


class Column(NamedTuple):
    """A column of the table of one loss: its heading, and each point's number, "" where there is none."""

    name: str
    cells: tuple[str, ...]


def title(found: BiasVariance) -> str:
    """Return what was measured, in one line."""
    names = ("data", "task", "network", "training", "base", "resamples", "seeds", "train_rows", "rows", "over")
    values = {name: getattr(found, name) for name in names}
    kind = "fresh" if found.known else "bootstrap"
    begin = say(f"bias_variance.title_{kind}", **values)
    what = say("bias_variance.title_exact" if found.exact else "bias_variance.title_trained", **values)
    along = say("bias_variance.title_along", over=found.over, points=len(found.strengths)) if found.over else ""
    return join([part for part in (begin, along, what) if part], "clauses")


def axis(found: BiasVariance) -> str:
    """Return what the strengths are, in words."""
    return say(f"path.axis_{found.over}") if f"axis_{found.over}" in catalogue("path") else clean(found.over)


def strength(found: BiasVariance, point: int) -> str:
    """Return a strength as one would type it, or the cocktail where nothing is turned up."""
    if not found.over:
        return clean(found.cocktails[point])
    return say("path.none") if point == 0 else f"{float(found.strengths[point]):g}"


def loss_name(loss: Loss) -> str:
    """Return a loss's name in words."""
    return say(f"bias_variance.loss_{loss.replace('-', '_')}")


def part_name(found: BiasVariance, loss: Loss, part: str) -> str:
    """Return a part's name in words: "Bias^2 + noise", "Net variance"."""
    if part == "bias":
        word = say("bias_variance.word_bias_squared" if loss in ("squared", "brier") else "bias_variance.word_bias")
        return word if found.known else say("bias_variance.word_and_noise", bias=word)
    return say(f"bias_variance.word_{'net' if part == 'variance' and loss == '0-1' else part}")


def parts_of(found: BiasVariance, loss: Loss) -> list[str]:
    """Return which parts of a loss there are, in the order in which they are told."""
    known = [d for d in found.parts[loss] if d is not None]
    return [name for name in PARTS if any(getattr(d, name) is not None for d in known)]


def columns(found: BiasVariance, loss: Loss) -> list[Column]:
    """Return the table of one loss: a column of strengths, and one a part with its interval."""
    points = range(len(found.strengths))
    cells = [
        Column(axis(found) if found.over else say("bias_variance.cocktail"), tuple(strength(found, p) for p in points))
    ]
    for part in parts_of(found, loss):
        told = tuple(_cell(d, part) for d in found.parts[loss])
        cells.append(Column(part_name(found, loss, part), told))
    return cells


def sentences(found: BiasVariance) -> list[str]:
    """Return what the figures mean, the first loss first."""
    loss = next(iter(found.parts))
    parts = found.parts[loss]
    best = parts[found.best]
    assert best is not None
    told = [say("bias_variance.note_fresh" if found.known else "bias_variance.note_bootstrap", rows=found.train_rows)]
    values = {
        "loss": retold(str.lower, loss_name(loss)),
        "at": found.cocktails[found.best],
        "total": digits(best.total.mean),
    }
    values |= {"bias": digits(best.bias.mean), "variance": digits(best.variance.mean)}
    values["name"] = retold(str.lower, part_name(found, loss, "bias"))
    if found.over and parts[0] is not None:
        first, last = parts[0], next(d for d in reversed(parts) if d is not None)
        told.append(
            say(
                "bias_variance.along",
                axis=found.over,
                variance_first=digits(first.variance.mean),
                variance_last=digits(last.variance.mean),
                bias_first=digits(first.bias.mean),
                bias_last=digits(last.bias.mean),
                **values,
            )
        )
    else:
        told.append(say("bias_variance.one", share=_share(best.variance, best.total), **values))
    if best.seed is not None and not found.exact and best.variance.mean > 0:
        told.append(say("bias_variance.seed_share", share=_share(best.seed, best.variance), at=values["at"]))
    if found.exact:
        told.append(say("bias_variance.exact_seed"))
    if lost := int((found.diverged > 0).sum()):
        told.append(say("bias_variance.lost", points=lost, members=int(np.sum(found.diverged))))
    if found.end:
        told.append(found.end)
    return told


def _share(part: Interval, whole: Interval) -> str:
    return f"{max(0.0, part.mean) / whole.mean:.0%}" if whole.mean > 0 else say("bias_variance.no_share")


def _cell(parts: Decomposition | None, name: str) -> str:
    if parts is None:
        return say("bias_variance.diverged") if name == "total" else ""
    interval = getattr(parts, name)
    if interval is None:
        return ""
    half = (interval.high - interval.low) / 2
    mean = 0.0 if abs(interval.mean) < 1e-12 * max(half, parts.total.mean) else interval.mean  # rounding is no number
    return digits(mean) if math.isnan(half) else f"{digits(mean)} ±{digits(half)}"
