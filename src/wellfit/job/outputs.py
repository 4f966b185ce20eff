"""What a run leaves behind: the record, and its files, each written all at once."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as Folder
from time import perf_counter
from typing import Any

import numpy as np

from wellfit.cocktail import EarlyStopping
from wellfit.errors import SettingError
from wellfit.evidence.verdict import verdict_parts
from wellfit.job.files import COMPARISON, MODEL, OUT_OF_FOLD, REPORT, SUMMARY
from wellfit.job.refit import Refit
from wellfit.job.study import Study
from wellfit.job.testing import Tested
from wellfit.messages import ENGLISH, say, speaking, standard
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Predictor
from wellfit.nets.storage import write_whole
from wellfit.records import (
    Array,
    CocktailResult,
    Comparison,
    Frames,
    Interval,
    Path,
    Portrait,
    RunRecord,
    SearchRecord,
    Simplest,
    Split,
)
from wellfit.select import comparison_text
from wellfit.select.defaults import FOLDS
from wellfit.select.search import Search

SEARCHED = "search"  # the name of the search's ensemble among the tested models
_PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "numba")


@dataclass(frozen=True, eq=False)
class Work:
    """All that was done in a run. ``tests`` is by the cocktail's text, or `SEARCHED`; ``members`` counts the refits.

    ``winner`` is the best cocktail compared; where there was a search, its ensemble is the model.
    """

    study: Study
    split: Split
    comparison: Comparison
    winner: Refit
    tests: Mapping[str, Tested]
    portraits: tuple[Portrait, ...]
    members: int
    paths: tuple[Path, ...] = ()
    frames: tuple[Frames, ...] = ()
    search: Search | None = None
    simplest: Simplest | None = None

    @property
    def model(self) -> Predictor:
        """What the run hands over."""
        return self.winner.model if self.search is None else self.search.model

    @property
    def learned(self) -> dict[str, int]:
        """How many networks the model averages, and of how many rows they know: more than of a sample, if it was one.

        Networks of folds know each of a part of the development rows, and together of all.
        """
        parts = (self.winner.model,) if self.search is None else self.search.model.parts
        rows = max(len(self.split.train), *(part.rows + part.stop_rows for part in parts))
        return {"networks": len(parts), "rows": rows}


def make_record(work: Work, *, command: str, started: float) -> RunRecord:
    """Return the record; ``started`` is the `perf_counter` at the beginning."""
    sentence, headline, signs = verdict_parts(work.comparison)
    return RunRecord(
        summary=_summary(work, sentence, perf_counter() - started),
        verdict=sentence,
        comparison=work.comparison,
        portraits=work.portraits,
        findings=work.study.findings,
        rules=_rules(work),
        command=command,
        versions=_versions(),
        paths=work.paths,
        frames=work.frames,
        codes=_codes(work),
        search=None if work.search is None else work.search.record,
        simplest=work.simplest,
        headline=headline,
        signs=signs,
    )


def write(record: RunRecord, work: Work, folder: Folder) -> None:
    """Write the files of a run. All contents are made before the first is written. Raises ``OSError``."""
    from wellfit.report.page import render

    contents = {
        COMPARISON: comparison_text(record.comparison),
        OUT_OF_FOLD: _out_of_fold(work),
        REPORT: render(record),
        SUMMARY: as_json(record.summary),
    }
    work.model.save(folder / MODEL)
    for name, text in contents.items():
        write_whole(folder / name, text.encode("utf-8", "backslashreplace"))


def as_json(values: Mapping[str, object]) -> str:
    """Return the values as JSON in ASCII; what is not finite becomes null."""
    return json.dumps(_finite(dict(values)), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _summary(work: Work, sentence: str, seconds: float) -> dict[str, object]:
    from wellfit import __version__

    table, comparison = work.study.table, work.comparison
    results = {r.cocktail: r for r in comparison.results}
    none = {"validation": _validation(results["none"]), "test": _tested(work.tests["none"])}
    none["learned"] = {"networks": 1, "rows": len(work.split.train)}
    searched = {} if work.search is None else _searched(work.search.record, work.search.model)
    best: dict[str, object] = {"cocktail": comparison.winner, "validation": _validation(results[comparison.winner])}
    if work.search is not None:
        best = {"cocktail": work.search.winner, "validation": searched.pop("validation")}
    tested = work.tests[SEARCHED if work.search is not None else comparison.winner]
    return {
        "data": table.name,
        "task": table.task,
        "target": table.target_name,
        "rows": table.rows,
        "features": len(table.columns) if table.inputs is None else int(np.prod(table.inputs.shape[1:])),
        "metric": comparison.metric,
        **best,
        "test": _tested(tested),
        "learned": work.learned,
        "none": none,
        **searched,
        **({} if work.simplest is None else {"linear": _linear(work.simplest)}),
        "verdict": sentence,
        "members": _members(work),
        "seconds": round(seconds, 3),
        "version": __version__,
        "seed": comparison.seed,
    }


def _codes(work: Work) -> dict[str, str]:
    """Return the best single network as a script for each library that can build it."""
    from wellfit.nets.code import LIBRARIES

    model = work.winner.model if work.search is None else work.search.single.parts[0]
    found = {}
    for library in LIBRARIES:
        # English whatever the language: the page cannot say a script's comments again.
        with suppress(SettingError), speaking(ENGLISH):  # a library may have no such loss
            found[library] = model.code(library)
    return found


def _members(work: Work) -> int:
    """Return how many trainings it took, those of paths and search included."""
    count = sum(r.members for r in work.comparison.results) + work.members
    count += sum(len(p.strengths) * p.folds * p.seeds for p in work.paths if p.over != EarlyStopping.name)
    count += sum(p.folds * p.seeds for p in work.paths if p.over == EarlyStopping.name)
    if work.search is not None:
        count += sum(t.seeds for t in work.search.record.trials) * work.search.record.folds
    return count


def _searched(record: SearchRecord, model: Ensemble) -> dict[str, object]:
    """Return what the summary says of the search; ``validation`` is the ensemble's, its score corrected."""
    winner = record.trials[record.winner]
    return {
        "validation": {"loss": record.ensemble_loss, **_score(record.score.score)},
        "search": {
            "budget": record.repeat,
            "trials": len(record.trials),
            "cocktail": winner.cocktail,
            "network": winner.network,
            "learning_rate": winner.learning_rate,
            "batch_size": winner.batch_size,
            "epochs": record.winner_epoch,
            "loss": record.single_loss,
            "networks": len(model.parts),
            "temperature": record.temperature,
            "uncorrected_score": record.score.naive,
        },
    }


def _linear(found: Simplest) -> dict[str, object]:
    """Return what the summary says of the linear model, by cross-validation."""
    return {
        "cocktail": found.linear,
        **_score(found.linear_score),
        "network": _score(found.network_score),
        "difference": _score(found.difference.interval),
        "word": found.difference.word,
    }


def _validation(result: CocktailResult) -> dict[str, object]:
    loss = None if result.loss is None else result.loss.mean
    return {"loss": loss, **_score(result.score)}


def _tested(tested: Tested) -> dict[str, object]:
    return {"loss": tested.loss, **_score(tested.score)}


def _score(score: Interval | None) -> dict[str, object]:
    if score is None or not math.isfinite(score.mean):
        return {"score": None, "interval": None}
    bounds = [score.low, score.high]
    return {"score": score.mean, "interval": bounds if np.isfinite(bounds).all() else None}


def _rules(work: Work) -> tuple[str, ...]:
    from wellfit.data import fold_rule, folds

    table, comparison = work.study.table, work.comparison
    asked = FOLDS if work.study.asked.folds is None else work.study.asked.folds
    made = folds(table, work.split.train, folds=asked, seed=comparison.seed)
    rules = [work.split.rule, fold_rule(table, made, asked=asked, seed=comparison.seed)]
    if work.search is not None:
        record = work.search.record
        key = "job.rule_search" if work.learned["rows"] == len(work.split.train) else "job.rule_search_all"
        rules.append(say(key, trials=len(record.trials), repeat=record.repeat, **work.learned))
    model = work.winner.model
    key = "job.rule_refit_stop" if model.stop_rows else "job.rule_refit"
    rules.append(say(key, cocktail=comparison.winner, rows=model.rows, stop=model.stop_rows))
    rules.append(say("job.rule_test", rows=len(work.split.test)))
    return tuple(rules)


def _versions() -> dict[str, str]:
    import platform
    from importlib import metadata

    from wellfit import __version__

    found = {"wellfit": __version__, "Python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _PACKAGES}


def _out_of_fold(work: Work) -> str:
    """Return the model's, the best cocktail's and none's predictions for each development row, out of fold."""
    comparison, table = work.comparison, work.study.table
    found = {name: comparison.out_of_fold[name] for name in (comparison.winner, "none")}
    if work.search is not None:
        place = np.searchsorted(work.search.record.rows, comparison.rows)
        found = {standard("job.ensemble"): work.search.record.out_of_fold[place], **found}
    columns: dict[str, Array] = {standard("job.column_row"): comparison.rows + 1}
    target = table.target[comparison.rows]
    columns[standard("job.column_target")] = np.array(table.classes, dtype=object)[target] if table.classes else target
    for name, outputs in found.items():
        labels, chances = work.winner.model.read_outputs(outputs)
        columns[standard("job.column_prediction_of", cocktail=name)] = labels
        for i, label in enumerate(table.classes):
            columns[standard("job.column_chance_of", cocktail=name, label=label)] = chances[:, i]
    return csv_text(columns)


def csv_text(columns: Mapping[str, Array]) -> str:
    """Return columns, (n,) each, as CSV with a header; numbers as short as reads back exactly, NaN as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    lists = [column.tolist() for column in columns.values()]
    for row in zip(*lists, strict=True):
        writer.writerow(["" if v is None or (isinstance(v, float) and math.isnan(v)) else v for v in row])
    return text.getvalue()
