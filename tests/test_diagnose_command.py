"""``wellfit diagnose``: what it prints, in words and in JSON, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from wellfit.cli import main
from wellfit.records import VERDICTS

BRIEF = ["--network", "8", "--epochs", "4", "--folds", "3", "--seeds", "1"]


def call(*args: object) -> Result:
    return CliRunner().invoke(main, ["diagnose", *map(str, args)])


def test_the_verdict_the_evidence_and_the_next_steps_are_printed() -> None:
    found = call("iris", *BRIEF)
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    assert lines[0].startswith("iris: multiclass, network 8, cocktail none, adam")
    assert lines[0].endswith("4 epochs; 3 folds x 1 seeds")
    assert lines[2].startswith("Verdict: undertrained. The network was trained too short")
    assert lines[4] == "Evidence"
    assert lines[5].startswith("- Validation loss ")
    assert "Next steps" in lines
    assert lines[lines.index("Next steps") + 1].startswith("1. Train on to ")
    assert "Cost: 16 times the training." in lines[lines.index("Next steps") + 1]


def test_json_has_the_word_the_evidence_and_the_steps_and_nothing_else_is_on_stdout() -> None:
    found = call("iris", *BRIEF, "--cocktail", "l2=0.01", "--json")
    values = json.loads(found.stdout)
    assert values["verdict"] in VERDICTS
    assert values["cocktail"] == "l2=0.01"
    assert values["evidence"][0]["name"] == "validation_loss"
    interval = values["evidence"][0]["interval"]
    assert interval["low"] <= interval["mean"] <= interval["high"]
    assert "folds and the rows inside them" in interval["estimates"]
    assert {"action", "text", "worth", "cost", "rows", "columns"} == set(values["next_steps"][0])
    assert "Warning: Rows that repeat" in found.stderr
    assert call("iris", *BRIEF, "--cocktail", "l2=0.01", "--json").stdout == found.stdout


def test_validation_rows_in_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shift, count in (("train.csv", 0.0, 150), ("val.csv", 2.0, 80)):
        x = rng.normal(size=(count, 2))
        frame = pd.DataFrame({"a": x[:, 0] + shift, "b": x[:, 1], "y": x[:, 0] + shift**2 + rng.normal(size=count)})
        frame.to_csv(tmp_path / name, index=False)
    found = call(tmp_path / "train.csv", "--validation", tmp_path / "val.csv", "--network", "linear", "--json")
    assert found.exit_code == 0, found.output
    values = json.loads(found.stdout)
    assert values["verdict"] == "shifted validation"
    assert {"a", "y"} <= set(values["next_steps"][0]["columns"])


def test_a_history_is_read_and_printed(tmp_path: Path) -> None:
    draw, epochs = np.random.default_rng(0), np.arange(120)
    curves = pd.DataFrame({"epoch": epochs, "loss": 0.02 + 0.6 * np.exp(-epochs / 15)})
    curves["val_loss"] = 0.3 + 0.4 * np.exp(-epochs / 10) + 0.002 * np.maximum(0, epochs - 40)
    curves["val_loss"] += 0.005 * draw.normal(size=120)
    curves.to_csv(tmp_path / "curves.csv", index=False)
    lines = call("--history", tmp_path / "curves.csv").stdout.splitlines()
    assert lines[0].startswith("Overfits: after about epoch")
    assert lines[2] == "Evidence"
    found = json.loads(call("--history", tmp_path / "curves.csv", "--json").stdout)
    assert found["verdict"] == "overfits"
    assert found["next_steps"][0]["action"] == "stop early"
    (tmp_path / "bad.csv").write_text("epoch,loss\n1,0.5\n")
    bad = call("--history", tmp_path / "bad.csv")
    assert bad.exit_code == 2
    assert "Traceback" not in bad.output
    assert "val" in bad.stderr


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ([], "There is nothing to diagnose"),
        (["iris", "--history", "curves.csv"], "not both"),
        (["irsi"], "Did you mean the built-in data iris?"),
        (["iris", "--network", "wide"], "A network reads like 64,32"),
        (["iris", "--cocktail", "l3=1"], "l3"),
        (["iris", "--metric", "rmse"], "rmse"),
        (["iris", "--validation", "nothing.csv"], "nothing.csv"),
        (["iris", "--test", "iris", "--validation", "iris"], "not both"),
        (["iris", "--network", "8", "--optimizer", "gd", "--learning-rate", "1e6", "--folds", "2"], "diverged"),
    ],
    ids=str,
)
def test_a_slip_is_one_clear_line(args: list[str], part: str) -> None:
    found = call(*args)
    assert found.exit_code == 2, found.output
    errors = [line for line in found.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert part in errors[0]
    assert found.stdout == ""
    assert "Traceback" not in found.output
