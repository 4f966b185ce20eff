"""Paths trained again: from a neighbour's weights, from a ledger, after an interrupt, and by an equal call."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy_engine import NumpyEngine
from test_path import GD, football, made, plain

from wellfit.cocktail import as_cocktail
from wellfit.data import folds as cut
from wellfit.data import prepare
from wellfit.engines.base import history
from wellfit.executors import Threads
from wellfit.ledger import Ledger, MemoryLedger
from wellfit.nets import MLP
from wellfit.population import plan
from wellfit.records import Path
from wellfit.select.path_reading import read_warm

# Warm starts ---------------------------------------------------------------------------------------------------------


def test_warm_starts_begin_as_the_independent_ones_and_then_differ() -> None:
    found = plain("l2", [0.01, 0.1, 1.0], warm=True, training=replace(GD, epochs=5))
    warm = found.warm
    assert warm is not None
    np.testing.assert_array_equal(warm.losses[0], found.losses[0])
    assert (warm.losses[1:] != found.losses[1:]).all()
    assert warm.differences[0].word == "undecided"
    assert warm.differences[0].interval.mean == 0
    assert "over 3 points the validation loss differs by" in warm.sentence
    assert f"{found.mean(found.losses).min():.3g} without" in warm.sentence
    cold = plain("l2", [0.01, 0.1, 1.0], training=replace(GD, epochs=5))
    np.testing.assert_array_equal(cold.losses, found.losses)
    assert cold.warm is None
    assert plain("early_stopping", [3], warm=True).warm is None, "one training serves all its points already"


def test_a_warm_point_is_its_neighbour_trained_on() -> None:
    table, short = made(), replace(GD, epochs=4)
    found = plain("l2", [0.5], table=table, training=short, warm=True, seeds=1, folds=2)
    data = prepare(table, list(cut(table, np.arange(60), folds=2, seed=0)))
    engine = NumpyEngine()
    for k in range(2):
        first, second = (
            plan(data, folds=2, cocktails=(as_cocktail(c),), networks=(MLP((5,)),), trainings=(short,))[k]
            for c in found.cocktails
        )
        (before,) = engine.advance([first], engine.init([first], data), [4], data)
        begin = engine.init([second], data)[0].with_parameters(before.parameters)
        (after,) = engine.advance([second], [begin], [4], data)
        assert found.warm.losses[1, k, 0] == history(second, after, data).curves["score_loss"][-1]


def test_warm_starts_that_cannot_be_compared_say_so() -> None:
    found = plain("l2", [4e4], training=replace(GD, epochs=90), warm=True)
    assert found.warm.differences[1] is None
    assert found.warm.sentence.startswith("Warm starts cannot be compared")
    lost = [[replace(h, status="diverged") for h in _histories(found)] for _ in range(2)]
    assert read_warm(lost, found, _data()).sentence.startswith("Warm starts cannot be compared")


def _data():
    return prepare(made(), list(cut(made(), np.arange(60), folds=3, seed=0)))


def _histories(found: Path) -> list:
    data, engine = _data(), NumpyEngine()
    members = plan(data, folds=3, networks=(MLP((5,)),), trainings=(GD,), seeds=(0, 1))
    return [history(m, s, data) for m, s in zip(members, engine.init(members, data), strict=True)] if found else []


# Ledger, interrupts, repetition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_a_ledger_makes_the_second_call_free_and_equal(over: str, tmp_path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = plain(over, ledger=ledger, warm=True)
        engine = NumpyEngine()
        second = plain(over, ledger=ledger, engine=engine, warm=True)
        assert engine.advanced == []
        assert digest(first) == digest(second)
        more = plain(over, [3.0], ledger=ledger, engine=engine)
        assert engine.advanced or more.strengths[1] in first.strengths
    plainly_again = plain(over, warm=True)
    assert digest(plainly_again) == digest(first)


def digest(found: Path) -> str:
    parts = [found.losses, found.train_losses, found.scores, found.out_of_fold, *found.curves.values(), found.units]
    if found.warm is not None:
        parts.append(found.warm.losses)
    return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_ctrl_c_keeps_what_is_trained(over: str) -> None:
    class Impatient(NumpyEngine):
        def _member(self, m, state, until, data):
            if len({(str(a.cocktail), a.fold, a.seed) for a in self.advanced}) > 8 or len(self.advanced) > 40:
                raise KeyboardInterrupt
            return super()._member(m, state, until, data)

    class OneByOne:
        """Runs members in order; an interrupt comes up where it falls, after what has ended was handed over."""

        def run(self, engine, members, data, *, states=None, until=None, progress=None, keep=None):
            begun = engine.init(members, data) if states is None else states
            for i, member in enumerate(members):
                end = member.training.epochs if until is None else until[i]
                state = begun[i]
                for epoch in range(1, end + 1):
                    (state,) = engine.advance([member], [state], [epoch], data)
                yield i, state

    ledger, grid = MemoryLedger(), [0.01, 0.1, 0.3] if over == "l2" else [1, 3, 7]
    with pytest.raises(KeyboardInterrupt):
        plain(over, grid, ledger=ledger, engine=Impatient(), executor=OneByOne())
    kept = len(list(ledger.keys()))
    assert kept > 0
    engine = NumpyEngine()
    continued = plain(over, grid, ledger=ledger, engine=engine)
    assert digest(continued) == digest(plain(over, grid))
    members = {(str(m.cocktail), m.fold, m.seed) for m in engine.advanced}
    points = 4 if over == "l2" else 1
    assert len(members) == 6 * points - kept // (1 if over == "l2" else 4)


def test_equal_calls_give_equal_paths_on_any_number_of_threads() -> None:
    found = {digest(football("dropout", 4, executor=Threads(n), warm=True)) for n in (1, 2)}
    assert len(found) == 1
    assert digest(football("dropout", 4, seed=1)) not in found


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_progress_reaches_the_total_each_time(over: str) -> None:
    calls: list[tuple[int, int]] = []
    ledger = MemoryLedger()
    plain(over, [3.0, 7.0], warm=True, ledger=ledger, progress=lambda done, total: calls.append((done, total)))
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] > 0
    assert len({total for _, total in calls}) == 1, "one population, and the warm one as large"
    assert sum(a[0] > b[0] for a, b in itertools.pairwise(calls)) == (over == "l2")
    again: list[tuple[int, int]] = []
    plain(over, [3.0, 7.0], ledger=ledger, progress=lambda done, total: again.append((done, total)))
    assert again == [calls[-1]]
