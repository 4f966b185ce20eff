"""``wellfit path``: what it prints, what it writes, and that Ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from wellfit import job, rng
from wellfit.cli import main
from wellfit.data import load
from wellfit.errors import SettingError
from wellfit.job import path_job
from wellfit.job.path_job import coefficients_csv, path_into
from wellfit.report.path_text import sentences
from wellfit.select.path import path
from wellfit.select.path_output import path_json, path_text

BRIEF = ["--network", "8", "--epochs", "20", "--learning-rate", "0.03", "--seeds", "1", "--folds", "3"]


def call(*args: object) -> Result:
    return CliRunner().invoke(main, ["path", *map(str, args)])


def one_line(result: Result) -> str:
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (line,) = [text for text in result.stderr.splitlines() if not text.startswith(("Warning: ", "Compiling"))]
    return line.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["iris"], "--over is missing (see wellfit path --help)."),
        (["--over", "l2"], "DATA is missing (see wellfit path --help)."),
        (["iris", "--over", "l3"], "There is no path along l3. Paths run along: l1, l2,"),
        (["iris", "--over", "batch_norm"], "There is no path along batch_norm."),
        (["iris", "--over", "l2:x=1"], "x"),
        (["iris", "--over", "l2", "--points", "2"], "--points must be a whole number of at least 3, not '2'."),
        (["iris", "--over", "l2", "--points", "999"], "a whole number from 3 to 200"),
        (["iris", "--over", "l2", "--cocktail", "l2=0.1"], "The path turns l2 up itself"),
        (["iris", "--over", "l2", "--cocktail", "drop=0.1"], "did you mean dropout?"),
        (["iris", "--over", "l2", "--metric", "rmse"], "rmse does not fit"),
        (["iris", "--over", "dropout", "--network", "linear"], "dropout"),
        (["irsi", "--over", "l2"], "Did you mean the built-in data iris?"),
        (["iris", "--over", "l2", "--sed", "1"], "There is no option --sed: did you mean --seed?"),
    ],
)
def test_a_slip_gets_one_line_that_says_what_to_do(args, expected, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in one_line(call(*args))
    assert os.listdir(tmp_path) == []


def test_bad_settings_make_no_folder(tmp_path) -> None:
    for args in (["--over", "l3"], ["--over", "l2", "--cocktail", "l2=1"], ["--over", "l2", "--metric", "rmse"],
                 ["--over", "dropout", "--network", "linear"], ["--over", "l2", "--points", "999"]):  # fmt: skip
        one_line(call("iris", *args, "--out", tmp_path / "out"))
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_keeps_to_the_screen_and_holds_what_matters(width: int, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    result = call("football", "--over", "l1", "--points", "20", *BRIEF)
    assert result.exit_code == 0, result.output
    title, body, *_ = result.stdout.split("\n\n")
    assert title.startswith("football: binary, a path along l1, network 8, adam lr 0.03")
    assert max(map(len, body.splitlines())) <= width
    found = path_into("football", "l1", points=20, network="8", training={"epochs": 20, "learning_rate": 0.03},
                      seeds=1, folds=3)  # fmt: skip
    for sentence in sentences(found):
        assert sentence in result.stdout
    first = [line.split()[0] for line in body.splitlines()[2:] if "." in line and "to " not in line[:30]]
    assert len(first) <= 16
    for word in ("none", "too strong", "right", "best", "1-SE", *(["Zeros", "100%"] if width >= 80 else [])):
        assert word in body, word
    assert "Shown are 15 of 20 points." in result.stdout
    assert ("Features" in body) == (width >= 80)
    assert "\\n" not in body
    assert "−" not in body


def test_early_stopping_is_told_in_epochs() -> None:
    result = call("football", "--over", "early_stopping", "--points", "8", *BRIEF)
    assert "all 20 epochs" in result.stdout
    assert "It ends at epoch 0, the untrained network." in result.stdout
    assert "fewer" in result.stdout


def test_warm_starts_are_told() -> None:
    result = call("football", "--over", "l2", "--points", "4", "--warm", *BRIEF)
    assert "Warm starts (each point trained on from the next weaker one)" in result.stdout


def test_json_is_all_that_stdout_holds_and_equals_the_file(tmp_path) -> None:
    args = ["football", "--over", "max_norm", "--points", "5", "--warm", *BRIEF]
    result = call(*args, "--out", tmp_path / "a", "--json")
    figures = json.loads(result.stdout)
    assert sorted(os.listdir(tmp_path / "a")) == ["ledger.sqlite", "path.json", "path.svg"]
    assert (tmp_path / "a" / "path.json").read_text(encoding="utf-8") == result.stdout
    assert (tmp_path / "a" / "path.svg").read_text(encoding="utf-8").startswith("<svg")
    assert str(tmp_path / "a" / "path.json") in result.stderr
    assert figures["strengths"][0] is None, "no bound is infinity, which JSON lacks"
    assert figures["over"] == "max_norm"
    assert len(figures["strengths"]) == len(figures["cocktails"]) == len(figures["right"]) == 5
    for name in ("train_loss", "loss", "score", "zeros", "inputs_used", "units", "weight_norms", "diverged"):
        assert len(figures[name]) == 5, name
    assert set(figures["loss"][0]) == {"mean", "low", "high"}
    assert set(figures["units"][0]) == {"on", "off", "saturated"}
    assert len(figures["weight_norms"][0]) == 2
    assert figures["right"][figures["best"]] is True
    assert len(figures["warm"]["loss"]) == 5
    assert figures["warm"]["differences"][0]["word"] == "undecided"
    assert not {"curves", "out_of_fold", "checkpoints"} & set(figures)
    again = call(*args, "--out", tmp_path / "b", "--threads", 1, "--json")
    assert again.stdout == result.stdout
    assert (tmp_path / "b" / "path.svg").read_bytes() == (tmp_path / "a" / "path.svg").read_bytes()


def test_json_holds_null_for_what_is_no_number() -> None:
    found = path_into("football", "l2", points=3, network="8", training={"epochs": 3}, seeds=1, folds=2)
    figures = path_json(found)
    assert json.loads(path_text(found)) == figures
    assert figures["warm"] is None
    assert figures["strengths"] == found.strengths.tolist()
    gone = replace(found, zeros=np.array([0, np.nan, 1]), loss=(None, *found.loss[1:]), chance=float("nan"))
    told = json.loads(path_text(gone))
    assert (told["zeros"], told["loss"][0], told["chance"]) == ([0.0, None, 1.0], None, None)


# Linear models -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def diabetes():
    table = load("diabetes")
    return table, path_into(table, "l1", points=6, network="linear", folds=3)


def read_csv(text: str) -> tuple[list[str], dict[str, list[str]]]:
    head, *lines = list(csv.reader(text.splitlines()))
    return head, {line[0]: line[1:] for line in lines}


def test_the_csv_holds_the_coefficients_of_independent_solvers(diabetes) -> None:
    from sklearn.linear_model import Lasso, LinearRegression

    table, found = diabetes
    names = list(table.columns)
    x, y = np.column_stack([table.columns[n][found.rows] for n in names]), table.target[found.rows]
    found = replace(found, best=0, one_standard_error=3)
    head, lines = read_csv(coefficients_csv(found))
    assert head == ["feature", "best", "best standardized", "1-SE", "1-SE standardized"]
    assert list(lines) == ["intercept", *names]
    plain = LinearRegression().fit(x, y)
    np.testing.assert_allclose([float(lines[n][0]) for n in names], plain.coef_, rtol=1e-6)
    assert float(lines["intercept"][0]) == pytest.approx(plain.intercept_, rel=1e-9)
    # Our l1 stands beside the mean squared error of a standardized target, scikit-learn's beside half of the raw one's.
    z, spread = (x - x.mean(0)) / x.std(0), y.std()
    lasso = Lasso(alpha=found.strengths[3] / 2 * spread, tol=1e-12, max_iter=100_000).fit(z, y)
    assert (lasso.coef_ == 0).any()
    np.testing.assert_allclose([float(lines[n][2]) for n in names], lasso.coef_ / x.std(0), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([float(lines[n][3]) for n in names], lasso.coef_ / spread, rtol=1e-6, atol=1e-9)
    raw = lasso.intercept_ - (lasso.coef_ / x.std(0)) @ x.mean(0)
    assert float(lines["intercept"][2]) == pytest.approx(raw, rel=1e-9)
    assert lines["intercept"][1] == lines["intercept"][3] == ""


def test_the_csv_of_classes_predicts_what_independent_solvers_predict() -> None:
    from sklearn.linear_model import LogisticRegression

    table = load("breast-cancer")
    found = path_into(table, "l2", points=[0.05], network="linear", folds=3)
    names = list(table.columns)
    x, y = np.column_stack([table.columns[n][found.rows] for n in names]), table.target[found.rows]
    _, lines = read_csv(coefficients_csv(replace(found, one_standard_error=1)))
    own = np.array([float(lines[n][2]) for n in names])
    peer = LogisticRegression(C=1 / (0.05 * len(x)), tol=1e-10, max_iter=10_000).fit((x - x.mean(0)) / x.std(0), y)
    np.testing.assert_allclose(own * x.std(0), peer.coef_[0], atol=1e-5)
    iris = path_into("iris", "l1", points=[0.01], network="linear", folds=3)
    head, lines = read_csv(coefficients_csv(iris))
    assert len(head) == 13
    assert head[1:5] == ["setosa: best", "setosa: best standardized", "setosa: 1-SE", "setosa: 1-SE standardized"]
    assert len(lines) == 5


def test_a_linear_path_writes_and_prints_its_coefficients(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    args = ["diabetes", "--over", "l1", "--network", "linear", "--points", "6", "--folds", "3"]
    result = call(*args, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    files = ["coefficients.csv", "coefficients.svg", "path.json", "path.svg"]
    assert sorted(set(os.listdir(tmp_path / "a")) - {"ledger.sqlite"}) == files
    assert all(str(tmp_path / "a" / name) in result.stderr for name in files)
    assert (tmp_path / "a" / "coefficients.svg").read_text(encoding="utf-8").startswith("<svg")
    _, lines = read_csv((tmp_path / "a" / "coefficients.csv").read_text(encoding="utf-8"))
    title, *_, body, _note = result.stdout.split("\n\n")
    assert title.endswith("a path along l1, linear model solved exactly; 6 points, 3 folds")
    told = {line.split()[0]: line.split()[1:] for line in body.splitlines()[2:]}
    used = {name for name, numbers in lines.items() if name == "intercept" or float(numbers[3])}
    assert set(told) == used
    assert used < set(lines), "a lasso leaves some feature out"
    for name, (own, *_) in told.items():
        assert float(own) == pytest.approx(float(lines[name][2]), rel=5e-3)
    assert "Freedom" in result.stdout
    assert "in units of progression per unit of the column" in result.stdout
    assert "−" not in body
    figures = json.loads((tmp_path / "a" / "path.json").read_text(encoding="utf-8"))["linear"]
    assert figures["outputs"] == ["progression"]
    assert len(figures["freedom"]) == len(figures["used"]) == len(figures["exists"]) == 6
    chosen = figures["one_standard_error"]
    assert {f["name"] for f in chosen["features"]} | {"intercept"} == used
    for feature in chosen["features"]:
        assert feature["coefficients"] == [float(lines[feature["name"]][2])]
        assert feature["standardized"] == [float(lines[feature["name"]][3])]
    assert chosen["intercepts"] == [float(lines["intercept"][2])]
    assert figures["used"][-1] == 0


def test_a_trained_path_has_no_linear_part(tmp_path) -> None:
    found = path_into("football", "l2", points=3, network="8", training={"epochs": 3}, seeds=1, folds=2, out=tmp_path)
    assert path_json(found)["linear"] is None
    assert not {"coefficients.csv", "coefficients.svg"} & set(os.listdir(tmp_path))
    with pytest.raises(SettingError, match="holds no coefficients"):
        coefficients_csv(found)


@pytest.mark.parametrize("width", [60, 160])
def test_coefficients_of_many_classes_and_odd_names_keep_to_the_screen(width: int, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    draw = rng.generator(3, rng.DATA)
    x, kinds = draw.standard_normal((160, 4)), np.arange(160) % 8
    x[:, 0] += kinds
    head = ["<b>\x1b[31mred", "x" * 300, "漢字 [bold]", "=1+1", "kind"]
    with (tmp_path / "odd.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows([*map(repr, map(float, row)), f"kind {k}"] for row, k in zip(x, kinds, strict=True))
    args = ("--over", "l2", "--network", "linear", "--points", "4", "--folds", "3")
    result = call(tmp_path / "odd.csv", *args)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    blocks = result.stdout.split("\n\n")
    table = next(block for block in blocks if block.startswith("Feature"))
    assert max(map(len, table.splitlines())) <= width
    shown = [f"kind {k}" for k in range(8) if f"kind {k}" in table]
    assert len(shown) >= 1
    assert ("Not shown for want of room: kind" in result.stdout) == (len(shown) < 8)
    assert (len(shown) == 8) == (width == 160)


def test_separable_classes_are_told_on_the_screen(tmp_path) -> None:
    lines = ["x,class", *(f"{v},{'no' if v < 0 else 'yes'}" for v in range(-40, 40) if v)]
    (tmp_path / "apart.csv").write_text("\n".join(lines), encoding="utf-8")
    args = ("--over", "l1", "--network", "linear", "--points", "4", "--folds", "3")
    result = call(tmp_path / "apart.csv", *args)
    assert "Without a penalty no solution exists" in result.stdout
    assert "l2 = 1e-6" in result.stdout
    assert "log odds of yes" in result.stdout


def test_the_help_says_that_linear_is_exact() -> None:
    words = " ".join(call("--help").stdout.split())
    assert "With --network linear nothing is trained" in words
    assert "solved exactly" in words


def test_without_out_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("football", "--over", "l2", "--points", "3", *BRIEF)
    assert result.exit_code == 0
    assert result.stderr == "" or "Written" not in result.stderr
    assert os.listdir(tmp_path) == []


def test_the_defaults_are_those_of_the_help(monkeypatch) -> None:
    asked = []

    def fake(*args, **kwargs):
        asked.append(kwargs)
        raise SettingError("path.bad_epochs", last=1, value=1)

    monkeypatch.setattr(path_job, "path", fake)
    for args in ([], ["--quick"], ["--points", "7", "--warm", "--cocktail", "dropout=0.1", "--epochs", "9"]):
        call("football", "--over", "l2", *args)
    assert [kwargs["points"] for kwargs in asked] == [30, 15, 7]
    assert [kwargs["warm"] for kwargs in asked] == [False, False, True]
    assert str(asked[2]["cocktail"]) == "dropout=0.1"
    assert asked[2]["training"] == {"epochs": 9}
    assert [kwargs["seeds"] for kwargs in asked] == [3, 2, 3]
    assert [kwargs["quick"] for kwargs in asked] == [False, True, False]


def test_the_job_is_the_library_call() -> None:
    table = load("football")
    options = dict(points=4, network="8", folds=2, seeds=1, seed=3)
    found = path_into(table, "l2", training={"epochs": 4}, **options)
    assert path_text(found) == path_text(path(table, "l2", training={"epochs": 4}, **options))
    assert len(found.rows) == 211, "the 200 test rows play no part"
    with pytest.raises(SettingError, match="belong to reading data"):
        path_into(table, "l2", target="y")


def test_ctrl_c_with_nothing_kept_says_so(monkeypatch) -> None:
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(path_job, "path_into", stop)
    result = call("iris", "--over", "l2")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted: nothing was written.\n")


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_ctrl_c_keeps_what_is_trained_and_the_same_command_continues(over: str, tmp_path) -> None:
    slow = ["--network", "64,64", "--epochs", "300", "--batch-size", "8", "--folds", "3", "--seeds", "2"]
    args = ["path", "iris", "--over", over, "--points", "4", *slow, "--json"]
    ledger = tmp_path / "out" / "ledger.sqlite"
    code, out, err = interrupted(*args, "--out", "out", cwd=tmp_path, ready=lambda: kept(ledger) >= 2)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1].startswith("Interrupted: finished trainings are kept in out")
    assert os.listdir(tmp_path / "out") == ["ledger.sqlite"]
    before = kept(ledger)
    assert before >= 2
    started = digests(ledger)
    done = CliRunner().invoke(main, [*args, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert started.items() <= digests(ledger).items(), "what was kept was not trained again"
    assert kept(ledger) > before
    assert len(json.loads(done.stdout)["strengths"]) == 4


def interrupted(*args: str, cwd: Path, ready) -> tuple[int, str, str]:
    command = [sys.executable, "-c", "from wellfit.cli import main; main()", *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
    limit = time.monotonic() + 240
    while not ready() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def digests(ledger: Path) -> dict[str, bytes]:
    import sqlite3

    if not ledger.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(ledger)) as base:
            return dict(base.execute("SELECT key, digest FROM results").fetchall())
    except sqlite3.OperationalError:
        return {}


def kept(ledger: Path) -> int:
    return len(digests(ledger))


def test_the_command_is_one_of_the_program() -> None:
    assert "path" in main.commands
    assert job.LEDGER == "ledger.sqlite"
    result = CliRunner().invoke(main, ["--help"])
    assert "path " in result.stdout
