"""``wellfit search``: what it prints, what it writes, and that Ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from wellfit.cli import main
from wellfit.data import load
from wellfit.errors import SettingError
from wellfit.job import search_job
from wellfit.job.search_job import search_into
from wellfit.nets.fitted import Fitted
from wellfit.records import SearchRecord
from wellfit.report.search_text import repeated, score_sentences, sentences, worth_sentences
from wellfit.select.search import search
from wellfit.select.search_output import search_json, search_text

BRIEF = ["--budget", "20000 steps", "--network", "16", "--folds", "3"]


def call(*args: object) -> Result:
    return CliRunner().invoke(main, ["search", *map(str, args)])


@lru_cache
def found() -> SearchRecord:
    return search_into("football", budget="20000 steps", network="16", folds=3).record


def one_line(result: Result) -> str:
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (line,) = [text for text in result.stderr.splitlines() if not text.startswith(("Warning: ", "Compiling"))]
    return line.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], "DATA is missing (see wellfit search --help)."),
        (["iris", "--budget", "soon"], "A budget is a time of at least a second (60s, 2m, 1h30m) or a count"),
        (["iris", "--budget", "0 steps"], "not '0 steps'."),
        (["iris", "--budget", "-5s"], "not '-5s'."),
        (["iris", "--budget"], "The option --budget needs a value (see wellfit search --help)."),
        (["iris", "--sampler", "grid"], "There is no sampler 'grid'. Samplers: tpe, random."),
        (["iris", "--metric", "rmse"], "rmse does not fit"),
        (["iris", "--network", "a,b"], "a,b"),
        (["iris", "--folds", "1"], "--folds must be a whole number of at least 2, not '1'."),
        (["irsi"], "Did you mean the built-in data iris?"),
        (["iris", "--epochs", "9"], "--epochs"),
        (["iris", "--bugdet", "9s"], "There is no option --bugdet: did you mean --budget?"),
    ],
)
def test_a_slip_gets_one_line_that_says_what_to_do(args, expected, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in one_line(call(*args))
    one_line(call(*args, "--out", "out") if args[-1:] != ["--budget"] else call(*args))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_to_the_screen_and_holds_what_matters(width: int, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    result = call("football", *BRIEF)
    assert result.exit_code == 0, result.output
    title, body, note, *_ = result.stdout.split("\n\n")
    count = len(found().trials)
    assert title.startswith(f"football: binary, search by a Bayesian sampler (TPE) over 3 folds; {count} trials (")
    assert max(map(len, body.splitlines())) <= width
    for word in ("Trial", "Cocktail", "Loss", "Epochs", *(["Network", "Seeds", "Share"] if width == 120 else [])):
        assert word in body, word
    assert "−" not in body
    assert str(found().winner) in body.splitlines()[2]
    assert note.startswith("Loss: mean validation loss over 3 folds")
    assert (f"Shown are 10 of {count} trials" in note) == (count > 10)
    for sentence in (*sentences(found()), *score_sentences(found()), *worth_sentences(found())):
        assert sentence in result.stdout
    assert "are not corrected for: the test score is the unbiased one." in result.stdout
    assert result.stdout.endswith("wellfit search --budget '20000 steps' football --network 16 --folds 3\n")


def test_the_command_it_names_repeats_it() -> None:
    args = ["search", "iris", "--budget=3s", "--folds", "2", "--network", "8", "--", "--x"]
    assert repeated(args[:-2], found()) == "wellfit search --budget '20000 steps' iris --folds 2 --network 8"
    assert repeated(args, found()).endswith("-- --x"), "what follows -- is no option"
    first = call("football", *BRIEF, "--json").stdout
    import shlex

    words = shlex.split(repeated(["search", "football", *BRIEF, "--json"], found()))
    assert CliRunner().invoke(main, words[1:]).stdout == first


def test_json_is_all_that_stdout_holds_and_equals_the_file(tmp_path) -> None:
    result = call("football", *BRIEF, "--out", tmp_path / "a", "--json")
    figures = json.loads(result.stdout)
    assert sorted(os.listdir(tmp_path / "a")) == ["ledger.sqlite", "model.safetensors", "search.json"]
    assert (tmp_path / "a" / "search.json").read_text(encoding="utf-8") == result.stdout
    for name in ("search.json", "model.safetensors"):
        assert f"Written: {tmp_path / 'a' / name}" in result.stderr
    assert figures == search_json(found())
    assert (figures["budget"], figures["repeat"], figures["rows"]) == (20000, "20000 steps", 211)
    assert figures["spent"] <= figures["budget"]
    assert len(figures["epochs"]) >= max(len(trial["losses"]) for trial in figures["trials"])
    assert {"number", "source", "cocktail", "network", "learning_rate", "batch_size", "losses", "seeds"} <= set(
        figures["trials"][0]
    )
    assert sum(part["share"] for part in figures["parts"]) == pytest.approx(1)
    assert set(figures["score"]) == {"mean", "low", "high", "naive", "optimism", "resamples", "estimates"}
    assert figures["winner"] in [trial["number"] for trial in figures["trials"]]
    assert not {"out_of_fold", "curves"} & set(figures)
    again = call("football", *BRIEF, "--out", tmp_path / "b", "--threads", 1, "--json")
    assert again.stdout == result.stdout
    models = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in "ab"]
    assert models[0] == models[1]


def test_json_holds_null_for_what_is_no_number() -> None:
    record = found()
    lost = replace(record.trials[0], losses=(float("nan"),), batch_size=None)
    figures = json.loads(search_text(replace(record, trials=(lost, *record.trials[1:]), single_loss=float("inf"))))
    assert figures["trials"][0]["losses"] == [None]
    assert figures["trials"][0]["batch_size"] is None
    assert figures["single_loss"] is None
    assert json.loads(search_text(replace(record, data="\ud800")))["data"] == "\ud800"


def test_the_folder_predicts_with_the_ensemble(tmp_path) -> None:
    table = load("football")
    made = search_into(table, budget="20000 steps", network="16", folds=3, out=tmp_path / "out")
    result = CliRunner().invoke(main, ["predict", str(tmp_path / "out"), "football"])
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head == "prediction,probability of opponents,probability of our team"
    assert len(lines) == 211, "the built-in rows that are not test rows"
    chances = np.array([[float(cell) for cell in line.split(",")[1:]] for line in lines])
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    loaded = Fitted.load(tmp_path / "out")
    assert len(loaded.parts) == len(made.model.parts) > 1
    np.testing.assert_allclose(chances[:, 1], made.model.outputs_of(table.columns)[:211, 0], atol=1e-12)


def test_without_out_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("football", *BRIEF, "--sampler", "random")
    assert result.exit_code == 0
    assert "random draws" in result.stdout
    assert "Written" not in result.stderr
    assert os.listdir(tmp_path) == []


def test_the_defaults_are_those_of_the_help(monkeypatch) -> None:
    asked = []

    def fake(*args, **kwargs):
        asked.append(kwargs)
        raise SettingError("search.bad_budget", value=1)

    monkeypatch.setattr(search_job, "search", fake)
    for args in ([], ["--budget", "2m", "--sampler", "random", "--network", "8", "--folds", "4", "--seed", "3"]):
        call("football", *args)
    assert [kwargs["budget"].seconds for kwargs in asked] == [60, 120]
    assert [kwargs["sampler"] for kwargs in asked] == ["tpe", "random"]
    assert [str(kwargs["network"]) for kwargs in asked] == ["None", "8"]
    assert [(kwargs["folds"], kwargs["seed"]) for kwargs in asked] == [(5, 0), (4, 3)]


def test_the_job_is_the_library_call() -> None:
    table = load("football")
    assert search_text(search(table, budget=20000, network="16", folds=3).record) == search_text(found())
    assert len(found().rows) == 211, "the 200 test rows play no part"
    with pytest.raises(SettingError, match="belong to reading data"):
        search_into(table, target="y")


def test_seconds_are_counted_once(tmp_path) -> None:
    args = ["iris", "--budget", "2s", "--network", "8", "--folds", "2", "--json", "--out", tmp_path]
    first, second = call(*args), call(*args)
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout


def test_ctrl_c_with_nothing_kept_says_so(monkeypatch) -> None:
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(search_job, "search_into", stop)
    result = call("iris")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted: nothing was written.\n")


def test_ctrl_c_keeps_what_is_trained_and_the_same_command_continues(tmp_path) -> None:
    args = [
        "search",
        "football",
        "--budget",
        "90000 steps",
        "--network",
        "32",
        "--folds",
        "2",
        "--threads",
        "1",
        "--json",
    ]
    ledger = tmp_path / "out" / "ledger.sqlite"
    code, out, err = interrupted(*args, "--out", "out", cwd=tmp_path, ready=lambda: len(digests(ledger)) >= 6)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1].startswith("Interrupted: finished trainings are kept in out")
    assert os.listdir(tmp_path / "out") == ["ledger.sqlite"]
    before = digests(ledger)
    assert len(before) >= 6
    done = CliRunner().invoke(main, [*args, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert before.items() < digests(ledger).items(), "what was kept was not trained again"
    assert done.stdout == CliRunner().invoke(main, args).stdout, "as if it had never been interrupted"


def interrupted(*args: str, cwd: Path, ready) -> tuple[int, str, str]:
    command = [sys.executable, "-c", "from wellfit.cli import main; main()", *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
    limit = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def digests(ledger: Path) -> dict[str, bytes]:
    if not ledger.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(ledger)) as base:
            return dict(base.execute("SELECT key, digest FROM results").fetchall())
    except sqlite3.OperationalError:
        return {}


def test_the_command_is_one_of_the_program() -> None:
    assert "search" in main.commands
    told = CliRunner().invoke(main, ["--help"]).stdout
    assert re.search(r"^  search ", told, re.MULTILINE)
