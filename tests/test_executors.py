"""Executors: the contract suite on threads, with the counting engine and with one that trains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_engine import NumpyEngine, make_data

from wellfit.cocktail import Cocktail, EarlyStopping
from wellfit.engines.base import Member
from wellfit.errors import SettingError
from wellfit.executors import MemberError, Threads, member_steps
from wellfit.executors.contract import ExecutorContract, TogetherEngine
from wellfit.executors.threads import _Job, _next_slice
from wellfit.nets import MLP, Training


class TestThreads(ExecutorContract):
    def executor(self, workers):
        return Threads(workers)


@pytest.mark.parametrize("value", [0, -1, 1.5, "two", True])
def test_bad_counts_of_threads_are_refused(value):
    with pytest.raises(SettingError, match="number of threads"):
        Threads(value)


def test_states_must_match_members():
    data = make_data()
    with pytest.raises(SettingError, match="1 states were given for 0 members"):
        list(Threads(1).run(NumpyEngine(), [], data, states=[None]))


def test_real_training_does_not_depend_on_threads_or_slices(monkeypatch):
    data = make_data(stop=True)
    members = [
        Member(MLP((5,)), cocktail, Training("gd", 0.1, epochs=37, batch_size=16), seed, fold)
        for cocktail, first in ((Cocktail(), 0), (Cocktail((EarlyStopping(2),)), 3))
        for seed in (0, 1)
        for fold in range(first, first + 3)
    ]
    one = dict(Threads(1).run(NumpyEngine(), members, data))
    monkeypatch.setattr("wellfit.executors.threads.SLICE_SECONDS", 1e-6)
    two = dict(Threads(2).run(NumpyEngine(), members, data))
    for i in range(len(members)):
        np.testing.assert_array_equal(one[i].kept, two[i].kept)
        np.testing.assert_array_equal(one[i].curves, two[i].curves)
        assert one[i].status == two[i].status


def test_slices_aim_at_their_time():
    assert _next_slice(1, 10.0) == 1
    assert _next_slice(1, 1e-6) == 8  # grows by steps: the first call may be odd
    assert _next_slice(8, 0.016) == 50


def test_member_steps_counts_batches():
    data = make_data(rows=60, folds=3)  # 40 training rows
    member = Member(MLP((5,)), Cocktail(), Training(epochs=7, batch_size=16), 0, 0)
    assert member_steps(member, data) == 21


def test_an_engine_that_does_not_move_is_an_error():
    class Stuck(NumpyEngine):
        def advance(self, members, states, until, data):
            return list(states)

    data = make_data()
    with pytest.raises(RuntimeError, match="did not get past epoch 0"):
        list(Threads(1).run(Stuck(), [Member(MLP((2,)), Cocktail(), Training(epochs=2), 0, 0)], data))


def test_a_member_that_ends_takes_its_kept_state_back():
    """Between two looks of the calling thread a member may pass the time for keeping and its end."""
    data = make_data()
    member = Member(MLP((2,)), Cocktail(), Training(epochs=2), 0, 0)
    [state] = NumpyEngine().init([member], data)
    job, kept = _Job(NumpyEngine(), [member], data, None, None), []
    job.keep = lambda index, _: kept.append(index)
    job.passing[0] = state
    job.end(0, state)
    job.keep_states()
    assert kept == []
    assert [index for index, _ in job.deliver()] == [0]


def test_no_memory_among_members_wanted_together_costs_the_rest_of_that_group_only():
    suite = ExecutorContract()
    data, members = suite.data(), suite.members(8)
    engine = TogetherEngine(members[2].seed)
    engine.error = MemoryError
    got = []
    with pytest.raises(MemberError, match=r"memory did not suffice for [1-4] of 8"):
        [got.append(i) for i, _ in Threads(1).run(engine, members, data)]
    assert {1, 3, 5, 7} <= set(got), "the other fold's members are trained"


class Quick(NumpyEngine):
    """Takes no time to speak of, notes how many members each call has, and fails on members of one seed."""

    def __init__(self, broken=None, error=ValueError):
        super().__init__()
        self.calls, self.broken, self.error = [], broken, error

    def advance(self, members, states, until, data):
        self.calls.append(len(members))
        if any(m.seed == self.broken for m in members):
            raise self.error("no")
        return super().advance(members, states, until, data)


def short(count):
    return [Member(MLP((2,)), Cocktail(), Training("gd", 0.1, 3, None), seed, 0) for seed in range(count)]


def test_short_members_share_a_call_and_end_as_they_would_alone(monkeypatch):
    data, engine = make_data(), Quick()
    together = dict(Threads(2).run(engine, short(60), data))
    assert sorted(together) == list(range(60))
    assert len(engine.calls) < 40, "handing over one by one takes longer than training"
    monkeypatch.setattr("wellfit.executors.threads.SHORT_SECONDS", 0.0)
    alone = dict(Threads(2).run(NumpyEngine(), short(60), data))
    for i in range(60):
        np.testing.assert_array_equal(together[i].kept, alone[i].kept)
        np.testing.assert_array_equal(together[i].curves, alone[i].curves)


def test_a_short_member_that_fails_among_others_is_named_and_costs_no_other():
    data, got = make_data(), []
    with pytest.raises(MemberError, match="seed 37"):
        [got.append(i) for i, _ in Threads(1).run(Quick(37), short(40), data)]
    assert set(got) == set(range(37)), "those before it have ended"
    got.clear()
    with pytest.raises(MemberError, match=r"memory did not suffice for 1 of 40"):
        [got.append(i) for i, _ in Threads(1).run(Quick(37, MemoryError), short(40), data)]
    assert set(got) == set(range(40)) - {37}
