"""The command `workings`: what it prints and writes, its slips, and a saved model that is looked into."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from test_workings import BRIEF

import wellfit as wf
from wellfit.cli import main
from wellfit.nets import MLP
from wellfit.select.fitting import fit


def call(*args: object):
    return CliRunner().invoke(main, ["workings", *map(str, args)])


SHORT = ["--network", "8,6", "--epochs", "10", "--points", "3", "--folds", "2"]


def test_the_command_prints_a_table_and_writes_its_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = call("iris", "--over", "dropout", *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "dropout=" in result.stdout
    assert max(map(len, result.stdout.split("\n\n")[1].splitlines())) <= 80
    written = json.loads((tmp_path / "out" / "workings.json").read_text())
    assert written["over"] == "dropout"
    assert len(written["strengths"]) == 3
    svg = (tmp_path / "out" / "workings.svg").read_text()
    ET.fromstring(svg)
    assert "nan" not in svg.lower().replace("nanum", "")
    printed = call("iris", "--over", "dropout", *SHORT, "--json")
    assert json.loads(printed.stdout) == written


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["iris"], "and not both"),
        (["iris", "--over", "l3"], "There is no path along l3"),
        (["iris", "--over", "l2", "--points", "2"], "--points must be a whole number of at least 3"),
        (["irsi", "--over", "l2"], "Did you mean the built-in data iris?"),
        (["iris", "--model", "nowhere"], "nowhere"),
    ],
)
def test_a_slip_gets_one_line(args, expected) -> None:
    result = call(*args)
    assert result.exit_code == 2, (result.output, result.exception)
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_saved_model_is_looked_into(tmp_path: Path) -> None:
    [(_, model)] = fit(wf.load("iris"), np.arange(150), MLP((8,)), wf.Cocktail.parse("l2=0.01"), BRIEF, 0)
    model.save(tmp_path / "model.safetensors")
    result = call("iris", "--model", tmp_path / "model.safetensors")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "effective parameters" in result.stdout
