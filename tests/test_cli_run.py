"""The commands run and predict: what they print and write; Ctrl-C and closed pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result
from command_line import ROWS, call, one_line, shell, table

# run and predict


@pytest.fixture(scope="module")
def a_run(tmp_path_factory) -> tuple[Path, Path, Result]:
    folder = tmp_path_factory.mktemp("run")
    path = table(folder / "patients.csv")
    args = ["--network", "4", "--epochs", "3", "--seeds", "1", "--folds", "2", "--cocktail", "l2=0.01"]
    return path, folder / "out", call("run", path, *args, "--out", folder / "out")


def test_run_answers_in_three_sentences_and_a_path(a_run) -> None:
    _, out, result = a_run
    assert result.exit_code == 0, result.output
    *sentences, place = result.stdout.splitlines()
    assert len(sentences) == 3
    assert all(sentence.endswith(".") for sentence in sentences)
    assert "in cross-validation" in sentences[1]
    assert sentences[2].startswith("On the test rows, used once: accuracy")
    assert place == f"Report: {out / 'report.html'}"


def test_run_writes_its_files_and_no_half_ones(a_run) -> None:
    _, out, _ = a_run
    names = {"report.html", "summary.json", "comparison.json", "out_of_fold.csv", "model.safetensors", "ledger.sqlite"}
    assert set(os.listdir(out)) == names


def test_run_as_json_prints_the_summary_alone(a_run, tmp_path) -> None:
    path, out, _ = a_run
    args = ["--network", "4", "--epochs", "3", "--seeds", "1", "--folds", "2", "--cocktail", "l2=0.01", "--json"]
    result = call("run", path, *args, "--out", tmp_path / "again")
    told, kept = json.loads(result.stdout), json.loads((out / "summary.json").read_text())
    assert {**told, "seconds": 0} == {**kept, "seconds": 0}
    assert "report.html" in result.stderr


def test_the_report_shows_the_command_as_typed(a_run) -> None:
    path, out, _ = a_run
    text = (out / "report.html").read_text(encoding="utf-8")
    assert f"wellfit run {path} --network 4" in text


def test_run_without_out_writes_beside_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = table(tmp_path / "my patients.csv")
    args = ["--network", "4", "--epochs", "2", "--seeds", "1", "--folds", "2", "--cocktail", "l2=0.01"]
    result = call("run", path.name, *args)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs" / "my-patients" / "report.html").is_file()


def test_predict_prints_a_line_for_each_row(a_run) -> None:
    import pandas as pd

    path, out, _ = a_run
    result = call("predict", out, path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "prediction,probability of no,probability of yes"
    assert len(lines) == ROWS + 1
    cells = [line.split(",") for line in lines[1:]]
    assert all(abs(float(no) + float(yes) - 1) < 1e-12 for _, no, yes in cells)
    assert all(label == ("yes" if float(yes) > float(no) else "no") for label, no, yes in cells)
    from wellfit.nets.fitted import Fitted

    assert [c[0] for c in cells] == Fitted.load(out).predict(pd.read_csv(path)).tolist()


def test_predict_writes_a_file_where_asked(a_run, tmp_path) -> None:
    path, out, _ = a_run
    result = call("predict", out / "model.safetensors", path, "--out", tmp_path / "p.csv")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert (tmp_path / "p.csv").read_text() == call("predict", out, path).stdout
    assert "No such file" in one_line(call("predict", out, path, "--out", tmp_path / "no" / "p.csv"))
    assert "no/p.csv: " in one_line(call("predict", out, path, "--out", tmp_path / "no" / "p.csv"))


def test_predict_refuses_a_table_that_lacks_columns_by_name(a_run, tmp_path) -> None:
    _, out, _ = a_run
    (tmp_path / "less.csv").write_text("b,c\n1,2\n3,4\n")
    assert "lacks these columns: a." in one_line(call("predict", out, tmp_path / "less.csv"))
    (tmp_path / "broken").write_bytes((out / "model.safetensors").read_bytes()[:-9])
    assert "is damaged" in one_line(call("predict", tmp_path / "broken", "iris"))


# Interrupts and pipes

SLOW = ["--network", "64,64", "--epochs", "400", "--batch-size", "8", "--folds", "3", "--seeds", "2"]


def interrupted(*args: object, cwd: Path, ready) -> tuple[int, str, str]:
    """Start the program, press Ctrl-C once ``ready()`` holds, and return what it left."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from wellfit.cli import main; main()", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )
    limit = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def results_in(ledger: Path) -> int:
    from wellfit.errors import ModelFileError
    from wellfit.ledger import Ledger

    if not ledger.exists():
        return 0
    try:
        with Ledger(ledger) as open_ledger:
            return len(list(open_ledger.keys()))
    except ModelFileError:
        return 0


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_continues(tmp_path) -> None:
    args = ["compare", "iris", *SLOW, "--cocktails", "none; l2=0.01", "--json"]
    ledger = tmp_path / "out" / "ledger.sqlite"
    code, out, err = interrupted(*args, "--out", "out", cwd=tmp_path, ready=lambda: results_in(ledger) >= 2)
    assert code == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Interrupted: finished trainings are kept in out, and the same command")
    kept = results_in(ledger)
    assert 2 <= kept < 12, "the interrupt came too late to show anything"
    assert sorted(os.listdir(tmp_path / "out")) == ["ledger.sqlite"]
    before = ledger_digest(ledger)
    continued, whole = shell(*args, "--out", "out", cwd=tmp_path), shell(*args, cwd=tmp_path)
    assert continued.stdout == whole.stdout
    assert json.loads(whole.stdout)["results"][0]["members"] == 6
    assert results_in(ledger) == 12
    assert before.items() <= ledger_digest(ledger).items(), "what was kept was not trained again"


def ledger_digest(ledger: Path) -> dict[str, bytes]:
    import sqlite3

    with sqlite3.connect(ledger) as base:
        return dict(base.execute("SELECT key, digest FROM results").fetchall())


def test_ctrl_c_with_nothing_kept_says_so(monkeypatch) -> None:
    from wellfit import job

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "compare_into", stop)
    monkeypatch.setattr(job, "predictions", stop)
    for args in (["compare", "iris"], ["predict", "model", "iris"]):
        result = call(*args)
        assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted: nothing was written.\n")


def test_a_closed_pipe_is_quiet(a_run) -> None:
    path, out, _ = a_run
    code = "from wellfit.cli import main; main()"
    # More rows than a pipe holds, and a reader that leaves at once.
    wide = table(path.parent / "many.csv", rows=20_000)
    process = subprocess.Popen(
        [sys.executable, "-c", code, "predict", str(out), str(wide)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141
