"""Evidence: metrics against scikit-learn, intervals against hand-made figures and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.errors import SettingError
from wellfit.evidence import (
    METRICS,
    as_metric,
    default_metric,
    difference,
    fold_interval,
    ratio_interval,
    test_interval,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")


# Metrics -------------------------------------------------------------------------------------------------------------


def _classification(seed, rows, outputs, ties):
    draw = np.random.default_rng(seed)
    classes = max(2, outputs)
    target = np.concatenate([np.arange(classes), draw.integers(0, classes, rows)])
    raw = draw.normal(size=(len(target), outputs)) + 0.7 * (target[:, None] == np.arange(outputs))
    raw = np.round(raw) if ties else raw
    chances = 1 / (1 + np.exp(-raw)) if outputs == 1 else np.exp(raw) / np.exp(raw).sum(1, keepdims=True)
    return target, chances


def _theirs(name, target, chances, counts=None):
    m = sklearn_metrics
    labels = (chances[:, 0] > 0.5).astype(int) if chances.shape[1] == 1 else chances.argmax(1)
    if name == "accuracy":
        return m.accuracy_score(target, labels, sample_weight=counts)
    if name == "balanced-accuracy":
        return m.balanced_accuracy_score(target, labels, sample_weight=counts)
    if name == "log-loss":
        full = np.hstack([1 - chances, chances]) if chances.shape[1] == 1 else chances
        return m.log_loss(target, full, sample_weight=counts, labels=np.arange(full.shape[1]))
    if chances.shape[1] == 1:
        return m.roc_auc_score(target, chances[:, 0], sample_weight=counts)
    # scikit-learn takes weights for one against the rest only class by class.
    areas = [m.roc_auc_score(target == c, chances[:, c], sample_weight=counts) for c in range(chances.shape[1])]
    return np.mean(areas)


@pytest.mark.parametrize("name", ["accuracy", "balanced-accuracy", "auc", "log-loss"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 60), outputs=st.sampled_from([1, 3, 4]), ties=st.booleans())
def test_classification_scores_equal_scikit_learns(name, seed, rows, outputs, ties):
    target, chances = _classification(seed, rows, outputs, ties)
    task = "binary" if outputs == 1 else "multiclass"
    function = METRICS[name].function
    assert function(task, target, chances) == pytest.approx(_theirs(name, target, chances), rel=1e-12)
    counts = np.random.default_rng(seed).integers(1, 4, len(target))
    assert function(task, target, chances, counts) == pytest.approx(_theirs(name, target, chances, counts), rel=1e-12)
    again = np.repeat(np.arange(len(target)), counts)
    assert function(task, target[again], chances[again]) == pytest.approx(
        function(task, target, chances, counts), rel=1e-12
    )


def test_multiclass_auc_equals_scikit_learns_own_average():
    target, chances = _classification(0, 50, 4, False)
    theirs = sklearn_metrics.roc_auc_score(target, chances, multi_class="ovr", average="macro")
    assert METRICS["auc"].function("multiclass", target, chances) == pytest.approx(theirs, rel=1e-12)


def test_regression_scores_equal_scikit_learns():
    draw = np.random.default_rng(0)
    target, counts = draw.normal(size=40) * 100 + 7, draw.integers(1, 5, 40)
    values = (target + draw.normal(size=40) * 30)[:, None]
    for weights in (None, counts):
        theirs = sklearn_metrics.mean_squared_error(target, values, sample_weight=weights) ** 0.5
        assert METRICS["rmse"].function("regression", target, values, weights) == pytest.approx(theirs)
        theirs = sklearn_metrics.r2_score(target, values, sample_weight=weights)
        assert METRICS["r2"].function("regression", target, values, weights) == pytest.approx(theirs)


def test_log_loss_is_clipped_where_a_certain_answer_is_wrong():
    target, chances = np.array([0, 1]), np.array([[1.0], [1.0]])
    ours = METRICS["log-loss"].function("binary", target, chances)
    assert ours == pytest.approx(-np.log(np.finfo(float).eps) / 2)
    assert ours == pytest.approx(_theirs("log-loss", target, chances))


def test_undefined_scores_are_nan():
    one = np.zeros(4, dtype=int)
    assert np.isnan(METRICS["auc"].function("binary", one, np.full((4, 1), 0.3)))
    assert np.isnan(METRICS["auc"].function("multiclass", one, np.full((4, 3), 1 / 3)))
    assert np.isnan(METRICS["r2"].function("regression", np.ones(4), np.zeros((4, 1))))
    lacking = np.array([0, 0, 1, 1])  # class 2 has no row here: the mean is over the others
    chances = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]])
    assert METRICS["auc"].function("multiclass", lacking, chances) == pytest.approx((0.75 + 1.0) / 2)
    for name in ("accuracy", "balanced-accuracy", "log-loss"):
        assert np.isnan(METRICS[name].function("binary", one[:0], np.zeros((0, 1))))


def test_names_of_metrics():
    assert as_metric(None, "multiclass").name == default_metric("multiclass") == "accuracy"
    assert as_metric("Balanced_Accuracy", "binary") is METRICS["balanced-accuracy"]
    assert as_metric(METRICS["r2"], "regression") is METRICS["r2"]
    with pytest.raises(SettingError, match=r"'acuracy': did you mean accuracy\?"):
        as_metric("acuracy", "binary")
    with pytest.raises(SettingError, match=r"rmse does not fit a binary task. It takes one of: accuracy"):
        as_metric("rmse", "binary")
    with pytest.raises(SettingError, match=r"auc does not fit a regression task. It takes one of: rmse, r2"):
        as_metric("auc", "regression")


# Intervals over folds ------------------------------------------------------------------------------------------------


def test_fold_interval_by_hand():
    """Five folds of 20 rows on 80: mean 0.30, S^2 = 0.00025, variance (1/5 + 1/4) S^2, t(0.975, 4) = 2.776445."""
    interval = fold_interval([0.28, 0.29, 0.30, 0.31, 0.32], train_rows=80, test_rows=20, estimates="Loss")
    half = 2.7764451051977987 * np.sqrt(0.45 * 0.00025)
    assert interval.mean == pytest.approx(0.30)
    assert interval.high - interval.mean == pytest.approx(half, rel=1e-9)
    assert interval.mean - interval.low == pytest.approx(half, rel=1e-9)
    assert interval.estimates.startswith("Loss, over 5 folds")
    uneven = fold_interval([1, 2, 4], train_rows=[10, 20, 40], test_rows=[10, 10, 10], estimates="")
    ratio, t2 = (1 + 0.5 + 0.25) / 3, 4.302652729911275
    assert uneven.high - uneven.mean == pytest.approx(t2 * np.sqrt((1 / 3 + ratio) * np.var([1, 2, 4], ddof=1)))


def test_difference_is_paired_and_its_word_knows_which_way_is_better():
    base = np.array([0.5, 0.9, 0.2, 0.7, 0.4])  # folds differ much more than cocktails do
    less = base - [0.05, 0.06, 0.05, 0.04, 0.05]
    rows = dict(train_rows=80, test_rows=20, estimates="d")
    assert difference(less, base, **rows, higher_is_better=False).word == "better"
    assert difference(less, base, **rows, higher_is_better=True).word == "worse"
    assert difference(base, less, **rows, higher_is_better=True).word == "better"
    assert difference(base, less, **rows, higher_is_better=False).word == "worse"
    found = difference(less, base, **rows, higher_is_better=False)
    assert found.interval == fold_interval(less - base, **rows)
    assert difference(base[::-1], base, **rows, higher_is_better=True).word == "undecided"


def test_degenerate_folds_are_told_not_hidden():
    rows = dict(train_rows=80, test_rows=20, estimates="Score")
    same = fold_interval([0.9, 0.9, 0.9], **rows)
    assert (same.mean, same.low, same.high) == (0.9, 0.9, 0.9)
    assert "spread cannot be estimated" in same.estimates
    # Equal up to rounding is equal: 0.1 + 0.2 - 0.3 is not zero.
    shifted = difference([0.4, 0.3, 0.2 + 0.1], [0.3, 0.2, 0.2], **rows, higher_is_better=True)
    assert shifted.word == "undecided"
    assert shifted.interval.mean == pytest.approx(0.1)
    assert difference([0.9] * 3, [0.9] * 3, **rows, higher_is_better=True).word == "undecided"
    one = fold_interval([0.9], **rows)
    assert one.mean == 0.9
    assert np.isnan(one.low)
    assert np.isnan(one.high)
    assert "at least two" in one.estimates
    assert difference([0.9], [0.5], **rows, higher_is_better=True).word == "undecided"
    two = fold_interval([1.0, 2.0], train_rows=50, test_rows=50, estimates="")
    assert two.high - two.mean == pytest.approx(12.706204736432095 * np.sqrt(1.5 * 0.5))


def test_folds_where_a_score_is_undefined_are_left_out_and_told():
    nan = float("nan")
    some = fold_interval([1.0, nan, 3.0], train_rows=[10, 99, 10], test_rows=[5, 99, 5], estimates="AUC")
    assert some.low == fold_interval([1.0, 3.0], train_rows=10, test_rows=5, estimates="").low
    assert "the 2 of 3 folds where it is defined" in some.estimates
    none = fold_interval([nan, nan], train_rows=10, test_rows=5, estimates="AUC")
    assert np.isnan(none.mean)
    assert "not defined in any fold" in none.estimates
    half = difference([nan, 2, 4], [1, 1, 1.5], train_rows=10, test_rows=5, higher_is_better=True, estimates="")
    assert half.interval.mean == pytest.approx(1.75)
    undefined = difference([nan, nan], [1, 1], train_rows=10, test_rows=5, higher_is_better=True, estimates="")
    assert undefined.word == "undecided"


def test_counts_of_rows_must_match_the_folds():
    with pytest.raises(SettingError, match="one value per fold"):
        fold_interval([1.0, 2.0, 3.0], train_rows=[10, 10], test_rows=5, estimates="")


def _simulate(repetitions, *, gain=0.0, features=20, rows=60, folds=5):
    """Cross-validate two linear models, each on its own half of the features, which are worth the same but for gain.

    By symmetry their expected losses on new data are equal where gain is 0. With 20 features on 48 rows a model hangs
    on its training rows, which folds share: the case the correction is for. Returns the losses, (repetitions, 2, K).
    """
    draw = np.random.default_rng(20260725)
    losses = np.empty((repetitions, 2, folds))
    parts = np.array_split(np.arange(rows), folds)
    for r in range(repetitions):
        x = draw.normal(size=(rows, 2 * features))
        worth = np.repeat([1 + gain, 1.0], features) / np.sqrt(features)
        y = x @ worth + draw.normal(size=rows)
        for k, part in enumerate(parts):
            train = np.setdiff1d(np.arange(rows), part)
            for j in range(2):
                mine = x[:, j * features : (j + 1) * features]
                weights = np.linalg.lstsq(mine[train], y[train], rcond=None)[0]
                losses[r, j, k] = np.mean((y[part] - mine[part] @ weights) ** 2)
    return losses


def test_the_corrected_interval_keeps_its_promise_where_the_plain_one_does_not():
    losses = _simulate(400)
    rows = dict(train_rows=48, test_rows=12, estimates="", higher_is_better=False)
    false_alarms = np.mean([difference(a, b, **rows).word != "undecided" for a, b in losses])
    assert false_alarms <= 0.06
    plain = dict(rows, test_rows=0)  # without Nadeau and Bengio's term
    plain_alarms = np.mean([difference(a, b, **plain).word != "undecided" for a, b in losses])
    assert plain_alarms > 0.06, "the simulation must be one in which the correction matters"


def test_a_real_difference_is_found_and_named_rightly():
    losses = _simulate(60, gain=2.0, features=1)
    rows = dict(train_rows=48, test_rows=12, estimates="", higher_is_better=False)
    words = [difference(a, b, **rows).word for a, b in losses]
    assert words.count("better") > 36
    assert "worse" not in words


def test_the_interval_of_a_loss_covers_the_loss_on_new_data():
    """Least squares on p Gaussian features and n rows loses v (1 + p / (n - p - 1)); v is what is left over, here 2."""
    losses = _simulate(400, features=5)[:, 0]
    truth = 2 * (1 + 5 / (48 - 5 - 1))
    intervals = [fold_interval(v, train_rows=48, test_rows=12, estimates="") for v in losses]
    assert np.mean([i.low <= truth <= i.high for i in intervals]) >= 0.94


def test_ratios_are_judged_on_the_scale_of_factors():
    """One fold with a loss ten times that of the others hides a factor of two from a difference, not from a ratio."""
    base = np.array([0.1, 0.12, 1.1, 0.09, 0.11])
    doubled, rows = base * [2.1, 1.9, 2.0, 2.2, 1.8], dict(train_rows=80, test_rows=20, estimates="Ratio")
    found = ratio_interval(doubled, base, **rows)
    logs = np.log([2.1, 1.9, 2.0, 2.2, 1.8])
    half = 2.7764451051977987 * np.sqrt(0.45) * logs.std(ddof=1)
    assert found.mean == pytest.approx(np.exp(logs.mean()))
    assert found.low == pytest.approx(np.exp(logs.mean() - half))
    assert found.high == pytest.approx(np.exp(logs.mean() + half))
    assert difference(doubled, base, **rows, higher_is_better=False).word == "undecided"
    assert ratio_interval([1.0, 2.0], [0.0, 0.0], **rows).mean == pytest.approx(1e9)
    assert ratio_interval([0.0, 0.0], [0.0, 0.0], **rows).mean == 1.0
    unlike = ratio_interval([0.0, 1.0], [1.0, 0.0], train_rows=1, test_rows=99, estimates="")
    assert (unlike.low, unlike.mean, unlike.high) == (0.0, 1.0, np.inf)


# Test scores ---------------------------------------------------------------------------------------------------------


def test_wilsons_interval_on_the_courses_200_test_points():
    target = np.ones(200, dtype=int)
    chances = np.where(np.arange(200) < 190, 0.9, 0.1)[:, None]
    interval = test_interval("accuracy", target, chances, seed=0)
    z, p, n = 1.959963984540054, 0.95, 200
    middle, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z * np.sqrt(p * (1 - p) / n + (z / 2 / n) ** 2) / (1 + z * z / n),
    )
    assert interval.mean == 0.95
    assert interval.low == pytest.approx(middle - half)
    assert interval.high == pytest.approx(middle + half)
    assert interval.low < 0.915, "95.0% against 91.5% on 200 points is within noise"
    assert "200 test rows" in interval.estimates


@pytest.mark.parametrize("name", ["auc", "log-loss", "rmse"])
def test_bootstrap_agrees_with_scipys(name):
    from scipy.stats import bootstrap

    if name in ("rmse", "r2"):
        draw = np.random.default_rng(1)
        target = draw.normal(size=150)
        predictions, task = (target + 0.5 * draw.normal(size=150))[:, None], "regression"
    else:
        target, predictions = _classification(1, 150, 3, False)
        task = "multiclass"

    def statistic(rows):
        return METRICS[name].function(task, target[rows], predictions[rows])

    theirs = bootstrap(
        (np.arange(len(target)),), statistic, vectorized=False, n_resamples=1000, method="percentile", rng=5
    ).confidence_interval
    ours = test_interval(name, target, predictions, seed=3)
    width = theirs.high - theirs.low  # ours is a little wider: see wellfit.evidence.bootstrap
    assert ours.low == pytest.approx(theirs.low, abs=0.15 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.15 * width)
    assert ours == test_interval(name, target, predictions, seed=3)
    assert ours != test_interval(name, target, predictions, seed=4)


def test_degenerate_test_sets():
    one = np.zeros(5, dtype=int)
    undefined = test_interval("auc", one, np.full((5, 1), 0.2), seed=0)
    assert np.isnan(undefined.mean)
    assert "not defined on these 5 test rows" in undefined.estimates
    rare = test_interval("auc", np.array([0, 0, 0, 0, 1]), np.array([0.1, 0.2, 0.6, 0.4, 0.5]), seed=0)
    assert rare.low <= rare.mean == 0.75 <= rare.high  # resamples without the one positive row are left out
    with pytest.raises(SettingError, match="3 predictions were given for 5 targets"):
        test_interval("accuracy", one, np.zeros((3, 1)), seed=0)
