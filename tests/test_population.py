"""Populations: planning, refusal by name, order, the ledger, members that fail, divergence."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy_engine import NumpyEngine, make_data

from wellfit.cocktail import L1, L2, Cocktail, Dropout, EarlyStopping, as_cocktails
from wellfit.engines.base import Member, histories, history
from wellfit.errors import SettingError, UnsupportedError
from wellfit.executors import MemberError, Threads, member_steps
from wellfit.ledger import Ledger, MemoryLedger
from wellfit.ledger.contract import assert_same
from wellfit.nets import MLP, Linear, Training
from wellfit.population import check, diverged_findings, largest_safe_rate, plan, train, train_each

QUICK = Training("gd", 0.1, epochs=6, batch_size=16)


def _alone(member, data):
    """The member trained in one call, with no executor: what `train` must give."""
    engine = NumpyEngine()
    state = engine.advance([member], engine.init([member], data), [member.training.epochs], data)[0]
    return history(member, state, data)


def test_plan_holds_every_combination_once_in_order():
    data = make_data(folds=3)
    networks, cocktails = (MLP((4,)), Linear()), as_cocktails("none; l2=0.1")
    trainings = (QUICK, Training("gd", 0.2, epochs=3))
    members = plan(data, folds=3, cocktails=cocktails, networks=networks, trainings=trainings, seeds=(5, 7))
    assert len(set(members)) == len(members) == 2 * 2 * 2 * 3 * 2
    assert [m.seed for m in members[:4]] == [5, 7, 5, 7]
    assert [m.fold for m in members[:6]] == [0, 0, 1, 1, 2, 2]
    assert [str(m.cocktail) for m in members[:12:6]] == ["none", "l2=0.1"]


def test_only_early_stopping_uses_the_folds_with_stop_rows():
    data = make_data(folds=3, stop=True)
    members = plan(data, folds=3, cocktails=as_cocktails("none; early_stopping=3; l2=0.1 + early_stopping=3"))
    assert [m.fold for m in members] == [0, 1, 2, 3, 4, 5, 3, 4, 5]
    for early, plain in zip(members[3:6], members[:3], strict=True):
        one, other = data.folds[early.fold].rows, data.folds[plain.fold].rows
        np.testing.assert_array_equal(one.score, other.score)
        assert len(one.stop)
        assert not len(other.stop)


def test_plan_refuses_what_is_no_population():
    with pytest.raises(SettingError, match="nothing to train"):
        plan(make_data(), folds=3, seeds=())
    with pytest.raises(SettingError, match="holds 3 folds; for 2 folds it must hold 2, or 4"):
        plan(make_data(folds=3), folds=2)


@pytest.mark.parametrize(
    ("cocktail", "network", "reason"),
    [
        (Cocktail((L2((0.1, 0.1, 0.1)),)), MLP((4,)), r"l2=\(0.1, 0.1, 0.1\).*network 4.*given 3 values.*has 2"),
        (Cocktail((Dropout(0.5),)), Linear(), "dropout=0.5.*network linear.*hidden layers"),
        (Cocktail((Dropout(0.5),)), MLP((4,)), "dropout=0.5.*NumPy engine knows no dropout"),
        (Cocktail((EarlyStopping(3),)), MLP((4,)), "early_stopping=3.*fold 0 has none"),
    ],
)
def test_misfits_are_refused_by_name_before_any_work(cocktail, network, reason):
    engine, data = NumpyEngine(), make_data()
    members = [Member(MLP((4,)), Cocktail(), QUICK, 0, 0), Member(network, cocktail, QUICK, 0, 0)]
    with pytest.raises(UnsupportedError, match=reason):
        train(members, data, engine=engine)
    assert engine.advanced == []


def test_an_absent_fold_is_refused():
    with pytest.raises(SettingError, match="fold 3, and the data holds folds 0 to 2"):
        check([Member(MLP((4,)), Cocktail(), QUICK, 0, 3)], make_data(), NumpyEngine())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_histories_stand_in_the_members_order(task):
    data = make_data(task, stop=True)
    cocktails = as_cocktails("none; l1=0.2; l2=0.1; early_stopping=2")
    members = plan(data, folds=3, cocktails=cocktails, networks=(MLP((4,)),), trainings=(QUICK,), seeds=(0, 1))
    got = train(members, data, engine=NumpyEngine(), executor=Threads(2))
    for member, result in zip(members, got, strict=True):
        assert_same(result, _alone(member, data))
    assert any(h.zero_weights for m, h in zip(members, got, strict=True) if m.cocktail.get(L1))


def test_equal_members_are_trained_once():
    data, engine = make_data(), NumpyEngine()
    member = Member(MLP((4,)), Cocktail(), Training("gd", 0.1, epochs=1), 0, 0)
    one, two = train([member, member], data, engine=engine)
    assert len(engine.advanced) == 1
    assert_same(one, two)


def test_the_ledger_is_used_and_filled(tmp_path):
    data = make_data()
    members = plan(data, folds=3, networks=(MLP((4,)),), trainings=(QUICK,), seeds=(0, 1))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = train(members[:4], data, engine=NumpyEngine(), ledger=ledger)
        engine, calls = NumpyEngine(), []
        second = train(members, data, engine=engine, ledger=ledger, progress=lambda *c: calls.append(c))
        assert set(engine.advanced) == set(members[4:])
        for a, b in zip(first, second, strict=False):
            assert_same(a, b)
        assert len(list(ledger.keys())) == 6
        each = member_steps(members[0], data)
        assert calls[0] == (4 * each, 6 * each)
        assert calls[-1] == (6 * each, 6 * each)
        third = NumpyEngine()
        train(members, data, engine=third, ledger=ledger)
        assert third.advanced == []


def test_results_of_other_data_are_not_taken():
    ledger, engine = MemoryLedger(), NumpyEngine()
    member = Member(MLP((4,)), Cocktail(), QUICK, 0, 0)
    train([member], make_data(seed=1), engine=engine, ledger=ledger)
    train([member], make_data(seed=2), engine=engine, ledger=ledger)
    assert len(list(ledger.keys())) == 2


def failing(seed, error):
    class Failing(NumpyEngine):
        def advance(self, members, states, until, data):
            if members[0].seed == seed:
                raise error
            return super().advance(members, states, until, data)

    return Failing()


def test_a_failing_member_is_named_and_the_rest_recorded():
    data, ledger = make_data(), MemoryLedger()
    members = [Member(MLP((4,)), Cocktail(), QUICK, seed, 0) for seed in (1, 2, 9)]
    with pytest.raises(MemberError, match=r"seed 9 \| fold 0\. ValueError: odd"):
        train(members, data, engine=failing(9, ValueError("odd")), executor=Threads(1), ledger=ledger)
    assert len(list(ledger.keys())) == 2


def test_a_member_without_memory_is_named_and_all_others_are_kept():
    data, ledger = make_data(), MemoryLedger()
    members = [Member(MLP((4,)), Cocktail(), QUICK, seed, 0) for seed in (9, 1, 2, 3)]
    with pytest.raises(MemberError, match=r"memory did not suffice for 1 of 4 members.*seed 9 \| fold 0.*--threads"):
        train(members, data, engine=failing(9, MemoryError()), executor=Threads(1), ledger=ledger)
    assert len(list(ledger.keys())) == 3
    engine = NumpyEngine()
    train(members, data, engine=engine, ledger=ledger)
    assert {m.seed for m in engine.advanced} == {9}, "with more memory only that one is trained"


def test_no_memory_for_a_history_costs_that_member_only(monkeypatch):
    data, ledger = make_data(), MemoryLedger()

    def scarce(engine, members, states, data):
        if any(member.seed == 9 for member in members):
            raise MemoryError
        return histories(engine, members, states, data)

    monkeypatch.setattr(sys.modules["wellfit.population.train"], "histories", scarce)
    members = [Member(MLP((4,)), Cocktail(), QUICK, seed, 0) for seed in (9, 1, 2)]
    with pytest.raises(MemberError, match=r"memory did not suffice for 1 of 3.*seed 9"):
        train(members, data, engine=NumpyEngine(), ledger=ledger)
    assert len(list(ledger.keys())) == 2


def test_histories_can_be_handed_over_one_by_one(tmp_path):
    data = make_data()
    members = plan(data, folds=3, networks=(MLP((4,)),), trainings=(QUICK,), seeds=(0, 1))
    expected = dict(zip(members, train(members, data, engine=NumpyEngine()), strict=True))
    with Ledger(tmp_path / "l.sqlite") as ledger:
        train(members[:2], data, engine=NumpyEngine(), ledger=ledger)
        got = []
        train_each(members, data, lambda *pair: got.append(pair), engine=NumpyEngine(), ledger=ledger)
    assert [member for member, _ in got[-2:]] == members[:2], "what was recorded comes last: training begins at once"
    assert sorted(map(str, (member for member, _ in got))) == sorted(map(str, members))
    for member, found in got:
        assert_same(found, expected[member])


def test_no_ended_state_is_held_without_need():
    """States of large networks would fill the memory if each waited for the last one."""
    data, taken = make_data(), []
    members = [Member(MLP((4,)), Cocktail(), QUICK, seed, 0) for seed in range(6)]

    class Watched(Threads):
        def run(self, *args, **options):
            for count, item in enumerate(super().run(*args, **options)):
                assert len(taken) == count, "each one is read before the next is asked for"
                yield item

    train_each(members, data, lambda *pair: taken.append(pair), engine=NumpyEngine(), executor=Watched(1))
    assert len(taken) == len(members)


def test_diverged_members_are_kept_and_told():
    data = make_data("regression")
    wild = Training("gd", 1e6, epochs=20, batch_size=None)
    members = [Member(MLP((4,)), c, t, 0, 0) for c in as_cocktails("none; l2=0.1") for t in (QUICK, wild)]
    got = train(members, data, engine=NumpyEngine())
    assert [h.status for h in got] == ["finished", "diverged"] * 2
    found = diverged_findings(members, got)
    assert [f.kind for f in found] == ["diverged"] * 2
    assert "1 of 2 members of the cocktail l2=0.1" in found[1].text
    assert "1e+06" in found[1].text
    (all_lost,) = diverged_findings(members[1::2], got[1::2])
    assert all_lost.count == 2
    assert "All 2 members diverged" in all_lost.text
    assert "learning rate 1e+06 is too high" in all_lost.text
    assert diverged_findings(members[::2], got[::2]) == ()
    assert all("At the learning rate 0.1 none of them diverged." in f.text for f in found)
    assert "try a tenth of it" in all_lost.text


class _Scripted(NumpyEngine):
    """Makes up how a member ends from its learning rate: a last loss, or None for diverged."""

    def __init__(self, ends):
        super().__init__()
        self.ends = ends

    def advance(self, members, states, until, data):
        self.advanced += members
        return [self._end(m, s) for m, s in zip(members, states, strict=True)]

    def _end(self, member, state):
        last = self.ends[member.training.learning_rate]
        curves = state.curves.copy()
        curves[:, 0] = 1.0
        curves[-1, 0] = np.nan if last is None else last
        status = "diverged" if last is None else "finished"
        return replace(state, curves=curves, epoch=member.training.epochs, status=status)


def test_a_safe_rate_ends_below_its_start_and_has_no_bad_one_under_it():
    """And it is tried without the member's cocktail, which may be what diverges."""
    member = Member(MLP((4,)), Cocktail((L2(5.0),)), Training("gd", 3.0, epochs=4), 7, 2)
    rates = (3e-6, 3e-5, 3e-4, 3e-3, 0.03, 0.1, 0.3, 1.0)
    for lasts, expected in (
        ((0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 1.5, None), 0.1),  # 0.3 only looks as if it held: its loss has risen
        ((0.9, 0.8, None, 0.6, 0.5, 0.4, 0.3, 0.2), 3e-5),  # above one that diverges nothing is safe
        ((None, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2), None),
        ((0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2), 1.0),
    ):
        engine = _Scripted(dict(zip(rates, lasts, strict=True)))
        assert largest_safe_rate(member, make_data(), engine=engine) == expected
        assert {(str(m.cocktail), m.seed, m.fold) for m in engine.advanced} == {("none", 7, 2)}


def test_all_diverged_names_the_largest_learning_rate_that_holds():
    data, wild = make_data("regression"), Training("gd", 20.0, epochs=200, batch_size=None)
    members = [Member(MLP((4,)), c, wild, 0, 1) for c in as_cocktails("l2=0.1; none")]
    got = train(members, data, engine=NumpyEngine())
    engine = NumpyEngine()
    (found,) = diverged_findings(members, got, data, engine=engine)
    assert {(m.cocktail, m.fold, m.seed, m.training.epochs) for m in engine.advanced} == {(Cocktail(), 1, 0, 200)}
    rate = largest_safe_rate(members[0], data, engine=NumpyEngine())
    assert f"does not diverge is {rate:g} (tried without" in found.text
    tried = sorted({m.training.learning_rate for m in engine.advanced})
    assert tried == [2e-5, 2e-4, 2e-3, 0.02, 0.2, 0.67, 2.0, 6.7]
    # The rate holds, and the next one tried does not: its loss becomes infinite or ends above where it began.
    next_up = next((r for r in tried if r > rate), None)
    histories = train(
        [replace(members[1], training=replace(wild, learning_rate=r)) for r in (rate, next_up)],
        data, engine=NumpyEngine(),
    )  # fmt: skip
    loss = [h.curves["train_loss"] for h in histories]
    assert histories[0].status == "finished"
    assert loss[0][-1] < loss[0][0]
    assert histories[1].status == "diverged" or loss[1][-1] > loss[1][0]
    hopeless = replace(members[0], training=replace(wild, learning_rate=1e12))
    assert largest_safe_rate(hopeless, data, engine=NumpyEngine()) is None
