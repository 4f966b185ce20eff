"""The figures of a lesson's texts: every one is read off the trained networks, written as the page writes numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wellfit.messages import say
from wellfit.records import Path, Samples, Taught
from wellfit.report.lessons import Lesson, Place, Turn
from wellfit.report.path_text import strength
from wellfit.report.text import digits, share

Facts = Mapping[str, str]


def place(path: Path, where: Place) -> int:
    """Return the point of a path that a lesson calls so; ``strong`` is the first beyond the best that is not right."""
    last = len(path.strengths) - 1
    if where == "strong":
        beyond = [p for p in range(path.best + 1, last + 1) if not path.right[p]]
        # One further on it can be seen, not only measured.
        return min(beyond[0] + 1, last) if beyond else last
    return {"first": 0, "best": path.best, "last": last}[where]


def facts(lesson: Lesson, taught: Taught) -> Facts:
    """Return the figures of a lesson's paragraphs; those of a second turn begin with ``other_``."""
    found: dict[str, str] = {"data_rows": str(taught.rows)}
    turned = zip(lesson.turns, taught.paths, taught.frames, strict=True)
    for prefix, (turn, path, frame) in zip(("", "other_"), turned, strict=False):
        last = len(path.strengths) - 1
        for name, point in (("first", 0), ("best", path.best), ("last", last)):
            for fact, text in point_facts(taught, path, point).items():
                found[f"{prefix}{name}_{fact}"] = text
            found[f"{prefix}{name}_drawn_zeros"] = share(frame.zeros[point])
        found |= {f"{prefix}{name}": text for name, text in _settings(turn, path).items()}
    if lesson.turns[0].rates:
        found |= _minima(taught.paths[0])
    if taught.samples is not None:
        found |= {"samples": str(taught.samples.fits.shape[1]), "noise": digits(taught.samples.noise)}
    return found


def point_facts(taught: Taught, path: Path, point: int) -> dict[str, str]:
    """Return the figures of one position of the slider."""
    curve = path.curves["score_loss"][point]
    low = int(np.nanargmin(curve)) if np.isfinite(curve).any() else 0
    train, loss = path.mean(path.train_losses)[point], path.mean(path.losses)[point]
    frame = taught.frames[taught.paths.index(path)]
    found = {
        "strength": amount_text(path, point),
        "train": digits(train),
        "loss": digits(loss),
        "gap": digits(loss - train),
        "zeros": share(frame.zeros[point]),
        "low": digits(curve[low]),
        "epoch": str(int(path.checkpoints[low])),
    }
    if path.over == "early_stopping":
        found["epoch"] = f"{path.strengths[point]:g}"
    return found | parts(taught.samples, point)


def parts(samples: Samples | None, point: int) -> dict[str, str]:
    """Return squared bias and variance at a position, where there are samples."""
    if samples is None:
        return {}
    return {"bias": digits(samples.bias[point]), "variance": digits(samples.variance[point])}


def amount_text(path: Path, point: int) -> str:
    """Return a position as one would say it: ``l2=0.01``, ``learning rate 0.01``, ``40 epochs``."""
    if path.over == "learning_rate":
        return say("lesson.rate", rate=f"{path.strengths[point]:g}")
    return strength(path, point)


def _settings(turn: Turn, path: Path) -> dict[str, str]:
    return {
        "network": _widths(turn.network),
        "epochs": str(turn.training.epochs),
        "points": str(len(path.strengths)),
        "folds": str(path.folds),
        "seeds": str(path.seeds),
        "members": str(path.losses.size),
        "chance": digits(path.chance),
    }


def _widths(network: str) -> str:
    first, *others = network.split(",")
    return say("lesson.widths", first=first, then=others[0]) if len(others) == 1 else network


def _minima(path: Path) -> dict[str, str]:
    """Return where the learning curves of the rates are lowest, of those that turn up again within their epochs."""
    curves = path.curves["score_loss"]
    lows = curves.argmin(axis=1)
    passed = [p for p in range(len(curves)) if lows[p] < 0.95 * (curves.shape[1] - 1)] or [0]
    values = [float(curves[p, lows[p]]) for p in passed]
    fast, slow = passed[0], passed[-1]
    return {
        "curve_least": digits(min(values)),
        "curve_most": digits(max(values)),
        "fast": f"{path.strengths[fast]:g}",
        "fast_epoch": str(int(path.checkpoints[lows[fast]])),
        "slow": f"{path.strengths[slow]:g}",
        "slow_epoch": str(int(path.checkpoints[lows[slow]])),
    }
