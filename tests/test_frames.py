"""Frames and decision maps: each is what its own network says, and nothing is learned from test rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from wellfit.cocktail import Cocktail
from wellfit.data import load
from wellfit.engines.base import Member
from wellfit.nets import MLP, Training
from wellfit.select.fitting import everything, fit, fit_epochs
from wellfit.select.frames import BINS, GRID, frames
from wellfit.select.maps import decision_map, ground, leading_features
from wellfit.select.path import path

SHORT = Training(epochs=12, batch_size=32, learning_rate=0.01)
NETWORK = MLP((6,))


def planted(rows=240, seed=0):
    """Two columns matter, three do not, and one is a category."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d", "e"])
    frame["kind"] = np.where(rng.random(rows) < 0.7, "often", "seldom")
    frame["y"] = np.where(x[:, 1] + 2 * x[:, 3] > 0, "yes", "no")
    return load(frame, target="y")


@pytest.fixture(scope="module")
def football():
    table = load("football")
    rows = np.arange(table.rows)
    return table, rows[rows % 4 > 0], rows[rows % 4 == 0]


def along(table, rows, over, points):
    return path(table, over, points=points, rows=rows, network=NETWORK, training=SHORT, folds=2, seeds=1, executor=None)


def test_each_frame_is_the_network_of_its_point(football):
    table, rows, test = football
    found = along(table, rows, "l2", [0.01, 0.3])
    shown = frames(table, rows, test, found, NETWORK, SHORT, seed=5)
    assert shown.counts.shape == (3, BINS)
    assert len(shown.boundaries) == 3
    assert shown.sound.all()
    assert shown.others == 0
    for point, (text, map_) in enumerate(zip(found.cocktails, shown.boundaries, strict=True)):
        [(_, model)] = fit(table, rows, NETWORK, Cocktail.parse(text), SHORT, 5)
        weights = np.concatenate([w.ravel() for w, _ in model.layers])
        assert shown.counts[point].sum() == weights.size
        assert map_.z.shape == (GRID, GRID)
        column, row = 7, 50
        at = {"x1": map_.xs[[column]], "x2": map_.ys[[row]]}
        assert map_.names == ("x1", "x2")
        assert map_.z[row, column] == pytest.approx(float(model.outputs_of(at)[0, 0]), abs=1e-12)
    assert shown.counts[-1, BINS // 2] > shown.counts[0, BINS // 2], "a strong penalty draws weights to 0"


def test_frames_along_epochs_are_one_training_at_these_epochs(football):
    table, rows, test = football
    found = along(table, rows, "early_stopping", 4)
    shown = frames(table, rows, test, found, NETWORK, SHORT, seed=3)
    epochs = found.strengths.astype(int)
    assert epochs[0] == SHORT.epochs
    assert epochs[-1] == 0
    for epoch, map_ in zip(epochs, shown.boundaries, strict=True):
        [(_, model)] = fit(table, rows, NETWORK, Cocktail(), SHORT, 3, until=int(epoch))
        np.testing.assert_array_equal(map_.z, decision_of(model, table, map_))


def decision_of(model, table, map_):
    across, up = np.meshgrid(map_.xs, map_.ys)
    return model.outputs_of({"x1": across.ravel(), "x2": up.ravel()})[:, 0].reshape(map_.z.shape)


def test_one_training_gives_all_epochs():
    table = load("iris")
    rows = np.arange(table.rows)
    member = Member(NETWORK, Cocktail.parse("dropout=0.2"), SHORT, 1, 0)
    ended = fit_epochs(table, everything(rows), member, [0, 3, 12])
    for epoch, (record, model) in zip((0, 3, 12), ended, strict=True):
        [(expected, other)] = fit(table, rows, NETWORK, member.cocktail, SHORT, 1, until=epoch)
        np.testing.assert_array_equal(model.parameters, other.parameters)
        np.testing.assert_array_equal(record.checkpoints, expected.checkpoints)
        assert record.epochs == epoch


def test_nothing_is_learned_from_test_rows(football):
    table, rows, test = football
    found = along(table, rows, "l2", [0.1])
    target = table.target.copy()
    target[test] = 1 - target[test]
    poisoned = replace(table, target=target)
    one, other = (frames(t, rows, test, found, NETWORK, SHORT) for t in (table, poisoned))
    np.testing.assert_array_equal(one.counts, other.counts)
    for a, b in zip(one.boundaries, other.boundaries, strict=True):
        np.testing.assert_array_equal(a.z, b.z)
        assert (a.labels[a.held_out] != b.labels[b.held_out]).all(), "they are drawn as they are"


def test_the_map_is_over_the_columns_that_matter_and_others_stay_still():
    table = planted()
    rows = np.arange(table.rows)
    [(_, model)] = fit(table, rows, MLP((8,)), Cocktail.parse("l2=0.003"), replace(SHORT, epochs=60), 0)
    assert leading_features(model, table, rows) == ("b", "d")
    still = ground(table, rows)
    assert still["kind"][0] == "often"
    assert still["a"][0] == np.median(table.columns["a"])
    map_ = decision_map(model, table, ("b", "d"), rows, rows % 5 == 0, 9, rows)
    columns = {name: np.repeat(value, 1) for name, value in still.items()} | {"b": map_.xs[[2]], "d": map_.ys[[6]]}
    assert map_.z[6, 2] == pytest.approx(float(model.outputs_of(columns)[0, 0]), abs=1e-12)
    found = path(table, "l2", points=[0.01], rows=rows[:200], network=NETWORK, training=SHORT, folds=2, seeds=1)
    shown = frames(table, rows[:200], rows[200:], found, NETWORK, SHORT)
    assert shown.others == 4
    assert shown.boundaries[0].held_out.sum() == 40


def test_several_classes_have_a_likeliest_class_and_its_chance():
    table = load("iris")
    rows = np.arange(table.rows)
    found = along(table, rows, "l2", [0.01])
    shown = frames(table, rows, rows[:0], found, NETWORK, SHORT)
    map_ = shown.boundaries[0]
    assert set(np.unique(map_.z)) <= {0.0, 1.0, 2.0}
    assert (map_.chances >= 1 / 3 - 1e-9).all()
    assert shown.others == 2


def test_without_two_numeric_columns_there_is_no_map():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "k": rng.choice(["u", "v", "w"], 60), "y": rng.normal(size=60)})
    table = load(frame, target="y")
    found = along(table, np.arange(60), "l2", [0.01])
    shown = frames(table, np.arange(60), np.arange(0), found, NETWORK, SHORT)
    assert shown.boundaries == ()
    assert shown.counts.shape == (2, BINS)


def test_a_diverged_frame_says_so_and_takes_the_maps_with_it():
    table = load("diabetes")
    rows = np.arange(table.rows)
    wild = Training(epochs=6, optimizer="gd", learning_rate=0.5, batch_size=None)
    found = path(table, "l2", points=[1.9], rows=rows, network=NETWORK, training=wild, folds=2, seeds=1)
    cocktails = (found.cocktails[0], "l2=50")
    shown = frames(table, rows, rows[:0], replace(found, cocktails=cocktails), NETWORK, wild)
    assert shown.sound.tolist() == [True, False]
    assert shown.boundaries == ()
    assert shown.counts[1].sum() == 0
