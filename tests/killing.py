"""Kill a run at random moments, resume it, and hold the answer against that of an uninterrupted one.

``python tests/killing.py FOLDER COUNT [SEED]`` prints what it found as JSON and exits with 1 where anything differed.
The work is a comparison, a path and a search in one folder. States are kept every 20 ms, so that a kill falls between
them and in the middle of writing them, too. Each run is a fork of this process, whose own threads have ended by then.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path

from wellfit import job
from wellfit.executors import threads
from wellfit.job.path_job import path_into
from wellfit.job.search_job import search_into
from wellfit.ledger import Ledger, sqlite
from wellfit.ledger.salvage import mend
from wellfit.rng import DATA, generator

FILES = ("comparison.json", "path.json", "search.json", "model.safetensors")
LOG = "puts.log"
MOST_WRONG = 5
AGAIN = 0.3  # of the runs are killed once more while they resume


def work(folder: Path) -> None:
    """The run: three questions, one folder."""
    shared = {"network": "16", "folds": 2, "out": folder, "threads": 2}
    mixes = "none; l2=0.01; dropout=0.2; early_stopping=200"
    job.compare_into("iris", cocktails=mixes, training={"epochs": 3000}, seeds=2, **shared)
    path_into("iris", "l2", points=4, training={"epochs": 600}, seeds=2, **shared)
    search_into("iris", budget="10000 steps", **shared)


def child(folder: Path) -> int:
    """Start the run in a process of its own and return its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        folder.mkdir(exist_ok=True)
        log = os.open(folder.parent / f"{folder.name}.{LOG}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        real = Ledger.put

        def put(self: Ledger, key: str, history: object) -> None:
            real(self, key, history)  # type: ignore[arg-type]
            os.write(log, f"{key}\n".encode())

        sqlite.Ledger.put = put  # type: ignore[method-assign]
        work(folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def kill_at(folder: Path, seconds: float) -> bool:
    """Run, kill after so many seconds, and tell whether the run was still going."""
    pid = child(folder)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
        time.sleep(min(0.002, max(0.0, end - time.perf_counter())))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def finish(folder: Path) -> float:
    """Run to the end; return the seconds it took."""
    began = time.perf_counter()
    _, status = os.waitpid(child(folder), 0)
    if status:
        raise AssertionError(f"the run ended with status {status}")
    return time.perf_counter() - began


def digests(folder: Path) -> dict[str, bytes]:
    path = folder / job.LEDGER
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as base:
        try:
            return dict(base.execute("SELECT key, digest FROM results").fetchall())
        except sqlite3.OperationalError:  # killed before the tables were made
            return {}


def puts(folder: Path) -> list[str]:
    log = folder.parent / f"{folder.name}.{LOG}"
    return log.read_text().splitlines() if log.exists() else []


def one_moment(folder: Path, moments: list[float], truth: dict[str, bytes], files: dict[str, bytes]) -> dict:
    """Kill at each of the moments in turn, resume, and compare. Raises ``AssertionError`` where anything is amiss."""
    killed, recorded, states = [], [], 0
    for moment in moments:
        killed.append(kill_at(folder, moment))
        known, before = digests(folder), len(puts(folder))
        assert known.items() <= truth.items(), "a recorded result is another"
        assert set(puts(folder)) <= set(known), "a result that was reported is not there"
        assert mend(folder / job.LEDGER) is None, "the ledger is damaged"
        if (folder / job.LEDGER).exists() and known:
            with Ledger(folder / job.LEDGER) as ledger:
                states += len(list(ledger.states()))
        for name, content in files.items():
            assert not (folder / name).exists() or (folder / name).read_bytes() == content, f"half of {name}"
        recorded.append((set(known), before))
    finish(folder)
    for known, before in recorded:
        assert not known & set(puts(folder)[before:]), "what was recorded was trained again"
    assert digests(folder) == truth, "not the same results"
    for name, content in files.items():
        assert (folder / name).read_bytes() == content, f"not the same {name}"
    assert not (folder / "run.lock").exists()
    counts = [len(known) for (known, _), fell in zip(recorded, killed, strict=True) if fell]
    return {"killed": killed, "recorded": counts, "states": states}


def main(place: Path, count: int, seed: int = 0) -> int:
    """Do it until ``count`` kills have fallen into a run, and print what came of it."""
    threads.KEEP_SECONDS, threads.SLICE_SECONDS = 0.02, 0.005
    work(place / "warm")  # so that a fork finds kernels, packages and fonts loaded
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    whole = place / "whole"
    seconds = finish(whole)
    truth, files = digests(whole), {name: (whole / name).read_bytes() for name in FILES}
    draw, found, wrong, kills, late = generator(seed, DATA), [], [], 0, 0
    while kills < count and len(wrong) < MOST_WRONG:
        folder = place / f"run{len(found) + len(wrong)}"
        moments = [float(draw.uniform(0, seconds))]
        if draw.random() < AGAIN:
            moments.append(float(draw.uniform(0, seconds)))
        try:
            found.append(one_moment(folder, moments, truth, files))
        except AssertionError as error:
            wrong.append({"run": folder.name, "seconds": moments, "what": str(error)})
            continue
        shutil.rmtree(folder)
        kills += sum(found[-1]["killed"])
        late += len(moments) - sum(found[-1]["killed"])
        if not found[-1]["killed"][0]:
            seconds *= 0.8  # the machine was busier when this was measured
    print(
        json.dumps(
            {
                "kills": kills,
                "runs": len(found),
                "came too late": late,
                "results of a whole run": len(truth),
                "recorded at the kill": [n for each in found for n in each["recorded"]],
                "states at the kill": sum(each["states"] for each in found),
                "wrong": wrong,
            }
        )
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:])))
