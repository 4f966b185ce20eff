"""The verdict: one sentence on whether the unregularized network overfits, and the signs it rests on.

Two signs count, each only beside a gap between validation and training loss that is beyond noise: the validation loss
ended above its own lowest, or some cocktail has a lower loss. A sign is seen, absent or unsure. The question has a
direction (is there more loss than need be?), so a sign is seen where the one-sided 95% bound that goes with its
interval says so, and absent where the bound from the other side leaves no room for more than `MARGIN` of the loss. Of
many cocktails some look better by luck: there the one-sided values are Holm's (1979), so that the chance of any false
cure is at most 5%. (A cocktail that is "better" by Holm's two-sided values counts too: where it is falsely so, its one-
sided value is below 5% divided by the number of cocktails without effect, which bounds both procedures together.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from wellfit.evidence.intervals import LEVEL, holm
from wellfit.messages import join, say
from wellfit.records import CocktailResult, Comparison, Interval

MARGIN = 0.05
MANY_TIMES = 1000
Sign = Literal["yes", "no", "unsure"]
Word = Literal["overfits", "no sign of overfitting", "undecided"]
_HEADS: dict[Word, str] = {
    "overfits": "evidence.head_yes",
    "no sign of overfitting": "evidence.head_no",
    "undecided": "evidence.head_undecided",
}


def verdict(comparison: Comparison) -> str:
    """Return the sentence: overfits, no sign of overfitting or undecided, with the figures behind it."""
    return verdict_parts(comparison)[0]


def verdict_parts(comparison: Comparison) -> tuple[str, str, tuple[str, ...]]:
    """Return the sentence, and its parts: a headline, and the clauses it rests on (none where there is no verdict)."""
    none = next((r for r in comparison.results if r.cocktail == "none"), None)
    if none is None or none.diverged:
        counts = {} if none is None else {"diverged": none.diverged, "members": none.members}
        sentence = say("evidence.verdict_no_reference" if none is None else "evidence.verdict_diverged", **counts)
        return sentence, sentence, ()
    word, clauses = judge(comparison, none)
    head = say("evidence.head_little" if word == "overfits" and _little(comparison, none) else _HEADS[word])
    sentence = say("evidence.verdict", head=head, signs=join(clauses, "clauses"))
    return sentence, say("evidence.headline", head=head), tuple(clauses)


def _little(comparison: Comparison, none: CocktailResult) -> bool:
    """Return whether neither training shorter nor any cocktail would save more than `MARGIN` of the loss."""
    assert none.loss is not None
    assert none.rise is not None
    saved = [-r.loss_difference.interval.mean for r in comparison.results if r.loss_difference is not None]
    return max(saved) < MARGIN * abs(none.loss.mean) and none.rise.mean < 1 + MARGIN


def judge(comparison: Comparison, none: CocktailResult) -> tuple[Word, list[str]]:
    """Return the word and one clause for each sign: gap, rise, cure. ``none`` must hold no diverged member."""
    loss, gap, rise = none.loss, none.gap, none.rise
    if failed := _failed(none):
        return "undecided", [failed]
    assert loss is not None
    assert gap is not None
    assert rise is not None
    folds = comparison.folds
    # Rows tell the gap, and folds the rise; with more degrees of freedom than an interval has a bound errs to be safe.
    gap_bound, _ = _bounds(gap, max(len(comparison.rows) - folds, folds - 1))
    low, high = _bounds(rise, folds - 1)
    rises: Sign = "yes" if low > 1 else "no" if high < 1 + MARGIN else "unsure"
    cures, cure_clause = _cure(comparison, MARGIN * abs(loss.mean))
    # The mean losses stay out of the gap: a ratio of means is not the mean of the folds' ratios.
    gap_clause = say("evidence.gap", gap=_times(gap.mean), low=_least(gap_bound))
    numbers = {"rise": _times(rise.mean), "low": _least(low), "high": _times(high)}
    clauses = [gap_clause, say(f"evidence.rise_{rises}", **numbers), cure_clause]
    if gap_bound > 1 and "yes" in (rises, cures):
        return "overfits", clauses
    if rises == "no" and cures == "no":
        return "no sign of overfitting", clauses
    return "undecided", clauses


def _failed(none: CocktailResult) -> str:
    """Return the clause that says that training made the training loss worse beyond doubt, empty where it did not.

    Such a network's validation loss may rise as well, and any cocktail may look like a cure; that is no overfitting.
    """
    curve = none.curves.get("train_loss")
    if curve is None or not len(curve) or none.checkpoints[0] != 0:  # a linear model solved exactly has no steps
        return ""
    if none.train_loss is None or not none.train_loss.low > curve[0]:
        return ""
    return say("evidence.failed", train=_figure(none.train_loss.mean), start=_figure(float(curve[0])))


def _cure(comparison: Comparison, room: float) -> tuple[Sign, str]:
    """Return whether any cocktail has a lower loss than none, and the clause that says so."""
    others = [
        (r.cocktail, r.loss_difference)
        for r in comparison.results
        if r.loss_difference is not None and r.loss_difference.word != "reference"
    ]
    if not others:
        return "unsure", say("evidence.cure_none")
    others.sort(key=lambda pair: pair[1].interval.mean)
    values = holm([d.p_value / 2 if d.interval.mean < 0 else 1 - d.p_value / 2 for _, d in others])
    better = [(name, d.interval) for name, d in others if d.interval.high < 0]
    sure = [
        (name, d.interval) for (name, d), p in zip(others, values, strict=True) if p < 1 - LEVEL or d.word == "better"
    ]
    if sure or better:
        name, interval = (sure or better)[0]
        key = "evidence.cure_luck" if not sure else "evidence.cure_one" if len(sure) == 1 else "evidence.cure_yes"
        # The test has a direction and the interval has none: where they part, the clause says so.
        figures = "evidence.cure_figures" if interval.high < 0 else "evidence.cure_figures_one_sided"
        told = say(figures, **_numbers("change", interval))
        return "yes" if sure else "unsure", say(key, count=len(sure), of=len(others), cocktail=name, figures=told)
    if all(d.interval.low > -room for _, d in others):
        return "no", say("evidence.cure_no", margin=round(100 * MARGIN))
    name, difference = others[0]
    return "unsure", say("evidence.cure_unsure", cocktail=name, **_numbers("change", difference.interval))


def _bounds(ratio: Interval, freedom: float) -> tuple[float, float]:
    """Return the one-sided 95% bounds, lower and upper, of a ratio with this two-sided interval; NaN for one fold."""
    from scipy.special import stdtrit

    if np.isnan(ratio.low):
        return float("nan"), float("nan")
    share = float(stdtrit(freedom, LEVEL) / stdtrit(freedom, (1 + LEVEL) / 2))
    return ratio.mean * (ratio.low / ratio.mean) ** share, ratio.mean * (ratio.high / ratio.mean) ** share


def _figure(number: float) -> str:
    return say("evidence.unknown") if np.isnan(number) else f"{number:.3g}"


def _times(ratio: float) -> str:
    if np.isnan(ratio) or ratio > MANY_TIMES:
        return say("evidence.unknown" if np.isnan(ratio) else "evidence.many_times")
    return f"{ratio:.3g}" if ratio < 100 else f"{ratio:.0f}"


def _least(ratio: float) -> str:
    """Return a ratio that stands behind "at least"."""
    return _times(float(np.minimum(ratio, MANY_TIMES)))


def _numbers(name: str, interval: Interval) -> dict[str, str]:
    return {name: _figure(interval.mean), "low": _figure(interval.low), "high": _figure(interval.high)}
