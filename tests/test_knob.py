"""What the page's script is given: nothing but what was trained, rounded to what can be seen, and harmless."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from wellfit.data import load
from wellfit.nets import MLP, Training
from wellfit.records import Boundary
from wellfit.report.knob import MOST_CHECKPOINTS, knob, payload
from wellfit.select.frames import frames
from wellfit.select.path import path

SHORT = Training(epochs=100, batch_size=None, learning_rate=0.01)
HOSTILE = "</script><script>alert(1)</script><!-- &amp; \u2028 \u202e \U0001f600"


@pytest.fixture(scope="module")
def turned():
    table = load("football")
    rows = np.arange(table.rows)
    found = [
        path(table, over, points=5, rows=rows, network=MLP((4,)), training=SHORT, folds=2, seeds=1)
        for over in ("l2", "early_stopping")
    ]
    return found, [frames(table, rows, rows[:0], each, MLP((4,)), SHORT) for each in found]


def test_every_point_has_its_figures(turned):
    paths, shown = turned
    found = knob(paths, shown, "binary")
    assert [each["epochs"] for each in found["knobs"]] == [False, True]
    for path_, frame, each in zip(paths, shown, found["knobs"], strict=True):
        count = len(path_.strengths)
        for name in ("labels", "word", "told", "train", "loss", "low", "high", "counts", "zeros"):
            assert len(each[name]) == count, name
        np.testing.assert_allclose(each["loss"], path_.losses.mean(axis=(1, 2)), rtol=6e-4)
        assert len(each["checkpoints"]) <= MOST_CHECKPOINTS
        assert each["checkpoints"][-1] == SHORT.epochs
        assert each["counts"] == frame.counts.tolist()
        assert all(f"{loss:.3g}"[:3] in told for told, loss in zip(each["told"], each["loss"], strict=True))
    assert "the best" in found["knobs"][0]["told"][paths[0].best]
    assert "too strong" in found["knobs"][0]["told"][-1]


def test_a_map_is_what_the_network_said_to_the_last_shade(turned):
    paths, shown = turned
    found = knob(paths, shown, "binary")["knobs"][0]["map"]
    for text, boundary in zip(found["frames"], shown[0].boundaries, strict=True):
        cells = np.frombuffer(base64.b64decode(text), np.uint8).reshape(boundary.z.shape) / 127.5 - 1
        np.testing.assert_allclose(0.5 + np.sign(cells) * cells**2 / 2, boundary.z, atol=0.004)
        assert ((cells > 0) == (boundary.z > 0.5)).mean() > 0.999


def test_several_classes_and_values_are_packed(turned):
    paths, shown = turned
    z = np.array([[0.0, 2.0], [1.0, 1.0]])
    boundary = Boundary(
        xs=np.arange(2.0), ys=np.arange(2.0), z=z, points=np.array([[0.0, 1.0]]), labels=np.array([2]),
        held_out=np.array([True]), names=("a", "b"), classes=("u", "v", "w"),
        chances=np.array([[1.0, 1 / 3], [0.5, 0.7]]),
    )  # fmt: skip
    frame = replace(shown[0], boundaries=(boundary,) * len(paths[0].strengths))
    [several, _] = knob(paths, [frame, shown[1]], "multiclass")["knobs"]
    cells = np.frombuffer(base64.b64decode(several["map"]["frames"][0]), np.uint8)
    assert (cells // 16).tolist() == [0, 2, 1, 1]
    assert (cells % 16).tolist() == [15, 0, 4, 8]
    assert several["map"]["points"] == [[0.0, 1.0, 2.0, 1]]
    valued = replace(boundary, z=10 * z, labels=np.array([5.0]), classes=(), chances=None)
    frame = replace(shown[0], boundaries=(valued,) * len(paths[0].strengths))
    [values, _] = knob(paths, [frame, shown[1]], "regression")["knobs"]
    assert len(values["map"]["points"][0]) == 4


def test_no_name_becomes_markup(turned):
    paths, shown = turned
    boundaries = tuple(replace(b, names=(HOSTILE, "b"), classes=(HOSTILE, "no")) for b in shown[0].boundaries)
    text = payload(knob(paths, [replace(shown[0], boundaries=boundaries), shown[1]], "binary"))
    assert not re.search("[<>&\u2028]", text)
    assert "alert" in json.loads(text)["knobs"][0]["map"]["names"][0]


def test_what_diverged_is_left_blank(turned):
    paths, shown = turned
    lost = np.array([0, 0, 0, 0, 1])
    losses = paths[0].losses.copy()
    losses[-1] = np.nan
    broken = replace(
        paths[0], diverged=lost, losses=losses, train_losses=losses, loss=(*paths[0].loss[:-1], None),
        train_loss=(*paths[0].train_loss[:-1], None),
    )  # fmt: skip
    frame = replace(shown[0], sound=np.array([True] * 4 + [False]), boundaries=())
    [found] = knob([broken], [frame], "binary")["knobs"]
    assert found["word"][-1] == "diverged"
    assert "diverged" in found["told"][-1]
    assert found["loss"][-1] is None
    assert found["low"][-1] is None
    assert found["map"] is None
    json.loads(payload(knob([broken], [frame], "binary")))
    assert knob([broken], [replace(frame, sound=np.zeros(5, dtype=bool))], "binary") is None
