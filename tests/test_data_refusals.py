"""Input that is no table: one clear line each, never a traceback, another exception or a leaked warning."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from fuzzing import check_sentence

from wellfit.data import load, read_features
from wellfit.errors import DataError


def refused(source: object, key: str, *words: str, **options: object) -> None:
    """Assert that a source is refused for this reason, in one line with these words."""
    with pytest.raises(DataError) as caught:
        load(source, **options)  # type: ignore[arg-type]
    check_sentence(str(caught.value))
    assert caught.value.key == f"data.{key}", str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


GOOD = "a,b,y\n1,2,u\n3,4,v\n5,6,u\n"
CSV = {
    "empty": ("", "empty_file", "t.csv is empty"),
    "only blank lines": (" \n\n \n", "empty_file"),
    "only a mark": ("\ufeff", "empty_file"),
    "only a header": ("a,b,y\n", "header_only", "no rows"),
    "header and blanks": ("a,b,y\n\n\n", "header_only"),
    "one column": ("y\n1\n0\n1\n", "one_column", "y", "separators"),
    "another separator": ("a|y\n1|u\n2|v\n3|u\n", "one_column", "separators"),
    "one row": ("a,b,y\n1,2,u\n", "one_row", "one row"),
    "a short line": ("a,b,y\n1,2,u\n3,v\n5,6,u\n", "ragged_less", "line 3", "2", "3"),
    "a long line": ("a,b,y\n1,2,u\n3,4,v\n5,6,7,u\n", "ragged_more", "line 4", "4", "3"),
    "a long line below a quoted line break": ('a,b,y\n1,"2\n2",u\n3,4,5,v\n', "ragged_more", "line 4"),
    "an open quote": ('a,b,y\n1,2,u\n3,"4,v\n5,6,u\n', "open_quote", "line 3"),
    "text after a quote": ('a,b,y\n1,2,u\n3,"4"x,v\n', "broken_line", "line 3"),
    "a huge field": ("a,b,y\n1,2,u\n3," + "x" * 200_000 + ",v\n", "huge_field", "line 3", "131,072"),
    "infinite": ("a,b,y\n1,2,u\n3,-inf,v\n5,6,u\n", "infinite", "line 3", "column b", "-inf"),
    "beyond the largest number": ("a,b,y\n1,2,u\n3,1e999,v\n5,6,u\n", "infinite", "line 3", "1e999"),
    "too large to square": ("a,b,y\n1,2,u\n3,4,v\n5,-1e200,u\n", "too_large", "line 4", "column b", "-1e200"),
    "all values missing": ("a,b,y\n,NA,u\n?,,v\n,-,u\n", "all_missing"),
    "no target values": ("a,b,y\n1,2,\n3,4,NA\n5,6,?\n", "no_target_values", "y"),
    "one class": ("a,b,y\n1,2,u\n3,4,u\n5,6,u\n", "one_class", "y", "u"),
    "one number": ("a,b,y\n1,2,7\n3,4,7\n5,6,7\n", "one_class", "7"),
    "a constant measurement": ("a,b,y\n1,2,1.5\n3,4,1.5\n5,6,1.5\n", "constant_target", "1.5"),
    "a nearly unique target": ("a,b,y\n1,2,A\n3,4,B\n5,6,C\n7,8,A\n", "too_many_classes", "3 classes", "4 rows"),
    "an infinite target": ("a,b,y\n1,2,0.5\n3,4,inf\n5,6,0.7\n", "infinite", "line 3", "column y"),
    "a target of dates": ("a,b,y\n1,2,2020-01-01\n3,4,2020-01-02\n5,6,2020-01-01\n", "date_target", "y"),
    "the target's name twice": ("a,y,y\n1,2,u\n3,4,v\n5,6,u\n", "target_twice", "y"),
    "a zero byte": ("a,b,y\n1,2,u\n3,\0,v\n", "zero_byte", "line 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV)
@pytest.mark.parametrize("packed", [False, True])
def test_text_that_is_no_table(tmp_path: Path, case: str, packed: bool) -> None:
    text, key, *words = CSV[case]
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    refused(path, key, *words, target=None if key in ("empty_file", "header_only", "one_column") else "y")


def test_missing_file_folder_and_odd_names(tmp_path: Path) -> None:
    refused(tmp_path / "none.csv", "missing_file", "none.csv", "football")
    refused(tmp_path / "none" / "t.csv", "missing_file")
    refused("fotball", "missing_file_near", "football")
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match="folder without data") as caught:
        load(tmp_path / "notes")
    assert caught.value.key == "images.no_images"
    refused("", "not_a_file")  # the empty path is no folder that anyone meant
    refused("bad\0name", "missing_file")
    refused("new\nline", "missing_file")
    refused("x" * 5000, "unreadable", "too long")
    (tmp_path / "file").write_text(GOOD)
    refused(tmp_path / "file" / "below", "missing_file")
    refused("~no-such-user-here/t.csv", "missing_file")


def test_a_misspelt_file_or_built_in_name_is_told_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "clean.csv").write_text(GOOD)
    (tmp_path / "oc.csv").write_text(GOOD)
    refused(tmp_path / "clean.cvs", "missing_file_beside", f"Did you mean {tmp_path / 'clean.csv'}?")
    refused(tmp_path / "Clen.csv", "missing_file_beside", "clean.csv?")
    refused(tmp_path / "nosuch.csv", "missing_file")  # endings alone make no names alike
    refused("futbol", "missing_file_near", "Did you mean the built-in data football?")
    refused(tmp_path / "clean.csv", "missing_test", "--test (test): There is no file", "nosuch", test="nosuch.csv")


LAST = {
    "constant": ("u", "The last, died, has the same value"),
    "constant number": ("3.5", "The last, died, has the same value"),
    "empty": ("", "The last, died, has no values"),
    "dates": ("2024-01-2{i}", "The last, died, holds dates"),
    "names": ("name {i}", "The last, died, has a text of its own"),
}


@pytest.mark.parametrize("case", LAST)
def test_why_the_last_column_is_no_target_is_said(tmp_path: Path, case: str) -> None:
    value, sentence = LAST[case]
    text = "a,b,died\n" + "".join(f"{i},{i * i},{value.format(i=i)}\n" for i in range(8))
    (tmp_path / "t.csv").write_text(text)
    refused(tmp_path / "t.csv", "which_target_last", sentence, "--target NAME")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not_a_file")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(GOOD)

    def denied(self: Path) -> bytes:  # an administrator may read any file, so the refusal is played
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    refused(path, "unreadable", "Permission denied")


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    whole = gzip.compress(("a,y\n" + "1,u\n2,v\n" * 500).encode())
    for data in (whole[: len(whole) // 2], whole[:-1], whole[:12], whole[:20] + b"\xff" * 20 + whole[40:]):
        path.write_bytes(data)
        refused(path, "broken_gzip", "t.csv.gz")


@pytest.mark.parametrize("name", ["t.csv", "t.npz", "t.mat", "t.parquet", "t", "t.csv.gz"])
def test_binary_junk(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 30, 300, 5000):
        path.write_bytes(rng.integers(0, 256, count, dtype=np.uint8).tobytes())
        with pytest.raises(DataError) as caught:
            load(path)
        check_sentence(str(caught.value))
    picture = b"\x89PNG\r\n\x1a\n" + bytes(range(1, 256)) * 4
    path.write_bytes(picture)
    key = "broken" if name.endswith(("npz", "mat", "parquet")) else "binary"
    refused(path, key, name)


class Harmful:
    """Writes a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path, mark = tmp_path / "t.npz", tmp_path / "mark"
    np.savez(path, X=np.array([[Harmful(mark)]], dtype=object), y=np.zeros(1))
    refused(path, "pickled", "run code")
    assert not mark.exists()


def test_archives_without_the_arrays(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, images=np.ones((3, 2)), labels=np.ones(3))
    refused(path, "no_x_y", "X and y", "images, labels")
    np.savez(path)
    refused(path, "no_x_y", "none")
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as sheet:
        sheet.writestr("xl/workbook.xml", "<x/>")
    refused(tmp_path / "t.xlsx", "archive", "save the table as CSV")
    scipy.io.savemat(tmp_path / "t.mat", {"X": np.ones((3, 2)), "labels": {"a": 1}})
    refused(tmp_path / "t.mat", "no_x_y", "It holds: X")
    (tmp_path / "t.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    refused(tmp_path / "t.mat", "mat_73", "-v7")


@pytest.mark.parametrize(
    ("x", "y", "key", "words"),
    [
        (np.ones((5, 2)), np.ones(4), "lengths_differ", ("5 rows", "4 values")),
        (np.ones((5, 2, 2, 2, 2)), np.arange(5), "not_two_dimensional", ("(5, 2, 2, 2, 2)", "reshape")),
        (np.ones((5, 2)), np.eye(5), "target_shape", ("(5, 5)",)),
        (np.ones((0, 2)), np.ones(0), "empty_table", ()),
        (np.ones((5, 0)), np.arange(5), "empty_table", ()),
        (np.ones((5, 2)) * 1j, np.arange(5), "unsupported_type", ("x1", "complex128")),
        ([[1, 2], [3]], [0, 1], "not_an_array", ()),
        ([[1, [2]], [3, 4]], [0, 1], "not_an_array", ()),
        (np.ones((5, 2)), 3, "not_a_source", ("int",)),
        (pd.DataFrame({"a": [1, 2], "y": [0, 1]}), pd.Series([0, 1], name="y"), "target_among_features", ("y",)),
    ],
)
def test_arrays_that_are_no_table(x: object, y: object, key: str, words: tuple[str, ...]) -> None:
    refused((x, y), key, *words)


@pytest.mark.parametrize(
    ("source", "key", "words"),
    [
        (None, "not_a_source", ("NoneType",)),
        (3.5, "not_a_source", ("float",)),
        (np.float64(3), "not_a_source", ()),
        ({}, "empty_table", ()),
        ([], "empty_table", ()),
        (pd.DataFrame(), "empty_table", ()),
        (pd.DataFrame({"a": [], "y": []}), "empty_table", ()),
        ({"a": [1, 2], "y": [0, 1, 0]}, "columns_differ", ("2, 3",)),
        ({"a": np.ones((2, 2)), "y": [0, 1]}, "column_shape", ("a", "(2, 2)")),
        (pd.DataFrame({"a": [[1], [2]], "y": [0, 1]}), "unsupported_type", ("a", "list")),
        (pd.DataFrame({"a": [1 + 2j, 3], "y": [0, 1]}), "unsupported_type", ("a", "complex")),
        (pd.DataFrame({"a": [1.0, np.inf, 2], "y": [0, 1, 0]}), "infinite", ("row 2 (counted from 1)", "column a")),
        (pd.DataFrame({"a": [1.0, 2, -1e160], "y": [0, 1, 0]}), "too_large", ("row 3",)),
        (pd.DataFrame({"a": [1, 2], "y": pd.to_datetime(["2020-01-01", "2021-01-01"])}), "date_target", ("y",)),
        (pd.DataFrame({"a": [1.0, 2], "y": [None, None]}), "no_target_values", ("y",)),
        (pd.DataFrame({"a": [None, None], "y": [0, 1]}), "all_missing", ()),
        (pd.DataFrame({"y": [0, 1]}), "one_column", ("y",)),
        (pd.DataFrame({"a": [1], "y": [0]}), "one_row", ()),
    ],
)
def test_values_that_are_no_table(source: object, key: str, words: tuple[str, ...]) -> None:
    refused(source, key, *words)


def test_names_given_and_a_stated_target(tmp_path: Path) -> None:
    x, y = np.ones((4, 2)), [0, 1, 0, 1]
    np.savez(tmp_path / "t.npz", X=x, y=y, names=["a", "b", "c"])
    refused(tmp_path / "t.npz", "names_count", "3 names", "2 columns")
    np.savez(tmp_path / "t.npz", X=x, y=y, names=["a", "y"])
    refused(tmp_path / "t.npz", "target_among_features", "y")
    refused((x, y), "target_stated", "x1", target="x1")
    assert load((x, y), target="Target").target_name == "target"
    refused("iris", "unknown_column", "flower", target="flower")
    refused({"a": [1, 2], "y": [0, 1]}, "no_features", target="y", drop=["a"])


def test_long_and_odd_text_in_messages_stays_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    name = '"' + "very\nlong " * 3000 + '"'
    path.write_text(f"{name},b,y\n1,2,u\n3,inf,v\n" + "5,6,u\n")
    refused(path, "infinite", "line", target="y")
    path.write_text(f"{name},b,y\n1,2,u\n\x1binf,4,v\n")
    refused(path, "unknown_column", "very long very", target="zzz")
    path.write_text(",".join(f"c{i}" for i in range(3000)) + "\n" + ",".join("1" * 3000) + "\n" + ",".join("2" * 3000))
    refused(path, "unknown_column", "and 2990 more", target="zzz")
    refused({"{a}": [1.0, np.inf], "y": [0, 1]}, "infinite", "column {a}")


def test_prediction_tables_are_refused_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for text, key in [
        ("", "empty_file"),
        ("a\n", "header_only"),
        ("b\n1\n", "lacking_columns"),
        ("a\nx\n", "not_numeric"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError) as caught:
            read_features(path, {"a": "numeric"})
        assert caught.value.key == f"data.{key}"
    path.write_text("a\n1\n")  # one column and one row are enough here
    assert read_features(path, {"a": "numeric"})["a"].tolist() == [1.0]


def test_no_warning_is_leaked_in_a_fresh_process(tmp_path: Path) -> None:
    path = tmp_path / "t.mat"
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"X": np.ones((9, 2)), "y": np.arange(9)})
    path.write_bytes(stream.getvalue()[:-9])
    code = (
        "import sys; from wellfit.data import load; from wellfit.errors import DataError\n"
        "try: load(sys.argv[1])\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
