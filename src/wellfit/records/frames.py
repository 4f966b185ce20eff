"""What a reader sees while one ingredient is turned up. Shapes: F frames, B bins, g points a side."""

from __future__ import annotations

from dataclasses import dataclass

from wellfit.records.tables import Array


@dataclass(frozen=True, eq=False)
class Boundary:
    """A decision map over two features: ``z`` is (g, g), z[i, j] the value at (xs[j], ys[i]).

    ``z`` holds the probability of class 1 (binary), the class index (multiclass) or the prediction (regression), in
    the features' own units; ``chances`` is (g, g), the likeliest class's probability, for several classes where it is
    known. ``points`` is (n, 2), ``labels`` (n,) the targets, ``held_out`` (n,) True for test rows.
    """

    xs: Array
    ys: Array
    z: Array
    points: Array
    labels: Array
    held_out: Array
    names: tuple[str, str]
    classes: tuple[str, ...]
    chances: Array | None = None


@dataclass(frozen=True, eq=False)
class Frames:
    """One network for each point of a path, with the same seed, trained on all rows that may be learned from.

    ``counts`` is (F, B): how many weights (biases not counted) lie between the ``edges``, (B + 1,); the outermost bins
    hold all that lie beyond. ``zeros`` is (F,), the share of weights that are exactly zero. ``boundaries`` are the F
    decision maps over two features, none where the data has no two numeric ones; the ``others`` other columns are held
    at their medians (categories at the most frequent). ``sound`` is (F,): False where the network diverged.
    """

    edges: Array
    counts: Array
    zeros: Array
    sound: Array
    boundaries: tuple[Boundary, ...] = ()
    others: int = 0
