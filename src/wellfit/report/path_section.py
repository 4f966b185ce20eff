"""The sections of paths: for each a picture, what it says, and some of its points as a table.

A linear path has a second section, of its coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from wellfit.messages import join, say
from wellfit.records import Path
from wellfit.report.figures.coefficients import MOST_PANELS, coefficients_figure, coefficients_label
from wellfit.report.figures.path import path_figure, path_label
from wellfit.report.markup import picture
from wellfit.report.path_text import (
    Row,
    Word,
    axis_name,
    linear_of,
    linear_sentences,
    name_of,
    path_sentences,
    rows,
    shown,
    weights,
    weights_note,
)
from wellfit.report.text import clean, metric_name, sentence

if TYPE_CHECKING:
    from markupsafe import Markup


MOST_WEIGHTS = 20
# How the page's style sheet calls the words of a comparison that look like these.
_LOOKS: dict[Word, str] = {"weak": "undecided", "right": "better", "strong": "undecided", "diverged": "diverged"}


class PathSection(TypedDict):
    """A heading with its id, how to read what follows, the picture, the sentences, and the table."""

    id: str
    name: str
    lead: str
    caption: str
    svg: Markup
    sentences: list[str]
    note: str
    columns: list[dict[str, object]]
    rows: list[dict[str, object]]


def path_sections(paths: Sequence[Path]) -> list[PathSection]:
    """Return a section for each path, and after it one for its coefficients where the model is linear."""
    found = []
    for i, path in enumerate(paths):
        found.append(_section(path, i))
        if path.linear is not None:
            found.append(_coefficients(path, i))
    return found


def _section(path: Path, index: int) -> PathSection:
    name, points = name_of(path), rows(path, shown(path))
    lead = say("path.lead" if path.linear is None else "path.lead_linear")
    if path.base != "none":
        lead = join([lead, say("path.lead_base", base=clean(path.base, 140))], "sentences")
    columns, lines = _table(path, points)
    return PathSection(
        id=f"path{index}",
        name=say("path.heading", name=name),
        lead=lead,
        caption=say("path.caption", name=name),
        svg=picture(path_figure(path), path_label(path), f"path{index}-"),
        sentences=[sentence(told) for told in path_sentences(path)],
        note=_note(path, points),
        columns=columns,
        rows=lines,
    )


def _note(path: Path, points: Sequence[Row]) -> str:
    every = len(path.strengths)
    parts = [say("path.note_high" if path.higher_is_better else "path.note_low", metric=metric_name(path.metric))]
    if len(points) < every:
        parts.append(say("path.some", shown=len(points), all=every))
    if any(row.off for row in points):
        parts.append(say("path.off_note"))
    if path.linear is not None:
        parts.append(say("path.freedom_note"))
    return join(parts, "sentences")


def _table(path: Path, points: Sequence[Row]) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return the columns and the rows, without the columns that hold nothing."""
    given = [
        ("train_loss", say("path.column_train_loss")),
        ("loss", say("path.column_loss")),
        ("loss_range", say("path.column_range")),
        ("score", metric_name(path.metric)),
        ("freedom", say("path.column_freedom")),
        ("zeros", say("path.column_zeros")),
        ("inputs", say("path.column_inputs")),
        ("off", say("path.column_off")),
    ]
    kept = [(field, name) for field, name in given if any(getattr(row, field) for row in points)]
    columns: list[dict[str, object]] = [{"name": axis_name(path), "number": False}]
    columns += [{"name": name, "number": True} for _, name in kept]
    columns.append({"name": say("path.column_word"), "number": False})
    lines: list[dict[str, object]] = []
    for row in points:
        marks = [say("path.mark_best")] * row.best + [say("path.mark_rule")] * row.rule
        cells = [{"text": getattr(row, field), "range": field == "loss_range"} for field, _ in kept]
        word = {"strength": row.strength, "word": _LOOKS[row.word], "word_text": row.word_text}
        lines.append({"kind": row.word if row.word == "right" else "", "marks": marks, "cells": cells, **word})
    return columns, lines


def _coefficients(path: Path, index: int) -> PathSection:
    """Return the section of a linear path's coefficients: those in use at the one-standard-error strength."""
    name, linear = name_of(path), linear_of(path)
    outputs, left_out = linear.outputs[:MOST_PANELS], linear.outputs[MOST_PANELS:]
    alone = len(linear.outputs) == 1
    heads = [say("path.column_own")] if alone else [clean(output, 30) for output in outputs]
    if alone:
        heads.append(say("path.column_standardized"))
    columns: list[dict[str, object]] = [{"name": say("path.column_feature"), "number": False}]
    columns += [{"name": head, "number": True} for head in heads]
    columns.append({"name": say("path.column_until"), "number": False})
    lines: list[dict[str, object]] = []
    found = weights(path, MOST_WEIGHTS)
    for weight in found:
        texts = [*weight.own[:MOST_PANELS], *([weight.standardized] if alone else [])]
        cells = [{"text": text, "range": False} for text in texts]
        # The look "reference" is a quiet word without a mark in front.
        word = {"strength": clean(weight.name), "word": "reference", "word_text": weight.until}
        lines.append({"kind": "", "marks": [], "cells": cells, **word})
    return PathSection(
        id=f"path{index}-coefficients",
        name=say("path.coefficients_heading", name=name),
        lead=say("path.coefficients_lead"),
        caption=say("path.coefficients_caption", name=name),
        svg=picture(coefficients_figure(path), coefficients_label(path), f"path{index}-coefficients-"),
        sentences=[sentence(told) for told in linear_sentences(path)],
        note=weights_note(path, len(found) - 1, left_out),
        columns=columns,
        rows=lines,
    )
