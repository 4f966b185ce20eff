"""Paths of logistic regression beside `LogisticRegressionCV`, as it is and with what makes it accurate: `linear.py`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from linear_tables import Data, ingredient, quiet, sides, timed
from selection import Spent, _rounded

import wellfit as wf
from wellfit.cocktail.dialects import to_dialect
from wellfit.engines.convex import Problem
from wellfit.executors import Threads
from wellfit.nets import MLP
from wellfit.select.compare import cross_validation_data
from wellfit.select.source import development_rows, read_source

STRENGTHS, FOLDS = 30, 5
ASKED, GAP = 3.0, 1e-6
SOLVERS = {"l1": ("liblinear", "saga"), "l2": ("lbfgs",)}


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
        cut, _ = cross_validation_data(table, development_rows(table), FOLDS, 0, False, MLP(()))
        return cls(data, penalty, strengths, [(fold.rows.train, fold.rows.score) for fold in cut.folds])

    def ours(self, jobs: int) -> wf.Path:
        return wf.path(
            (self.data.x, self.data.y.astype(int)),
            ingredient(self.penalty),
            points=self.strengths.tolist(),
            folds=FOLDS,
            network="linear",
            executor=Threads(jobs),
        )

    def theirs(self, jobs: int, settings: Settings, folds: int | None = None) -> Any:
        from sklearn.linear_model import LogisticRegressionCV

        rows = round(len(self.data.y) * (1 - 1 / FOLDS))
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
        if gap < GAP or spent.clock > patience / FOLDS:
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
        if spent.clock < patience / FOLDS:
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
        entries.append(head | sides(turns, ASKED) | {"gaps": gaps, "not_accurate": failed})
    return entries
