"""Figures of wellfit that have no peer: curves and bookkeeping, threads, compiling."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from peers.ours import Ours
from peers.work import WORKS, Work

_STARTED = """
import time
start = time.perf_counter()
import numpy as np
from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.compiled.jit import ensure_compiled, is_warm
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData
imported, warm = time.perf_counter(), is_warm("float32")
ensure_compiled("float32")
compiled = time.perf_counter()
x = np.ones((4, 2))
data = TrainingData("binary", 1, (FoldData(x, x[:, :1], Fold(np.arange(4), np.arange(0), np.arange(0))),))
member, engine = Member(MLP((3,)), Cocktail(), Training("gd", 0.1, 1, None), 0, 0), CompiledEngine()
engine.advance([member], engine.init([member], data), [1], data)
print(int(warm), imported - start, compiled - imported, time.perf_counter() - compiled)
"""


def threads_against_one(cores: int, rounds: int, works: tuple[Work, ...]) -> dict | None:
    """Return how much faster complete trainings are on all cores than on one thread; None on one core."""
    if cores == 1:
        return None
    found = {}
    for work in works:
        ours = Ours(work, cores)
        shorter = 1 if work.batch is None else 4
        pairs = [(ours.whole(shorter, 1).clock, ours.whole(shorter, cores).clock) for _ in range(rounds)]
        found[work.name] = {
            "microseconds_1_thread": statistics.median(one for one, _ in pairs),
            f"microseconds_{cores}_threads": statistics.median(many for _, many in pairs),
            "times_faster": statistics.median(one / many for one, many in pairs),
        }
    return {"work": f"{cores} threads against 1", "threads": cores, "by_work": found, "rounds": rounds}


def curves_and_bookkeeping(rows: list[dict]) -> dict:
    """Return the share of complete trainings that is not steps, from what the rows measured."""
    return {
        "work": "evaluation and bookkeeping",
        "share_of_training_time": {row["name"]: row["curves_share"] for row in rows},
        "share_of_processor_time": {row["name"]: row["by_processor_time"]["curves_share"] for row in rows},
        "checkpoints": {row["name"]: row["whole_checkpoints"] for row in rows},
    }


def first_and_warm_start(say: Callable[[str], None]) -> list[dict]:
    """Return the seconds of a first training in a fresh process, with an empty and with a filled cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        entries = []
        for name in ("compile time of a cold cache", "warm start"):
            say(name)
            output = subprocess.run(
                [sys.executable, "-c", _STARTED], env=environment, capture_output=True, text=True, check=True
            ).stdout.split()
            was_warm, (imports, compiling, first) = output[0] == "1", map(float, output[1:])
            if was_warm != (name == "warm start"):
                raise RuntimeError("this system does not look for its cache where XDG_CACHE_HOME says")
            entries.append(
                {
                    "work": name,
                    "seconds": imports + compiling + first,
                    "seconds_importing": imports,
                    "seconds_compiling": compiling,
                    "seconds_first_training": first,
                }
            )
    return entries


def default_works() -> tuple[Work, ...]:
    """Return the works on which threads are compared: a small network and a large one."""
    return WORKS[1], WORKS[3]
