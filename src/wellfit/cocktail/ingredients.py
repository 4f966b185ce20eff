"""Ingredients: one regularization technique each, as a value with its strength.

To add one: write its class here, give engines its strengths in `cocktail.Strengths`, and add its line to the contract
suite. What a strength means is stated once, in ``docs/objective.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wellfit.errors import SettingError

if TYPE_CHECKING:
    from wellfit.cocktail.mixing import Cocktail

Strength = float | tuple[float, ...]


def _number(value: object, name: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise SettingError("cocktail.not_a_number", ingredient=name, value=value) from None
    if not math.isfinite(number):
        raise SettingError("cocktail.not_finite", ingredient=name, value=value)
    return number


def _strength(value: object, name: str, top: float = math.inf) -> Strength:
    """Check one number or one per layer: finite, at least 0 and below ``top``."""
    given = tuple(value) if isinstance(value, tuple | list) else (value,)
    numbers = tuple(_number(v, name) for v in given)
    if not numbers:
        raise SettingError("cocktail.empty_strength", ingredient=name)
    for number in numbers:
        if number < 0:
            raise SettingError("cocktail.negative", ingredient=name, value=number)
        if number >= top:
            raise SettingError("cocktail.too_large", ingredient=name, value=number, top=top)
    return numbers if isinstance(value, tuple | list) else numbers[0]


def write_number(number: float) -> str:
    """Return the shortest text that reads back as the same number.

    >>> write_number(0.001), write_number(1e-5), write_number(20.0)
    ('0.001', '1e-05', '20')
    """
    return str(int(number)) if number == int(number) and abs(number) < 1e6 else repr(number)


def _write(strength: Strength) -> str:
    if isinstance(strength, tuple):
        return "(" + ", ".join(map(write_number, strength)) + ("," if len(strength) == 1 else "") + ")"
    return write_number(strength)


class Ingredient:
    """Base of all ingredients: a cocktail of one, mixed with ``+``."""

    name: ClassVar[str]

    def __add__(self, other: Ingredient | Cocktail) -> Cocktail:
        """Mix with another ingredient or cocktail."""
        from wellfit.cocktail.mixing import Cocktail

        return Cocktail((self,)) + other

    def __str__(self) -> str:
        """Return the text form, which `Cocktail.parse` reads back."""
        return f"{self.name}={_write(self.strength)}"  # type: ignore[attr-defined]


@dataclass(frozen=True)
class L1(Ingredient):
    """Lasso penalty ``l1 * sum|W|``, by a proximal step, so zeros are exact (Tibshirani 1996; Parikh & Boyd 2014).

    ``strength`` is one number or one per layer. Raises `SettingError` for a negative or non-finite strength.

    >>> str(L1(1e-4))
    'l1=0.0001'
    """

    strength: Strength
    name: ClassVar[str] = "l1"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.strength, self.name))


@dataclass(frozen=True)
class L2(Ingredient):
    """Ridge penalty ``l2/2 * sum W^2``, coupled: it enters the gradient.

    ``strength`` is one number or one per layer: ``L2((2e-3, 2e-3, 0))``. Raises `SettingError` for a negative or
    non-finite strength.

    >>> str(L2((2e-3, 2e-3, 0)))
    'l2=(0.002, 0.002, 0)'
    """

    strength: Strength
    name: ClassVar[str] = "l2"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.strength, self.name))


@dataclass(frozen=True)
class ElasticNet(Ingredient):
    """``l1 = strength * l1_ratio`` and ``l2 = strength * (1 - l1_ratio)`` (Zou & Hastie 2005).

    Raises `SettingError` for a negative strength or a ratio outside [0, 1].

    >>> str(ElasticNet(1e-3, l1_ratio=0.5))
    'elastic_net=0.001:l1_ratio=0.5'
    """

    strength: Strength
    l1_ratio: float = 0.5
    name: ClassVar[str] = "elastic_net"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.strength, self.name))
        ratio = _number(self.l1_ratio, "l1_ratio")
        if not 0 <= ratio <= 1:
            raise SettingError("cocktail.bad_ratio", value=ratio)
        object.__setattr__(self, "l1_ratio", ratio)

    def __str__(self) -> str:
        """Return the text form."""
        return f"{self.name}={_write(self.strength)}:l1_ratio={write_number(self.l1_ratio)}"


@dataclass(frozen=True)
class WeightDecay(Ingredient):
    """Decoupled decay ``W <- (1 - lr * strength) W_old - lr * step`` (Loshchilov & Hutter 2019, in PyTorch's order).

    ``strength`` is one number or one per layer. Raises `SettingError` for a negative or non-finite strength.

    >>> str(WeightDecay(1e-2))
    'weight_decay=0.01'
    """

    strength: Strength
    name: ClassVar[str] = "weight_decay"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.strength, self.name))


@dataclass(frozen=True)
class Dropout(Ingredient):
    """Inverted dropout of hidden units at this rate, scaled by 1/(1 - rate) in training (Srivastava et al. 2014).

    ``strength`` is one rate in [0, 1) or one per hidden layer: ``Dropout((0.0, 0.3))``. Raises `SettingError` for a
    rate outside [0, 1).

    >>> str(Dropout((0.0, 0.3)))
    'dropout=(0, 0.3)'
    """

    strength: Strength
    name: ClassVar[str] = "dropout"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", _strength(self.strength, self.name, top=1.0))


@dataclass(frozen=True)
class EarlyStopping(Ingredient):
    """Stop when the loss on the stop rows has not fallen by ``min_delta`` for ``patience`` checkpoints; keep the best.

    A checkpoint is an epoch where a training has at most 255 of them (Prechelt 1998). Raises `SettingError` for a
    patience below 1 or a negative ``min_delta``.

    >>> str(EarlyStopping(patience=20))
    'early_stopping=20'
    """

    patience: int = 20
    min_delta: float = 0.0
    name: ClassVar[str] = "early_stopping"

    def __post_init__(self) -> None:
        patience = _number(self.patience, self.name)
        if patience < 1 or patience != int(patience):
            raise SettingError("cocktail.bad_patience", value=self.patience)
        object.__setattr__(self, "patience", int(patience))
        delta = _number(self.min_delta, "min_delta")
        if delta < 0:
            raise SettingError("cocktail.negative", ingredient="min_delta", value=delta)
        object.__setattr__(self, "min_delta", delta)

    def __str__(self) -> str:
        """Return the text form."""
        tail = f":min_delta={write_number(self.min_delta)}" if self.min_delta else ""
        return f"{self.name}={self.patience}{tail}"


INGREDIENTS: dict[str, type[Ingredient]] = {
    kind.name: kind for kind in (L1, L2, ElasticNet, WeightDecay, Dropout, EarlyStopping)
}
