"""A lesson as a Jupyter notebook (nbformat 4.5, https://nbformat.readthedocs.io): JSON, written here."""

from __future__ import annotations

import json
from collections.abc import Sequence

from wellfit.messages import say
from wellfit.records import Taught
from wellfit.report.lesson_code import code, picture
from wellfit.report.lesson_formulas import formulas
from wellfit.report.lesson_page import looks, paragraphs, questions
from wellfit.report.lessons import Lesson


def notebook_text(lesson: Lesson, taught: Taught) -> str:
    """Return the notebook's JSON: the page's text, formulas, the lines that train its networks, and a picture."""
    seen = [f"**{look['strength']}.** {look['text']}" for look in looks(lesson, taught)]
    cells = [
        _words("text", [f"# {lesson.title}", say(f"lesson.{lesson.key}_lead"), *paragraphs(lesson, taught)]),
        _words(
            "formula",
            [
                f"## {say('lesson.formula')}",
                *(f"$${formula.latex}$$" for formula in formulas(lesson.name)),
                say(f"lesson.{lesson.key}_where"),
            ],
        ),
        _words("lines", [f"## {say('lesson.code')}", say("lesson.notebook_lead", page=f"{lesson.name}.html")]),
        _lines("train", code(lesson)),
        _lines("picture", picture(lesson)),
        _words("notice", [f"## {say('lesson.notice')}", _items(seen)]),
        _words("ask", [f"## {say('lesson.ask')}", _items(questions(lesson))]),
        _lines("yours", ""),
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "title": lesson.title,
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _items(texts: Sequence[str]) -> str:
    return "\n".join(f"{i}. {text}" for i, text in enumerate(texts, 1))


def _words(name: str, parts: Sequence[str]) -> dict[str, object]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _source("\n\n".join(parts))}


def _lines(name: str, text: str) -> dict[str, object]:
    source = _source(text.rstrip("\n"))
    return {"cell_type": "code", "execution_count": None, "id": name, "metadata": {}, "outputs": [], "source": source}


def _source(text: str) -> list[str]:
    return text.splitlines(keepends=True)
