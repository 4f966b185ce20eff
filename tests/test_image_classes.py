"""Names of classes that a source states are names: not cells of a table that may be missing or numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_data import idx_folder, image_folder, pictures
from peers import import_torch
from test_image_files import refused
from test_image_torch import Items

from wellfit.data import load
from wellfit.data.raw import Words

torch = import_torch()
# Words that a table reads as missing, as the same number, as dates or with the space left out.
ODD = ("NA", "nan", "null", "None", "?", "-", "1", "1.0", "01", "true", "2020-01-01", "x", " x", "a  b", "a b")
X = pictures(2 * len(ODD))


def test_class_folders_keep_their_names(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "odd", {name: X[2 * i : 2 * i + 2] for i, name in enumerate(ODD)})
    table = load(folder)
    assert table.classes == tuple(sorted(ODD))
    for i, name in enumerate(ODD):
        np.testing.assert_array_equal(table.inputs[table.target == table.classes.index(name), 0], X[2 * i : 2 * i + 2])
    assert table.findings == ()
    both = load(folder, test=folder)
    np.testing.assert_array_equal(both.target, np.tile(table.target, 2))
    regions = image_folder(
        tmp_path / "regions", {name: pictures(3, seed=i) for i, name in enumerate(("NA", "EU", "US"))}
    )
    assert np.bincount(load(regions).target).tolist() == [3, 3, 3]


def test_names_of_arrays_and_datasets_are_kept(tmp_path: Path) -> None:
    codes = np.arange(len(X)) % len(ODD)
    np.savez(tmp_path / "odd.npz", X=X, y=codes, X_test=X[:4], y_test=codes[:4], classes=ODD)
    table = load(tmp_path / "odd.npz")
    assert table.classes == ODD
    np.testing.assert_array_equal(table.target, [*codes, *codes[:4]])
    items = Items(lambda i: (X[i][None], int(codes[i])), len(X), classes=list(ODD))
    table = load(items)
    assert table.classes == ODD
    np.testing.assert_array_equal(table.target, codes)


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    codes = np.arange(12) % 3
    np.savez(tmp_path / "a.npz", X=X[:12], y=codes, classes=["cat", "dog", "cat"])
    refused(tmp_path / "a.npz", "pictures.equal_names", "a.npz", "cat", "2")
    twice = Items(lambda i: (X[i][None], int(codes[i])), 12, classes=["cat", "cat", "dog"])
    refused(twice, "pictures.equal_names", "cat")


@pytest.mark.parametrize("key", ["labels", "names"])
def test_what_stands_beside_each_row_names_no_class(tmp_path: Path, key: str) -> None:
    codes = np.array([0, 1, 0, 1, 2, 2])
    np.savez(tmp_path / "a.npz", X=X[:6], y=codes, **{key: [f"img{i}.png" for i in range(6)]})
    table = load(tmp_path / "a.npz", task="classification")
    assert table.classes == ("0", "1", "2")
    np.savez(tmp_path / "b.npz", X=X[:6], y=codes, classes=np.array(["cat", "dog", "bird"])[codes])
    refused(tmp_path / "b.npz", "pictures.equal_names", "b.npz", "cat")


def test_words_as_targets_go_with_names_that_hold_them(tmp_path: Path) -> None:
    words = np.array(["cat", "dog", "NA", "bird"] * 3)
    np.savez(tmp_path / "a.npz", X=X[:12], y=words, classes=["dog", "NA", "cat", "bird", "never"])
    table = load(tmp_path / "a.npz")
    assert table.classes == ("dog", "NA", "cat", "bird")
    assert [table.classes[code] for code in table.target] == words.tolist()
    np.savez(tmp_path / "b.npz", X=X[:12], y=words, classes=["dog", "cat", "NA"])
    refused(tmp_path / "b.npz", "images.code_without_name", "bird", "dog", "0", "2")
    np.savez(tmp_path / "c.npz", X=X[:12], y=np.arange(12) % 4, classes=["dog", "cat", "NA"])
    refused(tmp_path / "c.npz", "images.code_without_name", "3", "dog", "2")


def test_numbers_of_test_rows_are_the_codes_of_the_training_names(tmp_path: Path) -> None:
    codes = np.arange(12) % 2 * 2  # the class 1 has no row: it is none, but its code stays taken
    train = Items(lambda i: (X[i][None], int(codes[i])), 12, classes=["clog", "boot", "mule"])
    for test in (Items(lambda i: (X[i][None], int(codes[i])), 6), (X[:6], codes[:6])):
        table = load(train, test=test)
        assert table.classes == ("clog", "mule")
        np.testing.assert_array_equal(table.target, [*codes // 2, *codes[:6] // 2])
    refused(train, "data.unknown_class", "boot", test=(X[:6], codes[:6] // 2))
    # Folders have no codes, so that numbers are words.
    numbered = image_folder(tmp_path / "n", {"7": X[:3], "9": X[3:6]})
    assert load(numbered, test=(X[:2], [7, 9])).target.tolist() == [0, 0, 0, 1, 1, 1, 0, 1]
    shoes = idx_folder(tmp_path / "shoes", {"train": (X[:12], codes.astype(np.uint8))})
    assert load(train, test=shoes).target.tolist() == [*codes // 2, *codes // 2]


def test_literal_words_stay_so_when_rows_are_taken() -> None:
    assert Words(np.array([0, 1, 1]), ("NA", "x"), True, literal=True).take(np.array([0])).literal
