"""What all parts of `linear.py` share: its tables, and how the time of all sides is taken."""

from __future__ import annotations

import os
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from selection import Spent, Watch
from threadpoolctl import threadpool_limits

import wellfit as wf
from wellfit.data import load, prepare
from wellfit.records import Fold


@dataclass(frozen=True, eq=False)
class Data:
    """A table as one matrix: x (n, d) standardized, y (n,) standardized or 0 and 1."""

    name: str
    x: np.ndarray
    y: np.ndarray

    @property
    def shape(self) -> str:
        return f"{self.x.shape[0]} x {self.x.shape[1]}"


def read(name: str) -> Data:
    """Return a table of WELLFIT_DATA, or a built-in one. Exits where it is not there."""
    made = name == "alon-made"
    base = Path(os.environ.get("WELLFIT_DATA") or ".") / "tabular" / f"{'alon-colon' if made else name}.csv.gz"
    if name != "diabetes" and not base.is_file():
        sys.exit(f"{base} is not there: WELLFIT_DATA must name the folder of the tables")
    table = load(name if name == "diabetes" else base)
    rows = np.arange(table.rows)
    [fold] = prepare(table, [Fold(rows, rows[:0], rows[:0])], bent=False).folds
    # Categories are 0 and 1 in a design matrix; here all columns are to be alike.
    x, y = (fold.x - fold.x.mean(axis=0)) / fold.x.std(axis=0), fold.y[:, 0]
    if made:
        y = x[:, ::400].sum(axis=1)
        y = y + y.std() * np.random.RandomState(0).randn(len(y))
        y = (y - y.mean()) / y.std()
    return Data(name, x, y)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold the BLAS to one thread, and let nobody warn of what is measured: that it has not converged."""
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield


def timed(work: Callable[[], Any]) -> tuple[Spent, Any]:
    watch = Watch(1)
    with quiet():
        found = work()
    return watch.read(), found


def sides(turns: list[dict[str, Spent]], asked: float, ours: str = "wellfit") -> dict:
    """Return the medians of everyone's seconds and of the ratios to ours."""
    names = list(turns[0])

    def median(of: Callable[[dict[str, Spent], int], float]) -> Spent:
        return Spent(*(statistics.median(of(turn, at) for turn in turns) for at in (0, 1)))

    return {
        "asked": asked,
        "seconds": {n: median(lambda turn, at, n=n: turn[n][at]) for n in names},
        "ratios": {n: median(lambda turn, at, n=n: turn[n][at] / turn[ours][at]) for n in names if n != ours},
    }


def ingredient(penalty: str) -> Any:
    return {"l1": wf.L1, "l2": wf.L2, "elastic_net": wf.ElasticNet(1, l1_ratio=0.5)}[penalty]
