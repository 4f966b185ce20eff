"""Where a network is costly, as for images: a sample of the rows for the questions, all rows for the last training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.data import prepare
from wellfit.data.prepare import fingerprint
from wellfit.engines.base import Member
from wellfit.executors import Threads
from wellfit.executors.threads import usable_cores
from wellfit.job.exploring import COMPARISON, WRITING, Plan
from wellfit.job.study import Study
from wellfit.messages import say
from wellfit.nets import Module, Training
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.training import batches
from wellfit.records import Array, Finding
from wellfit.select.budget import step_seconds
from wellfit.select.defaults import FOLDS, default_cocktails, default_training
from wellfit.select.fitting import everything, fit
from wellfit.select.search import Search
from wellfit.select.source import design, thinned

# Passes over the sample that each member of the comparison shall make, and the fewest rows worth it.
PASSES, LEAST_ROWS = 8, 500
# Rows of the trial that finds the pace, and what is taken for the least it can find.
TRIAL_ROWS, LEAST_SLOWNESS = 2560, 0.2
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


def sample(study: Study, rows: Array, plan: Plan | None) -> tuple[Study, Sample]:
    """Return the rows to ask questions of, and the study with a training for them.

    For a module these are as many as the budget allows, else all: so many that each member of the default comparison
    makes `PASSES` passes over its fold within the comparison's share. What a pass costs is found by a short trial.
    """
    if plan is None or not isinstance(study.network, Module):
        return study, Sample(rows, rows)
    members = len(default_cocktails(quick=plan.quick, network=study.network)) * FOLDS
    slowness = _slowness(study, rows, plan)
    study = replace(study, slowness=slowness)
    each = _seconds_a_row(study) * slowness
    count = int(COMPARISON * plan.seconds * usable_cores() / (each * PASSES * members * (FOLDS - 1) / FOLDS))
    chosen = thinned(study.table, rows, max(count, LEAST_ROWS), study.asked.seed)
    if not isinstance(study.asked.training, Training):
        recipe = default_training(
            study.table,
            chosen,
            quick=plan.quick,
            network=study.network,
            seconds=COMPARISON * plan.seconds / slowness,
        )
        study = replace(study, training=replace(recipe, **(study.asked.training or {})))
    return study, Sample(chosen, rows)


def _slowness(study: Study, rows: Array, plan: Plan) -> float:
    """Return how many times longer training takes here and now than the formula says; a run that is continued recalls.

    A member for each core trains, side by side as they will.
    """
    name = f"slowness {plan.limit} {study.network.key} {study.training!r} {study.table.rows} {len(rows)}"
    noted = study.ledger.note(name)
    if noted is None:
        few = thinned(study.table, rows, TRIAL_ROWS, study.asked.seed)
        data = prepare(study.table, [everything(few)], **design(study.network))
        training = replace(study.training, epochs=1)
        members = [Member(study.network, Cocktail(), training, seed, 0) for seed in range(usable_cores())]
        begun = study.engine.advance(members, study.engine.init(members, data), [0] * len(members), data)
        began = perf_counter()
        for _ in Threads().run(study.engine, members, data, states=begun):
            pass
        slowness = (perf_counter() - began) / (len(few) * _seconds_a_row(study))
        noted = f"{max(slowness, LEAST_SLOWNESS):.3g}"
        study.ledger.put_note(name, noted)
    return float(noted)


def repaced(study: Study, plan: Plan | None, seconds: float) -> Study:
    """Return the study with the pace that the comparison had, which took ``seconds``, where that was slower than meant.

    A short trial may fall into a moment in which nothing else runs. The pace is noted in the ledger, so that a run that
    is continued, whose comparison takes no time, goes on as it would have.
    """
    if plan is None or study.slowness is None:
        return study
    name = f"pace of the comparison {plan.limit} {study.network.key} {study.training!r} {study.slowness}"
    noted = study.ledger.note(name)
    if noted is None:
        noted = f"{study.slowness * max(1.0, seconds / (COMPARISON * plan.seconds)):.3g}"
        study.ledger.put_note(name, noted)
    return replace(study, slowness=float(noted))


def last_training(study: Study, sample: Sample, found: Search, plan: Plan, began: float) -> Search:
    """Return the search with its model trained anew on all rows: its best candidate, as long as the budget allows.

    How many passes that is, is noted in the ledger, so that a run that is continued does the same.
    """
    rows, best = sample.all, found.single.parts[0]
    told = f"{study.network.key} {best.cocktail} {best.training!r}"
    name = f"last training {plan.limit} {told} {fingerprint(study.table, [everything(rows)], **design(study.network))}"
    noted = study.ledger.note(name)
    if noted is None:
        left = plan.seconds - (perf_counter() - began) - WRITING
        members = -(-SEEDS // usable_cores())  # one after another
        passes = int(left / (_seconds_a_row(study) * (study.slowness or 1.0) * len(rows) * members))
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
    outputs = len(table.classes) if table.task == "multiclass" else 1
    _, batch = batches(table.rows, training.batch_size)
    halved = training.precision == "bfloat16"
    assert isinstance(network, Module)
    assert network.inputs is not None  # a study's network is bound
    network.strengths(Cocktail())  # made here, so that it is not made in the middle of a measurement
    return step_seconds(network, network.inputs, outputs, batch, halved=halved) / batch
