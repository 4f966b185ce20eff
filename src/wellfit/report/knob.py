"""The knob: what the page's script draws while a reader turns one ingredient up. All of it was trained before."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, Boundary, Frames, Path, Task
from wellfit.report.figures.boundary import MAX_POINTS, thin, value_range
from wellfit.report.path_text import axis_name, kind_of, name_of, strength, value, varies, words
from wellfit.report.text import clean, digits, share
from wellfit.report.words import heard, script_json

if TYPE_CHECKING:
    from markupsafe import Markup

# Checkpoints of a curve that are drawn, about: more cannot be told apart at this size.
MOST_CHECKPOINTS = 64
_TEXTS = (
    "train",
    "validation",
    "chance",
    "epoch",
    "loss",
    "weights",
    "weight_axis",
    "best",
    "rule",
    "play",
    "pause",
    "errors_label",
)


def knob(paths: Sequence[Path], frames: Sequence[Frames], task: Task) -> dict[str, object] | None:
    """Return what the script needs, as plain values for JSON; None where there is nothing to turn.

    ``frames`` belong to the ``paths``, one by one. Names of columns and classes are cleaned of control characters, and
    numbers rounded to what a picture can show. The slider starts on the path that helps most.
    """
    pairs = [(path, frame) for path, frame in zip(paths, frames, strict=True) if frame.sound.any()]
    if not pairs:
        return None
    first = next((frame.boundaries[0] for _, frame in pairs if frame.boundaries), None)
    return {
        "task": task,
        "texts": {name: say(f"knob.{name}") for name in _TEXTS},
        "words": {
            **{word: say(f"path.word_{word}") for word in ("weak", "right", "strong")},
            "diverged": say("knob.diverged"),
        },
        "classes": [clean(name, 40) for name in first.classes] if first else [],
        "start": min(range(len(pairs)), key=lambda i: _lowest(pairs[i][0])),
        "knobs": [_knob(path, frame, task) for path, frame in pairs],
    }


def _lowest(path: Path) -> float:
    return float(path.mean(path.losses)[path.best])


def payload(found: dict[str, object]) -> Markup:
    """Return the values as JSON that may stand inside a script element, every text of the catalogue made known to it.

    >>> print(payload({"name": "</b>"}))
    {"name":"\\u003c/b\\u003e"}
    """
    from markupsafe import Markup

    return Markup(script_json(_heard(found)))  # escaped there


def _heard(value: object) -> object:
    if isinstance(value, dict):
        return {name: _heard(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_heard(each) for each in value]
    return heard(value) if isinstance(value, str) else value


def _knob(path: Path, frame: Frames, task: Task) -> dict[str, object]:
    points = range(len(path.strengths))
    train, loss = path.mean(path.train_losses), path.mean(path.losses)
    every = _spread(len(path.checkpoints))
    return {
        "name": name_of(path),
        "axis": axis_name(path),
        "epochs": kind_of(path) == "epochs",
        "labels": [value(path, p) for p in points],
        "word": list(words(path)),
        "told": [_told(path, p, float(train[p]), float(loss[p])) for p in points],
        "best": path.best,
        "rule": path.one_standard_error,
        "train": _short(train),
        "loss": _short(loss),
        "low": _short([math.nan if i is None else i.low for i in path.loss]),
        "high": _short([math.nan if i is None else i.high for i in path.loss]),
        "chance": _short([path.chance])[0],
        "checkpoints": path.checkpoints[every].tolist(),
        "train_curves": [_short(line) for line in path.curves["train_loss"][:, every]],
        "loss_curves": [_short(line) for line in path.curves["score_loss"][:, every]],
        "edges": _short(frame.edges),
        "counts": frame.counts.astype(int).tolist(),
        "zeros": _short(frame.zeros),
        "zeros_told": _zeros(frame),
        "map": _map(frame, task),
    }


def _told(path: Path, point: int, train: float, loss: float) -> str:
    """Return what a point shows, in a sentence or two."""
    word = words(path)[point]
    if word == "diverged":
        return say("knob.told_diverged", strength=strength(path, point))
    marks = "both" if path.best == path.one_standard_error == point else ""
    marks = marks or ("best" if point == path.best else "rule" if point == path.one_standard_error else word)
    return say(f"knob.told_{marks}", strength=strength(path, point), train=digits(train), loss=digits(loss))


def _zeros(frame: Frames) -> list[str] | None:
    """Return what is said of the weights that are exactly zero, where their share changes along the path."""
    if not varies(frame.zeros):
        return None
    return [say("knob.zeros", zeros=share(zeros)) for zeros in frame.zeros]


def _spread(count: int) -> Array:
    return np.unique(np.round(np.linspace(0, count - 1, min(count, MOST_CHECKPOINTS))).astype(int))


def _short(values: Sequence[float] | Array) -> list[float | None]:
    """Return numbers with four digits, None for what is not finite."""
    return [float(f"{v:.4g}") if math.isfinite(v) and abs(v) < 1e100 else None for v in map(float, values)]


def _map(frame: Frames, task: Task) -> dict[str, object] | None:
    if not frame.boundaries:
        return None
    first = frame.boundaries[0]
    low, high = value_range(first) if task == "regression" else (0.0, 1.0)
    key = "knob.map_caption" if not frame.others else "knob.map_caption_others"
    return {
        "side": len(first.xs),
        "x": _short([first.xs[0], first.xs[-1]]),
        "y": _short([first.ys[0], first.ys[-1]]),
        "names": [clean(name, 44) for name in first.names],
        "caption": say(key, x=clean(first.names[0], 44), y=clean(first.names[1], 44), others=frame.others),
        "frames": [_pixels(boundary, task, low, high) for boundary in frame.boundaries],
        "points": _points(first, task, low, high),
    }


def _pixels(boundary: Boundary, task: Task, low: float, high: float) -> str:
    """Return a map as bytes in base64, one a point.

    Two classes: 127.5 + 127.5 s sqrt(|2 p - 1|), s the sign of p - 0.5. Several: 16 times the class, plus how sure it
    is from 0 (all alike) to 15. Values: the share of 255 from ``low`` to ``high``.
    """
    z = np.nan_to_num(boundary.z)
    if task == "multiclass":
        k = len(boundary.classes)
        chances = boundary.chances if boundary.chances is not None else np.ones_like(z)
        sure = np.clip((chances - 1 / k) / (1 - 1 / k), 0, 1)
        packed = 16 * (z.astype(int) % 16) + np.round(15 * sure).astype(int)
    elif task == "binary":
        # Roots of the distance from one half: the line between the classes needs fine steps, what is sure does not.
        packed = np.round(127.5 + 127.5 * np.sign(z - 0.5) * np.sqrt(np.abs(2 * z - 1).clip(0, 1))).astype(int)
    else:
        packed = np.round(255 * np.clip((z - low) / ((high - low) or 1.0), 0, 1)).astype(int)
    return base64.b64encode(packed.astype(np.uint8).tobytes()).decode()


def _points(boundary: Boundary, task: Task, low: float, high: float) -> list[list[float | int | None]]:
    """Return the points that are drawn: x, y, the class (or the share of the range), and 1 for test rows."""
    held_out = np.asarray(boundary.held_out, dtype=bool)
    kept = np.concatenate([thin(np.flatnonzero(held_out == held), MAX_POINTS) for held in (False, True)])
    labels = np.asarray(boundary.labels, dtype=float)
    if task == "regression":
        labels = np.clip((labels - low) / ((high - low) or 1.0), 0, 1)
    x, y, label = (_short(v) for v in (boundary.points[kept, 0], boundary.points[kept, 1], labels[kept]))
    return [list(point) for point in zip(x, y, label, held_out[kept].astype(int).tolist(), strict=True)]
