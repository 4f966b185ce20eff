"""Folds: proportions, whole groups, time order, and that score rows stay where they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_data_splits import covers, labels, quick, rows_table, seeds

from wellfit.data.drawing import time_chunks
from wellfit.data.splits import fold_rule, folds
from wellfit.errors import DataError, SettingError
from wellfit.records import Fold
from wellfit.rng import generator


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
