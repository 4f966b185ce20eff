"""The axes of paths: where they end, which points they have, and what is refused before any training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy_engine import NumpyEngine
from test_path import ADAM, football, made, plain

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets import Training
from wellfit.nets.training import checkpoints
from wellfit.select.axes import AXES, as_over, cap_of
from wellfit.select.path import MAX_POINTS, MIN_POINTS, path

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


def test_a_fold_without_weight_is_refused_before_any_training() -> None:
    weights, engine = np.repeat([0.0, 1.0, 1.0], 20), NumpyEngine()
    table = made(groups=np.repeat(np.arange(3), 20), weights=weights)
    with pytest.raises(SettingError, match=r"In fold \d of 3 every validation row has the weight 0"):
        plain("l2", table=table, engine=engine)
    assert engine.advanced == []
