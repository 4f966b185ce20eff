"""Linear paths beside scikit-learn's, side by side in one run: time, objective reached, coefficients.

    WELLFIT_DATA=FOLDER python benchmarks/linear.py [--only regression|logistic|check] [--rounds 3] [--jobs 1 2]
        [--data NAME ...] [--json]

All get the same matrix, standardized columns, and in regression a standardized target. Everyone takes a turn in every
round; figures are medians over the rounds, ratios medians of each round's ratio (above 1: wellfit is faster), each by
the clock and by the processor's own time of all processes. The BLAS is held to one thread for all; ``jobs`` are
wellfit's threads and scikit-learn's ``n_jobs``. All have made a first run before.

- **regression**: Lasso and elastic net (``l1_ratio`` 0.5), 100 points, 10 folds. wellfit is `wellfit.path`, from the
  raw columns to its answer: scaling inside each fold, curves, intervals, the solutions on all rows. scikit-learn is a
  pipeline of ``StandardScaler`` and ``LassoCV`` or ``ElasticNetCV``, once as it is (100 strengths over 3 decades, where
  wellfit's reach over 4) and once at wellfit's own strengths. "alon-made" are the 62 x 2000 of alon-colon with a made
  target: the sum of five columns and noise of the same size.
- **logistic**: 30 strengths over two decades below the largest of use (L1), or from 0.001 to 10 (L2), 5 folds,
  wellfit's folds for both. wellfit solves the unpenalized problem besides. ``LogisticRegressionCV`` is timed as it is
  (``tol`` 1e-4, for saga at most 100 epochs) and with what it takes to be within 1e-6 of the objective's minimum, all
  strengths of the first fold: a smaller ``tol``, more iterations, and for liblinear, which penalizes the intercept, a
  larger ``intercept_scaling``. A solver that would take longer than ``--patience`` is left where it is.
- **check**: coefficients against scikit-learn's converged ones, largest difference over strengths, and how far our
  solution is from satisfying its own optimality conditions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from linear_check import check
from linear_logistic import Logistic, logistic
from linear_tables import Data, ingredient, quiet, read, sides, timed
from selection import _rounded

import wellfit as wf
from wellfit.executors import Threads

REGRESSIONS = ("diabetes", "wine-quality", "california", "alon-made")
LOGISTICS = (("alon-colon", "l1"), ("alon-colon", "l2"), ("spambase", "l1"))
POINTS, FOLDS = 100, 10
ASKED = 1.0
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def regression(data: Data, penalty: str, jobs: int, rounds: int, say: Callable[[str], None]) -> dict:
    """Return the figures of one path of least squares."""
    from sklearn.linear_model import ElasticNetCV, LassoCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def ours() -> wf.Path:
        return wf.path(
            (data.x, data.y), ingredient(penalty), network="linear", points=POINTS, folds=FOLDS, executor=Threads(jobs)
        )

    def theirs(alphas: int | np.ndarray, **options: Any) -> Any:
        kind = LassoCV if penalty == "l1" else ElasticNetCV
        return make_pipeline(StandardScaler(), kind(alphas=alphas, cv=FOLDS, n_jobs=jobs, **options)).fit(
            data.x, data.y
        )

    with quiet():
        found = ours()
        # sklearn's alpha is s/2 both for l1 = s and for the elastic net of strength s: see docs/dialects.md
        same = found.strengths[1:] / 2
        theirs(POINTS)
    peer = "LassoCV" if penalty == "l1" else "ElasticNetCV"
    turns = []
    for turn in range(rounds):
        turns.append({"wellfit": timed(ours)[0], peer: timed(lambda: theirs(POINTS))[0]})
        turns[-1][f"{peer}, same strengths"] = timed(lambda: theirs(same))[0]
        say(f"{data.name} {penalty} jobs {jobs} round {turn + 1}: {json.dumps(_rounded(turns[-1]))}")
    return {"data": data.name, "shape": data.shape, "penalty": penalty, "jobs": jobs, **sides(turns, ASKED)}


def main() -> None:
    """Measure and print."""
    given = _parser().parse_args()
    os.environ.update(dict.fromkeys(_LIMITS, "1"))  # for the processes of scikit-learn
    began = time.perf_counter()

    def say(text: str) -> None:
        load_ = os.getloadavg()[0]
        print(f"[{time.perf_counter() - began:4.0f} s, load {load_:.1f}] {text}", file=sys.stderr, flush=True)

    entries: list[dict] = []
    parts = ("check", "regression", "logistic") if given.only is None else (given.only,)
    if "check" in parts:
        checks = [(n, p, "regression") for n in REGRESSIONS for p in ("l1", "l2", "elastic_net")]
        checks += [(n, p, "binary") for n, p in LOGISTICS]
        for name, penalty, task in checks:
            if name in given.data:
                entries.append(check(name, penalty, task))
                say(json.dumps(_rounded(entries[-1])))
    if "regression" in parts:
        for data in map(read, [n for n in REGRESSIONS if n in given.data]):
            for penalty in ("l1", "elastic_net"):
                entries += [regression(data, penalty, jobs, given.rounds, say) for jobs in given.jobs]
    if "logistic" in parts:
        for name, penalty in LOGISTICS:
            if name in given.data:
                question = Logistic.of(read(name), penalty)
                entries += logistic(question, given.jobs, given.rounds, given.patience, say)
    if given.json:
        print(json.dumps(_rounded({**circumstances(given.rounds), "entries": entries}), indent=1))
    else:
        print(table(entries, given.rounds))


def _parser() -> argparse.ArgumentParser:
    names = [*REGRESSIONS, "alon-colon", "spambase"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("regression", "logistic", "check"))
    parser.add_argument("--data", nargs="+", choices=names, default=names, help="these tables alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--patience", type=float, default=120.0, help="seconds that a peer's accurate path may take")
    parser.add_argument("--json", action="store_true")
    return parser


def circumstances(rounds: int) -> dict:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    machine = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    versions = {name: version(name) for name in ("numpy", "scipy", "numba", "scikit-learn")}
    return {"rounds": rounds, "machine": machine, "versions": {"python": platform.python_version(), **versions}}


def table(entries: list[dict], rounds: int) -> str:
    """Return the figures for people."""
    about = circumstances(rounds)
    lines = [f"{about['machine']}, medians of {rounds} rounds; seconds by the clock (by the processor's time)"]
    for entry in entries:
        head = f"{entry['data']} ({entry['shape']}), {entry['penalty']}"
        if "seconds" not in entry:
            apart, broken = entry["coefficients_apart"], entry["conditions_broken_by"]
            what = f"{entry['task']}, {entry['strengths']} strengths: coefficients {apart:.1e} from scikit-learn's"
            lines.append(f"{head}, {what}, conditions to {broken:.1e}")
            continue
        lines += ["", f"{head}, {entry['jobs']} job(s); asked: {entry['asked']:g} times as fast"]
        for name, spent in entry["seconds"].items():
            ratio = entry["ratios"].get(name)
            times = f"{ratio.clock:.2g} ({ratio.processor:.2g}) times" if ratio else ""
            gap = f"  objective above the minimum by {entry['gaps'][name]:.0e}" if name in entry.get("gaps", {}) else ""
            lines.append(f"  {name:62s}{spent.clock:9.2f} ({spent.processor:.2f}){times:>22s}{gap}")
        for name, left in entry.get("not_accurate", {}).items():
            spent = left["seconds_of_one_fold"]
            lines.append(f"  {name}: left at {left['gap']:.0e} after {spent.processor:.0f} s for one fold of five")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
