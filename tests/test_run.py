"""The main job: what a run computes, shows and says, and what its model predicts."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import BRIEF, bound_study, heights, patients

import wellfit as wf
from wellfit import job
from wellfit.cocktail import Cocktail
from wellfit.data import cross_validation_split, load
from wellfit.errors import DataError
from wellfit.job import portraits, refit, study
from wellfit.rng import DATA, generator
from wellfit.select import comparison_text


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
