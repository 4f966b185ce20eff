"""Where one driver stops scaling: overheads measured on this machine, then a simulation of more workers than it has.

Measured: how long members take (their spread is what makes a tail), the gap that a worker waits between two shards,
and what a shard and a member cost the driver (sending, taking the answer, the history, the ledger on the disk).
Simulated: one driver that serves its shards one after another, N workers that each train one shard at a time, with the
executor's own rule for the length of a shard. Not simulated: the network, Ray's own limits, lost nodes.

    python benchmarks/scale.py             # measures through Ray on this machine, then simulates
    python benchmarks/scale.py --assume 0.009 0.002 0.001    # gap, seconds a shard, seconds a member: no Ray needed
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.data import load
from wellfit.engines.base import Member, history
from wellfit.engines.blas import one_blas_thread
from wellfit.engines.compiled import CompiledEngine
from wellfit.executors import Ray, Threads, gathering, ray
from wellfit.executors.shards import LAST, LAST_SECONDS, Pace
from wellfit.ledger import Ledger
from wellfit.nets import MLP, Training
from wellfit.population import plan
from wellfit.select.compare import cross_validation_data

WORKERS = (10, 100, 1_000, 10_000, 100_000)
SECONDS = (0.05, 1.0, 60.0)
EACH = 20  # members for each worker


def population(epochs: int, seeds: int) -> tuple[list[Member], object]:
    """Return members of one network with several cocktails on the breast-cancer data, and the data."""
    table = load("breast-cancer")
    data, folds = cross_validation_data(table, np.arange(table.rows), 5, 0, False, MLP())
    mixes = [Cocktail.parse(text) for text in ("none", "l2=0.01", "dropout=0.2", "l1=1e-3", "input_noise=0.2")]
    training = Training(epochs=epochs, batch_size=32, learning_rate=3e-3)
    members = plan(
        data, folds=folds, cocktails=mixes, networks=[MLP((64, 32))], trainings=[training], seeds=range(seeds)
    )
    return members, data


def measure(epochs: int, seeds: int) -> tuple[np.ndarray, float, float, float]:
    """Return seconds of each member, and seconds of a gap, of a shard and of a member at the driver."""
    members, data = population(epochs, seeds)
    engine, answers, costs = CompiledEngine(), [], []
    receive, send = gathering.Gathering.receive, ray._Job.send

    def timed(function, *args):
        began = perf_counter()
        result = function(*args)
        costs.append(perf_counter() - began)
        return result

    list(Threads(1).run(engine, members[:2], data))
    times = []
    for member in members[:: max(1, len(members) // 60)]:
        began = perf_counter()
        list(Threads(1).run(engine, [member], data))
        times.append(perf_counter() - began)
    with Ray() as executor, tempfile.TemporaryDirectory() as folder:
        workers = executor.threads
        list(executor.run(engine, members[: 4 * workers], data))  # workers start, kernels are loaded
        gathering.Gathering.receive = lambda self, shard, answer: (
            answers.append((len(shard.members), answer.seconds, answer.gap)),
            timed(receive, self, shard, answer),
        )[1]
        ray._Job.send = lambda job: timed(send, job)
        began = perf_counter()
        ended = list(executor.run(engine, members, data))
        wall = perf_counter() - began
        with Ledger(Path(folder) / "ledger.sqlite") as ledger:
            began = perf_counter()
            with one_blas_thread():
                records = [history(members[index], state, data) for index, state in ended[:200]]
            making = (perf_counter() - began) / len(records)
            began = perf_counter()
            for index, record in enumerate(records):
                ledger.put(str(index), record)
            writing = (perf_counter() - began) / len(records)
    gaps = [gap for _, _, gap in answers if gap is not None]
    busy = sum(seconds for _, seconds, _ in answers)
    print(f"{len(members)} members of {np.mean(times) * 1e3:.0f} ms (from {min(times) * 1e3:.0f} to", end=" ")
    print(f"{max(times) * 1e3:.0f}), {len(answers)} shards on {workers} workers in {wall:.2f} s")
    print(f"workers busy {busy / wall / workers:.1%} of the time; median gap {np.median(gaps) * 1e3:.1f} ms,", end=" ")
    print(f"driver {sum(costs) / len(answers) * 1e3:.2f} ms a shard;")
    print(f"a member's history {making * 1e3:.2f} ms, its record on the disk {writing * 1e3:.2f} ms")
    return np.array(times), float(np.median(gaps)), sum(costs) / len(answers), making + writing


def simulate(times: np.ndarray, workers: int, gap: float, shard: float, member: float) -> tuple[float, float]:
    """Return the efficiency of ``workers`` and the share of the time that the driver is busy.

    ``times`` are the members' seconds, (members,). The driver is one server: it takes ``shard`` for each shard and
    ``member`` for each member of it, in the order in which they come back.
    """
    pace = Pace()
    for _ in range(100):
        pace.shard_done(1.0, 1.0, gap)
        pace.driver_spent(shard)
    length, left, place = pace.seconds(workers), float(times.sum()), 0
    ends = times.cumsum()
    driver = busy = done = 0.0
    free = [(0.0, 0) for _ in range(workers)]  # when each worker comes back, with how many members
    while free:
        back, count = heapq.heappop(free)
        # A worker has its next shard already when it comes back, unless the driver is behind.
        driver = max(driver, back) + shard + count * member
        busy += shard + count * member
        done = max(done, driver)
        if place == len(times):
            continue
        room = min(length, max(left / (LAST * workers), LAST_SECONDS))
        begun = ends[place - 1] if place else 0.0
        stop = max(place + 1, int(np.searchsorted(ends, begun + room, side="right")))
        worth = float(ends[stop - 1] - begun)
        late = max(0.0, driver - back - length)
        heapq.heappush(free, (back + late + gap + worth, stop - place))
        left, place = left - worth, stop
    return float(times.sum()) / (workers * done), busy / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assume", nargs=3, type=float, metavar=("GAP", "SHARD", "MEMBER"))
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    if asked.assume:
        times, (gap, shard, member) = np.random.default_rng(0).lognormal(0.0, 0.3, 60), asked.assume
    else:
        times, gap, shard, member = measure(asked.epochs, asked.seeds)
    draw = np.random.default_rng(0)
    print(f"\n{EACH} members for each worker: efficiency (driver busy)")
    print("workers " + "".join(f"{f'members of {s:g} s':>22}" for s in SECONDS))
    for workers in WORKERS:
        cells = []
        for seconds in SECONDS:
            drawn = draw.choice(times, EACH * workers) * seconds / times.mean()
            efficiency, busy = simulate(np.sort(drawn)[::-1], workers, gap, shard, member)
            cells.append(f"{f'{efficiency:.0%} ({busy:.0%})':>22}")
        print(f"{workers:>7} " + "".join(cells), flush=True)
    print(f"\nThe driver records {1 / member:,.0f} members a second: it keeps up with", end=" ")
    print(", ".join(f"{s / member:,.0f} workers at {s:g} s a member" for s in SECONDS) + ".")


if __name__ == "__main__":
    main()
