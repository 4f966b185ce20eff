"""Members side by side on the threads of this machine: engines release the interpreter lock while they compute."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from queue import Empty, SimpleQueue
from time import perf_counter

import numpy as np

from wellfit.engines.base import (
    Engine,
    Member,
    State,
    advance_within,
    engine_of,
    groups,
    in_step,
    stops_within_epochs,
    threads_of,
)
from wellfit.engines.blas import one_blas_thread
from wellfit.errors import SettingError
from wellfit.executors.base import KEEP_SECONDS, Keep, MemberError, Progress, check_lengths, epoch_work
from wellfit.messages import say
from wellfit.records import TrainingData

SLICE_SECONDS = 0.1  # aimed-at time of one call of the engine: Ctrl-C and progress wait no longer
LONG_SLICE_SECONDS = 0.5  # of an engine that stops inside an epoch, and takes a while to begin
SHORT_SECONDS = 0.005  # of one call for members that take less: threads that hand over each would get in their own way
LOOK_SECONDS = 0.1  # how often the calling thread looks at the clock


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Threads:
    """Run members on ``threads`` threads (all usable cores by default), the longest first.

    Each member is advanced in slices of whole epochs, about a tenth of a second each; of members that the engine wants
    together (see `wellfit.engines.base.groups`), some are ended in each slice. An engine that computes a member on
    several threads of its own has fewer members side by side. Results do not depend on the number of threads or the
    order of work, because the engine's do not. Until all have ended, BLAS libraries are held to one thread, in the
    calling thread too: how many threads share a product can change its last bit.
    Raises `SettingError` for fewer than one thread.

    >>> Threads(2).threads
    2
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is None:
            threads = usable_cores()
        if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1:
            raise SettingError("executors.bad_threads", value=threads)
        self.threads = int(threads)
        self.keep_seconds = KEEP_SECONDS

    def run(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        *,
        states: Sequence[State | None] | None = None,
        until: Sequence[int] | None = None,
        progress: Progress | None = None,
        keep: Keep | None = None,
    ) -> Generator[tuple[int, State], None, None]:
        """Yield (index, final state) as each member ends: see `wellfit.executors.base.Executor.run`."""
        check_lengths(members, states, until)
        job = _Job(engine, members, data, states, until)
        job.keep, job.keep_seconds = keep, self.keep_seconds
        with one_blas_thread():
            job.workers = min(max(1, self.threads // threads_of(engine, members, data)), len(job.waiting))
            workers = [threading.Thread(target=job.work, name=f"wellfit-{i}", daemon=True) for i in range(job.workers)]
            try:
                for worker in workers:
                    worker.start()
                while not job.over:
                    job.look()
                    if progress is not None:
                        progress(job.steps, job.total)
                    job.keep_states()
                    yield from job.deliver()
            except KeyboardInterrupt:
                job.halt(workers)
                job.keep_states()
                yield from job.deliver()
                raise
            finally:
                job.halt(workers)
            job.keep_states()
            yield from job.deliver()
            if job.failure is not None:
                _raise_failure(members, *job.failure)
            if job.lost:
                _raise_lost(members, job.lost)
            if progress is not None and members:
                progress(job.total, job.total)


class _Job:
    """What the workers and the calling thread share during one run."""

    def __init__(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        states: Sequence[State | None] | None,
        until: Sequence[int] | None,
    ) -> None:
        self.engine, self.members, self.data = engine, members, data
        self.keep: Keep | None = None
        self.keep_seconds = KEEP_SECONDS
        self.workers = 1
        self.states: list[State | None] = [None] * len(members) if states is None else list(states)
        ends = [m.training.epochs for m in members]
        self.until = ends if until is None else [min(u, e) for u, e in zip(until, ends, strict=True)]
        begun = [0 if state is None else state.epoch for state in self.states]
        self.starts = [min(epoch, end) for epoch, end in zip(begun, self.until, strict=True)]
        an_epoch = epoch_work(members, data)
        spans = zip(an_epoch, self.starts, self.until, strict=True)
        self.work_steps = [steps * (end - start) for (steps, _), start, end in spans]
        self.cost = [steps * cost for steps, (_, cost) in zip(self.work_steps, an_epoch, strict=True)]
        together = groups(engine, members, data)
        self.waiting = deque(sorted(together, key=lambda group: -sum(self.cost[i] for i in group)))
        self.pace = 0.0  # members a second, of those that were trained together last
        self.speed = 0.0  # cost a second, of the slice that ended last: what a new member starts from
        self.total = sum(self.work_steps)
        self.steps = 0
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.wake: SimpleQueue[None] = SimpleQueue()
        self.ended: list[tuple[int, State] | None] = []
        self.given = 0
        self.passing: dict[int, State] = {}  # of members under way, to be kept
        self.failure: tuple[int, BaseException] | None = None
        self.lost: list[tuple[int, MemoryError]] = []

    @property
    def over(self) -> bool:
        return self.failure is not None or self.given + len(self.lost) == len(self.members)

    def look(self) -> None:
        """Wait until a member ends, or for a moment."""
        try:
            self.wake.get(timeout=LOOK_SECONDS)
        except Empty:
            return

    def deliver(self) -> Generator[tuple[int, State], None, None]:
        """Yield what has ended and was not yet given.

        An interrupt may come between any two calls. Nothing is called between counting an item as given and handing
        it over, so that none is lost.
        """
        while self.given < len(self.ended):
            item = self.ended[self.given]
            self.ended[self.given] = None  # frees the state once the caller has it
            self.given += 1
            yield item  # type: ignore[misc]  # None stands only behind `given`

    def keep_states(self) -> None:
        """Hand over the states of members under way. A member that ends takes its own back first: see `end`."""
        while self.keep is not None and self.passing:
            try:
                index, state = self.passing.popitem()
            except KeyError:  # taken back between the two lines
                return
            self.keep(index, state)

    def end(self, index: int, state: State) -> None:
        """Lay a final state out for the calling thread."""
        self.passing.pop(index, None)
        self.states[index] = None
        self.ended.append((index, state))

    def halt(self, workers: Sequence[threading.Thread]) -> None:
        """Tell the workers to stop, and wait: each is at most one slice away."""
        self.stop.set()
        for worker in workers:
            if worker.ident is not None:
                worker.join()

    def work(self) -> None:
        """Train members until none waits. Runs in a worker thread."""
        while not self.stop.is_set():
            try:
                group = self.waiting.popleft()
            except IndexError:
                return
            if len(group) > 1:
                lockstep = in_step(engine_of(self.engine, self.members[group[0]], self.data))
                self.attempt(self.train_in_step if lockstep else self.train_together, group)
            else:
                short = [group[0], *self.as_short(group[0])]
                for index in short if len(short) == 1 else self.train_short(short):
                    self.attempt(lambda alone: self.train(alone[0]), [index])
            self.wake.put(None)

    def attempt(self, train: Callable[[Sequence[int]], None], group: Sequence[int]) -> None:
        """Train, and note what went wrong: the first of the group answers for it."""
        try:
            train(group)
        except MemoryError as error:
            self.lost.append((group[0], error))
        except BaseException as error:
            self.fail(group[0], error)

    def as_short(self, index: int) -> list[int]:
        """Take more members off the queue, where this one takes so little time that several make one call."""
        member, found = self.members[index], list[int]()
        if stops_within_epochs(engine_of(self.engine, member, self.data)):
            return found
        room = SHORT_SECONDS * self.speed - self.cost[index]
        most = len(self.waiting) // (2 * self.workers)  # the last ones are for all threads
        while room > 0 and len(found) < most:
            try:
                group = self.waiting.popleft()
            except IndexError:
                break
            if len(group) > 1:
                self.waiting.appendleft(group)
                break
            found.append(group[0])
            room -= self.cost[group[0]]
        return found

    def train_short(self, short: Sequence[int]) -> list[int]:
        """Train members to their ends in one call of the engine; return those that must be trained alone.

        That is all of them where the call fails, so that the one that fails is named.
        """
        began = perf_counter()
        try:
            states = self.engine.advance(self._of(short), self.begun(short), [self.until[i] for i in short], self.data)
        except BaseException:
            return list(short)
        left = []
        for index, state in zip(short, states, strict=True):
            if state.status == "running" and state.epoch < self.until[index]:
                left.append(index)
                continue
            self.count(0, self.work_steps[index])
            self.end(index, state)
        self.speed = sum(self.cost[i] for i in short) / max(perf_counter() - began, 1e-9)
        return left

    def fail(self, index: int, error: BaseException) -> None:
        """Stop the run: the calling thread raises the error, naming the member."""
        if self.failure is None:
            self.failure = (index, error)
        self.stop.set()

    def begun(self, group: Sequence[int]) -> list[State]:
        """Return the states to start from."""
        given = [self.states[i] for i in group]
        new = iter(self.engine.init([self.members[i] for i in group if self.states[i] is None], self.data))
        return [next(new) if state is None else state for state in given]

    def train(self, index: int) -> None:
        """Train a member to its end, unless the run is halted first."""
        member = self.members[index]
        if stops_within_epochs(engine_of(self.engine, member, self.data)):
            self.train_in_step([index])
            return
        [state] = self.begun([index])
        first, last, counted = self.starts[index], self.until[index], 0
        an_epoch = max(self.cost[index] / max(last - first, 1), 1e-9)
        # Half a slice at first: this member may be slower than the one before.
        epochs = max(1, int(SLICE_SECONDS / 2 * self.speed / an_epoch))
        kept = perf_counter()
        while state.status == "running" and state.epoch < last:
            if self.stop.is_set():
                if state.epoch > first:
                    self.passing[index] = state
                return
            if perf_counter() - kept >= self.keep_seconds:
                self.passing[index], kept = state, perf_counter()
            before, began = state.epoch, perf_counter()
            state = self.engine.advance([member], [state], [min(before + epochs, last)], self.data)[0]
            if state.status == "running" and state.epoch <= before:
                raise RuntimeError(say("executors.stuck", engine=self.engine.name, epoch=before))
            seconds = perf_counter() - began
            epochs = _next_slice(state.epoch - before, seconds)
            self.speed = (state.epoch - before) * an_epoch / max(seconds, 1e-9)
            counted = self.count(counted, self.work_steps[index] * (state.epoch - first) // (last - first))
        self.count(counted, self.work_steps[index])
        self.end(index, state)

    def train_in_step(self, group: Sequence[int]) -> None:
        """Train members together, a slice at a time, inside epochs too, unless the run is halted first."""
        members, states, ends = self._of(group), self.begun(group), [self.until[i] for i in group]
        open_, counted, kept = set(range(len(group))), [0] * len(group), perf_counter()
        begun = [state.step for state in states]
        while True:
            for place in sorted(open_):
                index, state = group[place], states[place]
                if state.status == "running" and state.epoch < ends[place]:
                    counted[place] = self.count(counted[place], state.step - begun[place])
                    continue
                self.count(counted[place], self.work_steps[index])
                self.end(index, state)
                open_.discard(place)
                self.wake.put(None)
            late = perf_counter() - kept >= self.keep_seconds
            if late or self.stop.is_set():
                self.passing |= {group[p]: states[p] for p in open_ if states[p].step > begun[p]}
                kept = perf_counter()
            if not open_ or self.stop.is_set():
                return
            before = sum(state.step for state in states)
            try:
                states = advance_within(self.engine, members, states, ends, self.data, LONG_SLICE_SECONDS)
            except MemoryError:
                if len(group) == 1:
                    raise
                self._one_by_one([(group[place], states[place]) for place in sorted(open_)])
                return
            stuck = [p for p in open_ if states[p].status == "running" and states[p].epoch < ends[p]]
            if len(stuck) == len(open_) and sum(state.step for state in states) <= before:
                raise RuntimeError(say("executors.stuck", engine=self.engine.name, epoch=states[stuck[0]].epoch))

    def _one_by_one(self, left: Sequence[tuple[int, State]]) -> None:
        """Train members alone that there is no memory to train together; those for which even that fails are lost."""
        for index, state in left:
            self.states[index] = state
            try:
                self.train_in_step([index])
            except MemoryError as error:
                self.lost.append((index, error))

    def _of(self, group: Sequence[int]) -> list[Member]:
        return [self.members[i] for i in group]

    def train_together(self, group: Sequence[int]) -> None:
        """Train members in one call of the engine after another, each ending a few more of them, in their order."""
        members, states = self._of(group), self.begun(group)
        # Half a slice at first: these members may be slower than the ones before.
        done, count = 0, max(1, int(SLICE_SECONDS / 2 * self.pace))
        while done < len(group) and not self.stop.is_set():
            began, end = perf_counter(), min(done + count, len(group))
            until = [self.until[i] if place < end else 0 for place, i in enumerate(group)]
            try:
                states = self.engine.advance(members, states, until, self.data)
            except MemoryError as error:
                # Whose memory it was cannot be told: the rest of the group hangs together.
                self.lost += [(i, error) for i in group[done:]]
                return
            except BaseException as error:
                self.fail(group[done], error)
                return
            for place in range(done, end):
                index = group[place]
                if states[place].status == "running" and states[place].epoch < self.until[index]:
                    raise RuntimeError(say("executors.stuck", engine=self.engine.name, epoch=states[place].epoch))
                self.count(0, self.work_steps[index])
                self.end(index, states[place])
            self.wake.put(None)
            seconds = perf_counter() - began
            self.pace = (end - done) / max(seconds, 1e-9)
            done, count = end, _next_slice(end - done, seconds)

    def count(self, before: int, now: int) -> int:
        with self.lock:
            self.steps += now - before
        return now


def _next_slice(epochs: int, seconds: float) -> int:
    """Return how many epochs take about SLICE_SECONDS, growing at most eightfold (the first call may be odd)."""
    fitting = SLICE_SECONDS * epochs / max(seconds, 1e-9)
    return max(1, min(int(fitting), 8 * epochs))


def _raise_failure(members: Sequence[Member], index: int, error: BaseException) -> None:
    raise MemberError(
        "executors.member_failed", member=members[index], kind=type(error).__name__, error=error
    ) from error


def _raise_lost(members: Sequence[Member], lost: Sequence[tuple[int, MemoryError]]) -> None:
    index, error = lost[0]
    raise MemberError("executors.member_memory", member=members[index], lost=len(lost), members=len(members)) from error
