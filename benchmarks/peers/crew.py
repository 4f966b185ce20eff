"""Worker processes that train at the same time, each held to its own number of threads."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from peers.work import Timing, Work

_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_PROBE_SECONDS = 0.1
_trainer: Any = None


def make(place: str, work: Work, members: int, seed: int, options: dict[str, Any]) -> None:
    """Make the trainer ``module.Class`` in this process and let it run once: what is first is not timed."""
    global _trainer
    module, _, name = place.rpartition(".")
    _trainer = getattr(importlib.import_module(module), name)(work, members, seed, **options)
    _trainer.run(1)


def pace() -> float:
    """Return seconds per step of the trainer, from a short probe."""
    steps = _trainer.work.batches  # some trainers make whole epochs only
    while True:
        start = time.perf_counter()
        _trainer.run(steps)
        seconds = time.perf_counter() - start
        if seconds >= _PROBE_SECONDS:
            return seconds / steps
        steps *= 2 if seconds > _PROBE_SECONDS / 8 else 4


def run(steps: int) -> tuple[int, float, float]:
    """Return the member-steps made, the seconds they took, and the processor's seconds."""
    start, used = time.perf_counter(), time.process_time()
    made = _trainer.run(steps)
    return made, time.perf_counter() - start, time.process_time() - used


def _serve(connection: Connection) -> None:
    while True:
        job = connection.recv()
        if job is None:
            return
        function, *arguments = job
        try:
            connection.send((True, {"make": make, "pace": pace, "run": run}[function](*arguments)))
        except Exception:
            connection.send((False, traceback.format_exc()))


class Crew:
    """``processes`` processes of ``threads`` threads each. Use it as a context."""

    def __init__(self, processes: int, threads: int) -> None:
        self.processes, self.threads = processes, threads
        before = {name: os.environ.get(name) for name in _LIMITS}
        os.environ.update(dict.fromkeys(_LIMITS, str(threads)))
        context = multiprocessing.get_context("spawn")
        self._workers = []
        try:
            for _ in range(processes):
                here, there = context.Pipe()
                worker = context.Process(target=_serve, args=(there,), daemon=True)
                worker.start()
                self._workers.append((worker, here))
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker, connection in self._workers:
            connection.send(None)
            worker.join(5)

    def _all(self, jobs: Sequence[tuple]) -> list[Any]:
        """Start one job in each process at the same time; return what they give."""
        for (_, connection), job in zip(self._workers, jobs, strict=True):
            connection.send(job)
        answers = [connection.recv() for _, connection in self._workers]
        for fine, answer in answers:
            if not fine:
                raise RuntimeError(answer)
        return [answer for _, answer in answers]

    def prepare(self, place: str, work: Work, seconds: float, **options: Any) -> int:
        """Make a trainer in each process, the members shared among them; return the steps that take ``seconds``."""
        members = max(1, work.members // self.processes)
        self._all([("make", place, work, members, seed, options) for seed in range(self.processes)])
        return max(1, round(seconds / max(self._all([("pace",)] * self.processes))))

    def microseconds(self, steps: int) -> Timing:
        """Return microseconds per step and member of all processes together."""
        runs = self._all([("run", steps)] * self.processes)
        made, _, used = map(sum, zip(*runs, strict=True))
        rate = sum(steps / seconds for steps, seconds, _ in runs)
        return Timing(1e6 / rate, 1e6 * used / made / (self.processes * self.threads))
