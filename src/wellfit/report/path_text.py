"""What a path says in words: its sentences, and its points as the rows of a table, for screen and page alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from wellfit.errors import SettingError
from wellfit.messages import catalogue, join, say
from wellfit.records import Coefficients, Interval, Path
from wellfit.report.text import amount, clean, decimals, digits, number

Word = Literal["weak", "right", "strong", "diverged"]
MOST_ROWS, _MOST_LOST, _MOST_NAMED = 15, 4, 10


class Row(NamedTuple):
    """One point of a path, its numbers written out; "" where there is nothing to write."""

    strength: str
    word: Word
    word_text: str
    best: bool
    rule: bool
    train_loss: str
    loss: str
    loss_range: str
    score: str
    freedom: str
    zeros: str
    inputs: str
    off: str


class Weights(NamedTuple):
    """A feature in use (or the intercept) at a strength, its numbers written out; "" where there is nothing to write.

    ``own`` are the coefficients in the data's units, one an output; ``standardized`` is the largest of the standardized
    ones, ``until`` the strongest strength at which the feature is used.
    """

    name: str
    own: tuple[str, ...]
    standardized: str
    until: str


def name_of(path: Path) -> str:
    """Return the ingredient's name in words."""
    return say(f"path.name_{path.over}") if f"name_{path.over}" in catalogue("path") else clean(path.over)


def axis_name(path: Path) -> str:
    """Return what the strengths are, in words."""
    return say(f"path.axis_{path.over}") if f"axis_{path.over}" in catalogue("path") else clean(path.over)


def kind_of(path: Path) -> Literal["up", "bound", "epochs"]:
    """Return which way the strengths run: from 0 up, from infinity down, or from all epochs down."""
    if path.over == "early_stopping":
        return "epochs"
    return "up" if path.strengths[0] == 0 else "bound"


def title(path: Path) -> str:
    """Return what was trained, in one line."""
    if path.linear is not None:
        key = "path.title_linear" if path.base == "none" else "path.title_linear_base"
        known = {name: getattr(path, name) for name in ("data", "task", "over", "base", "folds")}
        return say(key, points=len(path.strengths), **known)
    values = {name: getattr(path, name) for name in ("data", "task", "over", "base", "network", "training")}
    counts = {"points": len(path.strengths), "folds": path.folds, "seeds": path.seeds}
    return say("path.title" if path.base == "none" else "path.title_base", **values, **counts)


def value(path: Path, point: int) -> str:
    """Return a strength as a number, or "none"."""
    strength = float(path.strengths[point])
    return say("path.none") if point == 0 and kind_of(path) != "epochs" else f"{strength:g}"


def strength(path: Path, point: int) -> str:
    """Return a point as what one would type or say: ``l2=0.01``, ``13 epochs``, ``none``."""
    if kind_of(path) == "epochs":
        return say("path.some_epochs" if point else "path.all_epochs", epochs=value(path, point))
    return value(path, 0) if point == 0 else f"{path.over}={value(path, point)}"


def words(path: Path) -> list[Word]:
    """Return for each point whether it is too weak, right or too strong, or has diverged members."""

    def word(point: int) -> Word:
        if path.diverged[point]:
            return "diverged"
        return "right" if path.right[point] else "weak" if point < path.best else "strong"

    return [word(point) for point in range(len(path.strengths))]


def shown(path: Path, most: int = MOST_ROWS) -> list[int]:
    """Return at most ``most`` points, evenly spread, always with none, the best, the rule's choice and the end."""
    last = len(path.strengths) - 1
    kept = {0, path.best, path.one_standard_error, last}
    for count in range(min(most, last + 1), 1, -1):
        points = kept | set(np.round(np.linspace(0, last, count)).astype(int).tolist())
        if len(points) <= most:
            return sorted(points)
    return sorted(kept)


def rows(path: Path, points: Sequence[int]) -> list[Row]:
    """Return these points as rows. Zeros, features and units are "" all along where they never change.

    Degrees of freedom are those of linear models; with one output zeros would only repeat the features.
    """
    told, members = words(path), path.folds * path.seeds
    means = {name: [i.mean if i else math.nan for i in getattr(path, name)] for name in ("train_loss", "loss", "score")}
    places = decimals([*means["loss"], *means["train_loss"]])
    fine = decimals(means["score"])
    sparse, chosen = varies(path.zeros), varies(path.inputs_used)
    off, linear = path.units[:, 1], path.linear
    if linear is not None:
        sparse = sparse and len(linear.outputs) > 1

    def row(p: int) -> Row:
        lost = told[p] == "diverged"
        text = say(f"path.word_{told[p]}", diverged=path.diverged[p], members=members)
        return Row(
            strength=value(path, p),
            word=told[p],
            word_text=text,
            best=p == path.best,
            rule=p == path.one_standard_error,
            train_loss=amount(means["train_loss"][p], places),
            loss=amount(means["loss"][p], places),
            loss_range=_range(path.loss[p], places),
            score=number(means["score"][p], fine),
            freedom=freedom(linear, p) if linear is not None and not lost else "",
            zeros=percent(path.zeros[p]) if sparse and not lost else "",
            inputs=f"{path.inputs_used[p]:.3g}" if chosen and not lost else "",
            off=percent(off[p]) if varies(off) and not lost else "",
        )

    return [row(p) for p in points]


def varies(values: np.ndarray) -> bool:
    """Whether a quantity along the path changes at all, (P,)."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and np.ptp(finite) > 5e-3 * max(1.0, float(np.abs(finite).max())))


def percent(share: float) -> str:
    """Return a share of 1 in percent.

    >>> percent(0.123), percent(0.0), percent(0.9999)
    ('12%', '0%', '100%')
    """
    return f"{100 * share:.0f}%"


def _range(interval: Interval | None, places: int) -> str:
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return say("report.range", low=number(interval.low, places), high=number(interval.high, places))


def sentences(path: Path) -> list[str]:
    """Return all that the path says, as `path_sentences` does, and of linear models which features they use."""
    return [*path_sentences(path), *linear_sentences(path)]


def path_sentences(path: Path) -> list[str]:
    """Return what the path says: the best, the rule's choice, what is right, the end, warm starts, what diverged."""
    told = [_best(path), _rule(path), right_sentence(path), path.end]
    if path.warm is not None:
        told.append(path.warm.sentence)
    if path.diverged.any():
        told.append(_diverged(path))
    return [sentence for sentence in told if sentence]


def _best(path: Path) -> str:
    interval, means = path.loss[path.best], path.mean(path.losses)
    ranged, bounds = "", {}
    if interval and math.isfinite(interval.low):
        places = decimals([interval.mean])
        ranged, bounds = "_range", {"low": number(interval.low, places), "high": number(interval.high, places)}
    start = say("path.diverged_start") if path.diverged[0] else digits(means[0])
    key = "path.best_start" if path.best == 0 else "path.best"
    return say(
        f"{key}{ranged}",
        strength=strength(path, path.best),
        loss=digits(means[path.best]),
        none=start,
        start=strength(path, 0),
        chance=digits(path.chance),
        **bounds,
    )


def _rule(path: Path) -> str:
    chosen = path.one_standard_error
    key = "path.rule_best" if chosen == path.best else "path.rule"
    loss = digits(path.mean(path.losses)[chosen])
    return say(key, error=digits(path.standard_error), strength=strength(path, chosen), loss=loss)


def right_sentence(path: Path) -> str:
    """Return from where to where the strength is right; the other way round where strengths fall along the path."""
    right, last = np.flatnonzero(path.right), len(path.strengths) - 1
    low, high = int(right[0]), int(right[-1])
    if (low, high) == (0, last):
        told = say("path.right_all")
    else:
        if low == 0:
            shape = "start" if high else "none"
        elif high == last:
            shape = "end"
        else:
            shape = "one" if low == high else "inside"
        told = say(f"path.right_{shape}_{kind_of(path)}", first=value(path, low), last=value(path, high))
    gaps = high - low + 1 - len(right) - int((path.diverged[low : high + 1] > 0).sum())
    return join([told, say("path.right_gaps", count=gaps)], "sentences") if gaps > 0 else told


def _diverged(path: Path) -> str:
    lost = np.flatnonzero(path.diverged)
    named = [strength(path, int(p)) for p in lost[:_MOST_LOST]]
    if len(lost) > _MOST_LOST:
        named.append(say("path.more", count=len(lost) - _MOST_LOST))
    return say(
        "path.diverged",
        points=len(lost),
        all=len(path.strengths),
        members=int(path.diverged.sum()),
        every=len(path.strengths) * path.folds * path.seeds,
        strengths=join(named),
    )


# Linear models -------------------------------------------------------------------------------------------------------


def linear_of(path: Path) -> Coefficients:
    """Return the coefficients along a linear path. Raises `SettingError` where there are none."""
    if path.linear is None:
        raise SettingError("path.no_coefficients", network=path.network, over=path.over)
    return path.linear


def strongest(path: Path, most: int) -> list[int]:
    """Return the indices of at most ``most`` features: the largest at the best strength, then the largest anywhere.

    Standardized coefficients count, of all outputs the largest. Features that are never used are left out.
    """
    sizes = np.abs(linear_of(path).standardized).max(axis=1)
    order = np.lexsort((-sizes.max(axis=0), -sizes[path.best]))
    return [int(j) for j in order[:most] if sizes[:, j].any()]


def freedom(linear: Coefficients, point: int) -> str:
    """Return the degrees of freedom at a point as text: whole numbers as such, "" where they were not counted."""
    found = float(linear.freedom[point])
    return "" if math.isnan(found) else number(found, 0 if abs(found - round(found)) < 1e-6 else 1)


def _freedom(linear: Coefficients, point: int) -> str:
    known = freedom(linear, point)
    return say("path.freedom_is", freedom=known) if known else ""


def linear_sentences(path: Path) -> list[str]:
    """Return what a linear path says of its features: how many are used, which, and whether none has a solution."""
    linear = path.linear
    if linear is None:
        return []
    best, rule = path.best, path.one_standard_error
    used, every = linear.used(rule), len(linear.names)
    kind = "none" if not used else "all" if len(used) == every else "some"
    names = [clean(name, 40) for name in used[:_MOST_NAMED]]
    if len(used) > _MOST_NAMED:
        names.append(say("path.more", count=len(used) - _MOST_NAMED))
    told = say(
        f"path.used_{kind}",
        strength=strength(path, rule),
        used=len(used),
        all=every,
        freedom=_freedom(linear, rule),
        names=join(names),
    )
    if best != rule:
        count = len(linear.used(best))
        at_best = {"strength": strength(path, best), "used": count, "all": every, "freedom": _freedom(linear, best)}
        at_best_told = say("path.used_best_all" if count == every else "path.used_best_some", **at_best)
        told = join([told, at_best_told], "sentences")
    lacking = "" if linear.exists.all() else say(f"path.no_solution_{path.task}")
    return [sentence for sentence in (told, lacking) if sentence]


def units_of(path: Path) -> str:
    """Return in words what a coefficient in the data's own units is."""
    linear = linear_of(path)
    return say(f"path.units_{path.task}", target=clean(linear.outputs[0], 40))


def weights(path: Path, most: int) -> list[Weights]:
    """Return the intercept and at most ``most`` features in use at the one-standard-error strength, largest first."""
    linear, point = linear_of(path), path.one_standard_error
    last = len(path.strengths) - 1
    alive = np.abs(linear.standardized).max(axis=1) > 0
    sizes = np.abs(linear.standardized[point])
    order = [int(j) for j in np.argsort(-sizes.max(axis=0), kind="stable") if sizes[:, j].any()]
    found = [Weights(say("path.intercept"), tuple(map(digits, linear.intercepts[point])), "", "")]
    for j in order[:most]:
        until = int(np.flatnonzero(alive[:, j])[-1])
        column = linear.standardized[point, :, j]
        found.append(
            Weights(
                name=linear.names[j],
                own=tuple(map(digits, linear.coefficients[point, :, j])),
                standardized=digits(float(column[np.abs(column).argmax()])),
                until=say("path.until_end") if until == last else value(path, until),
            )
        )
    return found


def weights_note(path: Path, shown_features: int, left_out: Sequence[str] = ()) -> str:
    """Return what must be known to read the `weights`: strength, units, rows, and what is not shown."""
    linear = linear_of(path)
    used = len(linear.used(path.one_standard_error))
    parts = [say("path.weights_note", strength=strength(path, path.one_standard_error), units=units_of(path))]
    if len(linear.outputs) == 1:
        parts.append(say(f"path.weights_{path.task}"))
    if shown_features < used:
        parts.append(say("path.weights_some", shown=shown_features, all=used))
    if left_out:
        names = [clean(name, 40) for name in left_out[:_MOST_LOST]]
        if len(left_out) > _MOST_LOST:
            names.append(say("path.more", count=len(left_out) - _MOST_LOST))
        parts.append(say("path.outputs_left", names=join(names)))
    return join(parts, "sentences")
