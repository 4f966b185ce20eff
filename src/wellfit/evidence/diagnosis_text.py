"""What a diagnosis says: the sentence, the evidence and the next steps, from the numbers and the word for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from wellfit.evidence.diagnosis import Gain, Judged, Measured
from wellfit.evidence.diagnosis_bounds import Bound
from wellfit.evidence.metrics import metric_said
from wellfit.messages import join, say
from wellfit.records import Array, Evidence, Interval, LearningCurve, NextStep

MOST_TIMES = 1000.0
_SHOWN = 10  # rows or columns in a sentence


@dataclass(frozen=True, eq=False)
class Look:
    """All that was measured, for people: intervals over folds beside the numbers that the rules read.

    ``train_loss``, ``loss``, ``gap`` and ``score`` are intervals over folds. ``floor`` is the lowest loss that anything
    reached, ``flexible`` and ``reference`` what the best larger network and the best model
    that is no network save. ``neighbours`` is how often nearest neighbours disagree (half their mean squared difference
    in regression), ``lowest`` Cover and Hart's bound. ``more`` is the change of the loss with twice the training rows,
    ``halving`` how many times as many rows would halve the gap, ``without`` the change when the leaking columns go.
    ``cost[name]`` is how many times the steps of the network an alternative takes. Rows are indices into the table.
    """

    measured: Measured
    metric: str
    regression: bool
    epochs: int
    rate: float
    train_loss: Interval
    loss: Interval
    gap: Interval
    score: Interval
    floor: Interval | None = None
    flexible: Gain | None = None
    reference: Gain | None = None
    neighbours: Interval | None = None
    lowest: float = 0.0
    more: Interval | None = None
    halving: Interval | None = None
    without: Interval | None = None
    leaks: tuple[str, ...] = ()
    disagree: tuple[int, ...] = ()
    contradicted: tuple[int, ...] = ()
    copies: int = 0
    cost: Mapping[str, float] = field(default_factory=dict)
    curve: LearningCurve | None = None
    curves: Mapping[str, Array] = field(default_factory=dict)
    checkpoints: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def sentence(judged: Judged, look: Look) -> str:
    """Return the verdict as one sentence with the figures that it rests on."""
    measured = look.measured
    best = measured.better
    if judged.rule == "variance" and measured.regular is not None and _sure(measured.regular, measured):
        best = measured.regular
    if judged.rule == "longer":
        best = measured.longer
    values = {
        "rate": f"{look.rate:g}",
        "loss": figure(measured.loss.mean),
        "train": figure(measured.train.mean),
        "guess": figure(measured.guess),
        "share": _percent(measured.loss.mean / measured.guess) if measured.guess > 0 else _percent(float("nan")),
        "saved": "" if best is None else figure(best.saved.mean),
        "percent": "" if best is None else _percent(best.saved.mean / max(measured.loss.mean, 1e-300)),
        "name": "" if best is None else title(best.name),
        "margin": _percent(measured.margin / max(measured.loss.mean, 1e-300)),
        "floor": "" if look.floor is None else figure(look.floor.mean),
        "columns": _list(measured.leaks),
        "count": look.copies,
        "excess": "" if measured.shift is None else figure(measured.shift.excess.mean),
    }
    return say(f"diagnose.verdict_{judged.rule}", **values)


def _sure(gain: Gain, measured: Measured) -> bool:
    return gain.saved.beyond(measured.margin) == "yes"


def evidence(judged: Judged, look: Look) -> tuple[Evidence, ...]:
    """Return what was measured, each with a stable name, a sentence and its interval."""
    return tuple(_evidence(judged, look))


def _evidence(judged: Judged, look: Look) -> Iterator[Evidence]:
    measured = look.measured
    for name, interval in (("validation_loss", look.loss), ("train_loss", look.train_loss), ("gap", look.gap)):
        yield Evidence(name, say(f"diagnose.{name}", **_bounds(interval)), interval)
    yield Evidence("score", say("diagnose.score", metric=metric_said(look.metric), **_bounds(look.score)), look.score)
    share = "" if not measured.guess > 0 else _percent(measured.loss.mean / measured.guess)
    sign = judged.signs["unexplained"]
    yield Evidence("unexplained", say(f"diagnose.unexplained_{sign}", guess=figure(measured.guess), share=share))
    if look.floor is not None and measured.better is not None:
        values = {"name": title(measured.better.name), **_bounds(look.floor)}
        yield Evidence("noise_floor", say("diagnose.noise_floor", **values), look.floor)
    if look.neighbours is not None:
        kind = "regression" if look.regression else "classes"
        values = {"lowest": _percent(look.lowest), **_bounds(look.neighbours, percent=not look.regression)}
        yield Evidence("neighbours", say(f"diagnose.neighbours_{kind}", **values), look.neighbours)
    yield from _gains(judged, look)
    yield from _curve(judged, look)
    yield from _doubts(judged, look)


def _gains(judged: Judged, look: Look) -> Iterator[Evidence]:
    measured = look.measured
    tried = (("better", measured.better), ("regular", measured.regular), ("longer", measured.longer))
    for name, gain in tried:
        if gain is None:
            continue
        sign = judged.signs["longer"] if name == "longer" else gain.saved.beyond(measured.margin)
        estimates = say("diagnose.estimates_saved")
        values = {"name": title(gain.name), "margin": figure(measured.margin), **_bounds(gain.saved.interval(""))}
        yield Evidence(name, say(f"diagnose.{name}_{sign}", **values), gain.saved.interval(estimates))
    if measured.bias is not None:
        interval = measured.bias.interval(say("diagnose.estimates_bias"))
        yield Evidence("bias", say(f"diagnose.bias_{judged.signs['bias']}", **_bounds(interval)), interval)


def _curve(judged: Judged, look: Look) -> Iterator[Evidence]:
    if look.measured.falling is not None:
        interval = look.measured.falling.interval(say("diagnose.estimates_falling"))
        yield Evidence(
            "half_the_rows", say(f"diagnose.falling_{judged.signs['falling']}", **_bounds(interval)), interval
        )
    if look.more is not None:
        yield Evidence("more_data", say("diagnose.more_data", **_bounds(look.more)), look.more)
    if look.halving is not None and np.isfinite([look.halving.mean, look.halving.low, look.halving.high]).all():
        values = {name: _times(getattr(look.halving, name)) for name in ("mean", "low", "high")}
        yield Evidence("halving", say("diagnose.halving", **values), look.halving)


def _doubts(judged: Judged, look: Look) -> Iterator[Evidence]:
    measured = look.measured
    for text in look.leaks:
        yield Evidence("leak", text)
    if measured.copies is not None:
        interval = measured.copies.interval(say("diagnose.estimates_copies"))
        text = say(f"diagnose.copies_{judged.signs['copies']}", count=look.copies, **_bounds(interval))
        yield Evidence("copies", text, interval)
    if measured.shift is not None:
        shift = measured.shift
        interval = shift.excess.interval(say("diagnose.estimates_shift"))
        values = {"p": f"{shift.p_value:.2g}", "columns": _list(shift.columns), **_bounds(interval)}
        named = "named" if shift.columns else "plain"
        yield Evidence("shift", say(f"diagnose.shift_{named}", **values), interval)
    for name, rows in (("near_duplicates", look.disagree), ("contradicted", look.contradicted)):
        if rows:
            yield Evidence(name, say(f"diagnose.{name}", count=len(rows), rows=_rows(rows)))


def next_steps(judged: Judged, look: Look) -> tuple[NextStep, ...]:
    """Return what to do, the most worthwhile first: the steps that the verdict asks for, then rows worth a look."""
    return tuple(_steps(judged, look))


def _steps(judged: Judged, look: Look) -> Iterator[NextStep]:
    measured, rule = look.measured, judged.rule
    if rule in ("leak", "copies", "shift"):
        yield _mend(rule, look)
    if rule == "failed":
        text = say("diagnose.step_lower_rate", rate=f"{look.rate / 10:g}")
        yield NextStep("lower_rate", text, cost=say("diagnose.cost_again"))
    if rule == "longer" and measured.longer is not None:
        yield _step("train_longer", measured.longer, look)
    yield from _changes(rule, look)
    if rule in ("variance", "both", "unsure", "falling", "share", "gap", "better") and look.more is not None:
        yield _more(look)
    if rule in ("unsure", "share", "better"):
        yield NextStep("ask_again", say("diagnose.step_ask_again"), cost=say("diagnose.cost_times", times="3"))
    if rule in ("noise", "falling"):
        yield NextStep("more_columns", say("diagnose.step_columns"), cost=say("diagnose.cost_measure"))
    if rule == "good":
        yield NextStep("keep", say("diagnose.step_keep"), cost=say("diagnose.cost_none"))
    doubtful = tuple(dict.fromkeys((*look.contradicted, *look.disagree)))
    if doubtful:
        text = say("diagnose.step_clean", count=len(doubtful), rows=_rows(doubtful))
        yield NextStep("clean_rows", text, cost=say("diagnose.cost_rows", count=len(doubtful)), rows=doubtful)


def _mend(rule: str, look: Look) -> NextStep:
    """Return what to do about data that make every score doubtful."""
    if rule == "leak":
        columns = look.measured.leaks
        text = say("diagnose.step_drop", columns=_list(columns))
        return NextStep("drop_columns", text, look.without, say("diagnose.cost_again"), columns=columns)
    if rule == "copies":
        return NextStep("group_copies", say("diagnose.step_copies", count=look.copies), cost=say("diagnose.cost_again"))
    columns = () if look.measured.shift is None else look.measured.shift.columns
    text = say("diagnose.step_shift_named" if columns else "diagnose.step_shift", columns=_list(columns))
    return NextStep("match_validation", text, cost=say("diagnose.cost_look"), columns=columns)


def _changes(rule: str, look: Look) -> Iterator[NextStep]:
    """Yield changes of the model that saved something, as far as the verdict asks for them."""
    measured = look.measured
    asked: list[tuple[str, Gain | None]] = []
    if rule in ("bias", "both", "better"):
        asked += [("larger_network", look.flexible), ("other_model", look.reference)]
    if rule in ("variance", "both", "better", "unsure", "gap"):
        asked.append(("regularize", measured.regular))
    if rule == "variance" and look.reference is not None and _sure(look.reference, measured):
        asked.append(("other_model", look.reference))
    found = [(action, gain) for action, gain in asked if gain is not None and gain.saved.mean > 0]
    for action, gain in sorted(found, key=lambda pair: -pair[1].saved.mean):
        yield _step(action, gain, look)


def _step(action: str, gain: Gain, look: Look) -> NextStep:
    worth = _worth(gain.saved)
    times = look.cost.get(gain.name)
    cost = say("diagnose.cost_other") if times is None else say("diagnose.cost_times", times=f"{times:.2g}")
    values = {"name": title(gain.name), "change": figure(worth.mean), "low": figure(worth.low)}
    return NextStep(action, say(f"diagnose.step_{action}", **values, high=figure(worth.high)), worth, cost)


def _more(look: Look) -> NextStep:
    assert look.more is not None
    text = say("diagnose.step_more", **_bounds(look.more))
    if look.halving is not None and np.isfinite(look.halving.mean):
        text = f"{text} {say('diagnose.step_halving', times=_times(look.halving.mean))}"
    return NextStep("more_data", text, look.more, say("diagnose.cost_data", rows=look.measured.rows))


def _worth(saved: Bound) -> Interval:
    """Return what a saving changes the loss by, with the sentence."""
    return saved.negative().interval(say("diagnose.estimates_worth"))


def title(name: str) -> str:
    """Return the name of an alternative for people: ``linear`` and its like by the catalogue, the rest as it is."""
    kind = name.partition("_")[0]
    if kind in ("linear", "additive", "quadratic", "smooth", "trees", "boosting"):
        return say(f"diagnose.reference_{kind}")
    if name.startswith("epochs "):
        return say("diagnose.epochs", epochs=name.removeprefix("epochs "))
    return name


def figure(number: float) -> str:
    """Return a number in three digits, or the word for one that is not known."""
    return say("diagnose.unknown") if not np.isfinite(number) else f"{number:.3g}"


def _percent(share: float) -> str:
    return say("diagnose.unknown") if not np.isfinite(share) else f"{100 * share:.2g}%" if share < 1 else f"{share:.0%}"


def _times(times: float) -> str:
    if np.isnan(times):
        return say("diagnose.unknown")
    return say("diagnose.many_times", most=f"{MOST_TIMES:.0f}") if times >= MOST_TIMES else f"{times:.2g}"


def _bounds(interval: Interval, *, percent: bool = False) -> dict[str, str]:
    shown = _percent if percent else figure
    return {name: shown(getattr(interval, name)) for name in ("mean", "low", "high")}


def _list(names: tuple[str, ...]) -> str:
    shown = join(names[:_SHOWN])
    return say("diagnose.and_more", names=shown, count=len(names) - _SHOWN) if len(names) > _SHOWN else shown


def _rows(rows: tuple[int, ...]) -> str:
    """Return rows as people count them, from 1."""
    return _list(tuple(str(row + 1) for row in rows))
