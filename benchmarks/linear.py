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
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from selection import Spent, Watch, _rounded
from threadpoolctl import threadpool_limits

import wellfit as wf
from wellfit.cocktail.dialects import to_dialect
from wellfit.data import load, prepare
from wellfit.engines.convex import Problem
from wellfit.executors import Threads
from wellfit.nets import MLP
from wellfit.records import Fold
from wellfit.select.compare import cross_validation_data
from wellfit.select.source import development_rows, read_source

REGRESSIONS = ("diabetes", "wine-quality", "california", "alon-made")
LOGISTICS = (("alon-colon", "l1"), ("alon-colon", "l2"), ("spambase", "l1"))
POINTS, FOLDS = 100, 10
STRENGTHS, LOGISTIC_FOLDS = 30, 5
ASKED, ASKED_LOGISTIC, GAP = 1.0, 3.0, 1e-6
SOLVERS = {"l1": ("liblinear", "saga"), "l2": ("lbfgs",)}
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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


# --- regression


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


# --- logistic


@dataclass(frozen=True, eq=False)
class Logistic:
    """One path of a logistic regression, and the peer's settings."""

    data: Data
    penalty: str
    strengths: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, data: Data, penalty: str) -> Logistic:
        if penalty == "l1":
            top = Problem("binary", data.x, data.y[:, None]).strongest()
            strengths = top * np.geomspace(1e-2, 1, STRENGTHS)
        else:
            strengths = np.geomspace(1e-3, 10, STRENGTHS)
        table = read_source((data.x, data.y.astype(int)), {})
        cut, _ = cross_validation_data(table, development_rows(table), LOGISTIC_FOLDS, 0, False, MLP(()))
        return cls(data, penalty, strengths, [(fold.rows.train, fold.rows.score) for fold in cut.folds])

    def ours(self, jobs: int) -> wf.Path:
        return wf.path(
            (self.data.x, self.data.y.astype(int)),
            ingredient(self.penalty),
            points=self.strengths.tolist(),
            folds=LOGISTIC_FOLDS,
            network="linear",
            executor=Threads(jobs),
        )

    def theirs(self, jobs: int, settings: Settings, folds: int | None = None) -> Any:
        from sklearn.linear_model import LogisticRegressionCV

        rows = round(len(self.data.y) * (1 - 1 / LOGISTIC_FOLDS))
        told = [
            to_dialect(f"{self.penalty}={s!r}", "sklearn-logistic", rows=rows, task="binary")
            for s in self.strengths.tolist()
        ]
        model = LogisticRegressionCV(
            Cs=[float(t.arguments["C"]) for t in told],  # type: ignore[union-attr]  # both penalties have an equivalent
            l1_ratios=[1.0 if self.penalty == "l1" else 0.0],
            cv=self.folds[:folds],
            scoring="neg_log_loss",
            use_legacy_attributes=False,
            refit=folds is None,
            n_jobs=jobs,
            random_state=0,
            solver=settings.solver,
            tol=settings.tol,
            max_iter=settings.iterations,
            intercept_scaling=settings.scaling,
        )
        # The folds are of the rows as they are: scaling once, as a pipeline would, is left out for the peer.
        return model.fit(self.data.x, self.data.y.astype(int))

    def gap(self, model: Any) -> float:
        """Return how far above the minimum the peer's objective is on its first fold: the largest share."""
        train = self.folds[0][0]
        x, y = self.data.x[train], self.data.y[train]
        problem, last, gaps = Problem("binary", x, y[:, None]), None, []
        order = np.argsort(model.Cs_)  # the strongest first
        for c in order:
            strength = 1 / (model.Cs_[c] * len(train))
            penalty = (strength, 0.0) if self.penalty == "l1" else (0.0, strength)
            last = problem.solve(*penalty, last)
            best = objective(x, y, last.parameters, *penalty)
            gaps.append(objective(x, y, model.coefs_paths_[0, 0, c, 0], *penalty) / best - 1)
        return float(max(gaps))


@dataclass(frozen=True)
class Settings:
    """How accurate a solver of scikit-learn is asked to be; as they are, its defaults."""

    solver: str
    tol: float = 1e-4
    iterations: int = 100
    scaling: float = 1.0

    def __str__(self) -> str:
        scaling = f", intercept_scaling {self.scaling:g}" if self.scaling != 1 else ""
        return f"{self.solver}, tol {self.tol:g}, max_iter {self.iterations}{scaling}"

    def ladder(self) -> Iterator[Settings]:
        """Yield settings, each more accurate than the one before."""
        for step in range(7):
            if self.solver == "saga":  # its tolerance says little: it stops by its epochs
                yield replace(self, tol=1e-9, iterations=1000 * 4**step)
            else:
                scaling = 10.0 ** (2 + step) if self.solver == "liblinear" else 1.0
                yield replace(self, tol=10.0 ** (-4 - step), iterations=1_000_000, scaling=scaling)


def objective(x: np.ndarray, y: np.ndarray, parameters: np.ndarray, l1: float, l2: float) -> float:
    """Return mean loss + l1 sum|w| + l2/2 sum w^2; the last parameter is the bias."""
    weights = parameters[:-1]
    z = x @ weights + parameters[-1]
    return float(np.mean(np.logaddexp(0, z) - y * z) + l1 * np.abs(weights).sum() + l2 / 2 * weights @ weights)


def accurate(
    question: Logistic, solver: str, patience: float, say: Callable[[str], None]
) -> tuple[Settings, float, Spent]:
    """Return the first settings with which the peer is accurate on the first fold, its gap and its time for the fold.

    Where all folds would take longer than ``patience`` seconds it is not looked for any further.
    """
    for settings in Settings(solver).ladder():
        spent, model = timed(lambda settings=settings: question.theirs(1, settings, 1))
        gap = question.gap(model)
        say(f"{question.data.name} {question.penalty}: {settings}, one fold: {spent.clock:.1f} s, gap {gap:.1e}")
        if gap < GAP or spent.clock > patience / LOGISTIC_FOLDS:
            break
    return settings, gap, spent


def logistic(question: Logistic, jobs: Sequence[int], rounds: int, patience: float, say: Callable[[str], None]) -> list:
    """Return the figures of one path of a logistic regression, by jobs."""
    contenders: dict[str, tuple[Settings, float]] = {}
    failed: dict[str, dict] = {}
    for solver in SOLVERS[question.penalty]:
        default = Settings(solver)
        spent, model = timed(lambda s=default: question.theirs(1, s, 1))
        settings, gap = default, question.gap(model)
        contenders[str(default)] = default, gap
        if spent.clock < patience / LOGISTIC_FOLDS:
            settings, gap, spent = accurate(question, solver, patience, say)
        if gap < GAP:
            contenders[str(settings)] = settings, gap
        else:
            failed[str(settings)] = {"gap": gap, "seconds_of_one_fold": spent}
    entries = []
    for j in jobs:
        with quiet():
            question.ours(j)
        turns = []
        for turn in range(rounds):
            turns.append({"wellfit": timed(lambda j=j: question.ours(j))[0]})
            for name, (settings, _) in contenders.items():
                slow = turn > 0 and turns[0][name].clock > patience / 4  # once is enough
                spent = turns[0][name] if slow else timed(lambda s=settings, j=j: question.theirs(j, s))[0]
                turns[-1][name] = spent
            say(f"{question.data.name} {question.penalty} jobs {j} round {turn + 1}: {json.dumps(_rounded(turns[-1]))}")
        head = {"data": question.data.name, "shape": question.data.shape, "penalty": question.penalty, "jobs": j}
        gaps = {name: gap for name, (_, gap) in contenders.items()}
        entries.append(head | sides(turns, ASKED_LOGISTIC) | {"gaps": gaps, "not_accurate": failed})
    return entries


# --- accuracy


def check(name: str, penalty: str, task: str) -> dict:
    """Return how far wellfit's coefficients are from scikit-learn's converged ones, and from their own conditions."""
    data = read(name)
    path = (
        Logistic.of(data, penalty).ours(1)
        if task == "binary"
        else wf.path((data.x, data.y), ingredient(penalty), network="linear", points=30, folds=2)
    )
    assert path.linear is not None
    # Only where scikit-learn's solvers converge in seconds.
    wide, last = data.x.shape[1] > data.x.shape[0], len(path.strengths)
    at = range(last - 8 if wide else 1, last) if task == "regression" else (22, 25, 28)
    apart, broken = [], []
    for point in at:
        strengths = wf.Cocktail.parse(path.cocktails[point]).resolve(1)
        l1, l2 = strengths.l1[0], strengths.l2[0]
        w, b = path.linear.coefficients[point, 0], path.linear.intercepts[point, 0]
        with quiet():
            peer = converged(data, task, l1, l2)
        apart.append(float(np.abs(np.append(peer.coef_.ravel(), peer.intercept_) - np.append(w, b)).max()))
        broken.append(violation(data, task, w, b, l1, l2))
    shape = {"data": name, "shape": data.shape, "penalty": penalty, "task": task, "strengths": len(apart)}
    return shape | {"coefficients_apart": max(apart), "conditions_broken_by": max(broken)}


def converged(data: Data, task: str, l1: float, l2: float) -> Any:
    """Return scikit-learn's solution, to the last digits that its solver gives."""
    from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

    rows = len(data.y)
    if task == "regression":
        if not l1:
            return Ridge(alpha=l2 * rows / 2, solver="svd").fit(data.x, data.y)
        alpha = (l1 + l2) / 2
        return ElasticNet(alpha=alpha, l1_ratio=l1 / (l1 + l2), tol=1e-14, max_iter=200_000).fit(data.x, data.y)
    # liblinear penalizes the intercept: by next to nothing with this scaling.
    lasso = {"solver": "liblinear", "tol": 1e-12, "max_iter": 20_000, "intercept_scaling": 3e6}
    options = lasso if l1 else {"solver": "newton-cg", "tol": 1e-12, "max_iter": 1000}
    model = LogisticRegression(C=1 / ((l1 or l2) * rows), l1_ratio=1.0 if l1 else 0.0, random_state=0, **options)
    return model.fit(data.x, data.y.astype(int))


def violation(data: Data, task: str, w: np.ndarray, b: float, l1: float, l2: float) -> float:
    """Return by how much w and b break the conditions of a minimum, as a share of the null model's largest slope."""

    def slope(z: np.ndarray) -> np.ndarray:
        slopes = 2 * (z - data.y) if task == "regression" else 1 / (1 + np.exp(-z)) - data.y
        return slopes / len(z)

    slopes = slope(data.x @ w + b)
    gradient = data.x.T @ slopes + l2 * w
    there = np.abs(gradient + l1 * np.sign(w))
    broken = np.where(w != 0, there, np.maximum(np.abs(gradient) - l1, 0)) if l1 else there
    share = data.y.mean()
    null = share if task == "regression" else np.log(share / (1 - share))
    scale = np.abs(data.x.T @ slope(np.full(len(data.y), null))).max()
    return float(max(broken.max(), abs(slopes.sum())) / scale)


# --- the run


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
