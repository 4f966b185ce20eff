"""Faults on purpose: kill -9, a full disk, a folder that cannot be written, a clock that jumps."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from wellfit import job
from wellfit.cli import main
from wellfit.errors import ModelFileError
from wellfit.ledger import Ledger, sqlite
from wellfit.ledger.salvage import mend

ROOT = Path(__file__).parents[1]
# Four take a quarter of a minute; 100 were tried, with WELLFIT_KILLS=100.
KILLS = int(os.environ.get("WELLFIT_KILLS", "4"))
SMALL = ["compare", "iris", "--cocktails", "none; l2=0.01", "--network", "4", "--epochs", "6", "--folds", "2"]
SMALL += ["--seeds", "2"]


def call(*arguments: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout, done.stderr


def digests(folder: Path) -> dict[str, bytes]:
    with Ledger(folder / job.LEDGER) as ledger:
        return dict(ledger._base.execute("SELECT key, digest FROM results").fetchall())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_killed_at_random_moments_a_run_resumes_to_the_same_answer(tmp_path):
    """Nothing recorded is lost, changed or trained again; no file is half written: see `killing`."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "killing.py"), str(tmp_path), str(KILLS), "3"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["kills"] >= KILLS
    recorded = [n for n in found["recorded at the kill"] if 0 < n < found["results of a whole run"]]
    assert recorded, "some kills fell into the middle"


# A full disk ---------------------------------------------------------------------------------------------------------


def full_at(pages: int, monkeypatch) -> None:
    """Let ledgers grow to so many pages and no further: SQLite says then what it says on a full disk."""
    real = sqlite._journal

    def journal(base, path):
        real(base, path)
        base.execute(f"PRAGMA max_page_count = {pages}")

    monkeypatch.setattr(sqlite, "_journal", journal)


def test_a_full_disk_is_one_clear_line_and_costs_nothing_recorded(tmp_path, monkeypatch):
    call(*SMALL, "--out", tmp_path / "whole")
    whole = digests(tmp_path / "whole")
    for pages in (10, 12, 13):
        folder = tmp_path / str(pages)
        with monkeypatch.context() as patch:
            full_at(pages, patch)
            _, told = call(*SMALL, "--out", folder, code=2)
        assert "database or disk is full" in told
        assert "cannot be written" in told
        assert told.count("\n") <= 2
        assert mend(folder / job.LEDGER) is None, "sound"
        kept = digests(folder)
        assert kept.items() <= whole.items()
        call("resume", folder)
        assert digests(folder) == whole
    assert kept, "some results fitted"


def test_a_full_disk_while_files_are_written_leaves_the_old_ones(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    call(*SMALL, "--out", folder)
    before = (folder / "comparison.json").read_bytes()
    real = Path.write_bytes

    def full(self, content):
        real(self, content[: len(content) // 2])
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        _, told = call(*SMALL, "--seed", "1", "--out", folder, code=2)
    assert "comparison.json: No space left on device" in told
    assert (folder / "comparison.json").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["comparison.json", job.LEDGER]


def test_a_state_that_does_not_fit_on_the_disk_is_a_clear_error(tmp_path, monkeypatch):
    from wellfit.ledger.contract import sample, sample_state

    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put("a", sample())
    full_at(9, monkeypatch)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        for i in range(4):
            ledger.put_state(str(i), sample_state())
        with pytest.raises(ModelFileError, match="disk is full"):
            [ledger.put_state(str(i), sample_state()) for i in range(4, 99)]
        assert ledger.get("a") is not None


# A folder that cannot be written -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs users and permissions as POSIX has them")
@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, there):
    """As another user where this one may write everywhere."""
    folder = tmp_path / "out"
    if there:
        call(*SMALL, "--out", folder)
    kept = sorted(os.listdir(folder)) if there else []
    tmp_path.chmod(0o555)
    for path in (folder, *folder.glob("*")) if there else ():
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import os, sys\nfrom wellfit import job\nfrom wellfit.cli import main\n"
        "from wellfit.data import load; load('iris')\n"
        "import wellfit.job.main, wellfit.engines.compiled, wellfit.ledger.lock, wellfit.ledger.salvage, socket\n"
        "from wellfit.messages import catalogue\n"
        "for room in ('ledger', 'runs', 'job', 'data', 'checks'): catalogue(room)\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "main()"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *SMALL, "--out", str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in (tmp_path, folder):
            if path.exists():
                path.chmod(0o755)
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if not line.startswith(("Warning:", "Note:"))]
    assert line.startswith("Error: ")
    assert "Permission denied" in line
    assert str(folder) in line or str(tmp_path) in line
    assert not there or sorted(os.listdir(folder)) == kept


# A clock that jumps --------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    """Neither the time of day nor the one that slices are measured with has a say in any result."""
    call(*SMALL, "--out", tmp_path / "a")
    draw = random.Random(0)
    real = time.perf_counter

    def anything(*_):
        return draw.uniform(-1e9, 4e9)

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", anything)
        patch.setattr("wellfit.executors.threads.perf_counter", anything)
        patch.setattr("wellfit.engines.compiled.engine.time.perf_counter", lambda: real() + draw.uniform(-50, 50))
        call(*SMALL, "--out", tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert (tmp_path / "a" / "comparison.json").read_bytes() == (tmp_path / "b" / "comparison.json").read_bytes()


def test_a_run_from_the_future_is_resumed_all_the_same(tmp_path, monkeypatch):
    import datetime as dt

    class Later(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2999, 1, 1)

    with monkeypatch.context() as patch:
        patch.setattr("wellfit.job.runs.datetime", Later)
        patch.setattr("wellfit.ledger.lock.datetime", Later)
        call(*SMALL, "--out", tmp_path / "a")
    assert "Started: 2999-01-01" in call("runs", "show", tmp_path / "a")[0]
    call("resume", tmp_path / "a")
    assert "Started: 20" in call("runs", "show", tmp_path / "a")[0]


# Questions that share members ----------------------------------------------------------------------------------------


def test_a_later_question_takes_what_an_earlier_one_trained(tmp_path, monkeypatch):
    """A path's first point is none: the comparison on the same data has trained it."""
    from wellfit.engines.compiled import CompiledEngine

    shared = {"network": "4", "training": {"epochs": 5}, "folds": 2, "seeds": 2, "out": tmp_path}
    job.compare_into("iris", cocktails="none; l2=0.1", **shared)
    trained, real = set(), CompiledEngine._advance

    def counted(self, member, state, until, data):
        trained.add(member)
        return real(self, member, state, until, data)

    monkeypatch.setattr(CompiledEngine, "_advance", counted)
    from wellfit.job.path_job import path_into

    found = path_into("iris", "l2", points=4, **shared)
    assert len(trained) > 0
    assert not any(str(member.cocktail) == "none" for member in trained)
    assert len(found.strengths) == 4
    assert np.isfinite(found.losses).all()
