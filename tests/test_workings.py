"""What happens inside a network: every measurement against a closed form, an enumeration or an algorithm."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wellfit as wf
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.convex.solve import Problem
from wellfit.errors import SettingError
from wellfit.evidence import workings as look
from wellfit.executors import Threads
from wellfit.nets import MLP, Training
from wellfit.nets.network import link
from wellfit.records import Array, Table
from wellfit.report.figures.workings import workings_svg
from wellfit.report.workings_text import sentences, word
from wellfit.select.fitting import fit
from wellfit.select.workings import DISTURBANCE
from wellfit.select.workings_output import workings_json

GD = Training(optimizer="gd", learning_rate=0.1, epochs=60, batch_size=None, precision="float64")
BRIEF = Training(epochs=20, learning_rate=0.01)


def table(rows: int = 60, features: int = 3, seed: int = 0, task: str = "regression") -> Table:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, features))
    y = x @ np.arange(1, features + 1) + 0.5 * random.normal(size=rows)
    columns = {f"x{j}": x[:, j] for j in range(features)}
    kinds = dict.fromkeys(columns, "numeric")
    if task == "regression":
        return Table("made", columns, kinds, y, "y", "regression")
    return Table("made", columns, kinds, (y > 0).astype(np.int64), "y", "binary", ("no", "yes"))


def network(seed: int, inputs: int, outputs: int, hidden: tuple[int, ...], activation: str) -> tuple[MLP, Array]:
    net = MLP(hidden, activation)
    parameters = net.initialize(seed, inputs, outputs)
    return net, parameters + 0.1 * np.random.default_rng(seed).normal(size=len(parameters))


# --- weights: norms and how they shrink


@pytest.mark.parametrize("optimizer", ["gd", "sgd"])
def test_a_step_shrinks_weights_by_the_formula_of_l2(optimizer: str) -> None:
    training = replace(GD, optimizer=optimizer)
    found = wf.workings(table(), "l2", points=[0.01, 0.1, 1.0], network="5", training=training, folds=2)
    assert found.shrink.shape == (4, 2)
    expected = 1 - 0.1 * found.strengths[:, None] * np.ones(2)
    assert np.allclose(found.formula, expected, rtol=0, atol=1e-15)
    assert np.allclose(found.shrink, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_a_step_shrinks_weights_by_the_formula_of_weight_decay_under_any_optimizer(optimizer: str) -> None:
    training = Training(optimizer=optimizer, learning_rate=0.05, epochs=10, batch_size=16)
    found = wf.workings(table(), "weight_decay", points=[0.1, 2.0], network="5", training=training, folds=2)
    assert np.allclose(found.shrink, 1 - 0.05 * found.strengths[:, None], rtol=0, atol=1e-12)
    assert np.allclose(found.formula, found.shrink, rtol=0, atol=1e-12)


def test_under_adam_l2_shrinks_otherwise_and_no_formula_is_claimed() -> None:
    found = wf.workings(table(), "l2", points=[0.1], network="5", training=BRIEF, folds=2)
    assert np.isnan(found.formula).all()
    assert np.isfinite(found.shrink).all()
    assert np.abs(found.shrink[1] - (1 - 0.01 * 0.1)).max() > 1e-5


def test_norms_zeros_and_units_are_those_of_the_path() -> None:
    settings = {"points": [0.001, 0.05], "network": "8", "training": BRIEF, "folds": 3}
    ours, path = wf.workings("iris", "l1", **settings), wf.path("iris", "l1", seeds=1, **settings)
    assert np.array_equal(ours.strengths, path.strengths)
    assert np.allclose(ours.weight_norms, path.weight_norms)
    assert np.allclose(ours.zeros, path.zeros)
    assert np.allclose(ours.units, path.units)
    assert np.allclose(ours.loss.mean(axis=1), path.losses.mean(axis=(1, 2)), rtol=1e-4)
    again = wf.workings("iris", path, training=BRIEF)  # the path itself says what was asked
    assert np.array_equal(again.weight_norms, ours.weight_norms)
    with pytest.raises(SettingError, match="was trained with"):
        wf.workings("iris", path)


# --- effective number of parameters


def test_freedom_of_a_linear_path_is_the_trace_of_the_hat_matrix_of_ridge() -> None:
    data = table(40, 4)
    found = wf.workings(data, "l2", points=[0.01, 0.3, 2.0], network="linear", folds=2)
    from wellfit.select.compare import cross_validation_data

    prepared, _ = cross_validation_data(data, np.arange(40), 2, 0, False, MLP(()))
    fold = prepared.folds[0]
    x = fold.x[fold.rows.train]
    x = x - x.mean(axis=0)
    for strength, freedom in zip(found.strengths, found.freedom, strict=True):
        hat = x @ np.linalg.solve(x.T @ x + strength * len(x) / 2 * np.eye(4), x.T)
        assert freedom == pytest.approx(np.trace(hat) + 1, rel=1e-8)
    assert not found.freedom_error.any()
    assert np.isnan(found.shrink).all()


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("rows", [12, 80])
def test_freedom_by_curvature_is_exact_for_linear_models(task, rows: int) -> None:
    random = np.random.default_rng(3)
    x, k = random.normal(size=(rows, 5)), 3 if task == "multiclass" else 1
    labels = random.integers(0, 3, rows)
    y = (
        np.eye(3)[labels]
        if k == 3
        else (labels[:, None] > 0) * 1.0
        if task == "binary"
        else random.normal(size=(rows, 1))
    )
    problem = Problem(task, x, y)
    solution = problem.solve(l2=0.05)
    found = look.curvature_freedom(MLP(()), solution.parameters, task, x, k, (0.05,))
    biases = 2 if k == 3 else 1
    assert found == pytest.approx(problem.freedom(solution, 0.05) + biases, abs=1e-4)


def test_perturbed_freedom_is_unbiased_for_ridge() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(30, 6))
    hat = x @ np.linalg.solve(x.T @ x + 5 * np.eye(6), x.T)
    signs = np.where(random.random((400, 30, 1)) < 0.5, -1.0, 1.0)
    changes = 2 * 0.25 * np.einsum("ij,mjk->mik", hat, signs)
    freedom, error = look.perturbed_freedom(changes, signs, 0.25)
    assert abs(freedom - np.trace(hat)) < 3 * error
    few, few_error = look.perturbed_freedom(changes[:4], signs[:4], 0.25)
    assert abs(few - np.trace(hat)) < 4 * few_error + 1


def test_freedom_of_a_network_agrees_with_yes_own_algorithm() -> None:
    """Ye (1998): Gaussian noise on the targets, a straight line through each fitted value, the sum of the slopes."""
    data, training = table(36, 2, seed=5), replace(GD, epochs=400)
    found = wf.workings(data, "l2", points=[0.3], network="4:tanh", training=training, folds=2)
    from wellfit.select.compare import cross_validation_data

    prepared, _ = cross_validation_data(data, np.arange(36), 2, 0, False, MLP())
    fold, draws = prepared.folds[0], 120
    rows, random = fold.rows.train, np.random.default_rng(6)
    noise = DISTURBANCE * random.normal(size=(draws, len(rows)))
    folds = []
    for shift in noise:
        y = fold.y.copy()
        y[rows, 0] += shift
        folds.append(replace(fold, y=y))
    for p, mix in enumerate(("none", "l2=0.3")):
        cocktail = wf.Cocktail.parse(mix)
        members = [Member(MLP((4,), "tanh"), cocktail, training, found.seed, f) for f in range(draws)]
        disturbed = replace(prepared, folds=tuple(folds), fingerprint="ye")
        ended = dict(Threads(2).run(CompiledEngine(), members, disturbed))
        net = members[0].network
        fits = np.array([net.forward(ended[i].parameters, fold.x[rows], 1)[:, 0] for i in range(draws)])
        centred = noise - noise.mean(axis=0)
        slopes = (centred * fits).sum(axis=0) / (centred**2).sum(axis=0)
        # The error of the sum of slopes, by halves.
        halves = []
        for half in (slice(0, draws // 2), slice(draws // 2, draws)):
            part = noise[half] - noise[half].mean(axis=0)
            halves.append(((part * fits[half]).sum(axis=0) / (part**2).sum(axis=0)).sum())
        error = abs(halves[0] - halves[1]) / 2 + 0.3
        assert abs(found.freedom[p] - slopes.sum()) < 3 * np.hypot(error, found.freedom_error[p]), (p, mix)
    assert found.freedom[1] < found.freedom[0]


# --- slopes, reliance, noise


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu", "leaky_relu"])
@pytest.mark.parametrize("hidden", [(), (6,), (7, 5)])
def test_slopes_and_derivatives_are_those_of_central_differences(activation: str, hidden: tuple[int, ...]) -> None:
    net, parameters = network(1, 4, 2, hidden, activation)
    x, h = np.random.default_rng(2).normal(size=(9, 4)), 1e-6
    found = look.slopes(net, parameters, x, 2)
    for j in range(4):
        step = h * np.eye(4)[j]
        there = (net.forward(parameters, x + step, 2) - net.forward(parameters, x - step, 2)) / (2 * h)
        assert np.allclose(found[:, :, j], there, atol=1e-6)
    by_parameter = look._derivatives(net, parameters, x, 2)
    for p in range(0, len(parameters), 5):
        step = h * np.eye(len(parameters))[p]
        there = (net.forward(parameters + step, x, 2) - net.forward(parameters - step, x, 2)) / (2 * h)
        assert np.allclose(by_parameter[:, :, p], there, atol=1e-6)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(1e-3, 1e3))
def test_reliance_lies_between_one_and_the_count_and_has_no_unit(values: list[float], unit: float) -> None:
    s = np.array(values)
    found = look.reliance(s)
    if not (s**2).sum():
        assert found == 0
        return
    assert 1 - 1e-9 <= found <= len(s) + 1e-9
    assert look.reliance(unit * s) == pytest.approx(found)
    assert look.reliance(np.ones(len(s))) == pytest.approx(len(s))


def test_noise_on_a_linear_model_adds_its_variance_times_the_weights() -> None:
    random = np.random.default_rng(7)
    x, w = random.normal(size=(4000, 3)), np.array([1.0, -2.0, 0.5])
    y = (x @ w)[:, None] + 0.3
    found = look.under_noise(lambda rows: (rows @ w)[:, None], "regression", x, y, (0, 0.2, 1.0), seed=1, draws=20)
    assert np.allclose(found, 0.09 + np.array([0, 0.04, 1.0]) * (w**2).sum(), rtol=0.02)


# --- roughness


def test_roughness_of_functions_that_are_known() -> None:
    starts, ends = np.array([[-1.0, 0.0], [0.0, -2.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])

    def rough(f, task="regression", points=33):
        return look.along_segments(lambda x: f(x)[:, None], task, starts, ends, points)

    assert rough(lambda x: x @ np.array([2.0, 3.0]))[0] == pytest.approx(0)
    assert rough(lambda x: np.abs(x).sum(axis=1))[0] == pytest.approx((2 + 4) / 2)
    # A sine of one whole wave goes up and down by 4 in all.
    waves = rough(lambda x: np.sin(np.pi * (x[:, 0] + x[:, 1])), points=2049)[0]
    assert waves == pytest.approx((4 + 8) / 2, rel=1e-4)
    logistic = rough(lambda x: link("binary", 5 * x[:, :1] + x[:, 1:])[:, 0], "binary")
    assert logistic == (pytest.approx(0), 0)
    # Class 1 inside a strip that both segments cross: two changes, none needed.
    assert rough(lambda x: (np.abs(x).sum(axis=1) < 0.5) * 1.0, "binary") == (pytest.approx(2), 2)


# --- dropout as an average


def every_mask(units: int) -> Array:
    """All sub-networks of a layer at keep = 1/2, (units, 2^units), as inverted dropout scales them."""
    return 2.0 * np.array(list(itertools.product((0, 1), repeat=units))).T


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_whole_linear_network_is_the_geometric_mean_of_all_its_subnetworks(task) -> None:
    k = 3 if task == "multiclass" else 1
    net, parameters = network(3, 5, k, (), "relu")
    x = np.random.default_rng(4).normal(size=(20, 5))
    y = np.eye(3)[np.arange(20) % 3] if k == 3 else (np.arange(20)[:, None] % 2) * 1.0
    found = look.averaged(net, parameters, task, x, y, [every_mask(5)])
    assert found.count == 32
    assert found.apart_geometric == pytest.approx(0, abs=1e-12)
    assert found.geometric == pytest.approx(found.loss, abs=1e-12)
    if task != "regression":
        assert found.apart_arithmetic > 1e-3
        # Independently: the product of all probabilities, normalized.
        masks = every_mask(5)
        chances = [look.all_classes(link(task, net.forward(parameters, x * masks[:, m], k))) for m in range(32)]
        product = np.exp(np.mean(np.log(chances), axis=0))
        product /= product.sum(axis=1, keepdims=True)
        assert np.allclose(product[:, -k:] if k == 1 else product, link(task, net.forward(parameters, x, k)))


def test_one_hidden_layer_is_exact_and_two_are_not() -> None:
    x, y = np.random.default_rng(5).normal(size=(30, 3)), (np.arange(30)[:, None] % 2) * 1.0
    net, parameters = network(6, 3, 1, (6,), "relu")
    one = look.averaged(net, parameters, "binary", x, y, [np.ones((3, 64)), every_mask(6)])
    assert one.apart_geometric == pytest.approx(0, abs=1e-12)
    net, parameters = network(6, 3, 1, (4, 4), "relu")
    pairs = [np.repeat(every_mask(4), 16, axis=1), np.tile(every_mask(4), (1, 16))]
    two = look.averaged(net, parameters, "binary", x, y, [np.ones((3, 256)), *pairs])
    assert two.apart_geometric > 1e-4


def test_drawn_subnetworks_come_near_all_of_them_within_their_error() -> None:
    x, y = np.random.default_rng(8).normal(size=(50, 3)), (np.arange(50)[:, None] % 2) * 1.0
    net, parameters = network(9, 3, 1, (6,), "relu")
    exact = look.averaged(net, parameters, "binary", x, y, [np.ones((3, 64)), every_mask(6)])
    inside = 0
    for seed in range(40):
        masks = look.draw_masks(net, 3, (0.5,), 0.0, count=100, seed=seed)
        drawn = look.averaged(net, parameters, "binary", x, y, masks)
        assert drawn.apart_geometric < 6 * drawn.apart_error
        inside += abs(drawn.arithmetic - exact.arithmetic) < 2 * drawn.arithmetic_error
    assert inside >= 34


def test_a_dropout_path_is_averaged_where_there_is_dropout() -> None:
    found = wf.workings("iris", "dropout", points=[0.3], network="8,6", training=BRIEF, folds=2)
    assert found.averaging[0] is None
    assert found.averaging[1] is not None
    assert found.averaging[1].single >= found.averaging[1].geometric  # a geometric mean's loss: Jensen
    assert any("Dropout as an average" in s for s in sentences(found))


# --- the whole


def test_threads_make_no_difference_and_equal_calls_are_equal() -> None:
    settings = {"points": [0.01], "network": "6", "training": BRIEF, "folds": 2}
    texts = {json.dumps(workings_json(wf.workings("iris", "l2", executor=Threads(n), **settings))) for n in (1, 8)}
    assert len(texts) == 1


def test_along_epochs_the_states_are_those_on_the_way() -> None:
    settings = {"points": [0, 5, 20], "network": "6", "training": BRIEF, "folds": 2}
    ours, path = (
        wf.workings("iris", "early_stopping", **settings),
        wf.path("iris", "early_stopping", seeds=1, **settings),
    )
    assert np.array_equal(ours.strengths, path.strengths)
    assert np.allclose(ours.weight_norms, path.weight_norms)
    assert ours.freedom[-1] == 0  # an untrained network follows no target
    assert ours.freedom[0] > ours.freedom[-1]


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_fitted_network_alone(task: str) -> None:
    data = table(80, 3, task=task)
    [(_, model)] = fit(data, np.arange(80), MLP((8,)), wf.Cocktail.parse("l2=0.01 + dropout=0.2"), BRIEF, 0)
    found = wf.workings(data, model=model)
    outputs = model.outputs_of(data.columns)[:, 0]
    if task == "regression":
        expected = ((outputs - data.target) ** 2).mean()
    else:
        expected = -np.log(np.where(data.target == 1, outputs, 1 - outputs)).mean()
    assert found.loss[0, 0] == pytest.approx(expected, rel=1e-6)
    assert found.noise_losses[0, 0] == pytest.approx(expected, rel=1e-6)
    assert found.averaging[0] is not None
    assert np.isfinite(found.curvature_freedom[0])
    assert "workings" in workings_svg(found)
    assert len(sentences(found)) == 4
    with pytest.raises(SettingError, match="another one"):
        wf.workings("iris", model=model)
    lacking = replace(data, columns={"x0": data.columns["x0"]}, kinds={"x0": "numeric"})
    with pytest.raises(SettingError, match="lacks columns that the model reads: x1, x2"):
        wf.workings(lacking, model=model)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "and not both"),
        ({"over": "l3"}, "There is no path along l3"),
        ({"over": "l2", "folds": 1}, "folds"),
        ({"over": "l2", "points": 2}, "points"),
        ({"over": "l2", "cocktail": "l2=1"}, "turns l2 up itself"),
    ],
)
def test_a_slip_is_named(settings: dict, expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        wf.workings("iris", **settings)


def test_a_diverged_member_is_a_gap_not_a_crash() -> None:
    training = Training(optimizer="gd", learning_rate=1e4, epochs=5, batch_size=None)
    found = wf.workings(table(), "l2", points=[1e-9], network="5", training=training, folds=2)
    assert np.isnan(found.loss).all()
    json.dumps(workings_json(found), allow_nan=False)
    assert sentences(found)
    ET.fromstring(workings_svg(found))


@settings(max_examples=30)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_words_are_about_the_ends(first: float, last: float) -> None:
    found = word([first, last])
    assert {"falls": last < first, "rises": last > first, "same": True}[found]
    assert word([last, first]) == {"falls": "rises", "rises": "falls", "same": "same"}[found]
