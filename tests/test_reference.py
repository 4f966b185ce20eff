"""The textbook reference: published numbers, gradients against two independent sources, dropout's two forms."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from wellfit import reference
from wellfit.errors import SettingError
from wellfit.nets import MLP

# What the exercise prints, and the same to more digits from the course's own formulas: costs by iteration, train and
# test accuracy, and the sum of squared weights at the end.
PUBLISHED = {
    "none": (
        {0: 0.6557412523481002, 10000: 0.16329987525724207, 20000: 0.13851642423244898, 29999: 0.1250913124517299},
        (0.9478672985781991, 0.915, 727.471095845659),
    ),
    "l2": (
        {0: 0.6974484493131264, 10000: 0.2684918873282238, 20000: 0.2680916337127301, 29999: 0.26786174287095865},
        (0.9383886255924171, 0.93, 29.994227344857656),
    ),
    "dropout": (
        {0: 0.6543912405149824, 10000: 0.0610169865749056, 20000: 0.0605824357985131, 29999: 0.06048817515244604},
        (0.9289099526066351, 0.95, 352.4811570077302),
    ),
}
OPTIONS = {"none": {}, "l2": {"l2": 0.7 / 211}, "dropout": {"keep": 0.86}}

SIZES = [(3, 1), (2, 5, 1), (3, 7, 4, 1), (2, 6, 5, 4, 1)]
INGREDIENTS = {
    "none": {},
    "l1": {"l1": 0.03},
    "l2": {"l2": 0.07},
    "elastic net": {"l1": 0.03, "l2": 0.07},
    "dropout": {"keep": 0.7},
    "all": {"l1": 0.03, "l2": 0.07, "keep": 0.7},
}


def problem(sizes, task="binary", rows=40, seed=0):
    """Return X (d, m), Y (k, m) and parameters whose biases are not 0, so that a penalized bias shows."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(sizes[0], rows))
    k = sizes[-1]
    if task == "regression":
        Y = random.normal(size=(k, rows))
    elif task == "multiclass":
        Y = np.eye(k)[:, random.integers(0, k, rows)]
    else:
        Y = (random.random((k, rows)) < 0.5).astype(float)
    start = reference.initialize_parameters(sizes, random)
    return X, Y, [(W, b + random.normal(size=b.shape) / 3) for W, b in start]


# --- the published numbers


@pytest.fixture(scope="module")
def football(data_folder: Path) -> dict:
    """Train the three networks of the exercise, once for all tests."""
    raw = loadmat(data_folder / "football" / "data.mat")
    X, Y, X_test, Y_test = (raw[key].T for key in ("X", "y", "Xval", "yval"))
    results = {}
    for name, options in OPTIONS.items():
        start = reference.initialize_parameters((2, 20, 3, 1), np.random.RandomState(3))
        fitted, costs = reference.train(
            X, Y, start, learning_rate=0.3, iterations=30_000, masks=reference.redraw_from(1), **options
        )
        scores = (reference.accuracy(X, Y, fitted), reference.accuracy(X_test, Y_test, fitted))
        results[name] = costs, scores, sum(np.square(W).sum() for W, _ in fitted)
    return results


@pytest.mark.parametrize("name", PUBLISHED)
def test_football_is_the_published_one(football, name):
    costs, scores, squares = football[name]
    published, (*accuracies, published_squares) = PUBLISHED[name]
    for iteration, value in published.items():
        assert costs[iteration] == pytest.approx(value, abs=1e-9, rel=0)
    assert scores == tuple(accuracies)
    assert squares == pytest.approx(published_squares, rel=1e-9)


def test_costs_are_recorded_where_promised(football):
    assert list(football["none"][0]) == [*range(0, 30_000, 1000), 29_999]


# --- random draws


def test_draws_are_the_course_s_own_and_leave_the_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 (looked at, not used)
    ours = reference.initialize_parameters((2, 20, 3, 1), np.random.RandomState(3))
    course = np.random.RandomState(3)
    for (W, b), (out, fan_in) in zip(ours, ((20, 2), (3, 20), (1, 3)), strict=True):
        np.testing.assert_array_equal(W, course.randn(out, fan_in) / np.sqrt(fan_in))
        np.testing.assert_array_equal(b, np.zeros((out, 1)))
    X, _, start = problem((2, 20, 3, 1))
    masks = reference.redraw_from(1)
    passes = [reference.forward_with_dropout(X, start, 0.86, masks(i)) for i in range(2)]
    course = np.random.RandomState(1)
    for layer, out in enumerate((20, 3)):
        expected = (course.rand(out, X.shape[1]) < 0.86) / 0.86
        np.testing.assert_array_equal(passes[0].scales[layer], expected)
        np.testing.assert_array_equal(passes[1].scales[layer], expected)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_starting_weights_have_the_promised_spread():
    start = reference.initialize_parameters((400, 300, 200), np.random.default_rng(5))
    for W, _ in start:
        assert W.std() * np.sqrt(W.shape[1]) == pytest.approx(1, abs=0.01)


def test_default_masks_are_fresh_and_repeatable():
    X, Y, start = problem((2, 8, 1), rows=200)
    once, again = (
        reference.train(X, Y, start, learning_rate=1e-12, iterations=6, keep=0.5, every=1)[1] for _ in range(2)
    )
    assert once == again
    assert len(set(once.values())) == 6


# --- gradients


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", INGREDIENTS)
def test_gradients_equal_central_differences(sizes, name):
    assert reference.check_gradients(*problem(sizes), **INGREDIENTS[name]) < 1e-6


def test_gradients_equal_central_differences_with_one_strength_per_layer():
    options = {"l1": (0.03, 0, 0.2), "l2": (0, 0.5, 0.1), "keep": (0.6, 1)}
    assert reference.check_gradients(*problem((3, 7, 4, 1)), **options) < 1e-6


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_gradients_equal_central_differences_for_every_task(task):
    assert reference.check_gradients(*problem((3, 6, 4), task), task=task, l2=0.1, keep=0.8) < 1e-6


def torch_objective(parameters, X, Y, l1, l2, scales, task):
    """Write the objective again, rows as examples, in PyTorch: nothing of it comes from the reference."""
    A, losses = torch.from_numpy(X.T), 0.0
    for layer, (W, b) in enumerate(parameters):
        A = torch.nn.functional.linear(A, W, b[:, 0])
        if layer < len(parameters) - 1:
            A = torch.relu(A)
            A = A if scales[layer] is None else A * torch.from_numpy(scales[layer].T)
        losses = losses + l1[layer] * W.abs().sum() + l2[layer] / 2 * (W**2).sum()
    target = torch.from_numpy(Y.T)
    functional = torch.nn.functional
    if task == "multiclass":
        return losses + functional.cross_entropy(A, target.argmax(dim=1))
    loss = functional.mse_loss if task == "regression" else functional.binary_cross_entropy_with_logits
    return losses + loss(A, target)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("hidden", [(), (5,), (7, 4), (6, 5, 4)], ids=str)
def test_cost_and_gradients_equal_pytorch_s(hidden, task):
    sizes = (3, *hidden, 4 if task == "multiclass" else 1)
    X, Y, start = problem(sizes, task)
    layers = len(start)
    l1, l2 = np.linspace(0.01, 0.05, layers).tolist(), np.linspace(0.3, 0.1, layers).tolist()
    keep = (0.7, 1.0, 0.5)[: layers - 1]
    result = reference.forward_with_dropout(X, start, keep, np.random.RandomState(1))
    draws = np.random.RandomState(1)
    scales = [
        None if share == 1 else (draws.rand(out, X.shape[1]) < share) / share
        for out, share in zip(hidden, keep, strict=True)
    ]
    leaves = [tuple(torch.tensor(part, requires_grad=True) for part in pair) for pair in start]
    objective = torch_objective(leaves, X, Y, l1, l2, scales, task)
    objective.backward()
    assert reference.cost(result.logits, Y, start, l1, l2, task) == pytest.approx(objective.item(), abs=1e-12)
    for ours, theirs in zip(reference.backward(result, Y, start, l1, l2, task), leaves, strict=True):
        for gradient, leaf in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=0, atol=1e-12)


# --- the cost and its saturation


def test_cost_equals_the_textbook_s_where_that_is_finite():
    Z = np.linspace(-30, 30, 241)[None]
    Y = (np.arange(241) % 2)[None]
    for z, y in zip(Z.T, Y.T, strict=True):
        # Near saturation the textbook's 1 - A has lost digits: one rounding of A, 1.1e-16, over what is left of 1 - A.
        lost = 2.3e-16 / reference.sigmoid(-abs(z))[0]
        ours, theirs = reference.cost(z[None], y[None]), reference.textbook_cost(reference.sigmoid(z[None]), y[None])
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15 + lost)
    narrow = np.linspace(-5, 5, 101)[None]
    y = (np.arange(101) % 3 == 0)[None]
    assert reference.cost(narrow, y) == pytest.approx(
        reference.textbook_cost(reference.sigmoid(narrow), y), rel=1e-13, abs=0
    )


def test_cost_stays_finite_where_the_textbook_s_breaks():
    Z, Y = np.array([[40.0, -800.0]]), np.array([[0.0, 1.0]])
    assert reference.cost(Z, Y) == 420.0
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert reference.textbook_cost(reference.sigmoid(Z), Y) == np.inf
    with pytest.warns(RuntimeWarning, match="invalid value|divide by zero"):
        assert np.isnan(reference.textbook_cost(reference.sigmoid(Z), 1 - Y))
    assert reference.cost(Z, 1 - Y) == pytest.approx(np.exp(-40) / 2, rel=1e-12)


def test_multiclass_cost_survives_large_logits():
    assert reference.cost(np.array([[2000.0], [0.0]]), np.array([[0.0], [1.0]]), task="multiclass") == 2000.0


# --- dropout: inverted and classical


class Drawn:
    """A source of random numbers that gives back what it was told, layer by layer."""

    def __init__(self, *masks):
        self.masks = list(masks)

    def random(self, size):
        kept = self.masks.pop(0)
        assert kept.shape == size
        return np.where(kept, 0.0, 0.999)


def expected_logits(keep, inverted, module=reference):
    """Return the exact expectation of the logits over all masks of five hidden units, (1, m), and both test passes."""
    X, _, start = problem((3, 5, 1), rows=4)
    total = np.zeros((1, 4))
    for kept in itertools.product((True, False), repeat=5):
        mask = np.repeat(np.array(kept)[:, None], 4, axis=1)
        chance = keep ** sum(kept) * (1 - keep) ** (5 - sum(kept))
        total += chance * module.forward_with_dropout(X, start, keep, Drawn(mask), inverted=inverted).logits
    return total, module.forward(X, start).logits, module.forward(X, start, keep).logits


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.86])
def test_both_dropouts_equal_their_test_time_pass_in_expectation(keep):
    inverted, plain, scaled = expected_logits(keep, inverted=True)
    np.testing.assert_allclose(inverted, plain, atol=1e-14)
    classical, _, _ = expected_logits(keep, inverted=False)
    np.testing.assert_allclose(classical, scaled, atol=1e-14)
    assert np.abs(scaled - plain).max() > 0.01


def test_classical_dropout_is_inverted_dropout_in_another_notation():
    keep = (0.6, 0.9)
    X, _, classical = problem((3, 7, 4, 1))
    (first, *rest) = classical
    inverted = [first, *((W * share, b) for (W, b), share in zip(rest, keep, strict=True))]
    random = reference.redraw_from(1)
    np.testing.assert_allclose(
        reference.forward_with_dropout(X, inverted, keep, random(0)).logits,
        reference.forward_with_dropout(X, classical, keep, random(0), inverted=False).logits,
        atol=1e-14,
    )
    np.testing.assert_allclose(
        reference.forward(X, inverted).logits, reference.forward(X, classical, keep).logits, atol=1e-14
    )


def test_classical_dropout_s_gradient_equals_central_differences():
    X, Y, start = problem((3, 7, 4, 1))
    masks = reference.redraw_from(1)

    def result(at):
        return reference.forward_with_dropout(X, at, 0.6, masks(0), inverted=False)

    numerical = reference.numerical_gradients(lambda at: reference.cost(result(at).logits, Y), start, 1e-6)
    ours = reference.backward(result(start), Y, start)
    np.testing.assert_allclose(reference.flat(ours), reference.flat(numerical), atol=1e-8)


def test_keep_is_the_share_kept():
    X, _, start = problem((3, 50, 1), rows=4000)
    scale = reference.forward_with_dropout(X, start, 0.86, np.random.default_rng(0)).scales[0]
    # 200,000 draws: the share's standard error is 0.0008.
    assert (scale > 0).mean() == pytest.approx(0.86, abs=0.004)


# --- the rest


def test_flat_is_the_layout_of_the_engines_networks():
    X, _, start = problem((3, 7, 4, 1))
    vector = reference.flat(start)
    np.testing.assert_allclose(
        MLP((7, 4)).forward(vector, X.T, 1), reference.forward(X, start).logits.T, rtol=0, atol=1e-14
    )
    for pair, back in zip(start, reference.unflatten(vector, (3, 7, 4, 1)), strict=True):
        for part, same in zip(pair, back, strict=True):
            np.testing.assert_array_equal(part, same)


def test_predict_says_the_more_probable_class():
    X = np.array([[-1.0, -1e-9, 0.0, 1e-9, 1.0]])
    parameters = [(np.ones((1, 1)), np.zeros((1, 1)))]
    np.testing.assert_array_equal(reference.predict(X, parameters), [[0, 0, 0, 1, 1]])
    assert reference.accuracy(X, np.array([[0, 1, 0, 1, 1]]), parameters) == 0.8


@pytest.mark.parametrize("keep", [0, -0.1, 1.5, float("nan")])
def test_an_impossible_share_is_refused(keep):
    X, _, start = problem((2, 5, 1))
    with pytest.raises(SettingError, match="share of hidden units"):
        reference.forward_with_dropout(X, start, keep, np.random.default_rng(0))
    with pytest.raises(SettingError, match="share of hidden units"):
        reference.forward(X, start, keep)


def test_a_wrong_number_of_strengths_is_refused():
    X, Y, start = problem((2, 5, 1))
    with pytest.raises(SettingError, match="l2 was given 3 values, but this network has 2 places"):
        reference.train(X, Y, start, learning_rate=0.1, iterations=1, l2=(1, 2, 3))
    with pytest.raises(SettingError, match="keep was given 2 values, but this network has 1 places"):
        reference.train(X, Y, start, learning_rate=0.1, iterations=1, keep=(0.5, 0.5))


def test_inputs_are_not_modified():
    X, Y, start = problem((2, 5, 1))
    before = reference.flat(start).copy()
    reference.train(X, Y, start, learning_rate=0.5, iterations=3, l1=0.1, l2=0.1, keep=0.5)
    reference.check_gradients(X, Y, start)
    np.testing.assert_array_equal(reference.flat(start), before)
