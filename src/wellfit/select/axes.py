"""Along which ingredients a path runs, from none to the end of the range, and where that end is.

A penalty's end is the strength from which the network predicts the mean; it is found by a few trainings. Where that
cannot happen, or would take a step that overshoots, the range itself ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wellfit.cocktail import (
    L1,
    L2,
    Augment,
    Cocktail,
    Dropout,
    EarlyStopping,
    ElasticNet,
    GroupLasso,
    Ingredient,
    InputDropout,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    WeightDecay,
    as_cocktail,
)
from wellfit.engines.base import Member
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.nets import Training
from wellfit.nets.training import checkpoints
from wellfit.records import Array, FoldData, History, TrainingData

if TYPE_CHECKING:
    from wellfit.engines.convex import Problem

# Spread of a network's predictions, in units of the target's, up to which they count as all the same.
CONSTANT = 0.01
# Strengths tried for the end of a penalty's range, and how many between two of them in a second round.
PROBES, BETWEEN = tuple(1e-4 * 4.0**i for i in range(14)), 3
# A ridge penalty with an exact solution matters over more decades.
EXACT_DECADES = 6.0
Train = Callable[[Sequence[Member]], Sequence[History]]


@dataclass(frozen=True)
class Axis:
    """How strengths lie: ``log`` over ``decades`` below the end, ``even`` up to ``end``, ``bound`` or ``epochs``.

    ``capped`` strengths times the learning rate must not exceed 1; none but 0 lies below ``least``.
    """

    kind: type[Ingredient]
    spacing: str
    decades: float = 4.0
    end: float = math.inf
    capped: bool = False
    least: float = 0.0

    @property
    def none(self) -> float:
        """The strength that is none of it; along epochs it depends on the training, and this is infinity."""
        return math.inf if self.spacing in ("bound", "epochs") else 0.0


AXES = {
    axis.kind.name: axis
    for axis in (
        Axis(L1, "log"),
        Axis(L2, "log", capped=True),
        Axis(ElasticNet, "log", capped=True),
        Axis(GroupLasso, "log"),
        Axis(WeightDecay, "log", capped=True),
        Axis(MaxNorm, "bound", decades=2.0),
        Axis(Dropout, "even", end=0.95),
        Axis(InputDropout, "even", end=0.95),
        Axis(InputNoise, "log", decades=3.0, end=100.0),
        Axis(LabelSmoothing, "even", end=1.0),
        Axis(Mixup, "log", decades=3.5, end=32.0, least=1e-3),
        Axis(Augment, "even", end=1.0),
        Axis(EarlyStopping, "epochs", end=0.0),
    )
}


@dataclass(frozen=True)
class Over:
    """An ingredient asked for, with its options: what a path turns up, on top of a ``base`` cocktail."""

    axis: Axis
    base: Cocktail
    sample: Ingredient | None = None

    @property
    def name(self) -> str:
        """The ingredient's name."""
        return self.axis.kind.name

    def cocktail(self, strength: float) -> Cocktail:
        """Return the base with this strength of the ingredient; none of it at 0 (a bound: at infinity).

        Where the sample has a strength for each layer, the strongest gets this one and the others their share of it.
        Raises `SettingError` for an impossible strength.
        """
        if self.axis.spacing == "epochs" or strength == self.axis.none:
            return self.base
        if self.sample is None:
            return self.base + self.axis.kind(strength)  # type: ignore[call-arg]  # every axis has a strength
        given = getattr(self.sample, "strength", None)
        if isinstance(given, tuple) and any(given):
            most = (min if self.axis.spacing == "bound" else max)(given)
            shares = tuple(float(f"{strength * g / most:.6g}") if g != most else strength for g in given)
            return self.base + replace(self.sample, strength=shares)  # type: ignore[type-var]  # a dataclass
        return self.base + replace(self.sample, strength=strength)  # type: ignore[type-var]  # a dataclass


def as_over(value: object, base: object = None) -> Over:
    """Return what to turn up from a class (``wf.L2``), an ingredient or its text; its options are kept.

    Of its strength nothing is kept, but of several, one a layer, their proportions.
    Raises `SettingError` for what has no path, and where the base holds the same ingredient already.
    """
    sample: Ingredient | None = None
    if isinstance(value, type) and issubclass(value, Ingredient):
        name = value.name
    elif isinstance(value, Ingredient):
        name, sample = value.name, value
    else:
        text = str(value).strip()
        name = re.split("[=:]", text.lower())[0].strip().replace("-", "_")
        if name in AXES and AXES[name].spacing != "epochs":
            head, colon, options = text.partition(":")
            # Where no value is given any will do: of a strength nothing is kept.
            mixed = as_cocktail(text if "=" in head else f"{head}=0.5{colon}{options}").ingredients
            if len(mixed) > 1:
                raise SettingError("path.no_axis", value=value, known=", ".join(AXES))
            sample = mixed[0]
    if name not in AXES:
        raise SettingError("path.no_axis", value=name or value, known=", ".join(AXES))
    axis, mix = AXES[name], as_cocktail(base)  # type: ignore[arg-type]  # as_cocktail refuses what is none
    if mix.get(axis.kind) is not None:
        raise SettingError("path.base_has_it", ingredient=name, base=mix)
    if axis.spacing == "epochs":
        sample = None
    over = Over(axis, mix, sample)
    over.cocktail(0.5)  # ingredients that exclude each other are refused here
    return over


def cap_of(over: Over, training: Training) -> float:
    """Return the largest strength that may be tried: where the learning rate times it is 1, or the range's end."""
    share = 1 - getattr(over.sample, "l1_ratio", 0.5) if over.name == "elastic_net" else 1.0
    if not over.axis.capped or share <= 0:
        return float(over.axis.end)
    cap = 1 / (training.learning_rate * share)
    digit = 10.0 ** (math.floor(math.log10(cap)) - 2)
    # Rounded to three digits downward, as all strengths are rounded: above the cap no step is safe.
    return float(f"{math.floor(cap / digit * (1 + 1e-12)) * digit:.3g}")


def grid(
    over: Over,
    points: int,
    members: Sequence[Member],
    data: TrainingData,
    train: Train,
    problems: Sequence[Problem] = (),
) -> tuple[Array, str]:
    """Return ``points`` strengths, (points,), the first of them none, and the sentence that says why they end there.

    ``members`` are the base cocktail's, one on each fold: the end is looked for with the first of them, and then
    confirmed with all, through ``train``. Where solutions are exact, ``problems`` are those of the folds: a lasso's end
    is then known.
    """
    axis, training = over.axis, members[0].training
    if axis.spacing == "epochs":
        return epochs_at(_epochs(training.epochs, points), training), say("path.end_epochs")
    if problems:
        return _exact_grid(over, points, problems)
    look = _Look(over, members, data, train)
    if axis.spacing == "even":
        top, key = look.even_end()
        strengths = np.linspace(0, top, points)
    elif axis.spacing == "bound":
        top, key = look.end([10 / p for p in PROBES], "path.end_range")
        strengths = np.append(math.inf, np.geomspace(top * 10**axis.decades, top, points - 1))
    else:
        cap = cap_of(over, training)
        least = axis.end / 10**axis.decades if math.isfinite(axis.end) else 0.0
        tries = [p for p in PROBES if least <= p < cap] + ([cap] if cap < PROBES[-1] else [])
        top, key = look.end(tries, "path.end_cap" if axis.capped and tries[-1] == cap else "path.end_range")
        strengths = np.append(0.0, np.geomspace(max(top / 10**axis.decades, axis.least), top, points - 1))
    # With three digits, since strengths are read, typed and compared.
    return np.array(_rounded(strengths)), say(
        key, ingredient=over.name, top=f"{top:.3g}", rate=f"{training.learning_rate:g}"
    )


def _exact_grid(over: Over, points: int, problems: Sequence[Problem]) -> tuple[Array, str]:
    """Return the strengths of an exact path: to where on every fold all weights are 0, or ridge predicts the mean."""
    both = over.cocktail(1.0).resolve(1), over.base.resolve(1)
    lasso, ridge = (getattr(both[0], name)[0] - getattr(both[1], name)[0] for name in ("l1", "l2"))
    if lasso > 0:
        top, key, decades = max(p.strongest() for p in problems) / lasso, "path.end_zeros", over.axis.decades
    else:
        top, key, decades = max(p.flattening(CONSTANT) for p in problems) / ridge, "path.end_mean_linear", EXACT_DECADES
    top = max(top, 1e-300)
    digit = 10.0 ** (math.floor(math.log10(top)) - 2)
    top = math.ceil(top / digit * (1 - 1e-12)) * digit  # three digits, rounded upward
    strengths = np.append(0.0, np.geomspace(top / 10**decades, top, points - 1))
    return np.array(_rounded(strengths)), say(key, ingredient=over.name, top=f"{top:.3g}")


def _epochs(last: int, points: int) -> Array:
    """Return epochs from 0 to ``last``, closer together the fewer they are."""
    return np.append(0, np.geomspace(1, last, points - 1) if last > 1 else np.array([1.0]))


def epochs_at(wanted: Array, training: Training) -> Array:
    """Return the checkpoints nearest to the ``wanted`` epochs, the latest first: only there losses are measured."""
    known = checkpoints(training.epochs)
    nearest = np.abs(np.asarray(wanted, dtype=np.float64)[:, None] - known).argmin(axis=1)
    return np.unique(known[nearest])[::-1].astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Look:
    """The search for a path's end: ``members`` are the base cocktail's, one on each fold."""

    over: Over
    members: Sequence[Member]
    data: TrainingData
    train: Train

    def even_end(self) -> tuple[float, str]:
        """Return the range's end, or the rate below it from which the network predicts the mean."""
        end = self.over.axis.end
        tries = [float(f"{end * share:.3g}") for share in (0.25, 0.5, 0.75, 1.0)]
        constant = [s for s, flat in zip(tries, self.flat(tries, self.members), strict=True) if flat]
        if constant and min(constant) < end:
            return min(constant), "path.end_mean"
        return end, "path.end_range"

    def end(self, tries: Sequence[float], otherwise: str) -> tuple[float, str]:
        """Return the weakest strength at which the network predicts the mean, and the sentence's key.

        Where none of the ``tries``, the weakest first, does so, it is the last of them and the key ``otherwise``.
        """
        first, limit = self.members[:1], tries[-1]
        flat = self.flat(tries, first)
        if not any(flat):
            return limit, otherwise
        at = flat.index(True)
        top = tries[at]
        if at:
            between = _rounded(np.geomspace(tries[at - 1], top, BETWEEN + 2)[1:-1])
            top = next((s for s, f in zip(between, self.flat(between, first), strict=True) if f), top)
        # What flattens the network on one fold may be a little too weak on another.
        while len(self.members) > 1:
            reach = min(4 * top, limit) if limit > tries[0] else max(top / 4, limit)
            further = [top] if reach == top else [*_rounded(np.geomspace(top, reach, BETWEEN + 2)[:-1]), reach]
            flat = self.flat(further, self.members[1:])
            if any(flat):
                return further[flat.index(True)], "path.end_mean"
            if reach == limit:
                return limit, otherwise
            top = reach
        return top, "path.end_mean"

    def flat(self, strengths: Sequence[float], members: Sequence[Member]) -> list[bool]:
        """Return at which strengths each member's predictions are the same, to `CONSTANT` of the target's spread."""
        asked = [replace(m, cocktail=self.over.cocktail(s)) for s in strengths for m in members]
        constant = [
            _constant(h, self.data.folds[m.fold], self.data) for h, m in zip(self.train(asked), asked, strict=True)
        ]
        return [all(constant[i * len(members) : (i + 1) * len(members)]) for i in range(len(strengths))]


def _rounded(strengths: Array) -> list[float]:
    return [float(f"{s:.3g}") for s in strengths]


def _constant(history: History, fold: FoldData, data: TrainingData) -> bool:
    if history.status == "diverged" or not len(history.predictions):
        return False
    unit = fold.target_scale if data.task == "regression" else 1.0
    return bool((history.predictions.std(axis=0) <= CONSTANT * unit).all())
