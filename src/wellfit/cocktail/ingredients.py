"""Ingredients on weights and steps: penalties, decay, norm bounds, batch normalization, averaging, early stopping.

To add one: write its class here or in `noise`, name it in `mixing`, give engines its strength in `mixing.Strengths`,
and add its line to the contract suite. What a strength means is stated once, in ``docs/objective.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from wellfit.cocktail.base import Bound, Ingredient, Strong, check_number, write_number
from wellfit.errors import SettingError

STOP_ON = ("loss", "score")


@dataclass(frozen=True)
class L1(Strong):
    """Lasso penalty ``l1 * sum|W|``, by a proximal step, so zeros are exact (Tibshirani 1996; Parikh & Boyd 2014).

    ``strength`` is one number or one per layer. Raises `SettingError` for a negative or non-finite strength.

    >>> str(L1(1e-4))
    'l1=0.0001'
    """

    name: ClassVar[str] = "l1"
    places: ClassVar[bool] = True


@dataclass(frozen=True)
class L2(Strong):
    """Ridge penalty ``l2/2 * sum W^2``, coupled: it enters the gradient.

    ``strength`` is one number or one per layer: ``L2((2e-3, 2e-3, 0))``. Raises `SettingError` for a negative or
    non-finite strength.

    >>> str(L2((2e-3, 2e-3, 0)))
    'l2=(0.002, 0.002, 0)'
    """

    name: ClassVar[str] = "l2"
    places: ClassVar[bool] = True


@dataclass(frozen=True)
class ElasticNet(Strong):
    """``l1 = strength * l1_ratio`` and ``l2 = strength * (1 - l1_ratio)`` (Zou & Hastie 2005).

    Raises `SettingError` for a negative strength or a ratio outside [0, 1].

    >>> str(ElasticNet(1e-3, l1_ratio=0.5))
    'elastic_net=0.001:l1_ratio=0.5'
    """

    l1_ratio: float = 0.5
    name: ClassVar[str] = "elastic_net"
    places: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        ratio = check_number(self.l1_ratio, "l1_ratio")
        if not 0 <= ratio <= 1:
            raise SettingError("cocktail.bad_ratio", value=ratio)
        object.__setattr__(self, "l1_ratio", ratio)

    def _options(self) -> dict[str, str]:
        return {"l1_ratio": write_number(self.l1_ratio), **super()._options()}


@dataclass(frozen=True)
class GroupLasso(Strong):
    """Penalty ``strength * sum_j ||W1[:, j]||`` over the columns of the first layer, by a proximal step.

    Column j holds the weights that leave input j, so a zero column is an input that the network does not use (Yuan &
    Lin 2006; for networks Scardapane et al. 2017). Euclidean: it goes with the optimizers gd and sgd only. Raises
    `SettingError` for a negative or non-finite strength.

    >>> str(GroupLasso(0.01))
    'group_lasso=0.01'
    """

    name: ClassVar[str] = "group_lasso"


@dataclass(frozen=True)
class WeightDecay(Strong):
    """Decoupled decay ``W <- (1 - lr * strength) W_old - lr * step`` (Loshchilov & Hutter 2019, in PyTorch's order).

    ``strength`` is one number or one per layer. Raises `SettingError` for a negative or non-finite strength.

    >>> str(WeightDecay(1e-2))
    'weight_decay=0.01'
    """

    name: ClassVar[str] = "weight_decay"
    places: ClassVar[bool] = True


@dataclass(frozen=True)
class MaxNorm(Bound):
    """Bound on the norm of each unit's incoming weights, a row of W, kept after every step (Srivastava et al. 2014).

    ``strength`` is one bound or one per layer, infinity for none. Raises `SettingError` for a bound of 0 or less.

    >>> str(MaxNorm(3))
    'max_norm=3'
    """

    name: ClassVar[str] = "max_norm"
    places: ClassVar[bool] = True


@dataclass(frozen=True)
class GradientClipping(Bound):
    """Bound on the norm of the whole gradient of the mean loss, before any penalty (Pascanu et al. 2013).

    Raises `SettingError` for a bound of 0 or less.

    >>> str(GradientClipping(1.0))
    'gradient_clipping=1'
    """

    name: ClassVar[str] = "gradient_clipping"


@dataclass(frozen=True)
class BatchNorm(Ingredient):
    """Batch normalization of every hidden layer, between the affine map and the activation (Ioffe & Szegedy 2015).

    In training by the batch's mean and variance, in evaluation by their running averages (momentum 0.1, epsilon 1e-5,
    as in PyTorch). Scale and shift are learned and never penalized.

    >>> str(BatchNorm())
    'batch_norm'
    """

    name: ClassVar[str] = "batch_norm"
    bare: ClassVar[bool] = True


@dataclass(frozen=True)
class EMA(Strong):
    """Exponential moving average of the weights, used wherever the network is evaluated (Polyak & Juditsky 1992).

    After step t (from 0) the average moves to the weights by 1 - d, d = min(strength, (1 + t) / (10 + t)), so that the
    start is forgotten soon. An average of weights of which L1 makes some zero is itself seldom exactly zero. Raises
    `SettingError` for a strength outside [0, 1).

    >>> str(EMA(0.99))
    'ema=0.99'
    """

    name: ClassVar[str] = "ema"
    below: ClassVar[float] = 1.0


@dataclass(frozen=True)
class EarlyStopping(Ingredient):
    """Stop when the stop rows have seen no improvement above ``min_delta`` for ``patience`` checkpoints; keep the best.

    ``on`` names what is watched: ``loss`` (lower is better) or ``score`` (accuracy; higher is better; classification
    only). ``min_delta`` is an absolute difference, so a measure's sign does not matter. A checkpoint is an epoch where
    a training has at most 255 of them (Prechelt 1998). Raises `SettingError` for a patience below 1 or a negative
    ``min_delta``.

    >>> str(EarlyStopping(patience=20, on="score"))
    'early_stopping=20:on=score'
    """

    patience: int = 20
    min_delta: float = 0.0
    on: str = field(default="loss", kw_only=True)
    name: ClassVar[str] = "early_stopping"
    bare: ClassVar[bool] = True

    def __post_init__(self) -> None:
        patience = check_number(self.patience, self.name)
        if patience < 1 or patience != int(patience):
            raise SettingError("cocktail.bad_patience", value=self.patience)
        object.__setattr__(self, "patience", int(patience))
        delta = check_number(self.min_delta, "min_delta")
        if delta < 0:
            raise SettingError("cocktail.negative", ingredient="min_delta", value=delta)
        object.__setattr__(self, "min_delta", delta)
        if self.on not in STOP_ON:
            raise SettingError("cocktail.unknown_watch", value=self.on, known=", ".join(STOP_ON))

    def _value(self) -> str:
        return str(self.patience)

    def _options(self) -> dict[str, str]:
        delta = {"min_delta": write_number(self.min_delta)} if self.min_delta else {}
        return {**delta, **({"on": self.on} if self.on != "loss" else {})}
