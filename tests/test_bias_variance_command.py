"""The command bias-variance: what it prints and writes, and how it says no."""

from __future__ import annotations

import csv
import json
import os
import xml.etree.ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from wellfit.cli import main
from wellfit.cli.commands import main as program

BRIEF = ("--network", "8", "--epochs", "10", "--resamples", "5", "--seeds", "2")


def call(*args: object) -> Result:
    return CliRunner().invoke(program, ["bias-variance", *map(str, args)])


def test_it_prints_a_table_for_each_loss_and_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    result = call("football", "--over", "l2", "--points", "4", *BRIEF)
    assert result.exit_code == 0, result.output
    out = result.stdout
    assert out.startswith("football: binary, bias and variance at bootstrap sample size: 5 resamples of 141 rows")
    for word in ("Log-loss", "Brier score", "0-1 loss", "Net variance", "Bias² + noise", "Var. of seed", "±"):
        assert word in out, word
    assert "Along l2, variance goes from" in out
    assert max(map(len, out.split("Numbers stand")[0].splitlines()[2:])) <= 110


@pytest.mark.parametrize("width", [50, 80])
def test_narrow_screens_lose_parts_of_parts_only(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = call("diabetes", *BRIEF).stdout
    body = out.split("Numbers stand")[0].splitlines()[1:]
    assert max(map(len, body)) <= width
    assert "Variance" in out


def test_json_equals_the_file_and_the_csv_has_the_same_figures(tmp_path) -> None:
    result = call("football", "--over", "dropout", "--points", "3", *BRIEF, "--json", "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(tmp_path / "o")) == [
        "bias_variance.csv", "bias_variance.json", "bias_variance.svg", "ledger.sqlite",
    ]  # fmt: skip
    text = (tmp_path / "o" / "bias_variance.json").read_text(encoding="utf-8")
    assert text == result.stdout
    figures = json.loads(text)
    assert figures["strengths"] == [0, 0.475, 0.95]
    assert figures["resamples"] == 5
    assert not figures["known"]
    with (tmp_path / "o" / "bias_variance.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    first = next(row for row in lines if row["loss"] == "log-loss" and row["part"] == "variance")
    assert float(first["mean"]) == figures["parts"]["log-loss"][0]["variance"]["mean"]
    totals = [p["total"]["mean"] for p in figures["parts"]["log-loss"]]
    assert figures["best"] == totals.index(min(totals))
    for parts in figures["parts"]["0-1"]:
        assert parts["variance"]["mean"] == pytest.approx(parts["unbiased"]["mean"] - parts["biased"]["mean"])
        assert parts["seed"] is None
    svg = ET.fromstring((tmp_path / "o" / "bias_variance.svg").read_text(encoding="utf-8"))
    words = {"".join(t.itertext()) for t in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Total", "Bias + noise", "Variance", "Net variance", "Log-loss", "Dropout rate"} & words >= {"Total"}
    assert "Variance" in words


def test_the_same_call_again_trains_nothing_and_says_the_same(tmp_path) -> None:
    args = ("iris", *BRIEF, "--json", "--out", tmp_path / "o")
    first = call(*args)
    size = (tmp_path / "o" / "ledger.sqlite").stat().st_size
    assert call(*args).stdout == first.stdout
    assert (tmp_path / "o" / "ledger.sqlite").stat().st_size == size


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], "DATA is missing (see wellfit bias-variance --help)."),
        (["irsi"], "Did you mean the built-in data iris?"),
        (["iris", "--over", "l3"], "There is no path along l3."),
        (["iris", "--over", "early_stopping"], "turn up another ingredient"),
        (["iris", "--points", "5"], "give --over too"),
        (["iris", "--resamples", "1"], "--resamples must be a whole number of at least 2, not '1'."),
        (["iris", "--seeds", "0"], "--seeds must be a whole number of at least 1, not '0'."),
        (["iris", "--over", "l2", "--cocktail", "l2=1"], "The path turns l2 up itself"),
        (["iris", "--over", "dropout", "--network", "linear"], "dropout"),
        (["iris", "--resample", "3"], "did you mean --resamples?"),
    ],
)
def test_a_slip_gets_one_line_and_makes_no_folder(args: list, expected: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*args, *(["--out", "o"] if args else []))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    [text] = [t for t in result.stderr.splitlines() if not t.startswith(("Warning: ", "Compiling"))]
    assert expected in text
    assert os.listdir(tmp_path) == []


def test_it_is_one_of_the_commands() -> None:
    assert "bias-variance" in program.commands
    assert callable(main)
