"""The optimizer recipe as a value, and the epochs at which curves are recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wellfit.errors import SettingError

OPTIMIZERS = ("gd", "sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("float32", "float64")
MAX_CHECKPOINTS = 256


@dataclass(frozen=True)
class Training:
    """How a member is trained.

    ``optimizer``: ``gd`` (plain gradient steps), ``sgd`` (with ``momentum``, ``nesterov``, as PyTorch's), ``adam`` or
    ``adamw`` (Kingma & Ba 2015; both take the same step, since decoupled decay is the ingredient `WeightDecay`).
    ``learning_rate`` follows ``schedule`` over ``epochs``: ``constant``, or ``cosine`` to 0 (Loshchilov & Hutter
    2017). ``batch_size`` None means all training rows at once. ``precision`` is the floating-point type.
    Raises `SettingError` for impossible values.

    >>> Training(optimizer="gd", learning_rate=0.3, batch_size=None, epochs=30_000).epochs
    30000
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    epochs: int = 100
    batch_size: int | None = 64
    schedule: str = "constant"
    momentum: float = 0.0
    nesterov: bool = False
    precision: str = "float32"

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("precision", self.precision, PRECISIONS)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise SettingError("nets.bad_learning_rate", value=self.learning_rate)
        if self.epochs != int(self.epochs) or not 1 <= self.epochs < 2**31:
            raise SettingError("nets.bad_count", name="epochs", value=self.epochs)
        if self.batch_size is not None and (self.batch_size != int(self.batch_size) or self.batch_size < 1):
            raise SettingError("nets.bad_count", name="batch_size", value=self.batch_size)
        if not 0 <= self.momentum < 1:
            raise SettingError("nets.bad_momentum", value=self.momentum)
        if (self.momentum or self.nesterov) and self.optimizer != "sgd":
            raise SettingError("nets.momentum_without_sgd", optimizer=self.optimizer)
        if self.nesterov and not self.momentum:
            raise SettingError("nets.nesterov_without_momentum")

    def __str__(self) -> str:
        """Return a short description in one line."""
        batch = "full batch" if self.batch_size is None else f"batch {self.batch_size}"
        momentum = f" momentum {self.momentum:g}{' nesterov' if self.nesterov else ''}" if self.momentum else ""
        return f"{self.optimizer}{momentum} lr {self.learning_rate:g} {self.schedule}, {batch}, {self.epochs} epochs"


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingError("nets.unknown_choice", name=name, value=value, known=", ".join(known))


def batches(rows: int, batch_size: int | None) -> tuple[int, int]:
    """Return (optimizer steps in an epoch, largest batch). A short last batch is kept; one of one row is merged.

    >>> batches(10, 4), batches(9, 4), batches(9, None)
    ((3, 4), (2, 5), (1, 9))
    """
    if batch_size is None or batch_size >= rows:
        return 1, rows
    full, rest = divmod(rows, batch_size)
    if rest == 1:
        return full, batch_size + 1
    return full + (rest > 0), batch_size


def checkpoints(epochs: int) -> np.ndarray:
    """Return the epochs at which curves are recorded, (c,) int64, from 0 to ``epochs``, c at most 256.

    >>> checkpoints(3).tolist(), len(checkpoints(30_000))
    ([0, 1, 2, 3], 256)
    """
    count = min(epochs, MAX_CHECKPOINTS - 1) + 1
    return np.round(np.linspace(0, epochs, count)).astype(np.int64)
