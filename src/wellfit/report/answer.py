"""The answer at the top of the page: what won, how good it is, and how good the network was without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wellfit.messages import join, say
from wellfit.records import Interval, Path, RunRecord, SearchRecord
from wellfit.report.learned import Sides, sides
from wellfit.report.path_text import name_of, right_sentence
from wellfit.report.text import clause, clean, decimals, finite, metric_name, number, sentence, short

_LONG = 24


class Score(NamedTuple):
    """A score and its interval as numbers, None where there is none."""

    value: float | None
    low: float | None
    high: float | None


def score_of(part: object) -> Score:
    """Read ``{"score": s, "interval": [low, high]}`` of a summary; anything lacking is None."""
    if not isinstance(part, Mapping):
        return Score(None, None, None)
    bounds = part.get("interval")
    if isinstance(bounds, Interval):
        bounds = (bounds.low, bounds.high)
    elif isinstance(bounds, Mapping):
        bounds = (bounds.get("low"), bounds.get("high"))
    low, high = bounds if isinstance(bounds, (list, tuple)) and len(bounds) == 2 else (None, None)
    return Score(finite(part.get("score")), finite(low), finite(high))


def cards(record: RunRecord) -> dict[str, object]:
    """Return the cards: the winner, its score, the score without regularization, and what to make of them."""
    comparison = record.comparison
    count = len(comparison.results)
    members = sum(r.members for r in comparison.results)
    plain_won = comparison.winner == "none"
    numbers = {"folds": comparison.folds, "seeds": comparison.seeds, "members": short(members)}
    key = "report.answer_none_note" if plain_won and count > 1 else "report.answer_winner_note"
    scores, notes = _scores(record, plain_won and record.search is None)
    if record.search is not None:
        return {**_searched(record.search, sides(record)), "scores": scores, "notes": notes}
    return {
        "winner_name": say("report.answer_winner", count=count) if count > 1 else say("report.answer_winner_only"),
        "winner": clean(comparison.winner, 140),
        "long": len(comparison.winner) > _LONG,
        "winner_notes": [note for note in (_sureness(record), say(key, **numbers)) if note],
        "scores": scores,
        "notes": notes,
    }


def told(record: RunRecord) -> list[str]:
    """Return the answer after the verdict: what helps and how strong it must be, and how sure that is."""
    return [text for text in (_cure(record), _strong(record.paths), _tested(record)) if text]


def _cure(record: RunRecord) -> str:
    if record.search is not None:
        search, interval = record.search, record.search.score.score
        places = decimals([interval.mean, interval.low, interval.high])
        low, high = (number(value, places) for value in (interval.low, interval.high))
        values = {"metric": metric_name(search.metric), "score": number(interval.mean, places)}
        cocktail = clean(search.trials[search.winner].cocktail, 140)
        found = say("report.told_search", cocktail=cocktail, low=low, high=high, **values)
        return _with(found, two.sampled if (two := sides(record)) else "")
    if record.comparison.winner == "none":
        return say("report.told_none") if len(record.comparison.results) > 1 else ""
    return say("report.told_winner", cocktail=clean(record.comparison.winner, 140))


def _strong(paths: Sequence[Path]) -> str:
    """Return which ingredient helps most where it is turned up alone, and from where to where it is right."""
    sound = [path for path in paths if not path.diverged[path.best] and not path.diverged[0]]
    if not sound:
        return ""
    best = min(sound, key=lambda path: float(path.mean(path.losses)[path.best]))
    if all(path.right[0] for path in sound):
        return say("report.told_no_path")
    return say("report.told_path", name=name_of(best), right=right_sentence(best))


def _tested(record: RunRecord) -> str:
    """Return what the test rows say of the model and of none: they were used once."""
    best, none = score_of(record.summary.get("test")), record.summary.get("none")
    plain = score_of(none.get("test")) if isinstance(none, Mapping) else score_of(None)
    if best.value is None or plain.value is None or best == plain:
        return ""
    places = decimals([*best, *plain])
    near, two = _overlap(best, plain), sides(record)
    values = {"metric": metric_name(record.comparison.metric), "score": number(best.value, places)}
    values["none"] = number(plain.value, places)
    if two is None:
        return say("report.told_test_overlap" if near else "report.told_test", **values)
    key = "report.told_test_search_overlap" if near else "report.told_test_search"
    return _with(say(key, model=two.model, plain=two.plain, **values), two.credit)


def _with(told: str, more: str) -> str:
    return join([told, more], "sentences") if more else told


def _searched(search: SearchRecord, two: Sides | None) -> dict[str, object]:
    """Return the card of a search's winner and the ensemble that is the model."""
    winner, interval = search.trials[search.winner], search.score.score
    sampled = two.sampled if two else ""
    places = decimals([interval.mean, interval.low, interval.high])
    low, high = (number(value, places) for value in (interval.low, interval.high))
    expected = {"metric": metric_name(search.metric), "score": number(interval.mean, places), "low": low, "high": high}
    return {
        "winner_name": say("search.card_search", count=len(search.trials)),
        "winner": clean(winner.cocktail, 140),
        "long": len(winner.cocktail) > _LONG,
        "winner_notes": [
            # What learned anew from all rows is the winner alone.
            say("search.card_network", network=clean(winner.network), parts=1 if sampled else len(search.parts)),
            _with(say("search.card_expected", **expected), sampled),
        ],
    }


def _sureness(record: RunRecord) -> str:
    """Return by how much the winner beats "none" in cross-validation and how sure that is; "" where it is "none"."""
    comparison = record.comparison
    won = next((r for r in comparison.results if r.cocktail == comparison.winner), None)
    difference = won.score_difference if won else None
    if difference is None or difference.word == "reference" or finite(difference.interval.mean) is None:
        return ""
    interval = difference.interval
    places = decimals([won.score.mean if won and won.score else interval.mean, 0.5])
    change, low, high = (number(v, places, signed=True) for v in (interval.mean, interval.low, interval.high))
    metric = metric_name(comparison.metric)
    return say(f"report.answer_word_{difference.word}", metric=metric, change=change, low=low, high=high)


def _scores(record: RunRecord, plain_won: bool) -> tuple[list[dict[str, object]], list[str]]:
    """Return the cards with scores, on the test rows if they were used, and the notes below the cards."""
    summary, metric = record.summary, metric_name(record.comparison.metric)
    tested = score_of(summary.get("test")).value is not None
    part = "test" if tested else "validation"
    best = score_of(summary.get(part))
    none = summary.get("none")
    plain = score_of(none.get(part)) if isinstance(none, Mapping) else score_of(None)
    two = sides(record)
    name = say(f"report.answer_{part}{'_search' if two else ''}", metric=metric)
    about = {"winner": clause(two.model), "none": clause(two.plain)} if two and tested else {}
    shown = [(name, "none" if plain_won else "winner", best)]
    if not plain_won and plain.value is not None:
        shown.append((say("report.answer_plain"), "none", plain))
    places = decimals(value for _, _, score in shown for value in score)
    frame = _frame([score for _, _, score in shown])
    made: list[dict[str, object]] = []
    for name, role, score in shown:
        note = say("report.answer_no_interval")
        if score.low is not None and score.high is not None:
            note = say("report.answer_interval", low=number(score.low, places), high=number(score.high, places))
        strip = _strip(score, frame)
        made.append(
            {
                "name": name,
                "role": role,
                "value": number(score.value, places),
                "note": note,
                "strip": strip,
                "about": about.get(role, ""),
            }
        )
    notes = [say("report.answer_touched")] if tested else []
    # The comparison holds no ensemble: of that the sentence above says whether the two can be told apart.
    if two is None and len(shown) == 2 and _overlap(best, plain):
        notes.append(say("report.answer_overlap"))
    if record.simplest is not None:
        notes.append(sentence(record.simplest.sentence))
    return made, notes


def _overlap(a: Score, b: Score) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low <= b.high and b.low <= a.high


def _frame(scores: list[Score]) -> tuple[float, float] | None:
    """Return the range that holds all these scores with a little room, or None."""
    values = [value for score in scores for value in score if value is not None]
    if len(values) < 2 or min(values) == max(values):
        return None
    room = 0.12 * (max(values) - min(values))
    return min(values) - room, max(values) + room


def _strip(score: Score, frame: tuple[float, float] | None) -> dict[str, str] | None:
    """Return where to draw an interval and its mark, in percent of the frame."""
    if frame is None or score.value is None or score.low is None or score.high is None:
        return None
    low, high = frame
    at, left, right = (100 * (v - low) / (high - low) for v in (score.value, score.low, score.high))
    return {"at": f"{at:.1f}", "left": f"{left:.1f}", "width": f"{right - left:.1f}"}
