"""The answer in sentences, and the best network as code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from html_page import Page
from records_factory import run_record

from wellfit.data import load
from wellfit.nets import MLP, Training
from wellfit.report.answer import told
from wellfit.report.page import render
from wellfit.select.path import path


@pytest.fixture(scope="module")
def paths():
    recipe = Training(epochs=60, learning_rate=0.01, batch_size=None)
    return tuple(
        path(load("football"), over, points=6, network=MLP((12,)), training=recipe, folds=2, seeds=1)
        for over in ("l2", "dropout")
    )


def test_the_ingredient_that_helps_most_is_named_with_its_range(paths):
    record = run_record()
    best = min(paths, key=lambda p: p.losses[p.best].mean())
    shifted = tuple(replace(p, right=np.array([False, False, True, True, False, False])) for p in paths)
    sentences = " ".join(told(replace(record, paths=shifted)))
    assert f"{'L2' if best.over == 'l2' else 'dropout'} helps most" in sentences
    assert f"right from {best.strengths[2]:g} to {best.strengths[3]:g}" in sentences
    free = tuple(replace(p, right=np.ones(6, dtype=bool)) for p in paths)
    assert "No ingredient, turned up alone" in " ".join(told(replace(record, paths=free)))


def test_what_the_test_rows_say_depends_on_the_intervals():
    record = run_record()

    def said(best, none):
        parts = [{"loss": 0.3, "score": s, "interval": [s - w, s + w]} for s, w in (best, none)]
        return " ".join(told(replace(record, summary={**record.summary, "test": parts[0], "none": {"test": parts[1]}})))

    assert "too near for so few rows" in said((0.93, 0.03), (0.92, 0.03))
    far = said((0.93, 0.01), (0.82, 0.01))
    assert "0.930" in far
    assert "0.820 without regularization." in far
    assert "test rows" not in " ".join(told(replace(record, summary={})))


def test_the_winner_is_named_or_that_none_is():
    record = run_record()
    assert record.comparison.winner in " ".join(told(record))
    plain = replace(record, comparison=replace(record.comparison, winner="none"))
    assert "does better than none" in " ".join(told(plain))


def test_scripts_stand_on_the_page_as_text():
    record = replace(run_record(), codes={"keras": "import keras\nx = '</code><b>bold</b>'"})
    page = " ".join(Page(render(record)).text)
    assert "import keras" in page
    assert "<b>bold</b>" in page
