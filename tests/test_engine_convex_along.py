"""Many exact solutions at once: what is shared along a path must not show in any of them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet

from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member, histories, history
from wellfit.engines.choice import default_engine
from wellfit.engines.contract.problems import make_data, weighted
from wellfit.engines.convex import ConvexEngine, Problem
from wellfit.engines.convex.losses import Logistic
from wellfit.nets import MLP, Training

STRENGTHS = [(0.5, 0.0), (0.1, 0.0), (0.1, 0.2), (0.02, 0.0), (0.0, 0.3), (1e-3, 0.0), (0.0, 0.0)]


def table(seed, rows, columns, noise=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) + rng.normal(size=columns)
    y = x @ (rng.normal(size=columns) * (rng.random(columns) < 0.6)) + noise * rng.normal(size=rows)
    x = x / x.std(axis=0)
    return x, ((y - y.mean()) / y.std())[:, None], rng.choice([1.0, 2.0, 5.0], rows)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(80, 200),
    columns=st.integers(1, 70),
    counts=st.booleans(),
    data=st.data(),
)
def test_least_squares_are_the_same_to_the_last_bit_alone_together_and_from_any_start(
    seed, rows, columns, counts, data
):
    x, y, weights = table(seed, rows, columns)
    problem = Problem("regression", x, y, weights if counts else None)
    some = data.draw(st.lists(st.sampled_from(STRENGTHS), min_size=1, max_size=5, unique=True))
    together = problem.along(some)
    start = problem.solve(*data.draw(st.sampled_from(STRENGTHS)))
    for p, pair in enumerate(some):
        alone, begun = problem.solve(*pair), problem.solve(*pair, start)
        same = np.array_equal if columns <= 64 else lambda a, b: np.allclose(a, b, atol=1e-9)
        assert same(alone.weights, together.weights[p])
        assert same(begun.weights, together.weights[p])
        assert same(alone.bias, together.biases[p])


@pytest.mark.parametrize("columns", [1, 9, 64, 65])
def test_a_whole_path_equals_scikit_learn_converged(columns):
    x, y, _ = table(3, 300, columns)
    problem = Problem("regression", x, y)
    pairs = [(s * 0.7, s * 0.3) for s in problem.strongest() / 0.7 * np.geomspace(1, 1e-3, 12)]
    found = problem.along(pairs)
    for p, (l1, l2) in enumerate(pairs):
        theirs = ElasticNet(alpha=(l1 + l2) / 2, l1_ratio=l1 / (l1 + l2), tol=1e-14, max_iter=1_000_000).fit(x, y[:, 0])
        np.testing.assert_allclose(found.weights[p, 0], theirs.coef_, atol=1e-9)
        assert found.biases[p, 0] == pytest.approx(theirs.intercept_, abs=1e-9)


def test_collinear_columns_without_a_penalty_get_the_shortest_weights():
    x, y, _ = table(4, 100, 6)
    twice = np.column_stack([x, x[:, :2], x[:, 0] - 2 * x[:, 3], np.ones(100)])
    own = np.linalg.lstsq(twice - twice.mean(axis=0), y[:, 0] - y.mean(), rcond=None)[0]
    problem = Problem("regression", twice, y)
    assert problem.normal.unpenalized is not None
    np.testing.assert_allclose(problem.solve().weights[0], own, atol=1e-10)
    nearly = np.column_stack([x, x[:, 0] + 1e-9 * x[:, 1] ** 2])
    assert Problem("regression", nearly, y).normal.unpenalized is None, "the products do not tell it from singular"


@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-8, 0.0])
def test_losses_by_moments_are_those_of_the_rows(noise):
    x, y, weights = table(5, 150, 7, noise)
    for counts in (None, weights):
        problem = Problem("regression", x, y, counts)
        pairs = [(s, 0.0) for s in problem.strongest() * np.geomspace(1, 1e-9, 30)]
        found = problem.along(pairs)
        told = problem.normal.losses(found.weights[:, 0], found.biases[:, 0])
        for w, b, loss in zip(found.weights, found.biases, told, strict=True):
            assert loss == pytest.approx(np.average((x @ w[0] + b - y[:, 0]) ** 2, weights=counts), rel=1e-9, abs=1e-22)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_records_of_many_members_are_those_of_each(task):
    data = weighted(make_data(task))
    engine = default_engine()
    texts = ("none", "l1=0.1", "l2=0.1", "l1=9", "elastic_net=0.05:l1_ratio=0.7")
    some = [Member(MLP(()), as_cocktail(t), Training(epochs=3), s, f) for t in texts for s in (0, 1) for f in (0, 1)]
    states = ConvexEngine().advance(some, ConvexEngine().init(some, data), [3] * len(some), data)
    some.append(Member(MLP((2,)), as_cocktail("none"), Training(epochs=3), 0, 0))
    states += engine.advance(some[-1:], engine.init(some[-1:], data), [2], data)
    some.append(some[0])
    states += ConvexEngine().init(some[:1], data)  # not solved yet
    for member, state, found in zip(some, states, histories(engine, some, states, data), strict=True):
        alone = history(member, state, data)
        for field in fields(alone):
            ours, theirs = getattr(found, field.name), getattr(alone, field.name)
            if field.name == "curves":
                assert list(ours) == list(theirs)
                assert all(np.array_equal(ours[name], theirs[name], equal_nan=True) for name in ours)
            elif isinstance(theirs, np.ndarray | tuple):
                np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
            else:
                assert (type(ours), ours) == (type(theirs), theirs), field.name


def test_second_derivatives_go_along_a_path_and_the_answer_does_not_change(monkeypatch):
    x, y, _ = table(6, 2000, 40)
    labels = (y > 0).astype(float)
    made = []
    plain = Logistic.curvature
    monkeypatch.setattr(Logistic, "curvature", lambda self, *given: made.append(1) or plain(self, *given))
    problem = Problem("binary", x, labels)
    pairs = [(s, 0.0) for s in problem.strongest() * np.geomspace(1, 1e-2, 20)]
    found = problem.along(pairs)
    along = len(made)
    alone = [Problem("binary", x, labels).solve(*pair) for pair in pairs]
    assert along < 2 / 3 * (len(made) - along)
    for p, one in enumerate(alone):
        np.testing.assert_allclose(found.weights[p], one.weights, atol=1e-7)
        assert np.array_equal(found.weights[p] == 0, one.weights == 0)


def test_the_same_path_solved_twice_by_one_engine_is_the_same_to_the_last_bit():
    data = make_data("binary")
    engine = ConvexEngine()
    some = [Member(MLP(()), as_cocktail(f"l1={s}"), Training(epochs=3), 0, 0) for s in (0.1, 0.05, 0.02, 0.01)]
    first, again = (engine.advance(some, engine.init(some, data), [1] * 4, data) for _ in range(2))
    by_slices = engine.init(some, data)
    for until in ([1, 0, 0, 0], [1, 1, 1, 0], [1] * 4):
        by_slices = engine.advance(some, by_slices, until, data)
    for a, b, c in zip(first, again, by_slices, strict=True):
        assert np.array_equal(a.parameters, b.parameters)
        assert np.array_equal(a.parameters, c.parameters)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_a_slice_that_asks_only_what_is_known_already(task):
    data, engine = make_data(task), ConvexEngine()
    some = [Member(MLP(()), as_cocktail("l1=0.1"), Training(epochs=3), seed, 0) for seed in (0, 1, 2)]
    states = engine.advance(some, engine.init(some, data), [1, 0, 0], data)
    ended = engine.advance(some, states, [1, 1, 1], data)
    for state in ended:
        assert (state.epoch, state.status) == (1, "finished")
        assert np.array_equal(state.parameters, ended[0].parameters)
        assert np.array_equal(state.curves, ended[0].curves, equal_nan=True)


def test_what_an_engine_found_able_says_nothing_of_other_folds_or_penalties():
    data, engine = make_data("regression"), ConvexEngine()
    fine = Member(MLP(()), as_cocktail("l1=0.1"), Training(epochs=2), 0, 0)
    assert engine.supports(fine, data) is None
    assert "fold 9" in str(engine.supports(replace(fine, fold=9), data))
    assert "label_smoothing" in str(engine.supports(replace(fine, cocktail=as_cocktail("label_smoothing=0.1")), data))
    assert engine.supports(replace(fine, training=Training(loss="huber")), data)
    assert engine.supports(replace(fine, network=MLP((2,))), data)
