"""Images from disk: IDX files and folders of image files. What is damaged is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fuzzing import check_sentence
from image_data import encoded, idx, idx_folder, image_folder, pictures
from PIL import Image

from wellfit.cli import main
from wellfit.cli.options import load_options
from wellfit.data import inspect, load
from wellfit.errors import DataError
from wellfit.messages import speaking
from wellfit.records import Table

LABELS = np.arange(12, dtype=np.uint8) % 3


def refused(source: object, key: str, *words: str, **options: object) -> None:
    """Assert that a source is refused for this reason, in one line of either language with these words."""
    with pytest.raises(DataError) as caught:
        load(source, **options)  # type: ignore[arg-type]
    assert caught.value.key == key
    for language in ("en", "zh"):
        with speaking(language):
            check_sentence(str(caught.value))
            for word in words:
                assert word in str(caught.value)


def kinds(table: Table) -> list[str]:
    return [finding.kind for finding in table.findings]


# --- IDX -----------------------------------------------------------------------------------------------------------


def test_a_folder_of_idx_files_has_its_test_images_as_test_rows(tmp_path: Path) -> None:
    x, more = pictures(), pictures(4, seed=2)
    table = load(idx_folder(tmp_path / "shoes", {"train": (x, LABELS), "t10k": (more, LABELS[:4])}))
    np.testing.assert_array_equal(table.inputs, np.concatenate([x, more])[:, None])
    assert (table.name, table.task, table.classes, table.scale) == ("shoes", "multiclass", ("0", "1", "2"), "bytes")
    assert table.test_rows.tolist() == [12, 13, 14, 15]
    np.testing.assert_array_equal(table.target, [*LABELS, *LABELS[:4]])
    assert table.inputs.dtype == np.uint8
    assert table.inputs.flags.writeable
    assert (dict(table.columns), dict(table.kinds), table.findings) == ({}, {}, ())


def test_a_pair_is_found_from_either_file_packed_or_not_and_with_channels(tmp_path: Path) -> None:
    x = pictures(12, (6, 5, 3))
    (tmp_path / "own-images.idx").write_bytes(idx(x))
    (tmp_path / "own-labels.idx.gz").write_bytes(gzip.compress(idx(LABELS)))
    for name in ("own-images.idx", "own-labels.idx.gz", ""):
        table = load(tmp_path / name)
        np.testing.assert_array_equal(table.inputs, np.moveaxis(x, 3, 1))
        np.testing.assert_array_equal(table.target, LABELS)
        assert table.test_rows is None


def test_labels_of_idx_files_are_classes_however_they_are_numbered(tmp_path: Path) -> None:
    table = load(idx_folder(tmp_path / "d", {"train": (pictures(), np.array([3, 90, 200] * 4, dtype=np.uint8))}))
    assert table.classes == ("3", "90", "200")


def test_damaged_idx_files_are_named_with_what_is_wrong(tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "d", {"train": (pictures(), LABELS)})
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    whole = images.read_bytes()
    for content, key, words in (
        (whole[:-7], "images.idx_short", ("12 x 6 x 5", "360", "353")),
        (whole + b"\0", "images.idx_long", ("360", "361")),
        (whole[:9], "images.idx_header", ("3",)),
        (b"\1" + whole[1:], "images.idx_start", ("01 00 08 03",)),
        (b"", "data.empty_file", ()),
        (bytes((0, 0, 13, 3)) + whole[4:], "images.idx_type", ("float32",)),
        (idx(LABELS), "images.idx_images", ("12",)),
        (gzip.compress(whole)[:-9], "data.broken_gzip", ()),
        (idx(pictures(11)), "images.idx_counts", ("11", "12", labels.name)),
        (idx(pictures(0)), "images.idx_counts", ("0", "12")),
    ):
        images.write_bytes(content)
        refused(images, key, images.name, *words)
        if key != "data.empty_file":
            refused(folder, key, images.name)
    images.write_bytes(whole)
    labels.write_bytes(idx(pictures(2)))
    refused(folder, "images.idx_labels", labels.name, "2 x 6 x 5")
    labels.unlink()
    refused(folder, "images.idx_alone", images.name, labels.name)


def test_idx_folders_that_leave_a_choice_say_so(tmp_path: Path) -> None:
    parts = {name: (pictures(), LABELS) for name in ("letters-train", "digits-train")}
    folder = idx_folder(tmp_path / "d", parts)
    refused(folder, "images.idx_many", "letters-train", "digits-train")
    assert load(folder / "letters-train-images-idx3-ubyte").rows == 12
    (tmp_path / "numbers.idx").write_bytes(idx(LABELS))
    refused(tmp_path / "numbers.idx", "images.idx_name", "numbers.idx")
    one = idx_folder(tmp_path / "one", {"train": (pictures(), LABELS)})
    refused(one, "images.no_folder", "image_size", image_size=8)


def test_parts_of_idx_files_are_whole_words_and_what_is_not_used_is_told(tmp_path: Path) -> None:
    parts = {name: (pictures(12, seed=i), LABELS) for i, name in enumerate(("train", "val", "t10k", "medieval"))}
    three = idx_folder(tmp_path / "three", {name: parts[name] for name in ("train", "val", "t10k")})
    table = load(three)
    np.testing.assert_array_equal(table.inputs[table.test_rows, 0], parts["t10k"][0])
    (found,) = table.findings
    assert found.kind == "unused_validation"
    assert "val is not used" in found.text
    castles = idx_folder(tmp_path / "castles", {"medieval-train": parts["medieval"], "my_test": parts["t10k"]})
    table = load(castles)
    np.testing.assert_array_equal(table.inputs[:12, 0], parts["medieval"][0])
    np.testing.assert_array_equal(table.inputs[table.test_rows, 0], parts["t10k"][0])


def test_a_long_path_keeps_the_name_of_its_file(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / ("deep" * 40) / ("er" * 60), {"a" * 50: pictures(2), "b": pictures(2)})
    (folder / "b" / "broken.png").write_bytes(b"x")
    (folder / ("a" * 50) / "torn.png").write_bytes(b"x")
    refused(folder / "b" / "broken.png", "images.one_image", "b/broken.png")
    refused(folder, "images.no_image", "torn.png")
    (found,) = load(folder, skip_corrupt=True).findings
    assert "/torn.png" in found.text
    assert "b/broken.png" in found.text


# --- folders of images -----------------------------------------------------------------------------------------------


def test_a_folder_of_images_by_class(tmp_path: Path) -> None:
    grey = {"dogs": pictures(3), "cats": pictures(2, seed=2)}
    table = load(image_folder(tmp_path / "pets", grey))
    np.testing.assert_array_equal(table.inputs, np.concatenate([grey["cats"], grey["dogs"]])[:, None])
    assert (table.name, table.task, table.classes) == ("pets", "binary", ("cats", "dogs"))
    assert table.target.tolist() == [0, 0, 1, 1, 1]
    assert (table.findings, table.test_rows, table.target_name) == ((), None, "label")


def test_train_and_test_folders_and_colour_in_one_image_alone(tmp_path: Path) -> None:
    colour = pictures(3, (6, 5, 3), seed=3)
    parts = {"train": {"10": pictures(3), "9": pictures(3, seed=2)}, "test": {"9": colour}, "val": {"9": pictures(1)}}
    for part, classes in parts.items():
        image_folder(tmp_path / part, classes)
    table = load(tmp_path)
    assert table.classes == ("9", "10")  # in the order of numbers
    assert table.test_rows.tolist() == [6, 7, 8]
    assert kinds(table) == ["unused_validation"]
    # One image in colour, in either part, gives all of them three channels.
    np.testing.assert_array_equal(table.inputs[6:], np.moveaxis(colour, 3, 1))
    np.testing.assert_array_equal(table.inputs[3:6], np.repeat(pictures(3)[:, None], 3, axis=1))


def test_grey_images_beside_colour_get_three_equal_channels(tmp_path: Path) -> None:
    grey, colour = pictures(2), pictures(2, (6, 5, 3), seed=3)
    table = load(image_folder(tmp_path, {"a": grey, "b": colour}))
    assert table.inputs.shape == (4, 3, 6, 5)
    for channel in range(3):
        np.testing.assert_array_equal(table.inputs[:2, channel], grey)
        np.testing.assert_array_equal(table.inputs[2:, channel], colour[..., channel])
    # An RGB file of equal channels is grey.
    same = np.repeat(grey[..., None], 3, axis=3)
    assert load(image_folder(tmp_path / "rgb", {"a": same, "b": grey + 1})).inputs.shape == (4, 1, 6, 5)


def test_formats_depths_transparency_and_orientation(tmp_path: Path) -> None:
    pixels = pictures(1, (6, 5))[0]
    folder = image_folder(tmp_path, {"a": pixels[None], "b": 255 - pixels[None]})
    (folder / "a" / "deep.png").write_bytes(encoded(pixels.astype(np.uint16) * 257))  # 16 bits a pixel
    see_through = np.dstack([np.zeros((6, 5, 3), np.uint8), np.where(pixels > 127, 0, 255).astype(np.uint8)])
    (folder / "a" / "ink.png").write_bytes(encoded(see_through))
    for ending, form in (("bmp", "BMP"), ("tif", "TIFF"), ("pgm", "PPM")):
        (folder / "a" / f"plain.{ending}").write_bytes(encoded(pixels, form))
    turned = Image.fromarray(np.rot90(pixels))  # as a camera held on its side stores it
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to view"
    turned.save(folder / "a" / "turned.png", exif=exif)
    turned.save(folder / "a" / "turned.tif", exif=exif)
    table = load(folder)
    files = sorted(path.name for path in (folder / "a").iterdir())
    assert files == [
        "000.png",
        "deep.png",
        "ink.png",
        "plain.bmp",
        "plain.pgm",
        "plain.tif",
        "turned.png",
        "turned.tif",
    ]
    for row, name in enumerate(files):
        want = np.where(pixels > 127, 255, 0) if name == "ink.png" else pixels
        np.testing.assert_array_equal(table.inputs[row, 0], want, err_msg=name)


def test_another_size_is_named_and_resized_where_asked(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"a": pictures(2), "b": pictures(1, (12, 10), seed=4)})
    refused(folder, "images.other_size", "000.png", "12x10", "6x5", "--image-size")
    table = load(folder, image_size="6x5")
    assert table.inputs.shape == (3, 1, 6, 5)
    np.testing.assert_array_equal(table.inputs[:2, 0], pictures(2))  # images of that size stay as they are
    assert load(folder, image_size=8).inputs.shape == (3, 1, 8, 8)
    assert load(folder, image_size=(8, 9)).inputs.shape == (3, 1, 8, 9)
    flat = np.full((1, 30, 20), 77, dtype=np.uint8)
    even = load(image_folder(tmp_path / "even", {"a": flat, "b": flat}), image_size=7)
    assert (even.inputs == 77).all()
    for size in ("0", "8x", "wide", -3, 2.5, (1, 2, 3), [], "123456"):
        refused(folder, "images.bad_size", image_size=size)


def test_corrupt_images_are_named_or_left_out_and_reported(tmp_path: Path) -> None:
    folder = image_folder(tmp_path, {"a": pictures(4), "b": pictures(3, seed=2)})
    whole = (folder / "b" / "001.png").read_bytes()
    (folder / "b" / "001.png").write_bytes(whole[: len(whole) // 2])
    refused(folder, "images.broken", "001.png", "--skip-corrupt")
    (folder / "a" / "000.png").write_bytes(b"no image at all")
    refused(folder, "images.no_image", "000.png", "--skip-corrupt")
    table = load(folder, skip_corrupt=True)
    assert table.target.tolist() == [0, 0, 0, 1, 1]
    np.testing.assert_array_equal(table.inputs[:3, 0], pictures(4)[1:])
    (finding,) = table.findings
    assert (finding.kind, finding.count) == ("corrupt_images", 2)
    assert "a/000.png" in finding.text
    assert "b/001.png" in finding.text
    for path in folder.rglob("*.png"):
        path.write_bytes(whole[:20])
    refused(folder, "images.all_broken", "7", skip_corrupt=True)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = image_folder(tmp_path, {"a": pictures(2), "b": pictures(2)})
    for top in (29, 14):  # Pillow warns beyond its limit, and refuses beyond twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", top)
        refused(folder, "images.too_large", "000.png", str(top))


def test_what_is_in_no_class_is_told(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d", {"a": pictures(2), "b": pictures(2), ".hidden": pictures(2)})
    (folder / "c").mkdir()
    (folder / "a" / "notes.txt").write_text("not an image")
    image_folder(folder / "b", {"more": pictures(1), ".thumbnails": pictures(1)})
    (folder / "loose.png").write_bytes(encoded(pictures(1)[0]))
    table = load(folder)
    assert table.classes == ("a", "b")
    assert table.target.tolist() == [0, 0, 1, 1, 1]
    assert kinds(table) == ["other_files", "empty_class", "loose_images"]
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.png").write_bytes(encoded(pictures(1)[0]))
    refused(tmp_path / "flat", "images.no_class_folders", "flat")
    refused(tmp_path / "flat" / "1.png", "images.one_image", "1.png")
    refused(image_folder(tmp_path / "lone", {"a": pictures(3)}), "data.one_class", "a")


def test_test_images_of_their_own_folder(tmp_path: Path) -> None:
    train = image_folder(tmp_path / "x", {"a": pictures(2), "b": pictures(2)})
    test = image_folder(tmp_path / "y", {"b": pictures(1)})
    table = load(train, test=test)
    assert (table.test_rows.tolist(), table.target.tolist()) == ([4], [0, 0, 1, 1, 1])
    refused(train, "images.other_shape", "(1, 8, 5)", test=image_folder(tmp_path / "z", {"b": pictures(1, (8, 5))}))
    refused(train, "data.unknown_class", "c", test=image_folder(tmp_path / "c", {"c": pictures(1)}))
    refused(train, "images.not_both", test="iris")
    refused("iris", "images.not_both", target="species", test=train)


# --- the real thing --------------------------------------------------------------------------------------------------


def test_fashion_mnist(data_folder: Path) -> None:
    table = load("fashion-mnist")
    assert table.inputs.shape == (70_000, 1, 28, 28)
    assert table.test_rows.tolist() == list(range(60_000, 70_000))
    assert np.bincount(table.target[:60_000]).tolist() == [6_000] * 10
    assert (table.task, table.name, table.findings) == ("multiclass", "fashion-mnist", ())
    assert table.classes[0] == "T-shirt/top"
    assert [table.classes[code] for code in table.target[:3]] == ["Ankle boot", "T-shirt/top", "T-shirt/top"]
    raw = gzip.decompress((data_folder / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    np.testing.assert_array_equal(table.inputs[60_000:].reshape(-1), np.frombuffer(raw, np.uint8, offset=16))
    # The published mean and deviation of the training pixels, in use as 0.2860 and 0.3530.
    train = table.inputs[:60_000] / np.float32(255)
    assert (round(float(train.mean()), 4), round(float(train.std()), 4)) == (0.2860, 0.3530)
    assert inspect(table) == ()  # no image is there twice


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_names_a_damaged_image_and_how_to_leave_it_out(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "d", {"a": pictures(3), "b": pictures(3)})
    (folder / "b" / "000.png").write_bytes(b"damaged")

    def said(*options: str) -> str:
        result = CliRunner().invoke(main, ["run", str(folder), "--out", str(tmp_path / "out"), *options])
        assert (result.exit_code, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    assert "000.png" in (text := said())
    assert "--skip-corrupt" in text
    # Left out, it is no hindrance: what is refused next is another matter.
    assert "--image-size" in said("--skip-corrupt", "--image-size", "0")
    assert not (tmp_path / "out").exists()


def test_commands_pass_the_options_of_images_on() -> None:
    asked = dict.fromkeys(("target", "task", "test", "group", "time", "weight")) | dict.fromkeys(
        ("drop", "categorical", "numeric"), ()
    )
    options = load_options(asked | {"image_size": "28", "skip_corrupt": True})
    assert (options["image_size"], options["skip_corrupt"]) == ("28", True)
    for command in ("run", "compare", "path", "search", "sanity", "diagnose", "workings", "bias-variance"):
        flags = {flag for option in main.commands[command].params for flag in option.opts}
        assert {"--image-size", "--skip-corrupt"} <= flags
