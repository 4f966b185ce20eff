"""Folders named train, test and validation are parts of the data, whatever stands beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_data import encoded, image_folder, pictures
from test_image_files import kinds, refused

from wellfit.data import load

PETS = {"cats": pictures(3), "dogs": pictures(3, seed=2)}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("training_set", "test_set"),
        ("Training", "Testing"),
        ("trainset", "valset"),
        ("train-images", "validation"),
        ("train data", "valid"),
    ],
)
@pytest.mark.parametrize("beside", [(), ("extra",)])
def test_the_classes_are_those_within_the_parts(tmp_path: Path, train: str, test: str, beside: tuple) -> None:
    image_folder(tmp_path / train, PETS)
    image_folder(tmp_path / test, {"dogs": PETS["dogs"][:1]})
    for name in beside:
        (tmp_path / name).mkdir()
    table = load(tmp_path)
    assert table.classes == ("cats", "dogs")
    assert table.target.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert table.test_rows.tolist() == [6]
    assert kinds(table) == ["other_folders"] * len(beside)
    assert all("extra" in finding.text for finding in table.findings)


def test_images_beside_the_parts_are_left_out_by_name(tmp_path: Path) -> None:
    image_folder(tmp_path / "train", PETS)
    image_folder(tmp_path, {"unlabelled": pictures(5)})
    table = load(tmp_path)
    assert (table.rows, table.classes, kinds(table)) == (6, ("cats", "dogs"), ["other_folders"])


def test_parts_without_one_to_learn_from_are_refused(tmp_path: Path) -> None:
    for part in ("test", "val"):
        image_folder(tmp_path / part, PETS)
    refused(tmp_path, "pictures.only_parts", "test", "val")
    assert load(tmp_path / "test").classes == ("cats", "dogs")
    for part in ("train", "training_set"):
        image_folder(tmp_path / part, PETS)
    refused(tmp_path, "pictures.part_twice", "train", "training_set")


def test_a_train_on_rails_is_a_class(tmp_path: Path) -> None:
    vehicles = image_folder(
        tmp_path / "v", {"car": pictures(2), "train": pictures(2, seed=2), "bus": pictures(2, seed=3)}
    )
    assert load(vehicles).classes == ("bus", "car", "train")
    image_folder(vehicles / "train", {"more": pictures(1)})  # images in folders of a class are of that class
    table = load(vehicles)
    assert np.bincount(table.target).tolist() == [2, 2, 3]
    (tmp_path / "flat" / "train").mkdir(parents=True)
    (tmp_path / "flat" / "train" / "1.png").write_bytes(encoded(pictures(1)[0]))
    refused(tmp_path / "flat", "images.no_class_folders", "train")
