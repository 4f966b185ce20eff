"""What `benchmarks/accuracy.py` measures: the tables, their splits, and each method as a function that fits.

A method is a function of ``(job, rows)`` that fits on the training rows and returns what predicts: from a table of
columns to ``p`` (rows, classes), or (rows,) for regression. Its libraries are imported inside it, so that whoever lacks
one can measure the others. All methods get the same rows; a split is a split of rows, drawn once per table and seed.

Text columns are categories, empty columns are left out, classes are counted from 0.

- ``mlp``, ``mlp-tuned``: scikit-learn's; medians for what is missing, standard scores, one column per category. The
  target of a regression is scaled too, which their defaults need; tuned means the best ``alpha`` of eight, by 5 folds.
- ``realmlp``, ``tabm``: pytabkit's, at their defaults for one net (a fifth of the training rows is their validation
  set). Categories as they are, medians for missing numbers, which they refuse.
- ``hgb``, ``lightgbm``, ``catboost``: boosted trees at their defaults; categories and missing cells as they are.
- ``wellfit``: the table as it is.
"""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

# By training work, smallest first.
DATA = (
    "alon-colon",
    "sonar",
    "ionosphere",
    "eucalyptus",
    "pima-diabetes",
    "vehicle",
    "anneal",
    "credit-g",
    "segment",
    "spambase",
    "phoneme",
    "wine-quality",
    "telco-churn",
    "bike-hourly",
    "california",
    "adult",
)
SMALL = DATA[:8]
_REGRESSION = ("bike-hourly", "california", "wine-quality")
_TEST_SHARE = 0.25
_LEAST_PROBABILITY = 1e-7  # single precision says 0 below: no method pays more than 16 for one row
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

Predict = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Job:
    """One measurement: a method on one split of a table. ``most``: rows used, None for all; ``budget``: wellfit's."""

    data: str
    split: int
    method: str
    threads: int
    most: int | None = None
    budget: str | None = None


class Rows(NamedTuple):
    """Columns and target of some rows; ``classes`` is 0 for regression."""

    x: pd.DataFrame
    y: np.ndarray
    classes: int


class Method(NamedTuple):
    """``package`` is the one that must be installed; ``ranked`` methods are compared in the first line."""

    package: str
    ranked: bool
    fit: Callable[[Job, Rows], Predict]


def folder() -> Path:
    """Return the folder of tables."""
    if "WELLFIT_DATA" not in os.environ:
        raise SystemExit("Set WELLFIT_DATA to the folder that holds tabular/*.csv.gz.")
    return Path(os.environ["WELLFIT_DATA"]) / "tabular"


def read(name: str, most: int | None = None) -> Rows:
    """Return a table, or ``most`` of its rows, the same at every call."""
    from sklearn.model_selection import train_test_split

    frame = pd.read_csv(folder() / f"{name}.csv.gz", low_memory=False)
    target = frame.pop("target")
    frame = frame.dropna(axis=1, how="all")
    texts = [column for column in frame if not pd.api.types.is_numeric_dtype(frame[column])]
    frame = frame.astype(dict.fromkeys(texts, "category"))
    if name in _REGRESSION:
        y, classes = target.to_numpy(np.float64), 0
    else:
        levels, y = np.unique(target.astype(str).to_numpy(str), return_inverse=True)
        classes = len(levels)
    if most is not None and most < len(frame):
        frame, _, y, _ = train_test_split(frame, y, train_size=most, random_state=0, stratify=y if classes else None)
    return Rows(frame.reset_index(drop=True), y, classes)


def split(table: Rows, seed: int) -> tuple[Rows, Rows]:
    """Return the training rows and the rows held out."""
    from sklearn.model_selection import train_test_split

    by = table.y if table.classes else None
    parts = train_test_split(table.x, table.y, test_size=_TEST_SHARE, random_state=seed, stratify=by)
    x, x_test, y, y_test = parts
    return Rows(x.reset_index(drop=True), y, table.classes), Rows(x_test.reset_index(drop=True), y_test, table.classes)


def scores(got: np.ndarray, test: Rows, deviation: float) -> tuple[float, float]:
    """Return error and log-loss of probabilities (m, classes), or twice the RMSE over the target's ``deviation``."""
    if not test.classes:
        rmse = float(np.sqrt(np.mean((np.asarray(got, float).reshape(-1) - test.y) ** 2))) / deviation
        return rmse, rmse
    p = np.asarray(got, float)
    if p.shape != (len(test.y), test.classes):
        raise ValueError(f"Probabilities have the shape {p.shape}, not {(len(test.y), test.classes)}.")
    error = float(np.mean(p.argmax(axis=1) != test.y))
    p = np.clip(p, _LEAST_PROBABILITY, None)
    p /= p.sum(axis=1, keepdims=True)
    return error, float(-np.mean(np.log(p[np.arange(len(p)), test.y])))


def _numbers(x: pd.DataFrame) -> list[str]:
    return [column for column in x if not isinstance(x[column].dtype, pd.CategoricalDtype)]


def _categories(x: pd.DataFrame) -> list[str]:
    return [column for column in x if isinstance(x[column].dtype, pd.CategoricalDtype)]


def _predictor(model: Any, rows: Rows, prepare: Predict | None = None) -> Predict:
    """Return what gives probabilities or values; ``prepare`` is applied to the columns first."""
    ask = model.predict_proba if rows.classes else model.predict
    return ask if prepare is None else lambda x: ask(prepare(x))


def _wellfit(job: Job, rows: Rows) -> Predict:
    import wellfit

    kind = wellfit.WellfitClassifier if rows.classes else wellfit.WellfitRegressor
    budget = {} if job.budget is None else {"budget": job.budget}
    model = kind(random_state=job.split, n_jobs=job.threads, **budget)
    return _predictor(model.fit(rows.x, rows.y), rows)


def _scikit_pipeline(job: Job, rows: Rows) -> tuple[Any, str]:
    """Return preparation and net in one, and the name of its parameter ``alpha``."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    prepare = make_column_transformer(
        (make_pipeline(fill, StandardScaler()), _numbers(rows.x)),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), _categories(rows.x)),
    )
    if rows.classes:
        return Pipeline([("prepare", prepare), ("net", MLPClassifier(random_state=job.split))]), "net__alpha"
    net = TransformedTargetRegressor(MLPRegressor(random_state=job.split), transformer=StandardScaler())
    return Pipeline([("prepare", prepare), ("net", net)]), "net__regressor__alpha"


def _mlp(job: Job, rows: Rows) -> Predict:
    model, _ = _scikit_pipeline(job, rows)
    return _predictor(model.fit(rows.x, rows.y), rows)


def _mlp_tuned(job: Job, rows: Rows) -> Predict:
    from sklearn.model_selection import GridSearchCV

    model, alpha = _scikit_pipeline(job, rows)
    search = GridSearchCV(model, {alpha: 10.0 ** -np.arange(-1, 7)}, cv=5, n_jobs=job.threads)
    return _predictor(search.fit(rows.x, rows.y), rows)


def _pytabkit(kinds: tuple[str, str], job: Job, rows: Rows) -> Predict:
    import pytabkit

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    numbers = _numbers(rows.x)
    medians = rows.x[numbers].median().fillna(0.0)

    def prepare(x: pd.DataFrame) -> pd.DataFrame:
        return x.assign(**x[numbers].astype(float).fillna(medians))

    kind = getattr(pytabkit, kinds[0] if rows.classes else kinds[1])
    model = kind(device="cpu", random_state=job.split, n_threads=job.threads)
    model.fit(prepare(rows.x), rows.y, cat_col_names=_categories(rows.x))
    return _predictor(model, rows, prepare)


def _realmlp(job: Job, rows: Rows) -> Predict:
    return _pytabkit(("RealMLP_TD_Classifier", "RealMLP_TD_Regressor"), job, rows)


def _tabm(job: Job, rows: Rows) -> Predict:
    return _pytabkit(("TabM_D_Classifier", "TabM_D_Regressor"), job, rows)


def _hgb(job: Job, rows: Rows) -> Predict:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if rows.classes else HistGradientBoostingRegressor
    model = kind(categorical_features="from_dtype", random_state=job.split)
    return _predictor(model.fit(rows.x, rows.y), rows)


def _lightgbm(job: Job, rows: Rows) -> Predict:
    from lightgbm import LGBMClassifier, LGBMRegressor

    def prepare(x: pd.DataFrame) -> pd.DataFrame:
        return x.set_axis([f"x{at}" for at in range(x.shape[1])], axis=1)  # it refuses some signs in names

    kind = LGBMClassifier if rows.classes else LGBMRegressor
    model = kind(n_jobs=job.threads, random_state=job.split, verbosity=-1)
    return _predictor(model.fit(prepare(rows.x), rows.y), rows, prepare)


def _catboost(job: Job, rows: Rows) -> Predict:
    from catboost import CatBoostClassifier, CatBoostRegressor

    names = _categories(rows.x)

    def prepare(x: pd.DataFrame) -> pd.DataFrame:
        return x.assign(**{name: x[name].astype(object).fillna("missing").astype(str) for name in names})

    kind = CatBoostClassifier if rows.classes else CatBoostRegressor
    model = kind(
        cat_features=names,
        thread_count=job.threads,
        random_seed=job.split,
        verbose=False,
        allow_writing_files=False,
    )
    return _predictor(model.fit(prepare(rows.x), rows.y), rows, prepare)


METHODS = {
    "wellfit": Method("wellfit", True, _wellfit),
    "mlp": Method("sklearn", True, _mlp),
    "mlp-tuned": Method("sklearn", True, _mlp_tuned),
    "realmlp": Method("pytabkit", True, _realmlp),
    "tabm": Method("pytabkit", True, _tabm),
    "hgb": Method("sklearn", False, _hgb),
    "lightgbm": Method("lightgbm", False, _lightgbm),
    "catboost": Method("catboost", False, _catboost),
}


def _processor_seconds() -> float:
    """Seconds of all cores, of this process and of those it started and ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _warm_up(job: Job, classes: int) -> None:
    """Fit on next to nothing: imports and compiled code are not what is timed."""
    draw = np.random.default_rng(0)
    x = pd.DataFrame(draw.normal(size=(80, 3)), columns=["a", "b", "c"])
    y = np.arange(80) % classes if classes else x["a"].to_numpy() + 0.1 * draw.normal(size=80)
    tiny = Job("", 0, job.method, job.threads, budget="2s")
    METHODS[job.method].fit(tiny, Rows(x, y, classes))(x)


def _measure(job: Job, warm: set[tuple[str, int]]) -> dict[str, Any]:
    """Return what a fit took and what it was worth."""
    table = read(job.data, job.most)
    train, test = split(table, job.split)
    kind = (job.method, min(table.classes, 3))
    if kind not in warm:
        with contextlib.suppress(Exception):  # what is wrong shows below
            _warm_up(job, kind[1])
        warm.add(kind)
    began, used = time.perf_counter(), _processor_seconds()
    predict = METHODS[job.method].fit(job, train)
    seconds, processor = time.perf_counter() - began, _processor_seconds() - used
    began = time.perf_counter()
    got = predict(test.x)
    error, log_loss = scores(got, test, float(np.std(table.y)))
    return {
        "error": error,
        "log_loss": log_loss,
        "seconds": seconds,
        "processor_seconds": processor,
        "predict_seconds": time.perf_counter() - began,
        "train_rows": len(train.y),
        "test_rows": len(test.y),
        "columns": table.x.shape[1],
        "classes": table.classes,
    }


def _serve(connection: Connection) -> None:
    warm: set[tuple[str, int]] = set()
    warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            job: Job = connection.recv()
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    result = _measure(job, warm)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".partition("\n")[0]
                result = {"failed": reason, "trace": traceback.format_exc(limit=-3)}
            connection.send(result)


class Workers:
    """One process per package, so that none disturbs another's threads, held to a number of threads each."""

    def __init__(self, threads: int) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.open: dict[str, tuple[Any, Connection]] = {}
        for name in _LIMITS:
            os.environ[name] = str(threads)  # read when the libraries are loaded, in the processes to come

    def measure(self, job: Job) -> dict[str, Any]:
        """Return the figures of one job, or ``failed`` and why."""
        package = METHODS[job.method].package
        if package not in self.open:
            ours, theirs = self.context.Pipe()
            process = self.context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self.open[package] = (process, ours)
        process, connection = self.open[package]
        try:
            connection.send(job)
            return connection.recv()
        except (EOFError, OSError):
            process.join()
            del self.open[package]
            return {"failed": f"its process ended with the code {process.exitcode}", "trace": ""}

    def close(self) -> None:
        """End the processes."""
        for process, connection in self.open.values():
            connection.close()
            process.join(5)
            if process.is_alive():
                process.terminate()
        self.open = {}
