"""The joint search over cocktails and the training choices that interact with them: one budget, one population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from wellfit.engines.base import Engine
from wellfit.engines.choice import by_steps, default_engine
from wellfit.errors import SettingError
from wellfit.evidence.metrics import Metric, as_metric
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, Module, NetworkLike, Training
from wellfit.nets.ensemble import Ensemble
from wellfit.records import Array, SearchRecord, Table
from wellfit.select.budget import Budget, as_budget, cost
from wellfit.select.compare import cross_validation_data
from wellfit.select.halving import Runner, Track, promotions, rung_epochs
from wellfit.select.outcome import Asked, outcome
from wellfit.select.pace import RACE, Question, steps_of
from wellfit.select.proposals import Proposals, check_sampler
from wellfit.select.source import chosen_network, development_rows, question, read_source
from wellfit.select.worth import price_of_worth, worth

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd
    from matplotlib.figure import Figure

# Share of the budget that bringing the best of each rung to the end may reach.
FINISH = 0.92
ROUNDS = 10  # into about so many rounds the race is divided
# Bins beside numeric columns: docs/search.md says what the figures rest on.
BINS, FEWEST_BINS, LEAST_ROWS, ROWS_A_COLUMN, COLUMNS = 16, 3, 1_000, 4, 1_000
BATCH = 20  # candidates proposed at once, at most
MOST_SEEDS, REPEATED = 5, 12


@dataclass(frozen=True, eq=False)
class Search:
    """The record of a search, and the model that it chose: an ensemble of the fold networks trained on the way.

    ``single`` is the smaller model of the best single candidate alone: its fold networks, averaged and calibrated.
    """

    record: SearchRecord
    model: Ensemble
    single: Ensemble

    def plot(self) -> Figure:
        """Return the figure of the search: every candidate's loss at the epochs it reached."""
        return self.record.plot()

    def __str__(self) -> str:
        return str(self.record)

    def __repr__(self) -> str:
        return f"<Search data={self.record.data!r} winner={self.winner!r}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.record._repr_html_()

    @property
    def winner(self) -> str:
        """The cocktail of the best single trial."""
        return self.record.trials[self.record.winner].cocktail


@question
def search(
    source: Table | str | PathLike | pd.DataFrame | tuple,
    *,
    budget: str | float | Budget = "60s",
    network: NetworkLike | None = None,
    training: Training | None = None,
    sampler: str = "tpe",
    folds: int = 5,
    metric: str | Metric | None = None,
    seed: int = 0,
    rows: Array | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    ledger: LedgerLike | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Search:
    """Search cocktails, learning rate, batch size and network together, and return the best of what was trained.

    A portfolio of strong defaults goes first; then ``sampler`` proposes (``tpe``, or ``random`` draws). Candidates are
    judged by their mean validation loss over the folds at the same epoch; the best third goes on to three times the
    epochs, from where it stands, and new candidates take the places that this frees. Some candidates see, beside each
    numeric column, how far it has come through each of its bins (see `wellfit.data.preprocess.Numeric`). The best ones
    are then repeated with other seeds, and the answer is read off what was trained: the best single candidate, what
    each of its ingredients is worth, and an ensemble of the fold networks with calibrated probabilities.

    ``budget`` is wall time ("60s", "2m") or a count of member-steps (200_000, "200000 steps"). Seconds are turned into
    steps once, by the pace of a short trial; the record holds the count, and a search with that count gives the same
    answer anywhere. One candidate is trained to its end in any case, however small the budget. ``network`` and
    ``training`` fix what is given there (a training fixes learning rate, batch size, schedule and epochs). With
    ``network="linear"`` penalties alone are searched, L1, L2 and elastic net, each solved exactly. Other arguments are
    as in `wellfit.compare`.

    Raises `SettingError` for impossible settings and where all candidates diverge; `DataError` for the data.

    >>> found = search("iris", budget=20_000, folds=2)
    >>> found.record.spent <= 22_000, found.model.predict_proba([[5.0, 3.4, 1.5, 0.2]]).round(1).tolist()
    (True, [[1.0, 0.0, 0.0]])
    """
    began = perf_counter()
    limit = as_budget(budget)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SettingError("select.bad_seed", value=seed)
    if isinstance(folds, bool) or not isinstance(folds, int | np.integer) or folds < 2:
        raise SettingError("select.bad_folds", value=folds)
    from wellfit.data import prepare

    table = read_source(source, options)
    rows = development_rows(table, rows)
    measure = as_metric(metric, table.task)
    check_sampler(sampler)
    fixed = chosen_network(table, rows, network) if network is not None or table.inputs is not None else None
    linear = fixed is not None and fixed.linear
    data, count = cross_validation_data(table, rows, folds, seed, False, fixed or MLP())
    bins = 0 if linear or isinstance(fixed, Module) else bins_for(table, rows)
    if bins:
        binned = prepare(table, [fold.rows for fold in data.folds], bins=bins)
        both = data.fingerprint + binned.fingerprint
        data = replace(data, folds=data.folds + binned.folds, fingerprint=both)
    engine = default_engine() if engine is None else engine
    if not linear:  # linear networks among others are trained like them: what a step costs is known
        engine = by_steps(engine)
    question = Question(data, count, fixed, training, engine, executor or Threads(), began)
    race = _Race(question, limit, ledger, progress)
    proposals = Proposals(race.space, sampler, len(race.track.epochs), seed)
    race.run(proposals, 1000 * seed)
    asked = Asked(table, measure, count, int(seed), sampler, race.total, bins, bent=not linear)
    chosen = outcome(race.runners, race.track, asked)
    left = race.total - race.track.spent
    shares = worth(chosen.winner, chosen.winner_rung, race.track, race.runners, table, left=left)
    race.ended()
    return Search(chosen.record(shares, race.track.spent), chosen.model(), chosen.single())


def bins_for(table: Table, rows: Array) -> int:
    """Return how many bins a numeric column gets, 0 where that would be too few rows or too many columns.

    At most `BINS`, on `LEAST_ROWS` rows or more, and in all no more columns than one for `ROWS_A_COLUMN` rows, nor than
    `COLUMNS`.
    """
    numeric = sum(kind not in ("categorical", "boolean") for kind in table.kinds.values())
    if not numeric or len(rows) < LEAST_ROWS:
        return 0
    bins = min(BINS, min(COLUMNS, len(rows) // ROWS_A_COLUMN) // numeric)
    return bins if bins >= FEWEST_BINS else 0


def _least(question: Question, total: int) -> int:
    """Return what the first candidate costs, through all rungs, in the space of such a budget."""
    space = question.space(total)
    epochs = rung_epochs(space.training.epochs)
    track = Track(question.data, question.folds, epochs, question.engine, question.executor)
    members = track.members(Runner(space.portfolio()[0], 0, ""))
    ends = [[epoch] * len(members) for epoch in (0, *epochs)]
    return sum(cost(members, begin, end, question.data) for begin, end in pairwise(ends))


class _Race:
    """The course of a search: who runs, and what may still be spent."""

    def __init__(self, question: Question, limit: Budget, ledger: LedgerLike | None, progress: Progress | None) -> None:
        self.progress = progress
        wanted = limit.steps or steps_of(question, limit, ledger)
        # One candidate is trained to its end in any case: the budget that is reported is no smaller than that.
        self.total = max(wanted, _least(question, wanted))
        self.space = question.space(self.total)
        report = None if progress is None else self._report
        epochs = rung_epochs(self.space.training.epochs)
        self.track = Track(question.data, question.folds, epochs, question.engine, question.executor, ledger, report)
        self.runners: list[Runner] = []

    def _report(self, spent: int) -> None:
        if self.progress is not None:
            self.progress(min(spent, self.total), self.total)

    def ended(self) -> None:
        """Tell who watches that all is done."""
        if self.progress is not None:
            self.progress(self.total, self.total)

    def run(self, proposals: Proposals, seed: int) -> None:
        """Race, then repeat the best with other seeds."""
        self._begin(seed)
        top = len(self.track.epochs) - 1
        self._tell(proposals, 0)
        while self._round(proposals, seed):
            pass
        self._finish(top)
        if not self._best(top, 1):
            rate = f"{self.space.training.learning_rate:g}"
            raise SettingError("search.all_diverged", candidates=len(self.runners), rate=rate)
        self._repeat(top)

    def _finish(self, top: int) -> None:
        """Bring the best of each rung to the end, whatever the rungs say, as far as the budget goes; one at least."""
        for rung in range(top - 1, -1, -1):
            for runner in self._best(rung, 1 if self._best(top, 1) else len(self.runners)):
                fits = self.track.spent + self._price_of(runner, top) <= FINISH * self.total
                if top not in runner.rungs and fits:
                    self._climb(runner, top)
                    break
        rest = [r for r in self._best(0, len(self.runners)) if top not in r.rungs]
        if rest and not self._best(top, 1):
            self._climb(min(rest, key=lambda r: self._price_of(r, top)), top)

    def _climb(self, runner: Runner, top: int) -> None:
        for rung in range(runner.reached + 1, top + 1):
            self.track.advance([(runner, rung)])

    def _begin(self, seed: int) -> None:
        """Run the portfolio's first rung, as far as the budget goes."""
        top = len(self.track.epochs) - 1
        for candidate in self.space.portfolio():
            runner = Runner(candidate, seed, "portfolio", number=len(self.runners))
            # A candidate that is best must be able to reach the end.
            price = sum(self._price_of(r, 0) for r in [*self.runners, runner]) + self._price_of(runner, top)
            if not self.runners or price <= RACE * self.total:
                self.runners.append(runner)
        self.track.advance([(r, 0) for r in self.runners])

    def _price_of(self, runner: Runner, rung: int) -> int:
        return self.track.price(runner, rung)

    def _round(self, proposals: Proposals, seed: int) -> bool:
        """Promote and propose, as far as the race's share of the budget goes; tell whether anything was done."""
        left = RACE * self.total - self.track.spent
        jobs: list[tuple[Runner, int]] = []
        price = 0
        for runner, rung in promotions(self.runners, len(self.track.epochs)):
            asked = self._price_of(runner, rung)
            if price + asked <= left:
                jobs.append((runner, rung))
                price += asked
        room = min(left, price + max(RACE * self.total / ROUNDS, 1))
        fresh = self._fresh(proposals, seed, room - price)
        jobs += [(r, 0) for r in fresh]
        self.runners += fresh
        self._advance(jobs)
        for runner, rung in jobs:
            self._tell_one(proposals, runner, rung)
        return bool(jobs)

    def _fresh(self, proposals: Proposals, seed: int, room: float) -> list[Runner]:
        """Return new candidates whose first rung fits into the room."""
        typical = np.median([self._start_price(r) for r in self.runners])
        count = int(min(room / typical, BATCH))
        known = {r.candidate for r in self.runners}
        found: list[Runner] = []
        for candidate, proposal in proposals.ask(count) if count else []:
            runner = Runner(candidate, seed, "proposed", proposal)
            price = self._price_of(runner, 0)
            if candidate in known or price > room:
                continue
            known.add(candidate)
            room -= price
            runner.number = len(self.runners) + len(found)
            found.append(runner)
        return found

    def _start_price(self, runner: Runner) -> int:
        return self._price_of(Runner(runner.candidate, runner.seed, ""), 0)

    def _advance(self, jobs: Sequence[tuple[Runner, int]]) -> None:
        if jobs:
            self.track.advance(jobs)

    def _tell(self, proposals: Proposals, rung: int) -> None:
        for runner in self.runners:
            self._tell_one(proposals, runner, rung)

    def _tell_one(self, proposals: Proposals, runner: Runner, rung: int) -> None:
        if runner.proposal is not None:
            first = self.runners[0]
            worst = 2 * max(first.loss(0), 1e-9) if first.loss(0) == first.loss(0) else 1e9
            proposals.tell(rung, runner.proposal, runner.loss(rung), worst)

    def _best(self, rung: int, count: int) -> list[Runner]:
        """Return the best runners of a rung, those of the first seed."""
        here = [r for r in self.runners if rung in r.rungs and r.source != "repeat" and not np.isnan(r.loss(rung))]
        return sorted(here, key=lambda r: (r.loss(rung), r.number))[:count]

    def _kept_for_worth(self, best: Sequence[Runner], top: int) -> float:
        """Return what is kept for leaving out the winner's ingredients: their price with three seeds, at most half."""
        price = max((price_of_worth(r, top, self.track) for r in best[:1]), default=0)
        return min(3 * price, 0.5 * (self.total - self.track.spent))

    def _repeat(self, top: int) -> None:
        """Train the best again with other seeds, all of them once before any of them twice."""
        best = self._best(top, REPEATED)
        for again in range(1, MOST_SEEDS):
            jobs = []
            left = self.total - self._kept_for_worth(best, top) - self.track.spent
            for first in best:
                runner = Runner(first.candidate, first.seed + again, "repeat", number=first.number)
                price = self._price_of(runner, top)
                if price <= left:
                    left -= price
                    jobs.append(runner)
            if not jobs:
                return
            self._advance([(r, top) for r in jobs])
            self.runners += jobs
