"""How long trainings may be, and how many steps the seconds of a budget are worth on this machine now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Engine, Member
from wellfit.executors import Executor
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, Module, Network, Training
from wellfit.nets.training import batches
from wellfit.population import check
from wellfit.records import TrainingData
from wellfit.select.budget import STANDARD, Budget, step_cost
from wellfit.select.defaults import usual
from wellfit.select.halving import Runner, Track
from wellfit.select.space import Space

RACE = 0.72  # share of a budget for proposing and halving
AIM = 100  # candidates that a race should see: what is left makes trainings longer
SPENT = 0.3  # of a candidate's whole training, on average: three rungs, a third promoted
LEAST_STEPS, MOST_STEPS, MOST_EPOCHS = 200, 6_000, 600
LEAST_MODULE_STEPS = 80  # a step of a convolutional network costs a thousand of a table's
SHARE = 12  # one whole candidate costs at most the race's budget over this
SIDE_BY_SIDE = 6  # candidates of the trial at once: as threads are used in the race
# Of the seconds: for finding the pace, and for what is not training but reading the answer off.
SAMPLE, RESERVE, RESERVED_SECONDS = 0.04, 0.05, 1.0


@dataclass(frozen=True, eq=False)
class Question:
    """What is searched on, and what is fixed. ``began`` is the `perf_counter` at the beginning.

    The data holds K folds, or 2K: the same once more with bins beside the numeric columns.
    """

    data: TrainingData
    folds: int
    network: Network | None
    training: Training | None
    engine: Engine
    executor: Executor
    began: float

    def space(self, total: int) -> Space:
        """Return what varies within a budget of ``total`` standard steps."""
        if self.network is not None and self.network.linear:
            return Space(self.data.task, Training(epochs=1, batch_size=None), self.network)
        recipe = self.training or self._recipe(total)
        rate = None if self.training is None else recipe.learning_rate
        bins = len(self.data.folds) > self.folds
        return Space(self.data.task, recipe, self.network, rate, self._widest(recipe, total), bins)

    def _recipe(self, total: int) -> Training:
        """Return the training that candidates vary: as long as the budget allows for about `AIM` candidates."""
        fold = self.data.folds[0]
        rows, network = len(fold.rows.train), self.network or MLP((96, 48))
        recipe = replace(usual(network, fold.inputs, self.data.outputs, rows), schedule="flat_cosine")
        each = step_cost(Member(network, Cocktail(), recipe, 0, 0), self.data)
        least = LEAST_MODULE_STEPS if isinstance(network, Module) else LEAST_STEPS
        steps = float(np.clip(RACE * total / (AIM * self.folds * each * SPENT), least, MOST_STEPS))
        an_epoch, _ = batches(rows, recipe.batch_size)
        return replace(recipe, epochs=int(np.clip(round(steps / an_epoch), 1, MOST_EPOCHS)))

    def _widest(self, recipe: Training, total: int) -> int:
        """Return the largest width at which one whole candidate leaves room for others."""
        an_epoch, _ = batches(len(self.data.folds[0].rows.train), recipe.batch_size)
        for width in (256, 128, 64):
            member = Member(MLP((width, width // 2)), Cocktail(), recipe, 0, 0)
            if step_cost(member, self.data) * an_epoch * recipe.epochs * self.folds <= RACE * total / SHARE:
                return width
        return 32


def steps_of(question: Question, limit: Budget, ledger: LedgerLike | None) -> int:
    """Return the seconds of a budget as standard member-steps: by the pace of a short trial, or as the ledger noted.

    Compiling, where the engine has to, is no part of the budget.
    """
    assert limit.seconds is not None
    name = f"budget {limit.name or f'{limit.seconds:g}s'} {question.data.fingerprint}"
    noted = None if ledger is None else ledger.note(name)
    if noted is not None:
        return int(noted)
    threads = getattr(question.executor, "threads", 1)
    space = question.space(int(limit.seconds * threads / STANDARD))
    runners = [Runner(candidate, 0, "pace") for candidate in space.portfolio()]
    compiled = _warm_up(question, runners[0])
    aim = SAMPLE * limit.seconds * threads / STANDARD
    whole = Track(question.data, question.folds, (space.training.epochs,), question.engine, question.executor)
    epochs = max(1, int(space.training.epochs * aim / sum(whole.price(r, 0) for r in runners)))
    track = Track(question.data, question.folds, (epochs,), question.engine, question.executor)
    start = perf_counter()
    for first in range(0, len(runners), SIDE_BY_SIDE):
        track.advance([(runner, 0) for runner in runners[first : first + SIDE_BY_SIDE]])
        if perf_counter() - start > 2 * SAMPLE * limit.seconds:
            break
    pace = track.spent / max(perf_counter() - start, 1e-3)
    left = limit.seconds * (1 - RESERVE) - RESERVED_SECONDS - (perf_counter() - question.began - compiled)
    total = max(1, int(left * pace))
    if ledger is not None:
        ledger.put_note(name, str(total))
    return total


def _warm_up(question: Question, runner: Runner) -> float:
    """Let the engine compile what it compiles once; return the seconds that took."""
    start = perf_counter()
    c = runner.candidate
    members = [Member(c.network, c.cocktail, c.training, 0, 0)]
    check(members, question.data, question.engine)
    question.engine.advance(members, question.engine.init(members, question.data), [0], question.data)
    return perf_counter() - start
