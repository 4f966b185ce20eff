"""Mutated IDX and image files: images or a clear error, never a traceback."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fuzzing import check_sentence, flip_bytes, insert, load_or_refuse, remove, truncate
from hypothesis import example, given
from hypothesis import strategies as st
from image_data import encoded, idx, idx_folder, image_folder, pictures

from wellfit.data.idx_files import parse_idx
from wellfit.errors import DataError, WellfitError
from wellfit.records import Table
from wellfit.rng import DATA, generator

LABELS = np.arange(12, dtype=np.uint8) % 3
MUTATIONS = (flip_bytes, truncate, insert, remove)


def check(got: Table | WellfitError, path: Path, outcomes: Counter[str]) -> None:
    """Assert that a load gave valid images, or an error in one line that names the file."""
    if isinstance(got, Table):
        assert got.inputs is not None
        assert got.inputs.dtype == np.uint8
        assert got.inputs.ndim == 4
        assert len(got.inputs) == len(got.target) == got.rows
        outcomes["loaded"] += 1
    else:
        assert isinstance(got, DataError)
        check_sentence(str(got))
        if got.key not in ("data.one_class", "data.rare"):
            assert path.name in str(got)
        outcomes[got.key] += 1


@pytest.mark.parametrize("packed", [False, True])
def test_mutated_idx_files(tmp_path: Path, packed: bool) -> None:
    folder = idx_folder(tmp_path / "d", {"train": (pictures(), LABELS)})
    path, rng = folder / "train-images-idx3-ubyte", generator(5, DATA)
    whole = gzip.compress(path.read_bytes()) if packed else path.read_bytes()
    outcomes: Counter[str] = Counter()
    for number in range(200):
        # Half of them are damaged in the header, where there is most to get wrong.
        head = 16 if number % 2 else len(whole)
        path.write_bytes(MUTATIONS[number % 4](whole[:head], rng) + whole[head:])
        check(load_or_refuse(folder), path, outcomes)
    assert outcomes["loaded"] >= (0 if packed else 20), outcomes
    assert len(outcomes) >= (2 if packed else 5), outcomes


@pytest.mark.parametrize(
    ("ending", "form"), [("png", "PNG"), ("jpg", "JPEG"), ("bmp", "BMP"), ("gif", "GIF"), ("tif", "TIFF")]
)
def test_mutated_image_files(tmp_path: Path, ending: str, form: str) -> None:
    folder = image_folder(tmp_path / "d", {"a": pictures(2, (9, 9)), "b": pictures(2, (9, 9))})
    path, rng = folder / "b" / f"odd.{ending}", generator(6, DATA)
    whole = encoded(pictures(1, (9, 9))[0], form)
    path.write_bytes(whole)
    outcomes: Counter[str] = Counter()
    check(load_or_refuse(folder), path, outcomes)
    assert outcomes == {"loaded": 1}
    for number in range(150):
        path.write_bytes(MUTATIONS[number % 4](whole, rng))
        check(load_or_refuse(folder), path, outcomes)
        skipped = load_or_refuse(folder, skip_corrupt=True)
        assert isinstance(skipped, Table) or skipped.key == "images.other_size"
    assert outcomes["images.broken"] + outcomes["images.no_image"] >= 20, outcomes


@given(st.binary(max_size=40))
def test_any_bytes_are_an_array_or_a_clear_error(data: bytes) -> None:
    _parse(data)


@example([0, 110, 325308, 507516, 507870], b"")  # empty, and of sides that no array has
@given(st.lists(st.integers(0, 2**32 - 1), max_size=5), st.binary(max_size=30))
def test_any_header_is_an_array_or_a_clear_error(shape: list[int], data: bytes) -> None:
    """Dimensions that multiply to more than any file holds are compared, never allocated."""
    _parse(bytes((0, 0, 8, len(shape))) + b"".join(side.to_bytes(4, "big") for side in shape) + data)


def _parse(data: bytes) -> None:
    try:
        array = parse_idx(data, "x.idx")
    except DataError as error:
        check_sentence(str(error))
    else:
        assert idx(array) == data  # it is read as it would be written


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple), st.integers(0, 9))
def test_idx_is_read_as_it_was_written(shape: tuple[int, ...], seed: int) -> None:
    array = generator(seed, DATA).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(parse_idx(idx(array), "x.idx"), array)
