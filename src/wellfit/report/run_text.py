"""The answer of a run in a few sentences: does it overfit, what helps, how strong, and what the test rows say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wellfit.evidence.metrics import metric_said
from wellfit.messages import join, say
from wellfit.records import CocktailResult, Interval, Path, RunRecord, SearchRecord
from wellfit.report.learned import sides


def answer(record: RunRecord) -> tuple[str, ...]:
    """Return the verdict, the winner, how strong the best path's ingredient must be, and the scores on the test rows.

    Without paths there are three sentences; with a linear model beside the network one more, whether that is needed.
    """
    choice = _choice(record) if record.search is None else _searched(record, record.search)
    path = min(record.paths, key=lambda p: float(p.losses[p.best].mean()), default=None)
    simple = [] if record.simplest is None else [record.simplest.sentence]
    return (record.verdict, choice, *([_strength(path)] if path else []), *simple, _test(record))


def _strength(path: Path) -> str:
    """Return where along a path the network fits; the path is the one with the lowest loss of all."""
    if not path.best:
        return say("job.strength_none", ingredient=path.over)
    low = high = path.best  # the range about the best point without a gap
    while low > 0 and path.right[low - 1]:
        low -= 1
    while high + 1 < len(path.right) and path.right[high + 1]:
        high += 1
    key = "job.strength_epochs" if path.over == "early_stopping" else "job.strength"
    numbers = {"best": path.best, "rule": path.one_standard_error, "low": low, "high": high}
    written = {name: f"{path.strengths[i]:.3g}" for name, i in numbers.items()}
    losses = {"loss": f"{path.losses[path.best].mean():.3g}", "none": f"{path.losses[0].mean():.3g}"}
    return say(key, ingredient=path.over, **written, **losses)


def _searched(record: RunRecord, search: SearchRecord) -> str:
    winner, interval = search.trials[search.winner], search.score.score
    told = say(
        "job.searched",
        count=len(search.trials),
        cocktail=winner.cocktail,
        network=winner.network,
        metric=metric_said(search.metric),
        score=f"{interval.mean:.3g}",
        low=f"{interval.low:.3g}",
        high=f"{interval.high:.3g}",
    )
    two = sides(record)
    return join([told, two.sampled], "sentences") if two and two.sampled else told


def _choice(record: RunRecord) -> str:
    comparison = record.comparison
    winner = next(r for r in comparison.results if r.cocktail == comparison.winner)
    values: dict[str, object] = {
        "cocktail": comparison.winner,
        "count": len(comparison.results),
        "metric": metric_said(comparison.metric),
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
    metric, winner = metric_said(record.comparison.metric), record.comparison.winner
    scores = {"best": _written(test), "none": _written(none["test"])}
    if two := sides(record):
        told = say("job.test_search", metric=metric, model=two.model, plain=two.plain, **scores)
        return join([told, two.credit], "sentences") if two.credit else told
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
