"""scikit-learn's rows of the dialects table: the perceptron by our steps, linear models by their minimum and ours."""

from __future__ import annotations

import numpy as np
import pytest
from peers import STEPS, TASKS, Trainer, apart, sample
from test_dialects import ours

from wellfit.cocktail import L1, L2, Cocktail, ElasticNet
from wellfit.cocktail.dialects import NoEquivalent, from_dialect, to_dialect

# ---- scikit-learn's multilayer perceptron -------------------------------------------------------------------------


def sklearn_mlp(task, alpha, batch_size, lr, x, y):
    """An MLP with plain SGD, float64, batches in order; its first partial_fit only makes its weights."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if task == "regression" else MLPClassifier
    model = kind(
        hidden_layer_sizes=(7, 4),
        activation="tanh",
        solver="sgd",
        alpha=alpha,
        batch_size=batch_size,
        learning_rate_init=lr,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
    )
    return model.partial_fit(x, y) if task == "regression" else model.partial_fit(x, y, classes=np.unique(y))


def sklearn_weights(model):
    return [(w.T.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]


@pytest.mark.parametrize("batch_size", [40, 8])
@pytest.mark.parametrize("task", TASKS)
def test_sklearn_mlp_takes_our_steps(task, batch_size):
    x, y, _ = sample(task)
    alpha = 1.5
    facts = {"rows": 40, "batch_size": batch_size, "task": task}
    cocktail = from_dialect("sklearn-mlp", alpha=alpha, **facts)
    told = to_dialect(cocktail, "sklearn-mlp", **facts)
    assert told.arguments == {"alpha": pytest.approx(alpha, rel=1e-12), "batch_size": batch_size}
    lr = 0.05
    model = sklearn_mlp(task, alpha, batch_size, lr * told.loss_factor, x, y)
    trainer = ours(cocktail, sklearn_weights(model), task, activation="tanh", lr=lr)
    before = sklearn_weights(model)
    for _ in range(STEPS):
        objectives = []
        for first in range(0, 40, batch_size):
            part = slice(first, first + batch_size)
            objectives.append(trainer.loss(x[part], y[part]) + trainer.penalty())
            trainer.step(x[part], y[part])
        model.partial_fit(x, y)
        assert model.loss_ * told.loss_factor == pytest.approx(np.mean(objectives), abs=1e-9)
    assert apart(trainer, sklearn_weights(model)) < 1e-9
    assert apart(trainer, before) > 1e-2


def test_sklearn_mlp_short_last_batch_has_no_equivalent():
    x, y, _ = sample("binary", rows=43)
    facts = {"rows": 43, "batch_size": 8, "task": "binary"}
    for answer in (from_dialect("sklearn-mlp", alpha=1.5, **facts), to_dialect(L2(0.1), "sklearn-mlp", **facts)):
        assert isinstance(answer, NoEquivalent)
        assert "last batch of 3" in str(answer)
    # And truly: the strength that is exact for the full batches is not for the short one.
    model = sklearn_mlp("binary", 1.5, 8, 0.05, x, y)
    trainer = ours(Cocktail((L2(1.5 / 8),)), sklearn_weights(model), "binary", activation="tanh", lr=0.05)
    model.partial_fit(x, y)
    for first in range(0, 43, 8):
        trainer.step(x[first : first + 8], y[first : first + 8])
    assert apart(trainer, sklearn_weights(model)) > 1e-4


def test_sklearn_mlp_batch_sizes_are_read_as_scikit_learn_does():
    read = [from_dialect("sklearn-mlp", alpha=1.0, task="binary", **facts)
            for facts in ({"rows": 400, "batch_size": "auto"}, {"rows": 50, "batch_size": "auto"}, {"rows": 50},
                          {"rows": 50, "batch_size": 64})]  # fmt: skip
    assert [c.get(L2).strength for c in read] == [1 / 200, 1 / 50, 1 / 50, 1 / 50]


# ---- scikit-learn's linear models ---------------------------------------------------------------------------------


def smooth_gradient(task, cocktail, x, y, coef, intercept):
    """Gradient of our mean loss + L2 at a linear model's solution: (k, d) and (k,)."""
    s = cocktail.resolve(1)
    [pair] = Trainer(task, [(np.atleast_2d(coef), np.atleast_1d(intercept))], l2=s.l2).gradients(x, y)
    return pair


def assert_optimal(task, cocktail, x, y, coef, intercept, tol):
    """The optimality condition of mean loss + l1 sum|w| + l2/2 sum w^2 at (coef, intercept)."""
    dw, db = smooth_gradient(task, cocktail, x, y, coef, intercept)
    coef, l1 = np.atleast_2d(coef), cocktail.resolve(1).l1[0]
    assert np.abs(db).max() < tol
    moved = coef != 0
    assert np.abs(dw[moved] + l1 * np.sign(coef[moved])).max() < tol
    assert np.all(np.abs(dw[~moved]) <= l1 + tol)


def solve_ours(task, cocktail, x, y, k):
    """Minimize our own objective by proximal gradient steps to machine precision; (coef (k, d), intercept (k,))."""
    s = cocktail.resolve(1)
    trainer = Trainer(task, [(np.zeros((k, x.shape[1])), np.zeros(k))], l1=s.l1, l2=s.l2, lr=0.15)
    for _ in range(6000):
        trainer.step(x, y)
    return trainer.weights[0]


def linear_model(dialect, arguments):
    from sklearn import linear_model as lm

    if dialect == "sklearn-ridge":
        return lm.Ridge(**arguments, solver="cholesky")
    if dialect == "sklearn-lasso":
        return lm.Lasso(**arguments, tol=1e-14, max_iter=100_000)
    if dialect == "sklearn-elastic-net":
        return lm.ElasticNet(**arguments, tol=1e-14, max_iter=100_000)
    if arguments.get("l1_ratio", 0.0):
        return lm.LogisticRegression(**arguments, solver="saga", tol=1e-12, max_iter=100_000, random_state=0)
    return lm.LogisticRegression(**arguments, solver="lbfgs", tol=1e-10, max_iter=10_000)


CONVEX = [
    ("sklearn-ridge", "regression", {"alpha": 12.0}, L2(2 * 12.0 / 80)),
    ("sklearn-lasso", "regression", {"alpha": 0.15}, L1(0.3)),
    ("sklearn-elastic-net", "regression", {"alpha": 0.2, "l1_ratio": 0.7}, ElasticNet(0.4, 0.7)),
    ("sklearn-logistic", "binary", {"C": 0.25}, L2(1 / (0.25 * 80))),
    ("sklearn-logistic", "multiclass", {"C": 0.25}, L2(1 / (0.25 * 80))),
    ("sklearn-logistic", "binary", {"C": 0.25, "l1_ratio": 1.0}, L1(1 / (0.25 * 80))),
    ("sklearn-logistic", "multiclass", {"C": 0.25, "l1_ratio": 0.6}, ElasticNet(1 / (0.25 * 80), 0.6)),
]


@pytest.mark.parametrize(("dialect", "task", "arguments", "expected"), CONVEX)
def test_convex_models_minimize_our_objective(dialect, task, arguments, expected):
    x, y, k = sample(task, rows=80)
    cocktail = from_dialect(dialect, rows=80, **arguments)
    assert cocktail == Cocktail((expected,))
    model = linear_model(dialect, arguments).fit(x, y)
    exact = arguments.get("l1_ratio", 0.0) == 0.0 or task == "regression"
    tol = 1e-6 if dialect == "sklearn-logistic" else 1e-9
    assert_optimal(task, cocktail, x, y, model.coef_, model.intercept_, tol if exact else 1e-6)
    # A strength off by a factor of two is caught.
    with pytest.raises(AssertionError):
        assert_optimal(task, Cocktail((_twice(expected),)), x, y, model.coef_, model.intercept_, tol)
    # And vice versa: our own minimum is where their solver goes.
    told = to_dialect(cocktail, dialect, rows=80, task=task, layers=1)
    coef, intercept = solve_ours(task, cocktail, x, y, k)
    theirs = linear_model(dialect, told.arguments).fit(x, y)
    assert np.abs(np.atleast_2d(theirs.coef_) - coef).max() < 1e-5
    if k == 1:  # softmax intercepts are free up to a constant
        assert np.abs(theirs.intercept_ - intercept).max() < 1e-5


def _twice(item):
    return (
        ElasticNet(2 * item.strength, item.l1_ratio) if isinstance(item, ElasticNet) else type(item)(2 * item.strength)
    )


def test_loss_factor_turns_their_objective_into_ours():
    x, y, _ = sample("regression", rows=80)
    w, b = np.linspace(-1, 1, 5), 0.3
    sse = np.sum((x @ w + b - y) ** 2)
    theirs = {
        "sklearn-ridge": lambda a: sse + a["alpha"] * (w @ w),
        "sklearn-lasso": lambda a: sse / 160 + a["alpha"] * np.abs(w).sum(),
        "sklearn-elastic-net": lambda a: (
            sse / 160 + a["alpha"] * (a["l1_ratio"] * np.abs(w).sum() + (1 - a["l1_ratio"]) / 2 * (w @ w))
        ),
    }
    for name, cocktail in [
        ("sklearn-ridge", L2(0.3)),
        ("sklearn-lasso", L1(0.3)),
        ("sklearn-elastic-net", L1(0.2) + L2(0.5)),
    ]:
        told = to_dialect(cocktail, name, rows=80)
        s = Cocktail().__add__(cocktail).resolve(1)
        mine = sse / 80 + s.l1[0] * np.abs(w).sum() + s.l2[0] / 2 * (w @ w)
        assert told.loss_factor * theirs[name](told.arguments) == pytest.approx(mine, rel=1e-12)
