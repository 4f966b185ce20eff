"""The blend against a brute-force greedy, the temperature against SciPy, both against what they promise."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wellfit.errors import SettingError
from wellfit.evidence.calibration import HIGHEST, LOWEST, PRIOR, temperature
from wellfit.evidence.metrics import METRICS
from wellfit.nets.network import apply_temperature
from wellfit.select import ensemble
from wellfit.select.ensemble import blend, greedy

TASKS = ("binary", "multiclass", "regression")


def library(task, seed, rows=60, count=7):
    """A target and configurations that know different shares of it."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(rows, 3))
    if task == "regression":
        target = hidden[:, 0] * 5 + 2
        return target, target[None, :, None] + draw.normal(size=(count, rows, 1)) * draw.uniform(0.5, 4, (count, 1, 1))
    scores = hidden * draw.uniform(0, 2, (count, 1, 1)) + draw.normal(size=(count, rows, 3))
    if task == "binary":
        target = (hidden[:, 0] + draw.normal(size=rows) > 0).astype(np.int64)
        return target, 1 / (1 + np.exp(-scores[:, :, :1]))
    raised = np.exp(scores)
    return hidden.argmax(1), raised / raised.sum(-1, keepdims=True)


def loss(task, target, predictions, weights=None):
    if task == "regression":
        return METRICS["rmse"].function(task, target, predictions, weights) ** 2
    return METRICS["log-loss"].function(task, target, predictions, weights)


def brute_force(task, target, predictions, weights=None, rounds=25, start=5):
    """The same rule, written for plainness: every candidate of every round is evaluated."""
    alone = [loss(task, target, p, weights) for p in predictions]
    order = np.argsort(alone, kind="stable")

    def value(picks):
        return loss(task, target, predictions[picks].mean(0), weights)

    starts = [list(order[: i + 1]) for i in range(min(start, len(order)))]
    picks = starts[int(np.argmin([value(s) for s in starts]))]
    best, lowest = list(picks), value(picks)
    for _ in range(rounds):
        values = [value([*picks, c]) for c in range(len(predictions))]
        picks = [*picks, int(np.argmin(values))]
        if min(values) < lowest * (1 - 1e-12):
            best, lowest = list(picks), min(values)
    return np.bincount(best, minlength=len(predictions)) / len(best)


# The blend -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(4, 60),
    count=st.integers(1, 30),
    rounds=st.integers(1, 12),
    start=st.integers(1, 6),
)
def test_greedy_equals_brute_force(task, seed, rows, count, rounds, start):
    target, predictions = library(task, seed, rows, count)
    found = greedy(task, target, predictions, rounds=rounds, start=start)
    wanted = brute_force(task, target, predictions, None, rounds, start)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    # On few rows two ways may tie but for rounding, and part: what they promise is the loss.
    ours, theirs = (loss(task, target, blend(predictions, w)) for w in (found, wanted))
    assert ours == pytest.approx(theirs, rel=1e-9)
    if rows >= 30:
        np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_weights_are_repeated_rows(task, seed):
    target, predictions = library(task, seed)
    counts = np.random.default_rng(seed).integers(0, 4, len(target))
    again = np.repeat(np.arange(len(target)), counts)
    weighted, repeated = (
        greedy(task, target, predictions, weights=counts),
        greedy(task, target[again], predictions[:, again]),
    )
    np.testing.assert_allclose(weighted, repeated)
    np.testing.assert_allclose(weighted, greedy(task, target, predictions, weights=counts * 0.1))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("bags", [1, 4])
def test_never_worse_than_the_best_single_one_on_its_rows(task, bags):
    for seed in range(10):
        target, predictions = library(task, seed, rows=15)
        shares = greedy(task, target, predictions, bags=bags, seed=seed)
        best = min(loss(task, target, p) for p in predictions)
        assert shares.sum() == pytest.approx(1)
        assert loss(task, target, blend(predictions, shares)) <= best * (1 + 1e-12)
        np.testing.assert_array_equal(shares, greedy(task, target, predictions, bags=bags, seed=seed))


def test_the_best_single_one_wins_ties_and_the_first_of_equals():
    target = np.array([0, 1, 0, 1])
    good, poor = np.array([0.1, 0.9, 0.1, 0.9]), np.array([0.4, 0.6, 0.4, 0.6])
    predictions = np.array([poor, good, good, poor])[:, :, None]
    np.testing.assert_array_equal(greedy("binary", target, predictions), [0, 1, 0, 0])
    np.testing.assert_array_equal(greedy("binary", target, predictions, bags=5), [0, 1, 0, 0])
    values = np.array([[2.0, 2, 2, 2], target * 1.0, target * 1.0])[:, :, None]
    np.testing.assert_array_equal(greedy("regression", target * 1.0, values), [0, 1, 0])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_configurations_that_are_not_finite_are_never_chosen(task, bad):
    target, predictions = library(task, 3)
    clean = greedy(task, target, predictions[1:])
    broken = predictions.copy()
    broken[0] = broken[np.argmax(clean) + 1]
    broken[0, 7] = bad  # as good as the best, but for one row
    weights = np.ones(len(target))
    weights[7] = 0  # and that row does not even count
    assert greedy(task, target, broken, weights=weights)[0] == 0
    found = greedy(task, target, broken)
    np.testing.assert_array_equal(found, [0, *clean])
    assert np.isfinite(blend(broken, found)).all()
    with pytest.raises(SettingError, match="each of the 7 configurations"):
        greedy(task, target, np.full_like(predictions, np.nan))


def test_a_blend_of_unlike_ones_beats_them_on_new_rows():
    wins = 0
    for seed in range(10):
        target, predictions = library("binary", seed, rows=1200, count=20)
        shares = greedy("binary", target[:200], predictions[:, :200])
        single = np.argmin([loss("binary", target[:200], p[:200]) for p in predictions])
        new = blend(predictions[:, 200:], shares)
        wins += loss("binary", target[200:], new) < loss("binary", target[200:], predictions[single, 200:])
    assert wins >= 9


def test_a_faulty_choice_would_be_caught(monkeypatch):
    """The seeded fault: losses far apart count as equal, so the first of them is taken."""
    target, predictions = library("binary", 5, rows=80, count=30)
    wanted = brute_force("binary", target, predictions)
    for batch in (1, 8, 1000):
        monkeypatch.setattr(ensemble, "_BATCH", batch)
        np.testing.assert_allclose(greedy("binary", target, predictions), wanted)
    monkeypatch.setattr(ensemble, "_TIE", 0.01)
    assert not np.allclose(greedy("binary", target, predictions), wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"target": np.zeros(3, dtype=np.int64)},
        {"predictions": np.zeros((7, 60))},
        {"predictions": np.zeros((0, 60, 1))},
        {"weights": np.ones(59)},
        {"weights": -np.ones(60)},
        {"weights": np.zeros(60)},
        {"weights": np.full(60, np.nan)},
        {"rounds": 0},
        {"rounds": True},
        {"start": 0},
        {"bags": 1.5},
    ],
)
def test_what_makes_no_sense_is_refused(change):
    target, predictions = library("binary", 0)
    given_ = {"target": target, "predictions": predictions} | change
    with pytest.raises(SettingError):
        greedy("binary", given_.pop("target"), given_.pop("predictions"), **given_)


def test_a_blend_needs_one_weight_a_configuration():
    with pytest.raises(SettingError, match="one weight a configuration"):
        blend(np.zeros((3, 4, 1)), np.ones(2))


def test_it_is_fast():
    """Of three tries, the best: the machine may be busy."""
    target, predictions = library("binary", 0, rows=2000, count=100)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        greedy("binary", target, predictions)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.25  # 0.02 s on a quiet core


# The temperature -----------------------------------------------------------------------------------------------------


def reference_temperature(task, target, predictions, weights):
    """The same with the imaginary rows written out as rows, by SciPy."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    both = np.hstack([1 - predictions, predictions]) if task == "binary" else predictions
    both = np.clip(both, np.finfo(float).eps, 1)  # as the metric does
    classes = both.shape[1]
    rows = np.tile(np.arange(len(both)), 1 + classes)
    codes = np.concatenate([target, *(np.full(len(both), c) for c in range(classes))])
    share = PRIOR / weights.sum()
    counts = np.concatenate([weights, *(share * weights * both[:, c] for c in range(classes))])

    def value(inverse):
        logs = log_softmax(inverse * np.log(both[rows]), axis=1)
        return -(counts * logs[np.arange(len(rows)), codes]).sum()

    return 1 / minimize_scalar(value, bounds=(1 / HIGHEST, 1 / LOWEST), method="bounded", options={"xatol": 1e-10}).x


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), power=st.floats(0.2, 5))
@example(seed=1376, power=4.0)  # chances below float64's epsilon
def test_temperature_equals_scipys_minimum(task, seed, power):
    target, predictions = library(task, seed, rows=40, count=1)
    chances = apply_temperature(task, predictions[0], 1 / power)
    weights = np.random.default_rng(seed).integers(0, 3, 40) + 0.5
    found = temperature(task, target, chances, weights)
    assert found == pytest.approx(reference_temperature(task, target, chances, weights), rel=1e-4)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_temperature_undoes_overconfidence(task):
    target, predictions = library(task, 1, rows=5000, count=1)
    base = temperature(task, target, predictions[0])
    sharper = apply_temperature(task, predictions[0], 1 / 3)
    found = temperature(task, target, sharper)
    assert found == pytest.approx(3 * base, rel=0.02)
    assert loss(task, target, apply_temperature(task, sharper, found)) < loss(task, target, sharper)
    # Which class is likeliest stays.
    accuracy = METRICS["accuracy"].function
    assert accuracy(task, target, sharper) == accuracy(task, target, apply_temperature(task, sharper, found))


def test_rows_without_a_fault_do_not_ask_for_certainty():
    target = np.array([0, 1] * 10)
    chances = np.where(target == 1, 0.8, 0.2)[:, None]
    assert 0.3 < temperature("binary", target, chances) < 0.9
    many = np.tile(target, 50)
    assert LOWEST <= temperature("binary", many, np.tile(chances, (50, 1))) < 0.3
    certain = target[:, None] * 1.0
    assert LOWEST <= temperature("binary", target, certain) <= HIGHEST
    assert temperature("binary", 1 - many, np.tile(chances, (50, 1))) == HIGHEST  # all wrong: as even as allowed


def test_temperature_is_one_where_there_is_nothing_to_fit():
    target = np.array([0, 1, 2, 0])
    assert temperature("multiclass", target, np.full((4, 3), 1 / 3)) == 1
    assert temperature("regression", target * 1.0, np.ones((4, 1))) == 1
    values = np.array([[3.0], [-1.0]])
    np.testing.assert_array_equal(apply_temperature("regression", values, 2.0), values)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_temperature_of_weights_is_that_of_repeated_rows(seed):
    target, predictions = library("binary", seed, count=1)
    counts = np.random.default_rng(seed).integers(0, 4, len(target))
    again = np.repeat(np.arange(len(target)), counts)
    weighted = temperature("binary", target, predictions[0], counts)
    assert weighted == pytest.approx(temperature("binary", target[again], predictions[0][again]), rel=1e-6)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_applied_temperatures_multiply(task):
    _, predictions = library(task, 0)
    once = apply_temperature(task, apply_temperature(task, predictions, 2.0), 1.5)
    np.testing.assert_allclose(once, apply_temperature(task, predictions, 3.0), rtol=1e-12)
    if task == "multiclass":
        np.testing.assert_allclose(once.sum(-1), 1)


def test_temperature_refuses_what_makes_no_sense():
    target = np.array([0, 1])
    with pytest.raises(SettingError, match="1 of 2 rows"):
        temperature("binary", target, np.array([[0.5], [np.nan]]))
    with pytest.raises(SettingError, match="rows, outputs"):
        temperature("binary", target, np.array([0.5, 0.5]))
    with pytest.raises(SettingError, match="Weights"):
        temperature("binary", target, np.array([[0.5], [0.5]]), np.zeros(2))
    for bad in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(SettingError, match="above 0"):
            apply_temperature("binary", np.array([[0.5]]), bad)
