"""The answer of a run in three sentences: does it overfit, what helps, and what the test rows say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wellfit.messages import say
from wellfit.records import CocktailResult, Interval, RunRecord


def answer(record: RunRecord) -> tuple[str, str, str]:
    """Return the verdict, the winner of the cross-validation, and the scores on the test rows."""
    return record.verdict, _choice(record), _test(record)


def _choice(record: RunRecord) -> str:
    comparison = record.comparison
    winner = next(r for r in comparison.results if r.cocktail == comparison.winner)
    values: dict[str, object] = {
        "cocktail": comparison.winner,
        "count": len(comparison.results),
        "metric": comparison.metric,
        **_score(winner),
    }
    difference = winner.score_difference
    if comparison.winner == "none":
        return say("job.choice_none", **values)
    if difference is None or not math.isfinite(difference.interval.mean):
        return say("job.choice_alone", **values)
    return say(f"job.choice_{difference.word}", **values, **_range("change", difference.interval, signed=True))


def _score(result: CocktailResult) -> dict[str, str]:
    return {} if result.score is None else {"score": f"{result.score.mean:.3g}"}


def _range(name: str, interval: Interval, *, signed: bool = False) -> dict[str, str]:
    sign = "+" if signed else ""
    return {
        name: f"{interval.mean:{sign}.2g}",
        "low": f"{interval.low:{sign}.2g}",
        "high": f"{interval.high:{sign}.2g}",
    }


def _test(record: RunRecord) -> str:
    summary = record.summary
    test, none = summary["test"], summary["none"]
    assert isinstance(test, Mapping)
    assert isinstance(none, Mapping)
    metric, winner = record.comparison.metric, record.comparison.winner
    scores = {"best": _written(test), "none": _written(none["test"])}
    key = "job.test_one" if winner == "none" else "job.test_two"
    return say(key, cocktail=winner, metric=metric, **scores)


def _written(part: Mapping[str, Any]) -> str:
    """Return "0.93 (0.89 to 0.96)"."""
    if part["score"] is None:
        return say("job.unknown")
    score = f"{part['score']:.3g}"
    if part["interval"] is None:
        return score
    low, high = part["interval"]
    return say("job.ranged", score=score, low=f"{low:.3g}", high=f"{high:.3g}")
