"""Exact paths that are solved without planning a population: the same answers, and only where that takes a moment."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import wellfit as wf
from wellfit.data import load
from wellfit.engines.base import Member, histories
from wellfit.engines.contract.problems import make_data, weighted
from wellfit.engines.convex import ConvexEngine, penalty
from wellfit.errors import SettingError, UnsupportedError
from wellfit.evidence.metrics import METRICS
from wellfit.executors import Threads
from wellfit.ledger import MemoryLedger
from wellfit.nets import MLP, Training
from wellfit.records import Table
from wellfit.select.path_reading import _predicted
from wellfit.select.stacked import Solved, Stacked


class Idle(Threads):
    """An executor that nobody should need."""

    def run(self, *_args, **_options):
        raise AssertionError("a population was trained")


def mixed(rows=150):
    """A table with numbers, some of them missing, a category with a rare level and a column that is constant."""
    rng = np.random.default_rng(3)
    columns = {f"x{j}": rng.normal(size=rows) * 10.0**j for j in range(4)}
    columns["x1"][::7] = np.nan
    columns["same"] = np.ones(rows)
    words = np.array(["a", "b", "c", None], dtype=object)[rng.integers(0, 4, rows)]
    words[5] = "rare"
    y = columns["x0"] + columns["x2"] / 200 + (words == "a") + rng.normal(size=rows)
    kinds = {name: "numeric" for name in columns} | {"word": "categorical"}
    return Table("mixed", {**columns, "word": words}, kinds, y, "y", "regression")


def assert_same(a, b, where="path"):
    if isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, err_msg=where)
    elif is_dataclass(a):
        for field in fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        assert_same(list(a.values()), list(b.values()), where)
    else:
        assert a == b or (a != a and b != b), where


@pytest.mark.parametrize("over", ["l1", "l2", "elastic_net"])
@pytest.mark.parametrize("table", ["diabetes", "gaps", "weights", "wide"])
def test_the_answer_is_that_of_the_population_to_the_last_bit(over, table):
    rng = np.random.default_rng(0)
    source = load("diabetes") if table == "diabetes" else mixed()
    if table == "weights":
        source = replace(source, weights=rng.choice([0.0, 1.0, 2.5], source.rows))
    elif table == "wide":  # more columns than the kernels are written for
        draw = rng.normal(size=(180, 70))
        source = load((draw, draw[:, 0] + draw[:, 1] + rng.normal(size=180)))
    asked = {"network": "linear", "points": 8, "folds": 4}
    at_once = wf.path(source, over, executor=Idle(), **asked)
    assert_same(at_once, wf.path(source, over, ledger=MemoryLedger(), **asked))


@pytest.mark.parametrize("over", ["l1", "l2"])
def test_threads_change_nothing(over):
    draw = np.random.default_rng(2).normal(size=(400, 40))
    source = load((draw, draw[:, :5].sum(axis=1)))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(wf.path(source, over, network="linear", points=6, executor=Threads(threads)))
    assert_same(*found)


def test_readings_of_solutions_are_those_of_their_histories():
    data, training = weighted(make_data("regression")), Training(epochs=3)
    mixes = [wf.Cocktail.parse(text) for text in ("none", "l1=0.01", "l1=0.1", "l1=9")]
    ours = [Member(MLP(()), mixes[0], training, 0, fold) for fold in (0, 1)]
    engine = ConvexEngine()
    solved = Solved(engine, ours, [penalty(mix) for mix in mixes], data)
    members = [replace(member, cocktail=mix) for mix in mixes for member in ours]
    states = engine.advance(members, engine.init(members, data), [3] * len(members), data)
    stacked = Stacked(histories(engine, members, states, data), folds=2)
    assert stacked.longest == solved.longest
    for name in ("diverged", "norms", "zeros", "used", "units"):
        np.testing.assert_array_equal(getattr(solved, name), getattr(stacked, name), err_msg=name)
    for name in ("train_loss", "stop_loss", "score_loss", "penalty", "score_accuracy"):
        np.testing.assert_array_equal(solved.curves(name), stacked.curves(name), err_msg=name)
        np.testing.assert_array_equal(solved.kept(name), stacked.kept(name), err_msg=name)
    for fold in (0, 1):
        np.testing.assert_array_equal(solved.predictions(fold), np.array(stacked.predictions(fold)))


def test_only_what_takes_a_moment_is_solved_at_once(monkeypatch):
    data, training, engine = make_data("regression"), Training(epochs=3), ConvexEngine()
    members = [Member(MLP(()), wf.Cocktail(), training, 0, fold) for fold in (0, 1)]
    assert engine.at_once(members, 100, data)
    assert not engine.at_once(members, 10**7, data), "so many points are worth several threads"
    for task in ("binary", "multiclass"):
        assert not engine.at_once(members, 3, make_data(task)), "a logistic path may take long"
    many = make_data("regression", rows=400, inputs=250)
    assert not engine.at_once(members, 100, many), "each solution is a linear system of 250 unknowns"
    wide = make_data("regression", rows=97, inputs=120)
    assert not engine.at_once(members, 3, wide), "more columns than rows"
    ran = []
    plain = Threads.run
    monkeypatch.setattr(Threads, "run", lambda self, *a, **k: ran.append(1) or plain(self, *a, **k))
    wf.path("diabetes", "l1", network="linear", points=3, folds=2)
    assert not ran
    wf.path("breast-cancer", "l1", network="linear", points=3, folds=2)
    assert ran


def test_progress_and_refusals_are_those_of_a_population():
    told, other = [], []
    asked = {"network": "linear", "points": 4, "folds": 3}
    wf.path("diabetes", "l1", progress=lambda *step: told.append(step), **asked)
    wf.path("diabetes", "l1", progress=lambda *step: other.append(step), ledger=MemoryLedger(), **asked)
    assert (told[0], told[-1]) == (other[0], other[-1])
    assert told[-1][0] == told[-1][1] > 0
    with pytest.raises((SettingError, UnsupportedError)) as ours:
        wf.path("diabetes", "l1", cocktail="l2=(0.1, 0.2)", **asked)
    with pytest.raises(type(ours.value)) as theirs:
        wf.path("diabetes", "l1", cocktail="l2=(0.1, 0.2)", ledger=MemoryLedger(), **asked)
    assert str(ours.value) == str(theirs.value)


def test_rows_that_several_folds_score_are_all_there():
    data, engine = make_data("regression"), ConvexEngine()  # both of its folds score the same rows
    members = [Member(MLP(()), wf.Cocktail(), Training(epochs=3), 0, fold) for fold in (0, 1)]
    solved = Solved(engine, members, [(0.0, 0.0), (0.1, 0.0)], data)
    target = data.folds[0].y[:, 0]
    asked = SimpleNamespace(
        metric=METRICS["rmse"], folds=2, seeds=1, table=SimpleNamespace(target=target, task="regression")
    )
    scores, rows, said = _predicted(solved, np.zeros((2, 2, 1), dtype=bool), data, asked)
    assert (np.unique(rows, return_counts=True)[1] == 2).all()
    for p in (0, 1):
        both = [solved.predictions(fold)[p][0][:, 0] for fold in (0, 1)]
        for row, ours in zip(data.folds[0].rows.score, np.transpose(both), strict=True):
            assert sorted(said[p, rows == row, 0]) == sorted(ours)
        for fold in (0, 1):
            error = np.sqrt(np.mean((both[fold] - target[data.folds[fold].rows.score]) ** 2))
            assert scores[p, fold, 0] == pytest.approx(error)
