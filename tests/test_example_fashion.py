"""The Fashion-MNIST example on a part of the data: what it prints, and that it draws."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_example_linear import example

pytest.importorskip("torch")
fashion = example("fashion_mnist")
needs_data = pytest.mark.skipif(not os.environ.get("WELLFIT_DATA"), reason="needs the data folder WELLFIT_DATA")


def test_the_recipes_are_the_tutorials_and_ours() -> None:
    original = fashion.RECIPES["original"].training
    assert (original.optimizer, original.learning_rate, original.momentum) == ("sgd", 1e-3, 0.9)
    assert (original.batch_size, original.epochs, original.schedule) == (4, 5, "constant")
    assert set(fashion.RECIPES["original"].cocktails) == {"none", "dropout"}


@needs_data
def test_it_trains_and_tells_and_draws(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert fashion.main(["--rows", "1500", "--epochs", "3", "--json", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["none", "dropout"]
    for one in found.values():
        assert 0.6 < one["test_accuracy"] < 0.9
        assert one["interval"][0] < one["test_accuracy"] < one["interval"][1]
        assert one["seconds"] > 0
    assert found["none"]["test_accuracy"] != found["dropout"]["test_accuracy"]
    png, svg = tmp_path / "fashion_mnist.png", tmp_path / "fashion_mnist.svg"
    assert png.stat().st_size > 20_000
    assert "Ankle boot" in svg.read_text()


@needs_data
def test_the_words_name_the_commonest_mistake() -> None:
    import wellfit as wf

    table = wf.load("fashion-mnist")
    recipe = fashion.RECIPES["fast"]
    found = fashion.train(table, fashion.replace(recipe, training=fashion.replace(recipe.training, epochs=1)), 600)
    told = fashion.text(found, recipe, table.classes)
    last = found["dropout"].confusion
    assert last.sum() == 10_000
    assert (last.sum(1) == 1_000).all()
    assert abs(np.trace(last) / 10_000 - found["dropout"].accuracy.mean) < 1e-12
    assert "95% interval" in told
    assert any(name in told for name in table.classes)


def test_a_missing_folder_is_told_in_one_line(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert fashion.main(["--data", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err
