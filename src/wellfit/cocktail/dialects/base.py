"""What the dialects share: the answer when there is one, the reason when there is none, and the facts of a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wellfit.cocktail.base import Ingredient, Strength, Strong
from wellfit.cocktail.ingredients import L1, L2, BatchNorm, EarlyStopping, ElasticNet
from wellfit.cocktail.mixing import Cocktail
from wellfit.errors import SettingError
from wellfit.messages import say

Value = Strength | int | str
REQUIRED: object = ...
_COMMON = ("l1", "l2", "elastic_net", "weight_decay", "dropout", "early_stopping")


@dataclass(frozen=True)
class Equivalent:
    """A cocktail in another library's words.

    ``arguments`` maps that library's names to values: one number, or one per layer. ``loss_factor`` is how many times
    their objective goes into ours: where it is not 1 the minimum is the same, but gradient descent and SGD take the
    same steps only at ``loss_factor`` times our learning rate. ``notes`` are sentences on what else must be set.
    """

    dialect: str
    arguments: Mapping[str, Value]
    loss_factor: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoEquivalent:
    """There is no exact equivalent, and these are the reasons, one sentence each. It is false in a condition."""

    dialect: str
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        """Return False, so that ``if answer:`` means that there is an equivalent."""
        return False

    def __str__(self) -> str:
        """Return the reasons as one text."""
        return " ".join(self.reasons)


@dataclass(frozen=True)
class Fit:
    """The facts of one fit that a conversion may need; None where they were not given."""

    dialect: str
    rows: int | None = None
    batch_size: int | None = None
    task: str | None = None
    layers: int | None = None
    optimizer: str | None = None
    momentum: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether steps are plain: there W - lr (g + c W) = (1 - lr c) W - lr g, so both decays agree."""
        return self.optimizer in ("gd", "sgd") and self.momentum == 0

    def need(self, name: str) -> Any:
        """Return ``rows`` or ``task``. Raises `SettingError` where it was not given."""
        value = getattr(self, name)
        if value is None:
            raise SettingError("dialects.needs", dialect=self.dialect, name=name)
        return value


@dataclass(frozen=True)
class Parts:
    """A cocktail taken apart: strengths as they were given, elastic net as its two penalties; infinity is no bound.

    The first five every dialect speaks of; the others only those that name them in `Dialect.says`.
    """

    l1: Strength = 0.0
    l2: Strength = 0.0
    weight_decay: Strength = 0.0
    dropout: Strength = 0.0
    early_stopping: EarlyStopping | None = None
    max_norm: Strength = math.inf
    gradient_clipping: float = math.inf
    input_dropout: float = 0.0
    input_noise: float = 0.0
    label_smoothing: float = 0.0
    batch_norm: bool = False

    @classmethod
    def of(cls, cocktail: Cocktail) -> Parts:
        """Take a cocktail apart."""
        strengths: dict[str, Any] = {}
        for item in cocktail.ingredients:
            if isinstance(item, ElasticNet):
                strengths["l1"] = scale(item.strength, item.l1_ratio)
                strengths["l2"] = scale(item.strength, 1 - item.l1_ratio)
            elif isinstance(item, Strong) and item.name in cls.__dataclass_fields__:
                strengths[item.name] = item.strength
        stop = cocktail.get(EarlyStopping)
        strengths["early_stopping"] = stop if isinstance(stop, EarlyStopping) else None
        return cls(**strengths, batch_norm=cocktail.get(BatchNorm) is not None)

    def coupled(self, fit: Fit) -> Parts:
        """Return the same parts with weight decay told as L2, where the steps are plain and the two agree."""
        if not (fit.plain and active(self.weight_decay)):
            return self
        return replace(self, l2=add(self.l2, self.weight_decay), weight_decay=0.0)


@dataclass
class Answer:
    """Collects arguments, notes and reasons while a dialect is spoken."""

    fit: Fit
    loss_factor: float = 1.0
    arguments: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def refuse(self, key: str, **values: object) -> None:
        """Add a reason why there is no exact equivalent."""
        self.reasons.append(say(f"dialects.{key}", dialect=self.fit.dialect, **values))

    def note(self, key: str, **values: object) -> None:
        """Add a sentence on what else must be set."""
        self.notes.append(say(f"dialects.{key}", dialect=self.fit.dialect, **values))

    def one(self, strength: Strength, name: str) -> float:
        """Return one number for all layers, or add the reason and return 0 where the layers differ."""
        values = each(strength)
        if len(set(values)) > 1:
            self.refuse("one_for_all", ingredient=name)
            return 0.0
        return values[0]

    def refuse_unsaid(self, cocktail: Cocktail, says: Iterable[str], reasons: Mapping[str, str]) -> None:
        """Add the reason for every ingredient that acts and that this dialect does not speak of, or not as scheduled.

        ``says`` names ingredients beyond penalties, dropout and early stopping; ``reasons`` maps the name of one that
        is not said to the key of its own reason, and ``""`` to that of the rest.
        """
        for item in cocktail.ingredients:
            if not item.acts:
                continue
            if item.name not in (*_COMMON, *says):
                self.refuse(reasons.get(item.name, reasons.get("", "not_said")), ingredient=item.name)
            elif isinstance(item, Strong) and item.schedule != "constant":
                self.refuse("no_schedule", ingredient=item.name)

    def close(self) -> Equivalent | NoEquivalent:
        """Return the equivalent, or the reasons if there are any."""
        if self.reasons:
            return NoEquivalent(self.fit.dialect, tuple(self.reasons))
        return Equivalent(self.fit.dialect, self.arguments, self.loss_factor, tuple(self.notes))


@dataclass(frozen=True)
class Dialect:
    """One library's way of saying it: its name, the two directions, and the arguments it is read from.

    ``speak(parts, answer)`` fills the answer; ``read(arguments, fit)`` returns a cocktail or the reason.
    ``arguments`` maps each name that ``read`` takes to its default, or to `REQUIRED`. ``says`` and ``reasons`` are
    those of `Answer.refuse_unsaid`.
    """

    name: str
    arguments: Mapping[str, object]
    speak: Callable[[Parts, Answer], None]
    read: Callable[[dict, Fit], Cocktail | NoEquivalent]
    says: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


def each(strength: Strength) -> tuple[float, ...]:
    """Return the strengths as a tuple, of one where one number stands for all layers."""
    return strength if isinstance(strength, tuple) else (strength,)


def active(strength: Strength) -> bool:
    """Whether any layer has a strength above 0."""
    return any(each(strength))


def bounded(bound: Strength) -> bool:
    """Whether any layer has a finite bound."""
    return any(map(math.isfinite, each(bound)))


def scale(strength: Strength, factor: float) -> Strength:
    """Return the strength times a factor, layer by layer."""
    return tuple(s * factor for s in strength) if isinstance(strength, tuple) else strength * factor


def add(a: Strength, b: Strength) -> Strength:
    """Return the sum of two strengths, layer by layer. Raises `SettingError` where their counts differ."""
    if not isinstance(a, tuple) and not isinstance(b, tuple):
        return a + b
    places = max(len(each(a)), len(each(b)))
    wide = [s if isinstance(s, tuple) else (s,) * places for s in (a, b)]
    if len(wide[0]) != len(wide[1]):
        raise SettingError("dialects.counts_differ", first=len(wide[0]), second=len(wide[1]))
    return tuple(x + y for x, y in zip(*wide, strict=True))


def mix(ingredients: Iterable[Ingredient]) -> Cocktail:
    """Return a cocktail of those ingredients that do something."""
    return Cocktail(tuple(i for i in ingredients if i.acts))


def penalties(l1: object, l2: object, factor: tuple[float, float] = (1.0, 1.0)) -> tuple[Ingredient, ...]:
    """Return the checked L1 and L2 ingredients of two given strengths times a factor each."""
    first, second = L1(l1).strength, L2(l2).strength  # type: ignore[arg-type]  # they check
    return L1(scale(first, factor[0])), L2(scale(second, factor[1]))
