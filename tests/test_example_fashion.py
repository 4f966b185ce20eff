"""The Fashion-MNIST example on a part of the data: what it prints, and that it draws."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from image_data import idx_folder, pictures
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
    short = fashion.replace(recipe, training=fashion.replace(recipe.training, epochs=1))
    found = fashion.train(table, short, fashion.cut(table, 600))
    told = fashion.text(found, recipe, table.classes)
    last = found["dropout"].confusion
    assert last.sum() == 10_000
    assert (last.sum(1) == 1_000).all()
    assert abs(np.trace(last) / 10_000 - found["dropout"].accuracy.mean) < 1e-12
    assert "95% interval" in told
    assert any(name in told for name in table.classes)


def pieces(folder: Path, parts: tuple[str, ...]) -> Path:
    x, y = pictures(60, (12, 12)), np.arange(60, dtype=np.uint8) % 3
    return idx_folder(folder, {part: (x, y) for part in parts})


def told(capsys: pytest.CaptureFixture, *words: str) -> str:
    """What it says where it stops with 2: one line, and nothing on the other stream."""
    try:
        code = fashion.main(list(words))
    except SystemExit as stop:  # an argument that is refused, behind the usage
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    return err.splitlines()[-1]


def test_what_cannot_be_used_is_told_in_one_line(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch) -> None:
    alone = pieces(tmp_path / "alone", ("train",))
    assert "test images" in told(capsys, "--data", str(alone))
    assert "at least 50" in told(capsys, "--rows", "-5")
    assert "at least 50" in told(capsys, "--rows", "0")
    (tmp_path / "taken").write_text("a file")
    whole = pieces(tmp_path / "whole", ("train", "t10k"))
    monkeypatch.setattr(fashion, "train", lambda *_: pytest.fail("it trained, for nothing"))
    assert "taken" in told(capsys, "--data", str(whole), "--out", str(tmp_path / "taken" / "x"))


def test_no_network_pays_for_what_is_done_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each cocktail is trained shortly before any is timed; and the timed results are as they were without that."""
    import wellfit as wf

    table = wf.load(pieces(tmp_path / "whole", ("train", "t10k")))
    calls, real = [], fashion.fit_members

    def watched(table, parts, members):
        calls.append((str(members[0].cocktail), len(parts[0].train)))
        return real(table, parts, members)

    monkeypatch.setattr(fashion, "fit_members", watched)
    recipe = fashion.Recipe(wf.Training("adam", 1e-3, 1, 8), fashion.BOTH)
    warm = fashion.train(table, recipe, fashion.cut(table))
    assert calls == [("none", 16), ("dropout=0.5", 16), ("none", 48), ("dropout=0.5", 48)]
    monkeypatch.setattr(fashion, "_warm_up", lambda *_: None)
    cold = fashion.train(table, recipe, fashion.cut(table))
    assert all((warm[name].confusion == cold[name].confusion).all() for name in warm)


def test_a_missing_folder_is_told_in_one_line(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert fashion.main(["--data", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err
