"""A run with its paths and search: what it hands over, and that the test rows play no part in any of it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from html_page import Page
from tables import made_table

import wellfit as wf
from wellfit import job
from wellfit.data import cross_validation_split
from wellfit.errors import SettingError
from wellfit.evidence.metrics import accuracy, log_loss
from wellfit.job import exploring, main
from wellfit.job.exploring import Plan
from wellfit.nets.ensemble import Ensemble
from wellfit.report.answer import told
from wellfit.report.run_text import answer
from wellfit.select.budget import Budget

SMALL = {"training": {"epochs": 6}, "folds": 2, "seeds": 1, "budget": "15000 steps", "quick": True}


@pytest.fixture(scope="module")
def table():
    return made_table(rows=110)


@pytest.fixture(scope="module")
def a_run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("searched") / "out"
    return wf.run(table, out=out, **SMALL), out


def test_the_model_is_the_ensemble_of_the_search(a_run, table) -> None:
    record, out = a_run
    model, test = wf.Fitted.load(out), cross_validation_split(table, seed=0).test
    assert isinstance(model, Ensemble)
    outputs = model.outputs_of({name: column[test] for name, column in table.columns.items()})
    told = record.summary["test"]
    assert told["score"] == accuracy("binary", table.target[test], outputs)
    assert told["loss"] == pytest.approx(log_loss("binary", table.target[test], outputs))
    assert record.summary["search"]["networks"] == len(model.parts)
    development = len(cross_validation_split(table, seed=0).train)
    assert record.summary["learned"] == {"networks": len(model.parts), "rows": development}
    assert record.summary["none"]["learned"] == {"networks": 1, "rows": development}


def test_the_answer_says_that_an_average_stands_against_one_network(a_run) -> None:
    record, out = a_run
    last = answer(record)[-1]
    average = f"an average of {record.summary['learned']['networks']} networks"
    assert f"with the search's ensemble ({average})" in last
    assert "without regularization (one network)" in last
    page = " ".join(Page((out / "report.html").read_text(encoding="utf-8")).text)
    assert "The ensemble's accuracy on the test rows" in page
    assert f"A{average[1:]}." in page
    assert "One network." in page


@pytest.mark.parametrize(("cocktail", "denied"), [("none", True), ("l2=0.01", False)])
def test_regularization_gets_no_credit_where_the_winner_has_none(a_run, cocktail, denied) -> None:
    record, _ = a_run
    search = record.search
    trials = [replace(trial, cocktail=cocktail) for trial in search.trials]
    summary = {**record.summary, "test": {"loss": 0.3, "score": 0.91, "interval": [0.85, 0.95]}}
    record = replace(record, search=replace(search, trials=tuple(trials)), summary=summary)
    sentence = "The search's best candidate has no regularization either: this difference does not show"
    assert (sentence in answer(record)[-1]) == denied
    assert (sentence in " ".join(told(record))) == denied


def test_the_summary_tells_of_the_search(a_run) -> None:
    record, out = a_run
    summary = json.loads((out / job.SUMMARY).read_text())
    assert summary == dict(record.summary)
    search = record.search
    assert summary["cocktail"] == search.trials[search.winner].cocktail == summary["search"]["cocktail"]
    assert summary["validation"]["score"] == search.score.score.mean
    assert summary["validation"]["loss"] == search.ensemble_loss
    assert summary["search"]["budget"] == "15000 steps"
    assert summary["members"] > len(search.trials) * 2
    assert [path.over for path in record.paths] == list(exploring.QUICK_OVER)


def test_out_of_fold_predictions_are_the_ensembles(a_run, table) -> None:
    record, out = a_run
    with (out / job.OUT_OF_FOLD).open(newline="") as file:
        rows = list(csv.DictReader(file))
    chances = [float(row["probability of b (ensemble)"]) for row in rows]
    np.testing.assert_array_equal(chances, record.search.out_of_fold[:, 0])
    assert [int(row["row"]) - 1 for row in rows] == record.search.rows.tolist()
    assert "prediction (none)" in rows[0]


def test_the_answer_says_how_strong(a_run) -> None:
    record, _ = a_run
    sentences = job.answer(record)
    assert len(sentences) == 5
    assert f"Best of {len(record.search.trials)} candidates" in sentences[1]
    assert sentences[2].startswith("How strong: along ")
    assert sentences[3] == record.simplest.sentence
    assert "ensemble" in sentences[4]
    best = min(record.paths, key=lambda p: p.losses[p.best].mean())
    assert best.over.replace("_", " ") in sentences[2].replace("_", " ")


def test_an_unregularized_network_that_cannot_be_bettered_is_told(a_run) -> None:
    record, _ = a_run
    path = record.paths[0]
    losses = path.losses.copy()
    losses[0] = losses.min() / 2
    alone = replace(record, paths=(replace(path, losses=losses, best=0),))
    assert "no strength has a lower loss than none" in job.answer(alone)[2]


def test_the_test_rows_play_no_part_before_the_last_step(table, tmp_path) -> None:
    """The same table with its test rows poisoned: absurd inputs, flipped targets. All but the test scores is equal."""
    test = cross_validation_split(table, seed=0).test
    poisoned = replace(
        table,
        columns={name: np.where(np.isin(np.arange(110), test), 1e9, column) for name, column in table.columns.items()},
        target=np.where(np.isin(np.arange(110), test), 1 - table.target, table.target),
    )
    # Folds are stratified, so the split itself must be given: as rows that came as test rows.
    one, two = (replace(t, test_rows=test) for t in (table, poisoned))
    records = [wf.run(t, out=tmp_path / name, **SMALL) for t, name in ((one, "one"), (two, "two"))]
    for name in (job.COMPARISON, job.MODEL, job.OUT_OF_FOLD):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    for a, b in zip(records[0].paths, records[1].paths, strict=True):
        np.testing.assert_array_equal(a.losses, b.losses)
    assert records[0].search.parts == records[1].search.parts
    assert records[0].summary["validation"] == records[1].summary["validation"]
    assert records[0].summary["test"] != records[1].summary["test"]


def test_the_test_rows_are_touched_after_the_search_and_once_a_model(table, tmp_path, monkeypatch) -> None:
    events = []
    for name in ("_compare", "paths", "refit", "explore", "on_test_rows"):
        real = getattr(main, name)
        monkeypatch.setattr(main, name, lambda *a, _n=name, _r=real, **k: events.append(_n) or _r(*a, **k))
    wf.run(table, out=tmp_path, **SMALL)
    assert events == ["_compare", "paths", "refit", "explore", "on_test_rows", "on_test_rows"]


def test_the_same_run_again_trains_nothing_and_gives_the_same_files(a_run, table, tmp_path) -> None:
    _, out = a_run
    wf.run(table, out=tmp_path, **SMALL)
    for name in (job.COMPARISON, job.MODEL, job.OUT_OF_FOLD):
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_given_cocktails_are_compared_alone(table, tmp_path) -> None:
    record = wf.run(table, out=tmp_path, cocktails="l2=0.01", network="6", training={"epochs": 4}, folds=2, seeds=1)
    assert record.search is None
    assert record.paths == ()
    assert not isinstance(wf.Fitted.load(tmp_path), Ensemble)


def test_what_was_asked_for_stays_in_the_search(table, tmp_path) -> None:
    record = wf.run(table, out=tmp_path, network="5", **SMALL | {"training": {"epochs": 6, "learning_rate": 0.02}})
    assert {t.network for t in record.search.trials} == {"5"}
    assert {t.learning_rate for t in record.search.trials} == {0.02}
    assert record.search.epochs[-1] == 6


def test_a_linear_network_has_no_path_along_dropout(table, tmp_path) -> None:
    record = wf.run(table, out=tmp_path, network="linear", **SMALL)
    assert [path.over for path in record.paths] == ["l2", "early_stopping"]


def test_the_budget_is_shared_out() -> None:
    quick, full = Plan.of(None, quick=True), Plan.of(None, quick=False)
    assert (quick.seconds, full.seconds, Plan.of("2m", quick=False).seconds) == (15, 60, 120)
    assert Plan.of(5000, quick=True).of_search(0.0) == Budget(steps=5000)
    from time import perf_counter

    left = full.of_search(perf_counter() - 20).seconds
    assert left == pytest.approx(60 - 20 - exploring.WRITING, abs=0.5)
    assert full.of_search(perf_counter() - 1000).seconds == exploring.LEAST * 60
    assert full.of_search(0.0).name == "run 60s"


def test_a_budget_that_could_not_be_kept_is_told(table, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(main, "LATE", -100.0)
    told: list[str] = []
    wf.run(table, out=tmp_path / "out", **SMALL | {"budget": "1s"}, notice=told.append)
    assert "more than the budget of 1s:" in told[-1]
    wf.run(table, out=tmp_path / "steps", **SMALL, notice=told.append)
    assert sum("than the budget" in text for text in told) == 1


def test_a_bad_budget_leaves_no_folder(table, tmp_path) -> None:
    with pytest.raises(SettingError, match="A budget is a time"):
        wf.run(table, out=tmp_path / "out", budget="soon")
    assert not (tmp_path / "out").exists()


def test_a_path_that_cannot_be_had_is_a_finding(table, tmp_path) -> None:
    """A learning rate at which dropout's whole path diverges must not cost the run."""
    real = exploring.path

    def refusing(table, over, **more):
        if over == "dropout":
            raise SettingError("path.all_diverged", points=3, ingredient=over, rate="1")
        return real(table, over, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exploring, "path", refusing)
        heard: list[str] = []
        record = wf.run(table, out=tmp_path, notice=heard.append, **SMALL)
    assert [path.over for path in record.paths] == ["l2", "early_stopping"]
    assert any(f.kind == "path" and "dropout" in f.text for f in record.findings)
    assert any("dropout" in sentence for sentence in heard)


def test_a_budget_and_given_cocktails_exclude_each_other(table, tmp_path) -> None:
    with pytest.raises(SettingError, match="leave out one of the two"):
        wf.run(table, out=tmp_path / "out", budget="10s", cocktails="l2=0.1")
    assert not (tmp_path / "out").exists()
