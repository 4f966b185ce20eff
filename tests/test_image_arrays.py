"""Images in memory: arrays and .npz files; on which scale they are; what checks find in them; images to predict."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from image_data import encoded, idx, image_folder, pictures
from test_image_files import kinds, refused

from wellfit.data import folds, holdout, inspect, inspect_split, load, prepare, read_images
from wellfit.errors import DataError
from wellfit.rng import DATA, generator

fingerprint = import_module("wellfit.data.prepare").fingerprint
X, Y = pictures(12), np.array(["cat", "dog"] * 6)


# --- shapes and scales -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "want", "found"),
    [
        ((6, 5), (1, 6, 5), []),
        ((6, 5, 1), (1, 6, 5), []),
        ((6, 5, 3), (3, 6, 5), []),
        ((3, 6, 5), (3, 6, 5), []),
        ((1, 6, 5), (1, 6, 5), []),
        ((3, 6, 3), (3, 6, 3), ["assumed_channels"]),
    ],
)
def test_the_axis_of_one_or_three_holds_the_channels(shape: tuple, want: tuple, found: list[str]) -> None:
    x = pictures(12, shape)
    table = load((x, Y))
    assert table.inputs.shape == (12, *want)
    assert kinds(table) == found
    last = shape != want and len(shape) == 3
    np.testing.assert_array_equal(table.inputs, np.moveaxis(x, 3, 1) if last else x.reshape(12, *want))


@pytest.mark.parametrize("kind", ["u1", "i8", "f8", "f4", "f2", "unit8", "unit4", "list"])
def test_bytes_in_any_spelling_become_bytes(kind: str) -> None:
    values = {"unit8": X / 255, "unit4": (X / 255).astype("f4"), "list": X.tolist()}
    table = load((values[kind] if kind in values else X.astype(kind), Y))
    assert (table.inputs.dtype, table.scale) == (np.uint8, "bytes")
    np.testing.assert_array_equal(table.inputs[:, 0], X)
    assert table.inputs.flags.c_contiguous
    assert table.inputs.flags.writeable


def test_fractions_are_read_as_bytes_are_and_other_numbers_taken_as_given() -> None:
    rng = generator(2, DATA)
    fractions = rng.random((12, 6, 5))
    table = load((fractions, Y))
    assert (table.inputs.dtype, table.scale, table.findings) == (np.float32, "bytes", ())
    np.testing.assert_allclose(table.inputs[:, 0], 2 * fractions - 1, atol=1e-7)
    other = rng.normal(size=(12, 6, 5))
    table = load((other, Y))
    assert (table.inputs.dtype, table.scale, kinds(table)) == (np.float32, "given", ["assumed_scale"])
    np.testing.assert_array_equal(table.inputs[:, 0], other.astype(np.float32))
    assert (load((X > 127, Y)).inputs[:, 0] == np.where(X > 127, 255, 0)).all()
    assert kinds(load((X // 16, Y))) == ["dim"]


def test_test_images_are_read_on_the_scale_of_the_training_images() -> None:
    rng = generator(3, DATA)
    fractions, other = rng.random((12, 6, 5)), rng.normal(size=(12, 6, 5))
    joint = load((X, Y), test=(fractions, Y))  # bytes and fractions are the same scale
    np.testing.assert_allclose(joint.inputs[:12, 0], X / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(joint.inputs[12:, 0], 2 * fractions - 1, atol=1e-6)
    given = load((other, Y), test=(fractions, Y))  # normalized numbers may lie between 0 and 1 by chance
    np.testing.assert_array_equal(given.inputs[12:, 0], fractions.astype(np.float32))
    refused((X, Y), "images.other_scale", test=(other, Y))


def test_arrays_that_are_no_images_are_refused() -> None:
    hole = X.astype(float)
    hole[7, 0, 0] = np.nan
    refused((hole, Y), "images.not_finite", "8")
    refused((pictures(12, (6, 5, 4)), Y), "images.channels", "(12, 6, 5, 4)")
    refused((X.astype(int) + 200, Y), "images.no_bytes", str(int(X.max()) + 200))
    refused((X.astype(int) - 300, Y), "images.no_bytes", str(int(X.min()) - 300))
    refused((X.astype(complex), Y), "images.not_numbers", "complex")
    refused((X[:0], Y[:0]), "data.empty_table")
    refused((X, Y[:7]), "data.lengths_differ", "12", "7")
    refused((X, Y), "images.no_folder", skip_corrupt=True)
    refused((X, np.arange(12)), "data.unknown_column", drop=["x"])


def test_npz(tmp_path: Path) -> None:
    codes = np.array([0, 1, 2] * 4)
    np.savez(tmp_path / "a.npz", X=X, y=codes, X_test=X[:3], y_test=codes[:3], classes=["u", "v", "w", "never"])
    table = load(tmp_path / "a.npz")
    assert (table.classes, table.test_rows.tolist(), table.name) == (("u", "v", "w"), [12, 13, 14], "a")
    assert table.target.tolist() == [*codes, *codes[:3]]
    np.savez(tmp_path / "b.npz", X=X, y=codes, classes=["u", "v"])
    refused(tmp_path / "b.npz", "images.code_without_name", "b.npz", "2")
    np.savez(tmp_path / "c.npz", X=X, y=codes)
    assert load(tmp_path / "c.npz", task="classification").classes == ("0", "1", "2")
    np.savez(tmp_path / "d.npz", X=X, y=np.linspace(0, 1, 12))
    assert load(tmp_path / "d.npz").task == "regression"


# --- what networks train on ------------------------------------------------------------------------------------------


def test_prepare_shares_the_images_or_flattens_them() -> None:
    table = load((X, Y))
    parts = folds(table, np.arange(12), folds=3, seed=0)
    plain, flat = prepare(table, parts), prepare(table, parts, flat=True)
    for fold, lying in zip(plain.folds, flat.folds, strict=True):
        assert fold.x is table.inputs
        assert lying.x is flat.folds[0].x
        assert lying.x.dtype == np.float64
        np.testing.assert_allclose(lying.x, (X.reshape(12, -1) / 255 - 0.5) / 0.5, atol=1e-15)  # mean and deviation 0.5
        np.testing.assert_array_equal(fold.y[:, 0], Y == "dog")
        assert (fold.inputs, lying.inputs) == ((1, 6, 5), 30)
    given = load((X - 300.5, Y))
    np.testing.assert_allclose(prepare(given, parts, flat=True).folds[0].x, X.reshape(12, -1) - 300.5)


def test_the_fingerprint_misses_nothing_of_the_images() -> None:
    table = load((X, Y))
    parts = folds(table, np.arange(12), folds=3, seed=0)
    seen = {fingerprint(table, parts), fingerprint(table, parts, flat=True)}
    one = table.inputs.copy()
    one[11, 0, 5, 4] ^= 1
    for inputs in (one, table.inputs.view(np.int8), table.inputs.reshape(12, 1, 5, 6), table.inputs[:, :, ::-1]):
        seen.add(fingerprint(replace(table, inputs=inputs), parts))
    assert len(seen) == 6
    assert fingerprint(replace(table, inputs=np.asfortranarray(table.inputs)), parts) == fingerprint(table, parts)
    assert prepare(table, parts).fingerprint == fingerprint(table, parts)


# --- checks ----------------------------------------------------------------------------------------------------------


def test_equal_images_conflicting_labels_and_constant_images_are_found() -> None:
    x = pictures(40)
    y = np.array(["a", "b"] * 20)
    assert inspect(load((x, y))) == ()
    x[3], x[7], x[10] = x[1], x[1], x[2]  # rows 1, 3 and 7 are "b"; 2 and 10 are "a"
    x[20], x[30] = 0, 9
    x[35] = x[2]  # "b" beside two "a"
    found = {finding.kind: finding.count for finding in inspect(load((x, y)))}
    assert found == {"duplicates": 4, "conflicts": 3, "constant_inputs": 2}
    table = load((x, y), test=(x[[1, 2, 5]] + np.array([0, 0, 1], np.uint8)[:, None, None], y[:3]))
    assert {f.kind: f.count for f in inspect(table)}["duplicates_across"] == 2
    split = holdout(load((x, y)), seed=0)
    stand_on_both = {bytes(v) for v in x[split.train]} & {bytes(v) for v in x[split.test]}
    count = sum(bytes(v) in stand_on_both for v in x[split.test])
    assert [f.count for f in inspect_split(load((x, y)), split)] == ([count] if count else [])


# --- images to predict -----------------------------------------------------------------------------------------------


def test_images_to_predict_come_from_anywhere(tmp_path: Path) -> None:
    want = X[:, None]
    folder = image_folder(tmp_path / "a", {"b": X[:7], "c": X[7:]})
    (tmp_path / "x-images.idx").write_bytes(idx(X))
    np.savez(tmp_path / "x.npz", X=X)
    np.savez(tmp_path / "xy.npz", X=X, y=np.arange(12) % 2)
    sources: list[object] = [folder, tmp_path / "x-images.idx", tmp_path / "x.npz", tmp_path / "xy.npz"]
    for source in (*sources, X, X[..., None], want, X.tolist(), X / 255, (X, Y)):
        np.testing.assert_array_equal(read_images(source, (1, 6, 5)), want)
    (tmp_path / "one.png").write_bytes(encoded(X[0]))
    for single in (tmp_path / "one.png", str(tmp_path / "one.png"), X[0], X[0][..., None], want[0]):
        np.testing.assert_array_equal(read_images(single, (1, 6, 5)), want[:1])
    assert read_images(folder, (3, 6, 5)).shape == (12, 3, 6, 5)  # grey images for a network of colour images
    assert read_images(folder, (1, 8, 9), resize=True).shape == (12, 1, 8, 9)
    near_zero = np.full((2, 1, 6, 5), 0.25)
    np.testing.assert_array_equal(read_images(near_zero, (1, 6, 5), "given"), near_zero)
    tokens = read_images(np.array([[3, 1, 2]]), (3,), "tokens")
    assert (tokens.tolist(), tokens.dtype) == ([[3, 1, 2]], np.int64)


def test_images_that_do_not_fit_the_network_are_named(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "a", {"b": X, "c": pictures(1, (6, 5, 3))})

    def said(source: object, shape: tuple[int, ...], **options: object) -> str:
        with pytest.raises(DataError) as caught:
            read_images(source, shape, **options)  # type: ignore[arg-type]
        return f"{caught.value.key}: {caught.value}"

    for word in ("model_size", "000.png", "6x5", "8x8"):
        assert word in said(folder, (1, 8, 8))
    for word in ("other_shape", "(3, 6, 5)"):
        assert word in said(folder, (1, 6, 5))
    assert "other_scale" in said(X - 300.0, (1, 6, 5))
    assert "other_scale" in said(folder / "b", (1, 6, 5), scale="given")
    assert "takes_no_images" in said(folder, (7,))
    assert "not_both" in said("iris", (1, 6, 5))
    (tmp_path / "none").mkdir()
    assert "no_images" in said(tmp_path / "none", (1, 6, 5))
    (tmp_path / "broken.png").write_bytes(encoded(X[0])[:40])
    assert "broken.png" in said(tmp_path / "broken.png", (1, 6, 5))
