"""Results outside the page: the figure of each, and what a notebook shows of it."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from wellfit.messages import say
from wellfit.records import (
    BiasVariance,
    CocktailResult,
    Comparison,
    Diagnosis,
    History,
    Path,
    RunRecord,
    SearchRecord,
    Simplest,
    Workings,
)
from wellfit.report import bias_variance_text, workings_text
from wellfit.report.answer import told
from wellfit.report.figures import comparison_figure, curves_figure
from wellfit.report.figures.coefficients import coefficients_figure, coefficients_label
from wellfit.report.figures.comparison import Measure
from wellfit.report.figures.decomposition import decomposition_figure, decomposition_label
from wellfit.report.figures.diagnosis import diagnosis_figure, diagnosis_label
from wellfit.report.figures.path import path_figure, path_label
from wellfit.report.figures.search import search_figure, search_label
from wellfit.report.figures.workings import workings_figure, workings_label
from wellfit.report.path_text import path_sentences, title
from wellfit.report.search_text import sentences
from wellfit.report.search_text import title as search_title
from wellfit.report.svg import inline_svg
from wellfit.report.table import best_first, forests, table
from wellfit.report.text import clean, digits, metric_name
from wellfit.report.theme import LIGHT, variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Wide enough to be read beside a table, in a notebook or a text.
CURVES = (420.0, 250.0)


@singledispatch
def figure_of(record: object, **options: object) -> Figure:  # noqa: ARG001 (each figure has options of its own)
    """Return the figure of a record: see `wellfit.records.showing.Shown.plot`."""
    raise TypeError(f"no figure is known for {type(record).__name__}")


@singledispatch
def html_of(record: object) -> str:
    """Return a record as a piece of HTML in the light colours of the page, every name in it escaped."""
    raise TypeError(f"no picture is known for {type(record).__name__}")


@figure_of.register(Comparison)
def _(record: Comparison, *, measure: Measure = "score") -> Figure:
    return comparison_figure(record, measure=measure, results=best_first(record))


@html_of.register(Comparison)
def _(record: Comparison) -> str:
    shown = table(record)
    names = [say(f"report.column_{name}") for name in ("cocktail", "train_loss", "loss")]
    names += [metric_name(record.metric), say("report.column_interval"), say("report.column_word")]
    fields = ("cocktail", "train_loss", "loss", "score", "score_range", "word_text")
    rows = shown["rows"]
    assert isinstance(rows, list)
    pictures = [str(forest["svg"]) for forest in forests(record)]
    return _piece(str(shown["caption"]), [_table(names, [[str(row[f]) for f in fields] for row in rows]), *pictures])


@figure_of.register(Path)
def _(record: Path, *, coefficients: bool = False) -> Figure:
    return coefficients_figure(record) if coefficients else path_figure(record)


@html_of.register(Path)
def _(record: Path) -> str:
    parts = [inline_svg(path_figure(record), path_label(record), "path-")]
    if record.linear is not None:
        parts.append(inline_svg(coefficients_figure(record), coefficients_label(record), "coefficients-"))
    return _piece(title(record), [*parts, *_paragraphs(path_sentences(record))])


@figure_of.register(SearchRecord)
def _(record: SearchRecord) -> Figure:
    return search_figure(record)


@html_of.register(SearchRecord)
def _(record: SearchRecord) -> str:
    return _told(search_title(record), search_figure(record), search_label(record), sentences(record))


@figure_of.register(Diagnosis)
def _(record: Diagnosis) -> Figure:
    return diagnosis_figure(record)


@html_of.register(Diagnosis)
def _(record: Diagnosis) -> str:
    picture = inline_svg(diagnosis_figure(record), diagnosis_label(record), "diagnosis-")
    found = _list(say("showing.evidence"), [part.text for part in record.evidence])
    steps = _list(say("showing.next_steps"), [step.text for step in record.next_steps])
    return _piece(record.sentence, [picture, found, steps])


@figure_of.register(BiasVariance)
def _(record: BiasVariance) -> Figure:
    return decomposition_figure(record)


@html_of.register(BiasVariance)
def _(record: BiasVariance) -> str:
    heading, sentences = bias_variance_text.title(record), bias_variance_text.sentences(record)
    return _told(heading, decomposition_figure(record), decomposition_label(record), sentences)


@figure_of.register(RunRecord)
def _(record: RunRecord, *, measure: Measure = "score") -> Figure:
    return figure_of(record.comparison, measure=measure)


@html_of.register(RunRecord)
def _(record: RunRecord) -> str:
    return _piece(record.headline or record.verdict, _paragraphs(told(record))) + html_of(record.comparison)


@html_of.register(Simplest)
def _(record: Simplest) -> str:
    return _piece(record.sentence, [])


@figure_of.register(Workings)
def _(record: Workings) -> Figure:
    return workings_figure(record)


@html_of.register(Workings)
def _(record: Workings) -> str:
    heading, sentences = workings_text.title(record), workings_text.sentences(record)
    return _told(heading, workings_figure(record), workings_label(record), sentences)


@figure_of.register(History)
def _(record: History) -> Figure:
    return curves_figure([_as_result(record)], titled=False, size=CURVES)


@html_of.register(History)
def _(record: History) -> str:
    heading, label = history_told(record)
    return _piece(heading, [inline_svg(figure_of(record), label, "history-")])


def history_told(record: History) -> tuple[str, str]:
    """Return how a training ended, and where its losses did."""
    result = _as_result(record)
    ends = [
        digits(float(line[-1])) if len(line) else ""
        for line in (result.curves["train_loss"], result.curves["score_loss"])
    ]
    status = say(f"showing.status_{record.status}")
    heading = say("showing.history_told", status=status, epochs=record.epochs, best=record.best_epoch)
    return heading, say("showing.history_label", train=ends[0], validation=ends[1])


def _as_result(record: History) -> CocktailResult:
    """Return a member's curves in the shape that learning curves are drawn from; stop rows stand in for score rows."""
    curves = {name: np.asarray(record.curves[name], dtype=float) for name in ("train_loss", "score_loss", "stop_loss")}
    if not np.isfinite(curves["score_loss"]).any():
        curves["score_loss"] = curves["stop_loss"]
    lost = int(record.status == "diverged")
    return CocktailResult("", 1, lost, None, None, None, None, None, record.best_epoch, curves, record.checkpoints)


def _told(heading: str, figure: Figure, label: str, sentences: list[str]) -> str:
    return _piece(heading, [inline_svg(figure, label, "figure-"), *_paragraphs(sentences)])


def _piece(heading: str, parts: list[str]) -> str:
    look = (
        f"{variables(LIGHT)};background:var(--paper);color:var(--ink);padding:1em;max-width:46em;font-family:sans-serif"
    )
    return f'<div class="wellfit" style="{look}"><p>{_text(heading)}</p>{"".join(parts)}</div>'


def _paragraphs(sentences: list[str]) -> list[str]:
    return [f"<p>{_text(sentence)}</p>" for sentence in sentences]


def _list(heading: str, texts: list[str]) -> str:
    if not texts:
        return ""
    items = "".join(f"<li>{_text(text)}</li>" for text in texts)
    return f"<p><b>{_text(heading)}</b></p><ul>{items}</ul>"


def _table(names: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    lines = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _text(text: str) -> str:
    from markupsafe import escape

    return str(escape(clean(text, 900)))
