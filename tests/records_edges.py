"""Records at the edge: diverged, empty, crowded, undecided."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from records_factory import interval, run_record

from wellfit.records import Boundary, Difference, RunRecord


def edges() -> dict[str, RunRecord]:
    record = run_record(features=3, cocktails=5)
    record = replace(record, portraits=record.portraits[:2])
    told = record.comparison
    none, *others = told.results
    gone = replace(none, diverged=25, train_loss=None, loss=None, score=None)
    nan = interval(math.nan, math.nan)
    unmeasured = [replace(r, loss=nan, score=nan, score_difference=None, loss_difference=None) for r in others]
    cold = [replace(r, score_difference=None, loss_difference=None) for r in told.results]
    nothing = {"score": None, "interval": None, "loss": None}
    blank = {**record.summary, "test": nothing, "none": {"test": nothing, "validation": nothing}}

    def with_(results, winner=told.winner, summary=record.summary) -> RunRecord:
        return replace(record, comparison=replace(told, results=tuple(results), winner=winner), summary=summary)

    return {
        "none won": with_(told.results, "none"),
        "one cocktail": with_([none], "none"),
        "none diverged": with_([gone, *cold[1:]]),
        "all diverged": with_([gone, *(replace(gone, cocktail=r.cocktail) for r in others)], "none", blank),
        "not a number": with_([none, *unmeasured], others[0].cocktail),
        "one unmeasured": with_([none, *others[:-1], replace(others[0], cocktail="l2=7", score_difference=None)]),
        "no reference": with_(cold[1:], cold[1].cocktail),
        "no curves": with_([replace(r, curves={}, checkpoints=np.empty(0, np.int64)) for r in told.results]),
        "with code": replace(record, codes=dict.fromkeys(("keras", "torch", "sklearn"), "import this")),
        "no summary": replace(record, summary={}),
        "no portraits": replace(record, portraits=()),
        "nothing around": replace(
            record, findings=(), rules=(), versions={}, command="", verdict="", headline="", signs=()
        ),
    }


def with_word(word: str) -> RunRecord:
    record = run_record(features=3, cocktails=4)
    told = record.comparison
    changed = Difference(interval(0.001, 0.02), word)  # type: ignore[arg-type]
    results = [replace(r, score_difference=changed) if r.cocktail == told.winner else r for r in told.results]
    return replace(record, comparison=replace(told, results=tuple(results)))


def many_points(portrait, classes: int):
    """The portrait with a map of many classes and more points than are drawn."""
    count = 5000
    at = np.linspace(0, 1, count)
    map_ = Boundary(
        xs=np.linspace(0, 1, 20),
        ys=np.linspace(0, 1, 20),
        z=np.add.outer(np.arange(20), np.arange(20)) % classes * 1.0,
        points=np.stack([at, at], 1),
        labels=np.arange(count) % classes,
        held_out=np.arange(count) >= 4000,
        names=("a", "b"),
        classes=tuple(f"class {i}" for i in range(classes)),
    )
    return replace(portrait, boundary=map_)
