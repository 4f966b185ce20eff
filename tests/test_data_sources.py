"""Every format of `wellfit.data.load` against pandas, and what it makes of columns, targets and real files."""

from __future__ import annotations

import csv
import datetime as dt
import doctest
import gzip
import importlib
import io
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from fuzzing import check_table, kinds_found, mixed_frame, written

import wellfit.data
from wellfit.data import load
from wellfit.records import Table
from wellfit.rng import DATA, generator

MODULES = (
    "raw", "dates", "infer", "csv_files", "mat_files", "frames", "array_files", "builtin", "target", "files", "sources",
    "contents", "downloads", "idx_files", "image_files", "image_folders", "pixels",
)  # fmt: skip


def assert_same(table: Table, expected: pd.DataFrame, target: str = "outcome") -> None:
    """Hold a table against the DataFrame it was written from, in pandas' own terms."""
    check_table(table)
    kinds = {"x": "numeric", "count": "numeric", "tiny": "numeric", "word": "categorical"}
    kinds |= {"flag": "boolean", "day": "date"}
    assert dict(table.kinds) == {name: kinds[name] for name in expected.columns if name != target}
    for name, kind in table.kinds.items():
        if kind == "categorical":
            want = np.array([None if pd.isna(v) else v for v in expected[name]], dtype=object)
            np.testing.assert_array_equal(table.columns[name], want)
        elif kind == "date":
            days = (expected[name] - pd.Timestamp(0)) / pd.Timedelta(days=1)
            np.testing.assert_allclose(table.columns[name], days.to_numpy(), rtol=0, atol=1e-9)
        else:
            np.testing.assert_array_equal(table.columns[name], expected[name].to_numpy(dtype=np.float64))
    assert table.classes == ("ill", "well")
    np.testing.assert_array_equal(table.target, (expected[target] == "well").to_numpy(dtype=np.int64))


# --- text tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_csv_as_pandas_writes_it(tmp_path: Path, separator: str, quoting: int, ends: str) -> None:
    path = tmp_path / "t.csv"
    mixed_frame().to_csv(path, index=False, sep=separator, quoting=quoting, lineterminator=ends)
    assert_same(load(path, target="outcome"), mixed_frame())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = mixed_frame().to_csv(index=False)
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding.endswith("bom") else text.encode(encoding)
    table = load(written(tmp_path, data), target="outcome")
    assert_same(table, mixed_frame())
    assert ("encoding" in kinds_found(table)) == (encoding == "cp1252")


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv", "t"])
def test_gzip_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    table = load(written(tmp_path, gzip.compress(mixed_frame().to_csv(index=False).encode()), name), target="outcome")
    assert_same(table, mixed_frame())
    assert table.name == "t"


def test_decimal_commas(tmp_path: Path) -> None:
    made = mixed_frame()[["x", "tiny", "count", "outcome"]]
    path = tmp_path / "t.csv"
    made.to_csv(path, index=False, sep=";", decimal=",", na_rep="NA")
    assert_same(load(path), made)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,5", "2", "-3,25"], [1.5, 2.0, -3.25]),  # decimal commas, also between commas when quoted
        (["1,234", "12,345.5", "7"], [1234.0, 12345.5, 7.0]),  # thousands
        (["1.234,5", "2,5", "1.000"], [1234.5, 2.5, 1000.0]),
        (["1e3", "+5", ".5", "5."], [1000.0, 5.0, 0.5, 5.0]),
    ],
)
def test_styles_of_numbers(tmp_path: Path, cells: list[str], expected: list[float]) -> None:
    lines = "\n".join(f'"{cell}",{i % 2}' for i, cell in enumerate(cells))
    table = load(written(tmp_path, f"a,y\n{lines}\n"))
    assert table.kinds["a"] == "numeric"
    np.testing.assert_array_equal(table.columns["a"], expected)


def test_between_semicolons_a_comma_is_decimal(tmp_path: Path) -> None:
    table = load(written(tmp_path, "a;y\n1,234;u\n12,345;v\n7;u\n"))
    np.testing.assert_array_equal(table.columns["a"], [1.234, 12.345, 7.0])


def test_blank_lines_old_mac_ends_and_a_missing_last_end(tmp_path: Path) -> None:
    for text in ("a,y\n\n1,u\n\n2,v\n\n", "a,y\r1,u\r2,v", "a,y\n1,u\n2,v"):
        table = load(written(tmp_path, text))
        assert (table.columns["a"].tolist(), table.classes) == ([1.0, 2.0], ("u", "v"))


def test_spaces_around_cells_and_names_do_not_count(tmp_path: Path) -> None:
    table = load(written(tmp_path, ' a , colour, y\n1 , red,yes\n 2,"red ",no\n3,blue,no\n4 ,red  ,yes\n'))
    assert list(table.columns) == ["a", "colour"]
    assert table.columns["colour"].tolist() == ["red", "red", "blue", "red"]
    assert table.columns["a"].tolist() == [1, 2, 3, 4]


def test_first_line_of_data(tmp_path: Path) -> None:
    table = load(written(tmp_path, "5.1,3.5,0\n4.9,3.0,0\n6.1,2.8,1\n7.0,3.2,1\n"))
    assert table.rows == 4
    assert list(table.columns) == ["column_1", "column_2"]
    assert "no_header" in kinds_found(table)
    counted = load(written(tmp_path, "0,1,2\n4.9,3.0,0\n6.1,2.8,1\n"))  # as DataFrame.to_csv writes nameless columns
    assert (counted.rows, list(counted.columns)) == (2, ["0", "1"])


def test_duplicate_and_empty_names(tmp_path: Path) -> None:
    table = load(written(tmp_path, "a,a,,a_2,y\n1,2,3,4,u\n5,6,7,8,v\n"))
    assert list(table.columns) == ["a", "a_3", "unnamed_3", "a_2"]
    assert [table.columns[name][0] for name in table.columns] == [1, 2, 3, 4]
    assert {"duplicate_names", "unnamed_columns"} <= kinds_found(table)


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    x = generator(2, DATA).normal(size=500) * 10.0 ** generator(3, DATA).integers(-30, 30, 500)
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": x, "y": np.arange(500) % 2}).to_csv(path, index=False)
    np.testing.assert_array_equal(load(path).columns["x"], x)


# --- binary files --------------------------------------------------------------------------------------------------


def test_npz(tmp_path: Path) -> None:
    rng = generator(4, DATA)
    x, y = rng.normal(size=(30, 3)), rng.integers(0, 3, 30)
    path = tmp_path / "t.npz"
    np.savez_compressed(path, X=x, y=y)
    table = load(path)
    check_table(table)
    assert (table.rows, table.task, table.test_rows, table.target_name) == (30, "multiclass", None, "y")
    np.testing.assert_array_equal(np.column_stack(list(table.columns.values())), x)
    np.testing.assert_array_equal(table.target, y)
    np.savez(path, X=x, y=y, X_test=x[:7] + 1, y_test=y[:7], names=["a", "b", "c"])
    table = load(path)
    assert list(table.columns) == ["a", "b", "c"]
    np.testing.assert_array_equal(table.test_rows, np.arange(30, 37))
    np.testing.assert_array_equal(table.columns["b"][table.test_rows], x[:7, 1] + 1)
    np.savez(path, X=x, y=y, Xval=x[:4], yval=y[:4])
    assert len(load(path).test_rows) == 4
    np.savez(path, X=x, y=y, Xval=x[:4], yval=y[:4], Xtest=x[:9], ytest=y[:9])
    both = load(path)
    assert len(both.test_rows) == 9
    assert "unused_validation" in kinds_found(both)


def test_mat_against_scipy(tmp_path: Path) -> None:
    rng = generator(5, DATA)
    path = tmp_path / "t.mat"
    x = rng.normal(size=(40, 2))
    y = rng.integers(0, 2, (40, 1)).astype(np.uint8)
    for packed in (False, True):
        scipy.io.savemat(path, {"X": x, "y": y, "Xval": x[:9], "yval": y[:9]}, do_compression=packed)
        table = load(path)
        check_table(table)
        assert (table.rows, table.task, table.classes) == (49, "binary", ("0", "1"))
        np.testing.assert_array_equal(table.columns["x2"][:40], x[:, 1])
        np.testing.assert_array_equal(table.target[:40], y.ravel())


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "?", "str", "small"])
def test_mat_arrays_of_every_type(kind: str) -> None:
    from wellfit.data.mat_files import read_arrays

    rng = generator(6, DATA)
    value = (
        np.array(["red", "green"])
        if kind == "str"
        else rng.integers(0, 100, (5, 3)).astype(kind.replace("small", "u1"))
    )
    value = value[:1] if kind == "small" else value
    for packed in (False, True):
        stream = io.BytesIO()
        content = {"value": value, "list": np.array([1, "x"], dtype=object), "struct": {"a": 1}, "z": np.array([[1j]])}
        scipy.io.savemat(stream, content | {"sparse": scipy.sparse.eye(3).tocsc()}, do_compression=packed)
        ours, theirs = read_arrays(stream.getvalue()), scipy.io.loadmat(io.BytesIO(stream.getvalue()))
        assert list(ours) == ["value"]
        want = np.char.rstrip(theirs["value"]) if kind == "str" else theirs["value"]
        np.testing.assert_array_equal(ours["value"], want)


def test_football_file_of_the_course(data_folder: Path) -> None:
    path = data_folder / "football" / "data.mat"
    table, want = load(path), scipy.io.loadmat(path)
    assert (table.rows, table.task, len(table.test_rows), list(table.columns)) == (411, "binary", 200, ["x1", "x2"])
    x = np.column_stack(list(table.columns.values()))
    np.testing.assert_array_equal(x, np.vstack([want["X"], want["Xval"]]))
    np.testing.assert_array_equal(table.target, np.vstack([want["y"], want["yval"]]).ravel())


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    mixed_frame().to_parquet(path)
    assert_same(load(path, target="outcome"), mixed_frame())
    made = mixed_frame().set_index("word")
    made.to_parquet(path)
    assert "word" in load(path, target="outcome").columns


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    mixed_frame().to_parquet(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"wellfit\[parquet\]"):
        load(path)


# --- in memory -----------------------------------------------------------------------------------------------------


def test_dataframe() -> None:
    assert_same(load(mixed_frame(), target="outcome"), mixed_frame())
    text = mixed_frame().astype({"word": "category", "outcome": "category"})
    assert_same(load(text, target="outcome"), mixed_frame())
    assert_same(load(mixed_frame().convert_dtypes(), target="outcome"), mixed_frame())


def test_dataframe_types() -> None:
    made = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3, 4], dtype="Int64"),
            "flag": pd.array([True, None, False, True], dtype="boolean"),
            "object_flag": np.array([True, None, False, True], dtype=object),
            "mixed": np.array([1, None, 2.5, 4], dtype=object),
            "zone": pd.to_datetime(["2020-01-01 12:00", None, "2020-01-02 00:00", "2020-01-03 00:00"]).tz_localize(
                "Etc/GMT-2"
            ),
            "dates": np.array([dt.date(1970, 1, 2), None] * 2, dtype=object),
            "span": pd.to_timedelta([1, 2, None, 4], unit="D"),
            "level": pd.Categorical([3, 1, None, 3], categories=[5, 3, 1]),
            "y": [0, 1, 0, 1],
        }
    )
    table = load(made)
    check_table(table)
    nan = np.nan
    expected = {
        "whole": ("numeric", [1, nan, 3, 4]),
        "flag": ("boolean", [1, nan, 0, 1]),
        "object_flag": ("boolean", [1, nan, 0, 1]),
        "mixed": ("numeric", [1, nan, 2.5, 4]),
        "zone": ("date", [18262 + 10 / 24, nan, 18263 - 2 / 24, 18264 - 2 / 24]),
        "dates": ("date", [1, nan, 1, nan]),
        "span": ("numeric", [1, 2, nan, 4]),
    }
    for name, (kind, values) in expected.items():
        assert table.kinds[name] == kind, name
        np.testing.assert_allclose(table.columns[name], values, rtol=1e-12, err_msg=name)
    assert table.kinds["level"] == "categorical"
    assert table.columns["level"].tolist() == ["3", "1", None, "3"]


def test_stated_categories_keep_their_order_as_classes() -> None:
    grade = pd.Categorical(["low", "high", "low", "high"], categories=["low", "middle", "high"])
    table = load(pd.DataFrame({"x": [1.0, 2, 3, 4], "grade": grade}), target="grade")
    assert table.classes == ("low", "high")
    assert table.target.tolist() == [0, 1, 0, 1]


def test_arrays_and_pairs() -> None:
    rng = generator(7, DATA)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    table = load((x, y))
    assert (list(table.columns), table.target_name, table.task) == (["x1", "x2"], "target", "regression")
    np.testing.assert_array_equal(table.target, y)
    named = load((pd.DataFrame(x, columns=["a", "b"]), pd.Series(y, name="price", index=range(5, 25))))
    assert (list(named.columns), named.target_name) == (["a", "b"], "price")
    for target in (y[:, None], list(y), pd.DataFrame({"price": y})):
        np.testing.assert_array_equal(load((x.tolist(), target)).target, y)
    np.testing.assert_array_equal(load((scipy.sparse.csr_matrix(x), y)).columns["x2"], x[:, 1])
    masked = np.ma.masked_greater(x, 1.0)
    np.testing.assert_array_equal(np.isnan(load((masked, y)).columns["x1"]), x[:, 0] > 1.0)
    tested = load((x, y), test=(x[:5], y[:5]))
    np.testing.assert_array_equal(tested.test_rows, np.arange(20, 25))
    whole = load(np.column_stack([x, y]))
    assert (whole.target_name, whole.task) == ("x3", "regression")
    words = load((np.array([["a", 1], ["b", 2], ["a", 3]], dtype=object), ["u", "v", "u"]))
    assert list(words.kinds.values()) == ["categorical", "numeric"]
    records = np.array([(1.5, "a", 0), (2.5, "b", 1)], dtype=[("size", "f8"), ("kind", "U1"), ("y", "i8")])
    assert list(load(records).columns) == ["size", "kind"]


# --- the room itself -----------------------------------------------------------------------------------------------


def test_import_is_cheap() -> None:
    heavy = ("pandas", "sklearn", "scipy", "numba", "matplotlib", "torch", "pyarrow", "PIL", "pooch")
    use = "wellfit.data.load({'x': [1, 2], 'y': [0, 1]})"
    code = f"import sys, wellfit.data; {use}; assert not set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"wellfit.data.{module}")).failed == 0


def test_every_sentence_is_in_the_catalogue_and_used() -> None:
    folder = Path(wellfit.data.__file__).parent
    catalogue = tomllib.loads((folder.parent / "messages" / "en" / "data.toml").read_text())
    source = "".join((folder / f"{module}.py").read_text() for module in MODULES)
    used = set(re.findall(r'"data\.(\w+)"', source)) | {"not_numeric", "not_boolean", "not_date"}
    assert used == set(catalogue)
