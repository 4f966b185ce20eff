"""Augmentation of images as one ingredient: every kind has its amount, and one strength turns all of them up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from wellfit.cocktail.base import Strong, check_number, write_number
from wellfit.errors import SettingError

# The kinds, in the order of `Augment.amounts`, with the largest amount: probabilities, degrees and shares have one.
# Beyond 0.6 the corners that a perspective moves could pass each other.
KINDS: dict[str, float] = {
    "horizontal_flip": 1.0,
    "vertical_flip": 1.0,
    "rotation": 180.0,
    "crop": 1.0,
    "resized_crop": 0.99,
    "translation": 1.0,
    "scale": 1.0,
    "shear": 80.0,
    "perspective": 0.6,
    "contrast": 1.0,
    "brightness": 1.0,
    "noise": math.inf,
    "colour": 1.0,
    "erasing": 1.0,
}
# What suits small photos of all sorts: He et al. (2016) flip them sideways and crop them out of a margin of 4 pixels
# round 32, and nearly every recipe for such images has done so since. Both move whole pixels, so nothing is blurred.
DEFAULTS: dict[str, float] = {"horizontal_flip": 0.5, "crop": 0.125}


@dataclass(frozen=True)
class Augment(Strong):
    """Change every training image at random, anew in every epoch; images that only measure stay as they are.

    ``strength`` in [0, 1] multiplies the amounts of all kinds. An image is changed by a draw
    from each kind's range; u is uniform in [-1, 1], and amounts are those at strength 1:

    ``horizontal_flip``, ``vertical_flip`` are probabilities. ``rotation`` turns by u times so many degrees. ``crop``
    cuts the image, at its size, out of itself with a margin of this share of the side, by whole pixels.
    ``resized_crop`` cuts out a part of at least 1 - ``resized_crop`` of the area, its sides' ratio changed by up to 4/3
    where that fits, and resizes it to the whole (Szegedy et al. 2015). ``translation`` moves by u times this share of
    the side, ``scale`` enlarges by (1 + ``scale``)^u, ``shear`` slants by u times so many degrees. ``perspective``
    moves each corner inward by up to half this share of the side. What lies outside of an image is black.

    ``brightness`` multiplies the pixels by 1 + u ``brightness``; ``contrast`` multiplies their distance from the mean
    grey by 1 + u ``contrast``; ``colour`` does so with their distance from their own grey, and turns the hue by up to a
    quarter of this share of the circle (no effect on one channel). ``noise`` is the standard deviation of Gaussian
    noise, where black is -1 and white 1. ``erasing`` is the probability of a grey rectangle over 2% to 40% of the image
    (Zhong et al. 2020). For mixing images see `Mixup`.

    With no amounts given it stands for ``horizontal_flip=0.5, crop=0.125`` (He et al. 2016). Goes with images (n,
    channels, height, width) and a PyTorch network. Raises `SettingError` for a strength outside [0, 1], an amount that
    is negative or beyond its kind's range, and where all given amounts are 0.

    >>> str(Augment(0.5, rotation=15, horizontal_flip=0.5))
    'augment=0.5:horizontal_flip=0.5:rotation=15'
    >>> str(Augment()), Augment().crop, Augment().rotation
    ('augment=1', 0.125, 0.0)
    """

    strength: float = 1.0
    horizontal_flip: float | None = field(default=None, kw_only=True)
    vertical_flip: float | None = field(default=None, kw_only=True)
    rotation: float | None = field(default=None, kw_only=True)
    crop: float | None = field(default=None, kw_only=True)
    resized_crop: float | None = field(default=None, kw_only=True)
    translation: float | None = field(default=None, kw_only=True)
    scale: float | None = field(default=None, kw_only=True)
    shear: float | None = field(default=None, kw_only=True)
    perspective: float | None = field(default=None, kw_only=True)
    contrast: float | None = field(default=None, kw_only=True)
    brightness: float | None = field(default=None, kw_only=True)
    noise: float | None = field(default=None, kw_only=True)
    colour: float | None = field(default=None, kw_only=True)
    erasing: float | None = field(default=None, kw_only=True)
    name: ClassVar[str] = "augment"
    bare: ClassVar[bool] = True
    most: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {name: value for name in KINDS if (value := getattr(self, name)) is not None}
        checked = {name: _amount(name, value) for name, value in (given or DEFAULTS).items()}
        if not any(checked.values()):
            raise SettingError("augment.nothing")
        for name in KINDS:
            object.__setattr__(self, name, checked.get(name, 0.0))

    @property
    def amounts(self) -> tuple[float, ...]:
        """The amounts at this strength, in the order of `KINDS`."""
        return tuple(self.strength * amount for amount in self._whole.values())

    @property
    def _whole(self) -> dict[str, float]:
        """The amounts at strength 1."""
        return {name: getattr(self, name) for name in KINDS}

    def _options(self) -> dict[str, str]:
        acting = {name: amount for name, amount in self._whole.items() if amount}
        told = {} if acting == DEFAULTS else {name: write_number(amount) for name, amount in acting.items()}
        return {**told, **super()._options()}


def _amount(name: str, value: object) -> float:
    """Return one kind's amount. Raises `SettingError` for an impossible one."""
    number, kind, top = check_number(value, f"augment:{name}"), f"augment:{name}", KINDS[name]
    if number < 0:
        raise SettingError("cocktail.negative", ingredient=kind, value=number)
    if number > top:
        raise SettingError("cocktail.above", ingredient=kind, value=number, top=top)
    return number
