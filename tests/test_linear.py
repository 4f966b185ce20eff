"""Linear models in every question: paths, coefficients in the data's units, search, estimators, `simplest`, `run`."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import Lasso, LassoCV, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import wellfit as wf
from wellfit.data import Preprocessor, cross_validation_split, load, prepare
from wellfit.data import folds as cut
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import SettingError
from wellfit.evidence.intervals import difference
from wellfit.executors import Threads
from wellfit.ledger import MemoryLedger
from wellfit.records import Fold
from wellfit.select.fitting import fit
from wellfit.select.path_output import path_json
from wellfit.select.simplest import read_simplest


@pytest.fixture(scope="module")
def diabetes():
    return load("diabetes")


def raw(table):
    return np.column_stack(list(table.columns.values()))


# Preprocessing


def test_linear_models_see_straight_columns():
    x = np.append(np.random.default_rng(0).normal(5, 2, 60), 40.0)  # one value far out
    table = load((x[:, None], np.arange(61) * 1.0), task="regression")
    rows = np.arange(61)
    found = prepare(table, [Fold(rows, rows[:0], rows[:0])], bent=False).folds[0].x[:, 0]
    np.testing.assert_allclose(found, (x - x.mean()) / x.std())
    bent = prepare(table, [Fold(rows, rows[:0], rows[:0])]).folds[0].x[:, 0]
    assert bent.max() < 6 < found.max()
    plan = Preprocessor.fit(table, rows, bent=False)
    assert Preprocessor.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    old = plan.to_dict()
    del old["plans"][0]["bent"]  # as files were written before
    assert Preprocessor.from_dict(old).plans[0].bent


# Paths


def test_a_lasso_path_is_scikit_learns_on_the_same_folds(diabetes):
    """Scaling is fitted inside each fold: so is theirs, in a pipeline, at strengths that mean the same there."""
    path = wf.path(diabetes, "l1", network="linear", points=12)
    rows = np.arange(diabetes.rows)
    parts = cut(diabetes, rows, folds=5, seed=0)
    x, y = raw(diabetes), diabetes.target
    for p in (0, 3, 7, 11):
        for k, part in enumerate(parts):
            spread = y[part.train].std()
            model = (
                LinearRegression()
                if p == 0
                else Lasso(alpha=path.strengths[p] / 2 * spread, tol=1e-9, max_iter=100_000)
            )
            fitted = make_pipeline(StandardScaler(), model).fit(x[part.train], y[part.train])
            loss = np.mean((fitted.predict(x[part.score]) - y[part.score]) ** 2)
            assert path.losses[p, k, 0] == pytest.approx(loss, rel=1e-6)
    assert path.seeds == 1, "seeds make no difference to a solution"
    assert path.warm is None


def test_the_path_begins_where_every_coefficient_is_zero_and_just_there(diabetes):
    path = wf.path(diabetes, "l1", network="linear", points=6)
    x, y = raw(diabetes), diabetes.target
    tops = []
    for part in cut(diabetes, np.arange(diabetes.rows), folds=5, seed=0):
        z = (x[part.train] - x[part.train].mean(0)) / x[part.train].std(0)
        centred = (y[part.train] - y[part.train].mean()) / y[part.train].std()
        tops.append(np.abs(2 * z.T @ centred / len(z)).max())
    assert max(tops) <= path.strengths[-1] <= max(tops) * 1.01
    assert path.zeros[-1] == 1
    assert "every weight is 0" in path.end
    ridge = wf.path(diabetes, "l2", network="linear", points=6)
    assert ridge.losses[-1].mean() == pytest.approx(ridge.chance, rel=0.05)
    assert "predicts the mean" in ridge.end


def test_the_same_strength_is_best_for_lasso_cv(diabetes):
    path = wf.path(diabetes, "l1", network="linear", points=40)
    split = np.empty(diabetes.rows, int)
    for k, part in enumerate(cut(diabetes, np.arange(diabetes.rows), folds=5, seed=0)):
        split[part.score] = k
    x, y = raw(diabetes), diabetes.target
    alphas = path.strengths[1:] / 2 * y.std()
    lasso = LassoCV(alphas=alphas, cv=PredefinedSplit(split), max_iter=100_000)
    theirs = lasso.fit((x - x.mean(0)) / x.std(0), y)
    place = int(np.flatnonzero(np.isclose(alphas, theirs.alpha_))[0]) + 1
    assert abs(place - path.best) <= 2  # theirs scales once on all rows, and the curve is flat there


def test_coefficients_are_in_the_datas_own_units(diabetes):
    path = wf.path(diabetes, "l2", network="linear", points=5)
    found, x, y = path.linear, raw(diabetes), diabetes.target
    theirs = LinearRegression().fit(x, y)
    np.testing.assert_allclose(found.coefficients[0, 0], theirs.coef_, rtol=1e-8)
    assert found.intercepts[0, 0] == pytest.approx(theirs.intercept_)
    for p in (1, 3):
        ridge = make_pipeline(StandardScaler(), Ridge(alpha=path.strengths[p] * len(x) / 2)).fit(x, y)
        ours = x @ found.coefficients[p, 0] + found.intercepts[p, 0]
        np.testing.assert_allclose(ours, ridge.predict(x), rtol=1e-8)
    assert found.names == tuple(diabetes.columns)
    assert found.outputs == ("progression",)
    assert found.freedom[0] == pytest.approx(10)
    assert np.all(np.diff(found.freedom) < 1e-9)
    assert found.exists.all()


def test_coefficients_with_categories_and_missing_values_predict_like_the_fitted_model():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"size": rng.normal(10, 3, 150), "kind": rng.choice(["a", "b", "c"], 150)})
    frame["price"] = frame["size"] * 2 + (frame["kind"] == "b") * 5 + rng.normal(size=150)
    frame.loc[::10, "size"] = np.nan
    path = wf.path(frame, "l1", network="linear", points=5, target="price")
    found = path.linear
    assert found.names == ("size", "size is missing", "kind=a", "kind=b", "kind=c")
    p = path.one_standard_error
    table = load(frame, target="price")
    [(_, model)] = fit(table, np.arange(150), wf.Linear(), wf.Cocktail.parse(path.cocktails[p]), wf.Training(), 0)
    filled = frame["size"].fillna(frame["size"].median())
    columns = [filled, frame["size"].isna(), *(frame["kind"] == k for k in "abc")]
    ours = np.column_stack([np.asarray(c, float) for c in columns]) @ found.coefficients[p, 0] + found.intercepts[p, 0]
    np.testing.assert_allclose(model.outputs_of(table.columns)[:, 0], ours, atol=1e-8)
    assert found.used(p)[0] == "size"


def test_logistic_coefficients_are_scikit_learns():
    table = load("breast-cancer")
    path = wf.path(table, "l2", network="linear", points=5)
    x, y = raw(table), table.target
    p = 3
    model = LogisticRegression(C=1 / (path.strengths[p] * len(x)), tol=1e-10, max_iter=5000)
    theirs = make_pipeline(StandardScaler(), model).fit(x, y)
    ours = x @ path.linear.coefficients[p, 0] + path.linear.intercepts[p, 0]
    np.testing.assert_allclose(ours, theirs.decision_function(x), atol=1e-5)
    assert path.linear.outputs == (table.classes[1],)
    assert not path.linear.exists[0], "without a penalty these classes are separable"
    assert path.linear.exists[1:].all()


def test_along_epochs_a_linear_model_is_trained_by_steps():
    path = wf.path("iris", "early_stopping", network="linear", points=5, folds=3, seeds=1, quick=True)
    assert path.linear is None
    assert path.losses[-1].mean() > path.losses[path.best].mean()


def test_a_path_is_recorded_and_read_back(diabetes):
    ledger = MemoryLedger()
    first = wf.path(diabetes, "l1", network="linear", points=5, ledger=ledger)
    count = len(list(ledger.keys()))
    assert count == 25
    again = wf.path(diabetes, "l1", network="linear", points=5, ledger=ledger)
    assert path_json(first) == path_json(again)
    assert len(list(ledger.keys())) == count


def test_what_has_no_solution_is_recorded_too():
    ledger, asked = MemoryLedger(), {"network": "linear", "points": 4, "folds": 3}

    class Counting(Threads):
        ran = 0

        def run(self, engine, members, data, **more):
            Counting.ran += len(members)
            return super().run(engine, members, data, **more)

    def trained():
        Counting.ran = 0
        found = wf.path("breast-cancer", "l2", ledger=ledger, executor=Counting(1), **asked)
        assert not found.linear.exists[0]
        return Counting.ran - len(found.strengths)  # the coefficients are solved again

    assert trained() == 12
    assert trained() == 0


def test_by_steps_is_still_to_be_had_and_comes_to_the_same(diabetes):
    training = wf.Training("gd", 0.1, 3000, None, precision="float64")
    exact = wf.compare(diabetes, cocktails="l1=0.1", network="linear", training=training, seeds=1)
    steps = wf.compare(
        diabetes, cocktails="l1=0.1", network="linear", training=training, seeds=1, engine=CompiledEngine()
    )
    # Columns are the same; curves are measured on all rows.
    assert exact.results[1].loss.mean == pytest.approx(steps.results[1].loss.mean, rel=1e-4)


# Search and estimators


def test_a_search_of_linear_models_varies_penalties_alone():
    found = wf.search("breast-cancer", network="linear", budget=2_000, folds=3)
    assert {t.network for t in found.record.trials} == {"linear"}
    assert len({t.learning_rate for t in found.record.trials}) == 1
    assert all(t.cocktail.split("=")[0] in ("none", "l1", "l2", "elastic_net") for t in found.record.trials)
    again = wf.search("breast-cancer", network="linear", budget=2_000, folds=3)
    assert [t.losses for t in again.record.trials] == [t.losses for t in found.record.trials]
    assert found.record.score.score.mean > 0.95


def test_estimators_take_linear_networks():
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    model = wf.WellfitRegressor("l2=0.1", network="linear").fit(x, y)
    theirs = make_pipeline(StandardScaler(), Ridge(alpha=0.1 * len(x) / 2)).fit(x, y)
    np.testing.assert_allclose(model.predict(x), theirs.predict(x), rtol=1e-8)
    assert len(model.history_) == 1, "one solution, whatever the seeds"
    assert model.findings_ == ()
    along = wf.WellfitRegressor("none", path="l1", network="linear").fit(x, y)
    assert along.path_.linear is not None
    assert str(along.cocktail_) == along.path_.cocktails[along.path_.one_standard_error]


def test_separable_classes_are_told_of():
    x, y = load_breast_cancer(return_X_y=True)
    model = wf.WellfitClassifier("none", network="linear").fit(x, y)
    assert [f.kind for f in model.findings_] == ["unbounded"]
    assert "no solution exists" in model.findings_[0].text
    z = np.column_stack([(x - x.mean(0)) / x.std(0), np.ones(len(x))]) * (2 * y - 1)[:, None]
    plane = linprog(np.zeros(31), A_ub=-z, b_ub=-np.ones(len(z)), bounds=(None, None))
    assert plane.status == 0, "there is a plane with every row on its side"
    compared = wf.compare("breast-cancer", cocktails="l2=0.01", network="linear", seeds=1)
    assert [r.unbounded > 0 for r in compared.results] == [True, False]
    assert compared.results[0].diverged == 0
    heard = []
    from wellfit.job import compare_into

    compare_into("breast-cancer", cocktails="l2=0.01", network="linear", seeds=1, notice=heard.append)
    assert sum("no solution exists" in sentence for sentence in heard) == 1


# Is a network needed?


def test_simplest_chooses_each_folds_strength_on_the_other_folds(diabetes):
    straight = [wf.path(diabetes, name, network="linear", points=6) for name in ("l1", "l2")]
    bent = [wf.path(diabetes, "l2", network="8", points=4, seeds=2, training=wf.Training(epochs=15))]
    found = read_simplest(straight, bent, diabetes, np.arange(diabetes.rows))
    sides = []
    for paths in (bent, straight):
        chosen = []
        for k in range(5):
            best = min(
                (
                    (np.delete(p.losses.mean(2)[i], k).mean(), p.scores.mean(2)[i, k])
                    for p in paths
                    for i in range(len(p.strengths))
                ),
                key=lambda pair: pair[0],
            )
            chosen.append(best[1])
        sides.append(np.array(chosen))
    parts = cut(diabetes, np.arange(diabetes.rows), folds=5, seed=0)
    expected = difference(
        sides[0],
        sides[1],
        train_rows=[len(p.train) for p in parts],
        test_rows=[len(p.score) for p in parts],
        higher_is_better=False,
        estimates="x",
    )
    assert found.network_score.mean == pytest.approx(sides[0].mean())
    assert found.linear_score.mean == pytest.approx(sides[1].mean())
    assert found.difference.interval.low == pytest.approx(expected.interval.low)
    assert found.difference.word == expected.word
    assert f"{sides[1].mean():.3g}" in found.sentence


def test_a_network_is_needed_for_a_circle_and_not_for_a_line():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    names = ["inside", "outside"]
    circle = np.array(names)[(np.hypot(*x.T) > 1.2).astype(int)]
    line = np.array(names)[(x[:, 0] + 0.3 * rng.normal(size=300) > 0).astype(int)]
    asked = {"network": "16", "training": wf.Training(epochs=60, batch_size=32, learning_rate=0.01), "seeds": 1}
    needed = wf.simplest((x, circle), points=5, **asked)
    assert needed.difference.word == "better"
    assert needed.sentence.startswith("A network is worth it")
    plain = wf.simplest((x, line), points=5, **asked)
    assert plain.difference.word != "better"
    assert "worth it" not in plain.sentence


def test_simplest_refuses_a_linear_network():
    with pytest.raises(SettingError, match="64,32"):
        wf.simplest("iris", network="linear")


def test_a_run_says_whether_a_network_is_needed(tmp_path):
    record = wf.run("football", quick=True, budget="2000 steps", out=tmp_path / "run", training={"epochs": 20})
    assert record.simplest is not None
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["linear"]["score"] == pytest.approx(record.simplest.linear_score.mean)
    assert summary["linear"]["word"] == record.simplest.difference.word
    page = (tmp_path / "run/report.html").read_text()
    assert record.simplest.sentence.split("(")[-1].rstrip(").") in page
    assert record.simplest.sentence.split("(")[0] in page, "not shortened"
    table = load("football")
    train = cross_validation_split(table, seed=0).train
    x, y = raw(table)[train], table.target[train]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = [
            make_pipeline(StandardScaler(), LogisticRegression(C=1e4)).fit(x[p], y[p]).score(x[s], y[s])
            for p, s in (
                (np.searchsorted(train, f.train), np.searchsorted(train, f.score))
                for f in cut(table, train, folds=5, seed=0)
            )
        ]
    assert record.simplest.linear_score.mean == pytest.approx(np.mean(scores), abs=0.02)


def test_a_run_on_a_linear_network_compares_it_with_nothing(tmp_path):
    record = wf.run("iris", quick=True, budget="500 steps", network="linear", out=tmp_path / "run")
    assert record.simplest is None
    assert all(p.linear is not None or p.over == "early_stopping" for p in record.paths)
