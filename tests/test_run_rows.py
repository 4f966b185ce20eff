"""Which rows a run uses when: test rows play no part before the last step; what refits train and stop on."""

from __future__ import annotations

import json
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from small_runs import BRIEF, bound_study, heights, patients

import wellfit as wf
from wellfit import job
from wellfit.data import cross_validation_split, load
from wellfit.errors import SettingError
from wellfit.job import main, outputs, portraits, refit, study, testing
from wellfit.job.main import answer_table
from wellfit.records import Table
from wellfit.select import comparison_text

# The test rows


def poisoned(table: Table, rows) -> Table:
    """The same table with other features and other targets in the test rows."""
    columns = {}
    for name, column in table.columns.items():
        columns[name] = column.copy()
        columns[name][rows] = -3 * column[rows] + 100 if column.dtype != object else "unheard of"
    target = table.target.copy()
    target[rows] = 1 - target[rows] if table.task == "binary" else target[rows] * 2 - 1000
    return replace(table, columns=columns, target=target)


def work_on(table: Table, split):
    asked = study.Asked(**BRIEF)
    with study.opened(table, (), split.train, asked, None) as bound:
        return answer_table(bound, split, command="", started=perf_counter())


@pytest.mark.parametrize("source", [patients(), heights()], ids=["classes", "values"])
def test_the_test_rows_change_nothing_but_their_own_scores(source, tmp_path) -> None:
    table = load(source, target=list(source)[-1])
    split = cross_validation_split(table, seed=0)
    found = []
    for name, each in (("clean", table), ("poisoned", poisoned(table, split.test))):
        record, work = work_on(each, split)
        job.write_whole(tmp_path / name, b"")
        work.winner.model.save(tmp_path / name)
        found.append((record, work, (tmp_path / name).read_bytes()))
    (clean, work, model), (dirty, dirty_work, dirty_model) = found
    assert comparison_text(clean.comparison) == comparison_text(dirty.comparison)
    assert model == dirty_model
    assert outputs._out_of_fold(work) == outputs._out_of_fold(dirty_work)
    assert (clean.verdict, clean.rules) == (dirty.verdict, dirty.rules)
    assert [p.cocktail for p in clean.portraits] == [p.cocktail for p in dirty.portraits]
    for one, other in zip(clean.portraits, dirty.portraits, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    for part in ("task", "rows", "features", "metric", "cocktail", "validation", "members"):
        assert clean.summary[part] == dirty.summary[part]
    assert clean.summary["none"]["validation"] == dirty.summary["none"]["validation"]
    assert clean.summary["test"] != dirty.summary["test"]
    assert clean.summary["none"]["test"] != dirty.summary["none"]["test"]


def test_given_test_rows_change_no_file_but_the_summary_and_the_report(tmp_path) -> None:
    data = {name: column[:70] for name, column in patients().items()}
    clean = {name: column[70:] for name, column in patients().items()}
    dirty = {"x0": clean["x0"] * 9, "x1": clean["x1"] - 50, "died": clean["died"][::-1]}
    for name, test in (("a", clean), ("b", dirty)):
        wf.run(data, test=test, out=tmp_path / name, name="p", **BRIEF)
    for name in (job.COMPARISON, job.MODEL, job.OUT_OF_FOLD):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    summaries = [json.loads((tmp_path / name / job.SUMMARY).read_text()) for name in "ab"]
    assert summaries[0]["test"] != summaries[1]["test"]


def test_the_test_rows_are_touched_after_all_training_and_once_a_model(monkeypatch) -> None:
    events = []
    table = load(patients())
    split = cross_validation_split(table, seed=0)

    def spy(module, name):
        real = getattr(module, name)

        def call(*args, **kwargs):
            events.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    for name in ("_compare", "refit", "on_test_rows"):
        spy(main, name)
    spy(testing, "test_interval")
    record, _ = work_on(table, split)
    times = 1 if record.summary["cocktail"] == "none" else 2
    assert events == ["_compare", "refit", *["on_test_rows", "test_interval"] * times]


# Refits


def test_an_early_stopping_refit_keeps_development_rows_to_stop_on() -> None:
    columns = patients(80) | {"house": np.repeat(np.arange(20), 4).astype(str).astype(object)}
    table = load(columns, target="died", group="house")
    rows = np.arange(72)
    with bound_study(table, training={"epochs": 40}) as bound:
        fits = refit.refit(bound, rows, {"none": "none", "winner": "early_stopping=3"})
    assert fits["none"].model.rows == 72
    stopped = fits["early_stopping=3"]
    assert 72 * 0.75 < stopped.model.rows < 72 * 0.95
    assert not np.isnan(stopped.history.curves["stop_loss"]).any()
    assert np.isnan(stopped.history.curves["score_loss"]).all()
    fold = refit._with_stop(bound, rows)
    assert sorted([*fold.train, *fold.stop]) == rows.tolist()
    assert not set(table.groups[i] for i in fold.train) & set(table.groups[i] for i in fold.stop)


def test_stop_rows_are_the_latest_where_time_orders_them() -> None:
    table = load(patients(80) | {"day": np.arange(80.0)[::-1]}, target="died", time="day")
    with bound_study(table) as bound:
        fold = refit._with_stop(bound, np.arange(80))
    assert max(table.times[fold.train]) < min(table.times[fold.stop])


def test_a_diverged_winner_is_refused_and_a_diverged_none_has_no_scores() -> None:
    table = load(patients())
    wild = {"optimizer": "gd", "learning_rate": 1e8, "batch_size": None}
    chosen = {"none": "none", "winner": "l2=0.01"}
    with bound_study(table, training=wild) as bound, pytest.raises(SettingError, match=r"l2=0\.01 diverged"):
        refit.refit(bound, np.arange(80), chosen)
    with bound_study(table) as bound:
        fit = refit.refit(bound, np.arange(80), {"none": "none", "winner": "none"})["none"]
        lost = replace(fit, history=replace(fit.history, status="diverged"))
        tested = testing.on_test_rows(bound, str(lost.cocktail), None, np.arange(80, 90))
        assert portraits._boundary(bound, lost, np.arange(80, 90)) is None
    assert outputs._tested(tested)["score"] is None
    assert json.loads(job.as_json({"test": outputs._tested(tested)}))["test"] == {
        "loss": None,
        "score": None,
        "interval": None,
    }
