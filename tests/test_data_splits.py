"""Splits: the size rule, proportions, whole groups, time order, and that nothing moves that should stay."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.drawing import apportion, deal, group_part, latest_part, stratified_parts, time_chunks
from wellfit.data.splits import cross_validation_split, fold_rule, folds, holdout, sizes
from wellfit.errors import DataError, SettingError
from wellfit.records import Fold, Split, Table
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


# --- folds ---------------------------------------------------------------------------------------------------------


def whole(made: list[Fold]) -> list[np.ndarray]:
    return [np.concatenate([f.train, f.stop, f.score]) for f in made]


@quick
@given(labels, seeds, st.integers(2, 12), st.sampled_from([0.0, 0.1, 0.5]))
def test_folds_cover_and_are_disjoint(target: list, seed: int, count: int, share: float) -> None:
    table, rows = rows_table(target), np.arange(len(target))[: max(3, len(target) - 4)]
    if share and len(rows) == 3 and count == 2:  # one of the training sets has a single row
        with pytest.raises(DataError, match="Early stopping"):
            folds(table, rows, folds=count, seed=seed, stop_share=share)
        return
    made = folds(table, rows[::-1], folds=count, seed=seed, stop_share=share)
    assert len(made) == min(count, len(rows))
    assert covers([f.score for f in made], rows)
    for fold in made:
        assert covers([fold.train, fold.stop, fold.score], rows)
        assert len(fold.train) >= 1
        assert bool(len(fold.stop)) == bool(share)
        if share:
            asked = share * (len(fold.train) + len(fold.stop))
            assert abs(len(fold.stop) - asked) <= 1


@quick
@given(labels, seeds, st.integers(2, 8))
def test_folds_are_stratified_within_one_row(target: list, seed: int, count: int) -> None:
    table = rows_table(target)
    made = folds(table, np.arange(len(target)), folds=count, seed=seed)
    per_fold = np.array([np.bincount(table.target[f.score], minlength=5) for f in made])
    assert (per_fold.max(0) - per_fold.min(0) <= 1).all()
    assert np.ptp(per_fold.sum(1)) <= 1


def test_a_class_with_two_rows_is_in_every_training_set() -> None:
    target = [0] * 30 + [1] * 2
    for fold in folds(rows_table(target), np.arange(32), folds=5, seed=3):
        assert set(np.array(target)[fold.train]) == {0, 1}


@pytest.mark.parametrize("kind", ["plain", "groups", "times"])
@quick
@given(data=st.data())
def test_score_rows_do_not_depend_on_stop_rows(kind: str, data: st.DataObject) -> None:
    n = data.draw(st.integers(24, 60))
    target = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    moments = np.arange(n) // 2
    table = rows_table(target, **({} if kind == "plain" else {kind: moments}))
    seed = data.draw(seeds)
    bare = folds(table, np.arange(n), folds=4, seed=seed)
    for share in (0.05, 0.2, 0.6):
        stopped = folds(table, np.arange(n), folds=4, seed=seed, stop_share=share)
        for a, b in zip(bare, stopped, strict=True):
            assert (a.score == b.score).all()
            assert (np.sort(np.concatenate([b.train, b.stop])) == a.train).all()


@quick
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=6, max_size=90), seeds, st.integers(2, 6))
def test_folds_keep_groups_whole(pairs: list, seed: int, count: int) -> None:
    groups, target = np.array([g for g, _ in pairs]), [y for _, y in pairs]
    table, rows = rows_table(target, groups=groups), np.arange(len(pairs))
    if len(set(groups)) < 3:
        return
    bare = folds(table, rows, folds=count, seed=seed)
    if min(len(set(groups[f.train])) for f in bare) < 2:
        with pytest.raises(DataError, match="Early stopping"):
            folds(table, rows, folds=count, seed=seed, stop_share=0.3)
        return
    made = folds(table, rows, folds=count, seed=seed, stop_share=0.3)
    assert len(made) == min(count, len(set(groups)))
    assert covers([f.score for f in made], rows)
    for fold in made:
        sets = [set(groups[p]) for p in (fold.train, fold.stop, fold.score)]
        assert min(map(len, sets)) >= 1
        assert sum(map(len, sets)) == len(set(groups))


def test_grouped_folds_are_balanced() -> None:
    rng = generator(1, 5)
    groups = np.repeat(np.arange(200), rng.integers(1, 30, 200))
    target = (rng.random(200) < 0.3).astype(int)[groups]
    table = rows_table(target, groups=groups)
    made = folds(table, np.arange(len(groups)), folds=5, seed=0)
    held = np.array([len(f.score) for f in made])
    rates = np.array([target[f.score].mean() for f in made])
    assert np.ptp(held) <= 0.02 * len(groups)
    assert np.ptp(rates) <= 0.02


@quick
@given(st.lists(st.integers(0, 15), min_size=6, max_size=90), st.integers(2, 8), st.sampled_from([0.0, 0.2]))
def test_time_folds_chain_forward(moments: list, count: int, share: float) -> None:
    times = np.array(moments)
    table = rows_table(np.zeros(len(times)), regression=True, times=times)
    if len(set(moments)) < 3:
        return
    made = folds(table, np.arange(len(times)), folds=count, seed=0, stop_share=share)
    assert len(made) == min(count, len(set(moments)) - 2)
    for fold in made:
        order = [times[p] for p in (fold.train, fold.stop, fold.score) if len(p)]
        assert all(a.max() < b.min() for a, b in itertools.pairwise(order))
    for before, after in itertools.pairwise(made):
        grown = np.sort(np.concatenate([before.train, before.stop, before.score]))
        assert (np.sort(np.concatenate([after.train, after.stop])) == grown).all()


def test_time_chunks_are_even() -> None:
    chunk = time_chunks(np.arange(100), 5, 2)
    assert np.bincount(chunk).tolist() == [20] * 5
    heavy = time_chunks(np.repeat([0, 1, 2, 3], [1, 1, 97, 1]), 3, 1)
    assert np.bincount(heavy).tolist() in ([1, 98, 1], [2, 97, 1])


def test_three_rows_and_fewer() -> None:
    table = rows_table([0, 1, 0])
    made = folds(table, np.arange(3), folds=5, seed=0)
    assert [len(f.score) for f in made] == [1, 1, 1]
    assert "5 folds were asked for; the data allow 3" in fold_rule(table, made, asked=5, seed=0)
    assert "asked" not in fold_rule(table, made, asked=3, seed=0)
    with pytest.raises(DataError, match="needs at least 2 rows"):
        folds(table, np.arange(1), folds=5, seed=0)
    with pytest.raises(DataError, match="Early stopping"):
        folds(table, np.arange(2), folds=5, seed=0, stop_share=0.2)
    with pytest.raises(DataError, match="different times"):
        folds(rows_table([0, 1, 0], times=np.zeros(3)), np.arange(3), folds=2, seed=0)


def test_rules_name_the_kind_of_split() -> None:
    made: list[Fold] = []
    assert "whole groups" in fold_rule(rows_table([0, 1], groups=np.arange(2)), made, asked=0, seed=0)
    assert "forward in time" in fold_rule(rows_table([0, 1], times=np.arange(2)), made, asked=0, seed=0)
    assert "proportion" in fold_rule(rows_table([0, 1]), made, asked=0, seed=0)
    assert "proportion" not in fold_rule(rows_table([0, 1], regression=True), made, asked=0, seed=0)


@pytest.mark.parametrize(("count", "share"), [(1, 0.0), (2.5, 0.0), (3, 1.0), (3, -0.1)])
def test_impossible_settings(count: float, share: float) -> None:
    with pytest.raises(SettingError):
        folds(rows_table([0, 1] * 9), np.arange(18), folds=count, seed=0, stop_share=share)  # type: ignore[arg-type]


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
