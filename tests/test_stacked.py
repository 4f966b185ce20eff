"""Many histories and intervals at once are what each is alone; hashes that are kept."""

from __future__ import annotations

import pickle
from copy import copy

import numpy as np
import pytest

from wellfit.cocktail import as_cocktail
from wellfit.data.preprocess import _measure, _measure_plainly
from wellfit.engines.base import Member
from wellfit.evidence.intervals import fold_interval, fold_intervals, trained_interval, trained_intervals
from wellfit.nets import MLP, Training
from wellfit.records import History
from wellfit.select.reading import carried, kept_value
from wellfit.select.stacked import Stacked


def ended(points, best, seed):
    curve = np.random.default_rng(seed).normal(size=len(points))
    return History("stopped", points[-1], best, 9, np.array(points), {"loss": curve}, np.zeros((1, 1)), (1.0,), 0, 1)


@pytest.mark.parametrize("even", [True, False])
def test_curves_side_by_side_carry_their_last_value(even):
    some = [ended([0, 2, 5, 9], 5, 0), ended([0, 2, 5, 9], 9, 1), ended([0, 2] if not even else [0, 2, 5, 9], 1, 2)]
    stacked = Stacked(some)
    for one, row, kept in zip(some, stacked.curves("loss"), stacked.kept("loss"), strict=True):
        assert np.array_equal(row, carried(one, "loss", 4))
        assert kept == kept_value(one, "loss")


def test_intervals_of_many_rows_are_those_of_each():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 6))
    values[::3, 2], values[1::4, 0] = np.nan, np.nan
    values[5], values[6, 1:], values[7] = np.nan, np.nan, 0.25
    counts = {"train_rows": np.arange(50, 56), "test_rows": np.arange(10, 16)}
    pairs = [
        (fold_intervals(values, **counts, estimates="X"), [fold_interval(v, **counts, estimates="X") for v in values]),
        (trained_intervals(values, estimates="X"), [trained_interval(v, estimates="X") for v in values]),
    ]
    for many, alone in pairs:
        for a, b in zip(many, alone, strict=True):
            assert a.estimates == b.estimates
            np.testing.assert_array_equal([a.mean, a.low, a.high], [b.mean, b.low, b.high])


@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_plain_means_and_spreads_do_not_need_the_order(rows):
    rng = np.random.default_rng(rows)
    x = np.array([rng.normal(size=rows), np.full(rows, 7.0), rng.normal(size=rows) * 1e150, np.zeros(rows)])
    for ours, theirs in zip(_measure_plainly(x), _measure(x.T, fences=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
    x[0, 0] = np.nan
    for ours, theirs in zip(_measure_plainly(x), _measure(x.T, fences=False), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_kept_hash_stays_in_its_process():
    member = Member(MLP((3,)), as_cocktail("l2=0.1"), Training(epochs=2), 0, 0)
    again = Member(MLP((3,)), as_cocktail("l2=0.1"), Training(epochs=2), 0, 0)
    assert hash(member) == hash(again)
    assert member == again
    assert "_hash" in vars(member)
    for other in (pickle.loads(pickle.dumps(member)), copy(member)):
        assert "_hash" not in vars(other)
        assert "_hash" not in vars(pickle.loads(pickle.dumps(member.training)))
        assert other == member
        assert {member: 1}[other] == 1
