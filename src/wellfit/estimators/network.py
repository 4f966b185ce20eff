"""`WellfitClassifier` and `WellfitRegressor`: the scikit-learn contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, check_consistent_length, check_random_state, check_X_y, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from wellfit.cocktail import Cocktail, Ingredient
from wellfit.data.frames import is_frame
from wellfit.errors import DataError, SettingError
from wellfit.estimators.choosing import Settings, choose
from wellfit.estimators.features import Features, as_frame
from wellfit.evidence.metrics import Metric
from wellfit.executors.threads import usable_cores
from wellfit.nets import NetworkLike, Training
from wellfit.records import Array, Table, Task
from wellfit.select.source import check_keywords

P = ParamSpec("P")


def _naming_its_class(init: Callable[P, None]) -> Callable[P, None]:
    """Let ``__init__`` refuse keywords that it does not have in the name of the class that is asked for."""
    known = inspect.signature(init).parameters

    @wraps(init)
    def checked(*given: P.args, **options: P.kwargs) -> None:
        check_keywords(f"{type(given[0]).__name__}()", options, known)
        init(*given, **options)

    return checked


class _Network(BaseEstimator):
    """What both estimators share: all but the target."""

    @_naming_its_class
    def __init__(
        self,
        cocktail: str | Cocktail | Ingredient | None = "auto",
        *,
        path: str | Ingredient | type[Ingredient] | None = None,
        budget: str | int = "60s",
        network: NetworkLike | None = None,
        training: Training | None = None,
        metric: str | Metric | None = None,
        folds: int = 5,
        seeds: int | Sequence[int] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.cocktail = cocktail
        self.path = path
        self.budget = budget
        self.network = network
        self.training = training
        self.metric = metric
        self.folds = folds
        self.seeds = seeds
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose the cocktail and fit.

        ``X`` is a DataFrame or an array (n, d), ``y`` is (n,). ``sample_weight`` (n,) says how much each row counts in
        training and in losses; rows of weight 0 are left out. Rows of the same ``groups`` (n,) stay on one side
        of every split made here: folds, and early stopping's rows. Raises ``ValueError`` for data and settings that
        cannot be used, ``TypeError`` for sparse matrices.
        """
        X = as_frame(X)
        X, target = self._validated(X, y)
        features, columns = Features.learn(X)
        weights = None if sample_weight is None else _weights(sample_weight, X)
        rows = np.arange(len(target)) if weights is None else np.flatnonzero(weights)
        task, codes, classes = self._target(target, rows)
        table = Table(
            name="X",
            columns=columns,
            kinds=features.kinds,
            target=codes,
            target_name="y",
            task=task,
            classes=classes,
            groups=None if groups is None else _codes_of_groups(groups, X),
            weights=weights,
            findings=features.findings,
        )
        chosen = choose(table, rows, self._settings())
        self._features, self.findings_ = features, (*features.findings, *chosen.findings)
        self.cocktail_, self.model_, self.history_ = chosen.cocktail, chosen.model, chosen.histories
        self.path_, self.search_ = chosen.path, chosen.search
        return self

    def _validated(self, X: Any, y: Any) -> tuple[Any, Array]:
        """Return X as a DataFrame or an array (n, d), and y (n,); remember names and number of the columns.

        A DataFrame stays what it is; an empty array in its place gets scikit-learn's checks of shapes and of y.
        """
        checks = {"dtype": None, "ensure_all_finite": "allow-nan", "ensure_min_samples": 2, "estimator": self}
        if not is_frame(X):
            return validate_data(self, X, y, **{k: v for k, v in checks.items() if k != "estimator"})
        validate_data(self, X, y, skip_check_array=True)
        _, target = check_X_y(np.broadcast_to(np.False_, X.shape), y, **checks)
        return X, target

    def _target(self, y: Array, rows: Array) -> tuple[Task, Array, tuple[str, ...]]:
        """Return the task, the target (n,) and the classes as `Table` holds them; ``rows`` are those that count."""
        raise NotImplementedError

    def _settings(self) -> Settings:
        return Settings(
            cocktail=self.cocktail,
            path=self.path,
            budget=self.budget,
            network=self.network,
            training=self.training,
            metric=self.metric,
            folds=self.folds,
            seeds=self.seeds,
            seed=_seed(self.random_state),
            threads=_threads(self.n_jobs),
        )

    def _outputs(self, X: Any) -> Array:
        """Return what `Fitted.outputs_of` returns, (n, k). Raises ``NotFittedError`` before `fit`."""
        check_is_fitted(self, "model_")
        X = as_frame(X)
        if is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            X = validate_data(self, X, reset=False, dtype=None, ensure_all_finite="allow-nan")
        return self.model_.outputs_of(self._features.read(X))

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: categories, text and missing values are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = tags.input_tags.string = tags.input_tags.allow_nan = True
        return tags


class WellfitClassifier(ClassifierMixin, _Network):
    """A classifier that regularizes itself: networks with a cocktail that is searched, given or chosen along a path.

    ``cocktail`` is "auto", a search within ``budget`` ("60s", or a count of member-steps), or a cocktail or its text
    ("l2=1e-3 + dropout=0.2", "none"), which is trained as it is. With ``path``, an ingredient ("l2", ``wf.L2``), its
    strength is turned up from none over ``folds`` folds, and the strongest within one standard error of the best
    is taken (the rule of LassoCV's kin, for networks); ``cocktail`` is then what it is added to.

    ``network`` and ``training`` default to those of `wellfit.compare`, ``metric`` to the task's. ``seeds`` networks
    (3 where None) are trained at the end and their probabilities averaged. All that is random is a function of
    ``random_state``, where None means 0; an instance of ``RandomState`` is drawn from. ``n_jobs`` is the number of
    threads; None means all cores, or one inside a worker of joblib. It changes no result.

    X is a DataFrame or an array with numbers, dates, text and missing values: text and pandas categoricals become
    categories, a level not seen in `fit` is no error.

    After `fit`: ``cocktail_``; ``model_``, the `Fitted` network or the ensemble of them, which can be saved;
    ``history_``, the `History` of each network that was trained on all rows (empty after a search, whose ensemble is
    made of fold networks); ``path_``, the `Path`, and ``search_``, the record of the search, None where there was none;
    ``findings_``, what was assumed in reading X, and where a linear model has no solution; ``classes_``,
    ``n_features_in_``, ``feature_names_in_``.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> model = WellfitClassifier("l2=1e-3", network="8", training=Training(epochs=60, batch_size=16), seeds=1)
    >>> model.fit(X, y).predict(X.iloc[[0, 149]])
    array([0, 2])
    >>> str(model.cocktail_), model.history_[0].status
    ('l2=0.001', 'finished')
    """

    def _target(self, y: Array, rows: Array) -> tuple[Task, Array, tuple[str, ...]]:
        missing = _missing(y)
        if missing.any():
            raise DataError("estimators.missing_labels", count=int(missing.sum()), row=int(np.argmax(missing)) + 1)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        present = np.unique(codes[rows])
        if len(present) == 1:
            raise DataError("estimators.one_class", value=self.classes_[present[0]])
        task: Task = "binary" if len(self.classes_) == 2 else "multiclass"
        return task, codes.astype(np.int64), tuple(str(label) for label in self.classes_.tolist())

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, (n, classes), in the order of ``classes_``."""
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each row, (n,), as y had it."""
        chances = self.predict_proba(X)  # this asks whether there was a fit
        return self.classes_[np.argmax(chances, axis=1)]


class WellfitRegressor(RegressorMixin, _Network):
    """A regressor that regularizes itself: all as in `WellfitClassifier`, with values in place of classes.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = WellfitRegressor("l2=1e-2", network="8", training=Training(epochs=60), seeds=1).fit(X, y)
    >>> model.predict(X).shape, bool(model.score(X, y) > 0.4)
    ((442,), True)
    """

    def _validated(self, X: Any, y: Any) -> tuple[Any, Array]:
        X, y = super()._validated(X, y)
        y = y.astype(np.float64)
        assert_all_finite(y, input_name="y")  # text may have been read as numbers just now
        return X, y

    def _target(self, y: Array, rows: Array) -> tuple[Task, Array, tuple[str, ...]]:  # noqa: ARG002 (all rows are alike)
        return "regression", y, ()

    def predict(self, X: Any) -> Array:
        """Return the value of each row, (n,), in the unit of y."""
        return self._outputs(X)[:, 0]


def _weights(sample_weight: Any, X: Any) -> Array:
    """Return how much each row counts, (n,). Raises ``ValueError`` for what is no weight, and where all are 0."""
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def _codes_of_groups(groups: Any, X: Any) -> Array:
    """Return the group of each row as a number, (n,)."""
    given = column_or_1d(groups)
    check_consistent_length(X, given)
    missing = _missing(given)
    if missing.any():
        raise DataError("estimators.missing_groups", count=int(missing.sum()), row=int(np.argmax(missing)) + 1)
    return np.unique(given, return_inverse=True)[1].astype(np.int64)


def _missing(values: Array) -> Array:
    import pandas as pd

    return np.asarray(pd.isna(values))


def _seed(random_state: Any) -> int:
    """Return a number for what scikit-learn takes as a random state. Raises `SettingError` for anything else."""
    if random_state is None:
        return 0
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    if not isinstance(random_state, np.random.RandomState) and random_state is not np.random:
        raise SettingError("estimators.bad_random_state", value=random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _threads(n_jobs: Any) -> int:
    """Return the number of threads. Raises `SettingError` for what is none."""
    from joblib.parallel import get_active_backend  # type: ignore[import-untyped]  # has no types

    cores = usable_cores()
    if n_jobs is None:
        backend, _ = get_active_backend()
        return 1 if backend.nesting_level else cores
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int | np.integer) or n_jobs == 0:
        raise SettingError("estimators.bad_jobs", value=n_jobs)
    return int(n_jobs) if n_jobs > 0 else max(1, cores + 1 + int(n_jobs))
