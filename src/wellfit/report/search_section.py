"""The section of a search: its picture, the best trials, the ensemble, the ingredients' worth, the honest score."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TypedDict

from wellfit.messages import join, say
from wellfit.records import RunRecord, SearchRecord
from wellfit.report.figures.search import search_figure, search_label, worth_figure
from wellfit.report.markup import picture
from wellfit.report.search_text import (
    best_trials,
    note,
    repeat_sentence,
    repeated,
    rows,
    sampler_name,
    score_numbers,
    score_sentences,
    sentences,
    worth_notes,
    worth_rows,
)
from wellfit.report.text import decimals, finite, metric_name, number, printable, sentence, short

if TYPE_CHECKING:
    from markupsafe import Markup


_WORDS = ("network", "inputs")  # columns of words; all others hold numbers


class SearchSection(TypedDict):
    """The heading with its id and, in the order of the page, all that stands below it."""

    id: str
    name: str
    lead: str
    legend: list[dict[str, str]]
    caption: str
    svg: Markup
    sentences: list[str]
    note: str
    columns: list[dict[str, object]]
    rows: list[dict[str, object]]
    worth: Markup | None
    worth_notes: list[str]
    cards: list[dict[str, object]]
    score_note: str
    repeat: str
    command: str


def search_section(record: RunRecord) -> SearchSection | None:
    """Return the section, or None where nothing was searched."""
    search = record.search
    if search is None:
        return None
    trials = best_trials(search)
    columns, lines = _table(search)
    measured = bool(worth_rows(search))
    return SearchSection(
        id="search",
        name=say("search.heading"),
        lead=_lead(search),
        legend=_legend(search),
        caption=say("search.caption"),
        svg=picture(search_figure(search), search_label(search), "search-"),
        sentences=[sentence(told) for told in sentences(search)],
        note=note(search, len(trials)),
        columns=columns,
        rows=lines,
        worth=picture(worth_figure(search), _worth_label(search), "worth-") if measured else None,
        worth_notes=[sentence(told) for told in worth_notes(search)],
        cards=_cards(search),
        score_note=sentence(score_sentences(search)[1]),
        repeat=repeat_sentence(search),
        command=_command(record.command, search),
    )


def _lead(search: SearchRecord) -> str:
    portfolio = sum(trial.source == "portfolio" for trial in search.trials)
    proposed = len(search.trials) - portfolio
    key = "search.lead_who" if proposed else "search.lead_who_portfolio"
    who = say(key, portfolio=portfolio, proposed=proposed, sampler=sampler_name(search))
    rungs = ", ".join(map(str, search.epochs))
    how = say("search.lead_how" if len(search.epochs) > 1 else "search.lead_how_one", folds=search.folds, rungs=rungs)
    return join([say("search.lead", budget=short(search.budget)), who, how], "sentences")


def _legend(search: SearchRecord) -> list[dict[str, str]]:
    """Return what the marks mean, of those that are there."""
    sources = {trial.source for trial in search.trials}
    keys = []
    if "portfolio" in sources:
        keys.append(("lozenge", "l2", "search.legend_portfolio"))
    if sources - {"portfolio"}:
        keys.append(("disc", "train", "search.legend_proposed"))
    if any(len(trial.losses) > 1 for trial in search.trials):
        keys.append(("upright", "rule", "search.legend_rise"))
    keys += [("ring", "winner", "search.legend_part"), ("star", "winner", "search.legend_winner")]
    return [{"mark": mark, "colour": colour, "name": say(key)} for mark, colour, key in keys]


def _table(search: SearchRecord) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the columns and the rows of the best trials, without the columns that hold nothing."""
    shown = rows(search, best_trials(search))
    fields = ("loss", "epochs", "share", "network", "inputs", "rate", "batch", "seeds")
    kept = [field for field in fields if any(getattr(row, field) for row in shown)]
    columns: list[dict[str, object]] = [{"name": say("search.column_number"), "number": True}]
    columns.append({"name": say("search.column_cocktail"), "number": False})
    columns += [{"name": say(f"search.column_{field}"), "number": field not in _WORDS} for field in kept]
    lines: list[dict[str, object]] = []
    for row in shown:
        cells = [{"text": getattr(row, field), "number": field not in _WORDS} for field in kept]
        mark = say("search.mark_winner") if row.won else ""
        lines.append({"number": row.number, "cocktail": row.cocktail, "mark": mark, "cells": cells, "won": row.won})
    return columns, lines


def _worth_label(search: SearchRecord) -> str:
    told = [
        say(
            "report.forest_label_row",
            cocktail=row.name,
            mean=row.change,
            low=row.low,
            high=row.high,
            word=say(f"search.word_{row.verdict}"),
        )
        for row in worth_rows(search)
    ]
    return say("search.worth_label", rows=join(told, "sentences"))


def _cards(search: SearchRecord) -> list[dict[str, object]]:
    """Return the corrected score, the naive one and that of the best single trial, on one scale."""
    score, metric = search.score, metric_name(search.metric)
    interval = score.score
    mean, low, high, naive, optimism = score_numbers(search)
    places = decimals((interval.mean, interval.low, interval.high, score.naive))
    flattered = finite(score.optimism) is not None and round(score.optimism, places) > 0
    noted = say("report.answer_no_interval")
    if finite(interval.low) is not None and finite(interval.high) is not None:
        noted = say("report.answer_interval", low=low, high=high)
    under = say("search.card_flatters", optimism=optimism) if flattered else say("search.card_naive_note")
    given = [
        (say("search.card_score", metric=metric), "winner", mean, noted, (interval.mean, interval.low, interval.high)),
        (say("search.card_naive"), "none", naive, under, (score.naive,) * 3),
        (
            say("search.card_single"),
            "none",
            number(search.single_score, places),
            say("search.card_single_note"),
            (search.single_score,) * 3,
        ),
    ]
    frame = _frame([value for *_, values in given for value in values])
    return [
        {"name": name, "role": role, "value": value, "note": under, "strip": _strip(values, frame)}
        for name, role, value, under, values in given
    ]


def _frame(values: list[float]) -> tuple[float, float] | None:
    """Return the range that holds all these numbers with a little room, None where there is nothing to compare."""
    sound = [value for value in values if finite(value) is not None]
    if not sound or min(sound) == max(sound):
        return None
    room = 0.12 * (max(sound) - min(sound))
    return min(sound) - room, max(sound) + room


def _strip(values: tuple[float, float, float], frame: tuple[float, float] | None) -> dict[str, str] | None:
    """Return where to draw a mean and its interval, in percent of the frame."""
    if frame is None or any(finite(value) is None for value in values):
        return None
    at, left, right = (100 * (value - frame[0]) / (frame[1] - frame[0]) for value in values)
    return {"at": f"{at:.1f}", "left": f"{left:.1f}", "width": f"{right - left:.1f}"}


def _command(command: str, search: SearchRecord) -> str:
    """Return the command that repeats the search, "" where it was not called from a command line."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    return printable(repeated(words[1:], search)) if words[:1] == ["wellfit"] and len(words) > 1 else ""
