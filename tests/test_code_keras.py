"""The Keras scripts that `code` prints take our steps, and say what Keras lacks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from code_scripts import (
    LOSSES,
    TRAININGS,
    WEIGHTED,
    Whole,
    check_predictions,
    cut,
    data_for,
    furthest,
    run,
    text_for,
    trained,
)
from peers import KERAS_WARNING, STEPS, TASKS, Trainer, apart, import_keras, keras_floats, sample

from wellfit.cocktail import L1, L2, Dropout, EarlyStopping, WeightDecay, as_cocktail
from wellfit.nets import MLP, Training


@pytest.fixture
def keras(tmp_path_factory, monkeypatch):
    """Keras in float64 throughout, as with TensorFlow (see test_dialects_keras), and as it was afterwards."""
    pytest.importorskip("torch")
    module = import_keras(tmp_path_factory.mktemp("keras"))
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    with keras_floats(module, module.config.floatx()):
        yield module


def _keras_pairs(space):
    return [(w.T.copy(), b.copy()) for w, b in (layer.get_weights() for layer in _dense(space))]


def _dense(space):
    return [layer for layer in space["model"].layers if hasattr(layer, "kernel")]


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize(
    ("task", "cocktail", "how"),
    [
        ("binary", "l2=(0.05, 0, 0.2)", "gd"),
        ("binary", "weight_decay=(0.3, 0, 0.1)", "gd"),
        ("multiclass", "l2=0.05 + weight_decay=0.1", "momentum"),
        ("multiclass", "weight_decay=(0.3, 0, 0.3)", "adam"),
        ("regression", "l2=0.05", "adamw cosine"),
        ("regression", "none", "gd"),
    ],
)
def test_keras_script_takes_our_steps(keras, task, cocktail, how):
    network = MLP((6, 4), {"binary": "tanh", "multiclass": "gelu", "regression": "silu"}[task])
    training = Training(**TRAININGS[how], epochs=STEPS, batch_size=None, precision="float64")
    head, tail = cut(text_for(network, cocktail, training, task, "keras"), "epochs, batch_size")
    space = run(head, task)
    for layer in _dense(space):
        w, b = layer.get_weights()
        layer.set_weights([w, b + 0.1 * (1 + np.arange(len(b)))])
    weights = _keras_pairs(space)
    run(tail, task, space=space)
    trainer = trained(network, cocktail, training, task, weights, eps_early=True)
    assert apart(trainer, _keras_pairs(space)) < 1e-9
    assert apart(trainer, weights) > 1e-2
    check_predictions(space, task)


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize("task", TASKS)
def test_keras_script_with_everything(keras, task):
    cocktail = L1(1e-3) + L2((1e-2, 0.0, 1e-3)) + WeightDecay(1e-3) + Dropout(0.1) + EarlyStopping(3, min_delta=1e-3)
    training = Training(learning_rate=0.02, epochs=12, batch_size=25)
    text = text_for(MLP((16, 8)), cocktail, training, task, "keras", rows=121)
    space = run(text, task, rows=151)
    check_predictions(space, task, rows=151)
    model = space["model"]
    s = cocktail.resolve(3)
    ours = Trainer(task, _keras_pairs(space), l1=s.l1, l2=s.l2).penalty()
    assert float(sum(model.losses).detach()) == pytest.approx(ours, rel=1e-5)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.1, 0.1]
    optimizer = model.optimizer
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert optimizer.weight_decay == 1e-3
    assert [optimizer._use_weight_decay(v) for layer in _dense(space) for v in (layer.kernel, layer.bias)] == [
        True,
        False,
    ] * 3
    stopping = space["stopping"]
    assert (stopping.patience, abs(stopping.min_delta), stopping.monitor) == (3, 1e-3, "val_plain_loss")
    # What was watched is the loss without penalty, and the weights kept are the best.
    kind = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[task]
    mine = Trainer(kind, _keras_pairs(space)).loss(space["X_stop"].astype(float), space["y_stop"].reshape(-1))
    assert stopping.best == pytest.approx(mine, rel=1e-4)


@pytest.mark.filterwarnings(KERAS_WARNING)
def test_keras_script_starts_as_we_do_and_spreads_the_cosine_over_all_steps(keras):
    training = Training(learning_rate=0.02, epochs=2, batch_size=16, schedule="cosine")
    head, tail = cut(text_for(MLP((400, 300)), "none", training, "binary", "keras"), "epochs, batch_size")
    space = run(head, "binary")
    spreads = [float(w.std()) for w, _ in _keras_pairs(space)]
    assert spreads == pytest.approx([(2 / 5) ** 0.5, (2 / 400) ** 0.5, (1 / 300) ** 0.5], rel=0.15)
    assert not any(b.any() for _, b in _keras_pairs(space))
    run(tail, "binary", space=space)
    assert int(space["optimizer"].iterations) == space["steps"] == 2 * 3
    assert float(space["rate"](5)) == pytest.approx(0.01 * (1 + math.cos(math.pi * 5 / 6)), rel=1e-6)


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize(
    ("task", "cocktail", "how"),
    [
        ("multiclass", "batch_norm + l2=0.05 + weight_decay=0.1", "adam"),
        ("binary", "label_smoothing=0.2 + max_norm=(1.2, inf, 0.9) + gradient_clipping=0.05", "momentum"),
        ("multiclass", "label_smoothing=0.2 + l2=0.1", "gd"),
        ("regression", "gradient_clipping=0.05 + weight_decay=0.1", "momentum"),
    ],
)
def test_keras_script_takes_our_steps_with_new_ingredients(keras, task, cocktail, how):
    training = Training(**TRAININGS[how], epochs=STEPS, batch_size=None, precision="float64", loss=LOSSES[task],
                        class_weights=WEIGHTED[task])  # fmt: skip
    ours, space = whole_against_keras(keras, cocktail, training, task)
    tolerance = 1e-4 if "max_norm" in cocktail else 1e-9  # Keras adds 1e-7 to a norm, at every step
    assert (
        furthest([p for pair in ours.weights for p in pair], [p for pair in _keras_pairs(space) for p in pair])
        < tolerance
    )
    norms = [m for m in space["model"].layers if isinstance(m, keras.layers.BatchNormalization)]
    assert len(norms) == (2 if "batch_norm" in cocktail else 0)
    for norm, units, (mean, var) in zip(norms, ours.units, ours.running, strict=False):
        found = norm.get_weights()
        assert furthest([*units, mean], found[:3]) < 1e-9
        assert 1e-4 < furthest([var], found[3:]) < 0.05  # as the script's comment says
    check_predictions(space, task)


def whole_against_keras(keras, cocktail, training, task, activation="tanh"):
    """Ours and the script's names after 20 full-batch steps from equal weights."""
    head, tail = cut(text_for(MLP((6, 4), activation), cocktail, training, task, "keras"), "epochs, batch_size")
    space = run(head, task)
    weights = _keras_pairs(space)
    run(tail, task, space=space)
    ours = Whole(task, weights, as_cocktail(cocktail).resolve(3), training, activation, eps_early=True)
    return ours.run(*sample(task)[:2]), space


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize(
    ("loss", "schedule"),
    [("absolute", "one_cycle"), ("huber:0.3", "flat_cosine"), ("quantile:0.9", "constant")],
)
def test_keras_script_has_our_losses_and_schedules(keras, loss, schedule):
    training = Training("adam", 0.02, STEPS, None, schedule, precision="float64", loss=loss)
    ours, space = whole_against_keras(keras, "none", training, "regression", "leaky_relu")
    assert (
        furthest([p for pair in ours.weights for p in pair], [p for pair in _keras_pairs(space) for p in pair]) < 1e-9
    )
    check_predictions(space, "regression")


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize("task", TASKS)
def test_keras_script_with_everything_new(keras, task):
    classes = task != "regression"
    cocktail = "batch_norm + dropout=0.1:schedule=cosine + input_dropout=0.1 + input_noise=0.05 + max_norm=3"
    cocktail += " + gradient_clipping=1 + ema=0.9 + early_stopping=4" + (
        ":on=score + label_smoothing=0.1" if classes else ""
    )
    extra = {"class_weights": "balanced"} if classes else {"loss": "quantile:0.4"}
    training = Training(learning_rate=0.02, epochs=12, batch_size=25, schedule="one_cycle", **extra)
    text = text_for(MLP((16, 8), "leaky_relu"), cocktail, training, task, "keras", rows=121)
    plain = " ".join(line.removeprefix("# ") for line in text.splitlines())
    assert "LEFT OUT: Keras's use_ema has no warm-up" in plain
    assert "LEFT OUT: Keras has no schedule for the strength of dropout" in plain
    space = run(text, task, rows=151)
    check_predictions(space, task, rows=151)
    kinds = [type(layer).__name__ for layer in space["model"].layers]
    hidden = ["Dense", "BatchNormalization", "LeakyReLU", "Dropout"]
    assert kinds == ["GaussianNoise", "Dropout", *hidden, *hidden, "Dense"]
    assert space["optimizer"].global_clipnorm == 1
    assert space["stopping"].monitor == ("val_accuracy" if classes else "val_plain_loss")
    x, y = data_for(task, rows=151)
    found = space["predict"](x[space["stop"]])
    y = y[space["stop"]]
    if classes:
        right = found.argmax(1) if task == "multiclass" else found > 0.5
        assert space["stopping"].best == pytest.approx(np.mean(right == y))
    else:
        r = (y - found) / space["y_scale"]
        assert space["stopping"].best == pytest.approx(np.mean(np.maximum(0.4 * r, -0.6 * r)), rel=1e-4)


def test_keras_leaves_out_what_it_lacks_and_says_so():
    text = text_for(
        MLP((4,)),
        "mixup=0.2 + group_lasso=0.1 + gradient_clipping=1 + l2=0.1:schedule=cosine",
        Training("gd", 0.1),
        "binary",
        "keras",
    )
    plain = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for words in (
        "LEFT OUT: Keras's MixUp draws",
        "LEFT OUT: Keras has no group_lasso",
        "LEFT OUT: Keras clips the gradient with the penalty in it",
        "LEFT OUT: Keras has no schedule for the strength of l2",
    ):
        assert words in plain, words
    assert "clipnorm" not in text
    assert "global_clipnorm" in text_for(MLP((4,)), "gradient_clipping=1", Training(), "binary", "keras")


def test_keras_patience_is_told_in_epochs():
    cocktail = as_cocktail(EarlyStopping(4))
    for epochs, patience in ((100, 4), (255, 4), (510, 8)):
        text = text_for(MLP((4,)), cocktail, Training(epochs=epochs), "binary", "keras")
        assert f"patience={patience}," in text


def test_keras_comments_on_what_it_cannot():
    uneven = text_for(MLP((4,)), WeightDecay((0.1, 0.2)), Training("adam"), "binary", "keras")
    assert "LEFT OUT: Keras has one weight_decay" in uneven
    assert "subgradient" in text_for(MLP((4,)), L1(0.1), Training(), "binary", "keras")
    momentum = Training("sgd", momentum=0.9, schedule="cosine")
    assert "velocity" in text_for(MLP((4,)), None, momentum, "binary", "keras")
    assert "merges" in text_for(MLP((4,)), None, Training(batch_size=13), "binary", "keras")
