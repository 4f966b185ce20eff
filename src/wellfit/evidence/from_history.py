"""What curves that a user already has can tell about a model, and what they cannot.

One run's curves hold no folds and no seeds, so nothing here is an interval over data: all that is "beyond noise" is
beyond the jumps from epoch to epoch (`wellfit.evidence.curve_noise`). Then a few verdicts are possible at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellfit.errors import SettingError
from wellfit.evidence.curve_noise import LEAST, Curve, Rise, ahead, last_half, level, prepare, rise
from wellfit.evidence.own_curves import OwnCurves, read_curves
from wellfit.messages import say
from wellfit.records import Diagnosis, Evidence, Interval, NextStep
from wellfit.records.diagnosis import Word

# A gain below this share of the loss is no reason to train longer; a gap below `GAP` of the loss is none to speak of.
MARGIN, GAP = 0.05, 0.1
CHANCE = 0.9  # of the loss by chance: a network that stays above has learned next to nothing
JUMPY = 0.1  # noise between epochs, as a share of the loss, beyond which a validation set is too small
SIGMAS = 2.0


def diagnose_history(history: object, *, chance: float | None = None, target: float | None = None) -> Diagnosis:
    """Return what the curves of one training say: overfits, underfits, undertrained, fits well or undecided.

    ``history`` is a CSV's path, a mapping of lists, a Keras ``History``, a DataFrame or a `wellfit.records.History`;
    see `wellfit.evidence.own_curves`. ``chance`` is the loss of predicting the mean (of k balanced classes, log k) and
    ``target`` a loss that is known to be within reach, both in the curves' unit (error rates where only accuracies
    are given): without either, curves alone cannot say that a network underfits. Intervals are 95% ones over the
    noise between epochs, nothing else. Raises `DataError` for curves that cannot be read, naming the place, and
    `SettingError` for a chance or target that is no finite number.

    >>> falling = [2 * 0.9**e for e in range(40)]
    >>> rising = [2 * 0.8**e + 0.02 * e for e in range(40)]
    >>> found = diagnose_history({"loss": falling, "val_loss": rising})
    >>> found.verdict, found.next_steps[0].action
    ('overfits', 'stop early')
    """
    for name, value in (("chance", chance), ("target", target)):
        if value is not None and not math.isfinite(value):
            raise SettingError("from_history.not_finite", name=name, value=value)
    curves = read_curves(history)
    found = _Found(curves)
    found.say("epochs", "epochs", count=len(curves.epochs))
    if len(curves.epochs) < LEAST:
        return found.ended("undecided", "too_few", count=len(curves.epochs), least=LEAST)
    _Reading(found, chance, target).judge()
    return found.diagnosis


@dataclass(eq=False)
class _Found:
    """What is told, as it is found."""

    curves: OwnCurves
    evidence: list[Evidence] = field(default_factory=list)
    steps: list[NextStep] = field(default_factory=list)
    verdict: Word = "undecided"
    sentence: str = ""

    def say(self, name: str, key: str, interval: Interval | None = None, **values: Any) -> None:
        self.evidence.append(Evidence(name, say(f"from_history.{key}", **values), interval))

    def step(self, action: str, key: str, worth: Interval | None = None, **values: Any) -> None:
        cost = say(f"from_history.cost_{key}", **values)
        self.steps.append(NextStep(action, say(f"from_history.step_{key}", **values), worth, cost))

    def ended(self, verdict: Word, key: str, **values: Any) -> Diagnosis:
        """Set the verdict, and return the diagnosis. Where training broke off is told whatever the verdict."""
        self.verdict, self.sentence = verdict, say(f"from_history.verdict_{key}", **values)
        if self.curves.diverged is not None:
            at = f"{self.curves.diverged:g}"
            self.say("diverged", "diverged", epoch=at)
            self.step("lower the learning rate", "lower_rate")
            if key == "too_few":
                self.sentence = say("from_history.verdict_diverged", epoch=at)
        if verdict in ("undecided", "fits well"):
            self.step("diagnose the data", "diagnose")
        return self.diagnosis

    @property
    def diagnosis(self) -> Diagnosis:
        curves = self.curves
        lines = {"score_loss": curves.validation}
        if curves.train is not None:
            lines["train_loss"] = curves.train
        return Diagnosis(
            verdict=self.verdict,
            sentence=self.sentence,
            evidence=tuple(self.evidence),
            next_steps=tuple(self.steps),
            data=curves.label,
            metric=curves.measure,
            curves=lines,
            checkpoints=curves.epochs,
        )


class _Reading:
    """The curves as trends and noise, and the rules over them."""

    def __init__(self, found: _Found, chance: float | None, target: float | None) -> None:
        self.found, self.chance, self.target = found, chance, target
        curves = found.curves
        self.validation = prepare(curves.validation, curves.epochs)
        self.train: Curve | None = None
        if curves.train is not None:
            sound = np.isfinite(curves.train)
            if sound.sum() >= LEAST:
                self.train = prepare(curves.train[sound], curves.epochs[sound])

    def judge(self) -> None:
        """Look at everything, and set the verdict."""
        found, validation = self.found, self.validation
        rate = found.curves.measure == "accuracy"
        if rate:
            found.say("accuracy only", "accuracy_only")
        found.say("one run", "one_run")
        self.end, self.end_error = level(validation, len(validation.values) - 1)
        spread = validation.noise.spread
        found.say("noise", "noise", spread=_figure(spread), share=_share(spread, self.end), memory=_tenth(validation))
        if abs(self.end) > 0 and spread > JUMPY * abs(self.end):
            found.say("jumpy", "jumpy", share=_share(spread, self.end))
        self._footing()
        risen = rise(validation)
        if found.curves.diverged is not None:
            found.ended("undecided", "diverged", epoch=f"{found.curves.diverged:g}")
        elif risen.beyond:
            self._risen(risen)
        else:
            found.say("rise", "no_rise", size=_figure(max(risen.size, 0.0)), interval=_interval(risen, "rise"))
            self._not_risen()

    def _footing(self) -> None:
        """Tell whether the two curves measure the same thing."""
        found, train = self.found, self.train
        if train is None:
            found.say("no training curve", "no_train")
            return
        half = len(found.curves.epochs) // 2
        pairs = found.curves.validation[half:] - np.asarray(found.curves.train)[half:]
        kept = pairs[np.isfinite(pairs)]
        error = math.hypot(self.end_error, level(train, len(train.values) - 1)[1])
        if len(kept) and kept.mean() < -SIGMAS * error:
            found.say("footing", "below", apart=_figure(-float(kept.mean())))
            lagged = np.asarray(found.curves.train)
            shifted = found.curves.validation[:-1] - (lagged[:-1] + lagged[1:]) / 2
            late = shifted[half:][np.isfinite(shifted[half:])]
            if found.curves.averaged and len(late) and late.mean() >= -SIGMAS * error:
                found.say("lag", "lag_explains")
        elif found.curves.averaged:
            found.say("footing", "keras")

    def _risen(self, risen: Rise) -> None:
        """The validation curve turned up: overfitting where the training curve did not."""
        found, validation = self.found, self.validation
        best, saved = f"{validation.epochs[risen.best]:.0f}", max(risen.size, 0.0)
        interval = _interval(risen, "rise")
        numbers: dict[str, Any] = {"best": best, "size": _figure(saved), "share": _share(saved, self.end)}
        numbers |= {"low": _figure(risen.low), "high": _figure(risen.high)}
        found.say("rise", "rise", interval=interval, **numbers)
        self._accuracy()
        if self.train is None:
            found.ended("undecided", "rise_alone", **numbers)
            return
        there, then, error = self._training_since(risen)
        words: dict[str, Any] = {"there": _figure(there), "then": _figure(then)}
        if then > there + SIGMAS * error and rise(self.train).beyond:
            found.say("training", "train_rose", **words)
            found.step("lower the learning rate", "lower_rate")
            found.ended("undecided", "both_rise", **numbers)
            return
        found.say("training", "train_fell" if then < there - SIGMAS * error else "train_flat", **words)
        worth = Interval(-saved, -risen.high, -risen.low, say("from_history.worth_stop"))
        found.step("stop early", "stop", worth, **numbers)
        found.step("regularize", "regularize")
        little = abs(saved) < MARGIN * abs(self.end)
        found.ended("overfits", "overfits_little" if little else "overfits", **numbers)

    def _training_since(self, risen: Rise) -> tuple[float, float, float]:
        """Return the training loss at the best epoch, at the end, and the standard error of their difference."""
        train = self.train
        assert train is not None
        at = int(np.abs(train.epochs - self.validation.epochs[risen.best]).argmin())
        (there, a), (then, b) = level(train, at), level(train, len(train.values) - 1)
        return there, then, math.hypot(a, b)

    def _accuracy(self) -> None:
        """A loss that rises while mistakes do not become more is a loss of calibration: tell the two apart."""
        line = self.found.curves.accuracy
        if line is None or not np.isfinite(line).all() or np.ptp(line) == 0:
            return
        mistakes = rise(prepare(-line, self.found.curves.epochs))
        self.found.say("accuracy", "accuracy_too" if mistakes.beyond else "accuracy_not")

    def _not_risen(self) -> None:
        found, validation, train = self.found, self.validation, self.train
        falls = rise(last_half(validation)).beyond
        gain, low, high = ahead(validation)
        more = falls and gain > MARGIN * abs(self.end)
        interval = Interval(-gain, -high, -low, say("from_history.worth_longer"))
        numbers: dict[str, Any] = {"gain": _figure(gain), "share": _share(gain, self.end), "end": _figure(self.end)}
        if train is None:
            found.ended("undecided", "falls_alone" if more else "flat_alone", **numbers)
            return
        fits = rise(last_half(train)).beyond
        if more and fits:
            found.say("falling", "both_fall", interval=interval, **numbers)
            found.step("train longer", "longer", interval, **numbers)
            found.ended("undertrained", "undertrained", **numbers)
            return
        found.say("flat", "flat" if not falls else "falls_little", end=_figure(self.end))
        self._settled(fits)

    def _settled(self, fits: bool) -> None:
        """The validation curve neither rises nor falls: is the loss high, is there a gap?"""
        found, validation, train = self.found, self.validation, self.train
        assert train is not None
        own, error = level(train, len(train.values) - 1)
        gap = self.end - own
        numbers: dict[str, Any] = {"end": _figure(self.end), "train": _figure(own), "gap": _figure(gap)}
        numbers["share"] = _share(gap, self.end)
        found.say("gap", "gap", **numbers)
        known = {"chance": self.chance, "target": self.target}
        told = {name: _figure(value) for name, value in known.items() if value is not None}
        if self.chance is not None and own - SIGMAS * error > CHANCE * self.chance:
            found.step("larger network", "larger")
            found.ended("underfits", "near_chance", **numbers, **told)
        elif self.target is not None and not fits and own - SIGMAS * error > self.target * (1 + MARGIN):
            found.step("larger network", "larger")
            found.ended("underfits", "above_target", **numbers, **told)
        elif not rise(Curve(-validation.values, validation.epochs, -validation.trend, validation.noise)).beyond:
            found.ended("undecided", "never_fell", **numbers)
        elif gap > max(GAP * abs(self.end), SIGMAS * math.hypot(error, self.end_error)):
            found.step("regularize", "regularize")
            found.ended("undecided", "gap", **numbers)
        else:
            found.ended("fits well", "fits_well" if self.chance is None else "fits_well_chance", **numbers, **told)


def _interval(risen: Rise, what: str) -> Interval:
    return Interval(risen.size, risen.low, risen.high, say(f"from_history.estimates_{what}"))


def _figure(number: float) -> str:
    return f"{number:.3g}"


def _share(part: float, whole: float) -> str:
    if not whole:
        return say("from_history.unknown")
    share = 100 * part / abs(whole)
    return f"{share:.0f}%" if abs(share) >= 10 else f"{share:.2g}%"


def _tenth(curve: Curve) -> str:
    return f"{curve.noise.memory:.1f}"
