"""The comparison as a table and as forest plots, best first."""

from __future__ import annotations

import math

from wellfit.messages import join, say
from wellfit.records import CocktailResult, Comparison, Interval
from wellfit.report.figures import comparison_figure
from wellfit.report.figures.comparison import Measure, difference_of
from wellfit.report.markup import picture
from wellfit.report.text import LACKING, amount, clean, decimals, metric_name, number

MAX_FOREST = 60
_LABEL_ROWS = 12


def best_first(comparison: Comparison) -> list[CocktailResult]:
    """Return the results with the best score first, of equal ones the lower loss; those without a score come last."""
    sign = -1 if comparison.higher_is_better else 1

    def rank(result: CocktailResult) -> tuple[float, float]:
        score, loss = _sound(result.score), _sound(result.loss)
        return sign * score.mean if score else math.inf, loss.mean if loss else math.inf

    return sorted(comparison.results, key=rank)


def _sound(interval: Interval | None) -> Interval | None:
    return interval if interval and all(map(math.isfinite, (interval.mean, interval.low, interval.high))) else None


def table(comparison: Comparison) -> dict[str, object]:
    """Return the table's heading and rows, every number written with the decimals of its column."""
    results = best_first(comparison)
    losses = decimals(i.mean for r in results for i in (_sound(r.loss), _sound(r.train_loss)) if i)
    scores = decimals(i.mean for r in results if (i := _sound(r.score)))
    changes = decimals([*(i.mean for r in results if (i := _sound(r.score))), 0.5])
    sense = "high" if comparison.higher_is_better else "low"
    metric = metric_name(comparison.metric)
    return {
        "lead": say(f"report.comparison_lead_{sense}", metric=metric),
        "caption": say("report.comparison_caption", folds=comparison.folds, seeds=comparison.seeds),
        "metric": metric,
        "rows": [_line(r, comparison.winner, losses, scores, changes) for r in results],
    }


def _line(result: CocktailResult, winner: str, losses: int, scores: int, changes: int) -> dict[str, object]:
    """Return one row of the table."""
    difference = result.score_difference
    word = difference.word if difference else ("diverged" if result.diverged else "reference")
    reference = word == "reference"
    text = say(f"report.word_{word}") if word != "diverged" else ""
    if result.diverged:
        text = say("report.diverged_count", diverged=result.diverged, members=result.members)
        word = "diverged"
    elif difference is None and result.cocktail != "none":
        text = LACKING
    won = result.cocktail == winner
    apart = None if difference is None or reference else _sound(difference.interval)
    score = _sound(result.score)
    return {
        "cocktail": clean(result.cocktail, 140),
        "kind": "winner" if won else word,
        "winner": won,
        "train_loss": amount(result.train_loss.mean, losses) if result.train_loss else LACKING,
        "loss": amount(result.loss.mean, losses) if result.loss else LACKING,
        "score": number(score.mean, scores) if score else LACKING,
        "score_range": _range(score, scores),
        "difference": number(apart.mean, changes, signed=True) if apart else LACKING,
        "difference_range": _range(apart, changes, signed=True),
        "word": word,
        "word_text": text,
    }


def _range(interval: Interval | None, places: int, *, signed: bool = False) -> str:
    if interval is None:
        return ""
    low, high = (number(v, places, signed=signed) for v in (interval.low, interval.high))
    return say("report.range", low=low, high=high)


def forests(comparison: Comparison) -> list[dict[str, object]]:
    """Return the forest plots of score and loss, or none where there is nothing to compare with."""
    made: list[dict[str, object]] = []
    results = best_first(comparison)[:MAX_FOREST]
    measures: tuple[Measure, ...] = ("score", "loss")
    for measure in measures:
        words = [d.word for r in results if (d := difference_of(r, measure))]
        if not any(word != "reference" for word in words):
            continue
        name = say(f"report.forest_{measure}", metric=metric_name(comparison.metric))
        figure = comparison_figure(comparison, measure=measure, results=results)
        label = say("report.forest_label", title=name, rows=_told(results, measure))
        made.append({"name": name, "svg": picture(figure, label, f"forest-{measure}-")})
    return made


def _told(results: list[CocktailResult], measure: Measure) -> str:
    """Return the rows of a forest plot in words, the first dozen of them."""
    rows = []
    for result in results:
        difference = difference_of(result, measure)
        if difference and difference.word == "reference":
            continue
        cocktail = clean(result.cocktail)
        if difference is None:
            reason = say("report.diverged_row" if result.diverged else "report.not_measured")
            rows.append(say("report.forest_label_without", cocktail=cocktail, reason=reason))
            continue
        interval = difference.interval
        places = decimals([interval.mean, interval.low, interval.high])
        mean, low, high = (number(v, places, signed=True) for v in (interval.mean, interval.low, interval.high))
        word = say(f"report.word_{difference.word}")
        rows.append(say("report.forest_label_row", cocktail=cocktail, mean=mean, low=low, high=high, word=word))
    more = len(rows) - _LABEL_ROWS
    told = rows[:_LABEL_ROWS] + ([say("report.forest_label_more", count=more)] if more > 0 else [])
    return join(told, "sentences")
