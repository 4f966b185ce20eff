"""Tables made by hand from pandas, for tests of the data room that need no file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from wellfit.records import Array, Kind, Table, Task


def column(values: pd.Series) -> tuple[Array, Kind]:
    """A pandas column as a Table holds it: floats with NaN, or str and None."""
    if pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.float64), "boolean"
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float64), "numeric"
    return np.array([None if pd.isna(v) else str(v) for v in values], dtype=object), "categorical"


def table(frame: pd.DataFrame, target: str = "target", task: Task | None = None, **more: object) -> Table:
    """A Table from a DataFrame; a target of words or of up to ten whole numbers is a class.

    ``task`` "binary" means classes (more than two are multiclass), "multiclass" keeps two as multiclass.
    """
    made = {str(name): column(frame[name]) for name in frame.columns if name != target}
    y, classes = frame[target], ()
    words = not pd.api.types.is_numeric_dtype(y)
    if task != "regression" and (task or words or (y.nunique() <= 10 and (y == y.round()).all())):
        names, codes = np.unique(y.astype(str), return_inverse=True)
        classes, values = tuple(map(str, names)), codes.astype(np.int64)
        task = "binary" if len(names) == 2 and task != "multiclass" else "multiclass"
    else:
        values, task = y.to_numpy(dtype=np.float64), "regression"
    return Table(
        name="made",
        columns={name: c for name, (c, _) in made.items()},
        kinds={name: k for name, (_, k) in made.items()},
        target=values,
        target_name=target,
        task=task,
        classes=classes,
        **more,  # type: ignore[arg-type]
    )


REGRESSION = ("bike-hourly", "california", "wine-quality")
TABULAR = (
    "adult",
    "alon-colon",
    "anneal",
    "bike-hourly",
    "california",
    "credit-g",
    "eucalyptus",
    "ionosphere",
    "phoneme",
    "pima-diabetes",
    "segment",
    "sonar",
    "spambase",
    "telco-churn",
    "vehicle",
    "wine-quality",
)


def real(folder: Path, name: str) -> Table:
    """One of the real data sets under ``tabular`` of the data folder."""
    with gzip.open(folder / "tabular" / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
        frame = pd.read_csv(file, low_memory=False)
    return table(frame, task="regression" if name in REGRESSION else "binary")


def built_in(name: str) -> Table:
    """One of scikit-learn's own data sets: iris, wine, breast_cancer, digits, diabetes."""
    import sklearn.datasets

    frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
    return table(frame, task="regression" if name == "diabetes" else "binary")


def made_table(task: Task = "binary", rows: int = 100, columns: int = 4, noise: float = 0.7, seed: int = 0) -> Table:
    """A table whose first column says most of the target, drawn from a seed; the other columns say nothing."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, columns))
    value = x[:, 0] + noise * draw.normal(size=rows)
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    cuts = np.quantile(value, np.arange(1, classes) / max(classes, 1))
    target = np.digitize(value, cuts).astype(np.int64) if classes else 100 + 20 * value
    names = [f"c{j}" for j in range(columns)]
    kinds: dict[str, Kind] = dict.fromkeys(names, "numeric")
    return Table("made", dict(zip(names, x.T.copy(), strict=True)), kinds, target, "y", task, tuple("abc"[:classes]))
