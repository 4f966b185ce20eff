"""Keras's row of the dialects table against Keras itself, in float64; the compiled engine against Keras's losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from peers import KERAS_WARNING, STEPS, TASKS, Trainer, apart, import_keras, keras_floats, sample, start
from test_dialects import NETWORK, ours

from wellfit.cocktail import L1, L2, Cocktail, Dropout, EarlyStopping, WeightDecay, as_cocktail
from wellfit.cocktail.dialects import from_dialect, to_dialect
from wellfit.engines.base import Member, history
from wellfit.engines.compiled import CompiledEngine
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData


@pytest.fixture(scope="module")
def keras_as_shipped(tmp_path_factory):
    """Keras with float64 weights. On the torch backend it still multiplies matrices in float32, as JAX would."""
    pytest.importorskip("torch")
    with keras_floats(import_keras(tmp_path_factory.mktemp("keras")), "float64") as module:
        yield module


@pytest.fixture
def keras(keras_as_shipped, monkeypatch):
    """Keras in float64 throughout, as it is with TensorFlow: its one rule that turns float64 to float32 is off."""
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    return keras_as_shipped


def keras_model(keras, weights, activation, arguments, link=None):
    """Dense layers with the dialect's per-layer regularizers and the given weights."""
    layers = len(weights)

    def each(name):
        value = arguments.get(name, 0.0)
        return value if isinstance(value, tuple) else (value,) * layers

    dense = [
        keras.layers.Dense(
            len(w),
            activation=activation if i < layers - 1 else link,
            kernel_regularizer=keras.regularizers.L1L2(l1=l1, l2=l2),
        )
        for i, ((w, _), l1, l2) in enumerate(zip(weights, each("l1"), each("l2"), strict=True))
    ]
    model = keras.Sequential([keras.Input((weights[0][0].shape[1],)), *dense])
    model.set_weights([part for w, b in weights for part in (w.T, b)])
    return model, dense


def keras_weights(dense):
    parts = [layer.get_weights() for layer in dense]
    return [(w.T, b) for w, b in parts]


def digits():
    """The first 400 digits, (400, 64) in [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[:400] / 16, y[:400]


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize(("arithmetic", "tolerance"), [("keras_as_shipped", 1e-6), ("keras", 1e-9)])
@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_keras_softmax_network_128_64_10_has_our_losses(request, arithmetic, tolerance, optimizer):
    keras = request.getfixturevalue(arithmetic)
    x, y = digits()
    weights = start(MLP((128, 64)), 64, 10)
    cocktail = from_dialect("keras", l2=(0.001, 0.001, 0))
    assert cocktail == Cocktail((L2((0.002, 0.002, 0)),))
    assert to_dialect(cocktail, "keras", layers=3).arguments == {"l2": (0.001, 0.001, 0)}
    model, _ = keras_model(keras, weights, "relu", {"l2": (0.001, 0.001, 0.0)}, link="softmax")
    lr = 0.1 if optimizer == "gd" else 1e-3
    step = keras.optimizers.SGD(lr) if optimizer == "gd" else keras.optimizers.Adam(lr, epsilon=1e-7)
    model.compile(step, loss="sparse_categorical_crossentropy")
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    trainer = ours(cocktail, weights, "multiclass", optimizer=optimizer, lr=lr, eps=1e-7, eps_early=True)
    losses = []
    for _ in range(STEPS):
        plain = float(loss_of(y, model(x)).detach())
        penalty = float(sum(model.losses).detach())
        assert trainer.loss(x, y) == pytest.approx(plain, rel=0, abs=tolerance)
        assert trainer.loss(x, y) + trainer.penalty() == pytest.approx(plain + penalty, rel=0, abs=tolerance)
        losses.append(plain + penalty)
        model.train_on_batch(x, y)
        trainer.step(x, y)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_compiled_engine_has_the_losses_of_the_keras_network(keras, optimizer):
    x, y = digits()
    network, l2 = MLP((128, 64)), (0.001, 0.001, 0.0)
    weights = start(network, 64, 10)
    lr = 0.1 if optimizer == "gd" else 1e-3
    model, _ = keras_model(keras, weights, "relu", {"l2": l2}, link="softmax")
    step = keras.optimizers.SGD(lr) if optimizer == "gd" else keras.optimizers.Adam(lr, epsilon=1e-8)
    model.compile(step, loss="sparse_categorical_crossentropy")
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    theirs = []
    for i in range(STEPS + 1):
        theirs.append((float(loss_of(y, model(x)).detach()), float(sum(model.losses).detach())))
        if optimizer == "adam":
            step.epsilon = 1e-8 * math.sqrt(1 - 0.999 ** (i + 1))  # Keras adds it before it corrects the bias
        model.train_on_batch(x, y)

    everything, nobody = np.arange(len(x)), np.empty(0, np.int64)
    fold = FoldData(x, np.eye(10)[y], Fold(everything, nobody, everything))
    data = TrainingData("multiclass", 10, (fold,))
    training = Training(optimizer, lr, STEPS, None, precision="float64")
    member = Member(network, from_dialect("keras", l2=l2), training, seed=0, fold=0)
    engine = CompiledEngine()
    [state] = engine.init([member], data)
    [state] = engine.advance([member], [state.with_parameters(network.pack(weights))], [STEPS], data)
    ours = history(member, state, data).curves
    assert len(ours["train_loss"]) == STEPS + 1
    for name, values in zip(("train_loss", "penalty"), zip(*theirs, strict=True), strict=True):
        assert np.abs(ours[name] - np.array(values)).max() < 1e-6


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("arguments", "optimizer", "momentum"),
    [
        ({"l2": 0.03}, "SGD", 0.9),
        ({"weight_decay": 0.05}, "AdamW", 0.0),
        ({"weight_decay": (0.05, 0.0, 0.05), "l2": (0.01, 0.0, 0.02)}, "SGD", 0.9),
    ],
)
def test_keras_takes_our_steps(keras, task, arguments, optimizer, momentum):
    x, y, k = sample(task)
    weights = start(NETWORK, 5, k)
    cocktail = from_dialect("keras", **arguments)
    told = to_dialect(cocktail, "keras", layers=3)
    assert told.arguments == arguments
    model, dense = keras_model(keras, weights, "tanh", told.arguments)
    decays = arguments.get("weight_decay", 0.0)
    options = {"weight_decay": max(decays) if isinstance(decays, tuple) else decays or None}
    options |= {"momentum": momentum} if optimizer == "SGD" else {"epsilon": 1e-7}
    step = getattr(keras.optimizers, optimizer)(0.05, **options)
    bare = [layer.kernel for layer, d in zip(dense, decays, strict=True) if d == 0] if isinstance(decays, tuple) else []
    step.exclude_from_weight_decay(var_list=[layer.bias for layer in dense] + bare)
    losses = {
        "binary": keras.losses.BinaryCrossentropy(from_logits=True),
        "multiclass": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "regression": keras.losses.MeanSquaredError(),
    }
    model.compile(step, loss=losses[task])
    how = (
        {"optimizer": "sgd", "momentum": momentum}
        if optimizer == "SGD"
        else {"optimizer": "adam", "eps": 1e-7, "eps_early": True}
    )
    trainer = ours(cocktail, weights, task, activation="tanh", lr=0.05, **how)
    for _ in range(STEPS):
        model.train_on_batch(x, y if task == "multiclass" else np.reshape(y, (-1, 1)).astype(float))
        trainer.step(x, y)
    assert apart(trainer, keras_weights(dense)) < 1e-9


@pytest.mark.filterwarnings(KERAS_WARNING)
def test_keras_l1_is_our_penalty(keras):
    weights = start(NETWORK, 5, 1)
    told = to_dialect(L1((0.3, 0.0, 0.1)) + L2(0.2), "keras", layers=3)
    model, _ = keras_model(keras, weights, "tanh", told.arguments)
    trainer = ours(from_dialect("keras", **told.arguments), weights, "binary")
    assert trainer.penalty() == pytest.approx(float(sum(model.losses).detach()), abs=1e-9)
    assert "exact zeros" in " ".join(told.notes)


def test_keras_decay_per_layer():
    uneven = WeightDecay((0.1, 0.2))
    assert "one weight_decay" in str(to_dialect(uneven, "keras", optimizer="adam"))
    assert to_dialect(uneven, "keras", optimizer="gd").arguments == {"l2": (0.05, 0.1)}


def test_keras_early_stopping_and_dropout():
    cocktail = EarlyStopping(7, min_delta=0.01) + Dropout((0.1, 0.2))
    told = to_dialect(cocktail, "keras")
    assert told.arguments == {"patience": 7, "min_delta": 0.01, "dropout": (0.1, 0.2)}
    assert from_dialect("keras", **told.arguments) == cocktail


@pytest.mark.filterwarnings(KERAS_WARNING)
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_keras_label_smoothing_and_clipping_are_ours(keras, task):
    cocktail = as_cocktail("label_smoothing=0.3 + gradient_clipping=0.05 + weight_decay=0.2")
    told = to_dialect(cocktail, "keras", task=task)
    assert from_dialect("keras", **told.arguments) == cocktail
    x, y, k = sample(task)
    weights = start(NETWORK, 5, k)
    model, dense = keras_model(keras, weights, "tanh", {})
    step = keras.optimizers.SGD(0.5, weight_decay=0.2, global_clipnorm=told.arguments["global_clipnorm"])
    step.exclude_from_weight_decay(var_list=[layer.bias for layer in dense])
    kind = {"binary": keras.losses.BinaryCrossentropy, "multiclass": keras.losses.CategoricalCrossentropy}[task]
    model.compile(step, loss=kind(from_logits=True, label_smoothing=told.arguments["label_smoothing"]))
    model.train_on_batch(x, np.eye(3)[y] if k == 3 else y[:, None].astype(float))
    trainer = Trainer(task, weights, activation="tanh")
    classes = 3 if k == 3 else 2
    shares = [(0.7, y)] + [(0.3 / classes, np.full(len(y), c)) for c in range(classes)]
    each = [trainer.gradients(x, labels) for _, labels in shares]
    total = [[sum(s * g[i][j] for (s, _), g in zip(shares, each, strict=True)) for j in (0, 1)] for i in range(3)]
    scale = min(1, 0.05 / math.sqrt(sum((part**2).sum() for pair in total for part in pair)))
    assert scale < 0.9
    trainer.weights = [((1 - 0.5 * 0.2) * w - 0.5 * scale * dw, b - 0.5 * scale * db)
                       for (w, b), (dw, db) in zip(weights, total, strict=True)]  # fmt: skip
    assert apart(trainer, keras_weights(dense)) < 1e-9


@pytest.mark.filterwarnings(KERAS_WARNING)
def test_keras_max_norm_is_ours(keras):
    told = to_dialect("max_norm=(0.8, inf)", "keras")
    assert told.arguments == {"max_norm": (0.8, math.inf)}
    assert from_dialect("keras", **told.arguments) == as_cocktail("max_norm=(0.8, inf)")
    w = np.random.default_rng(0).normal(size=(7, 5))  # (out, in)
    kept = np.asarray(keras.constraints.MaxNorm(0.8, axis=0)(w.T).detach()).T
    size = np.linalg.norm(w, axis=1, keepdims=True)
    assert (size > 0.8).any()
    assert np.abs(kept - w * np.minimum(1, 0.8 / size)).max() < 1e-6


def test_keras_clipping_is_ours_only_without_penalty():
    for penalty in ("l2=0.1", "l1=0.1", "elastic_net=0.1"):
        assert "penalty in it" in str(to_dialect(f"gradient_clipping=1 + {penalty}", "keras"))
    assert "penalty in it" in str(from_dialect("keras", global_clipnorm=1.0, l2=0.1))
    assert from_dialect("keras", global_clipnorm=1.0) == as_cocktail("gradient_clipping=1")
    # Told as L2 under plain steps, a decay that differs between layers would be clipped too.
    uneven = "gradient_clipping=1 + weight_decay=(0.1, 0.2)"
    assert "penalty in it" in str(to_dialect(uneven, "keras", optimizer="gd"))


def test_keras_inputs_and_stopping_on_the_score():
    cocktail = as_cocktail("input_noise=0.1 + input_dropout=0.2 + early_stopping=5:on=score")
    told = to_dialect(cocktail, "keras")
    assert told.arguments == {
        "patience": 5, "min_delta": 0, "monitor": "val_accuracy", "input_noise": 0.1, "input_dropout": 0.2
    }  # fmt: skip
    assert from_dialect("keras", **told.arguments) == cocktail
    assert 'mode="max"' in " ".join(told.notes)
