"""A very large population in one run: is memory flat, progress smooth, the ledger small, and resuming quick?

``python benchmarks/load.py [--members 20000] [--iterations 2000] [--threads 2]`` trains the football network (2-20-3-1,
full-batch gradient descent) that often, kills the process half way, resumes it to the end, and asks once more when all
is recorded. The run holds its folder and opens its ledger as `wellfit run` does; histories are handed over one by one
(`wellfit.population.train_each`), as nothing else could keep memory flat.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGABYTE = 1e6
REPORTS = 0.25  # seconds between two lines of a worker


def work(folder: Path, members: int, iterations: int, threads: int) -> None:
    """Train what is missing; print a line of JSON now and then: seconds, members taken, steps done, memory."""
    began = time.perf_counter()
    from wellfit.cocktail import L2, Cocktail
    from wellfit.data import folds, load, prepare
    from wellfit.engines.compiled import CompiledEngine
    from wellfit.executors import Threads
    from wellfit.job.runs import recorded
    from wellfit.nets import MLP, Training
    from wellfit.population import plan, train_each

    table = load("football")
    rows = [i for i in range(table.rows) if table.test_rows is None or i not in set(table.test_rows)]
    data = prepare(table, folds(table, rows, folds=5, seed=0))
    training = Training("gd", 0.3, epochs=iterations, batch_size=None)
    cocktails = [Cocktail((L2(float(f"{10 ** (-4 + 3 * i / 19):.4g}")),)) for i in range(20)]
    wanted = plan(
        data,
        folds=5,
        networks=(MLP((20, 3)),),
        cocktails=cocktails,
        trainings=(training,),
        seeds=range(-(-members // 100)),
    )[:members]
    taken, told, gap, moved = 0, 0.0, 0.0, [0, began]

    def take(*_: object) -> None:
        nonlocal taken
        taken += 1

    def progress(done: int, total: int) -> None:
        nonlocal told, gap
        now = time.perf_counter()
        if done > moved[0]:
            if moved[0]:
                gap = max(gap, now - moved[1])
            moved[:] = [done, now]
        if now - told > REPORTS or done == total:
            told = now
            line = {
                "seconds": now - began,
                "taken": taken,
                "done": done,
                "total": total,
                "memory": memory(),
                "gap": gap,
            }
            print(json.dumps(line), flush=True)

    with recorded(folder, ()) as (ledger, _):
        engine, executor = CompiledEngine(), Threads(threads)
        train_each(wanted, data, take, engine=engine, executor=executor, ledger=ledger, progress=progress)
    print(json.dumps({"seconds": time.perf_counter() - began, "taken": taken, "end": True, "gap": gap}), flush=True)


def memory() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start(folder: Path, asked: argparse.Namespace, stop_at: float = 2.0) -> tuple[list[dict], float]:
    """Run a worker, and kill it once it has done a share ``stop_at``; return its lines and its wall seconds."""
    began, lines = time.perf_counter(), []
    options = ["--members", asked.members, "--iterations", asked.iterations, "--threads", asked.threads]
    command = [sys.executable, __file__, "--work", str(folder), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            lines.append(json.loads(text))
            if lines[-1].get("done", 0) >= stop_at * lines[-1].get("total", 1e99):
                process.send_signal(signal.SIGKILL)
                break
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"a worker failed with {process.returncode}")
    return lines, time.perf_counter() - began


def smoothness(lines: list[dict]) -> tuple[float, float]:
    """Return the slowest and the fastest tenth of a run, in steps a second, over the mean."""
    last, rates = lines[0], []
    step = (lines[-1]["done"] - lines[0]["done"]) / 10
    for line in lines:
        if line["done"] - last["done"] >= step:
            rates.append((line["done"] - last["done"]) / (line["seconds"] - last["seconds"]))
            last = line
    mean = (lines[-1]["done"] - lines[0]["done"]) / (lines[-1]["seconds"] - lines[0]["seconds"])
    return min(rates) / mean, max(rates) / mean


def growth(lines: list[dict], first: float) -> tuple[float, float]:
    """Return memory in MB at a share ``first`` of a run, and the most from there on."""
    begin = lines[0]["done"]
    after = [x for x in lines if x["done"] - begin >= first * (lines[-1]["done"] - begin)]
    return after[0]["memory"] / MEGABYTE, max(x["memory"] for x in after) / MEGABYTE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.members, asked.iterations, asked.threads)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        first, seconds_first = start(folder, asked, stop_at=0.5)
        known = first[-1]["taken"]
        second, seconds_second = start(folder, asked)
        third, seconds_third = start(folder, asked)
        size = sum(path.stat().st_size for path in folder.iterdir())
    tell(asked, first, second)
    print(f"killed after {seconds_first:.1f} s with {known} members, resumed and ended after {seconds_second:.1f} s")
    print(f"ledger {size / MEGABYTE:.0f} MB")
    print(f"with everything recorded: {third[-1]['taken']} histories handed over in {seconds_third:.1f} s")


def tell(asked: argparse.Namespace, first: list[dict], second: list[dict]) -> None:
    """Print pace, memory and progress of the two halves."""
    halves = {"before the kill": first, "after it": [line for line in second if "done" in line]}
    running = halves["after it"]
    resumed = next(line["seconds"] for line in running if line["done"] > running[0]["done"])
    steps, wall = asked.members * asked.iterations, first[-1]["seconds"] + second[-1]["seconds"]
    print(f"{asked.members} members, {asked.iterations} iterations each, {asked.threads} threads")
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
    print(f"{wall / steps * 1e6:.2f} microseconds of wall time a step; {asked.members / wall:.0f} members a second")
    for name, lines in halves.items():
        (low, high), (slow, fast) = growth(lines, 0.1), smoothness(lines[1:])
        print(f"{name}: memory {low:.0f} MB at a tenth of it, at most {high:.0f} MB after")
        print(f"    pace of the slowest tenth {slow:.2f} of the mean, of the fastest {fast:.2f}")
        print(f"    longest time without progress {lines[-1]['gap']:.2f} s")
    print(f"resumed: the first new step {resumed:.1f} s after the start, {running[0]['taken']} members found")


if __name__ == "__main__":
    main()
