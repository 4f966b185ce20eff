"""The rules of a diagnosis as a function of numbers, and the numbers themselves against independent ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wellfit.errors import SettingError
from wellfit.evidence.diagnosis import SMALL_GAP, Gain, Judged, Measured, Shift, judge, signs
from wellfit.evidence.diagnosis_bounds import SHARED, Bound, bound, nested, row_losses
from wellfit.evidence.diagnosis_curve import at, change, halving, jackknife, power_law
from wellfit.evidence.diagnosis_text import Look, evidence, next_steps, sentence
from wellfit.messages import catalogue
from wellfit.records import VERDICTS, Interval


def b(mean: float, half: float = 0.01) -> Bound:
    return Bound(mean, mean - half, mean + half, (mean - 1.2 * half, mean + 1.2 * half))


def measured(**changes: object) -> Measured:
    """A network that fits well: loss 0.2 of a guess of 1, nothing better."""
    nothing = Gain(b(-0.05), "l2=0.003")
    fits = Measured(
        rows=500, folds=5, guess=1.0, loss=b(0.2), train=b(0.18), gap=b(0.02), share=b(-0.3),
        better=nothing, regular=nothing, longer=Gain(b(-0.02), "epochs 40"), bias=b(-0.02), falling=b(0.002, 0.005),
    )  # fmt: skip
    return replace(fits, **changes)


CURE, UNSURE = Gain(b(0.1), "l2=0.03"), Gain(b(0.02, 0.05), "l2=0.03")

CASES: dict[str, tuple[dict, str, str]] = {
    "good": ({}, "fits well", "good"),
    "noise": ({"share": b(0.3)}, "noise-limited", "noise"),
    "noise, still falling": ({"share": b(0.3), "falling": b(0.1)}, "undecided", "falling"),
    "share unsure": ({"share": b(0.0)}, "undecided", "share"),
    "wide gap, no cure": ({"gap": b(SMALL_GAP + 0.1)}, "undecided", "gap"),
    "regularization cures": ({"better": CURE, "regular": CURE, "bias": b(-0.1)}, "overfits", "variance"),
    "another model is better, the gain lies in the gap": ({"better": CURE, "bias": b(-0.1)}, "overfits", "variance"),
    "another model is better, where it lies is unsure": ({"better": CURE, "bias": b(0.005)}, "undecided", "better"),
    "a cure without a gap": ({"better": CURE, "regular": CURE, "gap": b(0.0), "bias": b(-0.1)}, "undecided", "better"),
    "training error perhaps too high, and only more flexible ones are better": (
        {"better": Gain(b(0.1), "trees"), "bias": b(0.05, 0.06)},
        "underfits",
        "bias",
    ),
    "training error too high": ({"better": CURE, "bias": b(0.1)}, "underfits", "bias"),
    "both": ({"better": CURE, "regular": CURE, "bias": b(0.1)}, "both", "both"),
    "bias that training on takes away": (
        {"better": CURE, "bias": b(0.1), "bias_later": b(-0.1), "longer": Gain(b(0.0, 0.05), "epochs 40")},
        "undecided",
        "better",
    ),
    "a cure, but training on may be one too": (
        {"better": CURE, "regular": CURE, "bias": b(-0.1), "longer": Gain(b(0.05, 0.1), "epochs 40")},
        "undecided",
        "better",
    ),
    "training failed": ({"failed": b(0.1), "longer": CURE, "better": CURE, "bias": b(0.5)}, "underfits", "failed"),
    "a lower loss later by chance, for the training loss does not fall": (
        {"longer": CURE, "learning": b(0.0)},
        "undecided",
        "unsure",
    ),
    "too short": ({"better": CURE, "bias": b(0.1), "longer": CURE, "learning": b(0.1)}, "undertrained", "longer"),
    "unsure": ({"better": UNSURE}, "undecided", "unsure"),
    "longer unsure": ({"longer": UNSURE}, "undecided", "unsure"),
    "leak comes first": ({"leaks": ("id",), "longer": CURE, "better": CURE}, "leak suspected", "leak"),
    "copies flatter": ({"copies": b(0.1)}, "leak suspected", "copies"),
    "copies do not": ({"copies": b(-0.1)}, "fits well", "good"),
    "shift by both": ({"shift": Shift(1e-4, b(0.1), 0.04)}, "shifted validation", "shift"),
    "shift by the loss alone": ({"shift": Shift(0.5, b(0.1), 0.001)}, "shifted validation", "shift"),
    "shift without harm": ({"shift": Shift(1e-9, b(-0.1), 0.99)}, "fits well", "good"),
    "harm without a shift": ({"shift": Shift(0.5, b(0.1), 0.03)}, "undecided", "shift_unsure"),
    "shift, harm unsure": ({"shift": Shift(1e-9, b(0.0), 0.5)}, "undecided", "shift_unsure"),
    "neither": ({"shift": Shift(0.5, b(0.0), 0.5)}, "fits well", "good"),
    "constant": ({"guess": 0.0, "loss": b(0.0), "train": b(0.0)}, "undecided", "constant"),
    "perfect": ({"loss": b(1e-6, 1e-7), "train": b(1e-7, 1e-8), "gap": b(9e-7, 1e-8)}, "fits well", "good"),
    "perfect beside more perfect": (
        {"loss": b(1e-6, 1e-7), "better": Gain(b(9e-7, 1e-9), "linear"), "regular": Gain(b(9e-7, 1e-9), "linear")},
        "fits well",
        "good",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_word_for_each_case(case: str) -> None:
    changes, word, rule = CASES[case]
    found = judge(measured(**changes))
    assert (found.verdict, found.rule) == (word, rule)


def test_every_word_but_those_of_the_record_and_every_rule_has_a_sentence() -> None:
    rules = {rule for _, _, rule in CASES.values()}
    assert {word for _, word, _ in CASES.values()} == set(VERDICTS)
    assert {name.removeprefix("verdict_") for name in catalogue("diagnose") if name.startswith("verdict_")} == rules


numbers = st.floats(-1, 1)
bounds = st.builds(lambda mean, low, high: Bound(mean, mean - low, mean + high), numbers, *[st.floats(0, 1)] * 2)
gains = st.none() | st.builds(Gain, bounds, st.just("l2=0.03"))
anything = st.builds(
    Measured,
    rows=st.just(100),
    folds=st.just(5),
    guess=st.floats(0, 1),
    loss=bounds,
    train=bounds,
    gap=bounds,
    share=bounds,
    better=gains,
    regular=gains,
    longer=gains,
    bias=st.none() | bounds,
    bias_later=st.none() | bounds,
    failed=st.none() | bounds,
    learning=st.none() | bounds,
    falling=st.none() | bounds,
    leaks=st.sampled_from([(), ("a",)]),
    copies=st.none() | bounds,
    shift=st.none() | st.builds(Shift, st.floats(0, 1), bounds, st.floats(0, 1)),
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_whatever_the_numbers_no_word_without_its_signs(found: Measured) -> None:
    word = judge(found).verdict
    if judge(found).rule == "failed":
        assert word == "underfits"
        assert found.failed is not None
        assert found.failed.low > 0
        return
    gained = [g.saved.low > 0 and g.saved.mean > found.margin for g in (found.better, found.regular) if g is not None]
    if word in ("overfits", "both", "underfits"):
        assert any(gained)
    if word in ("overfits", "both"):
        assert found.gap.low > 0
    if word in ("underfits", "both"):
        assert found.bias is not None
        assert found.bias.mean > found.margin / 2
    if word == "undertrained":
        assert found.longer is not None
        assert found.longer.saved.low > 0
        assert found.longer.saved.mean > found.margin
    if word in ("fits well", "noise-limited"):
        assert not any(gained)
        assert found.better is not None
        assert found.better.saved.high < found.margin
    if found.leaks and found.guess > 0:
        assert word == "leak suspected"


@settings(max_examples=200, deadline=None)
@given(anything, st.floats(1.5, 20))
def test_wider_bounds_never_turn_one_word_into_another(found: Measured, times: float) -> None:
    def wide(x: Bound | None) -> Bound | None:
        return (
            None if x is None else Bound(x.mean, x.mean - times * (x.mean - x.low), x.mean + times * (x.high - x.mean))
        )

    def less(gain: Gain | None) -> Gain | None:
        return None if gain is None else replace(gain, saved=wide(gain.saved))

    names = ("loss", "train", "gap", "share", "bias", "bias_later", "failed", "learning", "falling", "copies")
    vague = replace(
        found,
        **{name: wide(getattr(found, name)) for name in names},
        **{name: less(getattr(found, name)) for name in ("better", "regular", "longer")},
    )
    sure, unsure = signs(found), signs(vague)
    for name in ("copies", "failed", "longer", "unexplained", "falling"):
        assert unsure[name] in (sure[name], "unsure")


@settings(max_examples=100, deadline=None)
@given(anything)
def test_there_are_words_for_everything(found: Measured) -> None:
    judged, look = judge(found), a_look(found)
    assert sentence(judged, look)
    assert [e.name for e in evidence(judged, look)][:3] == ["validation_loss", "train_loss", "gap"]
    for step in next_steps(judged, look):
        assert step.text
        assert step.cost


def a_look(found: Measured, **changes: object) -> Look:
    interval = Interval(0.2, 0.1, 0.3, "it")
    look = Look(found, "accuracy", False, 100, 0.1, interval, interval, interval, interval, more=interval)
    return replace(look, floor=interval, neighbours=interval, halving=interval, **changes)


def steps(case: str, **changes: object) -> dict:
    found = measured(**CASES[case][0])
    return {s.action: s for s in next_steps(judge(found), a_look(found, **changes))}


def test_the_next_step_fits_the_word_and_is_worth_what_was_measured() -> None:
    step = steps("regularization cures", cost={"l2=0.03": 1.0})["regularize"]
    assert step.worth is not None
    assert (step.worth.mean, step.worth.low) == (-0.1, pytest.approx(-0.112))
    assert step.cost == "1 times the training"
    assert "train_longer" in steps("too short")
    [first, *rest] = steps("training failed")
    assert (first, rest) == ("lower_rate", [])
    assert steps("training failed")["lower_rate"].text == "Try a tenth of the learning rate: 0.01."
    flexible = {"flexible": Gain(b(0.05), "network 16"), "reference": Gain(b(0.1), "trees")}
    assert list(steps("training error too high", **flexible)) == ["other_model", "larger_network"]
    assert steps("leak comes first")["drop_columns"].columns == ("id",)
    assert list(steps("good")) == ["keep"]
    assert "more_columns" in steps("noise")
    assert {"more_data", "ask_again"} <= set(steps("unsure"))


def test_doubtful_rows_are_listed_once_and_counted_from_one_for_people() -> None:
    step = steps("good", contradicted=(4, 7), disagree=(7, 9))["clean_rows"]
    assert step.rows == (4, 7, 9)
    assert "5, 8, 10 (3 in all)" in step.text


# The numbers


def test_a_bound_of_normal_rows_is_the_t_interval_with_its_allowance() -> None:
    values = stats.norm.ppf((np.arange(40) + 0.5) / 40)  # symmetric: nothing to straighten
    found = bound(values, folds=5)
    low, high = stats.t.interval(0.95, 39, 0, values.std(ddof=1) / 40**0.5)
    assert found.interval("").high == pytest.approx(high * (SHARED * 1.2) ** 0.5)
    assert found.interval("").low == pytest.approx(low * (SHARED * 1.2) ** 0.5)
    assert found.low == pytest.approx(stats.t.ppf(0.05, 39) * values.std(ddof=1) / 40**0.5 * (SHARED * 1.2) ** 0.5)


def test_of_skewed_rows_the_bounds_hold_the_mean_where_plain_ones_do_not() -> None:
    """Hall's bounds of exponential means: both one-sided errors near 5%; plain t bounds err 2% and 9%."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(4000, 40))
    found = [bound(line, folds=5, allowance=1.0) for line in draws]
    below, above = np.mean([f.low > 1 for f in found]), np.mean([f.high < 1 for f in found])
    half = stats.t.ppf(0.95, 39) * draws.std(axis=1, ddof=1) / 40**0.5
    plain = np.mean(draws.mean(axis=1) - half > 1), np.mean(draws.mean(axis=1) + half < 1)
    assert abs(below - 0.05) < 0.02
    assert abs(above - 0.05) < 0.025
    assert plain[0] < 0.03 < 0.08 < plain[1]


def test_rows_of_one_group_count_as_one() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 4.0], 25)
    one = bound(np.array([0.0, 1.0, 2.0, 4.0]), folds=5)
    assert bound(values, folds=5, units=np.repeat(range(4), 25)).low == pytest.approx(one.low)
    assert bound(values, folds=5).low > one.low


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, 1.0]])
def test_without_two_numbers_nothing_is_bounded(values: list[float]) -> None:
    assert bound(np.array(values), folds=2).above(0) == "unsure"


def test_equal_values_have_a_bound_of_no_width() -> None:
    assert bound(np.full(9, 0.5), folds=3) == Bound(0.5, 0.5, 0.5, (0.5, 0.5))


def test_an_honest_choice_is_not_flattered_by_choosing() -> None:
    """Fifty alternatives that differ by luck alone: the lowest mean flatters, the nested one does not."""
    rng = np.random.default_rng(1)
    best, honest = [], []
    for _ in range(200):
        losses = rng.normal(1.0, 0.5, (50, 100))
        best.append(losses.mean(axis=1).min())
        honest.append(nested(losses, np.arange(100) % 5)[0].mean())
    assert np.mean(best) < 0.9
    assert np.mean(honest) == pytest.approx(1.0, abs=0.02)


def test_losses_are_scikit_learns() -> None:
    from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss

    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(3), 50)
    y = rng.integers(0, 3, 50)
    assert row_losses("multiclass", y, p).mean() == pytest.approx(log_loss(y, p, labels=[0, 1, 2]))
    values, guesses = rng.normal(size=50), rng.normal(size=(50, 1))
    assert row_losses("regression", values, guesses, "absolute").mean() == pytest.approx(
        mean_absolute_error(values, guesses[:, 0])
    )
    assert row_losses("regression", values, guesses, "quantile", 0.9).mean() == pytest.approx(
        mean_pinball_loss(values, guesses[:, 0], alpha=0.9)
    )


def test_alternatives_that_do_not_match_the_folds_are_refused() -> None:
    with pytest.raises(SettingError, match="do not match"):
        nested(np.ones((2, 3)), np.zeros(4, dtype=int))


# The learning curve


def test_a_power_law_with_noise_is_found_again_with_its_uncertainty() -> None:
    """The interval of the change holds the truth in most draws (95% promised, 85% and more asked of 100 draws)."""
    rng = np.random.default_rng(3)
    sizes = np.array([50.0, 100.0, 200.0])
    truth = 4 * (400**-0.5 - 200**-0.5)
    held = 0
    for _ in range(100):
        losses = (0.3 + 4 * sizes**-0.5)[:, None] + rng.normal(0, 0.02, (3, 5))
        found = change(sizes, losses, 2.0, 0.25, "")
        held += found.low <= truth <= found.high
    assert held >= 85


def test_what_halves_a_gap() -> None:
    sizes = np.array([100.0, 200.0, 400.0])
    gaps = np.tile((sizes**-1.0)[:, None], 5)
    assert halving(sizes, gaps, 0.25, "").mean == pytest.approx(2.0)
    assert halving(sizes, np.ones((3, 5)), 0.25, "").mean == 1000
    assert np.isnan(halving(sizes, -gaps, 0.25, "").mean)


def test_a_flat_or_rising_curve_promises_nothing() -> None:
    sizes = np.array([100.0, 200.0, 400.0])
    for losses in (np.ones(3), np.array([1.0, 1.1, 1.2])):
        fit = power_law(sizes, losses)
        assert at(fit, 800) == pytest.approx(losses.mean())
    assert np.isnan(power_law(sizes[:2], np.ones(2))).all()


def test_the_jackknife_of_a_mean_is_nadeau_and_bengios_interval() -> None:
    from wellfit.evidence.intervals import fold_interval

    values = np.array([[0.1, 0.3, 0.2, 0.5, 0.4]])
    found = jackknife(lambda v: float(v[0]), values, 0.25, "")
    same = fold_interval(values[0], train_rows=80, test_rows=20, estimates="")
    assert (found.low, found.high) == (pytest.approx(same.low), pytest.approx(same.high))


def test_judged_is_a_value() -> None:
    assert isinstance(judge(measured()), Judged)
