"""Along which ingredients a path runs, from none to the end of the range, and where that end is.

A penalty's end is the strength from which the network predicts the mean; it is found by a few trainings. Where that
cannot happen, or would take a step that overshoots, the range itself ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wellfit.cocktail import (
    L1,
    L2,
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
from wellfit.records import Array, FoldData, History, TrainingData

# Spread of a network's predictions, in units of the target's, up to which they count as all the same.
CONSTANT = 0.01
# Strengths tried for the end of a penalty's range, and how many between two of them in a second round.
PROBES, BETWEEN = tuple(1e-4 * 4.0**i for i in range(14)), 3
Train = Callable[[Sequence[Member]], Sequence[History]]


@dataclass(frozen=True)
class Axis:
    """How strengths lie: ``log`` over ``decades`` below the end, ``even`` up to ``end``, ``bound`` or ``epochs``.

    ``capped`` strengths times the learning rate must not exceed 1.
    """

    kind: type[Ingredient]
    spacing: str
    decades: float = 4.0
    end: float = math.inf
    capped: bool = False


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
        Axis(Mixup, "log", decades=3.5, end=32.0),
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
        """Return the base with this strength of the ingredient; none of it at 0 (a bound: at infinity)."""
        if self.axis.spacing == "epochs" or not 0 < strength < math.inf:
            return self.base
        if self.sample is None:
            return self.base + self.axis.kind(strength)  # type: ignore[call-arg]  # every axis has a strength
        return self.base + replace(self.sample, strength=strength)  # type: ignore[type-var]  # a dataclass


def as_over(value: object, base: object = None) -> Over:
    """Return what to turn up from a class (``wf.L2``), an ingredient or its text; options are kept, its strength not.

    Raises `SettingError` for what has no path, and where the base holds the same ingredient already.
    """
    sample: Ingredient | None = None
    if isinstance(value, type) and issubclass(value, Ingredient):
        name = value.name
    elif isinstance(value, Ingredient):
        name, sample = value.name, value
    else:
        name, _, options = str(value).strip().lower().partition(":")
        name = name.partition("=")[0].strip().replace("-", "_")
        if options and name in AXES and AXES[name].spacing != "epochs":
            sample = as_cocktail(f"{name}=1:{options}").ingredients[0]
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
    cap = 1 / (training.learning_rate * share) if over.axis.capped and share > 0 else math.inf
    return float(min(cap, over.axis.end))


def grid(over: Over, points: int, member: Member, data: TrainingData, train: Train) -> tuple[Array, str]:
    """Return ``points`` strengths, (points,), the first of them none, and the sentence that says why they end there.

    ``member`` is the base cocktail on one fold with one seed: the end is looked for with it, through ``train``.
    """
    axis = over.axis
    if axis.spacing == "epochs":
        return _epochs(member.training.epochs, points), say("path.end_epochs")
    if axis.spacing == "even":
        top, key = _even_end(over, member, data, train)
        return np.linspace(0, top, points), say(key, ingredient=over.name, top=f"{top:g}")
    if axis.spacing == "bound":
        top, key = _found(over, [10 / p for p in PROBES], 0.0, member, data, train)
        strengths = np.geomspace(top * 10**axis.decades, top, points - 1)
        return np.append(math.inf, _rounded(strengths)), say(key, ingredient=over.name, top=f"{top:.3g}")
    cap = cap_of(over, member.training)
    least = axis.end / 10**axis.decades if math.isfinite(axis.end) else 0.0
    tries = [p for p in PROBES if least <= p < cap] + ([cap] if cap < PROBES[-1] else [])
    top, key = _found(over, tries, cap, member, data, train)
    strengths = np.geomspace(top / 10**axis.decades, top, points - 1)
    rate = f"{member.training.learning_rate:g}"
    return np.append(0.0, _rounded(strengths)), say(key, ingredient=over.name, top=f"{top:.3g}", rate=rate)


def _rounded(strengths: Array) -> Array:
    """Return the strengths with three digits: they are read, typed and compared."""
    return np.array([float(f"{s:.3g}") for s in strengths])


def _epochs(last: int, points: int) -> Array:
    """Return epochs from ``last`` down to 0, closer together the fewer they are."""
    wanted = np.geomspace(1, last, max(points - 1, 1)) if last > 1 else np.array([1.0])
    return np.unique(np.append(0, np.round(wanted)))[::-1].astype(np.float64)


def _even_end(over: Over, member: Member, data: TrainingData, train: Train) -> tuple[float, str]:
    """Return the range's end, or the rate below it from which the network predicts the mean."""
    end = over.axis.end
    tries = [float(f"{end * share:.3g}") for share in (0.25, 0.5, 0.75, 1.0)]
    constant = [s for s, flat in zip(tries, _flat(over, tries, member, data, train), strict=True) if flat]
    if constant and min(constant) < end:
        return min(constant), "path.end_mean"
    return end, "path.end_range"


def _found(
    over: Over, tries: Sequence[float], cap: float, member: Member, data: TrainingData, train: Train
) -> tuple[float, str]:
    """Return the weakest of ``tries`` (the weakest first) at which the network predicts the mean, a little refined."""
    flat = _flat(over, tries, member, data, train)
    if not any(flat):
        reason = "path.end_cap" if over.axis.capped and tries[-1] == cap else "path.end_range"
        return tries[-1], reason
    first = flat.index(True)
    if first:
        between = [float(f"{s:.3g}") for s in np.geomspace(tries[first - 1], tries[first], BETWEEN + 2)[1:-1]]
        tries = [*between, tries[first]]
        flat = [*_flat(over, between, member, data, train), True]
        first = flat.index(True)
    return tries[first], "path.end_mean"


def _flat(over: Over, strengths: Sequence[float], member: Member, data: TrainingData, train: Train) -> list[bool]:
    """Return at which strengths all predictions are the same, to `CONSTANT` of the target's spread."""
    members = [replace(member, cocktail=over.cocktail(s)) for s in strengths]
    return [_constant(history, data.folds[member.fold], data) for history in train(members)]


def _constant(history: History, fold: FoldData, data: TrainingData) -> bool:
    if history.status == "diverged" or not len(history.predictions):
        return False
    unit = fold.target_scale if data.task == "regression" else 1.0
    return bool((history.predictions.std(axis=0) <= CONSTANT * unit).all())
