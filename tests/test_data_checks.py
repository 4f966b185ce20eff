"""Checks of columns and rows: what is planted is found, what is honest is left in peace, quickly and repeatably."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import leaks, plant
from tables import built_in, real, table

from wellfit.data.checks import inspect, inspect_split
from wellfit.data.leaks import find_leaks
from wellfit.data.splits import holdout
from wellfit.records import Finding, Split, Table
from wellfit.rng import generator

BUILT_IN = ("iris", "wine", "breast_cancer", "digits", "diabetes")


def data(folder: Path, name: str) -> Table:
    return built_in(name) if name in BUILT_IN else real(folder, name)


def kinds(t: Table) -> dict[str, Finding]:
    return {finding.kind: finding for finding in inspect(t)}


def leaking(t: Table, seed: int = 0) -> set[str]:
    return {finding.columns[0] for finding in find_leaks(t, np.arange(t.rows), seed)}


def frame(x: np.ndarray, y: np.ndarray, *, regression: bool = False) -> Table:
    columns = pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])])
    return table(columns.assign(target=y), task="regression" if regression else "binary")


# --- columns -------------------------------------------------------------------------------------------------------


def columns(**values: object) -> Table:
    made = pd.DataFrame(values)
    rng = generator(9, 80)
    return table(made.assign(other=rng.normal(size=len(made)), target=rng.normal(size=len(made))))


def test_constant_and_empty_columns() -> None:
    t = columns(
        one=np.ones(100),
        word=["same"] * 100,
        sparse=[np.nan] * 96 + [1, 2, 3, 4],
        none=[np.nan] * 100,
        half=[np.nan] * 50 + [1.0] * 50,
    )
    found = kinds(t)
    assert set(found) == {"constant", "empty"}
    assert found["constant"].columns == ("one", "word")
    assert found["empty"].columns == ("sparse", "none")
    assert "one, word" in found["constant"].text


def identifiers(**values: object) -> tuple[str, ...]:
    found = kinds(columns(**values))
    return found["identifier"].columns if "identifier" in found else ()


def test_identifiers_are_found() -> None:
    rng = generator(1, 80)
    n = 300
    found = identifiers(
        row=np.arange(1, n + 1),
        shuffled=rng.permutation(n),
        thousands=1000 * rng.permutation(n) + 7,
        sparse=np.sort(rng.permutation(2 * n)[:n]),  # a sample of the rows of a numbered table
        customer=15_500_000 + rng.permutation(2_000)[:n],
        name=[f"P{i:04d}" for i in rng.permutation(n)],
        nearly=["anna", "anna", "ben", "ben", *(f"name {i}" for i in range(n - 4))],
        holed=[np.nan, *range(n - 1)],
    )
    assert found == ("row", "shuffled", "thousands", "sparse", "customer", "name", "nearly", "holed")
    assert identifiers(row=np.arange(12)) == ("row",)


def test_measurements_are_no_identifiers() -> None:
    rng = generator(2, 80)
    for n in (40, 300, 5000):
        found = identifiers(
            continuous=rng.normal(size=n),
            grid=np.linspace(0, 1, n),
            whole_scores=rng.integers(0, 10 * n, n),
            income=np.round(np.exp(rng.normal(10, 0.5, n))),
            price=100 * rng.integers(500, 5000, n),
            weight=rng.integers(12_000, 1_500_000, n),  # like fnlwgt: hardly a repetition, and rightly so
            age=rng.integers(18, 90, n),
            city=rng.choice([f"city {i}" for i in range(n // 2)], n),
        )
        assert found == ()


def test_a_single_numbered_column_is_what_there_is() -> None:
    t = table(pd.DataFrame({"x": np.arange(50.0), "target": generator(0, 80).normal(size=50)}))
    assert inspect(t) == ()


# --- rows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "count"), [("wine-quality", 1177), ("spambase", 391), ("credit-g", 0)])
def test_duplicates_on_real_data(data_folder: Path, name: str, count: int) -> None:
    t = real(data_folder, name)
    whole = pd.DataFrame(t.columns).assign(target=t.target)
    assert whole.duplicated().sum() == count  # pandas agrees
    found = kinds(t).get("duplicates")
    assert (found.count if found else 0) == count
    if found:
        assert f"{count:,}" in found.text
        assert "random split" in found.text


def test_duplicates_across_a_split() -> None:
    rng = generator(3, 80)
    x = np.vstack([(part := rng.normal(size=(100, 3))), part[:7], rng.normal(size=(20, 3))])
    y = rng.normal(size=127)
    y[100:107] = y[:7]
    y[106] = 99  # equal features with another target are no duplicate
    t = frame(x, y, regression=True)
    found = kinds(replace(t, test_rows=np.arange(100, 127)))
    assert found["duplicates"].count == 6
    assert found["duplicates_across"].count == 6
    assert "6 of 27" in found["duplicates_across"].text
    split = Split(np.arange(50), np.arange(50, 100), np.arange(100, 127), "")
    assert [(f.kind, f.count) for f in inspect_split(t, split)] == [("duplicates_across", 6)]
    apart = Split(np.r_[0:50, 100:107], np.arange(50, 100), np.arange(107, 127), "")
    assert inspect_split(t, apart) == ()


def test_equal_rows_with_gaps_and_words_are_equal() -> None:
    t = columns(a=[0.0, -0.0, np.nan, np.nan, *range(10, 26)], b=["u", "u", None, None, *"abcdefghijklmnop"])
    same = {name: values.copy() for name, values in t.columns.items()}
    same["other"][1], same["other"][3] = same["other"][0], same["other"][2]
    target = t.target.copy()
    target[1], target[3] = target[0], target[2]
    assert kinds(replace(t, columns=same, target=target))["duplicates"].count == 2


def test_tables_of_few_values_are_full_of_equal_rows_by_nature() -> None:
    rng = generator(4, 80)
    t = frame(rng.integers(0, 3, (500, 3)).astype(float), rng.integers(0, 2, 500))
    assert "duplicates" not in kinds(t)


def test_groups_on_both_sides() -> None:
    rng = generator(5, 80)
    t = frame(rng.normal(size=(100, 2)), rng.integers(0, 2, 100))
    crossing = replace(t, groups=np.arange(100) % 40, test_rows=np.arange(70, 100))
    assert kinds(crossing)["groups_across"].count == 30
    grouped = replace(t, groups=np.arange(100) // 4)
    assert inspect_split(grouped, holdout(grouped, seed=0)) == ()


# --- as a whole ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "seconds"), [("adult", 2.0), ("alon-colon", 3.0), ("wine", 0.3), ("iris", 0.3)])
def test_it_is_quick(data_folder: Path, name: str, seconds: float) -> None:
    t = data(data_folder, name)
    leak = leaks(t, generator(0, 77))["noise 10%"]
    for each in (t, plant(t, leak=leak)):
        start = time.process_time()
        inspect(each)
        assert time.process_time() - start < seconds


def test_the_same_seed_finds_the_same(data_folder: Path) -> None:
    t = plant(real(data_folder, "credit-g"), leak=leaks(real(data_folder, "credit-g"), generator(0, 77))["flips 5%"])
    assert inspect(t, seed=3) == inspect(t, seed=3)


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_numbers_of_any_size(scale: float) -> None:
    rng = generator(6, 80)
    x = rng.normal(size=(300, 4))
    y = x[:, 0] + x[:, 1] ** 2 + 0.3 * rng.normal(size=300)
    t = plant(frame(x * scale, y * scale, regression=True), leak=scale * (y + 0.02 * rng.normal(size=300)))
    assert leaking(t) == {"leak"}
    above = x[:, 0] + x[:, 1] > 0
    classes = frame(x * scale, above.astype(int))
    assert leaking(plant(classes, leak=scale * (above + 0.1 * rng.normal(size=300)))) == {"leak"}


def test_tiny_tables() -> None:
    for n in (1, 2, 3, 5):
        for y in (np.arange(n) % 2, np.zeros(n, dtype=int)):
            t = frame(np.column_stack([np.arange(n), np.full(n, np.nan)]).astype(float), y)
            assert all(finding.text for finding in inspect(t))
            assert all(finding.text for finding in inspect(frame(np.ones((n, 1)), y * 1.0, regression=True)))
