"""What the textbook reference's training lands on, and that faults in the reference would be caught."""

from __future__ import annotations

import inspect
import types

import numpy as np
import pytest
from test_reference import expected_logits, problem

from wellfit import reference

# --- what training lands on, against scikit-learn's own minimizers


def linear_problem(seed=0, rows=60, features=8):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, features))
    y = X[:, :3] @ [2.0, -1.0, 0.5] + 0.7 + random.normal(size=rows) / 2
    return X, y


def trained_linear(X, y, module=reference, **options):
    start = module.initialize_parameters((X.shape[1], 1), np.random.default_rng(1))
    fitted, _ = module.train(
        X.T, y[None], start, learning_rate=0.1, iterations=3000, **{"task": "regression", **options}
    )
    return fitted[0][0][0], fitted[0][1][0, 0]


def test_proximal_l1_is_the_lasso_with_its_exact_zeros():
    from sklearn.linear_model import Lasso

    X, y = linear_problem()
    lasso = Lasso(alpha=0.2, tol=1e-14, max_iter=100_000).fit(X, y)
    weights, bias = trained_linear(X, y, l1=0.4)
    np.testing.assert_allclose(weights, lasso.coef_, atol=1e-9)
    assert bias == pytest.approx(lasso.intercept_, abs=1e-9)
    np.testing.assert_array_equal(weights == 0, lasso.coef_ == 0)
    assert (weights == 0).sum() >= 4


def test_subgradient_l1_comes_near_the_lasso_without_its_zeros():
    from sklearn.linear_model import Lasso

    X, y = linear_problem()
    weights, _ = trained_linear(X, y, l1=0.4, proximal=False)
    np.testing.assert_allclose(weights, Lasso(alpha=0.2, tol=1e-14).fit(X, y).coef_, atol=0.1)
    assert not (weights == 0).any()


def test_elastic_net_and_ridge_are_scikit_learn_s():
    from sklearn.linear_model import ElasticNet, Ridge

    X, y = linear_problem()
    net = ElasticNet(alpha=0.3, l1_ratio=0.4, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(trained_linear(X, y, l1=0.24, l2=0.36)[0], net.coef_, atol=1e-9)
    ridge = Ridge(alpha=3.0, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(trained_linear(X, y, l2=6.0 / len(y))[0], ridge.coef_, atol=1e-9)


def test_l2_is_logistic_regression_s():
    from sklearn.linear_model import LogisticRegression

    X, y = linear_problem()
    labels = (y > 0.7).astype(float)
    model = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000).fit(X, labels)
    weights, bias = trained_linear(X, labels, task="binary", l2=1 / (0.5 * len(y)))
    np.testing.assert_allclose(weights, model.coef_[0], atol=1e-6)
    assert bias == pytest.approx(model.intercept_[0], abs=1e-6)


# --- the checks above catch faults


def faults(module) -> list[str]:
    """Return which of the quick checks the module fails."""
    found = []
    checks = {"plain": {}, "l1": {"l1": 0.03}, "l2": {"l2": 0.07}, "dropout": {"keep": 0.7}}
    for name, options in checks.items():
        if not module.check_gradients(*problem((3, 7, 4, 1)), **options) < 1e-6:
            found.append(f"gradient, {name}")
    if not module.check_gradients(*problem((3, 6, 1), "regression"), task="regression") < 1e-6:
        found.append("gradient, regression")
    for inverted in (True, False):
        expected, plain, scaled = expected_logits(0.6, inverted, module)
        if not np.allclose(expected, plain if inverted else scaled, atol=1e-12):
            found.append(f"expectation, inverted={inverted}")
    X, y = linear_problem()
    ridge = np.linalg.solve((X - X.mean(0)).T @ (X - X.mean(0)) + 3 * np.eye(8), (X - X.mean(0)).T @ y)
    if not np.allclose(trained_linear(X, y, module, l2=6 / len(y))[0], ridge, atol=1e-8):
        found.append("ridge")
    weights, _ = trained_linear(X, y, module, l1=0.4)
    slopes = 2 * X.T @ (y - X @ weights - (y - X @ weights).mean()) / len(y)  # Lasso's conditions of optimality
    active = weights != 0
    if not (np.allclose(slopes[active], 0.4 * np.sign(weights[active])) and (np.abs(slopes) <= 0.4 + 1e-8).all()):
        found.append("lasso")
    return found


def test_the_reference_has_none_of_the_faults():
    assert faults(reference) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("two / 2 * np.square", "two * np.square"),
        ("dW += twos[layer] * W", "dW += 0 * W"),
        ("dW += ones[layer] * np.sign(W)", "dW += ones[layer] * W"),
        ("dZ *= scale", "pass"),
        ("* (A > 0)", "* 1"),
        ("mask / share if inverted", "mask * 1.0 if inverted"),
        ("A if share == 1 else A * share", "A"),
        ("random.random(A.shape) < share", "random.random(A.shape) > share"),
        ("np.abs(V) - learning_rate * one", "np.abs(V) - one"),
        ("(outputs(result.logits, task) - Y)", "(Y - outputs(result.logits, task))"),
        ("- Y) / Y.shape[1]", "- Y)"),
        ("dZ = 2 * dZ", "pass"),
        ("b - learning_rate * db", "b"),
        ("dZ.sum(axis=1, keepdims=True)", "dZ.sum(axis=1, keepdims=True) + twos[layer] * parameters[layer][1]"),
        ("l1 if proximal else 0.0)", "0.0)"),
    ],
)
def test_a_fault_is_caught(right, wrong):
    source = inspect.getsource(reference)
    assert source.count(right) == 1
    mutant = types.ModuleType("mutant")
    exec(source.replace(right, wrong), mutant.__dict__)
    with np.errstate(all="ignore"):
        assert faults(mutant)
