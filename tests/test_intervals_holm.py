"""Many differences to one reference: Holm's adjustment, against its definition, and the words that follow from it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wellfit.evidence import difference
from wellfit.evidence.intervals import family, holm, one_sided
from wellfit.evidence.verdict import judge
from wellfit.records import CocktailResult, Comparison, Difference, Interval
from wellfit.select.compare import compare

ROWS = {"train_rows": 80, "test_rows": 20, "estimates": "d"}


def closed_testing(p_values):
    """Holm is the closed test of Bonferroni (Marcus, Peritz & Gabriel 1976): the worst of all subsets that hold it."""
    count = len(p_values)
    found = np.zeros(count)
    for size in range(1, count + 1):
        for some in combinations(range(count), size):
            value = min(1.0, size * min(p_values[i] for i in some))
            for i in some:
                found[i] = max(found[i], value)
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(p_values) -> None:
    np.testing.assert_allclose(holm(p_values), closed_testing(p_values), rtol=1e-12)


def test_published_examples() -> None:
    # Four hypotheses at 5%: the fourth and the first are rejected (the worked example of many textbooks).
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    # Benjamini & Hochberg (1995), section 3.1: 15 tests of a trial; Bonferroni and its kin reject three.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
                0.6528, 0.7590, 1.0000]  # fmt: skip
    found = holm(p_values)
    assert (found <= 0.05).sum() == 3
    np.testing.assert_allclose(found[:4], [0.0015, 0.0056, 0.0247, 0.114])
    assert found.max() == 1


def test_what_is_no_test_does_not_count() -> None:
    nan = float("nan")
    np.testing.assert_array_equal(holm([0.02, nan, 0.5]), [0.04, nan, 0.5])
    assert holm([]).size == 0
    assert np.isnan(holm([nan])).all()


def test_the_p_value_is_that_of_the_corrected_t_test() -> None:
    ours, theirs = np.array([0.31, 0.36, 0.33, 0.34, 0.35]), np.array([0.42, 0.38, 0.43, 0.35, 0.44])
    change = ours - theirs
    statistic = change.mean() / np.sqrt((1 / 5 + 1 / 4) * change.var(ddof=1))
    found = difference(ours, theirs, higher_is_better=False, **ROWS)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(statistic), 4))
    assert one_sided(found.interval, 4) == pytest.approx(found.p_value / 2)
    holed = difference(np.append(ours, np.nan), np.append(theirs, 1.0), higher_is_better=False, **ROWS)
    assert holed.p_value == pytest.approx(found.p_value), "folds without a score are no degrees of freedom"
    assert np.isnan(difference([1.0] * 3, [1.0] * 3, higher_is_better=False, **ROWS).p_value)


def of(p_value, word="better"):
    return Difference(Interval(-1.0, -2.0, 0.1 if word == "undecided" else -0.1, ""), word, p_value)


def words(*differences):
    return [None if d is None else d.word for d in family(differences)]


def test_words_stay_where_they_hold_for_all() -> None:
    nothing = Difference(Interval(0, 0, 0, ""), "reference")
    assert words(nothing, of(0.01)) == ["reference", "better"], "the reference is no test"
    assert words(nothing, None, of(0.04)) == ["reference", None, "better"], "neither is what diverged"
    assert words(nothing, of(0.04), of(0.04)) == ["reference", "undecided", "undecided"]
    assert words(of(0.001), of(0.04)) == ["better", "better"], "once the surest is rejected the next has it easier"
    assert words(of(0.001), of(0.04), of(0.04)) == ["better", "undecided", "undecided"]
    assert words(of(0.3, "undecided"), of(0.01, "worse")) == ["undecided", "worse"]
    same = difference([1.0] * 3, [1.0] * 3, higher_is_better=False, **ROWS)
    assert words(same, of(0.04)) == ["undecided", "better"]


def test_of_many_cocktails_without_effect_seldom_any_gets_a_word() -> None:
    """Thirteen cocktails and one reference on the same folds, all alike, folds independent: 5% of families at most."""
    draw, families = np.random.default_rng(5), 400
    alone = whole = 0
    for _ in range(families):
        base = draw.normal(size=5)
        found = [
            difference(base + draw.normal(size=5), base + draw.normal(size=5) * 0.3, higher_is_better=False,
                       train_rows=80, test_rows=0, estimates="")
            for _ in range(13)
        ]  # fmt: skip
        alone += any(d.word != "undecided" for d in found)
        whole += any(d.word != "undecided" for d in family(found) if d)
    assert alone > 0.3 * families
    assert whole <= (0.05 + 3 * np.sqrt(0.05 * 0.95 / families)) * families


def test_a_comparison_reads_its_words_as_a_family() -> None:
    cocktails = ["none", *(f"l2={0.3 * 1.3**i:.3g}" for i in range(6))]
    found = compare("diabetes", cocktails=cocktails, network="linear", seeds=1, folds=5)
    for name in ("loss_difference", "score_difference"):
        told = [getattr(r, name) for r in found.results]
        values = holm([np.nan if d.word == "reference" else d.p_value for d in told])
        assert [d.word != "undecided" for d in told[1:]] == (values[1:] <= 0.05).tolist()
    # This table has words that luck alone could have given.
    alone = [(d.interval.low > 0 or d.interval.high < 0) for d in (r.loss_difference for r in found.results[1:])]
    assert sum(alone) >= sum(r.loss_difference.word != "undecided" for r in found.results[1:])


def test_the_verdict_never_doubts_a_cocktail_that_the_table_calls_better() -> None:
    """Ten cocktails far worse and one better: two-sided Holm says better, its one-sided value alone would not."""

    def line(name, change, p_value, word):
        half = 0.02
        interval = Interval(0.5, 0.48, 0.52, "")
        told = Difference(Interval(change, change - half, change + half, ""), word, p_value)
        return CocktailResult(name, 5, 0, interval, interval, None, told, None, 1.0, gap=Interval(3, 2, 4, ""),
                              rise=Interval(1, 0.98, 1.02, ""))  # fmt: skip

    none = line("none", 0.0, float("nan"), "reference")
    worse = [line(f"l1={i}", 3.0, 1e-8, "worse") for i in range(10)]
    better = line("l2=1", -0.0225, 2 * one_sided(Interval(-0.0225, -0.0425, -0.0025, ""), 4), "better")
    told = family([r.loss_difference for r in (none, *worse, better)])
    assert told[-1].word == "better"
    rows = np.empty(0)
    results = (none, *worse, better)
    comparison = Comparison("d", "binary", "accuracy", True, "8", "adam", 5, 5, 0, results, "none", rows, {})
    assert judge(comparison, none)[0] == "overfits"
