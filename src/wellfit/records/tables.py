"""What data is, from a table to what an engine trains on. Shapes: n rows, d input features, k outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray
Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["numeric", "categorical", "boolean", "date"]
# Of inputs that are no columns: bytes from 0 to 255 (or what is on their scale), numbers as their source gave them, or
# numbers that stand for words.
Scale = Literal["bytes", "given", "tokens"]


@dataclass(frozen=True)
class Finding:
    """Something about the data that the user should know: a leak, an identifier, duplicate rows, dropped rows.

    ``kind`` is a stable word for programs (``leak``, ``identifier``, ``duplicates``, ``constant``, ...), ``text`` the
    sentence for people; ``columns`` and ``count`` name the place.
    """

    kind: str
    text: str
    columns: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True, eq=False)
class Table:
    """A checked table: features by column, or one array of inputs such as images; one target.

    ``columns[name]`` is (n,): float64 with NaN for missing (numeric; boolean as 0/1; date as days since 1970), or
    object with ``str`` or ``None`` (categorical). ``inputs`` is None, or (n, ...) where there are no columns: images
    (n, channels, height, width), uint8 with 0 for black and 255 for full, or float32 that networks get as it is, or
    int64 tokens (n, length). ``scale`` says what the numbers of ``inputs`` are: ``bytes``, that is uint8, or float32
    made as networks read bytes (x / 127.5 - 1); ``given``, float32 as the source gave them; or ``tokens``, int64.
    ``resized`` says that image files were resized as they were read, so that images to predict are resized as well.
    ``target`` is (n,): int64 codes into ``classes`` or float64 for regression. ``test_rows`` are the rows of a test set
    that came with the data, else None; ``groups``, ``times`` and ``weights`` (how much a row counts) are (n,) where
    asked for.
    """

    name: str
    columns: Mapping[str, Array]
    kinds: Mapping[str, Kind]
    target: Array
    target_name: str
    task: Task
    classes: tuple[str, ...] = ()
    test_rows: Array | None = None
    groups: Array | None = None
    times: Array | None = None
    weights: Array | None = None
    findings: tuple[Finding, ...] = ()
    inputs: Array | None = None
    scale: Scale = "bytes"
    resized: bool = False

    @property
    def rows(self) -> int:
        """Number of rows n, test rows included."""
        return len(self.target)


@dataclass(frozen=True, eq=False)
class Split:
    """Row indices of the parts of a table and the sentence that states the rule. ``validation`` may be empty."""

    train: Array
    validation: Array
    test: Array
    rule: str


@dataclass(frozen=True, eq=False)
class Fold:
    """Three disjoint sets of rows: ``train``, ``stop`` (early stopping's own, may be empty) and ``score``."""

    train: Array
    stop: Array
    score: Array


def inputs_of(x: Array) -> int | tuple[int, ...]:
    """Return what a network takes of each row of x, (n, ...): d features, or a shape such as (channels, height, width).

    >>> inputs_of(np.zeros((9, 4))), inputs_of(np.zeros((9, 1, 28, 28)))
    (4, (1, 28, 28))
    """
    return x.shape[1] if x.ndim == 2 else x.shape[1:]


@dataclass(frozen=True, eq=False)
class FoldData:
    """What an engine trains on for one fold: a design matrix made with *this fold's training rows* only.

    ``x`` is (n, d) float64; or (n, ...) as in `Table.inputs`, uint8 images among them, for a network that takes inputs
    of that shape (see `wellfit.nets.Module`). ``y`` is (n, k) float64: one-hot (multiclass), 0/1 (binary),
    standardized (regression).
    ``tones``, (2, channels), are what is black and what white in images whose scale is ``given``, for augmentation to
    know; None elsewhere, where networks read black as -1 and white as 1.
    ``loss_unit`` turns the engine's loss into the user's unit (the squared target scale in regression, else 1);
    ``target_mean`` and ``target_scale`` turn regression predictions back. ``weights`` is None or (n,): how much each
    row counts, in training and in curves.
    """

    x: Array
    y: Array
    rows: Fold
    loss_unit: float = 1.0
    target_mean: float = 0.0
    target_scale: float = 1.0
    weights: Array | None = None
    tones: Array | None = None

    @property
    def inputs(self) -> int | tuple[int, ...]:
        """What a network takes of each row: d features, or a shape such as (channels, height, width)."""
        return inputs_of(self.x)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All folds that a population may name by index. ``task`` fixes the loss: sigmoid or softmax cross-entropy, or
    the mean squared error. ``outputs`` is k. ``fingerprint`` is a hash of everything a result depends on.
    """

    task: Task
    outputs: int
    folds: tuple[FoldData, ...]
    fingerprint: str = ""
