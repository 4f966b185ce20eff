"""What every executor promises, as an importable suite: subclass it in a test and return your executor.

The engine here only counts, so that what is tested is the executor. A subclass may give a real one.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.engines.base import CURVES, Engine, Member, State
from wellfit.executors.base import Executor, MemberError, member_steps
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData


class CountingEngine:
    """An engine whose parameters are a sum over epochs that depends on the member alone; an epoch takes ``seconds``.

    Members whose seed is ``bad_seed`` raise ``error`` at epoch 3; those with a seed divisible by 5 stop at epoch 2.
    """

    name, version = "counting", "1"

    error: type[Exception] = ZeroDivisionError

    def __init__(self, seconds: float = 0.0, bad_seed: int | None = None) -> None:
        self.seconds, self.bad_seed = seconds, bad_seed
        self.threads: set[int] = set()
        self.running = 0

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None: everything can be counted."""
        return None

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return zeros."""
        return [State(np.zeros(3), np.zeros((2, 3)), np.empty(0), np.full((2, len(CURVES)), np.nan)) for _ in members]

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at ``until``."""
        return [self._one(*each, data) for each in zip(members, states, until, strict=True)]

    def _one(self, member: Member, state: State, until: int, data: TrainingData) -> State:
        self.threads.add(threading.get_ident())
        self.running += 1
        try:
            parameters, epoch, status = state.parameters.copy(), state.epoch, state.status
            while epoch < until and status == "running":
                time.sleep(self.seconds)
                epoch += 1
                if member.seed == self.bad_seed and epoch == 3:
                    raise self.error("a fault on purpose")
                parameters += np.sin(member.seed + epoch * np.arange(1.0, 4.0)) + data.folds[member.fold].x[0, 0]
                if member.seed % 5 == 0 and epoch == 2:
                    status = "stopped"
            return replace(state, parameters=parameters, epoch=epoch, step=epoch, status=status)
        finally:
            self.running -= 1


class TogetherEngine(CountingEngine):
    """A counting engine that wants the members of a fold in one call, the last first; ``calls`` is what it got."""

    def __init__(self, bad_seed: int | None = None) -> None:
        super().__init__(0.001, bad_seed)
        self.calls: list[tuple[list[int], int]] = []

    def groups(self, members: Sequence[Member], data: TrainingData) -> list[list[int]]:
        """Return the members of each fold, the last first."""
        return [[i for i in reversed(range(len(members))) if members[i].fold == fold] for fold in (0, 1)]

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at ``until``."""
        self.calls.append(([m.seed for m in members], sum(u > 0 for u in until)))
        return super().advance(members, states, until, data)


class ExecutorContract:
    """The suite. A subclass implements `executor`, and may replace `engine`.

    ``slowness`` is how many times longer than threads an executor may take to begin and to hand over.
    """

    slowness = 1

    def executor(self, workers: int) -> Executor:
        """Return the executor under test with this many workers."""
        raise NotImplementedError

    def engine(self, seconds: float = 0.0, bad_seed: int | None = None) -> CountingEngine:
        """Return the engine that the members train on."""
        return CountingEngine(seconds, bad_seed)

    def data(self) -> TrainingData:
        """Return a task of two folds."""
        x = np.arange(20.0).reshape(10, 2)
        rows = np.arange(10)
        fold = Fold(rows[:7], rows[:0], rows[7:])
        folds = tuple(FoldData(x + shift, (x[:, :1] > 9) * 1.0, fold) for shift in (0.0, 0.5))
        return TrainingData("binary", 1, folds, "contract")

    def members(self, count: int, epochs: int = 20) -> list[Member]:
        """Return members of different lengths."""
        return [
            Member(MLP((2,)), Cocktail(), Training(epochs=epochs + i % 3, batch_size=4), seed=i + 1, fold=i % 2)
            for i in range(count)
        ]

    def alone(self, engine: Engine, members: Sequence[Member], data: TrainingData) -> list[np.ndarray]:
        """Return what each member's parameters should be: one call from start to end."""
        return [engine.advance([m], engine.init([m], data), [m.training.epochs], data)[0].parameters for m in members]

    def test_every_member_comes_once_and_as_if_alone(self) -> None:
        data, members = self.data(), self.members(12)
        expected = self.alone(self.engine(), members, data)
        for workers in (1, 3):
            got = list(self.executor(workers).run(self.engine(), members, data))
            assert sorted(i for i, _ in got) == list(range(12))
            for i, state in got:
                np.testing.assert_array_equal(state.parameters, expected[i])
                assert (
                    state.status == "stopped" if members[i].seed % 5 == 0 else state.epoch == members[i].training.epochs
                )

    def test_members_run_side_by_side(self) -> None:
        engine = self.engine(seconds=0.002)
        list(self.executor(3).run(engine, self.members(6), self.data()))
        assert len(engine.threads) == 3

    def test_continues_from_given_states(self) -> None:
        data, members, engine = self.data(), self.members(4), self.engine()
        half = [engine.advance([m], engine.init([m], data), [1], data)[0] for m in members]
        got = dict(self.executor(2).run(engine, members, data, states=half))
        for i, expected in enumerate(self.alone(engine, members, data)):
            np.testing.assert_array_equal(got[i].parameters, expected)
        again = dict(self.executor(2).run(engine, members, data, states=[got[i] for i in range(4)]))
        assert all(again[i] is got[i] for i in range(4)), "a member already at its end comes back as it is"

    def test_some_continue_and_others_begin(self) -> None:
        data, members, engine = self.data(), self.members(4), self.engine()
        [begun] = engine.advance(members[2:3], engine.init(members[2:3], data), [5], data)
        begun = replace(begun, parameters=begun.parameters + 1)  # so that it shows whether it was taken
        got = dict(self.executor(2).run(engine, members, data, states=[None, None, begun, None]))
        for i, expected in enumerate(self.alone(engine, members, data)):
            np.testing.assert_allclose(got[i].parameters, expected + (i == 2), rtol=0, atol=1e-12)

    def test_states_are_kept_of_long_members_on_their_way_and_of_no_others(self) -> None:
        data, engine = self.data(), self.engine(seconds=0.01)
        members = [*self.members(3, epochs=4), *self.members(1, epochs=120 * self.slowness)]
        executor, here = self.executor(4), threading.get_ident()
        executor.keep_seconds = 0.4 * self.slowness  # ten times a short member: on a busy machine too
        kept: list[tuple[int, State]] = []
        over: set[int] = set()

        def keep(index: int, state: State) -> None:
            assert threading.get_ident() == here, "keeping belongs to the calling thread"
            assert index not in over, "a member that was handed over is kept no more"
            kept.append((index, state))

        got: dict[int, State] = {}
        began = time.perf_counter()
        for index, state in executor.run(engine, members, data, keep=keep):
            over.add(index)
            got[index] = state
        most = (time.perf_counter() - began) / executor.keep_seconds
        assert {index for index, _ in kept} == {3}
        epochs = [state.epoch for _, state in kept]
        assert epochs == sorted(set(epochs))
        assert 2 <= len(epochs) <= most
        again = dict(executor.run(engine, members[3:], data, states=[kept[0][1]]))
        np.testing.assert_array_equal(again[0].parameters, got[3].parameters)

    def test_an_interrupt_keeps_how_far_members_are(self) -> None:
        data, engine = self.data(), self.engine(seconds=0.005)
        members = [*self.members(2, epochs=4), *self.members(2, epochs=10_000)]
        kept: dict[int, State] = {}
        run = self.executor(4).run(engine, members, data, keep=kept.__setitem__)
        got = {next(run)[0], next(run)[0]}
        time.sleep(0.3)
        try:
            run.throw(KeyboardInterrupt())
        except KeyboardInterrupt:
            assert got == {0, 1}
        assert set(kept) == {2, 3}
        for index, state in kept.items():
            assert 10 < state.epoch < 10_000
            [expected] = engine.advance([members[index]], engine.init([members[index]], data), [state.epoch], data)
            np.testing.assert_array_equal(state.parameters, expected.parameters)

    def test_no_memory_for_one_member_costs_that_member_only(self) -> None:
        data, members = self.data(), self.members(8)
        for workers in (1, 3):
            engine = self.engine(bad_seed=members[6].seed)
            engine.error = MemoryError
            got: list[int] = []
            try:
                for i, _ in self.executor(workers).run(engine, members, data):
                    got.append(i)
            except MemberError as error:
                assert str(members[6]) in str(error)
                assert "memory" in str(error)
                assert isinstance(error.__cause__, MemoryError)
            else:
                raise AssertionError("a member was lost without a word")
            assert sorted(got) == [0, 1, 2, 3, 4, 5, 7], "the others are trained to their ends"

    def test_stops_at_the_asked_epochs_and_goes_on_from_there(self) -> None:
        data, members, engine = self.data(), self.members(4), self.engine()
        calls: list[tuple[int, int]] = []
        asked = [3, 1, 40, 2]  # the third beyond its end
        run = self.executor(2).run(
            engine, members, data, until=asked, progress=lambda done, total: calls.append((done, total))
        )
        half = dict(run)
        assert [half[i].epoch for i in range(4)] == [3, 1, members[2].training.epochs, 2]
        total = sum(member_steps(m, data, min(u, m.training.epochs)) for m, u in zip(members, asked, strict=True))
        assert calls[-1] == (total, total)
        whole = dict(self.executor(2).run(engine, members, data, states=[half[i] for i in range(4)]))
        for i, expected in enumerate(self.alone(engine, members, data)):
            np.testing.assert_array_equal(whole[i].parameters, expected)

    def test_members_that_are_wanted_together_come_in_one_call_and_in_order(self) -> None:
        data, members = self.data(), self.members(7)
        expected = self.alone(self.engine(), members, data)
        engine = TogetherEngine()
        got = dict(self.executor(2).run(engine, members, data))
        for i in range(7):
            np.testing.assert_array_equal(got[i].parameters, expected[i])
        for fold in (0, 1):
            seeds = [m.seed for m in reversed(members) if m.fold == fold]
            mine = [(called, ended) for called, ended in engine.calls if set(called) & set(seeds)]
            assert all(called == seeds for called, _ in mine)
            counts = [ended for _, ended in mine]
            assert counts == sorted(set(counts)), "each call ends some more"
            assert counts[-1] == len(seeds)

    def test_a_failure_among_members_wanted_together_names_one_of_them(self) -> None:
        data, members = self.data(), self.members(8)
        bad = members[2]
        try:
            list(self.executor(1).run(TogetherEngine(bad.seed), members, data))
        except MemberError as error:
            assert f"fold {bad.fold}" in str(error)
        else:
            raise AssertionError("the failure of a member was swallowed")

    def test_no_members_is_no_work(self) -> None:
        assert list(self.executor(2).run(self.engine(), [], self.data())) == []

    def test_progress_grows_in_member_steps_to_the_total(self) -> None:
        data, members = self.data(), self.members(6, epochs=30)
        calls: list[tuple[int, int]] = []
        here = threading.get_ident()

        def progress(done: int, total: int) -> None:
            assert threading.get_ident() == here, "progress belongs to the calling thread"
            calls.append((done, total))

        list(self.executor(2).run(self.engine(seconds=0.005), members, data, progress=progress))
        total = sum(member_steps(m, data) for m in members)
        assert calls[-1] == (total, total)
        assert [d for d, _ in calls] == sorted(d for d, _ in calls)
        assert any(0 < d < total for d, _ in calls), "progress is seen while members run"
        calls.clear()
        list(self.executor(1).run(self.engine(seconds=0.005), self.members(1, epochs=80), data, progress=progress))
        assert any(0 < d < t for d, t in calls), "progress is seen within a member"

    def test_a_failure_names_the_member_and_keeps_what_ended(self) -> None:
        data, members = self.data(), self.members(8)
        got: list[int] = []
        try:
            for i, _ in self.executor(1).run(self.engine(bad_seed=members[0].seed), members, data):
                got.append(i)
        except MemberError as error:
            assert str(members[0]) in str(error)
            assert "a fault on purpose" in str(error)
            assert isinstance(error.__cause__, ZeroDivisionError)
        else:
            raise AssertionError("the failure of a member was swallowed")
        assert 0 not in got

    def test_ctrl_c_stops_soon_and_loses_nothing(self) -> None:
        data = self.data()
        members = [*self.members(3, epochs=4), *self.members(3, epochs=10_000)]
        engine = self.engine(seconds=0.005)
        got: list[int] = []
        # As many workers as members, so that the short ones end before the interrupt and the long ones do not.
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT])
        timer.start()
        began = time.perf_counter()
        try:
            for i, _ in self.executor(6).run(engine, members, data):
                got.append(i)
        except KeyboardInterrupt:
            assert time.perf_counter() - began < 3
        else:
            raise AssertionError("Ctrl-C was swallowed")
        finally:
            timer.join()
        assert sorted(got)[:3] == [0, 1, 2]
        time.sleep(0.05)
        assert engine.running == 0, "no worker runs on"

    def test_ctrl_c_in_the_callers_own_code_can_be_drained(self) -> None:
        data, members = self.data(), self.members(5)
        run = self.executor(5).run(self.engine(), members, data)
        first, _ = next(run)
        time.sleep(0.2 * self.slowness)  # the others end meanwhile
        got = [first]
        try:
            item = run.throw(KeyboardInterrupt())
            while True:
                got.append(item[0])
                item = next(run)
        except KeyboardInterrupt:
            assert sorted(got) == list(range(5))

    def test_a_closed_run_leaves_no_worker(self) -> None:
        engine = self.engine(seconds=0.002)
        run = self.executor(5).run(engine, [*self.members(1, epochs=2), *self.members(4, epochs=5_000)], self.data())
        next(run)
        run.close()
        time.sleep(0.05)
        assert engine.running == 0
