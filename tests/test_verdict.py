"""The verdict: the word, the signs it rests on, and what is said where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wellfit.evidence import difference, ratio_interval, verdict
from wellfit.evidence.intervals import family, one_sided
from wellfit.evidence.verdict import _bounds, judge
from wellfit.records import CocktailResult, Comparison, Difference, Interval


def _result(name, loss, gap=(1.0, 0.1), rise=(1.0, 0.02), change=None, diverged=0):
    """A line; gap and rise are ratios, change a difference in loss: (mean, half width)."""

    def interval(mean, half):
        return Interval(mean, mean - half, mean + half, "")

    paired = Difference(interval(0, 0), "reference")
    if change is not None:
        mean, half = change
        word = "undecided" if abs(mean) <= half else "better" if mean < 0 else "worse"
        paired = Difference(interval(mean, half), word, 2 * one_sided(interval(mean, half), 4))
    return CocktailResult(
        name, 25, diverged, interval(loss / gap[0], 0.01), interval(loss, 0.02), None, paired, None, 10.0,
        gap=interval(*gap), rise=interval(*rise),
    )  # fmt: skip


def _comparison(*results):
    words = family([r.loss_difference for r in results])
    results = tuple(replace(r, loss_difference=d) for r, d in zip(results, words, strict=True))
    rows = np.empty(0)
    return Comparison("d", "binary", "accuracy", True, "8", "adam", 5, 5, 0, results, "none", rows, {})


GAP, NO_GAP, ROSE, FLAT, NOISY = (3.0, 1.5), (2.0, 1.5), (1.3, 0.2), (1.0, 0.02), (1.3, 0.5)
CURED, SAME, UNSURE, WORSE, LUCKY = (-0.1, 0.01), (0.0, 0.01), (-0.1, 0.2), (0.1, 0.02), (-0.1, 0.09)


@pytest.mark.parametrize(
    ("gap", "rise", "changes", "word", "clause"),
    [
        (GAP, ROSE, [SAME], "overfits", "stood at 1.3 times its lowest, with 95% confidence at least 1.14 times"),
        (
            GAP,
            FLAT,
            [CURED],
            "overfits",
            "the cocktail l2=1 has a lower loss (difference -0.1, 95% interval -0.11 to -0.09)",
        ),
        (
            GAP,
            FLAT,
            [SAME, CURED, CURED],
            "overfits",
            "2 of 3 cocktails have a lower loss beyond doubt, the lowest l2=2",
        ),
        (
            NO_GAP,
            ROSE,
            [CURED],
            "undecided",
            "is 2 times its training loss (geometric mean over the folds), with 95% confidence at least 0.69 times",
        ),
        (GAP, NOISY, [UNSURE], "undecided", "which may be noise (95% bounds 0.895 and 1.67)"),
        (GAP, NOISY, [SAME], "undecided", "no cocktail lowers the loss by more than 5 percent"),
        (GAP, FLAT, [WORSE], "no sign of overfitting", "did not rise again"),
        (GAP, FLAT, [SAME], "no sign of overfitting", "no cocktail lowers the loss by more than 5 percent"),
        (GAP, FLAT, [LUCKY] * 10, "undecided", "but of 10 cocktails one may look better by luck"),
        (GAP, FLAT, [UNSURE], "undecided", "the best cocktail, l2=1, differs by -0.1, which may be noise"),
        (GAP, FLAT, [], "undecided", "no cocktail was compared"),
    ],
)
def test_the_verdict_rests_on_gap_rise_and_cure(gap, rise, changes, word, clause):
    none = _result("none", 0.5, gap, rise)
    others = [_result(f"l2={i}", 0.5, change=change) for i, change in enumerate(changes, 1)]
    comparison = _comparison(none, *others)
    assert judge(comparison, none)[0] == word
    text = verdict(comparison)
    # Each head names the network that "its" is about.
    start = {
        "overfits": "Without regularization the network overfits: its",
        "undecided": "Undecided whether the network overfits without regularization: its",
        "no sign of overfitting": "No sign that the network overfits without regularization: its",
    }
    assert text.startswith(start[word])
    assert clause in text
    assert text.endswith(".")


def test_a_small_but_certain_rise_is_called_little():
    none = _result("none", 0.5, GAP, (1.02, 0.01))
    little = verdict(_comparison(none, _result("l2=1", 0.5, change=(-0.01, 0.002))))
    assert little.startswith("Without regularization the network overfits, though little: its")
    much = verdict(_comparison(none, _result("l2=1", 0.5, change=CURED)))
    assert much.startswith("Without regularization the network overfits: its")


def test_the_verdict_speaks_of_no_ratio_beyond_sense():
    text = verdict(_comparison(_result("none", 0.5, (1e6, 5e5), FLAT)))
    assert "is more than 1000 times its training loss" in text
    assert "with 95% confidence at least 1000 times" in text
    nan = float("nan")
    one_fold = replace(_result("none", 0.5), gap=Interval(2.0, nan, nan, ""), rise=Interval(1.5, nan, nan, ""))
    assert "95% confidence at least unknown times" in verdict(_comparison(one_fold))


def test_no_losses_stand_beside_a_ratio_that_is_not_theirs():
    """The ratio is a mean over folds of ratios: 0.255 / 0.044 is 5.8, and the folds' mean may be 3.89."""
    text = verdict(
        _comparison(replace(_result("none", 0.255, (3.89, 1.0)), train_loss=Interval(0.044, 0.04, 0.05, "")))
    )
    assert "is 3.89 times its training loss (geometric mean over the folds)" in text
    assert "0.255" not in text
    assert "0.044" not in text


def test_a_sure_cure_whose_interval_reaches_past_0_says_how_it_is_sure():
    """One test of one cocktail: its one-sided value is 2.6%, and the two-sided interval holds 0."""
    none, edge = _result("none", 1.57, GAP, ROSE), (-1.02, 1.03)
    text = verdict(_comparison(none, _result("l2=0.01", 0.5, change=edge)))
    assert "has a lower loss (difference -1.02; a one-sided test at 95% confidence is sure that it is below 0" in text
    assert "though the two-sided 95% interval, -2.05 to 0.01, is not)" in text
    clear = verdict(_comparison(none, _result("l2=0.01", 0.5, change=(-1.02, 0.9))))
    assert "has a lower loss (difference -1.02, 95% interval -1.92 to -0.12)" in clear


def test_there_is_no_verdict_without_a_sound_reference():
    none = _result("none", 0.5)
    assert "holds no unregularized network" in verdict(_comparison(replace(none, cocktail="l2=1")))
    assert "3 of 25 unregularized networks diverged" in verdict(_comparison(replace(none, diverged=3)))


def test_a_network_that_training_made_worse_does_not_overfit():
    none = replace(
        _result("none", 5.0, GAP, ROSE),
        curves={"train_loss": np.array([0.7, 9.0, 1.7])},
        checkpoints=np.arange(3),
    )
    text = verdict(_comparison(none, _result("l2=1", 0.5, change=(-4.5, 0.1))))
    assert text.startswith("Undecided whether the network overfits without regularization: training itself failed")
    assert "for the training loss ended at 1.67, above the 0.7" in text
    assert "a tenth of the learning rate" in text
    learnt = replace(none, curves={"train_loss": np.array([2.0, 1.8, 1.7])})
    assert "overfits" in verdict(_comparison(learnt, _result("l2=1", 0.5, change=(-4.5, 0.1))))


def test_luck_among_many_cocktails_seldom_makes_a_verdict():
    """Thirteen cocktails that are no better: how often does one seem to be, at the level for one and for thirteen?"""
    draw, rows = np.random.default_rng(0), dict(train_rows=80, test_rows=0, estimates="", higher_is_better=False)
    sure = better = 0
    for _ in range(150):
        base = draw.normal(size=5) * 0.05 + 1
        found = [difference(base + 0.05 * draw.normal(size=5), base, **rows) for _ in range(13)]
        lines = [replace(_result(f"l2={i}", 1.0), loss_difference=d) for i, d in enumerate(found, 1)]
        none = _result("none", 1.0, GAP, FLAT)
        sure += judge(_comparison(none, *lines), none)[0] == "overfits"
        better += any(d.word == "better" for d in found)
    assert better > 0.15 * 150
    assert sure <= 0.06 * 150


def test_one_sided_bounds_are_those_of_a_one_sided_test():
    logs, rows = np.array([0.3, 0.5, 0.4, 0.9, 0.2]), dict(train_rows=80, test_rows=20, estimates="")
    interval = ratio_interval(np.exp(logs), np.ones(5), **rows)
    error = np.sqrt(0.45 * logs.var(ddof=1))
    low, high = _bounds(interval, 4)
    assert low == pytest.approx(np.exp(logs.mean() - 2.1318467863266495 * error))
    assert high == pytest.approx(np.exp(logs.mean() + 2.1318467863266495 * error))
