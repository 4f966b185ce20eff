"""Weights of rows, from the file to the trained network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.data import folds, load, prepare
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import DataError
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData
from wellfit.select import sanity


def frame(rows: int = 40) -> pd.DataFrame:
    draw = rng.generator(0, rng.DATA)
    made = pd.DataFrame(draw.normal(size=(rows, 3)), columns=["a", "b", "c"])
    made["counts"] = draw.integers(0, 4, rows)
    made["y"] = (made.a + draw.normal(size=rows) > 0).map({True: "yes", False: "no"})
    return made


def test_a_weight_column_is_no_feature_and_reaches_every_fold():
    made = frame()
    table = load(made, target="y", weight="Counts")
    assert list(table.columns) == ["a", "b", "c"]
    assert table.weights is not None
    assert np.array_equal(table.weights, made.counts)
    parts = folds(table, np.arange(table.rows), folds=4, seed=0)
    data = prepare(table, parts)
    assert all(np.array_equal(fold.weights, made.counts) for fold in data.folds)
    plain = prepare(load(made, target="y", drop=["counts"]), parts)
    assert plain.folds[0].weights is None
    assert np.array_equal(plain.folds[0].x, data.folds[0].x)
    assert plain.fingerprint != data.fingerprint


def test_test_rows_without_the_column_count_alike():
    made = frame()
    table = load(made.iloc[:30], target="y", weight="counts", test=made.iloc[30:].drop(columns="counts"))
    assert table.weights is not None
    assert np.array_equal(table.weights, [*made.counts[:30], *[1] * 10])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1, "row 6.*finite number of at least 0"),
        (np.inf, "finite"),
        (np.nan, "finite number"),
        ("heavy", "not a number"),
    ],
)
def test_impossible_weights_are_refused_with_their_place(value, words):
    made = frame().astype({"counts": object})
    made.loc[5, "counts"] = value
    with pytest.raises(DataError, match=words):
        load(made, target="y", weight="counts")


def test_weights_that_are_all_0_and_an_unknown_column_are_refused():
    with pytest.raises(DataError, match="not all 0"):
        load(frame().assign(counts=0), target="y", weight="counts")
    with pytest.raises(DataError, match="weigth"):
        load(frame(), target="y", weight="weigth")


def test_a_row_of_weight_two_is_two_rows():
    """In full batches without anything random, training on weights equals training on repeated rows."""
    table = load(frame(), target="y", weight="counts")
    [whole] = prepare(table, [Fold(np.arange(40), np.arange(0), np.arange(0))]).folds
    assert whole.weights is not None
    repeated = np.repeat(np.arange(40), whole.weights.astype(int))
    again = FoldData(whole.x[repeated], whole.y[repeated], Fold(np.arange(len(repeated)), np.arange(0), np.arange(0)))
    training = Training("gd", 0.3, 200, None, precision="float64")
    member = Member(MLP((5,)), as_cocktail("l2=0.01"), training, 0, 0)
    engine, ends = CompiledEngine(), []
    for fold in (whole, again):
        data = TrainingData("binary", 1, (fold,))
        ends += engine.advance([member], engine.init([member], data), [200], data)
    np.testing.assert_allclose(ends[0].parameters, ends[1].parameters, atol=1e-10)
    np.testing.assert_allclose(ends[0].curves[:, 0], ends[1].curves[:, 0], atol=1e-10)


def test_a_fold_without_any_weight_is_refused():
    fold = FoldData(np.eye(4), np.array([[0.0], [1], [0], [1]]), Fold(np.arange(2), np.arange(0), np.arange(2, 4)))
    fold = FoldData(fold.x, fold.y, fold.rows, weights=np.array([0.0, 0, 1, 1]))
    member = Member(MLP((2,)), as_cocktail("none"), Training(), 0, 0)
    assert "weight 0" in str(CompiledEngine().supports(member, TrainingData("binary", 1, (fold,))))


def test_curves_are_measured_where_there_is_weight():
    """Of 5,000 training rows 3 have weight: a sample of all rows would hold none of them."""
    draw = rng.generator(1, rng.DATA)
    x = draw.normal(size=(5000, 2))
    y = (x[:, :1] > 0).astype(float)
    weights = np.zeros(5000)
    weights[[17, 2500, 4999]] = 1
    fold = FoldData(x, y, Fold(np.arange(5000), np.arange(0), np.arange(0)), weights=weights)
    data = TrainingData("binary", 1, (fold,))
    member = Member(MLP((2,)), as_cocktail("none"), Training(epochs=2), 0, 0)
    engine = CompiledEngine()
    [state] = engine.advance([member], engine.init([member], data), [2], data)
    assert state.status == "finished"
    raw = member.network.forward(state.parameters.astype(float), x[weights > 0], 1)
    expected = np.mean(np.logaddexp(0, raw) - y[weights > 0] * raw)
    assert state.curves[-1, 0] == pytest.approx(expected, rel=1e-4)


def test_stop_rows_without_any_weight_are_refused():
    fold = FoldData(np.eye(6), np.array([[0.0], [1]] * 3), Fold(np.arange(2), np.arange(2, 4), np.arange(4, 6)))
    fold = FoldData(fold.x, fold.y, fold.rows, weights=np.array([1.0, 1, 0, 0, 1, 1]))
    data, engine = TrainingData("binary", 1, (fold,)), CompiledEngine()
    member = Member(MLP((2,)), as_cocktail("early_stopping=2"), Training(), 0, 0)
    assert "stop rows" in str(engine.supports(member, data))
    assert engine.supports(Member(MLP((2,)), as_cocktail("none"), Training(), 0, 0), data) is None


def test_sanity_looks_at_rows_with_weight():
    table = load(frame(60), target="y", weight="counts")
    weights = np.zeros(60)
    weights[:20] = 1
    found = sanity("8", replace(table, weights=weights))
    assert found.rows == 20
    assert found.ok
