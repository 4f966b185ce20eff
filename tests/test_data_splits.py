"""Splits: the size rule, proportions, whole groups, time order, and that nothing moves that should stay."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.drawing import apportion, deal, group_part, latest_part, stratified_parts
from wellfit.data.splits import cross_validation_split, holdout, sizes
from wellfit.errors import DataError
from wellfit.records import Split, Table
from wellfit.rng import generator


def rows_table(target: list | np.ndarray, *, regression: bool = False, **more: object) -> Table:
    values = np.asarray(target)
    classes = () if regression else tuple(f"c{i}" for i in range(int(values.max()) + 1))
    return Table(
        name="made",
        columns={"x": np.arange(len(values), dtype=float)},
        kinds={"x": "numeric"},
        target=values.astype(float if regression else np.int64),
        target_name="y",
        task="regression" if regression else ("binary" if len(classes) == 2 else "multiclass"),
        classes=classes,
        **more,  # type: ignore[arg-type]
    )


quick = settings(deadline=None, max_examples=60)  # the machine may be busy
labels = st.lists(st.integers(0, 4), min_size=3, max_size=120)
seeds = st.integers(0, 2**40)


def parts(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


def covers(sets: list[np.ndarray], whole: np.ndarray) -> bool:
    """Disjoint, together the whole, each sorted."""
    joined = np.concatenate(sets)
    return len(joined) == len(whole) and set(joined) == set(whole) and all((np.diff(s) > 0).all() for s in sets)


# --- the size rule -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "train", "part"),
    [
        (3, 1, 1),
        (10, 6, 2),
        (100, 60, 20),
        (1_000, 600, 200),
        (50_000, 30_000, 10_000),
        (100_000, 80_000, 10_000),
        (1_000_000, 980_000, 10_000),
        (4_000_000, 3_980_000, 10_000),
        (8_000_000, 7_960_000, 20_000),
    ],
)
def test_sizes_with_validation(n: int, train: int, part: int) -> None:
    assert sizes(n, validation=True) == (train, part, part)


def test_textbook_shares() -> None:
    for n, shares in ((5_000, (60, 20, 20)), (1_000_000, (98, 1, 1)), (4_000_000, (99.5, 0.25, 0.25))):
        assert tuple(100 * s / n for s in sizes(n, validation=True)) == shares


@pytest.mark.parametrize(("n", "test"), [(2, 1), (10, 3), (211, 63), (1000, 300), (10**7, 3 * 10**6)])
def test_sizes_without_validation(n: int, test: int) -> None:
    assert sizes(n, validation=False) == (n - test, 0, test)


@quick
@given(st.integers(3, 10**9), st.booleans())
def test_sizes_add_up_and_follow_the_rule(n: int, validation: bool) -> None:
    train, middle, test = sizes(n, validation=validation)
    assert train + middle + test == n
    assert min(train, test) >= 1
    exact = min(n / 5, max(10_000, n / 400)) if validation else 0.3 * n
    assert abs(test - exact) <= (0.5 if exact >= 0.5 else 1)
    assert middle == (test if validation else 0)


def test_too_few_rows() -> None:
    for n, validation in ((1, False), (0, False), (2, True)):
        with pytest.raises(DataError, match="needs at least"):
            sizes(n, validation=validation)


# --- holdout -------------------------------------------------------------------------------------------------------


@quick
@given(labels, seeds, st.booleans(), st.booleans())
def test_holdout_covers_and_has_the_sizes(target: list, seed: int, validation: bool, regression: bool) -> None:
    table = rows_table(target, regression=regression)
    split = holdout(table, seed=seed, validation=validation)
    assert covers(parts(split), np.arange(len(target)))
    assert tuple(map(len, parts(split))) == sizes(len(target), validation=validation)
    for number in (len(split.train), len(split.test)):
        assert f"{number:,}" in split.rule


@quick
@given(st.lists(st.integers(5, 40), min_size=1, max_size=5), seeds, st.booleans())
def test_holdout_is_stratified_within_one_row(counts: list, seed: int, validation: bool) -> None:
    """With five rows a class none is so rare that keeping its last row for training moves others' places."""
    target = generator(seed, 9).permutation(np.repeat(np.arange(len(counts)), counts))
    split = holdout(rows_table(target), seed=seed, validation=validation)
    for part in (split.test, split.validation):
        got = np.bincount(target[part], minlength=len(counts))
        assert (np.abs(got - np.array(counts) * len(part) / len(target)) < 1 + 1e-9).all()


@quick
@given(labels, seeds, st.booleans())
def test_every_class_keeps_a_training_row(target: list, seed: int, validation: bool) -> None:
    table = rows_table(target)
    split = holdout(table, seed=seed, validation=validation)
    held = len(split.test) + len(split.validation)
    if len(target) - len(set(target)) >= held:  # there are enough rows to spare
        assert set(table.target[split.train]) == set(target)


def test_rare_classes_do_not_crash() -> None:
    target = [0] * 50 + [1] * 40 + [2] * 2 + [3]
    split = holdout(rows_table(target), seed=1, validation=True)
    assert {2, 3} <= set(np.array(target)[split.train])
    alone = holdout(rows_table(list(range(10))), seed=1, validation=True)
    assert tuple(map(len, parts(alone))) == (6, 2, 2)


@quick
@given(labels, seeds)
def test_same_seed_same_split(target: list, seed: int) -> None:
    table = rows_table(target)
    first, again = (holdout(table, seed=seed, validation=True) for _ in range(2))
    assert all((a == b).all() for a, b in zip(parts(first), parts(again), strict=True))


def test_other_seed_other_split() -> None:
    table = rows_table([0, 1] * 100)
    assert (holdout(table, seed=0).test != holdout(table, seed=1).test).any()


def test_each_row_is_drawn_equally_often() -> None:
    target = np.array([0] * 30 + [1] * 10)
    drawn = np.zeros(40)
    for seed in range(2000):
        drawn[holdout(rows_table(target), seed=seed).test] += 1
    assert np.abs(drawn / 2000 - 0.3).max() < 5 * np.sqrt(0.21 / 2000)


def test_test_rows_that_came_with_the_data() -> None:
    table = rows_table([0, 1] * 50, test_rows=np.array([3, 1, 98]))
    for split in (
        holdout(table, seed=0),
        holdout(table, seed=0, validation=True),
        cross_validation_split(table, seed=0),
    ):
        assert split.test.tolist() == [1, 3, 98]
        assert covers(parts(split), np.arange(100))
        assert "came with the data" in split.rule
    assert len(holdout(table, seed=0, validation=True).validation) == round(0.2 * 97)


@pytest.mark.parametrize("bad", [[0, 0], [-1], [4]])
def test_impossible_test_rows(bad: list) -> None:
    with pytest.raises(DataError, match="test rows"):
        holdout(rows_table([0, 1, 0, 1], test_rows=np.array(bad)), seed=0)
    with pytest.raises(DataError, match="nothing is left"):
        holdout(rows_table([0, 1], test_rows=np.array([0, 1])), seed=0)


@quick
@given(labels, seeds)
def test_cross_validation_holds_out_the_test_rows_only(target: list, seed: int) -> None:
    split = cross_validation_split(rows_table(target), seed=seed)
    assert len(split.validation) == 0
    assert len(split.test) == sizes(len(target), validation=True)[2]
    assert covers(parts(split), np.arange(len(target)))
    assert "once" in split.rule


# --- groups --------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=4, max_size=80), seeds, st.booleans())
def test_groups_stay_whole(pairs: list, seed: int, validation: bool) -> None:
    groups, target = np.array([f"g{g}" for g, _ in pairs], dtype=object), [y for _, y in pairs]
    table = rows_table(target, groups=groups)
    needed = 3 if validation else 2
    if len(set(groups)) < needed:
        with pytest.raises(DataError, match="groups"):
            holdout(table, seed=seed, validation=validation)
        return
    split = holdout(table, seed=seed, validation=validation)
    assert covers(parts(split), np.arange(len(pairs)))
    sets = [set(groups[p]) for p in parts(split) if len(p)]
    assert len(sets) == needed
    assert sum(map(len, sets)) == len(set(groups))


def nearest_sum(group_sizes: np.ndarray, target: int, most: int) -> int:
    """By brute force: how near the sum of 1..most of these sizes comes to the target."""
    count = len(group_sizes)
    masks = (np.arange(1, 2**count)[:, None] >> np.arange(count)) & 1
    sums = (masks @ group_sizes)[masks.sum(1) <= most]
    return int(np.abs(sums - target).min())


@quick
@given(st.lists(st.integers(1, 30), min_size=2, max_size=9), st.integers(1, 60), seeds)
def test_group_sizes_come_as_near_as_possible(group_sizes: list, size: int, seed: int) -> None:
    groups = np.repeat(np.arange(len(group_sizes)), group_sizes)
    taken = group_part(groups, np.zeros_like(groups), size, 1, generator(seed, 3))
    assert abs(len(taken) - size) == nearest_sum(np.array(group_sizes), size, len(group_sizes) - 1)


def test_groups_keep_class_proportions_where_they_can() -> None:
    rng = generator(0, 5)
    groups = np.repeat(np.arange(60), 10)
    target = (rng.random(60) < 0.3).astype(int)[groups]  # a group has one class
    off = [
        abs(target[holdout(rows_table(target, groups=groups), seed=s, validation=True).test].mean() - target.mean())
        for s in range(20)
    ]
    assert max(off) < 0.1  # draws that do not look at classes are off by 0.13 (one sd): 20 of them by some 0.25


def test_many_groups_are_quick_and_exact() -> None:
    groups = np.repeat(np.arange(20_000), 5)
    split = holdout(rows_table(np.zeros(100_000), regression=True, groups=groups), seed=0, validation=True)
    assert (len(split.validation), len(split.test)) == (10_000, 10_000)


def test_a_missing_group_is_one_group() -> None:
    groups = np.array(["a", None, "b", None] * 5, dtype=object)
    split = holdout(rows_table([0, 1] * 10, groups=groups), seed=0)
    assert sum(any(groups[i] is None for i in part) for part in parts(split)) == 1


# --- time ----------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.integers(0, 12), min_size=4, max_size=80), seeds, st.booleans())
def test_the_latest_rows_are_test_and_ties_stay_together(moments: list, seed: int, validation: bool) -> None:
    times = np.array(moments, dtype=float)
    table = rows_table(np.zeros(len(times)), regression=True, times=times)
    if len(set(moments)) < (3 if validation else 2):
        with pytest.raises(DataError, match="times"):
            holdout(table, seed=seed, validation=validation)
        return
    split = holdout(table, seed=seed, validation=validation)
    assert covers(parts(split), np.arange(len(times)))
    filled = [times[p] for p in parts(split) if len(p)]
    assert all(a.max() < b.min() for a, b in itertools.pairwise(filled))
    wanted = sizes(len(times), validation=validation)[2]
    possible = [int((times >= t).sum()) for t in sorted(set(moments))[2 if validation else 1 :]]
    assert abs(len(split.test) - wanted) == min(abs(p - wanted) for p in possible)


def test_dates_and_missing_times() -> None:
    times = pd.date_range("2020-01-01", periods=20).to_numpy()[::-1].copy()
    table = rows_table([0, 1] * 10, times=times)
    assert holdout(table, seed=0).test.tolist() == [0, 1, 2, 3, 4, 5]
    times[7] = np.datetime64("NaT")
    with pytest.raises(DataError, match="the first is row 8"):
        holdout(rows_table([0, 1] * 10, times=times), seed=0)


def test_groups_with_times_are_refused() -> None:
    table = rows_table([0, 1] * 5, times=np.arange(10.0), groups=np.arange(10))
    with pytest.raises(DataError, match="--group or --time"):
        holdout(table, seed=0)


def test_latest_part_leaves_moments() -> None:
    assert latest_part(np.array([0, 0, 0, 1, 2]), 4, 2).tolist() == [4]


# --- drawing, against independent statements -----------------------------------------------------------------------


@quick
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(lambda c: sum(c) > 1), st.data())
def test_apportion(counts: list, data: st.DataObject) -> None:
    given_counts = np.array(counts)
    size = data.draw(st.integers(1, sum(counts)))
    got = apportion(given_counts, size, given_counts, generator(data.draw(seeds), 3))
    assert got.sum() == size
    assert (got <= given_counts).all()
    quota = given_counts * size / sum(counts)
    if size <= np.maximum(given_counts - 1, 0).sum():
        assert (got <= np.maximum(given_counts - 1, 0)).all()
    if (np.ceil(quota) <= given_counts - 1).all():
        assert (np.abs(got - quota) < 1).all()


@quick
@given(labels, seeds)
def test_stratified_parts_are_disjoint(target: list, seed: int) -> None:
    codes = np.unique(target, return_inverse=True)[1]
    size = len(target) // 3
    a, b = stratified_parts(codes, [size, size], generator(seed, 3))
    assert len(a) == len(b) == size
    assert not set(a) & set(b)


def test_deal_differs_between_seeds_and_is_even() -> None:
    codes = np.zeros(10, dtype=np.int64)
    assert np.bincount(deal(codes, 5, generator(0, 3))).tolist() == [2] * 5
    assert (deal(codes, 5, generator(0, 3)) != deal(codes, 5, generator(1, 3))).any()


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_real_data_split(data_folder, seed: int) -> None:
    from tables import real

    table = real(data_folder, "anneal")
    split = holdout(table, seed=seed, validation=True)
    assert covers(parts(split), np.arange(898))
    assert set(table.target[split.train]) == set(range(5))
