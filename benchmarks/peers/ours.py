"""wellfit's compiled engine, in this process."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from peers.work import Timing, Work, draw_data
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member, State
from wellfit.engines.compiled import CompiledEngine
from wellfit.executors import Threads
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData

# Of so long a training the first epochs hold no checkpoint but the one before them all.
_LONG = 2**31 - 1
_MEMBERS_PER_THREAD = 4


class Ours:
    """The population of a work.

    `steps_alone` times bare training steps, for the peers measure no curves either; `whole` times complete trainings
    by the executor, with curves at their usual checkpoints.
    """

    def __init__(self, work: Work, threads: int) -> None:
        x, y = draw_data(work)
        rows = np.arange(len(x))
        fold = Fold(rows[: work.rows], rows[:0], rows[work.rows :])
        self.data = TrainingData("binary", 1, (FoldData(x, y, fold),))
        self.work, self.threads, self.engine = work, threads, CompiledEngine()
        # A thread trains one member at a time, so that more members only make the calls shorter.
        self.members = self._members(min(work.members, _MEMBERS_PER_THREAD * threads), _LONG)
        self.states = self._advance(self.engine.init(self.members, self.data), 1)

    def _members(self, count: int, epochs: int) -> list[Member]:
        work = self.work
        training = Training(work.optimizer, work.learning_rate, epochs, work.batch)
        decay = f"weight_decay={work.decay}" if work.decay else ""
        kinds = [" + ".join(filter(None, (decay, drop))) for drop in ("", f"dropout={work.dropout}")]
        dropped = round(count * work.dropped)
        return [
            Member(MLP(work.sizes[1:-1]), as_cocktail(kinds[seed < dropped] or "none"), training, seed, 0)
            for seed in range(count)
        ]

    def _advance(self, states: list[State], epochs: int) -> list[State]:
        """Advance all by so many epochs, in twice as many calls as there are threads."""
        ended = list(states)
        calls = 2 * self.threads

        def some(begin: int) -> None:
            mine = states[begin::calls]
            until = [state.epoch + epochs for state in mine]
            ended[begin::calls] = self.engine.advance(self.members[begin::calls], mine, until, self.data)

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(some, range(calls)))
        if any(state.status != "running" for state in ended):
            raise RuntimeError("a member diverged")
        return ended

    def steps_alone(self, epochs: int) -> Timing:
        """Return microseconds per step and member of ``epochs`` epochs, from the same states each time."""
        start, used = time.perf_counter(), time.process_time()
        self._advance(self.states, epochs)
        return self._timing(start, used, epochs * len(self.members), self.threads)

    def _timing(self, start: float, used: float, member_epochs: int, threads: int) -> Timing:
        scale = 1e6 / (member_epochs * self.work.batches)
        return Timing(
            (time.perf_counter() - start) * scale,
            (time.process_time() - used) * scale / threads,
        )

    def pace(self, seconds: float) -> int:
        """Return how many epochs take about ``seconds``."""
        epochs = 1
        while True:
            start = time.perf_counter()
            self._advance(self.states, epochs)
            spent = time.perf_counter() - start
            if spent > 0.1:
                return max(1, round(epochs * seconds / spent))
            epochs *= 2 if spent > 0.02 else 8

    def whole(self, shorter: int = 1, threads: int | None = None) -> Timing:
        """Return microseconds per step and member of complete trainings, ``shorter`` times fewer epochs."""
        epochs = max(1, self.work.epochs // shorter)
        population = self._members(self.work.whole_members, epochs)
        threads = threads or self.threads
        start, used = time.perf_counter(), time.process_time()
        ended = list(Threads(threads).run(self.engine, population, self.data))
        timing = self._timing(start, used, epochs * len(population), threads)
        if any(state.status != "finished" for _, state in ended):
            raise RuntimeError("a member did not finish")
        return timing
