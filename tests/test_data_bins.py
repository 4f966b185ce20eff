"""Bins beside numeric columns: the encoding against its definition, what gets none, and that files are not believed."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import made_table, table

from wellfit.data import Preprocessor, folds, prepare
from wellfit.data.preprocess import FEW, bend
from wellfit.select.search import BINS, COLUMNS, FEWEST_BINS, LEAST_ROWS, ROWS_A_COLUMN, bins_for


def numbers(values, **more):
    return table(pd.DataFrame({"x": values, "target": np.arange(len(values)) % 2}), **more)


def by_definition(x: float, edges) -> list[float]:
    """Gorishniy, Rubachev & Babenko 2022, eq. 1: 0 below a bin, 1 above, the share of the way in it."""
    found = []
    for low, high in itertools.pairwise(edges):
        found.append(0.0 if x < low else 1.0 if x >= high else (x - low) / (high - low))
    return found


def test_bins_are_the_encoding_by_its_definition_standardized():
    draw = np.random.default_rng(0)
    x = draw.normal(size=300)
    t = numbers(x)
    rows = np.arange(200)
    made = Preprocessor.fit(t, rows, bins=5)
    (plan,) = made.plans
    np.testing.assert_allclose(plan.edges, np.quantile(x[:200], np.linspace(0, 1, 6)))
    raw = np.array([by_definition(v, plan.edges) for v in x])
    expected = bend((raw - raw[:200].mean(0)) / raw[:200].std(0))
    np.testing.assert_allclose(made.transform(t.columns)[:, 1:], expected, atol=1e-12)
    plain = Preprocessor.fit(t, rows).transform(t.columns)
    np.testing.assert_array_equal(made.transform(t.columns)[:, :1], plain)
    assert made.feature_names == ("x", *(f"x in bin {i}" for i in range(1, 6)))


def test_what_has_few_values_or_no_order_gets_no_bins():
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "few": draw.integers(0, FEW, 100).astype(float),
            "flag": draw.random(100) < 0.5,
            "word": draw.choice(["a", "b", "c"], 100),
            "many": draw.normal(size=100),
            "constant": 3.0,
            "target": np.arange(100) % 2,
        }
    )
    names = Preprocessor.fit(table(frame), np.arange(100), bins=4).feature_names
    assert [name for name in names if "in bin" in name] == [f"many in bin {i}" for i in range(1, 5)]


def test_equal_quantiles_make_fewer_bins():
    values = np.concatenate([np.zeros(60), np.arange(1, 41)]).astype(float)
    (plan,) = Preprocessor.fit(numbers(values), np.arange(100), bins=10).plans
    assert 2 <= len(plan.centres) < 10
    assert (np.diff(plan.edges) > 0).all()


def test_missing_values_stand_where_the_median_is_and_keep_their_indicator_last():
    draw = np.random.default_rng(2)
    x = draw.normal(size=120)
    x[::5] = np.nan
    t = numbers(x)
    made = Preprocessor.fit(t, np.arange(120), bins=4)
    assert made.feature_names[-1] == "x is missing"
    out = made.transform({"x": [np.nan, float(np.nanmedian(x))]})
    np.testing.assert_allclose(out[0, :-1], out[1, :-1])
    assert out[:, -1].tolist() == [1, 0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False, width=64), min_size=6, max_size=60), st.integers(1, 20))
def test_no_number_makes_anything_but_finite_features(values, bins):
    t = numbers(np.array(values, dtype=np.float64))
    made = Preprocessor.fit(t, np.arange(len(values)), bins=bins)
    probes = np.array([*values, np.inf, -np.inf, np.nan, 1e308, -1e308])
    if made.plans:
        assert np.isfinite(made.transform({"x": probes})).all()


def test_bins_survive_the_file_and_are_checked_on_the_way():
    t = made_table(rows=60)
    made = Preprocessor.fit(t, np.arange(60), bins=4)
    stored = json.loads(json.dumps(made.to_dict()))
    again = Preprocessor.from_dict(stored)
    assert again == made
    np.testing.assert_array_equal(again.transform(t.columns), made.transform(t.columns))
    for change in ({"edges": [1, 2]}, {"spreads": [0, 1, 1, 1]}, {"centres": [1]}, {"edges": [4, 3, 2, 1, 0]}):
        bad = {"plans": [{**stored["plans"][0], **change}]}
        with pytest.raises(ValueError, match="bins"):
            Preprocessor.from_dict(bad)
    old = {k: v for k, v in stored["plans"][0].items() if k not in ("edges", "centres", "spreads")}
    assert Preprocessor.from_dict({"plans": [old]}).feature_names == ("c0",), "files from before bins are read"


def test_bins_look_at_training_rows_only_and_have_a_fingerprint_of_their_own():
    t = made_table(rows=80)
    parts = folds(t, np.arange(80), folds=3, seed=0)
    data = prepare(t, parts, bins=4)
    outside = np.ones(80, bool)
    outside[parts[0].train] = False
    poisoned = replace(t, columns={n: np.where(outside, 1e9, c) for n, c in t.columns.items()})
    again = prepare(poisoned, parts[:1], bins=4)
    np.testing.assert_array_equal(data.folds[0].x[parts[0].train], again.folds[0].x[parts[0].train])
    assert len({prepare(t, parts, bins=b).fingerprint for b in (0, 4, 5)}) == 3


def test_how_many_bins_a_table_gets():
    def count(rows: int, columns: int) -> int:
        return bins_for(made_table(rows=max(rows, 10), columns=columns), np.arange(rows))

    assert count(LEAST_ROWS, 4) == BINS
    assert count(LEAST_ROWS - 1, 4) == 0, "too few rows"
    assert count(LEAST_ROWS, 30) == LEAST_ROWS // ROWS_A_COLUMN // 30
    assert count(20 * LEAST_ROWS, COLUMNS // FEWEST_BINS + 1) == 0, "too many columns"
