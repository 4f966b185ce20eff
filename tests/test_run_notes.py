"""What a run notes in its ledger and recalls when it is continued: for this network, training and data, no others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import wellfit as wf
from wellfit import rng
from wellfit.executors import Threads
from wellfit.executors.threads import usable_cores
from wellfit.job import thinning
from wellfit.job.exploring import COMPARISON, TRAINED, WRITING, Plan, _search_budget
from wellfit.job.study import Asked, Study, opened
from wellfit.job.thinning import Sample, last_training, repaced, sample
from wellfit.records import Table
from wellfit.select.budget import STANDARD
from wellfit.select.search import Search
from wellfit.select.source import chosen_network

nn = torch.nn
TRAINING = wf.Training("adam", 0.01, 2, 16)
ROWS = np.arange(60)
PLAN = Plan.of("100s", quick=True, images=True)


def flat(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(inputs)), outputs))


def deeper(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(inputs)), 3), nn.ReLU(), nn.Linear(3, outputs))


@pytest.fixture
def study() -> Iterator[Study]:
    """Return a study of 60 images of 6 x 6, in memory."""
    draw = rng.generator(0, rng.DATA)
    target = (np.arange(60) % 2).astype(np.int64)
    x = (draw.integers(0, 100, (60, 1, 6, 6)) + 100 * target[:, None, None, None]).astype(np.uint8)
    table = Table("dots", {}, {}, target, "bright", "binary", ("no", "yes"), inputs=x)
    with opened(table, (), ROWS, Asked(network=wf.module("net", flat), training=TRAINING), None) as found:
        yield found


def other_network(study: Study) -> Study:
    """The same name, other layers."""
    return replace(study, network=chosen_network(study.table, ROWS, wf.module("net", deeper)))


def other_training(study: Study) -> Study:
    return replace(study, training=replace(TRAINING, learning_rate=0.02))


def other_data(study: Study) -> Study:
    """One value of one image differs."""
    inputs = study.table.inputs.copy()
    inputs[7, 0, 2, 2] ^= 1
    return replace(study, table=replace(study.table, inputs=inputs))


def test_the_pace_is_measured_once_for_a_network_and_a_training(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, run = [], Threads.run
    monkeypatch.setattr(Threads, "run", lambda *given, **options: trials.append(1) or run(*given, **options))
    first, _ = sample(study, ROWS, PLAN)
    again, _ = sample(study, ROWS, PLAN)
    assert len(trials) == 1
    assert again.slowness == first.slowness
    for change in (other_network, other_training):
        found, _ = sample(change(study), ROWS, PLAN)
        assert found.slowness > 0
    assert len(trials) == 3
    sample(study, ROWS, Plan.of("99s", quick=True, images=True))
    assert len(trials) == 4


def test_a_comparison_that_was_slower_than_its_trial_sets_the_pace_once(study: Study) -> None:
    """A run that is continued reads its comparison from the ledger in no time, and goes on as it would have."""
    study = replace(study, slowness=2.0)
    meant = COMPARISON * PLAN.seconds
    assert repaced(study, PLAN, 3 * meant).slowness == 6.0
    assert repaced(study, PLAN, 0.0).slowness == 6.0
    assert repaced(replace(study, slowness=1.0), PLAN, 0.5 * meant).slowness == 1.0, "it is never taken to be faster"
    assert repaced(replace(study, slowness=None), PLAN, 3 * meant).slowness is None


def test_a_continued_run_searches_as_many_steps_as_it_said(study: Study) -> None:
    study, began = replace(study, slowness=2.0), time.perf_counter()
    first = _search_budget(study, PLAN, began, 0.0)
    assert first.steps == pytest.approx(TRAINED * (PLAN.seconds - WRITING) * usable_cores() / STANDARD / 2.0, rel=0.01)
    assert _search_budget(study, PLAN, began - PLAN.seconds / 2, 0.0) == first
    assert _search_budget(replace(study, slowness=None), PLAN, began, 0.0).steps is None


@pytest.fixture
def found(study: Study) -> Search:
    net = wf.module("net", flat)
    return wf.search(study.table, network=net, budget=50, folds=2, training=TRAINING, rows=ROWS)


def test_the_last_training_is_as_long_as_it_was_noted_for_this_network_and_data(
    study: Study, found: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is continued has less time left, and trains as long as it said; another one by its own time."""
    now = [0.0]
    monkeypatch.setattr(thinning, "perf_counter", lambda: now[0])
    monkeypatch.setattr(thinning, "usable_cores", lambda: 2)

    def epochs(of: Study) -> set[int]:
        fitting = (PLAN.seconds - WRITING) / 60 / 7.5  # seconds a row of which seven passes fit
        slow = replace(of, slowness=fitting / thinning._seconds_a_row(of))
        ended = last_training(slow, Sample(ROWS, ROWS), found, PLAN, 0.0)
        return {part.training.epochs for part in ended.model.parts}

    assert epochs(study) == {7}
    now[0] = PLAN.seconds / 2
    assert epochs(study) == {7}
    few = {3}
    assert epochs(other_data(study)) == few
    assert epochs(other_network(study)) == few
    assert epochs(study) == {7}
