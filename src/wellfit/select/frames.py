"""The frames of a path: one network a point, trained on all rows, so that a reader can turn the strength by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping
from wellfit.engines.base import Engine, Member
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.nets import Network, Training
from wellfit.nets.fitted import Fitted
from wellfit.records import Array, Frames, History, Path, Table
from wellfit.select.fitting import everything, fit_epochs, fit_members, with_stop
from wellfit.select.maps import decision_map, leading_features

BINS, GRID = 41, 64
_RANGE = 0.995  # of the weights lie within the outermost edges


def frames(
    table: Table,
    rows: Array,
    held_out: Array,
    found: Path,
    network: Network,
    training: Training,
    *,
    seed: int = 0,
    engine: Engine | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Frames:
    """Train one network a point of a path on ``rows`` (m,), and return what there is to be seen of each.

    ``network`` and ``training`` are those of the path. ``held_out`` are test rows, (t,): they are drawn beside the
    others, and nothing is learned from them. Raises as `wellfit.select.fitting.fit_members`.
    """
    fits = _fits(table, rows, found, network, training, seed, engine, executor, progress)
    return frames_of(table, rows, held_out, fits, found.best, seed=seed)


def frames_of(
    table: Table, rows: Array, held_out: Array, fits: Sequence[tuple[History, Fitted]], best: int, *, seed: int = 0
) -> Frames:
    """Return what there is to be seen of networks fitted on ``rows`` (m,), one a point, drawn as in `frames`.

    Where there are more than two numeric columns, the map's are those that the network at point ``best`` leans on most.
    """
    sound = np.array([record.status != "diverged" for record, _ in fits])
    models = [model for _, model in fits]
    weights = [np.concatenate([w.ravel() for w in model.weights]).astype(np.float64) for model in models]
    edges = _edges([w for w, good in zip(weights, sound, strict=True) if good])
    names = leading_features(models[best], table, rows, seed) if sound[best] else ()
    maps = []
    if len(names) == 2 and sound.all():
        shown = np.concatenate([rows, held_out])
        tested = np.arange(len(shown)) >= len(rows)
        maps = [decision_map(m, table, (names[0], names[1]), shown, tested, GRID, rows) for m in models]
    return Frames(
        edges=edges,
        counts=np.array([_counts(w, edges) if good else 0 * edges[1:] for w, good in zip(weights, sound, strict=True)]),
        zeros=np.array([float((w == 0).mean()) if w.size else 0.0 for w in weights]),
        sound=sound,
        boundaries=tuple(m for m in maps if m is not None),
        others=len(table.kinds) - 2 if maps else 0,
    )


def _fits(
    table: Table,
    rows: Array,
    found: Path,
    network: Network,
    training: Training,
    seed: int,
    engine: Engine | None,
    executor: Executor | None,
    progress: Progress | None,
) -> list[tuple[History, Fitted]]:
    base = Cocktail.parse(found.base)
    part = with_stop(table, rows, seed) if base.get(EarlyStopping) is not None else everything(rows)
    if found.over == EarlyStopping.name:
        member = Member(network, base, training, seed, 0)
        epochs = [int(epoch) for epoch in found.strengths[::-1]]
        return fit_epochs(table, part, member, epochs, engine=engine, executor=executor)[::-1]
    members = [Member(network, Cocktail.parse(text), training, seed, 0) for text in found.cocktails]
    return fit_members(table, [part], members, engine=engine, executor=executor, progress=progress)


def _edges(weights: list[Array]) -> Array:
    """Return the edges of an odd number of bins around 0, so that one bin is the middle."""
    every = np.abs(np.concatenate(weights)) if weights else np.empty(0)
    widest = float(np.quantile(every, _RANGE)) if every.size else 1.0
    return np.linspace(-1, 1, BINS + 1) * (widest or 1.0)


def _counts(weights: Array, edges: Array) -> Array:
    inside = np.clip(weights, edges[0], edges[-1])
    return np.histogram(inside, edges)[0]
