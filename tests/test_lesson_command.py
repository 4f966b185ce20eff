"""``wellfit lesson``: what it lists, what it writes, what it refuses, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_lessons import small

from wellfit.cli import main
from wellfit.job import lesson as job
from wellfit.report.lessons import LESSONS, find


def call(*args: object) -> Result:
    return CliRunner().invoke(main, ["lesson", *map(str, args)])


def test_without_a_name_lessons_are_listed() -> None:
    result = call()
    assert result.exit_code == 0
    for lesson in LESSONS:
        assert lesson.name in result.stdout
        assert lesson.title in result.stdout
    assert "wellfit lesson --all writes all of them." in result.stdout


def test_one_lesson_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(job, "find", lambda name: small(find(name)))
    result = call("bias-variance", "--out", tmp_path / "deep" / "class", "--threads", 1)
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "deep" / "class"
    assert sorted(p.name for p in folder.iterdir()) == ["bias-variance.html", "bias-variance.ipynb"]
    assert result.stdout == ""
    assert result.stderr.splitlines()[-2:] == [f"Written: {folder / name}" for name in sorted(os.listdir(folder))]
    json.loads((folder / "bias-variance.ipynb").read_text(encoding="utf-8"))


def test_all_lessons_are_written_and_linked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(job, "find", lambda name: small(find(name)))
    monkeypatch.chdir(tmp_path)
    result = call("--all")
    assert result.exit_code == 0, result.stderr
    names = {f"{lesson.name}.{end}" for lesson in LESSONS for end in ("html", "ipynb")}
    assert {p.name for p in (tmp_path / "lessons").iterdir()} == names
    text = (tmp_path / "lessons" / "dropout.html").read_text(encoding="utf-8")
    assert all(f'href="{lesson.name}.html"' in text for lesson in LESSONS if lesson.name != "dropout")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["dropuot"], "Did you mean dropout?"),
        (["nothing"], "The lessons are: overfitting,"),
        (["dropout", "--all"], "not both"),
        (["--out", "x"], "Name a lesson"),
        (["dropout", "extra"], "extra"),
        (["dropout", "--threads", "0"], "--threads must be a whole number"),
        (["dropout", "--ot", "x"], "--out"),
    ],
)
def test_slips_are_one_line_and_exit_code_2(args, said, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*args)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_told(tmp_path) -> None:
    (tmp_path / "class").write_text("")
    result = call("dropout", "--out", tmp_path / "class")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert str(tmp_path / "class") in line


def test_ctrl_c_ends_with_one_line(tmp_path) -> None:
    command = "from wellfit.cli import main; main()"
    folder = tmp_path / "class"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "lesson", "l1-or-l2", "--out", str(folder)],
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not folder.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert not any(folder.glob("*.html"))
