"""The scikit-learn contract, and what the estimators read: frames, labels, weights, random states, settings."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import wellfit as wf
from wellfit.errors import DataError, SettingError
from wellfit.estimators.network import _threads
from wellfit.executors.threads import usable_cores
from wellfit.rng import DATA, generator

QUICK = wf.Training(epochs=40, batch_size=16, learning_rate=0.01)
BRIEF = {"cocktail": "l2=1e-3", "network": "16", "training": QUICK, "seeds": 1}
WEIGHTS = "batches count rows, and columns are standardized by counting rows: see test_weights_are_repeated_rows"
BOTH = pytest.mark.parametrize("kind", [wf.WellfitClassifier, wf.WellfitRegressor], ids=["classifier", "regressor"])


@parametrize_with_checks(
    [wf.WellfitClassifier(**BRIEF), wf.WellfitRegressor(**BRIEF)],
    expected_failed_checks=lambda estimator: {"check_sample_weight_equivalence_on_dense_data": WEIGHTS},
)
def test_scikit_learn_checks(estimator, check) -> None:
    check(estimator)


def patients(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers, text, truth values, dates, a pandas categorical and gaps; who died hangs on age and ward."""
    draw = generator(seed, DATA)
    made = pd.DataFrame({"age": draw.normal(50, 15, rows), "ward": draw.choice(["north", "south", "west"], rows)})
    made["smokes"] = draw.random(rows) < 0.4
    made["came"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), unit="D")
    made["code"] = pd.Categorical(draw.choice([10, 20, 30], rows))
    risk = (made.age - 50) / 15 + 1.5 * (made.ward == "north") + 0.5 * draw.normal(size=rows)
    made["died"] = np.where(risk > 0.5, "yes", "no")
    made.loc[draw.random(rows) < 0.1, "age"] = np.nan
    made.loc[draw.random(rows) < 0.1, "ward"] = None
    return made


def halves(rows: int = 120) -> tuple[pd.DataFrame, pd.Series]:
    made = patients(rows)
    return made.drop(columns="died"), made.died


# What X and y may be


def test_a_frame_with_categories_dates_and_gaps() -> None:
    X, y = halves(300)
    model = wf.WellfitClassifier(**BRIEF | {"cocktail": "l2=3e-2"}).fit(X.iloc[:200], y.iloc[:200])
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.feature_names_in_.tolist() == list(X.columns)
    kinds = dict.fromkeys(X.columns, "categorical") | {"age": "numeric", "smokes": "boolean", "came": "date"}
    assert model._features.kinds == kinds
    assert {"ward=north", "ward is missing", "age is missing", "code=10"} <= set(
        model.model_.preprocessor.feature_names
    )
    assert model.score(X.iloc[200:], y.iloc[200:]) > 0.8
    assert set(model.predict(X.iloc[200:])) <= {"no", "yes"}
    assert np.allclose(model.predict_proba(X).sum(1), 1)
    # The same model as from the table that `load` reads.
    fitted = model.model_
    assert np.array_equal(fitted.predict(X), model.predict(X))


def test_prediction_reads_unseen_levels_and_gaps_anywhere() -> None:
    X, y = halves()
    model = wf.WellfitClassifier(**BRIEF).fit(X, y)
    odd = X.iloc[:3].astype({"ward": object, "smokes": object, "code": object, "came": object, "age": object})
    odd.loc[:, ["ward", "code"]] = "unheard of"
    odd.loc[:, ["smokes", "came", "age"]] = None
    chances = model.predict_proba(odd)
    assert np.isfinite(chances).all()
    assert np.array_equal(chances[0], chances[1])


def test_columns_in_another_order_are_refused_and_bare_arrays_are_warned_of() -> None:
    X, y = halves()
    X = X[["age"]].assign(other=np.arange(len(X)))
    model = wf.WellfitClassifier(**BRIEF).fit(X, y)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[["other", "age"]])
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[["age"]])
    with pytest.warns(UserWarning, match="valid feature names"):
        assert np.array_equal(model.predict(X.to_numpy()), model.predict(X))
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match="expecting 2 features"),
    ):
        model.predict(X.to_numpy()[:, :1])


def test_arrays_of_numbers_of_objects_and_frames_give_the_same_model() -> None:
    draw = generator(1, DATA)
    X = draw.normal(size=(60, 3))
    X[draw.random(X.shape) < 0.1] = np.nan
    y = np.where(np.nan_to_num(X[:, 0]) > 0, 1, 0)
    words = np.where(np.isnan(X), None, X.astype(object))
    kinds = [X, words, pd.DataFrame(X), X.tolist(), np.asfortranarray(X), np.where(np.isnan(X), "", X.astype(str))]
    chances = [wf.WellfitClassifier(**BRIEF).fit(given, y).predict_proba(given) for given in kinds]
    assert all(np.array_equal(chances[0], other) for other in chances[1:])


def test_an_assumed_order_of_dates_is_told_and_kept() -> None:
    X, y = pd.DataFrame({"came": ["3/4/2020", "5/6/2020", "7/8/2020", "9/10/2020"] * 5}), [0, 0, 1, 1] * 5
    model = wf.WellfitClassifier(**BRIEF).fit(X, y)
    [finding] = model.findings_
    assert finding.columns == ("came",)
    assert np.array_equal(model.predict_proba(X.iloc[:4]), model.predict_proba(X)[:4])


def test_an_array_of_words_has_categories() -> None:
    X = np.array([["red", "1"], ["blue", "2"], ["red", "3"], ["blue", "4"]] * 10)
    y = X[:, 0] == "red"
    model = wf.WellfitClassifier(**BRIEF).fit(X, y)
    assert model._features.kinds == {"x1": "categorical", "x2": "numeric"}
    assert model.predict(X).dtype == bool
    assert model.score(X, y) == 1


def test_frames_of_other_libraries_are_read() -> None:
    X, y = halves()

    class Foreign:
        columns = X.columns

        def to_pandas(self) -> pd.DataFrame:
            return X

    model = wf.WellfitClassifier(**BRIEF).fit(Foreign(), y)
    assert np.array_equal(model.predict(Foreign()), wf.WellfitClassifier(**BRIEF).fit(X, y).predict(X))
    assert model.feature_names_in_.tolist() == list(X.columns)


def test_columns_without_values_names_or_a_name_of_their_own() -> None:
    X, y = halves()
    X = pd.DataFrame(X[["age", "age", "ward"]].to_numpy())
    X[3] = np.nan
    model = wf.WellfitClassifier(**BRIEF).fit(X, y)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 4
    X[3] = "a word where nothing was"
    model.predict(X)
    X.columns = ["age", "age ", "ward", "empty"]
    assert wf.WellfitClassifier(**BRIEF).fit(X, y)._features.names == ("age", "age_2", "ward", "empty")


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([1, 2], "i"), ([-1.0, 1.0], "f"), ([False, True], "b"), (["a", "b"], "OU"), (["b", "é"], "OU")],
)
def test_labels_come_back_as_they_were(labels, kind) -> None:
    X = np.arange(40.0)[:, None]
    y = np.array(labels)[(X[:, 0] > 20).astype(int)]
    for given in (y, pd.Series(y), y.tolist()):
        model = wf.WellfitClassifier(**BRIEF).fit(X, given)
        assert model.classes_.tolist() == labels
        assert model.predict(X).dtype.kind in kind
        assert model.predict(X)[[0, -1]].tolist() == labels


def test_a_target_as_a_column_is_warned_of() -> None:
    X = np.arange(40.0)[:, None]
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = wf.WellfitRegressor(**BRIEF).fit(pd.DataFrame(X), X)
    assert model.predict(pd.DataFrame(X)).shape == (40,)


# Refusals


@BOTH
def test_sparse_matrices_infinite_values_and_empty_tables_are_refused(kind) -> None:
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    with pytest.raises(TypeError, match="Sparse data was passed"):
        kind(**BRIEF).fit(csr_array(X), y)
    X[7, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        kind(**BRIEF).fit(X, y)
    with pytest.raises(DataError, match=r"X, row 8 .*, column b: the value inf is infinite"):
        kind(**BRIEF).fit(pd.DataFrame(X, columns=["a", "b"]), y)
    with pytest.raises(DataError, match="X has no values"):
        kind(**BRIEF).fit(np.full((20, 2), np.nan), y)
    for empty in (X[:0], pd.DataFrame(X[:0])):
        with pytest.raises(ValueError, match="0 sample"):
            kind(**BRIEF).fit(empty, y[:0])
    with pytest.raises(ValueError, match="1 sample"):
        kind(**BRIEF).fit(pd.DataFrame(X[:1]), y[:1])
    with pytest.raises(ValueError, match="0 feature"):
        kind(**BRIEF).fit(pd.DataFrame(index=range(20)), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kind(**BRIEF).fit(pd.DataFrame(X), y[:19])
    with pytest.raises(NotFittedError):
        kind(**BRIEF).predict(X)


def test_a_word_where_numbers_were_is_named() -> None:
    X, y = halves()
    model = wf.WellfitClassifier(**BRIEF).fit(X, y)
    bad = X.astype({"age": object})
    bad.loc[4, "age"] = "old"
    with pytest.raises(DataError, match=r"X, row 5 .*, column age: old is not a number"):
        model.predict(bad)


def test_labels_that_lack_or_are_one_are_refused() -> None:
    X, y = np.arange(20.0)[:, None], np.array(["a", "b"] * 10, dtype=object)
    model = wf.WellfitClassifier(**BRIEF)
    with pytest.raises(DataError, match="only one class, a, among the rows that count"):
        model.fit(X, y, sample_weight=y == "a")
    with pytest.raises(NotFittedError):
        model.predict(X)
    y[3] = None
    with pytest.raises(DataError, match=r"y has missing values \(1, the first in row 4"):
        wf.WellfitClassifier(**BRIEF).fit(X, y)
    with pytest.raises(ValueError, match="could not convert string"):
        wf.WellfitRegressor(**BRIEF).fit(X, np.array(["a", "b"] * 10))
    with pytest.raises(ValueError, match="y contains infinity"):
        wf.WellfitRegressor(**BRIEF).fit(X, ["1", "inf"] * 10)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"cocktail": "l3=1"}, "l3"),
        ({"cocktail": "dropout=2"}, "dropout"),
        ({"network": "tiny"}, "tiny"),
        ({"metric": "beauty"}, "beauty"),
        ({"seeds": 0}, "seeds"),
        ({"training": {"epochs": 3}}, "training is a recipe"),
        ({"path": "l3"}, "no path along l3"),
        ({"path": "l2", "cocktail": "l2=1"}, "l2"),
        ({"path": "l2", "cocktail": "auto", "folds": 1}, "folds"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"n_jobs": 1.5}, "n_jobs"),
        ({"random_state": -1}, "random_state"),
        ({"random_state": "lucky"}, "random_state"),
        ({"training": wf.Training(optimizer="gd", learning_rate=1e6, epochs=30)}, "1 of 1 networks .* diverged"),
    ],
)
def test_impossible_settings_are_refused_in_fit_only(setting, words) -> None:
    X, y = generator(0, DATA).normal(size=(40, 2)), np.arange(40) % 2
    model = clone(wf.WellfitClassifier(**BRIEF | setting))
    with pytest.raises(SettingError, match=words):
        model.fit(X, y)


# Weights and groups


def blocks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in fours (a, s), (a, t), (b, s), (b, t) with counts 3, 1, 1, 3 or 1, 3, 3, 1, and wild rows that count 0.

    Such counts change neither the spread of X nor that of y. Columns are standardized by counting rows, so only such
    weights can equal repeated rows exactly.
    """
    draw = generator(4, DATA)
    a, b = draw.uniform(-1, 1, (2, 12, 3))
    s, t = draw.uniform(-1, 0, 12), draw.uniform(0, 1, 12)
    X = np.stack([a, a, b, b], axis=1).reshape(-1, 3)
    y = np.stack([s, t, s, t], axis=1).reshape(-1)
    counts = np.array([[3, 1, 1, 3], [1, 3, 3, 1]])[draw.integers(0, 2, 12)].reshape(-1)
    order = draw.permutation(58)
    X, y = np.concatenate([X, draw.normal(0, 50, (10, 3))]), np.concatenate([y, draw.normal(0, 50, 10)])
    return X[order], y[order], np.concatenate([counts, np.zeros(10, dtype=int)])[order]


@BOTH
def test_weights_are_repeated_rows(kind) -> None:
    """In full batches without anything random, integer weights equal repeated rows, and weight 0 a row left out."""
    X, y, counts = blocks()
    y = y > 0 if kind is wf.WellfitClassifier else y
    training = wf.Training(batch_size=None, epochs=200, learning_rate=0.01, precision="float64")
    model = kind("l2=1e-2 + l1=1e-3", network="8:tanh", training=training, seeds=1)
    weighted = clone(model).fit(X, y, sample_weight=counts)
    repeated = clone(model).fit(X.repeat(counts, axis=0), y.repeat(counts))
    alike = clone(model).fit(X, y, sample_weight=counts > 0)
    predict = "predict_proba" if kind is wf.WellfitClassifier else "predict"
    answers = [getattr(m, predict)(X[counts > 0]) for m in (weighted, repeated, alike)]
    assert np.allclose(answers[0], answers[1], rtol=0, atol=1e-9)
    assert np.abs(answers[0] - answers[2]).max() > 0.05, "weights that change nothing test nothing"


@BOTH
def test_rows_without_weight_are_as_if_not_there(kind) -> None:
    """Also with batches, dropout and early stopping, whose draws do not see such rows."""
    draw = generator(5, DATA)
    X, y = draw.normal(size=(60, 3)), np.arange(60) % 2
    kept = draw.random(60) < 0.7
    X[~kept] *= 100
    model = kind(**BRIEF | {"cocktail": "dropout=0.2 + early_stopping=10"})
    zeros, without = clone(model).fit(X, y, sample_weight=kept), clone(model).fit(X[kept], y[kept])
    assert zeros.model_.rows + zeros.model_.stop_rows == kept.sum()
    assert np.array_equal(zeros.predict(X), without.predict(X))


@pytest.mark.parametrize("weights", [-np.ones(40), np.zeros(40), np.full(40, np.nan), np.ones(39), ["heavy"] * 40])
def test_impossible_weights_are_refused(weights) -> None:
    X, y = np.arange(40.0)[:, None], np.arange(40) % 2
    with pytest.raises(ValueError, match=r"[Ww]eight|convert"):
        wf.WellfitClassifier(**BRIEF).fit(X, y, sample_weight=weights)


def test_groups_stay_whole_where_rows_are_kept_to_stop_on() -> None:
    X, y = generator(2, DATA).normal(size=(80, 2)), np.arange(80) % 2
    groups = np.repeat(np.array([f"house {i}" for i in range(16)]), 5)
    model = wf.WellfitClassifier(**BRIEF | {"cocktail": "early_stopping=5"}).fit(X, y, groups=groups)
    assert model.model_.stop_rows
    assert model.model_.stop_rows % 5 == 0
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X, y, groups=groups[:79])
    with pytest.raises(DataError, match=r"groups has missing values \(1, the first in row 3"):
        model.fit(X, y, groups=pd.Series(groups).mask(np.arange(80) == 2))


# Repeatability


def test_random_state_decides_all_and_the_global_one_is_left_alone() -> None:
    X, y = halves()
    before = np.random.get_state()  # noqa: NPY002 (the global state is what is tested)
    chances = {
        seed: wf.WellfitClassifier(**BRIEF, random_state=seed).fit(X, y).predict_proba(X) for seed in (None, 0, 1)
    }
    after = np.random.get_state()  # noqa: NPY002 (likewise)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.array_equal(chances[None], chances[0])
    assert not np.array_equal(chances[0], chances[1])
    draws = np.random.RandomState(3)
    model = wf.WellfitClassifier(**BRIEF, random_state=draws)
    first, second = (model.fit(X, y).predict_proba(X) for _ in range(2))
    assert not np.array_equal(first, second), "an instance is advanced"
    again = wf.WellfitClassifier(**BRIEF, random_state=np.random.RandomState(3))
    assert np.array_equal(first, again.fit(X, y).predict_proba(X))


def test_threads_change_nothing() -> None:
    X, y = halves()
    one, two = (wf.WellfitClassifier(**BRIEF | {"seeds": 4}, n_jobs=jobs).fit(X, y).predict_proba(X) for jobs in (1, 2))
    assert np.array_equal(one, two)


def test_how_many_threads() -> None:
    cores = usable_cores()
    assert [_threads(n) for n in (None, 1, 3, -1)] == [cores, 1, 3, cores]
    assert _threads(-2) == max(1, cores - 1)
    inside = joblib.Parallel(2, backend="threading")(joblib.delayed(_threads)(n) for n in (None, 3))
    assert inside == [1, 3]


def test_members_are_averaged() -> None:
    X, y = halves()
    model = wf.WellfitClassifier(**BRIEF | {"seeds": 3}).fit(X, y)
    alone = [wf.WellfitClassifier(**BRIEF | {"seeds": [seed]}).fit(X, y).predict_proba(X) for seed in range(3)]
    assert np.allclose(model.predict_proba(X), np.mean(alone, axis=0), rtol=0, atol=1e-15)
    assert [m.seed for m in model.model_.parts] == [0, 1, 2]
    assert len(model.history_) == 3
    assert len(wf.WellfitClassifier(**BRIEF | {"seeds": None}).fit(X, y).model_.parts) == 3


def test_pickles_hold_values_only() -> None:
    X, y = halves()
    for model in (wf.WellfitClassifier(**BRIEF), wf.WellfitClassifier(**BRIEF | {"path": "dropout", "folds": 2})):
        model.set_params(cocktail="none").fit(X, y)
        content = pickle.dumps(model)
        assert b"Engine" not in content
        assert b"Table" not in content
        back = pickle.loads(content)
        assert np.array_equal(back.predict_proba(X), model.predict_proba(X))
        assert back.cocktail_ == model.cocktail_
