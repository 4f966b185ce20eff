"""Intervals of a score on test rows, and of training losses: all resamples at once, and what they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from wellfit.evidence import METRICS, fold_interval, test_interval, trained_interval
from wellfit.evidence.bootstrap import mean_interval, newcombe, scorer
from wellfit.evidence.intervals import pseudo_values


@settings(max_examples=60, deadline=None)
@example(450, "regression", False)  # one row alone is drawn
@given(st.integers(0, 10**6), st.sampled_from(["binary", "multiclass", "regression"]), st.booleans())
def test_scores_of_all_resamples_at_once_are_the_metrics_own(seed: int, task: str, ties: bool) -> None:
    draw = np.random.default_rng(seed)
    rows = int(draw.integers(4, 30))
    if task == "regression":
        target, predictions = draw.normal(size=rows), draw.normal(size=(rows, 1))
    else:
        classes = 2 if task == "binary" else 3
        target = np.r_[np.arange(classes), draw.integers(0, classes, rows - classes)]
        raw = draw.random((rows, 1 if task == "binary" else 3)) + 0.01
        raw = raw.round(1) + 0.05 if ties else raw
        predictions = raw / (raw.sum(1, keepdims=True) if task == "multiclass" else 2)
    counts = draw.integers(0, 3, (12, rows))
    counts[:, 0] += 1
    for name in ("r2",) if task == "regression" else ("auc", "balanced-accuracy"):
        metric = METRICS[name]
        theirs = [metric.function(task, target, predictions, line) for line in counts]
        np.testing.assert_allclose(scorer(metric, task, target, predictions)(counts), theirs, rtol=1e-9, atol=1e-12)


def test_bootstrap_t_holds_the_mean_of_skewed_losses() -> None:
    """Squares of normal errors, 30 rows: more often than the percentile interval does."""
    draw, held, plain = np.random.default_rng(8), 0, 0
    for i in range(400):
        losses = draw.normal(size=30) ** 2
        low, high = mean_interval(losses, i, 500)
        held += low <= 1 <= high
        means = losses[draw.integers(0, 30, (500, 30))].mean(1)
        a, b = np.quantile(means, [0.025, 0.975])
        plain += a <= 1 <= b
    assert held >= 0.91 * 400
    assert held > plain


def test_rmse_allows_for_the_rare_errors_that_few_rows_lack() -> None:
    """Errors with Student's t of 5 degrees of freedom, 30 rows; and by hand what five more of them would do."""
    draw, held, plain = np.random.default_rng(5), 0, 0
    for i in range(400):
        errors = draw.standard_t(5, 30)
        truth, ends = (5 / 3) ** 0.5, (test_interval("rmse", errors, np.zeros((30, 1)), seed=i), errors**2)
        held += ends[0].low <= truth <= ends[0].high
        low, high = mean_interval(ends[1], i, 2000)
        plain += low <= truth**2 <= high
    assert held >= 0.935 * 400
    assert plain < 0.93 * 400
    squares = ends[1]
    kurtosis = 30 * squares.var(ddof=1) / 30 / squares.mean() ** 2 + 1
    wider = np.sqrt(((30 * kurtosis + 5 * 9) / 35 - 1) / (kurtosis - 1))
    got, before = (np.log(mean_interval(squares, 1, 500, squares=s)) for s in (True, False))
    np.testing.assert_allclose(np.diff(got) / np.diff(before), max(1, wider))


def test_rmse_and_log_loss_move_with_their_unit() -> None:
    draw = np.random.default_rng(0)
    y = draw.normal(size=50)
    out = y + draw.normal(size=50)
    one, ten = (test_interval("rmse", c * y, c * out, seed=3) for c in (1, 10))
    assert (ten.mean, ten.low, ten.high) == pytest.approx((10 * one.mean, 10 * one.low, 10 * one.high))
    assert "bootstrap-t" in one.estimates


def test_newcombes_interval_solves_its_equation() -> None:
    """Method 5 of Newcombe (2006): (area - t)^2 = z^2 V(t), and the ends are inside [0, 1]."""
    for area, m, n in ((0.8, 20, 30), (0.97, 8, 40), (0.5, 5, 5)):
        for t in newcombe(area, m, n):
            star = (m + n) / 2 - 1
            v = t * (1 - t) * (1 + star * (1 - t) / (2 - t) + star * t / (1 + t)) / (m * n)
            assert abs(area - t) == pytest.approx(stats.norm.ppf(0.975) * v**0.5, rel=1e-6)
    low, high = newcombe(1.0, 10, 20)
    assert 0.8 < low < 1
    assert high == 1
    assert newcombe(0.0, 10, 20) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_perfect_ranking_of_few_rows_is_not_certain() -> None:
    target = np.arange(20) % 2
    interval = test_interval("auc", target, np.where(target, 0.9, 0.1)[:, None], seed=0)
    assert interval.mean == interval.high == 1
    assert interval.low < 0.95
    assert "Newcombe" in interval.estimates


def test_no_spread_is_no_interval() -> None:
    interval = test_interval("rmse", np.zeros(5), np.ones((5, 1)), seed=0)
    assert interval.mean == 1
    assert np.isnan(interval.low)
    assert "no interval" in interval.estimates


def test_training_losses_have_the_grouped_jackknifes_interval() -> None:
    """Means of 5 equal groups left out in turn: the jackknife's error is the mean's own, from the groups' means."""
    groups = np.random.default_rng(1).normal(5, size=(5, 30))
    left = np.array([np.delete(groups, k, axis=0).mean() for k in range(5)])
    np.testing.assert_allclose(pseudo_values(left), groups.mean(1))
    found = trained_interval(left, estimates="t")
    half = stats.t.ppf(0.975, 4) * groups.mean(1).std(ddof=1) / 5**0.5
    assert (found.low, found.high) == pytest.approx((groups.mean() - half, groups.mean() + half))
    assert "jackknife" in found.estimates
    plain = fold_interval(left, train_rows=120, test_rows=30, estimates="")
    assert plain.high - plain.low < 0.5 * (found.high - found.low), "the plain one says far too little"
    assert np.isnan(trained_interval([1.0], estimates="t").low)
    assert trained_interval([1.0, 1.0], estimates="t").high == 1
