"""Cocktails: sets of ingredients, their text form, and the strengths an engine reads from them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache

from wellfit.cocktail.augment import Augment
from wellfit.cocktail.base import Ingredient, Strength, Strong
from wellfit.cocktail.ingredients import (
    EMA,
    L1,
    L2,
    BatchNorm,
    EarlyStopping,
    ElasticNet,
    GradientClipping,
    GroupLasso,
    MaxNorm,
    WeightDecay,
)
from wellfit.cocktail.noise import Dropout, InputDropout, InputNoise, LabelSmoothing, Mixup
from wellfit.errors import SettingError
from wellfit.records import hash_once

# In the order in which a cocktail writes them.
INGREDIENTS: dict[str, type[Ingredient]] = {
    kind.name: kind
    for kind in (
        L1,
        L2,
        ElasticNet,
        GroupLasso,
        WeightDecay,
        MaxNorm,
        BatchNorm,
        Dropout,
        InputDropout,
        InputNoise,
        LabelSmoothing,
        Mixup,
        Augment,
        GradientClipping,
        EMA,
        EarlyStopping,
    )
}
_ORDER = {name: i for i, name in enumerate(INGREDIENTS)}


@dataclass(frozen=True)
class Strengths:
    """A cocktail bound to a network: one strength per weight matrix, one dropout rate per hidden layer.

    0 is none, except for ``max_norm`` and ``gradient_clipping``, where infinity is. ``schedules`` maps the field's
    name to the schedule where it is not constant. ``augment`` is None where its strength is 0.
    """

    l1: tuple[float, ...]
    l2: tuple[float, ...]
    weight_decay: tuple[float, ...]
    max_norm: tuple[float, ...]
    dropout: tuple[float, ...]
    group_lasso: float = 0.0
    input_dropout: float = 0.0
    input_noise: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    augment: Augment | None = None
    gradient_clipping: float = math.inf
    ema: float = 0.0
    batch_norm: bool = False
    early_stopping: EarlyStopping | None = None
    schedules: Mapping[str, str] = field(default_factory=dict, hash=False)


@hash_once
@dataclass(frozen=True)
class Cocktail:
    """A set of ingredients. The empty cocktail is "none"; ``+`` mixes; order does not matter.

    Raises `SettingError` where an ingredient comes twice or two ingredients are the same penalty.

    >>> str(L2(1e-3) + Dropout(0.2))
    'l2=0.001 + dropout=0.2'
    >>> Cocktail.parse("dropout=0.2 + l2=1e-3") == L2(1e-3) + Dropout(0.2)
    True
    """

    ingredients: tuple[Ingredient, ...] = field(default=())

    def __post_init__(self) -> None:
        names = [i.name for i in self.ingredients]
        for name in names:
            if names.count(name) > 1:
                raise SettingError("cocktail.twice", ingredient=name)
        for other in ("l1", "l2"):
            if "elastic_net" in names and other in names:
                raise SettingError("cocktail.elastic_net_and", other=other)
        ordered = tuple(sorted(self.ingredients, key=lambda i: _ORDER[i.name]))
        object.__setattr__(self, "ingredients", ordered)

    def __add__(self, other: Cocktail | Ingredient) -> Cocktail:
        """Mix with another cocktail or ingredient."""
        if isinstance(other, Ingredient):
            return Cocktail((*self.ingredients, other))
        if isinstance(other, Cocktail):
            return Cocktail(self.ingredients + other.ingredients)
        return NotImplemented

    __radd__ = __add__

    def __str__(self) -> str:
        """Return the text form, which `parse` reads back; "none" for the empty cocktail."""
        return " + ".join(map(str, self.ingredients)) or "none"

    def get(self, kind: type[Ingredient]) -> Ingredient | None:
        """Return the ingredient of this kind, or None."""
        return next((i for i in self.ingredients if isinstance(i, kind)), None)

    @classmethod
    def parse(cls, text: str) -> Cocktail:
        """Read the text form: ``"l2=1e-3 + dropout=0.2"``, ``"dropout=(0, 0.3)"``, ``"none"``.

        Raises `SettingError` for an unknown ingredient (naming the nearest known one) or an impossible value.
        """
        stripped = text.strip()
        if stripped.lower() == "none":
            return cls()
        # "+" also stands in exponents such as 1e+3, so only one that is not part of a number separates.
        return cls(tuple(_ingredient(part, text) for part in re.split(r"(?<![0-9.][eE])\+", stripped)))

    def resolve(self, layers: int, places: int | None = None) -> Strengths:
        """Bind to a network of ``layers`` weight matrices. Raises `SettingError` where the counts do not fit.

        ``places`` are those that dropout can act at, by default all hidden layers; who gives them knows what its
        layers can have, and has refused the rest.
        """
        if places is None:
            for kind in (Dropout, BatchNorm):
                if layers == 1 and self.get(kind):
                    raise SettingError("cocktail.hidden_only", ingredient=kind.name)
        return _resolved(self, layers, layers - 1 if places is None else places)

    def _bound(self, layers: int, places: int) -> Strengths:
        net, stop, augment = self.get(ElasticNet), self.get(EarlyStopping), self.get(Augment)
        ones, twos = self._spread(L1, layers), self._spread(L2, layers)
        schedules = {i.name: i.schedule for i in self.ingredients if isinstance(i, Strong) and i.schedule != "constant"}
        if isinstance(net, ElasticNet):
            both = self._spread(ElasticNet, layers)
            ones, twos = tuple(s * net.l1_ratio for s in both), tuple(s * (1 - net.l1_ratio) for s in both)
            if "elastic_net" in schedules:
                schedules["l1"] = schedules["l2"] = schedules.pop("elastic_net")
        return Strengths(
            l1=ones,
            l2=twos,
            weight_decay=self._spread(WeightDecay, layers),
            max_norm=self._spread(MaxNorm, layers, math.inf),
            dropout=self._spread(Dropout, places),
            batch_norm=self.get(BatchNorm) is not None,
            early_stopping=stop if isinstance(stop, EarlyStopping) else None,
            augment=augment if isinstance(augment, Augment) and augment.acts else None,
            schedules=schedules,
            **self._whole(),  # type: ignore[arg-type]  # one number each
        )

    def _whole(self) -> dict[str, Strength]:
        """Return by name the strengths that the network has one of."""
        strong = (i for i in self.ingredients if isinstance(i, Strong) and not isinstance(i, Augment))
        return {i.name: i.strength for i in strong if not i.places}

    def _spread(self, kind: type[Strong], places: int, none: float = 0.0) -> tuple[float, ...]:
        """Return the strength of one ingredient at each of its places."""
        item = self.get(kind)
        strength: Strength = item.strength if isinstance(item, Strong) else none
        if not isinstance(strength, tuple):
            return (strength,) * places
        if len(strength) != places:
            raise SettingError("cocktail.wrong_count", ingredient=kind.name, given=len(strength), needed=places)
        return strength


# A population asks again and again for each of its members.
@lru_cache(maxsize=4096)
def _resolved(cocktail: Cocktail, layers: int, places: int) -> Strengths:
    return cocktail._bound(layers, places)


def _ingredient(part: str, whole: str) -> Ingredient:
    """Read one ``name=value[:option=value]``."""
    _check_joined(part, whole)
    head, *options = part.split(":")
    name, equals, value = head.partition("=")
    name = name.strip().lower().replace("-", "_")
    if name not in INGREDIENTS:
        import difflib

        near = difflib.get_close_matches(name, INGREDIENTS, 1, 0.4)
        key = "cocktail.unknown_near" if near else "cocktail.unknown"
        raise SettingError(
            key, text=part.strip() or whole.strip(), near=near[0] if near else "", known=", ".join(INGREDIENTS)
        )
    kind = INGREDIENTS[name]
    if not equals and not kind.bare:
        raise SettingError("cocktail.no_value", ingredient=name)
    allowed = {f.name for f in fields(kind)} - {"strength", "patience"}  # type: ignore[arg-type]  # dataclasses all
    extra = {}
    for option in options:
        key, _, given = option.partition("=")
        if key.strip() not in allowed:
            raise SettingError("cocktail.unknown_option", ingredient=name, option=key.strip())
        if key.strip() in extra:
            raise SettingError("cocktail.option_twice", ingredient=name, option=key.strip())
        extra[key.strip()] = given.strip()
    if equals and not fields(kind):  # type: ignore[arg-type]  # a dataclass
        raise SettingError("cocktail.takes_no_value", ingredient=name)
    return kind(*([_read(value.strip())] if equals else []), **extra)


def _check_joined(part: str, whole: str) -> None:
    """Raise `SettingError` where several ingredients, or one and "none", stand with no "+" or ";" between them."""
    heads = (re.split("[=:]", piece)[0].lower().replace("-", "_") for piece in re.split(r"[\s,;&]+", part))
    if sum(head in INGREDIENTS or head == "none" for head in heads) > 1:
        raise SettingError("cocktail.not_joined", text=whole.strip())


def _read(text: str) -> object:
    """Read "1e-3" as text to be checked by the ingredient, "(1e-3, 0)" or "1e-3, 0" as a tuple."""
    inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    if "," in inner:
        return tuple(piece.strip() for piece in inner.rstrip().removesuffix(",").split(","))
    return inner


def as_cocktail(value: Cocktail | Ingredient | str | None) -> Cocktail:
    """Return a cocktail from a cocktail, an ingredient, a text form or None ("none").

    >>> str(as_cocktail("l2=1e-3"))
    'l2=0.001'
    """
    if value is None:
        return Cocktail()
    if isinstance(value, Cocktail):
        return value
    if isinstance(value, Ingredient):
        return Cocktail((value,))
    if isinstance(value, str):
        return Cocktail.parse(value)
    raise SettingError("cocktail.not_a_cocktail", value=value)


def as_cocktails(value: str | Iterable[Cocktail | Ingredient | str | None]) -> tuple[Cocktail, ...]:
    """Return cocktails from a list, or from one text with ";" between them; doubles are dropped, order is kept.

    >>> [str(c) for c in as_cocktails("none; l2=1e-3")]
    ['none', 'l2=0.001']
    """
    parts: Iterable = [p for p in value.split(";") if p.strip()] if isinstance(value, str) else value
    return tuple(dict.fromkeys(as_cocktail(part) for part in parts))
