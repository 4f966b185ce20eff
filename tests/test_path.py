"""Paths: what is read off them, and that they are the comparison's own members."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy_engine import NumpyEngine

from wellfit import rng
from wellfit.data import folds as cut
from wellfit.data import load, prepare
from wellfit.engines.base import history
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import SettingError
from wellfit.executors import Threads
from wellfit.nets import MLP, Training
from wellfit.population import plan
from wellfit.records import Path, Table
from wellfit.select import path_reading
from wellfit.select.axes import Over
from wellfit.select.compare import compare, seeds_of
from wellfit.select.path import path
from wellfit.select.path_reading import one_standard_error

ADAM = Training(learning_rate=0.03, epochs=40, batch_size=32)
GD = Training("gd", 0.5, epochs=12, batch_size=None)


def football(over, points=6, **more) -> Path:
    return path("football", over, points=points, **{**dict(network="8", training=ADAM, seeds=1, folds=3), **more})


def made(task="binary", rows=60, columns=3, **more) -> Table:
    draw = rng.generator(0, rng.DATA)
    x = draw.normal(size=(rows, columns))
    value = x[:, 0] + 0.7 * draw.normal(size=rows)
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    cuts = np.quantile(value, np.arange(1, classes) / max(classes, 1))
    target = np.digitize(value, cuts).astype(np.int64) if classes else 100 + 20 * value
    names = [f"c{j}" for j in range(columns)]
    return Table(
        "made", {n: x[:, j].copy() for j, n in enumerate(names)}, dict.fromkeys(names, "numeric"), target, "y", task,
        tuple("abc"[:classes]), **more,
    )  # fmt: skip


def plain(over, points=5, table=None, engine=None, **more) -> Path:
    """A path on the NumPy engine, which counts what it trains."""
    options = dict(network="5", training=GD, seeds=2, folds=3, engine=engine or NumpyEngine())
    return path(made() if table is None else table, over, points=points, **{**options, **more})


# The one-standard-error rule -----------------------------------------------------------------------------------------


def plainly(losses: list) -> tuple[int, int, float, list[bool]] | None:
    """The rule by loops over lists, from the book's words."""
    means, by_fold = [], []
    for point in losses:
        folds = [sum(seeds) / len(seeds) for seeds in point]
        by_fold.append(folds)
        means.append(sum(folds) / len(folds))
    sound = [p for p, m in enumerate(means) if m == m]
    if not sound:
        return None
    best = min(sound, key=lambda p: (means[p], p))
    folds, count = by_fold[best], len(by_fold[best])
    error = 0.0
    if count > 1:
        error = math.sqrt(sum((f - means[best]) ** 2 for f in folds) / (count - 1)) / math.sqrt(count)
    right = [p in sound and means[p] <= means[best] + error for p in range(len(losses))]
    return best, max(p for p, r in enumerate(right) if r), error, right


@given(st.data())
def test_one_standard_error_equals_a_plain_implementation(data) -> None:
    shape = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 3)))
    # Multiples of a 64th, so that sums are exact in any order and a tie is a tie.
    losses = data.draw(arrays(np.int64, shape, elements=st.integers(0, 320))) / 64.0
    gone = data.draw(arrays(bool, shape, elements=st.sampled_from([False] * 9 + [True])))
    losses[gone] = np.nan
    expected = plainly(losses.tolist())
    if expected is None:
        with pytest.raises(ValueError, match="All-NaN"):
            one_standard_error(losses)
        return
    best, strongest, error, right = one_standard_error(losses)
    means = losses.mean(axis=2).mean(axis=1)
    assert means[best] == pytest.approx(means[expected[0]], rel=1e-14, abs=1e-14)
    assert error == pytest.approx(expected[2], rel=1e-9, abs=1e-12) or best != expected[0]
    if best == expected[0] and not np.isclose(means, means[best] + error, rtol=1e-12).any():
        assert (strongest, right.tolist()) == (expected[1], expected[3])
    assert right[best]
    assert right[strongest]
    assert strongest >= best
    assert not right[np.isnan(means)].any()


# What a path holds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_losses_and_scores_are_those_of_a_comparison_of_the_same_cocktails(task: str) -> None:
    table, slow = made(task), replace(GD, learning_rate=0.1)
    options = dict(network="5", training=slow, seeds=2, folds=3, seed=7)
    found = plain("l2", [0.01, 0.3, 1.0], table=table, **options)
    against = compare(table, cocktails="; ".join(found.cocktails), engine=NumpyEngine(), **options)
    for p, result in enumerate(against.results):
        assert result.cocktail == found.cocktails[p]
        assert result.loss == found.loss[p]
        assert result.train_loss == found.train_loss[p]
        assert result.score == found.score[p]
        assert found.mean(found.losses)[p] == pytest.approx(result.loss.mean, rel=1e-12)
        assert found.out_of_fold[p].tobytes() == against.out_of_fold[result.cocktail].tobytes()
        for name, curve in result.curves.items():
            np.testing.assert_allclose(found.curves[name][p], curve, rtol=1e-12)
    np.testing.assert_array_equal(found.rows, against.rows)


def test_what_predicting_the_mean_costs() -> None:
    table = made("regression", rows=30)
    found = plain("l2", [0.1], table=table, training=replace(GD, learning_rate=0.05), seeds=1)
    parts = cut(table, np.arange(30), folds=3, seed=0)
    y = table.target
    expected = np.mean([np.mean((y[f.score] - y[f.train].mean()) ** 2) for f in parts])
    assert found.chance == pytest.approx(expected, rel=1e-9)
    codes = made("multiclass", rows=30)
    found = plain("l2", [0.1], table=codes, seeds=1)
    expected = []
    for f in cut(codes, np.arange(30), folds=3, seed=0):
        shares = np.bincount(codes.target[f.train], minlength=3) / len(f.train)
        expected.append(-np.log(shares[codes.target[f.score]]).mean())
    assert found.chance == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize("loss", ["absolute", "huber:0.7", "quantile:0.8"])
def test_chance_is_in_the_loss_and_weights_that_are_trained(loss: str) -> None:
    """A network that can only learn its bias ends at what chance says, whatever the loss and the rows' weights."""
    weights = rng.generator(1, rng.DATA).integers(0, 3, 60).astype(float)
    table = made("regression", weights=weights)
    training = Training("gd", 0.02, epochs=2000, batch_size=None, loss=loss)
    options = dict(network="linear", seeds=1, folds=3, engine=CompiledEngine())
    found = path(table, "l1", points=[30.0], training=training, **options)
    assert found.mean(found.losses)[-1] == pytest.approx(found.chance, rel=0.02)
    assert found.zeros[-1] == 1


def test_early_stopping_equals_trainings_that_were_stopped_there() -> None:
    found = football("early_stopping", seeds=2)
    table = load("football")
    rows = found.rows
    data = prepare(table, list(cut(table, rows, folds=3, seed=0)))
    members = plan(data, folds=3, networks=(MLP((8,)),), trainings=(ADAM,), seeds=seeds_of(0, 2))
    engine = CompiledEngine()
    for p, epoch in enumerate(found.strengths.astype(int)):
        states = engine.advance(members, engine.init(members, data), [epoch] * 6, data)
        for i, (member, state) in enumerate(zip(members, states, strict=True)):
            assert state.epoch == epoch
            alone = history(member, state, data)
            assert found.losses[p, i // 2, i % 2] == alone.curves["score_loss"][-1]
            assert found.train_losses[p, i // 2, i % 2] == alone.curves["train_loss"][-1]
    norms = np.mean([history(m, s, data).weight_norms for m, s in zip(members, states, strict=True)], axis=0)
    np.testing.assert_array_equal(found.weight_norms[-1], norms)
    # A point's curve is the whole curve up to its epoch, and then goes on level.
    for p, epoch in enumerate(found.strengths.astype(int)):
        for name in ("train_loss", "score_loss"):
            curve, whole = found.curves[name][p], found.curves[name][0]
            np.testing.assert_array_equal(curve[: epoch + 1], whole[: epoch + 1])
            np.testing.assert_array_equal(curve[epoch:], whole[epoch])
    np.testing.assert_array_equal(found.mean(found.losses), found.curves["score_loss"][0][found.strengths.astype(int)])
    assert set(found.cocktails) == {"none"}
    for strength in (1, 2):
        assert (
            football("early_stopping", seeds=2, executor=Threads(strength)).losses.tobytes() == found.losses.tobytes()
        )


@pytest.mark.parametrize("mutant", [False, True], ids=["l1", "mutant"])
def test_along_l1_zeros_grow_until_no_input_is_used(mutant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant:  # a path whose strengths reach no engine must fail what follows
        monkeypatch.setattr(Over, "cocktail", lambda self, strength: self.base)
        with pytest.raises(AssertionError):
            _zeros_grow(plain("l1", np.geomspace(1e-4, 10, 8), network="8", training=replace(GD, epochs=60)))
        return
    _zeros_grow(football("l1", 10))


def _zeros_grow(found: Path) -> None:
    assert found.zeros[0] < 0.02
    assert found.zeros[-1] == 1
    assert (np.diff(found.zeros) > -0.05).all(), "a little noise, no more"
    assert found.inputs_used[0] == found.inputs == 2
    assert found.inputs_used[-1] == 0
    assert found.weight_norms.shape == (10, 2)
    assert (found.weight_norms[-1] == 0).all()


def test_too_weak_right_too_strong() -> None:
    """The story of regularization, on football: overfitting at one end, predicting the mean at the other."""
    found = path("football", "l2", points=8, quick=True, seeds=1)
    means = found.mean(found.losses)
    assert not found.right[0], "the unregularized network is too weakly held"
    assert not found.right[-1], "and the mean is no answer"
    assert 0 < found.best < len(means) - 1
    assert found.right[found.best]
    assert found.one_standard_error >= found.best
    assert means[0] > means[found.best] + found.standard_error
    assert means[-1] == pytest.approx(found.chance, rel=0.05)
    train = found.mean(found.train_losses)
    assert train[0] < 0.5 * means[0], "a wide gap at the weak end"
    assert train[-1] > 0.9 * means[-1], "and none at the strong end"
    norms = np.linalg.norm(found.weight_norms, axis=1)
    assert (np.diff(norms) < 0.02 * norms[0]).all(), "the weights shrink all the way"
    assert found.units.shape == (8, 3)


def test_diverged_points_are_counted_and_never_chosen() -> None:
    """Gradient descent diverges where the learning rate times l2 is above 2."""
    found = plain("l2", [0.1, 2.0, 4e4, 4e5], training=replace(GD, epochs=90))
    assert found.diverged.tolist() == [0, 0, 0, 6, 6]
    assert np.isnan(found.losses[3:]).all()
    assert found.loss[3] is found.score[4] is found.train_loss[4] is None
    assert max(found.best, found.one_standard_error) < 3
    assert not found.right[3:].any()
    assert np.isnan(found.weight_norms[3:]).all()
    assert np.isnan(found.out_of_fold[3:]).all()
    with pytest.raises(SettingError, match=r"All 3 points of the path along l2 have diverged members.*rate 90 is too"):
        plain("l2", [0.1, 0.2], table=made("regression"), training=replace(GD, learning_rate=90.0, epochs=200))


def test_a_point_with_one_diverged_member_has_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = path_reading.read_path

    def spoiled(histories, data, asked):
        histories[1][0] = replace(histories[1][0], status="diverged")
        return kept(histories, data, asked)

    monkeypatch.setattr("wellfit.select.path.read_path", spoiled)
    found = plain("l2", [0.1, 0.3])
    assert found.diverged.tolist() == [0, 1, 0]
    assert found.loss[1] is None
    assert found.best != 1
    assert np.isfinite(found.out_of_fold[1]).all(), "its other seed still predicts these rows"


def test_a_training_may_be_the_fields_in_which_it_differs() -> None:
    found = football("l2", [0.01], training={"epochs": 3, "learning_rate": 0.01})
    assert "lr 0.01 " in found.training
    assert found.training.endswith("3 epochs")
    short, long = (football(o, 30, training={"learning_rate": 1e-9}, network="2") for o in ("l2", "early_stopping"))
    assert int(long.training.split()[-2]) >= int(short.training.split()[-2]), "one training serves all epochs"


def test_groups_and_times_are_kept_to() -> None:
    found = plain("l2", [0.1], table=made(groups=np.repeat(np.arange(3), 20)), folds=5)
    assert found.folds == 3
    assert found.losses.shape == (2, 3, 2)
    late = plain("l2", [0.1], table=made(times=np.arange(60.0)))
    assert late.rows.min() > 0
