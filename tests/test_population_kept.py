"""What populations keep when they are interrupted, and which of it is believed when they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from numpy_engine import NumpyEngine, make_data
from test_population import QUICK

from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member
from wellfit.executors import Threads
from wellfit.ledger import Ledger, MemoryLedger, member_key
from wellfit.ledger.contract import assert_same
from wellfit.nets import MLP, Training
from wellfit.population import begun, plan, train

ROOT = Path(__file__).parents[1]


def test_an_interrupt_while_recording_loses_nothing():
    class Interrupting(MemoryLedger):
        def put(self, key, result):
            if not self._records:
                super().put("first", result)
                time.sleep(0.3)  # the other members end meanwhile
                raise KeyboardInterrupt
            super().put(key, result)

    data, ledger = make_data(), Interrupting()
    members = plan(data, folds=3, networks=(MLP((4,)),), trainings=(QUICK,))
    with pytest.raises(KeyboardInterrupt):
        train(members, data, engine=NumpyEngine(), executor=Threads(3), ledger=ledger)
    assert {member_key(NumpyEngine(), data, m) for m in members} <= set(ledger.keys())


def test_ctrl_c_in_a_real_program_leaves_all_finished_in_the_ledger(tmp_path):
    code = """
import sys, time
from numpy_engine import NumpyEngine, make_data
from wellfit.executors import Threads
from wellfit.ledger import Ledger
from wellfit.nets import MLP, Training
from wellfit.population import plan, train
data = make_data()
members = plan(data, folds=3, networks=(MLP((4,)),), trainings=(Training("gd", 0.1, epochs=2),), seeds=range(2))
members += plan(data, folds=3, networks=(MLP((4,)),), trainings=(Training("gd", 0.1, epochs=10**6),))
with Ledger(sys.argv[1]) as ledger:
    train(members, data, engine=NumpyEngine(), executor=Threads(9), ledger=ledger,
          progress=lambda done, total: print(done, flush=True))
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"}
    path = tmp_path / "l.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        for line in program.stdout:
            if int(line) > 200:
                break
        time.sleep(0.5)
        program.send_signal(signal.SIGINT)
        began = time.perf_counter()
        _, errors = program.communicate(timeout=20)
        assert time.perf_counter() - began < 5
    assert b"KeyboardInterrupt" in errors
    with Ledger(path) as ledger:
        data = make_data()
        short = plan(data, folds=3, networks=(MLP((4,)),), trainings=(Training("gd", 0.1, epochs=2),), seeds=range(2))
        assert set(ledger.keys()) == {member_key(NumpyEngine(), data, m) for m in short}


class Patient(NumpyEngine):
    """Takes its time, and notes at which epochs members came in."""

    def __init__(self):
        super().__init__()
        self.begun = {}

    def advance(self, members, states, until, data):
        time.sleep(0.005)
        for member, state in zip(members, states, strict=True):
            self.begun.setdefault(member.seed, state.epoch)
        return super().advance(members, states, until, data)


def often(threads=2):
    executor = Threads(threads)
    executor.keep_seconds = 0.05
    return executor


def test_a_long_member_goes_on_from_where_its_state_was_kept(tmp_path):
    data = make_data()
    members = [Member(MLP((4,)), Cocktail(), Training("gd", 0.1, epochs=n), n, 0) for n in (2, 30_000)]
    whole = train(members, data, engine=NumpyEngine())
    path = tmp_path / "l.sqlite"

    class Breaking(Ledger):
        kept = 0

        def put_state(self, key, state):
            super().put_state(key, state)
            self.kept += 1
            if self.kept == 3:
                raise SystemExit  # as if the machine went off: nothing more is written

    with pytest.raises(SystemExit), Breaking(path) as ledger:
        train(members, data, engine=Patient(), executor=often(), ledger=ledger)
    time.sleep(0.1)
    assert "wellfit-0" not in {thread.name for thread in threading.enumerate()}, "no worker runs on"
    engine = Patient()
    with Ledger(path) as ledger:
        assert list(ledger.states()) == [member_key(engine, data, members[1])]
        assert list(ledger.keys()) == [member_key(engine, data, members[0])]
        continued = train(members, data, engine=engine, ledger=ledger)
        assert list(ledger.states()) == [], "a member that has ended needs no state"
    assert 0 < engine.begun[30_000] < 30_000
    assert 2 not in engine.begun, "what was recorded is not trained again"
    for a, b in zip(whole, continued, strict=True):
        assert_same(a, b)


def test_ctrl_c_records_how_far_members_are():
    class Stopping(MemoryLedger):
        def put(self, key, history):
            super().put(key, history)
            if not self._notes:
                self.put_note("pressed", "once")
                time.sleep(0.2)
                raise KeyboardInterrupt

    data, ledger = make_data(), Stopping()
    members = [Member(MLP((4,)), Cocktail(), Training("gd", 0.1, epochs=n), n, 0) for n in (2, 10**6)]
    with pytest.raises(KeyboardInterrupt):
        train(members, data, engine=Patient(), executor=Threads(2), ledger=ledger)
    assert ledger.state(member_key(NumpyEngine(), data, members[1])).epoch > 2


def test_a_state_that_does_not_fit_the_member_is_not_believed():
    data, engine = make_data(), NumpyEngine()
    member = Member(MLP((4,)), Cocktail(), QUICK, 0, 0)
    key = member_key(engine, data, member)
    [expected] = train([member], data, engine=engine)
    [fresh] = engine.init([member], data)
    [half] = engine.advance([member], [fresh], [1], data)
    odd = {
        "parameters": half.parameters[:-1],
        "moments": half.moments[:1],
        "parameters of another precision": half.parameters.astype("f4"),
        "curves": half.curves[:1],
        "best_parameters": half.parameters,
        "average": half.parameters,
        "epoch": 10**9,
        "step": -1,
        "status": "bliss",
        "waited": 2.5,
        "best_epoch": True,
    }
    for name, value in odd.items():
        ledger = MemoryLedger()
        ledger.put_state(key, replace(half, **{name.split()[0]: value}))
        assert begun(ledger, key, member, engine, data) is None, name
        assert_same(train([member], data, engine=engine, ledger=ledger)[0], expected)
    ledger.put_state(key, half)
    assert begun(ledger, key, member, engine, data).epoch == 1
    ledger._states[key] = b"no state at all"
    assert begun(ledger, key, member, engine, data) is None


def test_a_history_that_does_not_fit_the_member_is_not_believed():
    data, engine = make_data(), NumpyEngine()
    member = Member(MLP((4,)), Cocktail(), QUICK, 0, 0)
    key = member_key(engine, data, member)
    [right] = train([member], data, engine=engine)
    odd = {
        "status": "bliss",
        "epochs": "many",
        "steps": -1,
        "predictions": right.predictions[:-1],
        "checkpoints": right.checkpoints[:-1],
        "curves": {"train_loss": right.curves["train_loss"]},
        "weight_norms": (),
    }
    for name, value in odd.items():
        ledger = MemoryLedger()
        ledger.put(key, replace(right, **{name: value}))
        assert_same(train([member], data, engine=engine, ledger=ledger)[0], right)
        assert_same(ledger.get(key), right)
