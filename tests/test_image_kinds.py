"""Kinds of image files: which are read, which numbers they may hold, what is said of those that are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_data import encoded, image_folder, pictures
from peers import import_torch
from PIL import Image
from test_image_files import kinds, refused
from test_image_torch import Items

from wellfit.data import image_files, load
from wellfit.data.image_files import ImageOptions

GREYS = np.linspace(0, 1, 30).reshape(6, 5)


def two_classes(root: Path) -> Path:
    return image_folder(root, {"a": pictures(2), "b": pictures(2, seed=2)})


@pytest.mark.parametrize(("name", "form"), [("deep.png", "PNG"), ("deep.tif", "TIFF"), ("deep.pgm", "PPM")])
def test_sixteen_bits_are_read_as_eight(tmp_path: Path, name: str, form: str) -> None:
    folder = two_classes(tmp_path)
    (folder / "a" / name).write_bytes(encoded((GREYS * 65535).astype(np.uint16), form))
    np.testing.assert_allclose(load(folder).inputs[2, 0], GREYS * 255, atol=1)


@pytest.mark.parametrize("top", [1, 255, 65535])
@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_of_32_bits_are_refused(tmp_path: Path, kind: type, top: int) -> None:
    """Whatever their range, in files and as items; and they are not corrupt, so that nothing leaves them out."""
    folder = two_classes(tmp_path)
    wide = (GREYS * top).astype(kind)
    (folder / "b" / "wide.tiff").write_bytes(encoded(wide, "TIFF"))
    for options in ({}, {"skip_corrupt": True}):
        refused(folder, "pictures.wide_numbers", "wide.tiff", "32", "16", **options)
    import_torch()
    refused(Items(lambda i: (Image.fromarray(wide), i % 2)), "pictures.wide_numbers", "0")


def test_what_pillow_reads_by_itself_is_read(tmp_path: Path) -> None:
    folder = two_classes(tmp_path)
    colour = pictures(1, (16, 16, 3))[0]
    for name, form in (("x.tga", "TGA"), ("y.jp2", "JPEG2000"), ("z.ICO", "ICO"), ("w.pcx", "PCX"), ("v.qoi", "QOI")):
        options = {"sizes": [(16, 16)]} if form == "ICO" else {}
        (folder / "a" / name).write_bytes(encoded(colour, form, **options))
    table = load(folder, image_size=16)
    assert (table.inputs.shape, table.findings) == ((9, 3, 16, 16), ())
    for row in range(2, 7):  # none of these formats loses anything here
        np.testing.assert_array_equal(table.inputs[row], np.moveaxis(colour, 2, 0))


def test_files_of_other_kinds_are_counted_by_their_endings(tmp_path: Path) -> None:
    folder = two_classes(tmp_path)
    for name in ("1.heic", "2.HEIC", "notes.txt", "page.eps", "README", ".DS_Store"):
        (folder / "a" / name).write_bytes(b"x")
    (found,) = load(folder).findings
    assert (found.kind, found.count) == ("other_files", 5)
    for shown in (".heic (2)", ".txt (1)", ".eps (1)", "- (1)"):
        assert shown in found.text
    for path in folder.rglob("*.png"):
        path.unlink()
    refused(folder, "pictures.only_others", ".heic (2)")


def test_of_several_frames_the_first_is_taken_and_the_note_names_the_files(tmp_path: Path) -> None:
    folder = two_classes(tmp_path)
    first, *rest = (Image.fromarray(np.full((6, 5), grey, np.uint8)) for grey in (10, 20, 30))
    for name in ("pages.tiff", "moves.gif"):
        first.save(folder / "a" / name, save_all=True, append_images=rest)
    table = load(folder)
    assert kinds(table) == ["further_frames"]
    assert table.findings[0].count == 2
    assert "moves.gif" in table.findings[0].text
    assert (table.inputs[2:4] == 10).all()


def test_a_size_beyond_what_pillow_opens_is_refused_at_once(tmp_path: Path, monkeypatch) -> None:
    folder = two_classes(tmp_path)
    refused(folder, "pictures.size_too_large", "99999x99999", f"{Image.MAX_IMAGE_PIXELS:,}", image_size="99999x99999")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert load(folder, image_size="6x5").inputs.shape == (4, 1, 6, 5)
    refused(folder, "pictures.size_too_large", "30", image_size="6x6")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert ImageOptions.of("99999x99999").size == (99999, 99999)


def test_a_lack_of_memory_is_not_the_files_fault(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(image_files, "pixels_of", full)
    with pytest.raises(MemoryError):
        load(two_classes(tmp_path), skip_corrupt=True)


def test_tables_are_read_without_asking_pillow(tmp_path: Path, monkeypatch) -> None:
    def asked() -> None:
        raise AssertionError

    monkeypatch.setattr(Image, "registered_extensions", asked)
    (tmp_path / "a.csv").write_text("x,y\n" + "1,a\n2,b\n" * 4)
    assert load(tmp_path / "a.csv").rows == 8
