"""Ingredients against what they are defined as: published solvers, grids, other libraries, distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from test_engine_compiled import ENGINE, entry, from_python

from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.cocktail.noise import mixup_quantiles
from wellfit.engines import independent
from wellfit.engines.base import Member
from wellfit.engines.compiled import draws, elementary
from wellfit.engines.contract import finish
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData

ROWS, FEATURES = 80, 12


def sparse_problem(outputs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features of which few matter."""
    draw = rng.generator(5, rng.DATA)
    x = draw.normal(size=(ROWS, FEATURES)) @ (np.eye(FEATURES) + 0.3 * draw.normal(size=(FEATURES, FEATURES)))
    x = (x - x.mean(0)) / x.std(0)
    truth = np.zeros((FEATURES, outputs))
    truth[:4] = draw.normal(size=(4, outputs)) * 2
    return x, x @ truth + draw.normal(size=(ROWS, outputs)) + 1.5


def fit(cocktail: str, training: Training, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (k, d) and bias (k,) of a linear network after its training on all rows."""
    rows = np.arange(len(x))
    data = TrainingData("regression", y.shape[1], (FoldData(x, y, Fold(rows, rows[:0], rows[:0])),))
    member = Member(MLP(()), as_cocktail(cocktail), training, 3, 0)
    [state] = finish(ENGINE, [member], data)
    assert state.status == "finished"
    [(weights, bias)] = member.network.unpack(state.parameters, x.shape[1], y.shape[1])
    return weights, bias


OPTIMIZERS = {
    "gd": Training("gd", 0.1, 6000, None, precision="float64"),
    "momentum": Training("sgd", 0.02, 6000, None, momentum=0.9, precision="float64"),
    "nesterov": Training("sgd", 0.02, 6000, None, momentum=0.9, nesterov=True, precision="float64"),
    "adam": Training("adam", 0.02, 20000, None, precision="float64", schedule="flat_cosine"),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("ratio", [1.0, 0.5])
@pytest.mark.parametrize("alpha", [0.05, 0.4])
def test_l1_and_elastic_net_reach_scikit_learns_solution_with_its_zeros(optimizer, ratio, alpha):
    from sklearn.linear_model import ElasticNet, Lasso

    x, y = sparse_problem()
    exact = (
        Lasso(alpha, tol=1e-12, max_iter=100_000)
        if ratio == 1
        else ElasticNet(alpha, l1_ratio=ratio, tol=1e-12, max_iter=100_000)
    ).fit(x, y[:, 0])
    weights, bias = fit(f"elastic_net={2 * alpha}:l1_ratio={ratio}", OPTIMIZERS[optimizer], x, y)

    def objective(w, b):
        penalty = ratio * np.abs(w).sum() + (1 - ratio) / 2 * (w**2).sum()
        return ((y[:, 0] - x @ w - b) ** 2).sum() / (2 * ROWS) + alpha * penalty

    best = objective(exact.coef_, exact.intercept_)
    assert objective(weights[0], bias[0]) <= best * (1 + 1e-6)
    assert np.array_equal(weights[0] == 0, exact.coef_ == 0)
    assert 0 < (exact.coef_ == 0).sum() < FEATURES


@pytest.mark.parametrize("optimizer", ["gd", "momentum", "nesterov"])
@pytest.mark.parametrize("alpha", [0.1, 0.6])
def test_group_lasso_reaches_the_exact_solution_and_whole_features_leave(optimizer, alpha):
    from sklearn.linear_model import MultiTaskLasso

    x, y = sparse_problem(outputs=3)
    exact = MultiTaskLasso(alpha, tol=1e-12, max_iter=100_000).fit(x, y)
    weights, bias = fit(f"group_lasso={2 * alpha}", OPTIMIZERS[optimizer], x, y)

    def objective(w, b):
        return ((y - x @ w.T - b) ** 2).sum() / (2 * ROWS) + alpha * np.linalg.norm(w, axis=0).sum()

    assert objective(weights, bias) <= objective(exact.coef_, exact.intercept_) * (1 + 1e-6)
    unused = (exact.coef_ == 0).all(axis=0)
    assert np.array_equal((weights == 0).all(axis=0), unused)
    assert 0 < unused.sum() < FEATURES


def test_l2_reaches_ridge_and_weighted_rows_too():
    from sklearn.linear_model import Ridge

    x, y = sparse_problem()
    exact = Ridge(alpha=0.3 * ROWS / 2).fit(x, y[:, 0])
    weights, bias = fit("l2=0.3", OPTIMIZERS["gd"], x, y)
    np.testing.assert_allclose(weights[0], exact.coef_, atol=1e-9)
    np.testing.assert_allclose(bias[0], exact.intercept_, atol=1e-9)


def test_a_schedule_that_ends_at_zero_leaves_the_unpenalized_solution():
    x, y = sparse_problem()
    long = Training("gd", 0.1, 20000, None, precision="float64")
    free, _ = fit("none", long, x, y)
    gone, _ = fit("l2=0.5:schedule=flat_cosine", long, x, y)
    kept, _ = fit("l2=0.5", long, x, y)
    assert np.abs(gone - free).max() < 0.1 * np.abs(kept - free).max()


def test_the_proximal_steps_are_minimizers():
    """Of t |u| + (u - x)^2 / 2 on a grid, and of t ||u|| + ||u - w||^2 / 2 by a general solver."""
    grid = np.linspace(-3, 3, 60_001)
    for x in (-2.0, -0.3, 0.0, 0.4, 1.7):
        for t in (0.0, 0.35, 1.0):
            best = grid[np.argmin(t * np.abs(grid) + (grid - x) ** 2 / 2)]
            assert abs(independent.prox_l1(np.array(x), t) - best) < 1e-4
    w = rng.generator(0, rng.DATA).normal(size=(4, 5))
    for t in (0.5, 1.5, 5.0):
        found = independent.prox_columns(w, t)
        for j in range(5):
            solved = minimize(
                lambda u, v=w[:, j], t=t: t * np.linalg.norm(u) + ((u - v) ** 2).sum() / 2,
                w[:, j] / 2,
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 20_000},
            )
            np.testing.assert_allclose(found[:, j], solved.x, atol=1e-4)


def test_quantile_and_absolute_losses_fit_the_quantiles():
    """A linear network of no use but its bias: the minimizer is the sample's quantile."""
    y = rng.generator(2, rng.DATA).normal(size=(401, 1))
    x = np.zeros((401, 1))
    for loss, q in (("absolute", 0.5), ("quantile:0.9", 0.9), ("quantile:0.25", 0.25)):
        _, bias = fit("none", Training("gd", 0.05, 6000, None, "cosine", precision="float64", loss=loss), x, y)
        assert abs(bias[0] - np.quantile(y, q)) < 0.01


def test_class_weights_shift_the_threshold_as_scikit_learn_does():
    from sklearn.linear_model import LogisticRegression

    draw = rng.generator(8, rng.DATA)
    x = draw.normal(size=(300, 3))
    codes = (x[:, 0] + draw.normal(size=300) > 1.2).astype(int)
    rows = np.arange(300)
    data = TrainingData("binary", 1, (FoldData(x, codes[:, None].astype(float), Fold(rows, rows[:0], rows[:0])),))
    exact = LogisticRegression(C=1 / (0.05 * 300), class_weight="balanced", tol=1e-10).fit(x, codes)
    training = Training("gd", 0.5, 3000, None, precision="float64", class_weights="balanced")
    member = Member(MLP(()), as_cocktail("l2=0.05"), training, 0, 0)
    [state] = finish(ENGINE, [member], data)
    np.testing.assert_allclose(state.parameters, [*exact.coef_[0], exact.intercept_[0]], atol=1e-6)


@entry
def _apply_log(x, out):
    for i in range(x.size):
        out[i] = elementary.log(x[i])


@entry
def _apply_sin(x, out):
    for i in range(x.size):
        out[i] = elementary.sin_turns(x[i])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_logarithm_and_sine_are_accurate(kind):
    eps = np.finfo(kind).eps
    x = np.concatenate([np.linspace(2.0**-32, 1, 40_001), 2.0 ** np.arange(-32, 1)]).astype(kind)
    out = np.empty_like(x)
    _apply_log(x, out)
    np.testing.assert_allclose(out, np.log(x.astype(float)), rtol=3 * eps, atol=eps / 2)
    turns = np.linspace(0, 1.25, 50_001).astype(kind)
    out = np.empty_like(turns)
    _apply_sin(turns, out)
    np.testing.assert_allclose(out, np.sin(2 * np.pi * turns.astype(float)), atol=5 * eps)


@pytest.mark.parametrize(("kind", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-13)])
def test_noise_in_the_kernel_is_that_of_rng(kind, tolerance):
    seed, shape = 2**33 + 5, (7, 48)
    x = np.zeros(-(-7 * 48 // 64) * 64, kind)
    key = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    from_python(draws.add_gaussian)(x, 7 * 48, 1.5, *key, rng.NOISE, 3, 4)
    # In float32 a radius near 0 is the root of a logarithm near 0, whose argument has been rounded.
    expected = 1.5 * rng.gaussian_noise(seed, shape, epoch=3, step=4)
    np.testing.assert_allclose(x[: 7 * 48].reshape(shape), expected, atol=tolerance * 6)


def test_noise_is_standard_normal_and_changes_with_every_part_of_its_key():
    drawn = rng.gaussian_noise(0, (100, 1008), epoch=0, step=0).ravel()
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:-16], drawn[16:])[0, 1]) < 5 / math.sqrt(drawn.size)  # cosine and sine of one pair
    for other in ({"epoch": 1, "step": 0}, {"epoch": 0, "step": 1}):
        moved = rng.gaussian_noise(0, (100, 1008), **other).ravel()
        assert abs(np.corrcoef(drawn, moved)[0, 1]) < 5 / math.sqrt(drawn.size)


@pytest.mark.parametrize("strength", [0.2, 0.4, 1.0, 3.0])
def test_mixup_coefficients_are_beta_and_the_kernels_are_those_of_rng(strength):
    quantiles = np.array(mixup_quantiles(strength))
    mix, drawn, distances = from_python(draws.mixing), [], []
    for step in range(3000):
        c, distance = mix(37, quantiles, np.uint32(9), np.uint32(0), rng.MIXUP, 2, step)
        place, expected = rng.mixup_draw(9, 37, epoch=2, step=step)
        assert distance == expected
        assert c == pytest.approx(np.interp(place * 1024, np.arange(1025), quantiles), abs=1e-12)
        drawn.append(c)
        distances.append(distance)
    assert stats.kstest(drawn, stats.beta(strength, strength).cdf).pvalue > 1e-3
    assert set(distances) == set(range(1, 37))
    assert mix(1, quantiles, np.uint32(9), np.uint32(0), rng.MIXUP, 0, 0)[1] == 0


def test_max_norm_holds_after_every_step_and_none_is_infinity():
    x, y = sparse_problem(outputs=2)
    short = Training("sgd", 0.05, 40, 16, momentum=0.5, precision="float64")
    bounded, _ = fit("max_norm=0.7", short, x, y)
    assert np.linalg.norm(bounded, axis=1) == pytest.approx([0.7, 0.7])
    free, _ = fit("none", short, x, y)
    loose, _ = fit("max_norm=inf", short, x, y)
    assert np.array_equal(free, loose)


def test_the_average_of_weights_is_what_counts():
    """With a large learning rate weights jump about; their average stands nearer to the solution."""
    x, y = sparse_problem()
    solution = np.linalg.lstsq(np.column_stack([x, np.ones(ROWS)]), y[:, 0], rcond=None)[0]
    rows = np.arange(ROWS)
    data = TrainingData("regression", 1, (FoldData(x, y, Fold(rows, rows[:0], rows[:0])),))
    member = Member(MLP(()), as_cocktail("ema=0.99"), Training("sgd", 0.03, 300, 4), 0, 0)
    [state] = finish(ENGINE, [member], data)
    jumping, averaged = (np.linalg.norm(p - solution) for p in (state.parameters, state.kept))
    assert averaged < jumping / 2


def test_batch_norm_equals_pytorchs():
    """Three steps of both, and then evaluation: running statistics with PyTorch's conventions."""
    torch = pytest.importorskip("torch")
    x, y = sparse_problem()
    rows = np.arange(ROWS)
    data = TrainingData("regression", 1, (FoldData(x, y, Fold(rows, rows[:0], rows[:0])),))
    training = Training("gd", 0.05, 3, None, precision="float64")
    member = Member(MLP((6, 4)), as_cocktail("batch_norm + l2=0.01"), training, 0, 0)
    [start] = ENGINE.init([member], data)
    widths, blocks = [FEATURES, 6, 4, 1], []
    for i in range(3):
        blocks.append(torch.nn.Linear(widths[i], widths[i + 1], dtype=torch.float64))
        blocks += [torch.nn.BatchNorm1d(widths[i + 1], dtype=torch.float64), torch.nn.ReLU()] if i < 2 else []
    net = torch.nn.Sequential(*blocks)
    linear = [b for b in blocks if isinstance(b, torch.nn.Linear)]
    for layer, (w, b) in zip(linear, member.network.unpack(start.parameters, FEATURES, 1), strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(w.copy()), torch.tensor(b.copy())
    groups = [{"params": [b.weight for b in linear], "weight_decay": 0.01}]
    groups.append({"params": [p for n, p in net.named_parameters() if not any(p is b.weight for b in linear)]})
    optimizer = torch.optim.SGD(groups, lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        ((net(torch.tensor(x)) - torch.tensor(y)) ** 2).mean().backward()
        optimizer.step()
    [end] = finish(ENGINE, [member], data)
    folded = member.network.fold(end.kept, FEATURES, 1)
    theirs = net.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(member.network.forward(folded, x, 1), theirs, rtol=1e-9, atol=1e-11)
