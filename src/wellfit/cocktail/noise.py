"""Ingredients that disturb what a network sees while it is trained: units, inputs, targets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from wellfit.cocktail.base import Strong, check_number
from wellfit.errors import SettingError


@dataclass(frozen=True)
class Dropout(Strong):
    """Inverted dropout of hidden units at this rate, scaled by 1/(1 - rate) in training (Srivastava et al. 2014).

    ``strength`` is one rate in [0, 1) or one per hidden layer: ``Dropout((0.0, 0.3))``. Raises `SettingError` for a
    rate outside [0, 1).

    >>> str(Dropout((0.0, 0.3)))
    'dropout=(0, 0.3)'
    """

    name: ClassVar[str] = "dropout"
    below: ClassVar[float] = 1.0
    places: ClassVar[bool] = True


@dataclass(frozen=True)
class InputDropout(Strong):
    """Inverted dropout of the inputs, each entry at this rate (Srivastava et al. 2014).

    Raises `SettingError` for a rate outside [0, 1).

    >>> str(InputDropout(0.1))
    'input_dropout=0.1'
    """

    name: ClassVar[str] = "input_dropout"
    below: ClassVar[float] = 1.0


@dataclass(frozen=True)
class InputNoise(Strong):
    """Gaussian noise of this standard deviation on the standardized inputs, redrawn at every step (Bishop 1995).

    Raises `SettingError` for a negative or non-finite deviation.

    >>> str(InputNoise(0.1))
    'input_noise=0.1'
    """

    name: ClassVar[str] = "input_noise"


@dataclass(frozen=True)
class LabelSmoothing(Strong):
    """Targets ``(1 - strength) y + strength / k`` in training, k classes (Szegedy et al. 2016). Classification only.

    At 1 nothing can be learned. Curves are measured on hard labels.
    Raises `SettingError` for a strength outside [0, 1].

    >>> str(LabelSmoothing(0.1))
    'label_smoothing=0.1'
    """

    name: ClassVar[str] = "label_smoothing"
    most: ClassVar[float] = 1.0


@dataclass(frozen=True)
class Mixup(Strong):
    """Train on ``c x_i + (1 - c) x_j`` and the targets mixed alike, c ~ Beta(strength, strength) (Zhang et al. 2018).

    One c a batch, as in the authors' code; example i is mixed with the one a random distance further on in the
    (shuffled) batch. A schedule moves c towards 1, which is no mixing. A strength of 0 mixes nothing.
    Raises `SettingError` for a negative strength or one between 0 and 0.001.

    >>> str(Mixup(0.2))
    'mixup=0.2'
    """

    name: ClassVar[str] = "mixup"

    def _checked_number(self, value: object) -> float:
        number = super()._checked_number(value)
        if 0 < number < 1e-3:  # where the inverse distribution function is 0 or 1 at every double
            raise SettingError("cocktail.mixup_too_small", value=check_number(value, self.name))
        return number


@lru_cache(maxsize=64)
def mixup_quantiles(strength: float) -> np.ndarray:
    """Return the quantiles of Beta(strength, strength) at 0, 1/1024, ..., 1, (1025,): between them c is interpolated.

    So c is a function of one uniform number, the same in every engine.
    """
    from scipy.special import betaincinv

    half = betaincinv(strength, strength, np.arange(513) / 1024)
    half[-1] = 0.5
    table = np.concatenate([half, 1 - half[-2::-1]])
    table.flags.writeable = False
    return table
