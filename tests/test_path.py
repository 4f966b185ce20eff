"""Paths: where they end, what is read off them, warm starts, and that they are the comparison's own members."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy_engine import NumpyEngine

import wellfit as wf
from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.data import folds as cut
from wellfit.data import load, prepare
from wellfit.engines.base import history
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import SettingError, UnsupportedError
from wellfit.executors import Threads
from wellfit.ledger import Ledger, MemoryLedger
from wellfit.nets import MLP, Training
from wellfit.nets.training import checkpoints
from wellfit.population import plan
from wellfit.records import Path, Table
from wellfit.select import path_reading
from wellfit.select.axes import AXES, Over, as_over, cap_of
from wellfit.select.compare import compare, seeds_of
from wellfit.select.path import MAX_POINTS, MIN_POINTS, path
from wellfit.select.path_reading import one_standard_error, read_warm

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


# Axes ----------------------------------------------------------------------------------------------------------------

SGD = Training("sgd", 0.1, epochs=40, batch_size=32)
ON_TABLES = [name for name in AXES if name != "augment"]  # that one is for images
FLAT = ("l1", "l2", "elastic_net", "group_lasso", "weight_decay", "max_norm")


@pytest.mark.parametrize("name", ON_TABLES)
def test_every_axis_runs_from_none_to_its_end(name: str) -> None:
    found = football(name, training=SGD if name == "group_lasso" else ADAM)
    s, axis = found.strengths, AXES[name]
    assert found.over == name
    assert found.cocktails[0] == "none"
    assert len(s) == len(set(s)) == len(found.cocktails) == 6
    falling = axis.spacing in ("bound", "epochs")
    assert (np.diff(s) < 0).all() if falling else (np.diff(s) > 0).all()
    assert s[0] == {"bound": math.inf, "epochs": 40.0}.get(axis.spacing, 0.0)
    assert name in found.end or "mean" in found.end or "epoch 0" in found.end
    if axis.spacing == "log":
        low = 10**-axis.decades
        assert s[1] / s[-1] == pytest.approx(max(low, axis.least / s[-1]), rel=0.02)
        np.testing.assert_allclose(np.diff(np.log(s[1:])), np.log(s[-1] / s[1]) / 4, rtol=0.02)
    if axis.spacing == "even":
        np.testing.assert_allclose(np.diff(s), s[-1] / 5, atol=1e-3)
    if axis.spacing != "epochs":
        for strength, cocktail in zip(s[1:], found.cocktails[1:], strict=True):
            assert as_cocktail(cocktail) == as_cocktail(axis.kind(float(strength)))


@pytest.mark.parametrize("name", FLAT)
def test_a_penalty_ends_where_the_network_predicts_the_mean(name: str) -> None:
    found = football(name, training=SGD if name == "group_lasso" else ADAM)
    assert "from where on the network predicts the mean" in found.end
    assert f"{found.strengths[-1]:.3g}" in found.end
    spread = found.out_of_fold[:, :, 0].std(axis=1)
    assert spread[-1] < 0.05, "at the end all predictions of a fold are nearly the same"
    assert spread[0] > 0.2
    last, first = found.mean(found.losses)[-1], found.mean(found.losses)[0]
    assert last == pytest.approx(found.chance, rel=0.06)
    assert first < 0.6 * found.chance


@pytest.mark.parametrize(
    ("name", "end"), [("dropout", 0.95), ("input_dropout", 0.95), ("label_smoothing", 1.0), ("mixup", 32.0)]
)
def test_a_rate_ends_with_its_range(name: str, end: float) -> None:
    found = football(name)
    assert found.strengths[-1] == end
    assert found.end == f"It ends at {end:g}, the end of the range of {name}."
    assert found.losses.shape == (6, 3, 1)


def test_a_rate_ends_earlier_where_the_network_already_predicts_the_mean() -> None:
    """Label smoothing at 1 teaches nothing; a network that hardly learns is flat much earlier."""
    slow = replace(ADAM, epochs=1, learning_rate=1e-9)
    found = path(made(), "label_smoothing", points=3, network="4", training=slow, seeds=1, folds=2, engine=Flat())
    assert found.strengths.tolist() == [0.0, 0.125, 0.25]
    assert found.end == "It ends at 0.25, from where on the network predicts the mean."
    tiny = path(made(), "mixup", points=3, network="4", training=slow, seeds=1, folds=2, engine=Flat())
    assert tiny.strengths[1] >= 1e-3, "mixup knows nothing between 0 and 0.001"


class Flat(CompiledEngine):
    """An engine whose networks start, and so stay, at zero."""

    def init(self, members, data):
        return [s.with_parameters(np.zeros_like(s.parameters)) for s in super().init(members, data)]


def test_the_cap_binds_where_the_step_would_overshoot_first_and_the_sentence_says_so() -> None:
    hot = Training("gd", 3.0, epochs=2, batch_size=None)
    found = football("l2", training=hot)
    assert found.strengths[-1] == 0.333
    assert "It ends at 0.333, where the learning rate (3) times l2 is 1: beyond, a step overshoots." in found.end
    assert found.out_of_fold[-1].std() > 0.01, "and there the network does not yet predict the mean"
    for rate, cap in ((3.0, 0.333), (0.0015, 666.0), (0.5, 2.0), (1e-3, 1000.0)):
        got = cap_of(as_over("l2"), Training("gd", rate))
        assert got == pytest.approx(cap)
        assert got * rate <= 1 + 1e-9
    assert cap_of(as_over("elastic_net:l1_ratio=0.9"), Training("gd", 1.0)) == 10.0
    assert cap_of(as_over("elastic_net:l1_ratio=1"), Training("gd", 1.0)) == math.inf
    assert cap_of(as_over("l1"), Training("gd", 1.0)) == math.inf


@pytest.mark.parametrize(("epochs", "points"), [(1, 30), (2, 3), (40, 30), (400, 30), (30_000, 12)])
def test_epochs_are_checkpoints_from_all_to_none(epochs: int, points: int) -> None:
    """Between two checkpoints no loss is measured, so none could be shown."""
    if epochs <= 400:
        slow = Training("gd", 0.01, epochs=epochs, batch_size=None)
        found = plain("early_stopping", points, seeds=1, folds=2, training=slow).strengths
    else:
        from wellfit.select.axes import _epochs, epochs_at

        found = epochs_at(_epochs(epochs, points), Training(epochs=epochs))
    assert found[0] == epochs
    assert found[-1] == 0
    assert set(found) <= set(checkpoints(epochs).tolist())
    assert len(found) <= points
    if epochs == 40:
        assert found[-6:].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("value", "cocktail"),
    [
        (wf.L2, "l2=0.5"),
        ("L2", "l2=0.5"),
        (" weight-decay ", "weight_decay=0.5"),
        (wf.ElasticNet(7, l1_ratio=0.9), "elastic_net=0.5:l1_ratio=0.9"),
        ("elastic_net:l1_ratio=0.9", "elastic_net=0.5:l1_ratio=0.9"),
        ("dropout=0.3:schedule=cosine", "dropout=0.5:schedule=cosine"),
        (wf.L2((2e-3, 1e-3, 0)), "l2=(0.5, 0.25, 0)"),
        ("l2=(2, 1)", "l2=(0.5, 0.25)"),
        ("l2=1e-3", "l2=0.5"),
        ("early_stopping=20:on=score", "none"),
        (wf.MaxNorm((2, 4, math.inf)), "max_norm=(0.5, 1, inf)"),
        (wf.L2((0, 0)), "l2=0.5"),
    ],
)
def test_an_ingredient_keeps_its_options(value, cocktail: str) -> None:
    assert str(as_over(value).cocktail(0.5)) == cocktail


def test_a_base_cocktail_stays_and_is_where_the_path_begins() -> None:
    found = football("l2", points=3, cocktail=wf.Dropout(0.2))
    assert found.base == found.cocktails[0] == "dropout=0.2"
    assert found.cocktails[1].endswith(" + dropout=0.2")
    stops = football("l2", points=[0.01], cocktail="early_stopping=5")
    assert stops.cocktails == ("early_stopping=5", "l2=0.01 + early_stopping=5")
    assert np.isfinite(stops.losses).all()


# Points that are given -----------------------------------------------------------------------------------------------


def test_given_strengths_are_sorted_and_none_comes_first() -> None:
    found = plain("l2", [0.1, 0.01, 0.1])
    assert found.strengths.tolist() == [0.0, 0.01, 0.1]
    assert found.end == "The strengths were given."
    assert football("max_norm", [1, 3]).strengths.tolist() == [math.inf, 3.0, 1.0]
    assert plain("early_stopping", [3, 7.2, 0]).strengths.tolist() == [12.0, 7.0, 3.0, 0.0]
    assert plain("l2", np.array([0.5])).strengths.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("over", "more", "words"),
    [
        ("abc", {}, "no path along abc. Paths run along: l1, l2"),
        (wf.BatchNorm, {}, "no path along batch_norm"),
        (wf.EMA(0.9), {}, "no path along ema"),
        (3, {}, "no path along 3"),
        (None, {}, "no path along none"),
        ("l2:bogus=1", {}, "bogus"),
        ("l2=much", {}, "l2"),
        ("l2=0.1 + dropout=0.2", {}, "no path along l2=0.1 + dropout=0.2"),
        ("l2", dict(cocktail="l2=0.1 + dropout=0.1"), "must not hold it"),
        ("l2", dict(cocktail="elastic_net=0.1"), "elastic_net"),
        ("l2", dict(cocktail="drop=0.1"), "did you mean dropout"),
        ("l2", dict(points=1), f"whole number from {MIN_POINTS} to {MAX_POINTS}"),
        ("l2", dict(points=True), "whole number from"),
        ("l2", dict(points=MAX_POINTS + 1), "whole number from"),
        ("l2", dict(points="abc"), "or a list of strengths; not 'abc'"),
        ("l2", dict(points=[]), "or a list of strengths"),
        ("l2", dict(points=["abc"]), "or a list of strengths"),
        ("l2", dict(points=[[0.1, 0.2]]), "or a list of strengths"),
        ("l2", dict(points=2.5), "or a list of strengths"),
        ("l2", dict(points=[0.1, -0.1]), "l2 cannot be negative"),
        ("l2", dict(points=[math.nan]), "l2"),
        ("l2", dict(points=[math.inf]), "l2"),
        ("max_norm", dict(points=[0.0]), "max_norm"),
        ("dropout", dict(points=[1.0]), "dropout"),
        ("label_smoothing", dict(points=[1.1]), "label_smoothing"),
        ("mixup", dict(points=[1e-4]), "mixup"),
        ("early_stopping", dict(points=[-1]), "epochs from 0 to 12; not -1"),
        ("early_stopping", dict(points=[13]), "epochs from 0 to 12; not 13"),
        ("early_stopping", dict(points=[math.nan]), "epochs from 0 to 12; not nan"),
        ("l2", dict(folds=1), "folds"),
        ("l2", dict(seeds=0), "seeds"),
        ("l2", dict(metric="rmse"), "rmse does not fit"),
    ],
)
def test_bad_inputs_are_refused_before_any_training(over, more: dict, words: str) -> None:
    engine = NumpyEngine()
    with pytest.raises(SettingError) as told:
        plain(over, engine=engine, **{"points": 5, **more})
    assert words in str(told.value)
    assert engine.advanced == []


def test_what_cannot_be_trained_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"dropout=0\.5 cannot be trained with the network linear"):
        football("dropout", network="linear")
    with pytest.raises(UnsupportedError, match=r"group_lasso=0\.5"):
        football("group_lasso")
    with pytest.raises(UnsupportedError, match="label_smoothing"):
        path(made("regression"), "label_smoothing", points=3, network="4", training=ADAM, seeds=1, folds=2)


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


# Warm starts ---------------------------------------------------------------------------------------------------------


def test_warm_starts_begin_as_the_independent_ones_and_then_differ() -> None:
    found = plain("l2", [0.01, 0.1, 1.0], warm=True, training=replace(GD, epochs=5))
    warm = found.warm
    assert warm is not None
    np.testing.assert_array_equal(warm.losses[0], found.losses[0])
    assert (warm.losses[1:] != found.losses[1:]).all()
    assert warm.differences[0].word == "undecided"
    assert warm.differences[0].interval.mean == 0
    assert "over 3 points the validation loss differs by" in warm.sentence
    assert f"{found.mean(found.losses).min():.3g} without" in warm.sentence
    cold = plain("l2", [0.01, 0.1, 1.0], training=replace(GD, epochs=5))
    np.testing.assert_array_equal(cold.losses, found.losses)
    assert cold.warm is None
    assert plain("early_stopping", [3], warm=True).warm is None, "one training serves all its points already"


def test_a_warm_point_is_its_neighbour_trained_on() -> None:
    table, short = made(), replace(GD, epochs=4)
    found = plain("l2", [0.5], table=table, training=short, warm=True, seeds=1, folds=2)
    data = prepare(table, list(cut(table, np.arange(60), folds=2, seed=0)))
    engine = NumpyEngine()
    for k in range(2):
        first, second = (
            plan(data, folds=2, cocktails=(as_cocktail(c),), networks=(MLP((5,)),), trainings=(short,))[k]
            for c in found.cocktails
        )
        (before,) = engine.advance([first], engine.init([first], data), [4], data)
        begin = engine.init([second], data)[0].with_parameters(before.parameters)
        (after,) = engine.advance([second], [begin], [4], data)
        assert found.warm.losses[1, k, 0] == history(second, after, data).curves["score_loss"][-1]


def test_warm_starts_that_cannot_be_compared_say_so() -> None:
    found = plain("l2", [4e4], training=replace(GD, epochs=90), warm=True)
    assert found.warm.differences[1] is None
    assert found.warm.sentence.startswith("Warm starts cannot be compared")
    lost = [[replace(h, status="diverged") for h in _histories(found)] for _ in range(2)]
    assert read_warm(lost, found, _data()).sentence.startswith("Warm starts cannot be compared")


def _data():
    return prepare(made(), list(cut(made(), np.arange(60), folds=3, seed=0)))


def _histories(found: Path) -> list:
    data, engine = _data(), NumpyEngine()
    members = plan(data, folds=3, networks=(MLP((5,)),), trainings=(GD,), seeds=(0, 1))
    return [history(m, s, data) for m, s in zip(members, engine.init(members, data), strict=True)] if found else []


# Ledger, interrupts, repetition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_a_ledger_makes_the_second_call_free_and_equal(over: str, tmp_path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        first = plain(over, ledger=ledger, warm=True)
        engine = NumpyEngine()
        second = plain(over, ledger=ledger, engine=engine, warm=True)
        assert engine.advanced == []
        assert digest(first) == digest(second)
        more = plain(over, [3.0], ledger=ledger, engine=engine)
        assert engine.advanced or more.strengths[1] in first.strengths
    plainly_again = plain(over, warm=True)
    assert digest(plainly_again) == digest(first)


def digest(found: Path) -> str:
    parts = [found.losses, found.train_losses, found.scores, found.out_of_fold, *found.curves.values(), found.units]
    if found.warm is not None:
        parts.append(found.warm.losses)
    return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_ctrl_c_keeps_what_is_trained(over: str) -> None:
    class Impatient(NumpyEngine):
        def _member(self, m, state, until, data):
            if len({(str(a.cocktail), a.fold, a.seed) for a in self.advanced}) > 8 or len(self.advanced) > 40:
                raise KeyboardInterrupt
            return super()._member(m, state, until, data)

    class OneByOne:
        """Runs members in order; an interrupt comes up where it falls, after what has ended was handed over."""

        def run(self, engine, members, data, *, states=None, until=None, progress=None, keep=None):
            begun = engine.init(members, data) if states is None else states
            for i, member in enumerate(members):
                end = member.training.epochs if until is None else until[i]
                state = begun[i]
                for epoch in range(1, end + 1):
                    (state,) = engine.advance([member], [state], [epoch], data)
                yield i, state

    ledger, grid = MemoryLedger(), [0.01, 0.1, 0.3] if over == "l2" else [1, 3, 7]
    with pytest.raises(KeyboardInterrupt):
        plain(over, grid, ledger=ledger, engine=Impatient(), executor=OneByOne())
    kept = len(list(ledger.keys()))
    assert kept > 0
    engine = NumpyEngine()
    continued = plain(over, grid, ledger=ledger, engine=engine)
    assert digest(continued) == digest(plain(over, grid))
    members = {(str(m.cocktail), m.fold, m.seed) for m in engine.advanced}
    points = 4 if over == "l2" else 1
    assert len(members) == 6 * points - kept // (1 if over == "l2" else 4)


def test_equal_calls_give_equal_paths_on_any_number_of_threads() -> None:
    found = {digest(football("dropout", 4, executor=Threads(n), warm=True)) for n in (1, 2)}
    assert len(found) == 1
    assert digest(football("dropout", 4, seed=1)) not in found


@pytest.mark.parametrize("over", ["l2", "early_stopping"])
def test_progress_reaches_the_total_each_time(over: str) -> None:
    calls: list[tuple[int, int]] = []
    ledger = MemoryLedger()
    plain(over, [3.0, 7.0], warm=True, ledger=ledger, progress=lambda done, total: calls.append((done, total)))
    assert calls[0][0] == 0
    assert calls[-1][0] == calls[-1][1] > 0
    assert len({total for _, total in calls}) == 1, "one population, and the warm one as large"
    assert sum(a[0] > b[0] for a, b in itertools.pairwise(calls)) == (over == "l2")
    again: list[tuple[int, int]] = []
    plain(over, [3.0, 7.0], ledger=ledger, progress=lambda done, total: again.append((done, total)))
    assert again == [calls[-1]]


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


def test_a_fold_without_weight_is_refused_before_any_training() -> None:
    weights, engine = np.repeat([0.0, 1.0, 1.0], 20), NumpyEngine()
    table = made(groups=np.repeat(np.arange(3), 20), weights=weights)
    with pytest.raises(SettingError, match=r"In fold \d of 3 every validation row has the weight 0"):
        plain("l2", table=table, engine=engine)
    assert engine.advanced == []
