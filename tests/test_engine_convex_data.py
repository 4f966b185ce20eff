"""The exact engine on data that other solvers stumble over: separable, constant, wide, tiny, far from zero, wrong."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from test_engine_convex import broken, draw

from wellfit.engines.convex import Problem, solve
from wellfit.errors import DataError, WellfitError


def test_separable_classes_without_a_penalty_have_no_solution_and_the_engine_says_so():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    for y in ((x[:, 0] > 0).astype(float), ((x[:, 0] > 0) & (x[:, 1] > 0)).astype(float) * 0 + (x[:, 0] > 0.2)):
        found = solve(x, y, "binary")
        assert not found.exists
        assert np.isfinite(found.weights).all()
        assert ((x @ found.weights[0] + found.bias > 0) == (y > 0.5)).all()
        assert solve(x, y, "binary", l2=1e-6).exists
    nearly = (x[:, 0] > 0).astype(float)
    nearly[:4] = 1 - nearly[:4]
    assert solve(x, nearly, "binary").exists


def test_a_column_that_separates_only_a_part_is_noticed_too():
    """Quasi-complete separation (Albert & Anderson 1984): one level of a category holds one class alone."""
    rng = np.random.default_rng(1)
    level = np.repeat([0.0, 1.0], [80, 20])
    y = np.where(level == 1, 1.0, rng.integers(0, 2, 100))
    x = np.column_stack([level, rng.normal(size=100)])
    assert not solve(x, y, "binary").exists
    y[-1] = 0.0
    assert solve(x, y, "binary").exists


def test_several_separable_classes_without_a_penalty_are_noticed():
    x, _ = draw("regression", columns=2)
    y = np.digitize(x[:, 0], np.quantile(x[:, 0], [0.3, 0.6]))
    assert not solve(x, y, "multiclass").exists
    flowers, kinds = load_iris(return_X_y=True)
    assert not solve(flowers, kinds, "multiclass").exists, "one class alone is separable: setosa"
    assert solve(flowers, kinds, "multiclass", l2=1e-4).exists
    assert solve(flowers[50:], kinds[50:] - 1.0, "binary").exists, "the other two are not"


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_constant_zero_and_repeated_columns(task):
    x, y = draw(task)
    odd = np.column_stack([x, np.zeros(len(x)), np.full(len(x), 7.0), x[:, 0]])
    plain, found = solve(x, y, task, l2=0.1), solve(odd, y, task, l1=0.0, l2=0.1)
    assert np.abs(found.weights[:, 8]).max() == 0
    np.testing.assert_allclose(found.weights[:, 0], found.weights[:, 10], atol=1e-9)  # ridge shares between twins
    assert plain.exists
    assert found.exists
    free = solve(odd, y, task)
    if task == "regression":
        own = np.linalg.lstsq(odd - odd.mean(0), y - y.mean(), rcond=None)[0]
        np.testing.assert_allclose(free.weights[0], own, atol=1e-9)  # of many solutions the shortest
    lasso = solve(odd, y, task, l1=0.05)
    np.testing.assert_allclose(
        odd @ lasso.weights.T + lasso.bias, x @ (w := solve(x, y, task, l1=0.05)).weights.T + w.bias, atol=1e-6
    )


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_many_more_columns_than_rows(task):
    x, y = draw(task, rows=30, columns=500)
    target = np.eye(3)[y.astype(int)] if task == "multiclass" else y[:, None].astype(float)
    problem = Problem(task, x, target)
    shares = np.full(30, 1 / 30)
    for l1, l2 in ((0.01, 0.0), (0.0, 0.1), (0.05, 0.1)):
        found = problem.solve(l1, l2)
        assert broken(task, x, target, l1, l2, found, shares) < 1e-7 * problem.strongest()
    if task == "regression":
        assert np.abs(x @ solve(x, y).weights[0] + solve(x, y).bias - y).max() < 1e-9


def test_one_row_one_class_and_a_constant_target():
    one = solve(np.array([[1.0, 2.0]]), np.array([5.0]))
    assert one.bias[0] == pytest.approx(5.0)
    assert not one.weights.any()
    x = np.arange(6.0)[:, None]
    same = solve(x, np.full(6, 3.0), l1=0.1)
    assert not same.weights.any()
    assert same.bias[0] == 3.0
    ones = solve(x, np.ones(6), "binary", l2=0.1)
    assert np.abs(ones.weights).max() < 1e-9
    assert ones.bias[0] > 20


def test_bad_arrays_are_refused():
    with pytest.raises(DataError, match=r"\(3, 2\)"):
        solve(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(DataError, match="NaN"):
        solve(np.array([[np.nan]]), np.zeros(1))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"task": "count"}, "no task named count"),
        ({"l1": -1.0}, "from 0 on"),
        ({"l2": np.nan}, "from 0 on"),
        ({"task": "binary", "y": [0, 1, 2, 1]}, "row 2 has 2"),
        ({"task": "multiclass", "y": [0, 1, 1.5, 1]}, "row 2 has 1.5"),
        ({"task": "multiclass", "y": [0, 1, -1, 1]}, "row 2 has -1"),
        ({"weights": [1.0, 1, 1]}, "4 numbers"),
        ({"weights": [0.0, 0, 0, 0]}, "not all 0"),
        ({"weights": [1.0, -1, 1, 1]}, "from 0 on"),
        ({"y": [1.0, 2, 3]}, "as many rows"),
        ({"y": [1.0, 2, 3, np.nan]}, "finite"),
    ],
)
def test_plain_arrays_that_do_not_fit_are_refused(arguments, told):
    given = {"x": np.arange(4.0)[:, None], "y": np.array([0, 1, 0, 1]), **arguments}
    with pytest.raises(WellfitError, match=told):
        solve(np.asarray(given.pop("x")), np.asarray(given.pop("y")), **given)


def test_columns_far_from_zero_are_solved_as_if_they_were_centred():
    """The bias takes up where columns lie; the minimum is where it is without the shift."""
    for seed in range(8):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(12, 12)) * 10.0 ** draw.integers(-2, 3, 12)
        y = x @ draw.normal(size=12) / 100 + draw.normal(size=12)
        far = x + draw.normal(size=12) * 1e5
        top = Problem("regression", x, y[:, None]).strongest()
        for share in (0.5, 0.1, 0.01):
            near, moved = solve(x, y, l1=top * share), solve(far, y, l1=top * share)
            losses = [
                ((a @ s.weights[0] + s.bias - y) ** 2).mean() + top * share * np.abs(s.weights).sum()
                for a, s in ((x, near), (far, moved))
            ]
            np.testing.assert_allclose(losses[1], losses[0], rtol=1e-7)
