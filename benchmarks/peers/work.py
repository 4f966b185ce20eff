"""The works that are timed: a network, its data and its recipe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Timing(NamedTuple):
    """Microseconds per step and member: by the clock, and the processor's own, divided by the number of cores.

    The two are equal where the cores do nothing else; other jobs on the machine lengthen the first much more.
    """

    clock: float
    processor: float


@dataclass(frozen=True)
class Work:
    """One row of the benchmark. ``batch`` None: all rows at once. ``dropped``: share of members with dropout."""

    name: str
    sizes: tuple[int, ...]
    rows: int
    batch: int | None
    optimizer: str  # "gd" or "adamw"
    learning_rate: float
    decay: float
    dropout: float
    dropped: float
    members: int
    score_rows: int  # wellfit's curves are measured on them too
    epochs: int  # of a training with its usual checkpoints
    whole_members: int  # members of that training

    @property
    def columns(self) -> int:
        """Rows in a batch."""
        return self.batch or self.rows

    @property
    def batches(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.columns

    @property
    def text(self) -> str:
        """The work in one line."""
        batch = f"batch {self.batch}" if self.batch else "full batch"
        recipe = {"gd": "gradient descent", "adamw": f"AdamW (weight decay {self.decay:g})"}[self.optimizer]
        some = "" if self.dropped == 1 else f" in {self.dropped:.0%} of the members"
        return (
            f"{self.name}, {self.rows} rows, {batch}, {recipe}, learning rate {self.learning_rate:g}, "
            f"dropout {self.dropout:g}{some}, float32, {self.members} members"
        )


def _by_batch(name: str, sizes: tuple[int, ...], batch: int, members: int, epochs: int) -> Work:
    return Work(name, sizes, 4096, batch, "adamw", 1e-3, 0.01, 0.1, 1.0, members, 1024, epochs, members)


WORKS = (
    Work("2-20-3-1", (2, 20, 3, 1), 211, None, "gd", 0.3, 0.0, 0.14, 0.5, 64, 200, 30_000, 8),
    _by_batch("20-32-16-1", (20, 32, 16, 1), 64, 32, 100),
    _by_batch("20-128-64-1", (20, 128, 64, 1), 128, 16, 50),
    _by_batch("20-256-256-1", (20, 256, 256, 1), 256, 8, 20),
)


def draw_data(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Return x (n, d) and y (n, 1) of the training and then the score rows: two noisy classes."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(work.rows + work.score_rows, work.sizes[0]))
    signal = x[:, :1] + x[:, 1:2] ** 2 + 0.3 * draw.normal(size=(len(x), 1))
    return x, (signal > 0.5).astype(float)


def draw_parameters(work: Work, members: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each layer W (members, out, in) and b (members, out) to start from, in float32."""
    draw = np.random.default_rng(seed)
    return [
        (
            (draw.standard_normal((members, out, fan_in)) / np.sqrt(fan_in)).astype(np.float32),
            np.zeros((members, out), np.float32),
        )
        for fan_in, out in pairwise(work.sizes)
    ]
