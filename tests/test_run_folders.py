"""What stands in a run's folder stays there: refused commands, other tables and other questions, and odd folders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command_line import BRIEF, call, table

import wellfit as wf
from wellfit.job import default_folder
from wellfit.job.runs import RunInfo, read_run

TRAINED = BRIEF[:-2]
QUICK = [*TRAINED, "--cocktail", "l2=0.01"]
BAD = ([*TRAINED, "--class-weights", "1,2,3"], [*TRAINED, "--loss", "huber"])


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "clean.csv")
    (tmp_path / "other").mkdir()
    table(tmp_path / "other" / "clean.csv", rows=50)
    return tmp_path


def good(*args: object) -> str:
    done = call(*args)
    assert done.exit_code == 0, done.output
    return done.output


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder; of the ledger what is known of it, as its bytes may move."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "ledger.sqlite"}
    return files | {"about": repr(about(read_run(folder))).encode()}


def about(found: RunInfo) -> tuple:
    return found.state, found.results, found.unfinished, found.asking


# Refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad[-2])
def test_a_refused_command_leaves_a_finished_run_as_it_was(home, bad) -> None:
    good("run", "clean.csv", *QUICK, "--out", "runs/rep")
    before = content(home / "runs" / "rep")
    for command in (["run"], ["compare"], ["path", "--over", "l2"], ["bias-variance", "--over", "l2"]):
        options = bad if command[0] != "bias-variance" else [*bad[:4], *bad[-2:]]
        last_line(*command[:1], "clean.csv", *command[1:], *options, "--out", "runs/rep")
        assert content(home / "runs" / "rep") == before, command
    assert "finished" in good("runs", "list")
    assert "Continuing: wellfit run clean.csv" in good("resume", "rep")


@pytest.mark.parametrize("command", ["run", "compare", "path", "search", "bias-variance"])
def test_a_refused_command_leaves_no_folder(home, command) -> None:
    (home / "two.csv").write_text("a,b,died\n1,2,yes\n2,3,no\n")
    over = ["--over", "l2"] if command in ("path", "bias-variance") else []
    last_line(command, "two.csv", "--network", "4", *over, "--out", "runs/deep/two")
    assert not (home / "runs").exists()
    (home / "mine").mkdir()
    last_line(command, "two.csv", "--network", "4", *over, "--out", "mine")
    assert os.listdir("mine") == [], "a folder that was there stays"


def test_what_was_merged_is_not_lost_to_a_refused_command(home) -> None:
    good("compare", "clean.csv", *TRAINED, "--cocktails", "none", "--out", "share")
    good("merge", "runs/whole", "share")
    last_line("run", "clean.csv", *BAD[0], "--out", "runs/whole")
    found = read_run(home / "runs" / "whole")
    assert (found.state, found.results, found.asking) == ("unfinished", 2, None)


# Another run in the folder --------------------------------------------------------------------------------------------


def test_another_table_of_the_same_name_takes_the_next_folder(home) -> None:
    good("run", "clean.csv", *QUICK)
    before = content(home / "runs" / "clean")
    told = good("run", "other/clean.csv", *QUICK)
    assert "Note: runs/clean holds a run of another table or with other settings, which is kept." in told
    assert f"{Path('runs/clean-2')}" in told
    assert Path("runs/clean-2/report.html").name in told
    assert content(home / "runs" / "clean") == before
    assert (home / "runs" / "clean-2" / "report.html").is_file()


def test_another_question_takes_the_next_folder_and_the_same_one_its_own(home) -> None:
    first = good("run", "clean.csv", *QUICK)
    good("run", "clean.csv", *QUICK, "--seed", "3")
    good("run", "clean.csv", *QUICK, "--seed", "4")
    assert sorted(os.listdir("runs")) == ["clean", "clean-2", "clean-3"]
    for seed in ([], ["--seed", "3"], ["--seed", "4"]):
        good("run", "clean.csv", *QUICK, *seed)
    # What does not change the answer is no other question.
    again = good("run", home / "clean.csv", "--threads", "1", *QUICK)
    good("run", "clean.csv", *QUICK, "--json")
    assert "Note: runs/" not in first + again
    assert sorted(os.listdir("runs")) == ["clean", "clean-2", "clean-3"]
    assert "runs/clean-2/report.html" in good("resume", "clean-2")
    assert sorted(os.listdir("runs")) == ["clean", "clean-2", "clean-3"]


def test_an_interrupted_run_keeps_its_folder_and_says_which(home, monkeypatch) -> None:
    from wellfit.job import main as job

    good("run", "clean.csv", *QUICK)

    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "compare", stop)
        done = call("run", "other/clean.csv", *QUICK)
    assert done.exit_code == 130
    assert "wellfit resume runs/clean-2" in done.stderr.replace("\n", " ")
    assert "runs/clean-2/report.html" in good("resume", "clean-2")
    assert "Command: wellfit run clean.csv" in good("runs", "show", "clean")


def test_other_commands_beside_a_run_do_not_drive_it_from_its_folder(home) -> None:
    good("path", "clean.csv", "--over", "l2", "--points", "3", *TRAINED, "--out", "runs/clean")
    good("run", "clean.csv", *QUICK)
    good("path", "clean.csv", "--over", "l2", "--points", "3", *TRAINED, "--out", "runs/clean")
    good("run", "clean.csv", *QUICK)
    assert os.listdir("runs") == ["clean"]


def test_a_named_folder_says_what_it_replaces(home) -> None:
    good("run", "clean.csv", *QUICK, "--out", "mine")
    assert "Note: mine" not in good("run", "clean.csv", *QUICK, "--out", "mine")
    told = good("run", "other/clean.csv", *QUICK, "--out", "mine")
    assert "mine holds an answer to another question" in told
    assert "report.html" in told
    assert "model.safetensors" in told
    told = good("compare", "other/clean.csv", *BRIEF, "--out", "mine")
    assert "replaces there: comparison.json." in told
    assert "Note: mine" not in good("path", "clean.csv", "--over", "l2", "--points", "3", *TRAINED, "--out", "mine")
    assert "Note: mine" not in good("compare", "other/clean.csv", *BRIEF, "--out", "mine")


def test_the_record_says_where_it_is_from_python_too(home) -> None:
    options = {"network": "4", "training": {"epochs": 3}, "folds": 2, "seeds": 1, "cocktails": "l2=0.01"}
    records = [wf.run(name, **options) for name in ("clean.csv", "other/clean.csv", "clean.csv")]
    assert [Path(each.folder) for each in records] == [Path("runs/clean"), Path("runs/clean-2"), Path("runs/clean")]
    assert default_folder("clean.csv") == "runs/clean"


def test_a_run_of_an_older_version_goes_by_its_command(home) -> None:
    from dataclasses import replace

    from wellfit.job import runs
    from wellfit.ledger import Ledger

    good("run", "clean.csv", *QUICK)
    with Ledger(home / "runs" / "clean" / "ledger.sqlite") as ledger:
        asking = runs.Asking.read(ledger.note(runs.NOTE))
        assert asking is not None
        ledger.put_note(runs.NOTE, replace(asking, question="", wrote={}).text())
    shutil.copytree("runs/clean", "kept")
    good("run", "clean.csv", *QUICK, "--seed", "1")
    assert content(home / "runs" / "clean") == content(home / "kept")
    good("run", "clean.csv", *QUICK)
    assert sorted(os.listdir("runs")) == ["clean", "clean-2"]


# Names and places ----------------------------------------------------------------------------------------------------


def test_predict_takes_the_name_of_a_run(home) -> None:
    good("run", "clean.csv", *QUICK)
    by_folder = good("predict", "runs/clean", "clean.csv")
    assert good("predict", "clean", "clean.csv") == by_folder
    assert "nowhere" in last_line("predict", "nowhere", "clean.csv")
    (home / "clean").mkdir()
    assert good("predict", "clean", "clean.csv") == by_folder, "a folder without a run is not meant"
    shutil.copy("runs/clean/model.safetensors", "clean/model.safetensors")
    (home / "runs" / "clean" / "model.safetensors").write_bytes(b"")
    assert good("predict", "clean", "clean.csv") == by_folder, "what stands here comes first"


def test_export_takes_the_name_of_a_run(home) -> None:
    pytest.importorskip("onnx")
    good("run", "clean.csv", *QUICK)
    good("export", "clean", "--out", "m.onnx")
    assert (home / "m.onnx").is_file()


@pytest.mark.parametrize("command", ["run", "compare", "path", "search", "bias-variance", "workings", "lesson"])
def test_an_out_that_is_a_file_is_said_with_its_option(home, command) -> None:
    what = "dropout" if command == "lesson" else "clean.csv"
    over = ["--over", "l2"] if command in ("path", "bias-variance", "workings") else []
    brief = [] if command == "lesson" else ["--network", "4"]
    if command == "workings":
        brief += ["--epochs", "2"]
    for out in ("clean.csv", "clean.csv/inner"):
        sentence = last_line(command, what, *over, *brief, "--out", out)
        assert sentence.startswith(f"Error: --out {Path(out)}: a file stands in the way"), sentence
    assert (home / "clean.csv").is_file()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a place where nobody can make a folder")
def test_an_out_that_cannot_be_made_is_said_with_its_option(home) -> None:
    sentence = last_line("compare", "clean.csv", *BRIEF, "--out", "/proc/x")
    assert sentence == (
        "Error: --out /proc/x: the folder cannot be made (No such file or directory). "
        "Give a place to --out where you may write."
    )


def last_line(*args: object) -> str:
    done = call(*args)
    assert done.exit_code == 2, done.output
    return done.stderr.splitlines()[-1]
