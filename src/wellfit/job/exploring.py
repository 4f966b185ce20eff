"""How strong, and which mixture: the paths of the main ingredients and the search, within what is left of a budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

from wellfit.cocktail import Augment, Cocktail, Dropout
from wellfit.errors import SettingError
from wellfit.executors.threads import usable_cores
from wellfit.job.study import Study
from wellfit.messages import say
from wellfit.nets import MLP, Module, Training
from wellfit.records import Array, Finding, Frames, Path, Simplest, Split
from wellfit.select import default_seeds, default_training
from wellfit.select.budget import STANDARD, Budget, as_budget
from wellfit.select.compare import cross_validation_data, seeds_of
from wellfit.select.defaults import FOLDS, can_have
from wellfit.select.frames import frames
from wellfit.select.path import path
from wellfit.select.search import Search, search
from wellfit.select.simplest import read_simplest

# Seconds of a run where no budget was asked for. Quick is meant to end within 15, reading and writing included.
BUDGET, QUICK_BUDGET = "60s", "15s"
# The same where the data are images: a convolutional network takes a hundred times as long as one for a table.
IMAGES_BUDGET, QUICK_IMAGES_BUDGET = "5m", "90s"
# The shares of a budget in seconds that the comparison and each path get; the search has what is left.
COMPARISON, EACH_PATH = 0.2, 0.04
OVER, QUICK_OVER = ("l1", "l2", "weight_decay", "dropout", "early_stopping"), ("l2", "dropout", "early_stopping")
POINTS, QUICK_POINTS = 16, 9
# Of a module: fewer paths, longer ones.
OVER_MODULE, QUICK_OVER_MODULE = ("dropout", "augment", "weight_decay", "early_stopping"), ("dropout", "augment")
MODULE_POINTS, EACH_MODULE_PATH, LAST_TRAINING = 6, 0.08, 0.25
# The share of the linear model's paths, their points, and what they take: so many second derivatives a point, made at
# so many multiplications a second on two cores.
LINEAR, LINEAR_POINTS, HESSIANS, EXACT_SPEED = 0.04, 8, 2, 1.6e10
# Fitting again, testing and the report, about; the search gets this share of a budget at least, and trains for this
# share of what it gets.
WRITING, LEAST, TRAINED = 6.5, 0.15, 0.85


@dataclass(frozen=True)
class Plan:
    """The budget of a run: ``limit`` as it was asked for."""

    limit: Budget
    quick: bool
    usual: str = BUDGET

    @classmethod
    def of(cls, budget: object, *, quick: bool, images: bool = False) -> Plan:
        """Return the plan for a budget as it was given, None for the usual one. Raises `SettingError`."""
        usual = (QUICK_IMAGES_BUDGET if quick else IMAGES_BUDGET) if images else (QUICK_BUDGET if quick else BUDGET)
        return cls(as_budget(usual if budget is None else budget), quick, usual)

    @property
    def seconds(self) -> float:
        """The seconds that shares are taken of; a budget in steps belongs to the search alone."""
        return self.limit.seconds or as_budget(self.usual).seconds or 0.0

    def of_search(self, began: float, kept: float = 0.0) -> Budget:
        """Return what the search may spend: steps as they were given, else what is left but for ``kept`` seconds."""
        if self.limit.seconds is None:
            return self.limit
        left = self.limit.seconds - (perf_counter() - began) - WRITING - kept
        name = f"run {self.limit.seconds:g}s"
        return Budget(seconds=max(left, LEAST * self.limit.seconds, 1.0), name=name)


def paths(study: Study, rows: Array, plan: Plan) -> tuple[tuple[Path, ...], tuple[Finding, ...]]:
    """Return the path along each main ingredient on ``rows``, and a finding for each that could not be had."""
    found, lacking = [], []
    for name in path_names(study, plan):
        try:
            found.append(one_path(study, rows, plan, name))
        except SettingError as error:  # every point diverged, or an early stop that these rows do not allow
            lacking.append(Finding("path", say("job.no_path", ingredient=name, reason=error)))
    return tuple(found), tuple(lacking)


def path_names(study: Study, plan: Plan) -> list[str]:
    """Return the ingredients that a run turns up, those that the network can have."""
    module = isinstance(study.network, Module)
    asked: tuple[str, ...] = OVER_MODULE if module else OVER
    if plan.quick:
        asked = QUICK_OVER_MODULE if module else QUICK_OVER
    examples = {"dropout": Dropout(0.5), "augment": Augment(1.0)}
    return [n for n in asked if n not in examples or can_have(study.network, Cocktail((examples[n],)))]


def one_path(study: Study, rows: Array, plan: Plan, name: str) -> Path:
    """Return the path along one ingredient. Raises `SettingError` where there is none to be had."""
    points = QUICK_POINTS if plan.quick else POINTS
    if isinstance(study.network, Module):
        points = MODULE_POINTS
    seeds = 1 if plan.quick or isinstance(study.network, Module) else min(2, default_seeds(rows))
    folds = FOLDS if study.asked.folds is None else study.asked.folds
    return path(
        study.table,
        name,
        rows=rows,
        points=points,
        folds=folds,
        seeds=seeds,
        network=study.network,
        training=_recipe(study, rows, points * folds * seeds, plan),
        metric=study.asked.metric,
        seed=study.asked.seed,
        engine=study.engine,
        executor=study.executor,
        ledger=study.ledger,
        progress=study.asked.progress,
    )


def frames_of(study: Study, split: Split, along: tuple[Path, ...], plan: Plan) -> tuple[Frames, ...]:
    """Return the frames of each path: what a reader sees who turns its strength by hand."""
    (seed,) = seeds_of(study.asked.seed, 1)
    return tuple(
        frames(
            study.table,
            split.train,
            split.test,
            found,
            study.network,
            _recipe(study, split.train, len(found.strengths) * found.folds * found.seeds, plan),
            seed=seed,
            engine=study.engine,
            executor=study.executor,
            progress=study.asked.progress,
        )
        for found in along
    )


def against_linear(
    study: Study, rows: Array, plan: Plan, along: tuple[Path, ...]
) -> tuple[Simplest | None, tuple[Finding, ...]]:
    """Return how the network's paths compare with a linear model's; None, and why, where that would take too long."""
    if study.network.linear or not along:
        return None, ()
    most = LINEAR * plan.seconds * EXACT_SPEED / (LINEAR_POINTS * along[0].folds * HESSIANS)
    data, _ = cross_validation_data(study.table, rows, along[0].folds, study.asked.seed, stops=False, network=MLP(()))
    inputs = max(1, data.folds[0].x.shape[1])
    price = len(rows) * float(data.outputs * min(inputs, len(rows))) ** 2
    if price > most:
        return None, (Finding("linear", say("job.no_linear")),)
    straight = [
        path(
            study.table,
            name,
            rows=rows,
            points=LINEAR_POINTS,
            folds=along[0].folds,
            seeds=1,
            network=MLP(()),
            training=replace(study.training, precision=study.training.stored),
            metric=study.asked.metric,
            seed=study.asked.seed,
            engine=study.engine,
            executor=study.executor,
            ledger=study.ledger,
            progress=study.asked.progress,
        )
        for name in (("l2",) if plan.quick or 2 * price > most else ("l2", "l1"))
    ]
    return read_simplest(straight, along, study.table, rows), ()


def _recipe(study: Study, rows: Array, members: int, plan: Plan) -> Training:
    """Return the run's training, shorter where the path of so many members would take more than its share."""
    given = study.asked.training
    if isinstance(given, Training) or "epochs" in (given or {}):
        return study.training
    each = EACH_MODULE_PATH if isinstance(study.network, Module) else EACH_PATH
    share = default_training(
        study.table,
        rows,
        quick=plan.quick,
        network=study.network,
        members=members,
        seconds=each * plan.seconds / (study.slowness or 1.0),
    )
    return replace(study.training, epochs=min(share.epochs, study.training.epochs))


def explore(study: Study, rows: Array, plan: Plan, began: float, kept: float = 0.0) -> Search:
    """Return the search on ``rows`` with what is left of the budget but for ``kept`` seconds.

    A network or training that was asked for stays.
    """
    asked = study.asked
    return search(
        study.table,
        rows=rows,
        budget=_search_budget(study, plan, began, kept),
        network=None if asked.network is None else study.network,
        training=study.training if asked.training else None,
        folds=FOLDS if asked.folds is None else asked.folds,
        metric=asked.metric,
        seed=asked.seed,
        engine=study.engine,
        executor=study.executor,
        ledger=study.ledger,
        progress=asked.progress,
    )


def _search_budget(study: Study, plan: Plan, began: float, kept: float) -> Budget:
    """Return what the search may spend, in steps where the pace is known: then it needs no trial of its own.

    The steps are noted in the ledger, so that a run that is continued searches the same.
    """
    budget = plan.of_search(began, kept)
    if budget.seconds is None or study.slowness is None:
        return budget
    name = f"steps of the search {plan.limit} {study.network.key} {study.training!r} {study.slowness}"
    noted = study.ledger.note(name)
    if noted is None:
        pace = usable_cores() / (STANDARD * study.slowness)
        noted = str(max(1, int(TRAINED * budget.seconds * pace)))
        study.ledger.put_note(name, noted)
    return Budget(steps=int(noted))
