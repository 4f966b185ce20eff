"""The main job: what a run computes and writes, and that the test rows play no part before the last step."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

import wellfit as wf
from wellfit import job
from wellfit.cocktail import Cocktail
from wellfit.data import cross_validation_split, load
from wellfit.errors import DataError, SettingError
from wellfit.job import files, main, outputs, portraits, refit, study, testing
from wellfit.job.main import answer_table
from wellfit.records import Finding, Table
from wellfit.rng import DATA, generator
from wellfit.select import comparison_text

BRIEF = {"network": "6", "training": {"epochs": 8}, "folds": 3, "seeds": 1, "cocktails": "none; l2=0.01; dropout=0.2"}


def patients(rows: int = 90, *, seed: int = 0, columns: int = 2) -> dict:
    """Columns of numbers, a category, and who died: decided by the first column, with noise."""
    draw = generator(seed, DATA)
    x = draw.normal(size=(rows, columns))
    died = x[:, 0] + 0.6 * draw.normal(size=rows) > 0
    table = {f"x{i}": x[:, i] for i in range(columns)}
    return table | {"died": np.where(died, "yes", "no").astype(object)}


def heights(rows: int = 90) -> dict:
    draw = generator(3, DATA)
    x = draw.normal(size=(rows, 3))
    return {f"x{i}": x[:, i] for i in range(3)} | {"height": 170 + 12 * x[:, 0] + 3 * draw.normal(size=rows)}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return wf.run(patients(), out=out, name="patients", **BRIEF), out


# What is computed


def test_the_summary_has_what_the_issue_asks_for(a_run) -> None:
    record, out = a_run
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary == dict(record.summary)
    assert (summary["task"], summary["rows"], summary["features"]) == ("binary", 90, 2)
    assert (summary["metric"], summary["seed"], summary["version"]) == ("accuracy", 0, wf.__version__)
    assert summary["cocktail"] in ("none", "l2=0.01", "dropout=0.2")
    assert 9 + 3 - (summary["cocktail"] == "none") <= summary["members"] <= 9 + 3
    assert summary["seconds"] > 0
    for part in (summary, summary["none"]):
        for name in ("validation", "test"):
            assert set(part[name]) == {"loss", "score", "interval"}
            low, high = part[name]["interval"]
            assert low <= part[name]["score"] <= high


def test_test_scores_are_those_of_the_saved_model_on_the_held_out_rows(a_run) -> None:
    from sklearn.metrics import accuracy_score, log_loss

    record, out = a_run
    split = cross_validation_split(load(patients(), name="patients"), seed=0)
    assert len(split.test) == 18
    truth = patients()["died"][split.test]
    model = wf.Fitted.load(out)
    features = {name: column[split.test] for name, column in patients().items() if name != "died"}
    assert record.summary["test"]["score"] == accuracy_score(truth, model.predict(features))
    expected = log_loss(truth, model.predict_proba(features), labels=list(model.classes))
    assert np.isclose(record.summary["test"]["loss"], expected, rtol=1e-9)


def test_validation_scores_are_those_of_the_out_of_fold_predictions(a_run) -> None:
    from sklearn.metrics import log_loss

    from wellfit.data import folds

    record, out = a_run
    winner, table = record.summary["cocktail"], load(patients())
    rows = read_csv(out / "out_of_fold.csv")
    split = cross_validation_split(table, seed=0)
    assert [int(row["row"]) - 1 for row in rows] == split.train.tolist()
    assert [row["target"] for row in rows] == patients()["died"][split.train].tolist()
    by_row = {int(row["row"]) - 1: row for row in rows}
    for cocktail, part in ((winner, record.summary), ("none", record.summary["none"])):
        scores, losses = [], []
        for fold in folds(table, split.train, folds=3, seed=0):
            told = [by_row[i] for i in fold.score]
            scores.append(np.mean([row[f"prediction ({cocktail})"] == row["target"] for row in told]))
            chances = [float(row[f"probability of yes ({cocktail})"]) for row in told]
            losses.append(log_loss([row["target"] for row in told], chances, labels=["no", "yes"]))
        assert np.isclose(part["validation"]["score"], np.mean(scores), rtol=1e-12)
        assert np.isclose(part["validation"]["loss"], np.mean(losses), rtol=1e-4)


def test_a_regression_is_told_in_the_targets_unit(tmp_path) -> None:
    record = wf.run(heights(), target="height", out=tmp_path, **BRIEF)
    split = cross_validation_split(load(heights(), target="height"), seed=0)
    features = {name: column[split.test] for name, column in heights().items() if name != "height"}
    error = wf.Fitted.load(tmp_path).predict(features) - heights()["height"][split.test]
    assert record.summary["metric"] == "rmse"
    assert np.isclose(record.summary["test"]["score"], np.sqrt(np.mean(error**2)), rtol=1e-12)
    assert np.isclose(record.summary["test"]["loss"], np.mean(error**2), rtol=1e-12)
    ratio = record.summary["validation"]["loss"] / record.summary["validation"]["score"] ** 2
    assert 0.5 < ratio < 2, "loss and score are squared unit and unit"
    rows = read_csv(tmp_path / "out_of_fold.csv")
    winner = record.summary["cocktail"]
    assert list(rows[0])[:3] == ["row", "target", f"prediction ({winner})"]
    assert not any("probability" in name for name in rows[0])


def test_three_classes_and_an_own_metric(tmp_path) -> None:
    record = wf.run("iris", out=tmp_path, metric="log-loss", **BRIEF)
    assert record.summary["task"] == "multiclass"
    assert np.isclose(record.summary["test"]["loss"], record.summary["test"]["score"], rtol=1e-9)
    names = list(read_csv(tmp_path / "out_of_fold.csv")[0])
    assert f"probability of setosa ({record.summary['cocktail']})" in names


def test_equal_runs_give_equal_files(a_run, tmp_path) -> None:
    _, out = a_run
    wf.run(patients(), out=tmp_path / "b", name="patients", threads=1, **BRIEF)
    for name in (job.COMPARISON, job.MODEL, job.OUT_OF_FOLD):
        assert (tmp_path / "b" / name).read_bytes() == (out / name).read_bytes(), name
    wf.run(patients(), out=tmp_path / "c", name="patients", seed=1, **BRIEF)
    assert (tmp_path / "c" / job.MODEL).read_bytes() != (out / job.MODEL).read_bytes()


def test_run_and_compare_tell_the_same_about_the_same_rows(tmp_path) -> None:
    data = {name: column[:60] for name, column in patients().items()}
    test = {name: column[60:] for name, column in patients().items()}
    record = wf.run(data, test=test, out=tmp_path, **BRIEF)
    options = {name: value for name, value in BRIEF.items() if name != "training"}
    training = study._training(load(data), np.arange(60), wf.MLP((6,)), study.Asked(training={"epochs": 8}))
    comparison = wf.compare(data, test=test, training=training, **options)
    assert comparison_text(comparison) == comparison_text(record.comparison)


def test_a_folder_by_default_and_arrays_as_source(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = patients(60)
    record = wf.run((np.column_stack([columns["x0"], columns["x1"]]), columns["died"]), **BRIEF)
    assert record.summary["rows"] == 60
    assert (tmp_path / "runs" / "data" / "report.html").is_file()
    assert job.default_folder("C:\\data\\Über Größe.csv") == "runs/ber-Gr-e"
    assert job.default_folder("../..") == "runs/data"
    assert job.default_folder("/tmp/x/[red]\x1b.csv") == "runs/red"


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


def bound_study(table: Table, **asked):
    return study.opened(table, (), np.arange(table.rows), study.Asked(**{**BRIEF, **asked}), None)


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


def test_the_best_l2_and_dropout_are_those_of_the_lowest_loss(a_run) -> None:
    record, _ = a_run
    cocktails = ["none", "l2=0.1", "l2=0.2", "l2=0.1 + dropout=0.5", "dropout=0.5", "l1=1", "l2=0.3"]
    losses = [3.0, 2.0, 1.0, 0.0, 5.0, 0.0, None]
    base = record.comparison.results[0]
    results = tuple(
        replace(base, cocktail=name, loss=None if loss is None else replace(base.loss, mean=loss))
        for name, loss in zip(cocktails, losses, strict=True)
    )
    comparison = replace(record.comparison, results=results, winner="l1=1")
    assert refit.roles(comparison) == {"none": "none", "winner": "l1=1", "l2": "l2=0.2", "dropout": "dropout=0.5"}
    alone = replace(comparison, results=results[:1], winner="none")
    assert refit.roles(alone) == {"none": "none", "winner": "none"}


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


# Pictures


def test_boundaries_show_what_the_model_answers_over_the_plane(a_run) -> None:
    record, out = a_run
    assert [p.role for p in record.portraits] == ["none", "l2", "dropout", "winner"]
    model, winner = wf.Fitted.load(out), record.portraits[-1]
    shown = winner.boundary
    draw = generator(0, DATA)
    for i, j in draw.integers(0, portraits.GRID, (20, 2)):
        at = {shown.names[0]: [float(shown.xs[j])], shown.names[1]: [float(shown.ys[i])]}
        assert np.isclose(shown.z[i, j], model.predict_proba(at)[0, 1], rtol=0, atol=1e-12)
    split = cross_validation_split(load(patients()), seed=0)
    assert np.flatnonzero(shown.held_out).tolist() == split.test.tolist()
    assert shown.xs[0] < shown.points[:, 0].min() < shown.points[:, 0].max() < shown.xs[-1]
    assert np.array_equal(np.concatenate(winner.weights), np.concatenate([w.ravel() for w, _ in model.layers]))


def test_boundaries_need_two_numeric_features() -> None:
    rows = np.arange(60)
    for source, drawn in (
        (patients(80), True),
        (patients(80, columns=3), False),
        (patients(80, columns=1) | {"sex": np.array(["f", "m"] * 40, dtype=object)}, False),
    ):
        table = load(source, target="died")
        with bound_study(table) as bound:
            fit = refit.refit(bound, rows, {"winner": "none"})["none"]
            assert (portraits._boundary(bound, fit, rows[:0]) is not None) == drawn


def test_boundaries_of_three_classes_and_of_rows_with_gaps(tmp_path) -> None:
    source = patients(90)
    source["died"] = np.array(["a", "b", "c"] * 30, dtype=object)
    source["x1"][:4] = np.nan
    record = wf.run(source, target="died", out=tmp_path, **BRIEF)
    shown = record.portraits[0].boundary
    assert set(np.unique(shown.z)) <= {0.0, 1.0, 2.0}
    assert len(shown.points) == len(shown.labels) == len(shown.held_out) == 86


# Files


def test_nothing_is_written_where_the_report_fails(tmp_path, monkeypatch) -> None:
    from wellfit.report import page

    def fail(record):
        raise RuntimeError("the page")

    monkeypatch.setattr(page, "render", fail)
    with pytest.raises(RuntimeError, match="the page"):
        wf.run(patients(), out=tmp_path, **BRIEF)
    assert os.listdir(tmp_path) == [files.LEDGER]


def test_bad_data_and_settings_leave_no_folder(tmp_path) -> None:
    for source, options in (
        ({"a": [1.0, 2.0]}, {}),
        (patients(), {"network": "0"}),
        (patients(), {"metric": "r2"}),
        (patients(), {"cocktails": "dropout=(0.1, 0.2, 0.3)"}),
        (patients(), {"threads": 0}),
        (patients(), {"training": {"epochs": 0}}),
    ):
        with pytest.raises((DataError, SettingError)):
            wf.run(source, out=tmp_path / "out", **{**BRIEF, **options})
        assert not (tmp_path / "out").exists(), options


def test_an_interrupt_keeps_what_is_trained_and_the_same_call_continues(tmp_path, monkeypatch) -> None:
    from wellfit.engines.compiled import CompiledEngine

    trained = []
    real = CompiledEngine.init

    def init(self, members, data):
        trained.extend(members)
        return real(self, members, data)

    monkeypatch.setattr(CompiledEngine, "init", init)
    calls = []

    def stop(done, total):
        calls.append(done)
        if done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wf.run(patients(), out=tmp_path / "a", name="p", threads=1, progress=stop, **BRIEF)
    assert os.listdir(tmp_path / "a") == [files.LEDGER]
    began = len(trained)
    wf.run(patients(), out=tmp_path / "a", name="p", **BRIEF)
    continued = trained[began:]
    assert len(continued) < 9 + 3, "some were kept"
    wf.run(patients(), out=tmp_path / "b", name="p", **BRIEF)
    for name in (job.COMPARISON, job.MODEL, job.OUT_OF_FOLD):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_notices_come_before_the_training_and_are_bounded(tmp_path, monkeypatch) -> None:
    heard = []
    note = Finding("assumed_target", "The last one was taken.")
    many = (note, *(Finding("leak", f"Column {i} is odd.", (str(i),)) for i in range(30)))
    monkeypatch.setattr(study, "read_table", lambda source, seed, options: (load(source), many))
    monkeypatch.setattr(main, "read_table", study.read_table)

    def progress(done, total):
        heard.append("training")

    record = wf.run(patients(), out=tmp_path, notice=heard.append, progress=progress, **BRIEF)
    before = heard[: heard.index("training")]
    assert before[:2] == ["Warning: Column 0 is odd.", "Warning: Column 1 is odd."]
    assert "And 19 more warnings, listed in the report." in before
    assert record.findings == many


def test_assumptions_are_notes_and_come_last() -> None:
    heard = []
    note, leak = Finding("assumed_task", "Taken as classes."), Finding("leak", "Column a gives it away.")
    study.Asked(notice=heard.append).warn((note, leak))
    assert heard == ["Warning: Column a gives it away.", "Note: Taken as classes."]


def test_diverged_members_are_told_at_once_and_stand_in_the_report(tmp_path) -> None:
    heard = []
    # Gradient descent diverges where the learning rate times l2 is above 2: here at 3.
    brief = {**BRIEF, "cocktails": "none; l2=30", "training": {"optimizer": "gd", "learning_rate": 0.1, "epochs": 4000}}
    record = wf.run(patients(), out=tmp_path, notice=heard.append, **brief)
    told = [text for text in heard if "l2=30" in text]
    assert len(told) == 1
    assert told[0].startswith("Warning: ")
    assert re.search(r"at learning rate 0\.1, the first in epoch [1-9]", told[0])
    assert record.findings[-1].kind == "diverged"
    assert record.summary["cocktail"] == "none"


def test_numbers_that_json_lacks_become_null() -> None:
    values = {"a": float("nan"), "b": [np.float64("inf"), np.int64(3)], "c": {"d": (1.5, None)}, "e": "é"}
    text = job.as_json(values)
    assert json.loads(text) == {"a": None, "b": [None, 3], "c": {"d": [1.5, None]}, "e": "é"}
    assert text.isascii()


# The sentences


def test_the_answer_is_three_sentences_that_tell_luck_from_gain(a_run) -> None:
    record, _ = a_run
    comparison = record.comparison
    other = next(r for r in comparison.results if r.cocktail != "none")
    for word, expected in (
        ("better", "better than none by"),
        ("undecided", "could be chance"),
        ("worse", "though worse"),
    ):
        results = tuple(
            replace(r, score_difference=replace(r.score_difference, word=word)) if r is other else r
            for r in comparison.results
        )
        changed = replace(record, comparison=replace(comparison, winner=other.cocktail, results=results))
        sentences = job.answer(changed)
        assert len(sentences) == 3
        assert expected in sentences[1]
        assert f"with {other.cocktail}" in sentences[2]
        assert "without regularization" in sentences[2]
    plain = job.answer(replace(record, comparison=replace(comparison, winner="none")))
    assert "none, the network without regularization" in plain[1]
    assert "without regularization" not in plain[2]


def test_the_rules_are_stated(a_run) -> None:
    record, _ = a_run
    text = " ".join(record.rules)
    assert "72" in text
    assert "18 test rows were used once" in text
    assert record.summary["cocktail"] in text


# Predictions


def test_predictions_round_trip_to_the_last_digit(a_run) -> None:
    _, out = a_run
    features = {name: column[:5] for name, column in patients().items() if name != "died"}
    lines = job.predictions(out, features).splitlines()
    model = wf.Fitted.load(out)
    chances = model.predict_proba(features)
    assert [tuple(map(float, line.split(",")[1:])) for line in lines[1:]] == [tuple(row) for row in chances.tolist()]


def test_a_table_of_constant_columns_is_refused(tmp_path) -> None:
    source = {"a": np.ones(40), "b": np.full(40, 2.5), "y": np.array(["no", "yes"] * 20, dtype=object)}
    with pytest.raises(DataError, match="constant"):
        wf.run(source, target="y", out=tmp_path, **BRIEF)


def test_columns_that_say_nothing_are_not_needed_for_a_prediction(tmp_path) -> None:
    wf.run(patients() | {"same": np.ones(90)}, target="died", out=tmp_path, **BRIEF)
    assert len(wf.Fitted.load(tmp_path).predict({"x0": [1.0, 2.0], "x1": [1.0, 1.0]})) == 2


# Real data


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tabular/alon-colon.csv.gz", {}),
        ("tabular/eucalyptus.csv.gz", {}),
        ("tabular/wine-quality.csv.gz", {"task": "regression"}),
        ("football/data.mat", {}),
    ],
)
def test_real_tables_give_an_answer_and_predict_again(data_folder, tmp_path, name, options) -> None:
    brief = {**BRIEF, "folds": 2, "training": {"epochs": 3}}
    record = wf.run(data_folder / name, out=tmp_path, **options, **brief)
    assert record.summary["test"]["score"] is not None
    assert (tmp_path / "report.html").stat().st_size > 10_000
    table = load(data_folder / name, **options)
    assert len(job.predictions(tmp_path, table.columns).splitlines()) == table.rows + 1
    assert (record.portraits[0].boundary is not None) == (name == "football/data.mat")


def test_the_cocktail_in_the_model_is_the_winner(a_run) -> None:
    record, out = a_run
    assert wf.Fitted.load(out).cocktail == Cocktail.parse(record.summary["cocktail"])
