"""The arithmetic of bias and variance, against closed forms, written-out definitions and published formulas."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from wellfit.errors import SettingError
from wellfit.evidence.decomposition import estimates, log_loss, squared, zero_one

SIZES = st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(1, 7), st.integers(2, 4), st.integers(0, 10**6))


def members(resamples, seeds, rows, classes, seed):
    """Random logits with an effect of the resample and one of the member, and targets."""
    draw = np.random.default_rng(seed)
    raw = draw.normal(size=(resamples, 1, rows, classes)) + draw.normal(size=(resamples, seeds, rows, classes))
    return 2 * raw, draw.integers(0, classes, rows), softmax(draw.normal(size=(rows, classes)), axis=1)


# Identities -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_squared_error_is_the_sum_of_its_parts(sizes) -> None:
    raw, target, _ = members(*sizes)
    values = np.eye(sizes[3])[target]
    parts = squared(raw, values)
    total = ((raw - values) ** 2).sum(-1).mean(axis=(0, 1))
    np.testing.assert_allclose(parts["total"].mean(0), total, rtol=1e-9)
    np.testing.assert_allclose((parts["bias"] + parts["variance"]).mean(0), total, rtol=1e-9)
    if sizes[1] > 1:
        np.testing.assert_allclose((parts["data"] + parts["seed"]).mean(0), parts["variance"].mean(0), atol=1e-9)
    else:
        assert "seed" not in parts


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_squared_parts_are_the_textbooks_analysis_of_variance(sizes) -> None:
    """Mean squares between and within resamples (Searle, Casella & McCulloch 1992), written out."""
    raw, target, _ = members(*sizes)
    values, (resamples, seeds) = np.eye(sizes[3])[target], raw.shape[:2]
    parts = squared(raw, values)
    grand = raw.mean(axis=(0, 1))
    between = seeds * ((raw.mean(1) - grand) ** 2).sum(axis=0) / (resamples - 1)
    bias = (values - grand) ** 2 - between / (resamples * seeds)
    np.testing.assert_allclose(parts["bias"].mean(0), bias.sum(-1), atol=1e-9)
    if seeds > 1:
        within = ((raw - raw.mean(1, keepdims=True)) ** 2).sum(axis=(0, 1)) / (resamples * (seeds - 1))
        np.testing.assert_allclose(parts["seed"].mean(0), within.sum(-1), atol=1e-9)
        np.testing.assert_allclose(parts["data"].mean(0), ((between - within) / seeds).sum(-1), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_heskes_error_is_bias_plus_variance(sizes) -> None:
    """Heskes (1998), equations 3 to 6, without any correction: they hold exactly, and our parts sum to the same."""
    raw, target, _ = members(*sizes)
    rows = np.arange(len(target))
    logs = log_softmax(raw, axis=-1)
    error = -logs[:, :, rows, target].mean(axis=(0, 1))
    mean = log_softmax(logs.mean(axis=(0, 1)), axis=-1)  # the normalized geometric mean
    variance = (np.exp(mean) * (mean - logs)).sum(-1).mean(axis=(0, 1))
    np.testing.assert_allclose(error, -mean[rows, target] + variance, rtol=1e-9)
    parts = log_loss(np.exp(logs), target)
    np.testing.assert_allclose(parts["total"].mean(0), error, rtol=1e-6)
    np.testing.assert_allclose((parts["bias"] + parts["variance"]).mean(0), error, rtol=1e-6)
    if sizes[1] > 1:
        np.testing.assert_allclose((parts["data"] + parts["seed"]).mean(0), parts["variance"].mean(0), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_with_the_true_chances_log_loss_has_noise_of_its_own(sizes) -> None:
    raw, target, truth = members(*sizes)
    logs = log_softmax(raw, axis=-1)
    parts = {name: part.mean(0) for name, part in log_loss(np.exp(logs), target, truth).items()}
    np.testing.assert_allclose(parts["noise"], -(truth * np.log(truth)).sum(-1), rtol=1e-9)
    np.testing.assert_allclose(parts["total"], -(truth * logs).sum(-1).mean(axis=(0, 1)), rtol=1e-6)
    np.testing.assert_allclose(parts["total"], parts["noise"] + parts["bias"] + parts["variance"], rtol=1e-9)


def test_one_column_of_chances_stands_for_two_classes() -> None:
    chances, target = np.random.default_rng(0).random((5, 3, 8, 1)), np.arange(8) % 2
    one, two = log_loss(chances, target), log_loss(np.concatenate([1 - chances, chances], -1), target)
    for name, part in one.items():
        np.testing.assert_array_equal(part, two[name])


# Domingos -------------------------------------------------------------------------------------------------------------


def by_hand(labels, target):
    """Domingos (2000), sections 2 and 3, row by row, with the noise taken as nought; ties go to the first class."""
    bias, unbiased, biased, net = [], [], [], []
    for said, right in zip(labels.reshape(-1, labels.shape[-1]).T, target, strict=True):
        names, counts = np.unique(said, return_counts=True)
        main = names[counts.argmax()]
        stray = said[said != main]
        variance = len(stray) / len(said)
        # c2: 1 where the main prediction is right, else -P(y = y* | y != main), Theorem 4.
        weight = 1.0 if main == right else -float(np.mean(stray == right)) if len(stray) else 0.0
        bias.append(float(main != right))
        unbiased.append(variance if main == right else 0.0)
        biased.append(0.0 if main == right else -weight * variance)
        net.append(weight * variance)
    return {"bias": bias, "unbiased": unbiased, "biased": biased, "variance": net}


@settings(max_examples=100, deadline=None)
@given(SIZES)
def test_zero_one_parts_are_domingos_definitions(sizes) -> None:
    raw, target, _ = members(*sizes)
    labels = raw.argmax(-1)
    rows = zero_one(labels, target, sizes[3]).rows
    for name, values in by_hand(labels, target).items():
        np.testing.assert_allclose(rows[name], values, atol=1e-12, err_msg=name)
    loss = (labels != target).mean(axis=(0, 1))
    np.testing.assert_allclose(rows["bias"] + rows["unbiased"] - rows["biased"], loss, atol=1e-12)
    np.testing.assert_allclose(rows["total"], loss, atol=1e-12)


def test_a_tie_goes_to_the_first_class_whatever_the_rounding() -> None:
    """Three members of each resample of ten say class 1 and as many class 0: means of thirds are not exact."""
    labels = np.array([[0, 0, 1]] * 5 + [[1, 1, 0]] * 5)[:, :, None]
    for order in range(10):
        assert zero_one(np.roll(labels, order, axis=0), np.array([1]), 2).rows["bias"].tolist() == [1.0]


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_zero_one_noise_completes_the_expected_loss(sizes) -> None:
    """Theorem 4 whole: c1 N + B + c2 V, with c1 = P(y = y*) - P(y != y*) P(y = t | y* != t), against enumeration."""
    raw, target, truth = members(*sizes)
    labels, classes = raw.argmax(-1), sizes[3]
    rows = zero_one(labels, target, classes, truth).rows
    shares = (labels[..., None] == np.arange(classes)).mean(axis=(0, 1))
    for i, (share, chance) in enumerate(zip(shares, truth, strict=True)):
        expected = sum(share[y] * chance[t] for y, t in product(range(classes), repeat=2) if y != t)
        best = int(chance.argmax())
        noise = 1 - chance[best]
        hit = sum(share[y] * chance[y] for y in range(classes) if y != best) / noise  # P(y = t, y != y* | y* != t)
        first = share[best] - hit
        assert rows["total"][i] == pytest.approx(expected)
        assert rows["noise"][i] == pytest.approx(first * noise)
        assert rows["bias"][i] + rows["variance"][i] == pytest.approx(1 - share[best])


# Small samples --------------------------------------------------------------------------------------------------------


def mean_of(make, repeats):
    found = [make(np.random.default_rng([7, i])) for i in range(repeats)]
    return {n: (np.mean([f[n] for f in found]), np.std([f[n] for f in found]) / repeats**0.5) for n in found[0]}


def test_squared_estimates_are_unbiased_for_three_resamples_of_two_seeds() -> None:
    """f = 1 + 0.8 z_resample + 0.5 z_seed, y = 3: bias^2 4, of rows 0.64, of seed 0.25, whatever R and S."""

    def make(draw):
        raw = 1 + 0.8 * draw.normal(size=(3, 1, 20, 1)) + 0.5 * draw.normal(size=(3, 2, 20, 1))
        return {name: part.mean() for name, part in squared(raw, np.full((20, 1), 3.0)).items()}

    found = mean_of(make, 3000)
    for name, truth in {"bias": 4, "data": 0.64, "seed": 0.25, "variance": 0.89, "total": 4.89}.items():
        assert abs(found[name][0] - truth) < 3.5 * found[name][1], name
    # Without the correction bias^2 would be 4 + (0.64 + 0.25/2)/3 = 4.255: far outside.
    assert abs(4.255 - found["bias"][0]) > 10 * found["bias"][1]


def test_log_loss_corrections_take_out_most_of_what_few_resamples_bring() -> None:
    """Truth by 200 x 200 members; the plug-in of 4 x 3 is off by far more than the corrected parts."""

    def logits(draw, resamples, seeds):
        return draw.normal(size=(resamples, 1, 1, 3)) + 0.7 * draw.normal(size=(resamples, seeds, 1, 3)) + [1, 0, 0]

    target = np.array([0])
    truth = mean_of(lambda d: _means(log_loss(softmax(logits(d, 200, 200), -1), target)), 20)
    found = mean_of(lambda d: _means(log_loss(softmax(logits(d, 4, 3), -1), target)), 4000)

    def plug_in(draw):
        logs = log_softmax(logits(draw, 4, 3), axis=-1)
        by_resample = log_softmax(logs.mean(1), axis=-1)
        seed = (np.exp(by_resample)[:, None] * (by_resample[:, None] - logs)).sum(-1).mean()
        return {"bias": -log_softmax(logs.mean(axis=(0, 1)), axis=-1)[0, 0], "seed": seed}

    plain = mean_of(plug_in, 4000)
    for name in ("bias", "seed"):
        off, error = abs(found[name][0] - truth[name][0]), np.hypot(found[name][1], truth[name][1])
        assert off < 0.25 * abs(plain[name][0] - truth[name][0]) + 3 * error, name
        assert abs(plain[name][0] - truth[name][0]) > 8 * plain[name][1], name


def _means(parts):
    return {name: part.mean() for name, part in parts.items()}


# Standard errors ------------------------------------------------------------------------------------------------------


def test_standard_errors_are_those_of_repeated_measurement() -> None:
    """Rows with effects of their own, resamples with effects common to all rows: both belong in the error."""

    def make(draw):
        rows, common = draw.normal(size=(1, 1, 30, 1)), 0.5 * draw.normal(size=(15, 1, 1, 1))
        raw = common * (1 + rows) + 0.6 * draw.normal(size=(15, 1, 30, 1)) + 0.4 * draw.normal(size=(15, 3, 30, 1))
        return estimates(squared(raw, 1.5 * rows[0, 0]))

    found = [make(np.random.default_rng([3, i])) for i in range(600)]
    for name in ("total", "bias", "variance", "data", "seed"):
        true = np.std([f[name].value for f in found], ddof=1)
        told = np.sqrt(np.mean([f[name].error ** 2 for f in found]))
        assert 0.88 < told / true < 1.25, (name, told / true)


def test_rows_of_one_group_are_one_observation() -> None:
    draw = np.random.default_rng(0)
    raw, target = draw.normal(size=(40, 2, 25, 1)), 3 * draw.normal(size=(25, 1))
    alone = estimates(squared(raw, target))["total"]
    twice = np.repeat(np.arange(25), 2)
    again = estimates(squared(raw[:, :, twice], target[twice]), groups=twice)["total"]
    assert (again.value, again.error) == pytest.approx((alone.value, alone.error))
    assert estimates(squared(raw[:, :, twice], target[twice]))["total"].error < 0.8 * alone.error


def test_weights_are_counts_of_rows() -> None:
    draw = np.random.default_rng(1)
    raw, target, counts = draw.normal(size=(6, 2, 9, 1)), draw.normal(size=(9, 1)), np.arange(1, 10)
    rows = np.repeat(np.arange(9), counts)
    for name, found in estimates(squared(raw, target), weights=counts.astype(float)).items():
        assert found.value == pytest.approx(estimates(squared(raw[:, :, rows], target[rows]))[name].value), name
    labels, codes = draw.integers(0, 3, (6, 2, 9)), draw.integers(0, 3, 9)
    ours = zero_one(labels, codes, 3).estimates(weights=counts.astype(float))
    theirs = zero_one(labels[..., rows], codes[rows], 3).estimates()
    assert ours["variance"].value == pytest.approx(theirs["variance"].value)


def test_members_that_agree_have_no_variance_and_no_doubt_about_it() -> None:
    raw = np.broadcast_to(np.arange(6.0)[:, None], (5, 3, 6, 1))
    found = estimates(squared(raw, np.zeros((6, 1))))
    assert found["variance"].value == found["seed"].value == found["variance"].error == 0
    assert found["bias"].value == pytest.approx(np.mean(np.arange(6.0) ** 2))
    interval = found["variance"].interval("v")
    assert (interval.low, interval.high) == (0, 0)
    one_row = estimates(squared(np.random.default_rng(0).normal(size=(5, 3, 1, 1)), np.zeros((1, 1))))["total"]
    assert np.isnan(one_row.error), "one row says nothing of others"


# mlxtend --------------------------------------------------------------------------------------------------------------


def mlxtend(all_pred, y_test, loss):
    """The formulas of mlxtend's bias_variance_decomp as published in its user guide; all_pred is (rounds, rows)."""
    if loss == "0-1_loss":
        main = np.apply_along_axis(lambda x: np.argmax(np.bincount(x)), axis=0, arr=all_pred)
        expected = np.apply_along_axis(lambda x: (x != y_test).mean(), axis=1, arr=all_pred).mean()
        variance = np.mean([(pred != main).sum() for pred in all_pred]) / y_test.shape[0]
        return expected, np.sum(main != y_test) / y_test.size, variance
    expected = np.apply_along_axis(lambda x: ((x - y_test) ** 2).mean(), axis=1, arr=all_pred).mean()
    main = np.mean(all_pred, axis=0)
    return expected, np.sum((main - y_test) ** 2) / y_test.size, np.sum((main - all_pred) ** 2) / all_pred.size


def test_mlxtends_squared_error_is_ours_before_the_correction() -> None:
    draw = np.random.default_rng(0)
    pred, y = draw.normal(size=(200, 30)), draw.normal(size=30)
    expected, bias, variance = mlxtend(pred, y, "mse")
    parts = {n: p.mean() for n, p in squared(pred[:, None, :, None], y[:, None]).items()}
    assert parts["total"] == pytest.approx(expected)
    assert parts["variance"] == pytest.approx(variance * 200 / 199)
    assert parts["bias"] == pytest.approx(bias - variance / 199)


def test_mlxtends_zero_one_loss_is_ours_where_its_parts_mean_something() -> None:
    draw = np.random.default_rng(1)
    y = draw.integers(0, 3, 40)
    labels = np.where(draw.random((101, 40)) < 0.35, draw.integers(0, 3, (101, 40)), (y + (np.arange(40) < 8)) % 3)
    expected, bias, variance = mlxtend(labels, y, "0-1_loss")
    rows = {n: p.mean() for n, p in zero_one(labels[:, None], y, 3).rows.items()}
    assert rows["total"] == pytest.approx(expected)
    assert rows["bias"] == pytest.approx(bias)
    assert bias > 0.1, "some main predictions are wrong"
    # Theirs is the plain share of strays: it adds up only where every main prediction is right.
    assert expected < bias + variance - 0.02
    assert expected == pytest.approx(bias + rows["unbiased"] - rows["biased"])
    right = labels[:, 8:]
    expected, bias, variance = mlxtend(right, y[8:], "0-1_loss")
    assert bias == 0
    assert zero_one(right[:, None], y[8:], 3).rows["variance"].mean() == pytest.approx(variance) == expected


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2, 3, 1), (2, 3, 1), (2, 2, 4, 1), (2, 2, 0, 1)])
def test_shapes_that_do_not_fit_are_refused(shape) -> None:
    with pytest.raises(SettingError, match="at least two resamples"):
        squared(np.zeros(shape), np.zeros((3, 1)))


def test_weights_that_do_not_fit_are_refused() -> None:
    parts = squared(np.zeros((2, 2, 3, 1)), np.zeros((3, 1)))
    for weights in (np.zeros(3), np.ones(2)):
        with pytest.raises(SettingError, match="one number of at least 0 for each row"):
            estimates(parts, weights=weights)
