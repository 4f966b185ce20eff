"""What the lessons say of their networks holds for the networks they train, at full size."""

from __future__ import annotations

import numpy as np
import pytest

from wellfit.job.lesson_training import teach
from wellfit.report.lesson_facts import place
from wellfit.report.lesson_page import lesson_page
from wellfit.report.lessons import LESSONS, find


@pytest.fixture(scope="module")
def taught():
    known: dict = {}

    def get(name):
        if name not in known:
            known[name] = teach(find(name))
        return known[name]

    return get


def means(path):
    return path.train_losses.mean(axis=(1, 2)), path.losses.mean(axis=(1, 2))


@pytest.mark.parametrize("name", ["overfitting", "l1-or-l2", "dropout", "early-stopping", "augmentation"])
def test_overfitting_the_right_fit_and_underfitting_are_seen(taught, name) -> None:
    for path in taught(name).paths:
        train, loss = means(path)
        best, strong = path.best, place(path, "strong")
        assert 0 < best < strong
        assert train[0] < 0.02 < 0.5 < loss[0]  # learned by heart
        assert loss[best] < 0.2
        assert train[best] > 5 * train[0]
        assert loss[best] - train[best] < 0.1 * (loss[0] - train[0])
        assert loss[strong] > loss[best]
        assert train[strong] > train[best]


def test_overfitting_is_worse_than_no_model_and_too_strong_is_none(taught) -> None:
    path = taught("overfitting").paths[0]
    train, loss = means(path)
    assert loss[0] > path.chance
    assert abs(train[-1] - path.chance) < 0.02
    assert abs(loss[-1] - path.chance) < 0.02
    curve = path.curves["score_loss"][0]
    assert 0 < curve.argmin() < 0.5 * len(curve)


def test_l1_makes_exact_zeros_and_l2_none(taught) -> None:
    result = taught("l1-or-l2")
    (l1, l2), (frame_one, frame_two) = result.paths, result.frames
    assert frame_one.zeros[l1.best] > 0.9
    assert frame_one.zeros[0] == frame_two.zeros[0] == frame_two.zeros[l2.best] == 0


def test_an_early_stop_comes_long_before_the_end(taught) -> None:
    path = taught("early-stopping").paths[0]
    assert 0 < path.strengths[path.best] < 0.3 * path.strengths[0]
    assert path.strengths[place(path, "strong")] > 0


def test_variance_falls_and_bias_rises(taught) -> None:
    result = taught("bias-variance")
    samples, best = result.samples, result.paths[0].best
    assert samples.variance[0] > 10 * samples.bias[0]
    assert samples.variance[best] < 0.5 * samples.variance[0]
    assert samples.bias[-1] > 10 * samples.bias[best]
    assert samples.variance[-1] > 0.5 * samples.variance[best]  # little is left to be saved
    total = samples.bias + samples.variance
    assert total.argmin() == best
    assert 0 < best < len(total) - 1


def test_a_slower_rate_only_gets_there_later(taught) -> None:
    rates, turned = taught("learning-rate").paths
    curves = rates.curves["score_loss"]
    lows = curves.argmin(axis=1)
    passed = lows < 0.95 * (curves.shape[1] - 1)
    assert passed.sum() >= 5
    assert (np.diff(lows[passed]) > 0).all()
    assert np.ptp(curves.min(axis=1)[passed]) < 0.02
    assert (curves[passed, -1][:4] > 3 * curves.min(axis=1)[passed][:4]).all()
    kept = turned.curves["score_loss"][turned.best]
    assert kept[-1] < kept.min() + 0.01


@pytest.mark.parametrize("name", [lesson.name for lesson in LESSONS])
def test_pages_are_small(taught, name) -> None:
    assert len(lesson_page(find(name), taught(name)).encode()) < 1_000_000
