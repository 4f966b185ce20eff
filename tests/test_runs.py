"""``wellfit resume`` and ``wellfit runs``: what they do, what they refuse, and Ctrl-C once and twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from wellfit.cli import main
from wellfit.job import runs
from wellfit.ledger import Ledger
from wellfit.ledger.lock import held

ROOT = Path(__file__).parents[1]
SMALL = ["compare", "iris", "--cocktails", "none; l2=0.01", "--network", "4", "--epochs", "6", "--folds", "2"]
SMALL += ["--seeds", "2"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: object, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout, done.stderr


def digests(folder: Path) -> dict[str, bytes]:
    with Ledger(folder / runs.LEDGER) as ledger:
        return dict(ledger._base.execute("SELECT key, digest FROM results").fetchall())


def forget(folder: Path, count: int) -> None:
    """Take results away, as if the run had been stopped before them."""
    with Ledger(folder / runs.LEDGER) as ledger:
        ledger._base.execute(f"DELETE FROM results WHERE key IN (SELECT key FROM results LIMIT {count})")


# Resume --------------------------------------------------------------------------------------------------------------


def test_resume_trains_what_is_missing_and_writes_the_same_files(home, monkeypatch):
    call(*SMALL, "--out", "runs/a")
    folder = home / "runs" / "a"
    before, written = digests(folder), (folder / "comparison.json").read_bytes()
    forget(folder, 3)
    (folder / "comparison.json").unlink()
    trained = []
    from wellfit.engines.compiled import CompiledEngine

    real = CompiledEngine._advance

    def counted(self, member, state, until, data):
        trained.append(member)
        return real(self, member, state, until, data)

    monkeypatch.setattr(CompiledEngine, "_advance", counted)
    monkeypatch.chdir("/")  # the data is named relative to where the command was typed
    _, told = call("resume", folder)
    assert "Continuing: wellfit compare iris --cocktails 'none; l2=0.01'" in told
    assert len(set(trained)) == 3
    assert digests(folder) == before
    assert (folder / "comparison.json").read_bytes() == written


def test_a_run_is_resumed_by_its_name_and_where_it_was_moved_to(home):
    (home / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(30)))
    call(*["compare", "d.csv", *SMALL[2:]], "--out", "runs/a")
    (home / "runs" / "a").rename(home / "runs" / "b")
    _, told = call("resume", "b")
    assert f"{home}/runs/b/comparison.json" in told
    assert not (home / "runs" / "a").exists()


@pytest.mark.parametrize("value", ["nowhere", "../runs/a", "/", "", "runs"])
def test_what_is_no_run_is_refused(home, value):
    _, told = call("resume", value, code=2)
    assert "There is no run at" in told


def note(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger(folder / runs.LEDGER) as ledger:
        ledger.put_note(runs.NOTE, text)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "not started on the command line"),
        (["predict", "m", "d", "--out", "/tmp/stolen"], "cannot be continued"),
        (["runs", "remove", "--yes", "a"], "cannot be continued"),
        (["resume", "a"], "cannot be continued"),
        (["no-such"], "cannot be continued"),
        (["compare", "iris", "--no-such-option"], "There is no option --no-such-option"),
    ],
)
def test_a_crafted_note_can_ask_for_nothing_but_a_run(home, arguments, sentence):
    note(home / "a", json.dumps({"arguments": arguments, "folder": "/", "version": "0", "started": "", "ended": None}))
    _, told = call("resume", "a", code=2)
    assert sentence in told


def test_a_crafted_note_can_write_nowhere_else(home):
    victim = home / "victim"
    asking = runs.Asking(("compare", "iris", *SMALL[2:], "--out", str(victim)), str(home), "0", "")
    note(home / "a", asking.text())
    call("resume", "a")
    assert not victim.exists()
    assert (home / "a" / "comparison.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json", '{"arguments": 5}', '{"arguments": "run"}', "null"])
def test_an_odd_note_is_no_command(home, text):
    note(home / "a", text)
    _, told = call("resume", "a", code=2)
    assert "not started on the command line" in told
    assert "unfinished" in call("runs", "show", "a")[0]


# One run, one process ------------------------------------------------------------------------------------------------


def test_a_second_process_is_told_who_holds_the_run(home):
    call(*SMALL, "--out", "runs/a")
    with held(home / "runs" / "a"):
        for command in ([*SMALL, "--out", "runs/a"], ["resume", "a"], ["runs", "remove", "--yes", "a"]):
            _, told = call(*command, code=2)
            assert f"in use by process {os.getpid()} on" in told
        assert "State: running (process" in call("runs", "show", "a")[0]
        assert "running" in call("runs", "list")[0]
    assert "finished" in call("runs", "list")[0]


def test_links_that_lead_out_of_the_folder_are_not_followed(home):
    treasure = home / "treasure"
    for name in ("run.lock", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-journal", "comparison.json"):
        treasure.write_text("precious")
        out = home / f"with {name}"
        out.mkdir()
        (out / name).symlink_to(treasure)
        done = CliRunner().invoke(main, [*SMALL, "--out", str(out)])
        assert done.exit_code == (0 if name == "comparison.json" else 2), name
        assert treasure.read_text() == "precious", name


def test_a_damaged_ledger_is_mended_with_a_word(home):
    call(*SMALL, "--out", "a")
    before = digests(home / "a")
    path = home / "a" / runs.LEDGER
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3])
    _, told = call(*SMALL, "--out", "a")
    assert "Warning: The ledger was damaged" in told
    assert digests(home / "a") == before


# Runs ----------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_shown_and_removed(home):
    assert "There are no runs in runs." in call("runs", "list")[0]
    call(*SMALL, "--out", "runs/one")
    call(*SMALL, "--out", "runs/two")
    forget(home / "runs" / "two", 1)
    (home / "runs" / "two" / "notes.txt").write_text("mine")
    listed = json.loads(call("runs", "list", "--json")[0])["runs"]
    assert [(each["folder"], each["state"], each["results"]) for each in listed] == [
        ("runs/one", "finished", 8),
        ("runs/two", "finished", 7),
    ]
    assert listed[0]["arguments"] == [*SMALL, "--out", "runs/one"]
    table = call("runs", "list")[0]
    assert "wellfit compare iris" in " ".join(table.split())
    shown = call("runs", "show", "one")[0]
    assert "State: finished" in shown
    assert "Recorded: 8 trainings, 0 under way" in shown
    files = sorted(os.listdir("runs/one"))
    assert files == ["comparison.json", "ledger.sqlite"], "looking at a run leaves nothing in it"
    _, told = call("runs", "remove", "one", code=2)
    assert "--yes" in told
    assert sorted(os.listdir("runs/one")) == files
    _, told = call("runs", "remove", "--yes", "one", "two")
    assert "other files stay: notes.txt" in told
    assert os.listdir("runs") == ["two"]
    assert os.listdir("runs/two") == ["notes.txt"]


LINEAR = ["path", "football", "--over", "l1", "--network", "linear", "--points", "4", "--folds", "2"]
WRITERS = [
    SMALL,
    LINEAR,
    ["search", "iris", "--budget", "2000 steps"],
    ["run", "iris", "--quick", "--budget", "2000 steps", "--epochs", "5"],
]


@pytest.mark.parametrize("command", WRITERS, ids=lambda c: c[0])
def test_removing_a_run_takes_all_that_wellfit_wrote(home, command):
    call(*command, "--out", "runs/a")
    assert len(os.listdir("runs/a")) > 1
    call("runs", "remove", "--yes", "a")
    assert os.listdir("runs") == []


def test_a_run_from_python_says_so(home):
    from wellfit import job

    options = {"network": "4", "training": {"epochs": 3}, "folds": 2, "seeds": 1}
    job.compare_into("iris", cocktails="none", out="runs/p", **options)
    assert "(from Python)" in call("runs", "list")[0]
    assert "call the same function again" in call("resume", "p", code=2)[1]


def test_a_damaged_or_foreign_file_is_listed_as_unreadable(home):
    for name, content in (("a", b"junk" * 999), ("b", b"")):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / runs.LEDGER).write_bytes(content)
    listed = json.loads(call("runs", "list", "--json")[0])["runs"]
    assert [each["state"] for each in listed] == ["unreadable", "unreadable"]
    assert "unreadable (" in call("runs", "show", "a")[0]
    call("runs", "remove", "--yes", "a")
    assert os.listdir("runs") == ["b"]


# Ctrl-C --------------------------------------------------------------------------------------------------------------


def program(*arguments: str, cwd: Path, prelude: str = "") -> subprocess.Popen:
    code = f"{prelude}\nfrom wellfit.cli import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


LONG = [*SMALL[:7], "400000", *SMALL[8:], "--out", "a"]


def when_training(process: subprocess.Popen, folder: Path) -> None:
    """Wait until the run has begun: its command is noted just before training."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if (folder / runs.LEDGER).exists() and runs.read_run(folder).asking is not None:
            time.sleep(0.6)
            return
        time.sleep(0.05)
    raise AssertionError("the run did not begin")


def test_ctrl_c_once_finishes_cleanly_and_can_be_resumed(tmp_path):
    with program(*LONG, cwd=tmp_path) as process:
        when_training(process, tmp_path / "a")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "wellfit resume a" in told
    assert "Traceback" not in told
    found = runs.read_run(tmp_path / "a")
    assert found.state == "unfinished"
    assert found.unfinished >= 1, "how far members were is recorded"
    assert os.listdir(tmp_path / "a") == [runs.LEDGER]


def test_ctrl_c_twice_leaves_now(tmp_path):
    """The first waits for a member that does not come back; the second does not."""
    prelude = (
        "import time\nfrom wellfit.engines.compiled import CompiledEngine\n"
        "CompiledEngine.advance = lambda *a: time.sleep(60)"
    )
    with program(*LONG, cwd=tmp_path, prelude=prelude) as process:
        when_training(process, tmp_path / "a")
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "once, it waits for what is under way"
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, told = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert told.endswith("\nLeft at once. What was recorded is kept, and the same command continues from there.\n")
    assert "Traceback" not in told
    assert runs.read_run(tmp_path / "a").state == "unfinished"
