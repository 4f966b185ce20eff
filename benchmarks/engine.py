"""The compiled engine against the textbook's loop: microseconds per optimizer step and member, side by side.

    python benchmarks/engine.py [--json] [--members 64] [--iterations 30000]

The work is the football network (2-20-3-1 on 211 rows, full batch, gradient descent, dropout in half the members), in
float32. wellfit trains a population of ``members`` on all cores. The peer is the loop of `wellfit.reference`, which is
NumPy as a textbook would write it, in one process per core, each training one member after another. Both run in turn,
three rounds, in one run of this script; the median of the rounds and of their ratio is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail, as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.executors import Threads
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData
from wellfit.reference import initialize_parameters, train

ROWS, SIZES, KEEP = 211, (2, 20, 3, 1), 0.86


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Return x (211 + 200, 2) and y (411, 1): two noisy classes of the football data's size."""
    draw = rng.generator(0, rng.DATA)
    x = draw.normal(size=(ROWS + 200, 2))
    return x, (x[:, :1] + x[:, 1:] ** 2 + 0.3 * draw.normal(size=(ROWS + 200, 1)) > 0.5).astype(float)


def ours(members: int, iterations: int) -> float:
    """Return seconds for the whole population, evaluation at its checkpoints included."""
    x, y = problem()
    fold = FoldData(x, y, Fold(np.arange(ROWS), np.arange(0), np.arange(ROWS, len(x))))
    data = TrainingData("binary", 1, (fold,))
    training = Training("gd", 0.3, iterations, None)
    drop = as_cocktail(f"dropout={1 - KEEP}")
    population = [Member(MLP(SIZES[1:-1]), drop if s % 2 else Cocktail(), training, s, 0) for s in range(members)]
    start = time.perf_counter()
    ended = list(Threads().run(CompiledEngine(), population, data))
    seconds = time.perf_counter() - start
    if any(state.status != "finished" for _, state in ended):
        sys.exit("a member did not finish")
    return seconds


def _textbook(job: tuple[int, int]) -> float:
    """Train one member by the reference; return its seconds. Runs in a process of its own."""
    seed, iterations = job
    x, y = problem()
    x, y = x[:ROWS].T.copy(), y[:ROWS].T.copy()
    start = time.perf_counter()
    parameters = initialize_parameters(SIZES, np.random.RandomState(seed))
    keep = KEEP if seed % 2 else 1.0
    train(x, y, parameters, learning_rate=0.3, iterations=iterations, keep=keep, every=iterations)
    return time.perf_counter() - start


def textbook(pool: ProcessPoolExecutor, cores: int, iterations: int) -> float:
    """Return seconds per step and member of the reference with one process per core (two members each)."""
    jobs = [(seed, iterations) for seed in range(2 * cores)]
    list(pool.map(_textbook, [(0, 10)] * cores))  # imports are not counted
    start = time.perf_counter()
    list(pool.map(_textbook, jobs))
    return (time.perf_counter() - start) / (len(jobs) * iterations)


def measure(members: int, iterations: int, rounds: int) -> dict:
    """Return the figures of the football network."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ours(2, 10)  # compiles, or loads the kernels
    mine, peer = [], []
    with ProcessPoolExecutor(cores) as pool:
        for _ in range(rounds):
            mine.append(ours(members, iterations) / (members * iterations) * 1e6)
            peer.append(textbook(pool, cores, max(100, iterations // 10)) * 1e6)
    return {
        "work": f"2-20-3-1, {ROWS} rows, full batch, {members} members x {iterations} iterations",
        "microseconds": round(statistics.median(mine), 3),
        "peers": {"reference.py": round(statistics.median(peer), 3)},
        "ratio_to_best_peer": round(statistics.median(p / m for p, m in zip(peer, mine, strict=True)), 2),
        "rounds": rounds,
        "cores": cores,
        "machine": platform.processor() or platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [measure(given.members, given.iterations, given.rounds)]
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(row["work"])
        print(f"  wellfit       {row['microseconds']:8.2f} us per step and member, on {row['cores']} cores")
        for name, value in row["peers"].items():
            print(f"  {name:13s} {value:8.2f} us per step and member, one process per core")
        print(f"  {row['ratio_to_best_peer']:.1f} times the throughput")


if __name__ == "__main__":
    main()
