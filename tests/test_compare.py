"""Comparisons: figures against a plain recount, the rules of the winner, no leak from test rows, repeatable files."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy_engine import NumpyEngine, make_data
from small_comparisons import small_comparison

from wellfit import rng
from wellfit.cocktail import Cocktail, Dropout, EarlyStopping, as_cocktails
from wellfit.engines.base import CURVES
from wellfit.errors import SettingError, UnsupportedError
from wellfit.evidence import METRICS, verdict
from wellfit.executors import Threads
from wellfit.ledger import Ledger
from wellfit.nets import MLP, Linear, Training
from wellfit.nets.training import checkpoints
from wellfit.records import History, Interval, Table
from wellfit.select import compare, comparison_json, comparison_text, default_cocktails, default_seeds, default_training
from wellfit.select.compare import cross_validation_data, seeds_of
from wellfit.select.reading import Asked, lowest_and_last, read

GD = Training("gd", 0.5, epochs=12, batch_size=None)


def _table(task="binary", rows=80, test=0, seed=0, columns=4, **more):
    draw = rng.generator(seed, rng.DATA)
    x = draw.normal(size=(rows, columns))
    value = x[:, 0] + 0.7 * draw.normal(size=rows)
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    cuts = np.quantile(value, np.arange(1, classes) / max(classes, 1))
    target = np.digitize(value, cuts).astype(np.int64) if classes else 100 + 20 * value
    names = [f"c{j}" for j in range(columns)]
    return Table(
        "made", {n: x[:, j].copy() for j, n in enumerate(names)}, dict.fromkeys(names, "numeric"), target, "y", task,
        tuple("abc"[:classes]), test_rows=np.arange(rows - test, rows) if test else None, **more,
    )  # fmt: skip


def _compare(table, cocktails="l2=0.1; early_stopping=2", engine=None, **more):
    options = dict(network="6", training=GD, seeds=2, folds=3)
    return compare(table, cocktails=cocktails, engine=engine or NumpyEngine(), **{**options, **more})


# The figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_figure_equals_a_plain_recount(task):
    """Everything in the table again, by loops, from the same population."""
    K, S = 4, 3
    found, mixes, members, histories, data, target, metric = small_comparison(task, rows=40, folds=K, seeds=S)
    by = {(str(m.cocktail), m.fold % K, m.seed): h for m, h in zip(members, histories, strict=True)}
    none_loss = []
    for mix, result in zip(map(str, mixes), found.results, strict=True):
        loss, score, gap = [], [], []
        for k in range(K):
            here, points, trained = [], [], []
            for s in range(S):
                h = by[mix, k, s]
                at = list(h.checkpoints).index(h.best_epoch)
                here.append(h.curves["score_loss"][at])
                trained.append(h.curves["train_loss"][at])
                points.append(metric.function(task, target[data.folds[k].rows.score], h.predictions))
            loss.append(np.mean(here))
            score.append(np.mean(points))
            gap.append(np.log(np.mean(here) / np.mean(trained)))
        none_loss = loss if mix == "none" else none_loss
        assert result.members == K * S
        for got, values in ((result.loss, loss), (result.score, score)):
            assert got.mean == pytest.approx(np.mean(values))  # the ends: tests/test_row_changes.py
        assert result.gap.mean == pytest.approx(np.exp(np.mean(gap)))
        paired = np.array(loss) - none_loss
        assert result.loss_difference.interval.mean == pytest.approx(paired.mean(), abs=1e-12)
        for k in range(K):
            rows = data.folds[k].rows.score
            mean = np.mean([by[mix, k, s].predictions for s in range(S)], axis=0)
            np.testing.assert_allclose(found.out_of_fold[mix][rows], mean)
    assert found.results[0].loss_difference.word == found.results[0].score_difference.word == "reference"
    np.testing.assert_array_equal(found.rows, np.arange(40))


def test_curves_carry_the_last_value_of_a_stopped_member_forward():
    found = _compare(_table(), training=replace(GD, learning_rate=2.0, epochs=60))
    early = found.results[2]
    assert early.best_epoch < 60
    np.testing.assert_array_equal(early.checkpoints, checkpoints(60))
    assert set(early.curves) == set(CURVES)
    assert early.curves["score_loss"].shape == (61,)
    assert np.isfinite(early.curves["stop_loss"]).all()
    assert np.isnan(found.results[0].curves["stop_loss"]).all(), "without stop rows there is nothing to measure"
    assert early.curves["train_loss"][-1] > found.results[0].curves["train_loss"][-1]


def test_the_lowest_point_is_read_off_the_other_folds():
    curves = np.array([[5.0, 1.0, 9.0, 4.0], [5.0, 3.0, 1.0, 4.0], [5.0, 3.0, 2.0, 4.0]])
    lowest, last = lowest_and_last(curves)
    np.testing.assert_array_equal(lowest, [9.0, 3.0, 3.0])  # not each fold's own minimum
    np.testing.assert_array_equal(last, [4.0, 4.0, 4.0])
    draw = np.random.default_rng(0).normal(size=(2000, 5, 30)) + 10  # flat curves: nothing but noise
    rises = [np.subtract(*lowest_and_last(c)[::-1]).mean() for c in draw]
    assert abs(np.mean(rises)) < 4 * np.std(rises) / np.sqrt(2000), "chance must pull neither way"


def test_an_overfitting_network_is_called_so_and_cured():
    training = Training("gd", 0.5, epochs=200, batch_size=None)
    found = _compare(_table(rows=120, columns=16), "l2=0.1", network="16", training=training, folds=5, seeds=1)
    none, cured = found.results
    assert none.gap.low > 1
    assert none.rise.low > 1
    assert cured.loss.mean < 0.8 * none.loss.mean
    assert cured.gap.mean < none.gap.mean
    assert verdict(found).startswith("Without regularization the network overfits: its validation loss")


# Settings and rules --------------------------------------------------------------------------------------------------


def test_none_is_put_first_where_absent_and_left_where_it_stands():
    table = _table(rows=40)
    assert [r.cocktail for r in _compare(table, "l2=0.1").results] == ["none", "l2=0.1"]
    found = _compare(table, ["l2=0.1", None, "l2=0.1"])
    assert [r.cocktail for r in found.results] == ["l2=0.1", "none"]
    assert [r.score_difference.word for r in found.results][1] == "reference"


def test_every_metric_can_be_the_score():
    for task in ("binary", "multiclass", "regression"):
        for metric in METRICS.values():
            if task in metric.tasks:
                found = _compare(_table(task), "l2=0.1", metric=metric.name, seeds=1)
                assert found.metric == metric.name
                assert np.isfinite(found.results[0].score.mean)
    with pytest.raises(SettingError, match="rmse does not fit a binary task"):
        _compare(_table(), metric="rmse")


def _history(loss, score, status="finished", rows=10):
    """A member whose accuracy on its ``rows`` score rows (all of class 1) is ``score``."""
    right = (np.arange(rows) < round(score * rows)).astype(float)
    curves = {name: np.array([1.0, loss]) for name in CURVES}
    return History(status, 1, 1, 1, np.array([0, 1]), curves, right[:, None], (1.0,), 0, 1)


def _read(values, names):
    """A comparison of two folds from (loss, score) for each cocktail, or None for a diverged member."""
    data = make_data(rows=20, folds=2)
    table = Table("t", {}, {}, np.ones(20, dtype=np.int64), "y", "binary", ("a", "b"))
    histories = []
    for value in values:
        for k in range(2):
            lost = value is None and k == 1
            loss, score = (0.5, 1.0) if value is None else value
            histories.append(_history(loss, score, "diverged" if lost else "finished"))
    training = Training(epochs=1, learning_rate=7.0)
    asked = Asked(table, as_cocktails(names), MLP((2,)), training, METRICS["accuracy"], 2, 1, 0)
    return read(histories, data, asked)


def test_the_winner_has_the_best_score_then_the_lower_loss_then_fewer_ingredients():
    names = "none; l2=0.1 + dropout=0.1; l2=0.2; l2=0.3"
    assert _read([(0.1, 0.7), (0.5, 0.8), (0.5, 0.7), (0.5, 0.6)], names).winner == "l2=0.1 + dropout=0.1"
    assert _read([(0.5, 0.7), (0.4, 0.8), (0.3, 0.8), (0.2, 0.6)], names).winner == "l2=0.2"
    assert _read([(0.5, 0.7), (0.3, 0.8), (0.4, 0.8), (0.2, 0.6)], names).winner == "l2=0.1 + dropout=0.1"
    assert _read([(0.5, 0.7), (0.4, 0.8), (0.4, 0.8), (0.2, 0.6)], names).winner == "l2=0.2"


def test_a_cocktail_with_diverged_members_cannot_win_and_has_no_intervals():
    found = _read([(0.5, 0.7), None, (0.4, 0.6)], "none; l2=0.1; l2=0.2")
    assert found.winner == "none"
    lost = found.results[1]
    assert (lost.diverged, lost.members) == (1, 2)
    assert lost.loss is lost.score is lost.train_loss is lost.loss_difference is lost.score_difference is None
    assert lost.gap is lost.rise is None
    assert np.isnan(found.out_of_fold["l2=0.1"]).sum() == 10
    assert json.loads(comparison_text(found))["results"][1]["loss"] is None
    without_reference = _read([None, (0.4, 0.6)], "none; l2=0.1")
    assert without_reference.results[1].loss_difference is None
    assert without_reference.results[1].loss is not None
    assert "1 of 2 unregularized networks diverged" in verdict(without_reference)


def test_where_nothing_is_sound_it_is_said():
    with pytest.raises(SettingError, match=r"each of the 2 compared has diverged members.*learning rate 7 is too high"):
        _read([None, None], "none; l2=0.1")
    with pytest.raises(SettingError, match=r"too high for this data and network; try a tenth of it\."):
        _read([None, None], "none; l2=0.1")


def test_where_all_diverge_the_largest_learning_rate_that_holds_is_named_and_true():
    table, wild = _table("regression"), replace(GD, learning_rate=9.0, epochs=200)
    with pytest.raises(SettingError, match=r"All 12 members diverged.*learning rate 9 is too high") as told:
        _compare(table, "l2=0.1", training=wild)
    rate = float(re.search(r"the largest of the lower ones tried that does not diverge is (\S+) ", str(told.value))[1])
    assert rate in (3.0, 0.9, 0.3, 0.09)
    held = _compare(table, "l2=0.1", training=replace(wild, learning_rate=rate))
    assert held.results[0].diverged == 0
    with pytest.raises(SettingError, match=r"1e\+09 is too high.*lower ones diverge too, down to 1000\. Look"):
        _compare(table, "l2=0.1", training=replace(wild, learning_rate=1e9))


def test_a_metric_defined_in_no_fold_is_said():
    data = make_data(rows=20, folds=2)
    table = Table("t", {}, {}, np.ones(20, dtype=np.int64), "y", "binary", ("a", "b"))
    asked = Asked(table, (Cocktail(),), MLP((2,)), Training(epochs=1), METRICS["auc"], 2, 1, 0)
    with pytest.raises(SettingError, match="auc is not defined in any fold"):
        read([_history(0.5, 0.7), _history(0.5, 0.7)], data, asked)


@pytest.mark.parametrize("value", [0, 1001, -1, 1.5, True, (), (1, 1), (1, -2), "12", None])
def test_bad_seeds_are_refused(value):
    with pytest.raises(SettingError, match="number of seeds"):
        seeds_of(0, value)


def test_seeds():
    assert seeds_of(3, 2) == (3000, 3001)
    assert seeds_of(3, (7, 5)) == (7, 5)
    assert not set(seeds_of(0, 1000)) & set(seeds_of(1, 1000))
    with pytest.raises(SettingError, match="The seed is a whole number"):
        seeds_of(-1, 2)


def test_bad_settings_are_refused_before_any_work():
    engine = NumpyEngine()
    for more, text in (
        (dict(folds=1), "number of folds"),
        (dict(folds=2.5), "number of folds"),
        (dict(target="y"), "options belong to reading data.*target"),
        (dict(rows=np.arange(0)), "no rows to compare on"),
    ):
        with pytest.raises(SettingError, match=text):
            _compare(_table(), engine=engine, **more)
    with pytest.raises(UnsupportedError, match=r"dropout=0.2 cannot be trained with the network 6: the NumPy engine"):
        _compare(_table(), "l2=0.1; dropout=0.2", engine=engine)
    assert engine.advanced == []


def test_fewer_groups_than_folds_give_fewer_folds():
    found = _compare(_table(rows=60, groups=np.repeat(np.arange(3), 20)), folds=5)
    assert found.folds == 3
    assert found.results[0].members == 6


def test_rows_in_time_order_are_scored_by_the_past():
    table = _table(rows=60, times=np.arange(60.0))
    found = _compare(table, folds=3)
    assert found.rows.min() > 0, "the first rows are never scored"
    assert np.isfinite(found.out_of_fold["none"]).all()
    assert len(found.out_of_fold["none"]) == len(found.rows)


def test_a_source_is_read_with_its_options(tmp_path):
    path = tmp_path / "d.csv"
    table = _table(rows=40)
    lines = ["a,b,y"]
    lines += [f"{x},{z},{y}" for x, z, y in zip(table.columns["c0"], table.columns["c1"], table.target, strict=True)]
    path.write_text("\n".join(lines))
    found = _compare(path, "l2=0.1", target="y", seeds=1)
    assert found.task == "binary"
    assert len(found.rows) == 40


# Test rows, repetition, resuming -------------------------------------------------------------------------------------


def test_test_rows_change_nothing():
    """Poison them: a single look at a test row, in preprocessing or scores, would show."""
    table = _table(rows=80, test=20)
    poisoned = replace(table, columns={n: c.copy() for n, c in table.columns.items()}, target=table.target.copy())
    for column in poisoned.columns.values():
        column[60:] = 1e6
    poisoned.target[60:] = 1 - poisoned.target[60:]
    one, other = _compare(table), _compare(poisoned)
    assert comparison_text(one) == comparison_text(other)
    np.testing.assert_array_equal(one.rows, np.arange(60))
    assert one.out_of_fold["none"].tobytes() == other.out_of_fold["none"].tobytes()
    limited = _compare(table, rows=np.arange(10, 50))
    np.testing.assert_array_equal(limited.rows, np.arange(10, 50))


def test_equal_runs_give_equal_files_on_any_number_of_threads():
    table = _table("multiclass")
    texts = {comparison_text(_compare(table, executor=Threads(n))) for n in (1, 2, 2)}
    assert len(texts) == 1
    text = texts.pop()
    assert comparison_text(_compare(table, seed=1)) != text
    read_back = json.loads(text)
    assert read_back == comparison_json(_compare(table))
    assert "NaN" not in text
    assert "second" not in text.lower()
    assert [r["cocktail"] for r in read_back["results"]] == ["none", "l2=0.1", "early_stopping=2"]
    assert set(read_back["results"][1]["loss_difference"]) == {"word", "mean", "low", "high", "estimates"}
    assert (read_back["folds"], read_back["seeds"], read_back["rows"]) == (3, 2, 80)


def test_what_json_cannot_hold_becomes_null():
    found = _read([(0.5, 0.7), (0.4, 0.6)], "none; l2=0.1")
    odd = replace(found.results[0], best_epoch=np.float64("nan"), gap=Interval(2.0, float("nan"), np.inf, ""))
    read_back = json.loads(comparison_text(replace(found, results=(odd, found.results[1]))))
    assert read_back["results"][0]["best_epoch"] is None
    assert read_back["results"][0]["gap"] == {"mean": 2.0, "low": None, "high": None, "estimates": ""}


def test_a_ledger_makes_the_second_run_free_and_equal(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = _compare(_table(), ledger=ledger)
        engine = NumpyEngine()
        second = _compare(_table(), ledger=ledger, engine=engine)
        assert engine.advanced == []
        assert comparison_text(first) == comparison_text(second)
        _compare(_table(), "l2=0.1; early_stopping=2; l2=0.2", ledger=ledger, engine=engine)
        assert {str(m.cocktail) for m in engine.advanced} == {"l2=0.2"}, "only what is new is trained"


def test_progress_reaches_the_total():
    calls = []
    _compare(_table(rows=40), progress=lambda done, total: calls.append((done, total)))
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] > 0


# Defaults ------------------------------------------------------------------------------------------------------------


def test_default_cocktails_hold_none_first_and_every_ingredient():
    for quick in (False, True):
        mixes = default_cocktails(quick=quick)
        assert mixes[0] == Cocktail()
        assert len(set(mixes)) == len(mixes)
        names = {i.name for mix in mixes for i in mix.ingredients}
        assert {"l2", "l1", "weight_decay", "dropout", "early_stopping"} <= names
        assert any(len(mix.ingredients) > 1 for mix in mixes)
        linear = default_cocktails(quick=quick, network=Linear())
        assert all(mix.get(Dropout) is None for mix in linear)
        assert any(mix.get(EarlyStopping) for mix in linear)
    assert "elastic_net" in {i.name for mix in default_cocktails() for i in mix.ingredients}


@pytest.mark.parametrize(("rows", "columns"), [(62, 300), (211, 2), (2000, 20), (40_000, 10)])
def test_default_training_is_bounded_and_long_enough(rows, columns):
    table = _table(rows=rows, columns=columns)
    for quick, seconds in ((True, 7.0), (False, 45.0)):
        training = default_training(table, np.arange(rows), quick=quick)
        steps = -(-(rows * 4 // 5) // training.batch_size) * training.epochs
        members = len(default_cocktails(quick=quick)) * 5 * default_seeds(np.arange(rows), quick=quick)
        work = members * steps * training.batch_size * MLP((64, 32)).size(columns, 1)
        assert work * 2.4e-10 / 2 <= 1.1 * seconds, "the work in seconds of two cores"
        assert training.epochs >= 2
        if rows <= 211:
            assert training.epochs >= 100
    assert default_training(table, np.arange(rows)).epochs >= training.epochs


def test_defaults_do_not_depend_on_the_cocktails_or_the_scores():
    table = _table(rows=100)
    other = replace(table, target=1 - table.target)
    assert default_training(table, np.arange(100)) == default_training(other, np.arange(100))


@pytest.mark.parametrize("name", ["breast-cancer", "sonar"])
def test_the_defaults_cure_real_overfitting(name, request):
    """On the compiled engine: the unregularized network overfits by far, and some default cocktail cures it."""
    source = name
    if name == "sonar":
        source = request.getfixturevalue("data_folder") / "tabular" / "sonar.csv.gz"
    found = compare(source, cocktails="l2=1e-2; early_stopping=10", seeds=1, quick=True)
    none, l2, _ = found.results
    assert none.gap.low > 3
    assert none.rise.mean > 1.3
    assert l2.loss.mean < 0.75 * none.loss.mean


def test_intervals_hold_only_what_can_be():
    """An accuracy near 1 over few folds has a plain t interval that runs beyond 1; Wilson's does not."""
    found = compare("iris", cocktails="l2=0.01", network="8", training=Training("adam", 0.02, 60, 16), seeds=1, folds=3)
    score = found.results[0].score
    assert score is not None
    assert 0 <= score.low <= score.mean <= score.high <= 1
    assert score.mean < score.high < 1
    assert all(r.loss is not None and r.loss.low >= 0 for r in found.results)


def test_folds_are_prepared_once_for_many_questions_and_never_for_others(monkeypatch):
    from wellfit import data as room

    calls, real = [], room.prepare
    monkeypatch.setattr(room, "prepare", lambda *a, **k: calls.append(1) or real(*a, **k))
    table, rows = _table(), np.arange(60)
    first, count = cross_validation_data(table, rows, 3, 0, False, MLP())
    again, _ = cross_validation_data(table, rows, 3, 0, False, MLP())
    stopping, _ = cross_validation_data(table, rows, 3, 0, True, MLP())
    assert again is first
    assert len(calls) == 2
    assert stopping.folds[:count] == first.folds
    assert len(stopping.folds) == 2 * count
    others = [
        cross_validation_data(table, rows[:50], 3, 0, False, MLP())[0],
        cross_validation_data(table, rows, 4, 0, False, MLP())[0],
        cross_validation_data(table, rows, 3, 1, False, MLP())[0],
        cross_validation_data(replace(table, target=1 - table.target), rows, 3, 0, False, MLP())[0],
    ]
    table.columns["c0"][0] += 1  # in place
    others.append(cross_validation_data(table, rows, 3, 0, False, MLP())[0])
    assert len({d.fingerprint for d in [first, stopping, *others]}) == 7
