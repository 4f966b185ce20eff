"""The estimators at work: beside scikit-learn's own models, along a path, in its tools, by a search."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import wellfit as wf
from wellfit.errors import SettingError
from wellfit.records import Path, SearchRecord
from wellfit.rng import DATA, generator
from wellfit.select.search import search

QUICK = wf.Training(epochs=30, batch_size=16, learning_rate=0.01)
BRIEF = {"network": "8", "training": QUICK, "seeds": 1}
LONG = wf.Training(optimizer="gd", learning_rate=0.3, epochs=4000, batch_size=None, precision="float64")


def numbers(rows: int = 90, *, seed: int = 0, classes: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X within three standard deviations, where nothing is bent; labels and values that hang on it."""
    draw = generator(seed, DATA)
    X = draw.uniform(-2, 2, (rows, 4)) * [1, 10, 0.1, 5] + [0, 5, 1, -3]
    value = X[:, 0] + X[:, 1] / 10 + draw.normal(size=rows)
    return X, np.digitize(value, np.quantile(value, np.arange(1, classes) / classes)), 20 + 7 * value


# Beside scikit-learn's own


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_network_is_logistic_regression(classes) -> None:
    X, y, _ = numbers(classes=classes)
    model = wf.WellfitClassifier("l2=0.02", network="linear", training=LONG, seeds=1).fit(X, y)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.02 * len(X)), tol=1e-10, max_iter=1000))
    assert np.allclose(model.predict_proba(X), theirs.fit(X, y).predict_proba(X), rtol=0, atol=1e-6)


def test_the_linear_network_with_weights_is_logistic_regression_with_weights() -> None:
    """Each row stands there twice with opposite labels: weights that sum to 2 leave the columns' spread as it is."""
    X, y, _ = numbers()
    chance = generator(6, DATA).uniform(0.1, 1.9, len(X))
    X, y, weights = np.tile(X, (2, 1)), np.concatenate([y, 1 - y]), np.concatenate([chance, 2 - chance])
    model = wf.WellfitClassifier("l2=0.02", network="linear", training=LONG, seeds=1).fit(X, y, sample_weight=weights)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.02 * len(X)), tol=1e-10, max_iter=1000))
    theirs.fit(X, y, logisticregression__sample_weight=weights)
    assert np.allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-6)


def test_the_linear_network_is_ridge() -> None:
    X, _, y = numbers()
    model = wf.WellfitRegressor("l2=0.3", network="linear", training=LONG, seeds=1).fit(X, y)
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=0.3 * len(X) / 2))
    theirs = TransformedTargetRegressor(ridge, transformer=StandardScaler()).fit(X, y)
    assert np.allclose(model.predict(X), theirs.predict(X), rtol=0, atol=1e-6)
    free = clone(model).set_params(cocktail="none").fit(X, y)
    assert np.abs(model.predict(X) - free.predict(X)).max() > 0.5, "a penalty that changes nothing tests nothing"


# Along a path


@pytest.mark.parametrize("over", ["l2", wf.L2, wf.Dropout(0.1)], ids=str)
def test_a_path_is_that_of_wellfit_path_and_its_rule_chooses(over) -> None:
    X, y, _ = numbers()
    model = wf.WellfitClassifier(path=over, folds=3, random_state=2, **BRIEF).fit(X, y)
    found = wf.path((X, y), over, folds=3, seeds=1, seed=2, network="8", training=QUICK)
    assert isinstance(model.path_, Path)
    assert np.array_equal(model.path_.strengths, found.strengths)
    assert np.array_equal(model.path_.losses, found.losses)
    assert found.one_standard_error >= found.best
    assert str(model.cocktail_) == found.cocktails[found.one_standard_error]
    plain = wf.WellfitClassifier(model.cocktail_, random_state=2, **BRIEF).fit(X, y)
    assert np.array_equal(model.predict_proba(X), plain.predict_proba(X))


def test_a_path_is_added_to_the_cocktail_and_knows_weights_and_groups() -> None:
    X, _, y = numbers(60)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y, w=np.arange(60) % 3, g=np.arange(60) // 4)
    model = wf.WellfitRegressor("dropout=0.1", path="l1", folds=2, **BRIEF)
    model.fit(frame[list("abcd")], frame.y, sample_weight=frame.w, groups=frame.g)
    rows = np.flatnonzero(frame.w)
    found = wf.path(frame, "l1", target="y", weight="w", group="g", rows=rows, cocktail="dropout=0.1", folds=2, seeds=1,
                    network="8", training=QUICK)  # fmt: skip
    assert np.array_equal(model.path_.losses, found.losses)
    assert np.array_equal(model.path_.rows, rows)
    assert model.cocktail_.get(wf.Dropout) == wf.Dropout(0.1)


@pytest.mark.parametrize(("over", "members"), [("l2", 120), ("early_stopping", 4)])
def test_a_path_has_the_training_of_wellfit_path_by_default(over, members, monkeypatch) -> None:
    X, y, _ = numbers(40)
    asked = []

    def short(table, rows, **given) -> wf.Training:
        asked.append((rows.tolist(), given["network"], given["members"], given.get("quick", False)))
        return wf.Training(epochs=2)

    for room in ("estimators.choosing", "select.path"):
        monkeypatch.setattr(f"wellfit.{room}.default_training", short)
    model = wf.WellfitClassifier(path=over, folds=2, seeds=2).fit(X, y)
    found = wf.path((X, y), over, folds=2, seeds=2)
    assert asked[0] == asked[1]
    assert asked[0][2] == members
    assert np.array_equal(model.path_.losses, found.losses)


def test_along_early_stopping_the_epoch_is_chosen() -> None:
    X, y, _ = numbers(60)
    model = wf.WellfitClassifier(path="early_stopping", folds=2, **BRIEF | {"seeds": 2}).fit(X, y)
    epoch = int(model.path_.strengths[model.path_.one_standard_error])
    assert 0 < epoch < 30
    assert [history.epochs for history in model.history_] == [epoch, epoch]
    assert [part.rows for part in model.model_.parts] == [60, 60]
    assert model.cocktail_ == wf.Cocktail()


# In scikit-learn's tools


def test_in_a_pipeline_and_a_grid() -> None:
    X, y, _ = numbers()
    pipe = Pipeline([("scale", StandardScaler()), ("net", wf.WellfitClassifier("none", **BRIEF))])
    grid = GridSearchCV(pipe, {"net__cocktail": ["none", wf.L2(1e-2), "l2=10"]}, cv=3).fit(X, y)
    assert grid.best_params_["net__cocktail"] != "l2=10"
    assert grid.predict(X).shape == (90,)
    assert len(set(grid.cv_results_["mean_test_score"])) > 1


def test_a_diverged_network_is_a_failed_fit_of_a_grid() -> None:
    X, y, _ = numbers()
    wild = wf.Training(optimizer="gd", learning_rate=1e6, epochs=30)
    grid = GridSearchCV(wf.WellfitClassifier("none", **BRIEF), {"training": [QUICK, wild]}, cv=2)
    with pytest.warns(FitFailedWarning, match="diverged"), pytest.warns(UserWarning, match="non-finite"):
        grid.fit(X, y)
    assert grid.best_params_["training"] is QUICK


def test_clone_keeps_what_was_given() -> None:
    model = wf.WellfitRegressor(wf.L2(1e-3) + wf.Dropout(0.1), path=wf.L1, **BRIEF)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.get_params()["path"] is wf.L1
    assert wf.WellfitRegressor().get_params()["cocktail"] == "auto"
    assert "WellfitRegressor" in repr(model)


def test_cross_validation_with_groups() -> None:
    X, y, _ = numbers()
    groups = np.arange(90) // 5
    model = wf.WellfitClassifier("early_stopping=5", **BRIEF)
    scores = cross_val_score(model, X, y, groups=groups, cv=GroupKFold(3))
    assert scores.shape == (3,)
    assert (scores > 0.5).all()
    inner = cross_val_score(model, X, y, cv=KFold(3), params={"groups": groups})
    assert inner.shape == (3,)


def test_groups_are_routed() -> None:
    X, y, _ = numbers()
    groups = np.arange(90) // 5
    seen = []

    class Spy(wf.WellfitClassifier):
        def fit(self, X, y, sample_weight=None, groups=None):
            seen.append((None if sample_weight is None else len(sample_weight), set(groups)))
            return super().fit(X, y, sample_weight=sample_weight, groups=groups)

    with sklearn.config_context(enable_metadata_routing=True):
        scale = StandardScaler().set_fit_request(sample_weight=False)
        model = Spy("none", **BRIEF).set_fit_request(groups=True, sample_weight=True)
        model.set_score_request(sample_weight=True)
        cross_val_score(make_pipeline(scale, model), X, y, cv=GroupKFold(2),
                        params={"groups": groups, "sample_weight": np.ones(90)})  # fmt: skip
    assert [count for count, _ in seen] == [45, 45]
    assert not seen[0][1] & seen[1][1]


def test_two_processes_are_one() -> None:
    X, _, y = numbers()
    model = wf.WellfitRegressor("l2=1e-3", **BRIEF)
    one, two = (cross_val_predict(model, X, y, cv=2, n_jobs=jobs) for jobs in (1, 2))
    assert np.array_equal(one, two)


# By a search


def test_auto_is_wellfit_search() -> None:
    X, y, _ = numbers()
    model = wf.WellfitClassifier(budget=6000, folds=2, random_state=1, n_jobs=1).fit(X, y)
    found = search((X, y), budget=6000, folds=2, seed=1)
    assert str(model.cocktail_) == found.winner
    assert isinstance(model.search_, SearchRecord)
    assert model.search_.spent == found.record.spent
    assert np.array_equal(model.predict_proba(X), found.model.predict_proba(X))
    assert model.history_ == ()
    assert model.path_ is None
    back = pickle.loads(pickle.dumps(model))
    assert np.array_equal(back.predict_proba(X), model.predict_proba(X))


def test_auto_knows_weights_groups_and_what_is_fixed() -> None:
    X, _, y = numbers(60)
    training = wf.Training(epochs=60, batch_size=None, learning_rate=0.05)
    model = wf.WellfitRegressor(budget="4000 steps", folds=2, network="6", training=training, metric="r2")
    weights, groups = (np.arange(60) % 3).astype(float), np.arange(60) // 4
    model.fit(X, y, sample_weight=weights, groups=groups)
    assert {trial.network for trial in model.search_.trials} == {"6"}
    assert model.search_.rows.tolist() == np.flatnonzero(weights).tolist()
    assert model.score(X, y) > 0.2
    with pytest.raises(SettingError, match="budget"):
        wf.WellfitRegressor(budget="soon").fit(X, y)
