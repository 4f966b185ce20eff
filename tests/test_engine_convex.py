"""The exact engine: solutions against scikit-learn's and the optimality conditions; the contract; who solves what."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge

from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member, history
from wellfit.engines.choice import Engines, by_steps, default_engine
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.contract import EngineContract
from wellfit.engines.contract.problems import make_data, weighted
from wellfit.engines.convex import ConvexEngine, Problem, solve
from wellfit.engines.convex.quadratic import minimize
from wellfit.errors import UnsupportedError
from wellfit.executors import Threads
from wellfit.ledger import member_key
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData

LINEAR = MLP(())
PENALTIES = [(0.0, 0.0), (0.0, 0.1), (0.05, 0.0), (0.04, 0.02), (0.01, 0.3)]


class TestEngines(EngineContract):
    """Exact where possible, by steps elsewhere: the whole contract of an engine."""

    @pytest.fixture
    def engine(self):
        return default_engine()


def draw(task, rows=120, columns=8, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) * rng.uniform(0.5, 2, columns) + rng.normal(size=columns)
    signal = x @ (rng.normal(size=columns) * (rng.random(columns) < 0.5)) + noise * rng.normal(size=rows)
    if task == "regression":
        return x, signal
    if task == "binary":
        return x, (signal + 2 * noise * rng.normal(size=rows) > np.median(signal)).astype(float)
    return x, np.digitize(signal + noise * rng.normal(size=rows), np.quantile(signal, [0.3, 0.7]))


def peer(task, l1, l2, rows):
    """scikit-learn's model of the same objective, converged."""
    total = l1 + l2
    if task == "regression":
        if not total:
            return LinearRegression()
        if not l1:
            return Ridge(alpha=l2 * rows / 2)
        return ElasticNet(alpha=total / 2, l1_ratio=l1 / total, tol=1e-14, max_iter=1_000_000)
    if not total:
        return LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000, solver="newton-cg")
    if not l1:
        return LogisticRegression(C=1 / (l2 * rows), tol=1e-12, max_iter=10_000, solver="newton-cg")
    return LogisticRegression(
        C=1 / (total * rows), l1_ratio=l1 / total, solver="saga", tol=1e-13, max_iter=300_000, random_state=0
    )


@pytest.mark.parametrize(("l1", "l2"), PENALTIES)
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_equals_scikit_learn_converged(task, l1, l2):
    x, y = draw(task)
    found = solve(x, y, task, l1=l1, l2=l2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs tell of steps that rounding stops
        theirs = peer(task, l1, l2, len(x)).fit(x, y)
    weights, coefficients = found.weights, np.atleast_2d(theirs.coef_)
    bias, intercept = found.bias, np.atleast_1d(theirs.intercept_)
    if task == "multiclass":  # a shift of all classes is free: of biases always, of weights without a penalty
        bias, intercept = bias - bias.mean(), intercept - intercept.mean()
        if not l1 + l2:
            weights, coefficients = weights - weights.mean(0), coefficients - coefficients.mean(0)
    np.testing.assert_allclose(weights, coefficients, atol=1e-6)
    np.testing.assert_allclose(bias, intercept, atol=1e-6)
    assert found.exists
    if l1:
        assert np.array_equal(weights == 0, np.abs(coefficients) < 1e-8)
        assert (weights == 0).any() or l1 < 0.02


def broken(task, x, y, l1, l2, found, shares):
    """By how much a solution breaks its optimality conditions, from their definition."""
    z = x @ found.weights.T + found.bias
    if task == "regression":
        slope = 2 * (z - y)
    elif task == "binary":
        slope = 1 / (1 + np.exp(-z)) - y
    else:
        e = np.exp(z - z.max(1, keepdims=True))
        slope = e / e.sum(1, keepdims=True) - y
    slope = slope * shares[:, None]
    gradient = slope.T @ x + l2 * found.weights
    at_zero = found.weights == 0
    worst = np.where(at_zero, np.maximum(np.abs(gradient) - l1, 0), np.abs(gradient + l1 * np.sign(found.weights)))
    return max(worst.max(), np.abs(slope.sum(0)).max())


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    task=st.sampled_from(["regression", "binary", "multiclass"]),
    rows=st.integers(6, 60),
    columns=st.integers(1, 90),
    l1=st.sampled_from([0.0, 1e-3, 0.02, 0.2]),
    l2=st.sampled_from([0.0, 1e-3, 0.1, 3.0]),
    spread=st.sampled_from([0.1, 1.0, 30.0]),
    twins=st.booleans(),
    weights=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_optimality_conditions_hold(task, rows, columns, l1, l2, spread, twins, weights, seed):
    if not l1 and not l2:
        l2 = 1e-2
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) * spread
    if twins and columns > 2:
        x[:, 1] = x[:, 0]
        x[:, 2] = 0.0
    codes = rng.integers(0, 3 if task == "multiclass" else 2, rows)
    y = {"regression": rng.normal(size=(rows, 1)), "binary": codes[:, None] * 1.0, "multiclass": np.eye(3)[codes]}[task]
    given_weights = rng.choice([0.0, 1.0, 3.0], rows) + 0.01 if weights else None
    shares = np.full(rows, 1 / rows) if given_weights is None else given_weights / given_weights.sum()
    problem = Problem(task, x, y, given_weights)
    stronger = problem.solve(3 * l1, l2)
    scale = problem.strongest() + 1e-12
    present = task == "regression" or (shares @ (y if task == "multiclass" else np.hstack([y, 1 - y])) > 0).all()
    for found in (problem.solve(l1, l2), problem.solve(l1, l2, stronger)):
        limit = 1e-8 * max(scale, 1.0) * (1 if present else 1e4)  # a class that never comes has no finite bias
        assert broken(task, x, y, l1, l2, found, shares) <= limit


@settings(deadline=None, max_examples=100, derandomize=True)
@given(size=st.integers(1, 40), rank=st.integers(1, 60), strength=st.floats(0, 2), seed=st.integers(0, 10_000))
def test_the_quadratic_problem_is_solved_to_its_conditions(size, rank, strength, seed):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(rank, size))
    hessian, slope = half.T @ half, half.T @ rng.normal(size=rank)
    l1 = np.full(size, strength * np.abs(slope).max() / 2)
    l1[rng.random(size) < 0.1] = 0.0
    found = minimize(hessian, slope, l1, rng.normal(size=size) * (rng.random(size) < 0.5))
    gradient = hessian @ found - slope
    worst = np.where(found == 0, np.maximum(np.abs(gradient) - l1, 0), np.abs(gradient + l1 * np.sign(found)))
    assert worst.max() <= 1e-8 * np.abs(slope).max()


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_every_weight_is_zero_from_the_strongest_penalty_on_and_not_before(task):
    x, y = draw(task)
    target = np.eye(3)[y.astype(int)] if task == "multiclass" else y[:, None].astype(float)
    problem = Problem(task, x, target)
    top = problem.strongest()
    assert not problem.solve(top * (1 + 1e-9)).weights.any()
    assert problem.solve(top * 0.99).weights.any()


def members(task="binary", texts=("none", "l1=0.1", "l1=0.02", "l2=0.1", "elastic_net=0.05:l1_ratio=0.7", "l1=0.3")):
    return [
        Member(LINEAR, as_cocktail(t), Training(epochs=7), seed, fold)
        for fold in (0, 1)
        for seed in (3, 4)
        for t in texts
    ]


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_together_equals_alone_and_threads_change_nothing(task):
    data, some = make_data(task), members(task)
    alone = [dict(Threads(1).run(ConvexEngine(), [m], data))[0] for m in some]
    one, four = (dict(Threads(n).run(ConvexEngine(), some, data)) for n in (1, 4))
    for i, state in enumerate(alone):
        np.testing.assert_allclose(one[i].parameters, state.parameters, atol=1e-8)
        assert np.array_equal(one[i].parameters, four[i].parameters), "the number of threads changed a bit"
        assert np.array_equal(one[i].curves, four[i].curves, equal_nan=True)
        assert state.status == "finished"


def test_the_shortest_of_many_solutions_needs_no_singular_values(monkeypatch):
    """Those of a symmetric matrix may not converge: seen on digits, whose corners are always black."""

    def fails(*_, **__):
        raise np.linalg.LinAlgError

    monkeypatch.setattr("scipy.linalg.lstsq", fails)
    x = np.random.default_rng(5).normal(size=(12, 40))
    hessian = x.T @ x
    slope = hessian @ x[3]
    found = minimize(hessian, slope, np.zeros(40), np.zeros(40))
    np.testing.assert_allclose(found, np.linalg.pinv(hessian, rcond=1e-12, hermitian=True) @ slope, atol=1e-9)
    np.testing.assert_allclose(hessian @ found, slope, atol=1e-9)


def test_seeds_and_rates_make_no_difference_and_are_not_solved_twice(monkeypatch):
    data, some = make_data("binary"), members()
    calls = []
    plain = Problem.solve
    monkeypatch.setattr(Problem, "solve", lambda self, *a: calls.append(a) or plain(self, *a))
    ended = dict(Threads(1).run(ConvexEngine(), some, data))
    assert len(calls) == len(some) // 2
    half = len(some) // 4
    for i in range(half):
        assert np.array_equal(ended[i].parameters, ended[i + half].parameters)


def test_curves_are_the_solutions_own_losses():
    data = weighted(make_data("binary"))
    member = members(texts=("l1=0.02 + l2=0.1",))[2]
    [state] = ConvexEngine().advance([member], ConvexEngine().init([member], data), [7], data)
    record = history(member, state, data)
    fold = data.folds[1]
    weights, bias = state.parameters[:-1], state.parameters[-1]
    for name, rows in (("train", fold.rows.train), ("stop", fold.rows.stop), ("score", fold.rows.score)):
        p = 1 / (1 + np.exp(-(fold.x[rows] @ weights + bias)))
        y, w = fold.y[rows, 0], fold.weights[rows]
        losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))
        assert record.curves[f"{name}_loss"] == pytest.approx(np.average(losses, weights=w), abs=1e-12)
        assert record.curves[f"{name}_accuracy"] == pytest.approx(np.average((p > 0.5) == y, weights=w))
    assert record.curves["penalty"] == pytest.approx(0.02 * np.abs(weights).sum() + 0.05 * weights @ weights)
    assert (record.status, record.epochs, record.best_epoch) == ("finished", 1, 1)


def test_weights_count_like_repeated_rows():
    data = make_data("multiclass")
    fold = data.folds[0]
    counts = np.random.default_rng(0).integers(1, 4, len(fold.y))
    heavy = TrainingData("multiclass", 3, (replace(fold, weights=counts.astype(float)),))
    train = fold.rows.train
    twice = np.repeat(train, counts[train])
    many = FoldData(fold.x[twice], fold.y[twice], Fold(np.arange(len(twice)), train[:0], train[:0]))
    member = members(texts=("elastic_net=0.05:l1_ratio=0.7",))[0]
    engine = ConvexEngine()
    a, b = (
        engine.advance([member], engine.init([member], d), [1], d)[0].parameters
        for d in (heavy, TrainingData("multiclass", 3, (many,)))
    )
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_engines_travel_to_other_processes():
    data, some = make_data("binary"), members()[:3]
    for engine in (ConvexEngine(), CompiledEngine(), default_engine()):
        engine.advance(some, engine.init(some, data), [1] * 3, data)  # it now holds locks and what it keeps
        there = pickle.loads(pickle.dumps(engine))
        ours, theirs = (e.advance(some, e.init(some, data), [7] * 3, data) for e in (engine, there))
        assert all(np.array_equal(a.parameters, b.parameters) for a, b in zip(ours, theirs, strict=True))


# Degrees of freedom


def test_freedom_is_the_trace_of_the_hat_matrix_and_the_count_under_a_lasso():
    x, y = draw("regression")
    problem = Problem("regression", x, y[:, None])
    centred = x - x.mean(0)
    for l2 in (0.0, 0.3, 5.0):
        hat = centred @ np.linalg.solve(centred.T @ centred + len(x) * l2 / 2 * np.eye(8), centred.T)
        assert problem.freedom(problem.solve(0.0, l2), l2) == pytest.approx(np.trace(hat))
    lasso = problem.solve(0.2)
    assert problem.freedom(lasso, 0.0) == pytest.approx((lasso.weights != 0).sum())
    wide, target = draw("regression", rows=20, columns=70)
    tall = Problem("regression", wide, target[:, None])
    kernel = (wide - wide.mean(0)) @ (wide - wide.mean(0)).T
    assert tall.freedom(tall.solve(0.0, 0.5), 0.5) == pytest.approx(
        np.trace(np.linalg.solve(kernel + 20 * 0.25 * np.eye(20), kernel))
    )


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_freedom_of_classes_is_the_sensitivity_of_the_fit(task):
    """tr(dz/dy) by finite differences of the fit: the generalized degrees of freedom (Ye 1998) at the fit's weights."""
    x, y = draw(task, rows=40, columns=3)
    target = np.eye(3)[y.astype(int)] if task == "multiclass" else y[:, None].astype(float)
    l2 = 0.05
    problem = Problem(task, x, target)
    found = problem.solve(0.0, l2)
    total = 0.0
    for i in range(len(x)):
        for c in range(target.shape[1]):
            pair = []
            for step in (1e-5, -1e-5):
                moved = target.copy()
                moved[i, c] += step
                if task == "multiclass":
                    moved[i] -= step / 3
                fitted = Problem(task, x, moved).solve(0.0, l2)
                z = x[i] @ fitted.weights.T + fitted.bias
                e = np.exp(z - z.max())
                pair.append((e / e.sum())[c] if task == "multiclass" else 1 / (1 + np.exp(-z[0])))
            total += (pair[0] - pair[1]) / 2e-5
    biases = 1 if task == "binary" else 2
    assert problem.freedom(found, l2) == pytest.approx(total - biases, abs=1e-3)


# Who solves what


def test_each_member_goes_to_the_engine_that_can_solve_it():
    data, engine = make_data("binary"), default_engine()
    exact = ["none", "l1=0.1", "l2=0.1", "elastic_net=0.1"]
    stepped = ["weight_decay=0.1", "label_smoothing=0.1", "input_dropout=0.1", "l2=0.1:schedule=cosine", "max_norm=1"]
    for text in exact + stepped:
        member = Member(LINEAR, as_cocktail(text), Training(epochs=2), 0, 0)
        assert (engine.of(member, data).name == "convex") == (text in exact), text
    hidden = Member(MLP((2,)), as_cocktail("none"), Training(epochs=2), 0, 0)
    assert engine.of(hidden, data).name == "compiled"
    stopping = Member(LINEAR, as_cocktail("early_stopping=2"), Training(epochs=2), 0, 1)
    assert engine.of(stopping, data).name == "compiled"
    robust = Member(LINEAR, as_cocktail("l1=0.1"), Training(loss="huber"), 0, 0)
    assert engine.of(robust, make_data("regression")).name == "compiled"
    assert by_steps(engine).of(hidden, data).name == "compiled"


def test_results_are_recorded_under_the_engine_that_made_them():
    data = replace(make_data("binary"), fingerprint="x")
    linear = Member(LINEAR, as_cocktail("l2=0.1"), Training(epochs=2), 0, 0)
    hidden = replace(linear, network=MLP((2,)))
    engine = default_engine()
    assert member_key(engine, data, linear) == member_key(ConvexEngine(), data, linear)
    assert member_key(engine, data, hidden) == member_key(CompiledEngine(), data, hidden)
    assert member_key(engine, data, linear) != member_key(CompiledEngine(), data, linear)


def test_what_no_engine_can_train_is_refused_with_the_last_ones_reason():
    data = make_data("regression")
    bad = Member(LINEAR, as_cocktail("label_smoothing=0.1"), Training(epochs=2), 0, 0)
    with pytest.raises(UnsupportedError, match="label_smoothing goes with classes"):
        default_engine().init([bad], data)
    with pytest.raises(UnsupportedError, match="64,32"):
        ConvexEngine().init([replace(bad, network=MLP((64, 32)))], data)
    assert "1" in Engines(ConvexEngine(), CompiledEngine()).version
