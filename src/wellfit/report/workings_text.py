"""What was found inside networks in words and rows: composed from what was measured, for the screen and the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, Workings
from wellfit.report.path_text import percent, varies
from wellfit.report.text import digits

# A share of the first value that a quantity must change by to be said to rise or fall.
CHANGE = 0.1


@dataclass(frozen=True)
class Row:
    """One point as text; "" where nothing is to be said. ``best`` marks the lowest validation loss."""

    strength: str
    best: bool
    cells: tuple[str, ...]


def strength(found: Workings, point: int) -> str:
    """Return a point as one would say it: ``l2=0.01``, ``13 epochs``, ``none``; of a fitted network its cocktail."""
    if found.over == "early_stopping":
        return say("path.some_epochs" if point else "path.all_epochs", epochs=f"{found.strengths[point]:g}")
    if point == 0 and found.over:
        return say("path.none")
    return f"{found.over}={found.strengths[point]:g}" if found.over else found.cocktails[point]


def best(found: Workings) -> int:
    """Return the point with the lowest mean validation loss."""
    means = found.loss.mean(axis=1)
    return int(np.nanargmin(means)) if np.isfinite(means).any() else 0


def title(found: Workings) -> str:
    """Return what was looked into, in one line."""
    counts = {"points": len(found.strengths), "folds": found.folds}
    known = {n: getattr(found, n) for n in ("data", "task", "over", "network", "training", "base")}
    return say("workings.title" if found.over else "workings.title_model", **known, **counts)


def table(found: Workings) -> tuple[list[str], list[Row]]:
    """Return the headings and one row a point, of those quantities that were measured anywhere."""
    noisy = found.noise_losses[:, -2] if len(found.noise) > 1 else np.full(len(found.strengths), np.nan)
    shrink = np.array([np.nanmean(s) if np.isfinite(s).any() else np.nan for s in found.shrink])
    columns: list[tuple[str, Array]] = [
        ("train_loss", found.train_loss.mean(axis=1)),
        ("loss", found.loss.mean(axis=1)),
        ("norm", np.sqrt((found.weight_norms**2).sum(axis=1))),
        ("shrink", shrink),
        ("freedom", found.freedom),
        ("curvature", found.curvature_freedom),
        ("zeros", found.zeros if varies(found.zeros) else np.full(len(found.zeros), np.nan)),
        ("off", found.units[:, 1]),
        (
            "saturated",
            found.units[:, 2] if np.nan_to_num(found.units[:, 2]).any() else np.full(len(found.units), np.nan),
        ),
        ("reliance", found.reliance.mean(axis=1)),
        ("noisy", noisy),
        ("roughness", found.roughness.mean(axis=1)),
    ]
    kept = [(name, values) for name, values in columns if np.isfinite(values).any()]
    names = [say(f"workings.column_{name}", sd=f"{found.noise[-2]:g}") for name, _ in kept]
    rows = []
    for p in range(len(found.strengths)):
        cells = tuple(_cell(name, float(values[p])) for name, values in kept)
        rows.append(Row(strength(found, p), p == best(found), cells))
    return names, rows


def _cell(name: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    if name in ("zeros", "off", "saturated"):
        return percent(value)
    if name in ("freedom", "curvature", "reliance"):
        return f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return f"{value:.6f}" if name == "shrink" else digits(value)


def sentences(found: Workings) -> list[str]:
    """Return what the figures say, one sentence a subject; each is made of what was measured."""
    if not found.over:
        return [*_one(found), say("workings.note")]
    told = [_norms(found), _shrink(found), _freedom(found), _units(found), _reliance(found)]
    told += [_averaging(found), _noise(found), _roughness(found), say("workings.note")]
    return [sentence for sentence in told if sentence]


def _one(found: Workings) -> list[str]:
    values = {"reliance": f"{found.reliance[0, 0]:.1f}", "inputs": len(found.names)}
    values |= {"rough": digits(float(found.roughness[0, 0])), "loss": digits(float(found.loss[0, 0]))}
    told = [say("workings.model", **values, **_noise_values(found, 0))]
    if np.isfinite(found.curvature_freedom[0]):
        values = {"curvature": f"{found.curvature_freedom[0]:.1f}", "parameters": found.parameters}
        told.append(say("workings.model_freedom", **values))
    return [*told, *[s for s in [_averaging(found)] if s]]


def word(values: Sequence[float] | Array, points: tuple[int, int] = (0, -1)) -> str:
    """Return ``falls``, ``rises`` or ``same``: the last of two points against the first, beyond `CHANGE`.

    >>> word([2.0, 1.0]), word([1.0, 1.01]), word([1.0, 2.0])
    ('falls', 'same', 'rises')
    """
    first, last = float(values[points[0]]), float(values[points[1]])
    if abs(last - first) <= CHANGE * max(abs(first), abs(last)):
        return "same"
    return "falls" if last < first else "rises"


def ends(found: Workings, values: Array) -> tuple[int, int] | None:
    """Return the first point and the best one (the last, where the first is best) at which all is measured, or None."""
    there = np.flatnonzero(np.isfinite(values))
    if len(there) < 2:
        return None
    first, chosen = int(there[0]), best(found)
    return (first, chosen) if chosen != first and chosen in there else (first, int(there[-1]))


def _told(found: Workings, key: str, values: Array, write=digits, **more: object) -> str:  # type: ignore[no-untyped-def]  # a function of a number
    points = ends(found, values)
    if points is None:
        return ""
    a, b = points
    numbers = {"first": write(float(values[a])), "last": write(float(values[b]))}
    numbers |= {"none": strength(found, a), "best": strength(found, b)}
    return say(f"workings.{key}_{word(values, points)}", **numbers, **more)


def _norms(found: Workings) -> str:
    return _told(found, "norm", np.sqrt((found.weight_norms**2).sum(axis=1)))


def _shrink(found: Workings) -> str:
    measured = np.isfinite(found.shrink).all(axis=1)
    if not measured.any() or measured.sum() < 2:
        return ""
    at = best(found) if best(found) and measured[best(found)] else int(np.flatnonzero(measured)[-1])
    factors = ", ".join(f"{f:.6f}" for f in found.shrink[at])
    if np.isfinite(found.formula[at]).all():
        formula = ", ".join(f"{f:.6f}" for f in found.formula[at])
        apart = digits(float(np.abs(found.shrink[at] - found.formula[at]).max()))
        return say("workings.shrink_formula", best=strength(found, at), factors=factors, formula=formula, apart=apart)
    key = "workings.shrink_no_formula" if found.over == "l2" else "workings.shrink"
    return say(key, best=strength(found, at), factors=factors)


def _freedom(found: Workings) -> str:
    points = ends(found, found.freedom)
    if points is None:
        return ""
    a, b = points
    error = float(np.hypot(found.freedom_error[a], found.freedom_error[b]))
    clear = abs(found.freedom[b] - found.freedom[a]) > 2 * error
    values = {"first": f"{found.freedom[a]:.1f}", "last": f"{found.freedom[b]:.1f}", "parameters": found.parameters}
    values |= {"none": strength(found, a), "best": strength(found, b), "error": f"{error:.1f}"}
    way = ("falls" if found.freedom[b] < found.freedom[a] else "rises") if clear else "same"
    return say(f"workings.freedom_{way}", **values)


def _units(found: Workings) -> str:
    return _told(found, "off", found.units[:, 1], percent) if varies(found.units[:, 1]) else ""


def _reliance(found: Workings) -> str:
    if len(found.names) < 2:
        return ""
    return _told(found, "reliance", found.reliance.mean(axis=1), lambda v: f"{v:.1f}", inputs=len(found.names))


def _averaging(found: Workings) -> str:
    points = [p for p, a in enumerate(found.averaging) if a is not None]
    if not points:
        return ""
    at = best(found) if best(found) in points else points[len(points) // 2]
    a = found.averaging[at]
    assert a is not None
    values = {name: digits(getattr(a, name)) for name in ("loss", "arithmetic", "geometric", "single")}
    values |= {"arithmetic_error": digits(a.arithmetic_error), "geometric_error": digits(a.geometric_error)}
    values |= {"apart": digits(a.apart_geometric), "noise": digits(a.apart_error)}
    return say("workings.averaging", best=strength(found, at), count=a.count, **values)


def _noise_values(found: Workings, point: int) -> dict[str, str]:
    line = found.noise_losses[point]
    return {"sd": f"{found.noise[-2]:g}", "noisy": digits(float(line[-2])), "clean": digits(float(line[0]))}


def _noise(found: Workings) -> str:
    added = found.noise_losses[:, -2] - found.noise_losses[:, 0]
    return _told(found, "noise", added, sd=f"{found.noise[-2]:g}")


def _roughness(found: Workings) -> str:
    if not np.nan_to_num(found.roughness).any():
        return say("workings.roughness_none")
    return _told(found, "roughness", found.roughness.mean(axis=1))
