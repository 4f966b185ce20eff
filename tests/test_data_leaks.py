"""Leaks: planted ones are found, honest columns are left in peace. The truth is known, so rates are counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from planted import flipped, leaks, plant
from tables import TABULAR, built_in, real
from test_data_checks import BUILT_IN, data, frame, kinds, leaking

from wellfit.data.checks import inspect
from wellfit.data.near import Closeness, _ranks, nearness
from wellfit.data.related import Given, World
from wellfit.rng import generator

# --- leaks that are planted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TABULAR, *BUILT_IN])
def test_planted_leaks_are_found(data_folder: Path, name: str) -> None:
    """Copies, renamed, with noise, with wrong labels: found in 95 of 100, and nothing else is named."""
    t = data(data_folder, name)
    found = []
    for seed in range(1 if name in ("adult", "alon-colon", "digits", "spambase") else 2):
        for kind, values in leaks(t, generator(seed, 77)).items():
            named = leaking(plant(t, leak=values), seed)
            assert named <= {"leak"}, (kind, named)
            found.append(bool(named))
    assert found.count(False) <= 1


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "anneal", "wine-quality"])
def test_several_leaks_at_once_do_not_hide_each_other(data_folder: Path, name: str) -> None:
    t = data(data_folder, name)
    planted = leaks(t, generator(5, 77))
    assert leaking(plant(t, **planted)) == set(planted)


def test_leaks_with_gaps_are_found(data_folder: Path) -> None:
    t = real(data_folder, "telco-churn")
    rng = generator(0, 77)
    for values in leaks(t, rng).values():
        holed = values.copy()
        holed[rng.random(t.rows) < 0.02] = None if values.dtype == object else np.nan
        assert leaking(plant(t, leak=holed)) == {"leak"}


def test_leaks_are_found_in_generated_data() -> None:
    """Where the target hangs on several columns, these bear witness against a copy of the target."""
    for seed in range(6):
        rng = generator(seed, 77)
        x = rng.normal(size=(500, 5))
        classes = frame(x, (x[:, 0] + x[:, 1] > 0).astype(int))
        numbers = frame(x, x[:, 0] + x[:, 1] ** 2 + 0.3 * rng.normal(size=500), regression=True)
        for t in (classes, numbers):
            hits = [leaking(plant(t, leak=values)) == {"leak"} for values in leaks(t, rng).values()]
            assert sum(hits) >= len(hits) - 1


def test_copies_are_found_even_alone() -> None:
    rng = generator(0, 77)
    y = rng.integers(0, 3, 40)
    codes = np.array(["q", "r", "p"], dtype=object)[y]
    assert leaking(plant(frame(rng.normal(size=(40, 3)), y), leak=codes)) == {"leak"}
    assert leaking(replace(frame(y[:, None] * 2.0, y), task="multiclass")) == {"x0"}
    numbers = rng.normal(size=40)
    assert leaking(frame(np.exp(numbers)[:, None], numbers, regression=True)) == {"x0"}


def test_filled_in_afterwards_is_found(data_folder: Path) -> None:
    t = built_in("breast_cancer")
    rng = generator(0, 77)
    sick = t.target == 1
    fee = np.where(sick, 0.0, rng.lognormal(size=t.rows))
    stage = np.where(sick, np.nan, rng.normal(size=t.rows))
    found = {f.columns[0]: f.text for f in inspect(plant(t, fee=fee, stage=stage)) if f.kind == "leak"}
    assert set(found) == {"fee", "stage"}
    assert "fee is 0" in found["fee"]
    assert "stage is empty" in found["stage"]


def test_test_rows_are_not_looked_at_for_leaks() -> None:
    rng = generator(0, 77)
    x, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    t = plant(frame(x, y), leak=np.where(np.arange(200) < 100, y, rng.integers(0, 2, 200)).astype(float))
    assert {f.kind for f in inspect(replace(t, test_rows=np.arange(100, 200)))} == {"leak"}
    assert inspect(replace(t, test_rows=np.arange(100))) == ()


# --- honest columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TABULAR, *BUILT_IN])
def test_no_false_alarm_on_real_data(data_folder: Path, name: str) -> None:
    t = data(data_folder, name)
    for seed in range(2):
        assert leaking(t, seed) == set()
    assert "identifier" not in kinds(t)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rows", [200, 2000])
def test_a_strong_predictor_among_noise_is_honest(seed: int, rows: int) -> None:
    rng = generator(seed, 78)
    noise = rng.normal(size=(rows, 6))
    noise[:, 3:] += 2 * rng.normal(size=(rows, 1))  # noise that goes together is noise all the same
    for strong in (rng.normal(size=rows), rng.random(rows), rng.lognormal(size=rows)):
        x = np.column_stack([strong, noise])
        for share in (0.5, 0.8):
            y = (strong > np.quantile(strong, share)).astype(int)
            for wrong in (0.0, 0.03, 0.1):
                assert leaking(frame(x, flipped(y, wrong, 2, rng)), seed) == set()
        for sd in (1.0, 0.3, 0.05):
            y = 3 * strong + sd * rng.normal(size=rows)
            assert leaking(frame(x, y, regression=True), seed) == set()
            assert leaking(frame(x[:, :1], y, regression=True), seed) == set()


@pytest.mark.parametrize("seed", range(5))
def test_a_strong_predictor_among_weaker_ones_is_honest(seed: int) -> None:
    rng = generator(seed, 79)
    hidden = rng.normal(size=1000)
    # Several measurements of one thing, one far better than the others.
    x = hidden[:, None] + np.r_[0.05, np.full(5, 0.6)] * rng.normal(size=(1000, 6))
    assert leaking(frame(x, (hidden > 0).astype(int)), seed) == set()
    votes = (hidden[:, None] + np.r_[0.15, np.full(7, 0.8)] * rng.normal(size=(1000, 8)) > 0).astype(float)
    assert leaking(frame(votes, (hidden > 0).astype(int)), seed) == set()
    parts = rng.normal(size=(1000, 4))
    sums = 10 * parts[:, 0] + parts[:, 1:].sum(1) + 0.1 * rng.normal(size=1000)
    assert leaking(frame(parts, sums, regression=True), seed) == set()


def test_well_separated_classes_are_honest() -> None:
    iris = built_in("iris")
    setosa = replace(iris, target=(iris.target == 0).astype(np.int64), task="binary", classes=("no", "yes"))
    assert leaking(setosa) == set()
    for seed in range(10):
        assert leaking(frame(*sklearn.datasets.make_blobs(300, 2, centers=3, random_state=seed))) == set()
        assert leaking(frame(*sklearn.datasets.make_moons(300, noise=0.1, random_state=seed))) == set()
        assert leaking(frame(*sklearn.datasets.make_classification(400, random_state=seed))) == set()


def test_every_column_of_a_real_table_may_be_the_target(data_folder: Path) -> None:
    """Real columns predict each other in every way there is; none is a copy of another with noise added."""
    for name in ("spambase", "vehicle", "credit-g", "bike-hourly", "breast_cancer"):
        t = data(data_folder, name)
        for column, kind in t.kinds.items():
            values = t.columns[column]
            if kind == "categorical" or len(np.unique(values)) < 10:
                continue
            rest = {n: v for n, v in t.columns.items() if n not in (column, "word_freq_415", "word_freq_857")}
            made = replace(
                t,
                columns=rest,
                kinds={n: t.kinds[n] for n in rest},
                target=(values > np.median(values)).astype(np.int64),
                task="binary",
                classes=("low", "high"),
            )
            if len(np.unique(made.target)) == 2:
                assert leaking(made) == set(), (name, column)
            assert leaking(replace(made, target=values, task="regression", classes=())) == set(), (name, column)


def test_few_rows_prove_nothing() -> None:
    rng = generator(0, 80)
    for seed in range(50):
        y = np.arange(8) % 2
        assert leaking(frame(rng.integers(0, 2, (8, 30)).astype(float), y), seed) == set()


# --- the first look at single columns --------------------------------------------------------------------------------


def near(values: np.ndarray, y: np.ndarray, *, regression: bool = False) -> Closeness | None:
    t = plant(frame(np.zeros((len(y), 1)), y, regression=regression), leak=values)
    return nearness(t, np.arange(t.rows), generator(0, 82)).get("leak")


@pytest.mark.parametrize("seed", range(5))
def test_only_tight_heaps_are_suspected(seed: int) -> None:
    rng = generator(seed, 82)
    y = rng.integers(0, 2, 400)
    for sd, suspected in ((0.05, True), (0.2, True), (0.33, False), (0.5, False)):
        found = near(y + sd * rng.normal(size=400), y)
        assert (found is not None) == suspected
        if found:
            assert found.heap == pytest.approx(sd, rel=0.25)
            assert not found.exact
    for honest in (rng.normal(size=400), rng.random(400), rng.lognormal(size=400)):
        assert near(honest, (honest > np.median(honest)).astype(int)) is None


def test_levels_are_judged_by_other_rows() -> None:
    rng = generator(1, 82)
    y = rng.integers(0, 3, 300)
    unique = np.array([f"{c} {i}" for i, c in enumerate(y)], dtype=object)  # names the class, but of no other row
    assert near(unique, y) is None
    pairs = np.array([f"{c} {i // 9}" for i, c in enumerate(y)], dtype=object)
    assert near(pairs, y) is None or not near(pairs, y).exact  # type: ignore[union-attr]
    assert near(np.array(["a", "b", "c"], dtype=object)[y], y).exact  # type: ignore[union-attr]
    assert near(np.array(["a", "b", "c"], dtype=object)[flipped(y, 0.15, 3, rng)], y) is None


def test_numbers_are_judged_by_what_they_leave_unexplained() -> None:
    rng = generator(2, 82)
    y = rng.normal(size=2000)
    for sd, suspected in ((0.01, True), (0.05, True), (0.15, False), (1.0, False)):
        found = near(-7 * (y + sd * rng.normal(size=2000)), y, regression=True)
        assert (found is not None) == suspected
        if found:
            assert 1 - found.right == pytest.approx(sd**2, rel=0.2)
            assert (found.exact, found.nearly) == (False, False)
    assert near(y**3, y, regression=True).exact  # type: ignore[union-attr]
    assert near(y**2, y, regression=True) is None
    slices = np.array([f"{v:.1f}" for v in y], dtype=object)
    assert near(slices, y, regression=True) is not None


def test_ranks_equal_scipy() -> None:
    from scipy.stats import rankdata

    x = generator(3, 82).integers(0, 9, 50).astype(float)
    assert (_ranks(x) == rankdata(x)).all()


# --- the test of relatedness, against what it promises -------------------------------------------------------------


def test_shuffling_stays_within_cells() -> None:
    y = generator(0, 81).integers(0, 3, 50)
    given = Given.of(y, classes=True)
    order = given.shuffled(generator(1, 81))
    assert (y[order] == y).all()
    assert sorted(order) == list(range(50))
    assert (order != np.arange(50)).any()


def test_removing_the_target_equals_least_squares() -> None:
    rng = generator(2, 81)
    y, x = rng.normal(size=400), rng.normal(size=(400, 2))
    given = Given.of(y, classes=False)
    for cell in np.unique(given.cells):
        here = given.cells == cell
        design = np.column_stack([np.ones(here.sum()), y[here]])
        fit = design @ np.linalg.lstsq(design, x[here], rcond=None)[0]
        np.testing.assert_allclose(given.remove(x)[here], x[here] - fit, atol=1e-10)


def test_unrelated_columns_are_called_related_as_rarely_as_promised() -> None:
    rng = generator(3, 81)
    x = rng.normal(size=(80, 5))
    t = frame(x, (x[:, 0] + x[:, 1] > 0).astype(int))
    world = World.of(t, np.arange(80), tuple(t.columns))
    called = sum(world.related(t.target + 0.1 * rng.normal(size=80), rng) for _ in range(300))
    assert called <= 8  # three tests at 1/501: 1.8 expected at most; nine or more have a chance of 1e-4
    assert world.related(x[:, 0] + 0.1 * rng.normal(size=80), rng)
