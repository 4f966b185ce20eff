"""How rows are drawn: in class proportion, by whole groups, by time. Positions in, positions out; no tables here."""

from __future__ import annotations

import numpy as np

from wellfit.records import Array

# Up to this many groups several draws are tried and the one nearest to the class proportions is kept; with more, the
# law of large numbers does that.
_MANY_GROUPS = 1_000
_TRIES = 8


def codes(values: Array) -> Array:
    """Return (n,) int64 codes 0, 1, ... for equal values of any type, in order of appearance; missing is one value."""
    import pandas as pd

    return pd.factorize(np.asarray(values), use_na_sentinel=False)[0].astype(np.int64)


def apportion(counts: Array, size: int, rest: Array, rng: np.random.Generator) -> Array:
    """Divide ``size`` places among classes in proportion to ``counts``, by largest remainders.

    ``counts`` and ``rest`` (the rows each class has left) are (k,). Returns (k,) with sum ``size``, each within one of
    its exact share and leaving a class its last row, unless the classes are too rare for that; never more than
    ``rest``. Ties between remainders are broken at random.

    >>> apportion(np.array([6, 3, 1]), 5, np.array([6, 3, 1]), np.random.Generator(np.random.Philox(0)))
    array([3, 2, 0])
    """
    quota = counts * (size / counts.sum())
    limit = np.maximum(rest - 1, 0)
    given = np.minimum(np.floor(quota + 1e-9).astype(np.int64), limit)
    order = np.lexsort((rng.random(len(counts)), given - quota))
    while (left := size - int(given.sum())) > 0:
        room = order[given[order] < limit[order]]
        if len(room) == 0:
            limit = rest
            continue
        given[room[:left]] += 1
    return given


def stratified_parts(labels: Array, sizes: list[int], rng: np.random.Generator) -> list[Array]:
    """Draw disjoint sets of the given sizes, each class in its proportion, one row of each class left over.

    ``labels`` is (n,) codes. Returns one sorted array of positions per size. Where classes are so rare that the sizes
    cannot be reached otherwise, a class may lose its last row.
    """
    counts = np.bincount(labels)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    starts = np.cumsum(counts) - counts
    used = np.zeros_like(counts)
    parts = []
    for size in sizes:
        given = apportion(counts, size, counts - used, rng)
        parts.append(np.sort(np.concatenate([by_class[s : s + g] for s, g in zip(starts + used, given, strict=True)])))
        used = used + given
    return parts


def group_part(groups: Array, labels: Array, size: int, leave: int, rng: np.random.Generator) -> Array:
    """Draw whole groups that hold ``size`` rows as nearly as possible, leaving at least ``leave`` groups.

    ``groups`` and ``labels`` are (n,) codes. Among several random draws of equally good size the one nearest to the
    class proportions is kept. Returns sorted positions.
    """
    sizes = np.bincount(groups)
    width = int(labels.max()) + 1
    table = np.bincount(groups * width + labels, minlength=len(sizes) * width).reshape(len(sizes), width)
    wanted = table.sum(0) * (size / len(groups))
    best: tuple[tuple[float, ...], Array] | None = None
    for _ in range(_TRIES if len(sizes) <= _MANY_GROUPS and width > 1 else 1):
        picked = _near_sum(sizes, size, leave, rng)
        inside = table[picked].sum(0)
        lost = int(((inside == table.sum(0)) & (inside > 0)).sum())
        score = (abs(float(inside.sum()) - size), lost, float(np.abs(inside - wanted).sum()))
        if best is None or score < best[0]:
            best = (score, picked)
    assert best is not None
    return np.flatnonzero(np.isin(groups, best[1]))


def _near_sum(sizes: Array, target: int, leave: int, rng: np.random.Generator) -> Array:
    """Return the indices of groups whose sizes sum as near to ``target`` as possible: subset sums in random order.

    ``first[s]`` is the group that first reached sum s, so following it back gives a subset; work stops at an exact hit.
    """
    top = int(min(2 * target, sizes.sum() - 1))
    first = np.full(top + 1, -1, dtype=np.int64)
    first[0] = len(sizes)
    for i in rng.permutation(len(sizes)):
        s = int(sizes[i])
        if s <= top:
            new = (first[s:] < 0) & (first[: top + 1 - s] >= 0)
            first[s:][new] = i
            if first[min(target, top)] >= 0:
                break
    reached = np.flatnonzero(first >= 0)[1:]
    if len(reached) == 0:  # every group is larger than twice the size asked for
        return np.array([int(np.argmin(sizes))])
    total = int(reached[np.argmin(np.abs(reached - target))])
    picked = []
    while total > 0:
        picked.append(int(first[total]))
        total -= int(sizes[picked[-1]])
    picked.sort(key=lambda i: -sizes[i])
    return np.array(picked[: max(1, len(sizes) - leave)])


def latest_part(times: Array, size: int, leave: int) -> Array:
    """Return the positions of the latest rows, as near to ``size`` as whole moments allow; ``leave`` moments stay.

    ``times`` is (n,) ranks 0, 1, ... of the different times.
    """
    per_time = np.bincount(times)
    after = per_time[::-1].cumsum()[::-1]  # after[t]: the rows at time t or later
    start = leave + int(np.argmin(np.abs(after[leave:] - size)))
    return np.flatnonzero(times >= start)


def deal(labels: Array, folds: int, rng: np.random.Generator) -> Array:
    """Deal rows to folds like cards, class after class: sizes, and each class's share, differ by one row at most.

    ``labels`` is (n,) codes; returns (n,) fold numbers.
    """
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), dtype=np.int64)
    fold[by_class] = np.arange(len(labels)) % folds
    return fold


def deal_groups(groups: Array, labels: Array, folds: int, rng: np.random.Generator) -> Array:
    """Deal whole groups to folds, the largest first, each to where sizes and class shares stay most even.

    ``groups`` and ``labels`` are (n,) codes; returns (n,) fold numbers. Evenness is the sum over folds of
    (rows / n)^2 and of (rows of a class / rows of that class)^2; a group goes where that grows least.
    """
    sizes = np.bincount(groups)
    width = int(labels.max()) + 1
    table = np.bincount(groups * width + labels, minlength=len(sizes) * width).reshape(len(sizes), width)
    shares = table / np.maximum(table.sum(0), 1)
    if width > 1:
        shares = np.column_stack([shares, sizes / len(groups)])
    held = np.zeros((folds, shares.shape[1]))
    owner = np.empty(len(sizes), dtype=np.int64)
    order = rng.permutation(len(sizes))
    for g in order[np.argsort(-sizes[order], kind="stable")]:
        owner[g] = int(np.argmin(held @ shares[g]))  # (h + s)^2 - h^2 = 2 h s + s^2, and s^2 is the same for all
        held[owner[g]] += shares[g]
    return owner[groups]


def time_chunks(times: Array, chunks: int, first: int) -> Array:
    """Cut the rows into consecutive chunks of nearly equal size, rows of one moment together.

    ``times`` is (n,) ranks 0, 1, ...; the first chunk holds at least ``first`` moments, the others at least one.
    Returns (n,) chunk numbers. There must be at least ``first + chunks - 1`` moments.
    """
    per_time = np.bincount(times)
    before = np.cumsum(per_time) - per_time  # rows before time t: a cut at t puts that many on its left
    cuts: list[int] = []
    for j in range(1, chunks):
        lowest = cuts[-1] + 1 if cuts else first
        highest = len(per_time) - (chunks - j)
        ideal = len(times) * j / chunks
        cuts.append(lowest + int(np.argmin(np.abs(before[lowest : highest + 1] - ideal))))
    return np.searchsorted(np.array(cuts, dtype=np.int64), times, side="right")
