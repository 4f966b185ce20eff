"""A model of images predicts image files as it learned them: resized alike, each line with the file it is of."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from image_data import encoded, image_folder, pictures
from modules import trained
from PIL import Image

import wellfit as wf
from wellfit.cli import main
from wellfit.data import load
from wellfit.errors import DataError, SettingError
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted
from wellfit.select import default_network

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of several sizes in two classes, one of them in a folder of its own."""
    root = image_folder(
        tmp_path_factory.mktemp("photos"), {"cats": pictures(6, (16, 14)), "dogs": pictures(5, (12, 20))}
    )
    return image_folder(root / "dogs", {"old": pictures(1, (13, 13))}).parent


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitted = trained(load(photos, image_size="12x10"), wf.module("cnn"), "none")
    return fitted.save(tmp_path_factory.mktemp("model") / "model.safetensors")


def lines(result) -> list[dict[str, str]]:
    assert result.exit_code == 0, result.stderr
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_image_files_are_resized_as_those_of_the_training_were(photos: Path, model: Path) -> None:
    fitted = Fitted.load(model)
    table = load(photos, image_size="12x10")
    np.testing.assert_array_equal(fitted.predict_proba(photos), fitted.predict_proba(table.inputs))
    one = photos / "dogs" / "003.png"
    np.testing.assert_array_equal(fitted.predict_proba(one), fitted.predict_proba(table.inputs[9:10]))
    both = Ensemble((fitted, fitted), np.array([0.5, 0.5]))
    assert both.resized
    np.testing.assert_allclose(both.predict_proba(photos), fitted.predict_proba(photos))
    with pytest.raises(SettingError):
        Ensemble((fitted, replace(fitted, resized=False)), np.array([0.5, 0.5]))


def test_a_model_of_images_of_one_size_names_the_way_to_others(photos: Path, tmp_path: Path) -> None:
    plain = trained(load((pictures(12, (12, 10)), ["a", "b"] * 6)), wf.module("cnn"), "none")
    assert not Fitted.load(plain.save(tmp_path / "m.safetensors")).resized
    with pytest.raises(DataError) as caught:
        plain.predict(photos)
    assert caught.value.key == "pictures.model_size"
    assert "train a model with image_size" in str(caught.value)


def test_each_line_names_its_file(photos: Path, model: Path) -> None:
    found = lines(CliRunner().invoke(main, ["predict", str(model), str(photos)]))
    assert [line["file"] for line in found] == [
        *(f"cats/{i:03}.png" for i in range(6)),
        *(f"dogs/{i:03}.png" for i in range(5)),
        "dogs/old/000.png",
    ]
    want = Fitted.load(model).predict(load(photos, image_size="12x10").inputs)
    assert [line["prediction"] for line in found] == want.tolist()
    (only,) = lines(CliRunner().invoke(main, ["predict", str(model), str(photos / "cats" / "002.png")]))
    assert (only["file"], only["prediction"]) == ("002.png", found[2]["prediction"])
    assert list(found[0]) == ["file", "prediction", "probability of cats", "probability of dogs"]


def test_corrupt_files_are_left_out_on_request_and_named(photos: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for name, content in (("a.png", encoded(pictures(1)[0])), ("b.png", b"torn"), ("c.heic", b"x")):
        (folder / name).write_bytes(content)
    first = Image.fromarray(pictures(1)[0])
    first.save(folder / "d.gif", save_all=True, append_images=[Image.fromarray(pictures(2)[1])])
    refusal = CliRunner().invoke(main, ["predict", str(model), str(folder)])
    assert (refusal.exit_code, refusal.stdout) == (2, "")
    assert "--skip-corrupt" in refusal.stderr
    result = CliRunner().invoke(main, ["predict", str(model), str(folder), "--skip-corrupt"])
    assert [line["file"] for line in lines(result)] == ["a.png", "d.gif"]
    for word in ("b.png", ".heic (1)", "d.gif"):
        assert word in result.stderr
    assert len(Fitted.load(model).predict(folder, skip_corrupt=True)) == 2


def test_skip_corrupt_is_for_image_files(model: Path, tmp_path: Path) -> None:
    fitted = Fitted.load(model)
    np.savez(tmp_path / "a.npz", X=pictures(3, (12, 10)))
    assert len(fitted.predict(tmp_path / "a.npz")) == 3
    with pytest.raises(DataError, match="are for folders of image files"):
        fitted.predict(tmp_path / "a.npz", skip_corrupt=True)
    assert "file" not in lines(CliRunner().invoke(main, ["predict", str(model), str(tmp_path / "a.npz")]))[0]


def test_images_too_small_for_convolutions_are_compared_all_the_same() -> None:
    table = load((pictures(40, (6, 6)), ["a", "b"] * 20))
    training = wf.Training(epochs=2, batch_size=8)
    asked = {"cocktails": "none; l2=0.01", "seeds": 1, "folds": 2, "training": training}
    assert wf.compare(table, **asked).network == "64,32"
    with pytest.raises(SettingError, match=r"at least 10 x 10.*--image-size 28.*--network 64,32"):
        wf.compare(table, network="cnn", **asked)
    assert str(default_network(load((pictures(4, (10, 10)), ["a", "b"] * 2)))) == "cnn"
