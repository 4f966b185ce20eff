"""The corrected score: against the definition written out, where the truth is known, and with a fault put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, root_mean_squared_error

from wellfit import rng
from wellfit.errors import SettingError
from wellfit.evidence import corrected as room
from wellfit.evidence.calibration import temperature
from wellfit.evidence.corrected import corrected
from wellfit.evidence.metrics import METRICS
from wellfit.nets.network import apply_temperature
from wellfit.records import Corrected
from wellfit.select.ensemble import blend, greedy


def noise(seed, rows=150, count=30):
    """Configurations that know nothing: the truth is an accuracy and an AUC of a half."""
    draw = np.random.default_rng(seed)
    return draw.integers(0, 2, rows), draw.random((count, rows, 1))


def best_by(name, target, predictions, task="binary"):
    """A selection: the best single configuration by a metric."""
    metric = METRICS[name]
    sign = 1 if metric.higher_is_better else -1

    def select(weights):
        return predictions[np.argmax([sign * metric.function(task, target, p, weights) for p in predictions])]

    return select


def folds(target, count=5):
    return np.arange(len(target)) % count


THEIRS = {
    "accuracy": lambda target, chances, w: accuracy_score(target, chances[:, 0] > 0.5, sample_weight=w),
    "auc": lambda target, chances, w: roc_auc_score(target, chances[:, 0], sample_weight=w),
    "log-loss": lambda target, chances, w: log_loss(target, chances[:, 0], sample_weight=w),
    "rmse": lambda target, values, w: root_mean_squared_error(target, values[:, 0], sample_weight=w),
}


@pytest.mark.parametrize("name", list(THEIRS))
def test_the_estimate_equals_its_definition(name):
    """Tsamardinos et al.'s algorithm 3 and Efron and Tibshirani's formula 29, by scikit-learn's metrics."""
    target, predictions = noise(1, rows=90, count=8)
    task = "regression" if name == "rmse" else "binary"
    predictions[3] = 0.5 * predictions[3] + 0.4 * target[:, None]  # one that knows something
    score, sign = THEIRS[name], 1 if METRICS[name].higher_is_better else -1

    def select(weights):
        values = [sign * score(target[weights > 0], p[weights > 0], weights[weights > 0]) for p in predictions]
        return predictions[np.argmax(values)]

    got = corrected(task, target, predictions, name, fold=folds(target), select=select, seed=4, resamples=12)
    draw, outside = rng.generator(4, rng.RESAMPLE), []
    for _ in range(12):
        rows = draw.integers(0, 90, 90)
        chosen = select(np.bincount(rows, minlength=90).astype(float))
        left = np.setdiff1d(np.arange(90), rows)
        outside.append(score(target[left], chosen[left], None))
    everything = select(np.ones(90))
    naive = -sign * score(target, everything, None)
    ignorant = -sign * np.mean([score(draw.permutation(target), everything, None) for _ in range(20)])
    err1 = min(-sign * np.mean(outside), ignorant)
    rate = max(0, (err1 - naive) / (ignorant - naive))
    weight = (1 - np.exp(-1)) / (1 - np.exp(-1) * rate)
    assert got.naive == pytest.approx(-sign * naive)
    assert got.score.mean == pytest.approx(-sign * ((1 - weight) * naive + weight * err1))
    assert got.optimism == pytest.approx(sign * (got.naive - got.score.mean))
    assert got.resamples == 12
    assert got.score.low < got.score.mean < got.score.high


@pytest.mark.parametrize("name", ["accuracy", "auc", "log-loss"])
def test_knowing_nothing_is_seen_through(name):
    """Over 8 problems of pure noise: the naive score flatters, the corrected one far less, the interval holds."""
    found = []
    for seed in range(8):
        target, predictions = noise(seed, rows=100, count=12)
        select, fold = best_by(name, target, predictions), folds(target)
        found.append(corrected("binary", target, predictions, name, fold=fold, select=select, seed=seed, resamples=40))
    again = corrected("binary", target, predictions, name, fold=fold, select=select, seed=7, resamples=40)
    assert (again.score, again.naive) == (found[-1].score, found[-1].naive)
    truth = 1.0 if name == "log-loss" else 0.5  # uniform chances: the mean of -log u
    naive, optimism = (np.mean([getattr(f, key) for f in found]) for key in ("naive", "optimism"))
    assert optimism > 0.03
    assert abs(naive - truth) > 0.05
    assert abs(np.mean([f.score.mean for f in found]) - truth) < 0.6 * abs(naive - truth)
    assert sum(f.score.low <= truth <= f.score.high for f in found) >= 7


def test_one_configuration_has_no_optimism():
    """Nothing was chosen: the corrected score is the plain one but for the resamples' noise, with Wilson's interval,

    or one as wide as the allowance for shared training rows asks for.
    """
    draw = np.random.default_rng(0)
    target = draw.integers(0, 2, 400)
    chances = np.where(draw.random(400) < 0.8, target, 1 - target)[None, :, None] * 0.6 + 0.2
    one_model = corrected(
        "binary", target, chances, "accuracy", fold=np.zeros(400), select=lambda weights: chances[0], seed=0
    )
    right = round(one_model.naive * 400)
    wilson = binomtest(right, 400).proportion_ci(0.95, method="wilson")
    assert abs(one_model.optimism) < 0.01
    assert one_model.score.high - one_model.score.low == pytest.approx(wilson.high - wilson.low, rel=0.15)
    five = corrected(
        "binary", target, chances, "accuracy", fold=folds(target), select=lambda weights: chances[0], seed=0
    )
    ratio = (five.score.high - five.score.low) / (one_model.score.high - one_model.score.low)
    assert ratio == pytest.approx(np.sqrt(1.44), rel=0.02)


def test_all_rows_right_still_leave_doubt():
    target = np.arange(60) % 2
    chances = (0.1 + 0.8 * target)[None, :, None]
    for name in ("accuracy", "auc", "balanced-accuracy"):
        got = corrected("binary", target, chances, name, fold=folds(target), select=lambda weights: chances[0], seed=0)
        assert got.score.mean == got.score.high == 1
        assert 0.85 < got.score.low < 1 - 3 / 60


@pytest.mark.parametrize("name", ["rmse", "auc"])
def test_metrics_that_are_no_means_of_rows_are_covered(name):
    """24 problems with a known truth, the selection wellfit's own. An interval of 60% coverage would fail surely."""
    held, naive, widths = 0, [], []
    for seed in range(24):
        draw = np.random.default_rng(seed)
        rows, new, count = 100, 3000, 12
        signal, strengths = draw.normal(size=rows + new), draw.uniform(0, 1, (count, 1))
        raw = strengths * signal + draw.normal(size=(count, rows + new))
        if name == "auc":
            task, target = "binary", (signal + draw.normal(size=rows + new) > 0).astype(np.int64)
            predictions = 1 / (1 + np.exp(-raw[:, :, None]))
        else:
            task, target, predictions = "regression", 10 * signal + draw.normal(size=rows + new), 8 * raw[:, :, None]
        ours, known = predictions[:, :rows], target[:rows]

        def select(weights, task=task, known=known, ours=ours):
            return blend(ours, greedy(task, known, ours, weights=weights, rounds=5))

        got = corrected(task, known, ours, name, fold=folds(known), select=select, seed=seed, resamples=20)
        shares = greedy(task, known, ours, rounds=5)
        metric = METRICS[name].function
        true = metric(task, target[rows:], blend(predictions[:, rows:], shares))
        held += got.score.low <= true <= got.score.high
        naive.append(got.naive - true if name == "auc" else true - got.naive)
        widths.append(got.score.high - got.score.low)
    assert held >= 21
    assert np.mean(naive) > 0  # the naive score flatters
    assert np.median(widths) < {"rmse": 2.6, "auc": 0.26}[name]


def test_a_blend_with_its_temperature_is_corrected_whole():
    target, predictions = noise(3, rows=120, count=20)
    predictions[0] = 0.5 + 0.3 * (target[:, None] - 0.5) + 0.3 * (predictions[0] - 0.5)
    predictions[5, 10] = np.nan  # diverged
    seen = []

    def select(weights):
        seen.append(weights.copy())
        blended = blend(predictions, greedy("binary", target, predictions, weights=weights))
        return apply_temperature("binary", blended, temperature("binary", target, blended, weights))

    got = corrected("binary", target, predictions, "log-loss", fold=folds(target), select=select, seed=0, resamples=20)
    assert isinstance(got, Corrected)
    assert got.score.low < got.score.mean < got.score.high
    assert len(seen) == 21
    np.testing.assert_array_equal(seen[0], np.ones(120))
    assert all(w.sum() == 120 and (w == 0).any() for w in seen[1:])
    assert "test score is the unbiased one" in got.score.estimates
    assert "20 resamples" in got.score.estimates


def test_many_classes():
    draw = np.random.default_rng(0)
    target = draw.integers(0, 3, 120)
    predictions = draw.dirichlet(np.ones(3), size=(12, 120))
    for name in ("accuracy", "log-loss", "auc"):
        select = best_by(name, target, predictions, "multiclass")
        got = corrected(
            "multiclass", target, predictions, name, fold=folds(target), select=select, seed=0, resamples=30
        )
        assert got.optimism > 0
        assert got.score.low < {"accuracy": 1 / 3, "log-loss": 1.5, "auc": 0.5}[name] < got.score.high


def test_scoring_on_the_rows_of_the_choice_would_be_caught(monkeypatch):
    """The seeded fault: resamples are scored on the rows that they chose by, and nothing is corrected any more."""
    target, predictions = noise(2)
    select = best_by("accuracy", target, predictions)
    arguments = {"fold": folds(target), "select": select, "seed": 0, "resamples": 40}
    honest = corrected("binary", target, predictions, "accuracy", **arguments)

    def leak(score, select, rows, count, draw):
        weights = [np.bincount(draw.integers(0, rows, rows), minlength=rows).astype(float) for _ in range(count)]
        return np.array([score(select(w), w) for w in weights])

    monkeypatch.setattr(room, "_left_out", leak)
    assert honest.optimism > 0.05 > 0.01 > corrected("binary", target, predictions, "accuracy", **arguments).optimism


def test_where_there_is_no_score_there_is_no_interval():
    target, predictions = np.zeros(20, dtype=np.int64), np.full((2, 20, 1), 0.3)
    got = corrected("binary", target, predictions, "auc", fold=folds(target), select=lambda w: predictions[0], seed=0)
    assert np.isnan([got.score.mean, got.score.low, got.score.high, got.optimism]).all()
    assert got.resamples == 0
    assert "not defined" in got.score.estimates
    target[3] = 1  # a third of the resamples leave the one row of class 1 out
    got = corrected("binary", target, predictions, "auc", fold=folds(target), select=lambda w: predictions[0], seed=0)
    assert 20 < got.resamples < 60
    assert got.score.mean == 0.5


def test_large_problems_get_fewer_resamples_and_small_bags():
    rows = 12_000
    target = np.arange(rows) % 2
    predictions = np.broadcast_to(np.full((1, 1, 1), 0.3), (1000, rows, 1))
    sums = []

    def select(weights):
        sums.append(weights.sum())
        return predictions[0]

    got = corrected("binary", target, predictions, "accuracy", fold=folds(target), select=select, seed=0)
    assert got.resamples == room.FEWEST == len(sums) - 1
    assert set(sums[1:]) == {room.IN_BAG}


@pytest.mark.parametrize(
    "change",
    [
        {"predictions": np.zeros((3, 20))},
        {"predictions": np.zeros((3, 19, 1))},
        {"fold": np.zeros(19)},
        {"resamples": 0},
        {"resamples": True},
        {"select": lambda weights: np.zeros(20)},
        {"metric": "rmse"},
    ],
)
def test_what_makes_no_sense_is_refused(change):
    target, predictions = noise(0, rows=20, count=3)
    given = {
        "predictions": predictions,
        "metric": "accuracy",
        "fold": folds(target),
        "select": lambda weights: predictions[0],
        "seed": 0,
    } | change
    with pytest.raises(SettingError):
        corrected("binary", target, given.pop("predictions"), given.pop("metric"), **given)
