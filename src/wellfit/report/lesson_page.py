"""A lesson as one self-contained HTML page: text, formula, the knob, and the lines of Python that made it."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit import __version__, records
from wellfit.messages import say
from wellfit.records import Samples, Taught
from wellfit.report.knob import knob, payload
from wellfit.report.lesson_code import code
from wellfit.report.lesson_facts import facts, parts, place, point_facts
from wellfit.report.lesson_formulas import formulas
from wellfit.report.lessons import LESSONS, Lesson
from wellfit.report.rendering import rendered
from wellfit.report.text import digits

if TYPE_CHECKING:
    pass

PARAGRAPHS, ASKED = ("one", "two", "three"), ("one", "two", "three")
# Of the samples so many are drawn as lines: more cannot be told apart.
MOST_LINES = 30


def lesson_page(lesson: Lesson, taught: Taught, *, linked: Collection[str] = ()) -> str:
    """Return the lesson as one HTML page, equal for equal arguments; lessons in ``linked`` are linked by their files.

    The page loads nothing from anywhere. Write it as UTF-8.
    """
    parts = {"paths": False, "search": False, "knob": True}
    # Listeners first: what the knob tells as it begins is heard.
    return rendered(
        "lesson.html",
        lambda: _context(lesson, taught, linked),
        parts=parts,
        styles=("style.css", "lesson.css"),
        scripts=("lesson.js", "knob.js"),
    )


def _context(lesson: Lesson, taught: Taught, linked: Collection[str]) -> dict[str, object]:
    from markupsafe import Markup

    told = facts(lesson, taught)
    names = [each.name for each in LESSONS]
    number = names.index(lesson.name) + 1
    return {
        "title": lesson.title,
        "eyebrow": say("lesson.number", number=number, count=len(names)),
        "lead": say(f"lesson.{lesson.key}_lead"),
        "paragraphs": paragraphs(lesson, taught),
        "formulas": [Markup(formula.mathml) for formula in formulas(lesson.name)],  # our own
        "where": say(f"lesson.{lesson.key}_where"),
        "knob": payload(knob_data(lesson, taught)),
        "knob_note": _note(taught, told),
        "looks": looks(lesson, taught),
        "code": code(lesson),
        "code_lead": say("lesson.code_lead", notebook=f"{lesson.name}.ipynb"),
        "asked": questions(lesson),
        "lessons": [(each.title, f"{each.name}.html" if each.name in linked else "") for each in LESSONS],
        "here": number - 1,
        "foot": say("lesson.foot", version=__version__, name=lesson.name),
    }


def paragraphs(lesson: Lesson, taught: Taught) -> list[str]:
    """Return the lesson's text, its figures those of the trained networks."""
    told = facts(lesson, taught)
    return [say(f"lesson.{lesson.key}_{which}", **told) for which in PARAGRAPHS]


def questions(lesson: Lesson) -> list[str]:
    """Return what a class may think about."""
    return [say(f"lesson.{lesson.key}_ask_{which}") for which in ASKED]


def looks(lesson: Lesson, taught: Taught) -> list[dict[str, object]]:
    """Return the positions of the slider worth a look: the turn, the point, and what is to be seen there."""
    found: list[dict[str, object]] = []
    for which, (turn, where) in zip(PARAGRAPHS, lesson.looks, strict=True):
        path = taught.paths[turn]
        point = place(path, where)
        told = {"chance": digits(path.chance), **point_facts(taught, path, point)}
        text = say(f"lesson.{lesson.key}_look_{which}", **told)
        found.append({"turn": turn, "point": point, "strength": told["strength"], "text": text})
    return found


def _note(taught: Taught, told: Any) -> str:
    if taught.samples is not None:
        return say("lesson.note_samples", **told)
    return say("lesson.note" if taught.paths[0].seeds > 1 else "lesson.note_one", **told)


def knob_data(lesson: Lesson, taught: Taught) -> dict[str, object]:
    """Return what the page's script is given: the knob of the paths, and what the lesson adds to it."""
    found: Any = knob(taught.paths, taught.frames, taught.task)
    found["start"] = 0  # the text turns its own first
    turned = zip(found["knobs"], lesson.turns, taught.paths, strict=True)
    for shown, turn, path in turned:
        if turn.rates:
            shown |= _rates(taught, path)
        if taught.samples is not None:
            shown |= _samples(taught, path, taught.samples)
    return found


def _rates(taught: Taught, path: records.Path) -> dict[str, object]:
    """Return how learning rates are named and told: they are no ingredient, and no rule chooses among them."""
    points = range(len(path.strengths))
    words = {"weak": "rate_high", "right": "rate_right", "strong": "rate_low"}
    return {
        "name": say("lesson.rate_name"),
        "axis": say("lesson.rate_axis"),
        "labels": [f"{rate:g}" for rate in path.strengths],
        "told": [say("lesson.rate_told", **point_facts(taught, path, p)) for p in points],
        "words": {**{word: say(f"lesson.{key}") for word, key in words.items()}, "diverged": say("knob.diverged")},
        "rule": None,
    }


def _samples(taught: Taught, path: records.Path, samples: Samples) -> dict[str, object]:
    """Return the fits as lines, and the parts that the loss on new rows is made of."""
    points, every = range(len(path.strengths)), samples.fits.shape[1]
    noise = np.full(len(points), samples.noise)
    lines = (
        (say("lesson.samples_bias"), "class2", samples.bias),
        (say("lesson.word_variance"), "class3", samples.variance),
        (say("lesson.word_noise"), "undecided", noise),
    )
    told = [
        say("lesson.samples_told", **(point_facts(taught, path, p) | parts(samples, p)), noise=digits(samples.noise))
        for p in points
    ]
    return {
        "told": told,
        "chance": None,  # far above all that is of interest here
        "also": [{"name": name, "colour": colour, "values": _short(values)} for name, colour, values in lines],
        "fits": {
            "x": _short(samples.xs),
            "truth": _short(samples.truth),
            "lines": [[_short(line) for line in point[:MOST_LINES]] for point in samples.fits],
            "mean": [_short(line) for line in samples.fits.mean(axis=1)],
            "points": [_short(samples.x), _short(samples.y)],
            "caption": say("lesson.fits_caption", samples=every, lines=min(MOST_LINES, every)),
            "names": [say("lesson.fits_truth"), say("lesson.fits_mean")],
        },
    }


def _short(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.3g}") if math.isfinite(v) else None for v in map(float, values)]
