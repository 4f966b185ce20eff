"""Successive halving on the mean over folds: candidates run side by side, the best of each rung run on.

K. Jamieson and A. Talwalkar, *Non-stochastic best arm identification and hyperparameter optimization*, AISTATS 2016; L.
Li et al., *A system for massively parallel hyperparameter tuning*, MLSys 2020. All K folds of a candidate run to the
same epoch before it is judged, and the folds are fixed in advance: so pruning and cross-validation go together. What is
promoted goes on from its states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wellfit.engines.base import Engine, Member, State, history
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike, member_key
from wellfit.population import begun, check, keeping
from wellfit.records import Array, History, TrainingData
from wellfit.select.budget import cost
from wellfit.select.reading import kept_value
from wellfit.select.space import Candidate

ETA = 3  # one in so many goes on


@dataclass(eq=False)
class Runner:
    """A candidate with one seed on its way up the rungs. ``kept[rung]`` are the parameters of each fold, (T,) each."""

    candidate: Candidate
    seed: int
    source: str
    proposal: object = None
    number: int = 0
    states: list[State | None] = field(default_factory=list)
    rungs: dict[int, list[History]] = field(default_factory=dict)
    kept: dict[int, list[Array | None]] = field(default_factory=dict)

    @property
    def reached(self) -> int:
        """The highest rung so far, -1 for none."""
        return max(self.rungs, default=-1)

    def loss(self, rung: int) -> float:
        """Return the mean validation loss over the folds at a rung, NaN where a fold diverged."""
        if any(h.status == "diverged" for h in self.rungs[rung]):
            return float("nan")
        return float(np.mean([kept_value(h, "score_loss") for h in self.rungs[rung]]))


def rung_epochs(epochs: int, count: int = 3) -> tuple[int, ...]:
    """Return the epochs of the rungs, each `ETA` times the one before, the last ``epochs``; fewer for short trainings.

    >>> rung_epochs(90), rung_epochs(4)
    ((10, 30, 90), (1, 4))
    """
    wanted = [max(1, round(epochs / ETA**i)) for i in range(count)][::-1]
    return tuple(dict.fromkeys(wanted))


@dataclass(eq=False)
class Track:
    """Where runners run: K folds, rungs, and the account of what was spent, in standard member-steps."""

    data: TrainingData
    folds: int
    epochs: tuple[int, ...]
    engine: Engine
    executor: Executor
    ledger: LedgerLike | None = None
    report: Callable[[int], None] | None = None
    spent: int = 0

    def members(self, runner: Runner) -> list[Member]:
        """Return a runner's members, one a fold: the folds with bins stand behind the plain ones."""
        c, first = runner.candidate, self.folds * runner.candidate.binned
        return [Member(c.network, c.cocktail, c.training, runner.seed, first + fold) for fold in range(self.folds)]

    def price(self, runner: Runner, rung: int) -> int:
        """Return what it costs to bring a runner from where it is to a rung."""
        begin = self.epochs[runner.reached] if runner.rungs else 0
        members = self.members(runner)
        return cost(members, [begin] * len(members), [self.epochs[rung]] * len(members), self.data)

    def advance(self, jobs: Sequence[tuple[Runner, int]]) -> None:
        """Bring each runner to its rung, above where it is: all their members are one population."""
        waiting: list[tuple[Runner, int, int]] = []
        price = sum(self.price(runner, rung) for runner, rung in jobs)
        for runner, rung in jobs:
            check(self.members(runner), self.data, self.engine)
            runner.rungs[rung] = [None] * self.folds  # type: ignore[list-item]  # filled below
            runner.kept[rung] = [None] * self.folds
            runner.states = runner.states or [None] * self.folds
            waiting += [(runner, rung, fold) for fold in range(self.folds) if not self._recorded(runner, rung, fold)]
        self._train(waiting, price)
        self.spent += price

    def _recorded(self, runner: Runner, rung: int, fold: int) -> bool:
        """Take a history from the ledger, if it is there."""
        if self.ledger is None:
            return False
        found = self.ledger.get(self._key(runner, rung, fold))
        if found is None:
            return False
        runner.rungs[rung][fold] = found
        # Only of long trainings: of others whoever needs the state trains it again.
        runner.states[fold] = self._begun(runner, rung, fold)
        return True

    def _begun(self, runner: Runner, rung: int, fold: int) -> State | None:
        """Return the state that the ledger holds of a member on its way to a rung, or at it."""
        key, member = self._key(runner, rung, fold), self.members(runner)[fold]
        return begun(self.ledger, key, member, self.engine, self.data)

    def _key(self, runner: Runner, rung: int, fold: int) -> str:
        return f"{member_key(self.engine, self.data, self.members(runner)[fold])}@{self.epochs[rung]}"

    def _train(self, waiting: Sequence[tuple[Runner, int, int]], price: int) -> None:
        if not waiting:
            return
        members = [self.members(runner)[fold] for runner, _, fold in waiting]
        keys = [self._key(*each) for each in waiting]
        states = [self._begun(*each) or each[0].states[each[2]] for each in waiting]
        until = [self.epochs[rung] for _, rung, _ in waiting]
        keep, long = keeping(self.ledger, keys), set()

        def keep_long(index: int, state: State) -> None:
            long.add(index)
            if keep is not None:
                keep(index, state)

        ended = self.executor.run(
            self.engine,
            members,
            self.data,
            states=states,
            until=until,
            progress=self._progress(price),
            keep=None if keep is None else keep_long,
        )
        for index, state in ended:
            runner, rung, fold = waiting[index]
            with np.errstate(all="ignore"):  # a diverged member's predictions overflow: its status says so
                found = history(members[index], state, self.data)
            runner.states[fold] = state
            runner.rungs[rung][fold] = found
            runner.kept[rung][fold] = state.kept
            if self.ledger is not None:
                self.ledger.put(keys[index], found)
                if index in long:  # what took long is not trained again to go on from it
                    self.ledger.put_state(keys[index], state)

    def _progress(self, price: int) -> Progress | None:
        """Return what turns the executor's steps into the account's."""
        if self.report is None:
            return None
        tell, spent = self.report, self.spent
        return lambda done, total: tell(spent + price * done // max(total, 1))

    def parameters(self, runner: Runner, rung: int) -> list[Array]:
        """Return the parameters of each fold at a rung; those that only the ledger knew are trained again."""
        lacking = [fold for fold in range(self.folds) if runner.kept[rung][fold] is None]
        if lacking:
            members = [self.members(runner)[fold] for fold in lacking]
            until = [self.epochs[rung]] * len(lacking)
            states = [self._begun(runner, rung, fold) for fold in lacking]
            for index, state in self.executor.run(self.engine, members, self.data, states=states, until=until):
                runner.kept[rung][lacking[index]] = state.kept
        return [array for array in runner.kept[rung] if array is not None]


def promotions(runners: Sequence[Runner], rungs: int) -> list[tuple[Runner, int]]:
    """Return who goes on, and to which rung: of all that reached a rung, those among the best third not yet promoted.

    The highest rungs come first.
    """
    found = []
    for rung in range(rungs - 2, -1, -1):
        here = [r for r in runners if rung in r.rungs]
        losses = [r.loss(rung) for r in here]
        order = sorted((i for i, loss in enumerate(losses) if loss == loss), key=lambda i: (losses[i], i))
        chosen = [here[i] for i in order[: len(here) // ETA]]
        found += [(r, rung + 1) for r in chosen if r.reached == rung]
    return found
