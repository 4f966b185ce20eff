"""The sections made of panels: learning curves, costs, weights, decision boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, CocktailResult, Comparison, History, Portrait, RunRecord, Task
from wellfit.report.figures import (
    boundary_figure,
    cost_figure,
    cost_scale,
    curve_scale,
    curves_figure,
    weight_range,
    weights_figure,
)
from wellfit.report.figures.boundary import MAX_POINTS
from wellfit.report.figures.panels import measured
from wellfit.report.figures.weights import finite_weights
from wellfit.report.markup import picture
from wellfit.report.table import best_first
from wellfit.report.text import clean, decimals, digits, number
from wellfit.report.theme import CLASSES, PANEL

MAX_CURVES = 9
NARROW = 232.0


class Panel(TypedDict):
    """One picture with its name, a tag beside the name, and a fact below the picture."""

    name: str
    tag: str
    svg: str
    fact: str


class Section(TypedDict):
    """A heading, how to read what follows, a legend, the panels, and a note."""

    name: str
    lead: str
    legend: list[dict[str, str]]
    panels: list[Panel]
    note: str


def sections(record: RunRecord) -> list[tuple[str, Section]]:
    """Return the sections of panels that this record has something to show in, by their id on the page."""
    comparison, winner, portraits = record.comparison, record.comparison.winner, distinct(record.portraits)
    made = [
        ("curves", _curves(comparison, portraits)),
        ("costs", _costs(portraits, winner)),
        ("weights", _weights(portraits, winner)),
        ("boundaries", _boundaries(portraits, winner, comparison.task)),
    ]
    return [(key, section) for key, section in made if section["panels"]]


def _key(mark: str, colour: str, name: str) -> dict[str, str]:
    return {"mark": mark, "colour": colour, "name": name}


def _won(cocktail: str, winner: str) -> str:
    return say("report.winner") if cocktail == winner else ""


def _ends(line: Array) -> tuple[float | None, float | None]:
    """Return the first and the last finite value of a curve, or None."""
    line = line[np.isfinite(line)]
    return (float(line[0]), float(line[-1])) if line.size else (None, None)


def _kept(history: History, name: str) -> float | None:
    """Return a curve's value at the epoch whose weights are kept (the last checkpoint up to it), or None."""
    line = measured(history.curves, name, history.checkpoints)
    line = line[np.asarray(history.checkpoints) <= history.best_epoch]
    return float(line[-1]) if line.size and np.isfinite(line[-1]) else None


def notable(comparison: Comparison, portraits: Sequence[Portrait], most: int = MAX_CURVES) -> list[CocktailResult]:
    """Return at most ``most`` cocktails to draw, best first: none, the winner, those portrayed, the best, the worst."""
    ranked = best_first(comparison)
    if len(ranked) <= most:
        return ranked
    sound = [r for r in ranked if r.score]
    names = ["none", comparison.winner, *(p.cocktail for p in portraits), *(r.cocktail for r in sound[-1:])]
    names += [r.cocktail for r in ranked]
    chosen = set(list(dict.fromkeys(name for name in names if any(r.cocktail == name for r in ranked)))[:most])
    return [r for r in ranked if r.cocktail in chosen]


def _curves(comparison: Comparison, portraits: Sequence[Portrait]) -> Section:
    results = notable(comparison, portraits)
    scale = curve_scale(results)
    panels: list[Panel] = []
    for i, result in enumerate(results):
        name = clean(result.cocktail, 90)
        train = _ends(measured(result.curves, "train_loss", result.checkpoints))
        score = _ends(measured(result.curves, "score_loss", result.checkpoints))
        figure = curves_figure([result], scale=scale, titled=False)
        label, fact = say("report.no_curves_label", cocktail=name), ""
        if train[1] is not None and score[1] is not None:
            label = say(
                "report.curves_label",
                cocktail=name,
                train_first=digits(train[0]),
                train_last=digits(train[1]),
                score_first=digits(score[0]),
                score_last=digits(score[1]),
            )
            gap = score[1] - train[1]
            fact = say("report.curves_fact", gap=number(gap, decimals([score[1]]), signed=True))
        won = _won(result.cocktail, comparison.winner)
        fact = "" if result.diverged else fact
        panels.append(Panel(name=name, tag=won, svg=picture(figure, label, f"curve{i}-"), fact=fact))
    counts = {"shown": len(results), "all": len(comparison.results)}
    return Section(
        name=say("report.curves"),
        lead=say("report.curves_lead"),
        legend=[
            _key("dash", "train", say("report.curves_train")),
            _key("line", "validation", say("report.curves_validation")),
            _key("upright", "muted", say("report.curves_kept")),
        ],
        panels=panels,
        note=say("report.curves_some", **counts) if counts["shown"] < counts["all"] else "",
    )


def distinct(portraits: Sequence[Portrait]) -> list[Portrait]:
    """Return the portraits without those that picture a cocktail again (the winner is often the L2 one)."""
    first: dict[str, Portrait] = {}
    for portrait in portraits:
        first.setdefault(portrait.cocktail, portrait)
    return list(first.values())


def _size(count: int) -> tuple[float, float]:
    """Return the size of a panel: narrower where four of them stand in a row, so that their text stays as large."""
    return PANEL if count != 4 else (NARROW, PANEL[1])


def _costs(portraits: Sequence[Portrait], winner: str) -> Section:
    scale = cost_scale(portraits)
    panels: list[Panel] = []
    for i, portrait in enumerate(portraits):
        name, history = clean(portrait.cocktail, 90), portrait.history
        loss = measured(history.curves, "train_loss", history.checkpoints)
        penalty = measured(history.curves, "penalty", history.checkpoints)
        penalty = np.where(np.isfinite(penalty), penalty, 0.0)
        first, last = _ends(loss + penalty)
        label, fact = say("report.costs_label_diverged", cocktail=name), ""
        if first is not None and last is not None and history.status != "diverged":
            part = float(penalty[np.isfinite(loss)][-1])
            share = f"{100 * part / last:.0f}%" if last > 0 else digits(part)
            label = say("report.costs_label", cocktail=name, first=digits(first), last=digits(last), penalty=share)
            fact = say("report.costs_fact", cost=digits(last), share=share)
        figure = cost_figure([portrait], scale=scale, titled=False, size=_size(len(portraits)))
        panels.append(
            Panel(name=name, tag=_won(portrait.cocktail, winner), svg=picture(figure, label, f"cost{i}-"), fact=fact)
        )
    return Section(name=say("report.costs"), lead=say("report.costs_lead"), legend=[], panels=panels, note="")


def _weights(portraits: Sequence[Portrait], winner: str) -> Section:
    limits = weight_range(portraits)
    panels: list[Panel] = []
    for i, portrait in enumerate(portraits):
        weights = finite_weights(portrait)
        facts = {
            "norm": digits(float(np.linalg.norm(weights))),
            "zeros": int((weights == 0).sum()),
            "count": len(weights),
        }
        name = clean(portrait.cocktail, 90)
        figure = weights_figure([portrait], limits=limits, titled=False, size=_size(len(portraits)))
        svg = picture(figure, say("report.weights_label", cocktail=name, **facts), f"weight{i}-")
        panels.append(
            Panel(name=name, tag=_won(portrait.cocktail, winner), svg=svg, fact=say("report.weights_fact", **facts))
        )
    return Section(name=say("report.weights"), lead=say("report.weights_lead"), legend=[], panels=panels, note="")


def _boundaries(portraits: Sequence[Portrait], winner: str, task: Task) -> Section:
    panels: list[Panel] = []
    classes: tuple[str, ...] = ()
    cut = False
    for i, portrait in enumerate(portraits):
        map_ = portrait.boundary
        if map_ is None:
            continue
        held_out = np.asarray(map_.held_out, dtype=bool)
        counts = {"train": int((~held_out).sum()), "test": int(held_out.sum())}
        cut = cut or max(counts.values()) > MAX_POINTS
        classes = map_.classes
        name = clean(portrait.cocktail, 90)
        across, up = (clean(n) for n in map_.names)
        label = say("report.boundaries_label", cocktail=name, x=across, y=up, **counts)
        right = _kept(portrait.history, "train_accuracy")
        fact = say("report.boundaries_fact", train=f"{100 * right:.1f}%") if right is not None else ""
        svg = picture(boundary_figure([portrait], task, titled=False), label, f"map{i}-")
        panels.append(Panel(name=name, tag=_won(portrait.cocktail, winner), svg=svg, fact=fact))
    return Section(
        name=say("report.boundaries"),
        lead=say(f"report.boundaries_lead_{task}"),
        legend=_points_legend(classes, task),
        panels=panels,
        note=say("report.boundaries_some", most=MAX_POINTS) if cut else "",
    )


def _points_legend(classes: Sequence[str], task: Task) -> list[dict[str, str]]:
    legend = []
    if task != "regression":
        legend = [_key("swatch", f"class{i}", clean(name, 40)) for i, name in enumerate(classes[:CLASSES])]
        if len(classes) > CLASSES:
            legend.append(_key("swatch", "grid", say("report.more_classes", count=len(classes) - CLASSES)))
    return [
        *legend,
        _key("disc", "muted", say("report.boundaries_train")),
        _key("diamond", "muted", say("report.boundaries_test")),
    ]
