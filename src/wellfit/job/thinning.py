"""Where a network is costly, as for images: a sample of the rows for the questions, all rows for the last training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.executors.threads import usable_cores
from wellfit.job.exploring import COMPARISON, WRITING, Plan
from wellfit.job.study import Study
from wellfit.messages import say
from wellfit.nets import Module
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.module import Inputs
from wellfit.nets.training import batches
from wellfit.records import Array, Finding
from wellfit.select.budget import step_seconds
from wellfit.select.defaults import FOLDS, default_cocktails
from wellfit.select.fitting import fit
from wellfit.select.search import Search
from wellfit.select.source import thinned

# Passes over the sample that each member of the comparison shall make, and the fewest rows worth it.
PASSES, LEAST_ROWS = 8, 500
# The last training, on all rows: seeds side by side, and at most so many passes.
SEEDS, MOST_PASSES = 2, 40


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that questions are asked of, (m,), out of ``all`` rows that may be learned from, (n,)."""

    rows: Array
    all: Array

    @property
    def thinned(self) -> bool:
        """Whether there are more rows than the budget allows to ask every question of."""
        return len(self.rows) < len(self.all)

    def findings(self) -> tuple[Finding, ...]:
        """Return what is to be told."""
        if not self.thinned:
            return ()
        text = say("images.sampled", rows=len(self.rows), all=len(self.all))
        return (Finding("assumed_sample", text, count=len(self.rows)),)


def sample(study: Study, rows: Array, plan: Plan | None) -> Sample:
    """Return the rows to ask questions of: for a module as many as the budget allows, else all.

    The count is such that each member of the default comparison makes `PASSES` passes over its fold within the
    comparison's share of the budget. It depends on a formula of what a step costs, not on a clock.
    """
    if plan is None or not isinstance(study.network, Module):
        return Sample(rows, rows)
    members = len(default_cocktails(quick=plan.quick, network=study.network)) * FOLDS
    each = _seconds_a_row(study) * PASSES * members * (FOLDS - 1) / FOLDS
    count = int(COMPARISON * plan.seconds * usable_cores() / each)
    return Sample(thinned(study.table, rows, max(count, LEAST_ROWS), study.asked.seed), rows)


def last_training(study: Study, rows: Array, found: Search, plan: Plan, began: float) -> Search:
    """Return the search with its model trained anew on all ``rows``: its best candidate, as long as the budget allows.

    How many passes that is, is noted in the ledger, so that a run that is continued does the same.
    """
    best = found.single.parts[0]
    name = f"last training {plan.limit}"
    noted = study.ledger.note(name)
    if noted is None:
        left = plan.seconds - (perf_counter() - began) - WRITING
        members = -(-SEEDS // usable_cores())  # one after another
        passes = int(left / (_seconds_a_row(study) * len(rows) * members))
        noted = str(int(np.clip(passes, 1, MOST_PASSES)))
        study.ledger.put_note(name, noted)
    training = replace(best.training, epochs=int(noted))
    seeds = [study.asked.seed * 1000 + i for i in range(SEEDS)]
    study.asked.tell(say("images.last_training", rows=len(rows), epochs=training.epochs, cocktail=best.cocktail))
    fits = fit(
        study.table,
        rows,
        study.network,
        best.cocktail,
        training,
        seeds,
        engine=study.engine,
        executor=study.executor,
        progress=study.asked.progress,
    )
    sound = tuple(model for record, model in fits if record.status != "diverged")
    if not sound:
        return found
    weights = np.full(len(sound), 1 / len(sound))
    return replace(found, model=Ensemble(sound, weights, found.model.temperature))


def _seconds_a_row(study: Study) -> float:
    """Return about how long one pass of one row takes in training on one core."""
    table, network, training = study.table, study.network, study.training
    inputs: Inputs = table.inputs.shape[1:] if table.inputs is not None else (network.inputs or 1)  # type: ignore[union-attr]
    outputs = len(table.classes) if table.task == "multiclass" else 1
    _, batch = batches(table.rows, training.batch_size)
    halved = training.precision == "bfloat16"
    assert isinstance(network, Module)
    network.strengths(Cocktail())  # made here, so that it is not made in the middle of a measurement
    return step_seconds(network, inputs, outputs, batch, halved=halved) / batch
