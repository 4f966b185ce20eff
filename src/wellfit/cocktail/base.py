"""What all ingredients share: the checks of their strengths, their text form, and mixing with ``+``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from wellfit.cocktail.schedules import SCHEDULES
from wellfit.errors import SettingError

if TYPE_CHECKING:
    from wellfit.cocktail.mixing import Cocktail

Strength = float | tuple[float, ...]


def check_number(value: object, name: str, *, infinite: bool = False) -> float:
    """Return a float. Raises `SettingError` for anything else, and for infinity where it makes no sense."""
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number is refused below
    except (TypeError, ValueError):
        raise SettingError("cocktail.not_a_number", ingredient=name, value=value) from None
    if math.isnan(number) or (math.isinf(number) and not (infinite and number > 0)):
        raise SettingError("cocktail.not_finite", ingredient=name, value=value)
    return number


def check_schedule(schedule: object) -> None:
    """Raise `SettingError` for an unknown schedule."""
    if schedule not in SCHEDULES:
        raise SettingError("cocktail.unknown_schedule", value=schedule, known=", ".join(SCHEDULES))


def write_number(number: float) -> str:
    """Return the shortest text that reads back as the same number.

    >>> write_number(0.001), write_number(1e-5), write_number(20.0)
    ('0.001', '1e-05', '20')
    """
    return str(int(number)) if abs(number) < 1e6 and number == int(number) else repr(number)


def _write(strength: Strength) -> str:
    if isinstance(strength, tuple):
        return "(" + ", ".join(map(write_number, strength)) + ("," if len(strength) == 1 else "") + ")"
    return write_number(strength)


class Ingredient:
    """Base of all ingredients: a cocktail of one, mixed with ``+``."""

    name: ClassVar[str]
    # Whether the text form is the bare name where no value is given.
    bare: ClassVar[bool] = False

    def __add__(self, other: Ingredient | Cocktail) -> Cocktail:
        """Mix with another ingredient or cocktail."""
        from wellfit.cocktail.mixing import Cocktail

        return Cocktail((self,)) + other

    @property
    def acts(self) -> bool:
        """Whether it does anything: False at strength 0."""
        return True

    def _value(self) -> str:
        return ""

    def _options(self) -> dict[str, str]:
        """Return those options that differ from their defaults, as text."""
        return {}

    def __str__(self) -> str:
        """Return the text form, which `Cocktail.parse` reads back."""
        value = self._value()
        options = "".join(f":{name}={text}" for name, text in self._options().items())
        return self.name + (f"={value}" if value else "") + options


@dataclass(frozen=True)
class Strong(Ingredient):
    """An ingredient with a strength, one number or one per place, that may follow a schedule over the training."""

    strength: Strength
    schedule: str = field(default="constant", kw_only=True)
    below: ClassVar[float] = math.inf  # strengths lie below this
    most: ClassVar[float] = math.inf  # and are at most this
    places: ClassVar[bool] = False  # whether there may be one strength per layer

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", self._checked(self.strength))
        check_schedule(self.schedule)

    def _checked(self, value: object) -> Strength:
        many = isinstance(value, tuple | list)
        given: tuple[object, ...] = tuple(value) if many else (value,)  # type: ignore[arg-type]  # many says it is one
        if many and not self.places:
            raise SettingError("cocktail.one_strength", ingredient=self.name)
        if not given:
            raise SettingError("cocktail.empty_strength", ingredient=self.name)
        numbers = tuple(self._checked_number(v) for v in given)
        return numbers if many else numbers[0]

    def _checked_number(self, value: object) -> float:
        number = check_number(value, self.name)
        if number < 0:
            raise SettingError("cocktail.negative", ingredient=self.name, value=number)
        if number >= self.below:
            raise SettingError("cocktail.too_large", ingredient=self.name, value=number, top=self.below)
        if number > self.most:
            raise SettingError("cocktail.above", ingredient=self.name, value=number, top=self.most)
        return number

    @property
    def acts(self) -> bool:
        """Whether any strength is above 0."""
        return any(self.strength) if isinstance(self.strength, tuple) else self.strength > 0

    def _value(self) -> str:
        return _write(self.strength)

    def _options(self) -> dict[str, str]:
        return {} if self.schedule == "constant" else {"schedule": self.schedule}


@dataclass(frozen=True)
class Bound(Strong):
    """An ingredient whose strength is an upper bound: above 0, and stronger the smaller. No bound is infinity.

    A schedule divides the bound by its factor, so that it loosens as the factor falls.
    """

    def _checked_number(self, value: object) -> float:
        number = check_number(value, self.name, infinite=True)
        if number <= 0:
            raise SettingError("cocktail.bound_not_positive", ingredient=self.name, value=number)
        return number

    @property
    def acts(self) -> bool:
        """Whether any bound is finite."""
        bounds = self.strength if isinstance(self.strength, tuple) else (self.strength,)
        return any(map(math.isfinite, bounds))
