"""The optimizer recipe as a value, and the epochs at which curves are recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from wellfit.cocktail.schedules import SCHEDULES
from wellfit.errors import SettingError
from wellfit.records import hash_once

OPTIMIZERS = ("gd", "sgd", "adam", "adamw")
CLASSIFICATION, REGRESSION = ("cross_entropy",), ("squared", "absolute", "huber", "quantile")
PRECISIONS = ("float32", "float64", "bfloat16")
MAX_CHECKPOINTS = 256


@hash_once
@dataclass(frozen=True)
class Training:
    """How a member is trained.

    ``optimizer``: ``gd`` (plain gradient steps), ``sgd`` (with ``momentum``, ``nesterov``, as PyTorch's), ``adam`` or
    ``adamw`` (Kingma & Ba 2015; both take the same step, since decoupled decay is the ingredient `WeightDecay`).
    ``learning_rate`` follows ``schedule`` over ``epochs``: ``constant``, ``cosine``, ``one_cycle`` or ``flat_cosine``
    (see `wellfit.cocktail.schedules`). ``batch_size`` None means all training rows at once. ``precision`` is the
    floating-point type; ``bfloat16``, for PyTorch modules, keeps weights and optimizer in float32 and computes the
    passes through the layers in bfloat16 (PyTorch's autocast).

    ``loss`` is ``auto`` (cross-entropy, or squared error in regression) or, for the residual r of the standardized
    target: ``squared`` r^2, ``absolute`` |r|, ``huber`` or ``huber:1.5`` (r^2/2 up to 1.5, then linear; 1 by default;
    Huber 1964), ``quantile:0.9`` (the pinball loss of that quantile; Koenker & Bassett 1978). ``class_weights``
    multiply the losses of training rows: one number a class, or ``balanced``, n / (k n_class) (as in scikit-learn).
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
    loss: str = "auto"
    class_weights: str | tuple[float, ...] | None = None

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
        if not isinstance(self.loss, str):
            raise SettingError("nets.bad_loss_parameter", value=self.loss)
        self.loss_and_parameter("regression" if self.loss.partition(":")[0] in REGRESSION else "binary")
        self._check_class_weights()

    def _check_class_weights(self) -> None:
        if self.class_weights is None or self.class_weights == "balanced":
            return
        if isinstance(self.class_weights, str):
            raise SettingError("nets.bad_class_weights", value=self.class_weights)
        try:
            weights = tuple(float(w) for w in self.class_weights)
        except (TypeError, ValueError):
            raise SettingError("nets.bad_class_weights", value=self.class_weights) from None
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
            raise SettingError("nets.bad_class_weights", value=self.class_weights)
        object.__setattr__(self, "class_weights", weights)

    @property
    def stored(self) -> str:
        """The floating-point type of the parameters."""
        return "float32" if self.precision == "bfloat16" else self.precision

    def loss_and_parameter(self, task: str) -> tuple[str, float]:
        """Return the loss for a task and its parameter (Huber's threshold, the quantile; else 0).

        Raises `SettingError` where the loss does not fit the task.

        >>> Training(loss="quantile:0.9").loss_and_parameter("regression")
        ('quantile', 0.9)
        """
        return _loss_and_parameter(self.loss, task)

    def __repr__(self) -> str:
        """Return the call that makes it. Ledgers key by this text: later fields stand in it only where they act."""
        given = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if self._shown(f.name, f.default))
        return f"Training({', '.join(given)})"

    def _shown(self, name: str, default: object) -> bool:
        return name not in ("loss", "class_weights") or getattr(self, name) != default

    def __str__(self) -> str:
        """Return a short description in one line.

        >>> str(Training("adamw", 1e-3, epochs=3, batch_size=64, precision="bfloat16"))
        'adamw lr 0.001 constant, batch 64, 3 epochs, bfloat16'
        """
        batch = "full batch" if self.batch_size is None else f"batch {self.batch_size}"
        momentum = f" momentum {self.momentum:g}{' nesterov' if self.nesterov else ''}" if self.momentum else ""
        loss = "" if self.loss == "auto" else f", loss {self.loss}"
        weights = "" if self.class_weights is None else f", class weights {self.class_weights}"
        precision = "" if self.precision == "float32" else f", {self.precision}"
        steps = f"{self.optimizer}{momentum} lr {self.learning_rate:g} {self.schedule}, {batch}, {self.epochs} epochs"
        return steps + precision + loss + weights


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingError("nets.unknown_choice", name=name, value=value, known=", ".join(known))


# A population asks for each of its members.
@lru_cache(maxsize=256)
def _loss_and_parameter(loss: str, task: str) -> tuple[str, float]:
    known = REGRESSION if task == "regression" else CLASSIFICATION
    name, colon, text = loss.partition(":")
    name = known[0] if name == "auto" else name
    if name not in known and name in (*CLASSIFICATION, *REGRESSION):
        key = "nets.loss_of_classes" if task == "regression" else "nets.loss_of_regression"
        raise SettingError(key, value=loss, known=", ".join(("auto", *known)))
    _one_of("loss", name, ("auto", *known))
    try:
        value = float(text) if text else {"huber": 1.0, "quantile": 0.5}.get(name, 0.0)
    except ValueError:
        raise SettingError("nets.bad_loss_parameter", value=loss) from None
    fits = {"huber": 0 < value < math.inf, "quantile": 0 < value < 1}.get(name, not colon) and bool(text) == bool(colon)
    if not fits:
        raise SettingError("nets.bad_loss_parameter", value=loss)
    return name, value


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


@lru_cache(maxsize=64)
def checkpoints(epochs: int) -> np.ndarray:
    """Return the epochs at which curves are recorded, (c,) int64, from 0 to ``epochs``, c at most 256.

    >>> checkpoints(3).tolist(), len(checkpoints(30_000))
    ([0, 1, 2, 3], 256)
    """
    count = min(epochs, MAX_CHECKPOINTS - 1) + 1
    found = np.round(np.linspace(0, epochs, count)).astype(np.int64)
    found.setflags(write=False)  # it is handed out again
    return found
