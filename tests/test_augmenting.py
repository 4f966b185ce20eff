"""The enlarged set that is written out: what stands in it, where, from which image, and whose folder it is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from image_data import image_folder, pictures
from peers import import_torch
from PIL import Image

import wellfit as wf
from wellfit import rng
from wellfit.cli import main
from wellfit.cocktail import Augment
from wellfit.job import augmenting
from wellfit.job.augmented_files import claim, folder_names, left
from wellfit.records import Table

import_torch()
CLASSES = ("T-shirt/top", "Bag", "Ankle boot")


def made(n: int = 9, channels: int = 1, tests: int = 2, side: int = 10) -> Table:
    """A table of images whose last rows are test rows; each pixel tells its image apart."""
    pixels = (rng.uniform(0, rng.DATA, n * channels * side * side) * 256).astype(np.uint8)
    return Table(
        name="made",
        columns={},
        kinds={},
        target=np.arange(n) % 3,
        target_name="label",
        task="multiclass",
        classes=CLASSES,
        test_rows=np.arange(n - tests, n) if tests else None,
        inputs=pixels.reshape(n, channels, side, side),
    )


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("channels", [1, 3])
def test_originals_and_tests_are_unchanged_and_copies_are_not(tmp_path: Path, channels: int) -> None:
    table = made(channels=channels)
    done = wf.augment(table, tmp_path / "set", copies=2, augment=Augment(rotation=30))
    assert (done.originals, done.copies, done.tests) == (7, 2, 2)
    files = {path.relative_to(done.folder).as_posix() for path in done.folder.rglob("*.png")} - {"contact_sheet.png"}
    names = dict(enumerate(("T-shirt_top", "Bag", "Ankle boot")))
    ends = ("", "-copy-1", "-copy-2")
    want = {f"train/{names[i % 3]}/row-{i:06}{end}.png" for i in range(7) for end in ends}
    assert files == want | {f"test/{names[i % 3]}/row-{i:06}.png" for i in (7, 8)}
    for i in range(9):
        part = done.folder / ("train" if i < 7 else "test") / names[i % 3]
        np.testing.assert_array_equal(pixels_of(part / f"row-{i:06}.png"), table.inputs[i])
        if i < 7:
            first, second = (pixels_of(part / f"row-{i:06}{end}.png") for end in ends[1:])
            assert first.shape == table.inputs[i].shape
            assert (first != table.inputs[i]).any()
            assert (first != second).any(), "each copy is another draw"
    assert pixels_of(done.sheet).shape[0] == 3


def test_npz_holds_the_same_images(tmp_path: Path) -> None:
    table, options = made(), dict(copies=2, augment="augment=0.7:rotation=30:noise=0.1", seed=3)
    by_file = wf.augment(table, tmp_path / "png", **options)
    at_once = wf.augment(table, tmp_path / "npz", format="npz", **options)
    with np.load(at_once.folder / "augmented.npz") as arrays:
        assert arrays["X"].shape == (21, 1, 10, 10)
        np.testing.assert_array_equal(arrays["y"], table.target[arrays["source_row"]])
        np.testing.assert_array_equal(arrays["Xtest"], table.inputs[7:])
        np.testing.assert_array_equal(arrays["ytest"], table.target[7:])
        assert tuple(arrays["classes"]) == CLASSES
        names = ("T-shirt_top", "Bag", "Ankle boot")
        for x, y, row, copy in zip(*(arrays[n] for n in ("X", "y", "source_row", "copy")), strict=True):
            end = f"-copy-{copy}" if copy else ""
            path = by_file.folder / "train" / names[y] / f"row-{row:06}{end}.png"
            np.testing.assert_array_equal(pixels_of(path), x)


def test_an_npz_file_is_a_source(tmp_path: Path) -> None:
    """A set that this command wrote can be loaded and enlarged again."""
    table = made(30, tests=6)
    once = wf.augment(table, tmp_path / "once", copies=1, format="npz")
    read = wf.load(once.folder / "augmented.npz")
    assert read.inputs.shape == (24 * 2 + 6, 1, 10, 10)
    assert read.classes == CLASSES
    np.testing.assert_array_equal(read.inputs[read.test_rows], table.inputs[24:])


def test_the_folders_are_a_source(tmp_path: Path) -> None:
    """The contact sheet is no image of the set; test images stay test images."""
    table = made(12, channels=3)
    read = wf.load(wf.augment(table, tmp_path / "set", copies=1).folder)
    assert read.inputs.shape == (10 * 2 + 2, 3, 10, 10)
    assert len(read.test_rows) == 2
    assert not read.findings


@pytest.mark.parametrize("format", ["png", "npz"])
def test_the_same_call_writes_the_same_bytes_and_another_seed_others(tmp_path: Path, format: str) -> None:
    table, options = made(), dict(copies=1, augment=Augment(crop=0.3, noise=0.1), format=format)
    first = wf.augment(table, tmp_path / "a", **options)
    again = wf.augment(table, tmp_path / "b", **options)
    assert digests(first.folder) == digests(again.folder)
    wf.augment(table, tmp_path / "b", **options)
    assert digests(first.folder) == digests(again.folder), "over a whole set too"
    other = wf.augment(table, tmp_path / "c", seed=1, **options)
    assert digests(other.folder) != digests(first.folder)


def test_a_copy_depends_on_its_row_and_number_alone(tmp_path: Path) -> None:
    """More copies, or fewer rows beside it, change no copy that was there before."""
    table = made(300, tests=0, side=4)
    many = wf.augment(table, tmp_path / "many", copies=3, augment="augment:rotation=30:contrast=0.5")
    fewer = wf.augment(made(5, tests=0, side=4), tmp_path / "few", copies=1, augment=many_text(many))
    for path in fewer.folder.glob("train/*/*.png"):
        same = many.folder / path.relative_to(fewer.folder)
        assert path.read_bytes() == same.read_bytes()


def many_text(done) -> str:
    return json.loads((done.folder / "augmented.json").read_text())["augment"]


# ---- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(wf.SettingError, match="is not empty"):
        wf.augment(made(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(wf.SettingError, match="is not empty"):
        wf.augment(made(), tmp_path / "thesis.txt")
    (tmp_path / "augmented.json").write_text("[1]")
    with pytest.raises(wf.SettingError, match="is not empty"):
        wf.augment(made(), tmp_path)


@pytest.mark.parametrize("change", [{"seed": 1}, {"copies": 2}, {"augment": "augment=0.5"}, {"format": "npz"}])
def test_a_set_of_other_settings_is_left_alone(tmp_path: Path, change: dict) -> None:
    wf.augment(made(), tmp_path, copies=1)
    before = digests(tmp_path)
    with pytest.raises(wf.SettingError, match="other settings"):
        wf.augment(made(), tmp_path, **{"copies": 1, **change})
    with pytest.raises(wf.SettingError, match="other images"):
        wf.augment(made(8), tmp_path, copies=1)
    assert digests(tmp_path) == before


def test_an_interrupt_leaves_whole_files_and_the_same_call_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "set"

    def stop(done: int, total: int) -> None:
        assert total == 7 * 3 + 2
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wf.augment(made(), folder, copies=2, progress=stop)
    assert json.loads((folder / "augmented.json").read_text())["complete"] is False
    files = list(folder.rglob("*.png"))
    assert len(files) == 10
    assert "10 complete image files" in left(folder)
    assert all(pixels_of(path).shape == (1, 10, 10) for path in files)
    assert not list(folder.rglob("*.tmp"))
    wf.augment(made(), folder, copies=2)
    assert json.loads((folder / "augmented.json").read_text())["complete"] is True
    assert digests(folder) == digests(wf.augment(made(), tmp_path / "other", copies=2).folder)


def test_class_folders_stay_inside_and_apart() -> None:
    names = folder_names(("../../etc", "a/b", "a:b", "A_B", "", ".", "__MACOSX", "猫", "x" * 300, "dog "))
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert Path(name).name == name
        assert not name.startswith((".", "_"))
        assert len(name) <= 110
    assert names[7] == "猫"
    assert names[4] == "class-4"
    # A name that is made for one class may be another's own, in other letters too.
    for classes in (("bag-2", "bag/", "bag:"), ("Bag-2", "Bag", "bag"), ("a", "A-1", "A"), ("caf\u00e9", "cafe\u0301")):
        names = folder_names(classes)
        assert len({unicodedata.normalize("NFD", name).casefold() for name in names}) == len(classes)
        assert names[0] == classes[0]


def test_classes_whose_names_collide_are_written_apart(tmp_path: Path) -> None:
    table = replace(made(12, tests=0), classes=("bag-2", "bag/", "bag:"))
    read = wf.load(wf.augment(table, tmp_path / "set", copies=1).folder)
    assert np.bincount(read.target).tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    "change", [{"classes": ("Bag", "T-shirt/top", "Ankle boot")}, {"test_rows": np.array([3, 7])}, {"test_rows": None}]
)
@pytest.mark.parametrize("format", ["png", "npz"])
def test_a_set_of_other_names_or_test_rows_is_left_alone(tmp_path: Path, change: dict, format: str) -> None:
    wf.augment(made(), tmp_path, copies=1, format=format)
    before = digests(tmp_path)
    with pytest.raises(wf.SettingError, match="other images or with other settings"):
        wf.augment(replace(made(), **change), tmp_path, copies=1, format=format)
    assert digests(tmp_path) == before


def test_files_that_are_not_of_the_set_are_named_and_left_alone(tmp_path: Path) -> None:
    wf.augment(made(), tmp_path, copies=1)
    (tmp_path / "train" / "Bag" / "mine.png").write_bytes(b"mine")
    (tmp_path / "train" / "Bag" / ".row-000001.png.77.tmp").write_bytes(b"of a process that was killed")
    before = digests(tmp_path)
    with pytest.raises(wf.SettingError, match=r"not of this augmented set: train/Bag/mine.png\."):
        wf.augment(made(), tmp_path, copies=1)
    assert digests(tmp_path) == before
    (tmp_path / "train" / "Bag" / "mine.png").unlink()
    wf.augment(made(), tmp_path, copies=1)


def test_a_set_in_the_folder_of_its_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = image_folder(tmp_path / "photos", {"cat": pictures(3), "dog": pictures(3)})
    link = tmp_path / "link"
    link.symlink_to(photos)
    for out in (photos / "enlarged", photos / "cat" / "x", photos, link / "y", tmp_path / "z" / ".." / "photos" / "x"):
        with pytest.raises(wf.SettingError, match="the folder of the images"):
            wf.augment(photos, out, copies=1)
    with pytest.raises(wf.SettingError, match="the folder of the images"):
        wf.augment(tmp_path / "photos", photos / "enlarged", test=photos)
    assert sorted(path.name for path in photos.iterdir()) == ["cat", "dog"]
    monkeypatch.chdir(tmp_path)
    assert wf.augment("photos", "enlarged", copies=1).originals == 6


def test_a_claim_is_whole_only_where_it_was_said_to_be(tmp_path: Path) -> None:
    with claim(tmp_path / "x", {"seed": 1}, ()):
        pass
    assert json.loads((tmp_path / "x" / "augmented.json").read_text()) == {"seed": 1, "complete": False}


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"augment": "l2=1e-3"}, "nothing beside it"),
        ({"augment": "augment + dropout=0.2"}, "nothing beside it"),
        ({"augment": "augment=0"}, "Every amount of augment is 0"),
        ({"augment": "augment:schedule=cosine"}, "knows no epochs"),
        ({"copies": 0}, "at least 1"),
        ({"copies": 1.5}, "at least 1"),
        ({"copies": "many"}, "at least 1"),
        ({"seed": -1}, "at least 0"),
        ({"format": "gif"}, "Unknown format"),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(tmp_path: Path, options: dict, word: str) -> None:
    with pytest.raises(wf.SettingError, match=word):
        wf.augment(made(), tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_a_table_of_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wf.DataError, match="football is no set of images"):
        wf.augment("football", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_images_with_a_number_as_target_go_into_npz(tmp_path: Path) -> None:
    ages = replace(made(), target=np.linspace(0.5, 80, 9), task="regression", classes=())
    with pytest.raises(wf.DataError, match="use the format npz"):
        wf.augment(ages, tmp_path / "set")
    done = wf.augment(ages, tmp_path / "set", copies=1, format="npz")
    with np.load(done.folder / "augmented.npz") as arrays:
        np.testing.assert_array_equal(arrays["y"], ages.target[arrays["source_row"]])
        assert "classes" not in arrays


def test_without_pytorch_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np, wellfit as wf\n"
        "from wellfit.records import Table\n"
        "t = Table('t', {}, {}, np.arange(4) % 2, 'y', 'binary', ('a', 'b'), inputs=np.zeros((4, 1, 8, 8), np.uint8))\n"
        "try: wf.augment(t, sys.argv[1])\n"
        "except wf.MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert "wellfit[torch]" in done.stdout
    assert not (tmp_path / "x").exists()


# ---- the command ----------------------------------------------------------------------------------------------------


def test_the_command_writes_and_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict = {}

    def load(source, **options):
        asked.update(options, source=source)
        return made()

    monkeypatch.setattr("wellfit.data.load", load)
    words = ["augment", "photos", "--out", str(tmp_path / "set"), "--copies", "1", "--seed", "5"]
    words += ["--augment", "augment=0.5:rotation=15", "--image-size", "10", "--skip-corrupt"]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 0, said.output
    assert asked == {"source": "photos", "image_size": "10", "skip_corrupt": True}
    assert "7 images as they are, and 7 changed copies" in said.output
    assert "contact_sheet.png" in said.output
    want = wf.augment(made(), tmp_path / "same", copies=1, seed=5, augment=Augment(0.5, rotation=15))
    assert digests(tmp_path / "set") == digests(want.folder)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["football", "--out", "x"], "football is no set of images"),
        (["football"], "--out DIR"),
        (["football", "--out", "x", "--copies", "0"], "--copies"),
        (["football", "--out", "x", "--augment", "augment:blur=1"], "no option 'blur'"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path: Path, monkeypatch, words: list[str], sentence: str) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["augment", *words])
    assert said.exit_code == 2
    assert sentence in said.output
    assert "Traceback" not in said.output
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_an_interrupt_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed, calls = augmenting._Set.changed, []

    def stop(self, *args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return changed(self, *args)

    monkeypatch.setattr(augmenting._Set, "changed", stop)
    monkeypatch.setattr("wellfit.data.load", lambda source: made(300, side=4))
    said = CliRunner().invoke(main, ["augment", "photos", "--out", str(tmp_path / "set"), "--copies", "2"])
    assert said.exit_code == 130
    assert "holds 768 complete image files" in said.stderr, "one batch of 256 originals, and their copies"


def test_the_command_speaks_chinese() -> None:
    said = CliRunner().invoke(main, ["augment", "--help", "--lang", "zh"])
    assert "总览图" in said.output
