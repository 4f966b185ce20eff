"""What a lesson is drawn from. Shapes: F positions of the slider, B samples, g points, n rows."""

from __future__ import annotations

from dataclasses import dataclass

from wellfit.records.frames import Frames
from wellfit.records.paths import Path
from wellfit.records.tables import Array, Task


@dataclass(frozen=True, eq=False)
class Samples:
    """Networks trained on B samples of one problem whose truth is known, at each of F strengths.

    ``xs`` and ``truth`` are (g,), ``fits`` is (F, B, g): what each network says at ``xs``. ``bias`` (F,) is the squared
    bias and ``variance`` (F,) the variance over samples (divided by B), both means over ``xs``; ``noise`` is the
    variance of the targets around the truth. ``x`` and ``y``, (n,), are the first sample.
    """

    xs: Array
    truth: Array
    fits: Array
    bias: Array
    variance: Array
    noise: float
    x: Array
    y: Array


@dataclass(frozen=True, eq=False)
class Taught:
    """A lesson's trained networks: ``frames[i]`` are those that are drawn of ``paths[i]``.

    ``rows`` were trained on where the pictures are made. ``samples`` is None but for the lesson on bias and variance.
    """

    name: str
    task: Task
    rows: int
    paths: tuple[Path, ...]
    frames: tuple[Frames, ...]
    samples: Samples | None = None
