"""The search's budgets, and halving with folds fixed in advance: who goes on, and what is not trained again."""

from __future__ import annotations

import numpy as np
import pytest
from tables import made_table
from test_search import SMALL, runner, track

from wellfit.cocktail import Cocktail, as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import SettingError
from wellfit.executors import MemberError, Threads
from wellfit.ledger import Ledger, MemoryLedger
from wellfit.nets import MLP, Training
from wellfit.population import train
from wellfit.select.budget import Budget, as_budget, cost, step_cost
from wellfit.select.compare import cross_validation_data
from wellfit.select.halving import ETA, promotions, rung_epochs
from wellfit.select.search import search


class Counting(CompiledEngine):
    """The engine, counting the epochs it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs = 0

    def advance(self, members, states, until, data):
        self.epochs += sum(max(0, u - s.epoch) for u, s in zip(until, states, strict=True))
        return super().advance(members, states, until, data)


# Budgets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("60s", Budget(60.0)),
        ("60 s", Budget(60.0)),
        ("2m", Budget(120.0)),
        ("1h30m", Budget(5400.0)),
        ("1.5 min", Budget(90.0)),
        (45.0, Budget(45.0)),
        (200_000, Budget(steps=200_000)),
        ("200_000 steps", Budget(steps=200_000)),
        ("7 Step", Budget(steps=7)),
    ],
)
def test_budgets_are_read(given, expected):
    assert as_budget(given) == expected
    assert as_budget(expected) is expected


@pytest.mark.parametrize(
    "given", ["", "s", "60", "0s", "0.5s", "10 parsecs", "-5s", 0, -3, True, None, "0 steps", "nan s"]
)
def test_what_is_no_budget_is_refused(given):
    with pytest.raises(SettingError, match="A budget is a time of at least a second"):
        as_budget(given)


def test_the_cost_grows_with_network_batch_and_ingredients():
    data, _ = cross_validation_data(made_table(rows=200), np.arange(200), 2, 0, False, MLP())

    def price(network=(64, 32), cocktail="none", batch=32):
        return step_cost(Member(MLP(network), as_cocktail(cocktail), Training(batch_size=batch), 0, 0), data)

    assert 0.5 < price() < 1.5, "the unit is about one step of the default network"
    assert price((256, 256)) > 10 * price()
    assert price(batch=64) > price() > price(())
    assert price(cocktail="mixup=0.2 + batch_norm") > price()
    member = Member(MLP((8,)), Cocktail(), Training(batch_size=32), 0, 0)
    once, twice = cost([member], [0], [10], data), cost([member], [0], [20], data)
    assert once < twice < 2 * once, "a member taken up once has one overhead"


def test_a_search_keeps_its_budget_in_steps():
    for budget in (20_000, 90_000):
        found = search(made_table(rows=150), budget=budget, folds=3).record
        assert 0.6 * budget < found.spent <= 1.1 * budget
        assert found.budget == budget


def test_seconds_are_turned_into_steps_once_and_the_count_repeats_the_search():
    table, ledger = made_table(rows=120), MemoryLedger()
    first = search(table, budget="4s", folds=2, ledger=ledger).record
    again = search(table, budget="4s", folds=2, ledger=ledger).record  # as noted, not as the clock goes now
    elsewhere = search(table, budget=first.repeat, folds=2, executor=Threads(1)).record
    for other in (again, elsewhere):
        assert other.budget == first.budget
        assert [t.cocktail for t in other.trials] == [t.cocktail for t in first.trials]
        np.testing.assert_array_equal(other.out_of_fold, first.out_of_fold)
        assert other.parts == first.parts


# Halving -------------------------------------------------------------------------------------------------------------


def test_the_best_third_goes_on_and_takes_its_states_along():
    table, engine = made_table(rows=90), Counting()
    course = track(table, engine=engine)
    runners = [runner("none" if i == 4 else f"l2={0.3 * 2**i:g}", number=i) for i in range(9)]
    course.advance([(r, 0) for r in runners])
    losses = [r.loss(0) for r in runners]
    chosen = promotions(runners, 3)
    assert sorted(r.number for r, _ in chosen) == sorted(np.argsort(losses)[: 9 // ETA].tolist())
    assert {rung for _, rung in chosen} == {1}
    before = engine.epochs
    course.advance(chosen)
    assert engine.epochs - before == len(chosen) * course.folds * (3 - 1), "they continue, they do not restart"
    again = promotions(runners, 3)
    assert [rung for _, rung in again] == [2], "of the three on the second rung the best one"


def test_a_promoted_member_equals_one_trained_at_once():
    table = made_table(rows=90)
    course = track(table)
    mine = runner("l2=0.01 + dropout=0.2")
    for rung in (0, 1, 2):
        course.advance([(mine, rung)])
    whole = train(course.members(mine), course.data, engine=CompiledEngine())
    for h, expected in zip(mine.rungs[2], whole, strict=True):
        np.testing.assert_array_equal(h.predictions, expected.predictions)
    assert mine.loss(2) == np.mean([h.curves["score_loss"][-1] for h in whole])


def test_diverged_candidates_are_never_promoted():
    course = track(made_table("regression", rows=90))
    wild = Training("gd", 1e6, epochs=9, batch_size=None)
    runners = [runner("l2=1e6", number=i, training=wild) for i in range(2)] + [runner(number=2)]
    course.advance([(r, 0) for r in runners])
    assert np.isnan(runners[0].loss(0))
    assert [r.number for r, _ in promotions(runners, 3)] == [2]


def test_rungs_are_few_for_short_trainings():
    assert rung_epochs(1) == (1,)
    assert rung_epochs(2) == (1, 2)
    assert rung_epochs(27) == (3, 9, 27)


def test_what_the_ledger_holds_is_not_trained_again_unless_its_parameters_are_asked_for():
    table, ledger = made_table(rows=90), MemoryLedger()
    first = runner("l2=0.01")
    one = track(table, ledger=ledger)
    one.advance([(first, 0)])
    one.advance([(first, 1)])
    engine, second = Counting(), runner("l2=0.01")
    two = track(table, ledger=ledger, engine=engine)
    two.advance([(second, 0)])
    two.advance([(second, 1)])
    assert engine.epochs == 0
    assert two.spent == one.spent, "the account is the same, so the search goes the same way"
    for a, b in zip(one.parameters(first, 1), two.parameters(second, 1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert engine.epochs == 3 * two.folds
    two.advance([(second, 2)])
    one.advance([(first, 2)])
    assert second.loss(2) == first.loss(2)


def test_an_interrupted_search_goes_on_to_the_same_answer(tmp_path):
    table = made_table(rows=100)
    whole = search(table, budget=SMALL, folds=2).record

    class Interrupting(Counting):
        def advance(self, members, states, until, data):
            if self.epochs > 600:
                raise KeyboardInterrupt
            return super().advance(members, states, until, data)

    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(MemberError, match="KeyboardInterrupt"):
            search(table, budget=SMALL, folds=2, ledger=ledger, engine=Interrupting(), executor=Threads(1))
        assert any("@" in key for key in list(ledger.keys()))
        found = search(table, budget=SMALL, folds=2, ledger=ledger).record
    np.testing.assert_array_equal(found.out_of_fold, whole.out_of_fold)
    assert [t.losses for t in found.trials] == [t.losses for t in whole.trials]


class Keeping(Threads):
    """Finds all members long: each is kept at least once."""

    def run(self, *args, keep=None, **options):
        for index, state in super().run(*args, keep=keep, **options):
            if keep is not None:
                keep(index, state)
            yield index, state


def test_what_took_long_on_its_way_up_the_rungs_is_not_trained_again():
    """A second run has nothing to train, neither to go on from nor to read weights of."""
    table, ledger = made_table(rows=100), MemoryLedger()
    often, one = track(table, ledger=ledger), runner()
    often.executor = Keeping(2)
    for rung in range(2):
        often.advance([(one, rung)])
    engine = Counting()
    again, two = track(table, ledger=ledger, engine=engine), runner()
    for rung in range(2):
        again.advance([(two, rung)])
    for ours, theirs in zip(again.parameters(two, 1), often.parameters(one, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert engine.epochs == 0
    again.advance([(two, 2)])
    assert engine.epochs == again.folds * (9 - 3)
    often.advance([(one, 2)])
    assert two.loss(2) == one.loss(2)
