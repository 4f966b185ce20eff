"""What `wellfit.data.load` makes of columns, targets, groups, times and test rows; reading for prediction."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fuzzing import check_table, kinds_found, mixed_frame, written

from wellfit.data import load, read_features
from wellfit.data.dates import parse_dates
from wellfit.errors import DataError
from wellfit.rng import DATA, generator

# --- kinds of columns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "nan", "NaN", "NULL", "?", "-", "None"])
def test_missing_markers_among_numbers(tmp_path: Path, marker: str) -> None:
    table = load(written(tmp_path, f"a,b,y\n1,x,u\n{marker},x,v\n3,{marker},u\n"))
    assert table.kinds["a"] == "numeric"
    np.testing.assert_array_equal(table.columns["a"], [1, np.nan, 3])
    # Among categories these two may be categories: a class may be called "-" or "None".
    assert table.columns["b"][2] == (marker if marker in ("-", "None") else None)


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        ("true false TRUE False", "boolean", [1, 0, 1, 0]),
        ("yes no yes no", "categorical", ["yes", "no", "yes", "no"]),
        ("1 0 1 0", "numeric", [1, 0, 1, 0]),
        ("1970-01-02 1969-12-31 NA 2000-02-29", "date", [1, -1, np.nan, 11016]),
        ("1970-01-02T06:00:00Z 1970-01-01T12:00 1970-01-01 1970-01-01T00:00:00+02:00", "date", [1.25, 0.5, 0, -1 / 12]),
        ("02.01.1970 31.12.1969 01.02.1970 -", "date", [1, -1, 31, np.nan]),
        ("1/2/1970 12/31/1969 2/1/1970 1/1/1970", "date", [1, -1, 31, 0]),
        ("2/1/1970 31/12/1969 1/2/1970 1/1/1970", "date", [1, -1, 31, 0]),
        ("1970/01/02 1969/12/31 1970/1/1 1970/1/3", "date", [1, -1, 0, 2]),
        ("2-Jan-1970 31-Dec-1969 1-feb-1970 1-January-1970", "date", [1, -1, 31, 0]),
        ("1970-13-01 1970-01-02 1970-01-03 1970-01-04", "categorical", None),  # no such month
        ("30/2/1970 1/2/1970 1/2/1970 1/2/1970", "categorical", None),  # no such day
        ("1.2.3 1.2.4 1.3.0 2.0.0", "categorical", None),
        ("1_000 1 2 3", "categorical", None),
        ("nAn 1 2 3", "categorical", None),  # a spelling that no program writes for a missing number
        ("A1 B2 C3 1", "categorical", ["A1", "B2", "C3", "1"]),
        ("1.0 2.0 x 3", "categorical", ["1", "2", "x", "3"]),
    ],
)
def test_inferred_kinds(tmp_path: Path, cells: str, kind: str, values: list | None) -> None:
    lines = "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(cells.split()))
    table = load(written(tmp_path, "a,y\n" + lines))
    assert table.kinds["a"] == kind
    if values is None:
        assert table.columns["a"].tolist() == cells.split()
    elif kind == "categorical":
        assert table.columns["a"].tolist() == values
    else:
        np.testing.assert_allclose(table.columns["a"], values, rtol=1e-12)


def test_dates_against_the_standard_library() -> None:
    rng = generator(8, DATA)
    for spelling in ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%d %b %Y", "%B %d, %Y", "%Y/%m/%d %I:%M %p", "%d-%b-%Y"):
        moments = [dt.datetime(1970, 1, 1) + dt.timedelta(seconds=int(s)) for s in rng.integers(-2e9, 4e9, 200)]
        words = [moment.strftime(spelling) for moment in moments]
        got = parse_dates(words)
        assert got is not None, spelling
        epoch = dt.datetime(1970, 1, 1)
        want = [(dt.datetime.strptime(w, spelling) - epoch) / dt.timedelta(days=1) for w in words]
        np.testing.assert_allclose(got.days, want, rtol=0, atol=1e-9)


def test_dates_that_can_be_read_both_ways(tmp_path: Path) -> None:
    table = load(written(tmp_path, "day,y\n3/4/2020,u\n5/6/2020,v\n"))
    assert "assumed_date_order" in kinds_found(table)
    assert table.columns["day"][0] == (dt.date(2020, 3, 4) - dt.date(1970, 1, 1)).days
    # A prediction table alone does not prove the order that the training table had.
    with pytest.raises(DataError, match="2020-01-31"):
        read_features({"day": ["3/4/2020"]}, {"day": "date"})
    assert len(read_features({"day": ["13/4/2020"]}, {"day": "date"})["day"]) == 1
    # Test rows are read in the order that the training rows prove.
    tested = load({"day": ["13/4/2020", "5/6/2020"], "y": [0, 1]}, test={"day": ["3/4/2020"], "y": [0]})
    assert tested.columns["day"][2] == (dt.date(2020, 4, 3) - dt.date(1970, 1, 1)).days


def test_overrides(tmp_path: Path) -> None:
    path = written(tmp_path, "zip,size,y\n01234,1,u\n01234,2,v\n99999,x,u\n")
    table = load(path, categorical=["ZIP"])
    assert table.columns["zip"].tolist() == ["01234", "01234", "99999"]
    with pytest.raises(DataError, match=r"line 4, column size: x is not a number"):
        load(path, numeric="size")
    with pytest.raises(DataError, match="both categorical and numeric"):
        load(path, numeric="size", categorical="size")
    floats = load(pd.DataFrame({"a": [1.0, 2.5, np.nan, 1.0], "y": [0, 1, 0, 1]}), categorical=["a"])
    assert floats.columns["a"].tolist() == ["1", "2.5", None, "1"]
    values = {"flag": [True, False], "day": pd.to_datetime(["2020-01-31", "1970-01-01"]), "y": [0, 1]}
    words = load(pd.DataFrame(values), categorical=["flag", "day"])  # as a text file would hold them
    assert words.columns["flag"].tolist() == ["True", "False"]
    assert words.columns["day"].tolist() == ["2020-01-31", "1970-01-01"]
    codes = load(pd.DataFrame({"a": range(8), "grade": [1, 5, 9, 5] * 2}), target="grade", categorical=["grade"])
    assert (codes.task, codes.classes) == ("multiclass", ("1", "5", "9"))


def test_one_odd_word_in_a_column_of_numbers_is_reported(tmp_path: Path) -> None:
    lines = [f"{i},{i % 2}" for i in range(60)]
    lines[40] = "4O,0"
    table = load(written(tmp_path, "a,y\n" + "\n".join(lines)))
    (found,) = [f for f in table.findings if f.kind == "mostly_numeric"]
    assert found.columns == ("a",)
    assert "line 42: 4O" in found.text


def test_empty_columns_are_dropped_and_reported(tmp_path: Path) -> None:
    table = load(written(tmp_path, "a,b,c,y\n1,,-,u\n2,NA,None,v\n3,?,-,u\n"), categorical=["b"])
    assert list(table.columns) == ["a"]
    (found,) = [f for f in table.findings if f.kind == "all_missing"]
    assert (found.columns, found.count) == (("b", "c"), 2)


# --- the target ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected", "words"),
    [
        ("a,b,c", "c", ("--target",)),
        ("a,Target,c", "Target", ("--target",)),
        ("y,b,class", "y", ()),
        ("a,LABEL,c", "LABEL", ()),
    ],
)
def test_assumed_target(tmp_path: Path, header: str, expected: str, words: tuple[str, ...]) -> None:
    rows = "".join(f"{i % 2},{i % 2},{i % 2}\n" for i in range(6))
    table = load(written(tmp_path, f"{header}\n{rows}"))
    assert table.target_name == expected
    (found,) = [f for f in table.findings if f.kind == "assumed_target"]
    assert expected in found.text
    assert all(word in found.text for word in words)
    assert "assumed_target" not in kinds_found(load(tmp_path / "t.csv", target=expected.upper()))


def test_a_last_column_of_distinct_numbers_is_a_target(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * 1.25 + 0.5}\n" for i in range(9))
    table = load(written(tmp_path, f"size,price\n{rows}"))
    assert (table.target_name, table.task) == ("price", "regression")


@pytest.mark.parametrize("last", ["2020-01-0{i}", "name {i}", "same"])
def test_where_no_column_is_a_plausible_target_it_is_asked_for(tmp_path: Path, last: str) -> None:
    rows = "".join(f"{i},{i % 2},{last.format(i=i)}\n" for i in range(1, 8))
    with pytest.raises(DataError, match=r"--target NAME.*Columns: size, ill, note"):
        load(written(tmp_path, f"size,ill,note\n{rows}"))
    assert load(tmp_path / "t.csv", target="ill").task == "binary"


def test_unknown_names_are_refused_with_near_ones(tmp_path: Path) -> None:
    path = written(tmp_path, "age,income,died\n1,2,0\n3,4,1\n5,6,0\n")
    for option in ("target", "group", "time"):
        with pytest.raises(DataError, match=rf"{option}: there is no column incme\. Did you mean income\?"):
            load(path, **{option: "incme"})
    for option in ("drop", "categorical", "numeric"):
        with pytest.raises(DataError, match=rf"{option}: there is no column dyed\. Did you mean died\?"):
            load(path, **{option: ["age", "dyed"]})
    with pytest.raises(DataError, match=r"there is no column zzz\. Columns: age, income, died"):
        load(path, target="zzz")
    two = {"Age": [1, 2], "age": [3, 4], "y": [0, 1]}
    with pytest.raises(DataError, match="Did you mean Age, age"):
        load(two, target="AGE")


@pytest.mark.parametrize(
    ("values", "task", "classes", "noted"),
    [
        (["b", "a"] * 10, "binary", ("a", "b"), False),
        (["+", "-"] * 10, "binary", ("+", "-"), False),
        (["None", "some"] * 10, "binary", ("None", "some"), False),
        ([True, False] * 10, "binary", ("False", "True"), False),
        ([0, 1] * 10, "binary", ("0", "1"), False),
        ([1.0, 2.0] * 10, "binary", ("1", "2"), False),
        ([-1, 1] * 10, "binary", ("-1", "1"), False),
        ([7, 100] * 10, "binary", ("7", "100"), False),
        (["a", "b", "c", "a"] * 5, "multiclass", ("a", "b", "c"), False),
        (list(range(10)) * 6, "multiclass", tuple("0123456789"), True),
        ([10, 9, *range(1, 9)] * 6, "multiclass", (*"123456789", "10"), True),
        ([1, 2, 3, 5, 6, 7] * 6, "multiclass", ("1", "2", "3", "5", "6", "7"), True),  # a code that does not occur
        ([-1, 0, 1] * 6, "multiclass", ("-1", "0", "1"), True),
        ([3, 4, 5, 6, 7, 8, 9] * 9, "regression", (), True),  # a scale
        (list(range(10)) * 2, "regression", (), True),  # too few rows for so many codes
        (list(range(21)) * 10, "regression", (), False),
        ([0, 10, 20] * 10, "regression", (), True),
        ([0.5, 1.5] * 10, "regression", (), False),
        (["1,5", "2,5"] * 10, "regression", (), False),
    ],
)
def test_inferred_task(values: list, task: str, classes: tuple[str, ...], noted: bool) -> None:
    table = load({"x": np.arange(len(values)), "y": values})
    check_table(table)
    assert (table.task, table.classes) == (task, classes)
    if classes:
        assert [table.classes[code] for code in table.target[:4]] == [
            str(int(v)) if isinstance(v, float) else str(v) for v in values[:4]
        ]
    assert ("assumed_task" in kinds_found(table)) == noted


def test_stated_task() -> None:
    x = np.arange(20)
    assert load({"x": x, "y": x % 4}, task="regression").task == "regression"
    assert load({"x": x, "y": 3 + x % 4}, task="multiclass").classes == ("3", "4", "5", "6")
    assert load({"x": x, "y": x % 2}, task="regression").task == "regression"
    assert load({"x": x, "y": x % 2 + 0.5}, task="classification").classes == ("0.5", "1.5")  # type: ignore[arg-type]
    for y, task, words in [
        (x % 4, "binary", "4 classes: the task is multiclass"),
        (x % 2, "multiclass", "2 classes: the task is binary"),
        (["u", "v"] * 10, "regression", "u is not a number"),
        (x % 2, "ranking", "Known: binary, multiclass, regression"),
        (x, "multiclass", "20 classes in 20 rows"),
    ]:
        with pytest.raises(DataError, match=words):
            load({"x": x, "y": y}, task=task)  # type: ignore[arg-type]


def test_rows_without_a_target_are_dropped_and_reported(tmp_path: Path) -> None:
    table = load(written(tmp_path, "a,y\n1,u\n2,\n3,v\n4,NA\ninf,?\n5,u\n"), target="y")
    assert table.columns["a"].tolist() == [1, 3, 5]
    (found,) = [f for f in table.findings if f.kind == "missing_target"]
    assert (found.columns, found.count) == (("y",), 3)
    with pytest.raises(DataError, match="line 7, column a"):  # lines are the file's, whatever was dropped
        load(written(tmp_path, "a,y\n1,u\n2,\n3,v\n4,NA\n6,u\ninf,u\n"))
    with pytest.raises(DataError, match=r"row 3 \(counted from 1\), column a"):
        load({"a": [1.0, 2.0, np.inf], "y": [None, "u", "v"]})


def test_rare_classes() -> None:
    table = load({"x": range(9), "y": ["a"] * 4 + ["b"] * 3 + ["c"] * 2})
    assert "rare_class" not in kinds_found(table)
    table = load({"x": range(9), "y": ["a"] * 4 + ["b"] * 4 + ["c"]})
    assert (table.rows, table.classes) == (9, ("a", "b", "c"))
    (found,) = [f for f in table.findings if f.kind == "rare_class"]
    assert "c" in found.text


# --- groups, times, test rows, prediction --------------------------------------------------------------------------


def test_drop_group_and_time_are_no_features(tmp_path: Path) -> None:
    text = "id,who,when,x,y\n1,ann,2020-01-01,1.5,0\n2,bob,2020-01-03,2.5,1\n3,ann,2020-01-02,3.5,0\n"
    table = load(written(tmp_path, text), drop=["ID"], group="who", time="when", target="y")
    assert list(table.columns) == ["x"]
    assert table.groups.tolist() == [0, 1, 0]
    assert np.diff(table.times).tolist() == [2, -1]
    extra = written(tmp_path, "who,y,x,when\nbob,1,9,2020-01-09\neve,0,8,2020-01-08\n", "more.csv")
    both = load(tmp_path / "t.csv", drop=["id"], group="who", time="when", target="y", test=extra)
    assert both.groups.tolist() == [0, 1, 0, 1, 2]
    assert both.times[3] - both.times[0] == 8
    with pytest.raises(DataError, match="target, so it cannot be dropped"):
        load(tmp_path / "t.csv", target="y", drop=["y"])
    with pytest.raises(DataError, match="time column who must hold numbers or dates"):
        load(tmp_path / "t.csv", target="y", time="who")
    for option in ("group", "time"):
        with pytest.raises(DataError, match=f"line 3: the {option} column a is empty"):
            load(written(tmp_path, "a,x,y\n1,1,0\nNA,2,1\n3,3,0\n", "gap.csv"), **{option: "a"})


def test_test_rows_are_matched_by_name_and_read_like_the_training_rows(tmp_path: Path) -> None:
    train = written(tmp_path, "a,code,flag,y\n1,7,true,no\n2,x,false,yes\n3,7,true,no\n")
    test = written(tmp_path, "extra;y;flag;code;a\n0;yes;1;7;1,5\n0;no;NA;8;2\n0;;no;9;3\n", "test.csv")
    table = load(train, test=test, target="y")
    check_table(table)
    assert table.test_rows.tolist() == [3, 4]
    np.testing.assert_array_equal(table.columns["a"], [1, 2, 3, 1.5, 2])
    assert table.columns["code"].tolist() == ["7", "x", "7", "7", "8"]
    np.testing.assert_array_equal(table.columns["flag"], [1, 0, 1, 1, np.nan])
    assert table.target.tolist() == [0, 1, 0, 1, 0]
    assert [f.count for f in table.findings if f.kind == "missing_target"] == [1]
    for text, words in [
        ("a,code,y\n1,7,no\n", "lacks these columns: flag"),
        ("a,code,flag\n1,7,true\n", "lacks these columns: y"),
        ("a,code,flag,y\n1,7,true,maybe\n", "line 2: the target maybe is none of the classes"),
        ("a,code,flag,y\n1,7,true,no\nsmall,7,true,no\n", "line 3, column a: small is not a number"),
        ("a,code,flag,y\n1,7,perhaps,no\n", "column flag: perhaps is neither true nor false"),
    ]:
        with pytest.raises(DataError, match=words):
            load(train, test=written(tmp_path, text, "test.csv"), target="y")


def test_numeric_classes_meet_across_sources() -> None:
    train = {"x": [1, 2, 3, 4], "y": ["1.0", "2", "1", "2.0"]}
    table = load(train, test=pd.DataFrame({"x": [5.0, 6.0], "y": [2.0, 1.0]}))
    assert table.classes == ("1", "2")
    assert table.target.tolist() == [0, 1, 0, 1, 1, 0]


def test_read_features_reads_like_load(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    mixed_frame().to_csv(path, index=False)
    table = load(path, target="outcome")
    for source in (
        path,
        mixed_frame(),
        mixed_frame()[list(reversed(mixed_frame().columns))],
        dict(mixed_frame().items()),
        table.columns,
    ):
        got = read_features(source, table.kinds)
        assert list(got) == list(table.columns)
        for name, values in got.items():
            assert values.dtype == table.columns[name].dtype
            if table.kinds[name] == "categorical":
                np.testing.assert_array_equal(values, table.columns[name])
            else:
                np.testing.assert_allclose(values, table.columns[name], rtol=1e-12)


def test_read_features_refuses_what_does_not_fit() -> None:
    kinds = {"age": "numeric", "sex": "categorical", "since": "date"}
    with pytest.raises(DataError, match=r"lacks these columns: age, since\. It has: sex, Age"):
        read_features({"sex": ["f"], "Age": [3]}, kinds)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"row 2 \(counted from 1\), column age: old is not a number"):
        read_features({"age": [1, "old"]}, {"age": "numeric"})
    with pytest.raises(DataError, match=r"row 1 .* column since: soon is not a date"):
        read_features({"since": ["soon"]}, {"since": "date"})
    with pytest.raises(DataError, match="infinite"):
        read_features({"age": [1.0, np.inf]}, {"age": "numeric"})
    one = read_features({"sex": ["new", None]}, {"sex": "categorical"})
    assert one["sex"].tolist() == ["new", None]
    array = read_features(np.array([[1.0, 2.0]]), {"a": "numeric", "b": "numeric"})
    assert (array["a"][0], array["b"][0]) == (1.0, 2.0)
    empty = read_features({"age": [None, None], "sex": ["", "NA"]}, {"age": "numeric", "sex": "categorical"})
    assert np.isnan(empty["age"]).all()
    assert empty["sex"].tolist() == [None, None]
