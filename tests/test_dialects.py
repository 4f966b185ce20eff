"""Every row of the dialects table against the library it speaks of, in float64.

Training: from equal initial weights, 20 steps of the library and of our objective in plain NumPy (`peers.Trainer`).
Convex models: our optimality condition at their solution, and their solver at our own minimum.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import Trainer, import_keras, import_torch, keras_floats, sample, start

from wellfit.cocktail import (
    INGREDIENTS,
    L1,
    L2,
    Cocktail,
    Dropout,
    EarlyStopping,
    ElasticNet,
    LabelSmoothing,
    WeightDecay,
    as_cocktail,
)
from wellfit.cocktail.dialects import DIALECTS, Equivalent, NoEquivalent, from_dialect, to_dialect
from wellfit.engines.base import Member, history
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import SettingError
from wellfit.nets import MLP, Training
from wellfit.records import Fold, FoldData, TrainingData

TASKS = ("binary", "multiclass", "regression")
NETWORK = MLP((7, 4), "tanh")
STEPS = 20
# Keras's torch backend, under NumPy 2.4, asks NumPy for an array in a way that only warns there.
KERAS_WARNING = r"ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"


def ours(cocktail: Cocktail, weights, task, **how) -> Trainer:
    """Our objective for a cocktail that came out of `from_dialect`."""
    assert isinstance(cocktail, Cocktail), cocktail
    s = cocktail.resolve(len(weights))
    return Trainer(task, weights, l1=s.l1, l2=s.l2, weight_decay=s.weight_decay, **how)


def apart(trainer: Trainer, weights) -> float:
    """Largest difference between the trainer's weights and those of a library, [(W (out, in), b), ...]."""
    pairs = zip(trainer.weights, weights, strict=True)
    return max(float(np.abs(a - b).max()) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True))


# ---- the judge itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu"])
def test_trainer_gradients_agree_with_central_differences(task, activation):
    x, y, k = sample(task)
    network = MLP((7, 4), activation)
    trainer = Trainer(task, start(network, 5, k), activation=activation, l2=(0.3, 0.2, 0.1))
    grads = trainer.gradients(x, y)
    h, base = 1e-6, [(w.copy(), b.copy()) for w, b in trainer.weights]
    for layer, part, at in [(0, 0, (2, 1)), (1, 0, (3, 5)), (2, 0, (0, 2)), (0, 1, (1,)), (2, 1, (0,))]:
        values = []
        for sign in (1, -1):
            trainer.weights = [(w.copy(), b.copy()) for w, b in base]
            trainer.weights[layer][part][at] += sign * h
            values.append(trainer.loss(x, y) + trainer.penalty())
        assert grads[layer][part][at] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-7)


# ---- textbook -----------------------------------------------------------------------------------------------------


def test_textbook_exercise_takes_our_steps():
    # The course's backward pass: dW = 1/m dZ A^T + lambda/m W, one sigmoid output, ReLU layers, full batch.
    x, y, _ = sample("binary", rows=211, inputs=2)
    lambda_, m, rate = 0.7, 211, 0.3
    network = MLP((20, 3))
    weights = start(network, 2, 1)
    trainer = ours(from_dialect("textbook", lambda_=lambda_, rows=m), weights, "binary", lr=rate)
    (w1, b1), (w2, b2), (w3, b3) = [(w.copy(), b.copy()[:, None]) for w, b in weights]
    for _ in range(STEPS):
        a1 = np.maximum(0, w1 @ x.T + b1)
        a2 = np.maximum(0, w2 @ a1 + b2)
        a3 = 1 / (1 + np.exp(-(w3 @ a2 + b3)))
        cross_entropy = -np.sum(y * np.log(a3) + (1 - y) * np.log(1 - a3)) / m
        l2_cost = lambda_ / (2 * m) * sum(np.sum(np.square(w)) for w in (w1, w2, w3))
        assert trainer.loss(x, y) + trainer.penalty() == pytest.approx(cross_entropy + l2_cost, abs=1e-9)
        dz3 = a3 - y
        dz2 = w3.T @ dz3 * (a2 > 0)
        dz1 = w2.T @ dz2 * (a1 > 0)
        steps = [(dz @ a.T / m + lambda_ / m * w, dz.sum(1, keepdims=True) / m)
                 for dz, a, w in ((dz1, x.T, w1), (dz2, a1, w2), (dz3, a2, w3))]  # fmt: skip
        (w1, b1), (w2, b2), (w3, b3) = [
            (w - rate * dw, b - rate * db)
            for (w, b), (dw, db) in zip(((w1, b1), (w2, b2), (w3, b3)), steps, strict=True)
        ]
        trainer.step(x, y)
    assert apart(trainer, [(w1, b1[:, 0]), (w2, b2[:, 0]), (w3, b3[:, 0])]) < 1e-9


def test_textbook_tells_dropout_as_the_share_kept():
    assert from_dialect("textbook", lambda_=0, keep_prob=0.86, rows=211) == Cocktail((Dropout(0.14),))
    assert to_dialect(Dropout((0.14, 0.0)), "textbook", rows=211).arguments == {"lambda_": 0, "keep_prob": (0.86, 1.0)}


# ---- PyTorch ------------------------------------------------------------------------------------------------------

TORCH_ROWS = [
    ("torch-sgd", "SGD", {}, {"optimizer": "sgd"}),
    ("torch-sgd", "SGD", {"momentum": 0.9}, {"optimizer": "sgd", "momentum": 0.9}),
    (
        "torch-sgd",
        "SGD",
        {"momentum": 0.9, "nesterov": True},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    ),
    ("torch-adam", "Adam", {}, {"optimizer": "adam"}),
    ("torch-adamw", "AdamW", {}, {"optimizer": "adam"}),
]


def torch_network(weights):
    """A tanh network in PyTorch with the given weights; (network, its linear layers)."""
    torch = import_torch()
    nn = torch.nn

    layers = []
    for w, b in weights:
        layer = nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1]), layers[::2]


def torch_train(kind, options, groups, network, task, x, y):
    """20 full-batch steps of a PyTorch optimizer."""
    torch = import_torch()
    optimizer = getattr(torch.optim, kind)(groups, lr=0.05, **options)
    inputs = torch.tensor(x)
    for _ in range(STEPS):
        optimizer.zero_grad()
        out = network(inputs)
        if task == "regression":
            loss = torch.nn.functional.mse_loss(out[:, 0], torch.tensor(y))
        elif task == "binary":
            loss = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], torch.tensor(y, dtype=out.dtype))
        else:
            loss = torch.nn.functional.cross_entropy(out, torch.tensor(y))
        loss.backward()
        optimizer.step()


def torch_weights(linear):
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear]


@pytest.mark.parametrize("strength", [0.05, (0.05, 0.0, 0.2)], ids=["one", "per layer"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("dialect", "kind", "options", "how"), TORCH_ROWS)
def test_torch_takes_our_steps(dialect, kind, options, how, task, strength):
    x, y, k = sample(task)
    weights = start(NETWORK, 5, k)
    network, linear = torch_network(weights)
    cocktail = from_dialect(dialect, weight_decay=strength)
    told = to_dialect(cocktail, dialect, layers=3)
    assert told.arguments["weight_decay"] == strength
    decays = strength if isinstance(strength, tuple) else (strength,) * 3
    groups = [{"params": [m.weight], "weight_decay": d} for m, d in zip(linear, decays, strict=True)]
    groups.append({"params": [m.bias for m in linear], "weight_decay": 0.0})
    torch_train(kind, options, groups, network, task, x, y)
    trainer = ours(cocktail, weights, task, activation="tanh", lr=0.05, **how)
    for _ in range(STEPS):
        trainer.step(x, y)
    assert apart(trainer, torch_weights(linear)) < 1e-9
    assert apart(trainer, weights) > 1e-2  # it has moved


@pytest.mark.parametrize("dialect", ["torch-sgd", "torch-adam", "torch-adamw", "keras"])
def test_decay_on_biases_has_no_equivalent(dialect):
    answer = from_dialect(dialect, weight_decay=0.05, biases=True)
    assert not answer
    assert "biases" in str(answer)
    assert from_dialect(dialect, weight_decay=0.0, biases=True) == Cocktail()


def test_ungrouped_torch_differs_from_ours():
    x, y, k = sample("binary")
    weights = start(NETWORK, 5, k)
    network, linear = torch_network(weights)
    torch_train("SGD", {}, [{"params": network.parameters(), "weight_decay": 0.05}], network, "binary", x, y)
    trainer = ours(from_dialect("torch-sgd", weight_decay=0.05), weights, "binary", activation="tanh", lr=0.05)
    for _ in range(STEPS):
        trainer.step(x, y)
    assert apart(trainer, torch_weights(linear)) > 1e-3


def test_torch_weight_decay_is_l2_only_under_plain_steps():
    decay = WeightDecay(0.05)
    plain = to_dialect(decay + L2((0.01, 0.0, 0.0)), "torch-sgd", optimizer="sgd", layers=3)
    assert plain.arguments == {"weight_decay": pytest.approx((0.06, 0.05, 0.05))}
    for refused in (
        to_dialect(decay, "torch-sgd", optimizer="sgd", momentum=0.9),
        to_dialect(decay, "torch-sgd"),
        to_dialect(decay, "torch-adam"),
        to_dialect(L2(0.05), "torch-adamw"),
        to_dialect(L1(0.05), "torch-sgd"),
        to_dialect(EarlyStopping(5), "torch-adam"),
    ):
        assert isinstance(refused, NoEquivalent)
    # The claim itself, in our own objective: equal under plain steps, unequal with momentum.
    x, y, k = sample("binary")
    for momentum, equal in ((0.0, True), (0.9, False)):
        runs = [ours(c, start(NETWORK, 5, k), "binary", optimizer="sgd", momentum=momentum, activation="tanh")
                for c in (Cocktail((decay,)), Cocktail((L2(0.05),)))]  # fmt: skip
        for _ in range(STEPS):
            for run in runs:
                run.step(x, y)
        assert (apart(runs[0], runs[1].weights) < 1e-12) is equal


def torch_step_of(told, loss_of, clip=False):
    """One plain full-batch step of a PyTorch network by told arguments: (its weights after, before, x, y)."""
    torch = import_torch()
    x, y, k = sample("multiclass")
    weights = start(NETWORK, 5, k)
    network, linear = torch_network(weights)
    optimizer = torch.optim.SGD([m.weight for m in linear], lr=0.5, weight_decay=told.arguments["weight_decay"])
    optimizer.add_param_group({"params": [m.bias for m in linear], "weight_decay": 0.0})
    loss_of(torch)(network(torch.tensor(x)), torch.tensor(y)).backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(network.parameters(), told.arguments["clip_grad_norm"])
    optimizer.step()
    return torch_weights(linear), weights, x, y


def test_torch_label_smoothing_is_ours():
    told = to_dialect("label_smoothing=0.3 + l2=0.05", "torch-sgd", task="multiclass")
    assert from_dialect("torch-sgd", **told.arguments) == as_cocktail("label_smoothing=0.3 + l2=0.05")
    theirs, weights, x, y = torch_step_of(
        told, lambda torch: torch.nn.CrossEntropyLoss(label_smoothing=told.arguments["label_smoothing"])
    )
    # In our objective the loss is linear in the targets: the mean of the hard ones and of each class, weighted.
    parts = [(0.7, y)] + [(0.1, np.full(len(y), c)) for c in range(3)]
    assert apart(_linear_mix(weights, x, parts, 0.05), theirs) < 1e-9
    assert apart(_linear_mix(weights, x, [(1.0, y)], 0.05), theirs) > 1e-3


def _linear_mix(weights, x, parts, l2, bound=math.inf):
    """Ours after one step of rate 0.5 on a weighted sum of losses, its gradient clipped before L2 is added."""
    trainer = Trainer("multiclass", weights, activation="tanh")
    both = [[np.zeros(w.shape), np.zeros(b.shape)] for w, b in weights]
    for share, y in parts:
        for total, pair in zip(both, trainer.gradients(x, y), strict=True):
            total[0] += share * pair[0]
            total[1] += share * pair[1]
    norm = math.sqrt(sum((dw**2).sum() + (db**2).sum() for dw, db in both))
    scale = min(1.0, bound / norm)
    new = [(w - 0.5 * (scale * dw + l2 * w), b - 0.5 * scale * db)
           for (w, b), (dw, db) in zip(weights, both, strict=True)]  # fmt: skip
    trainer.weights = new
    return trainer


def test_torch_clips_before_its_weight_decay_as_we_do():
    told = to_dialect("gradient_clipping=0.05 + l2=0.2", "torch-sgd")
    assert from_dialect("torch-sgd", **told.arguments) == as_cocktail("gradient_clipping=0.05 + l2=0.2")
    theirs, weights, x, y = torch_step_of(told, lambda torch: torch.nn.CrossEntropyLoss(), clip=True)
    assert apart(_linear_mix(weights, x, [(1.0, y)], 0.2, 0.05), theirs) < 1e-5  # the 1e-6 of the note
    assert apart(_linear_mix(weights, x, [(1.0, y)], 0.2), theirs) > 1e-3
    assert "1e-6" in " ".join(told.notes)


def test_torch_layers_for_inputs_and_batch_norm():
    told = to_dialect("batch_norm + input_dropout=0.2 + dropout=0.1", "torch-adam")
    assert told.arguments == {"weight_decay": 0, "batch_norm": True, "input_dropout": 0.2, "dropout": 0.1}
    assert from_dialect("torch-adam", **told.arguments) == as_cocktail("batch_norm + input_dropout=0.2 + dropout=0.1")
    norm = import_torch().nn.BatchNorm1d(3)
    assert (norm.momentum, norm.eps) == (0.1, 1e-5)


# ---- Keras --------------------------------------------------------------------------------------------------------


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


# ---- scikit-learn's multilayer perceptron -------------------------------------------------------------------------


def sklearn_mlp(task, alpha, batch_size, lr, x, y):
    """An MLP with plain SGD, float64, batches in order; its first partial_fit only makes its weights."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if task == "regression" else MLPClassifier
    model = kind(
        hidden_layer_sizes=(7, 4),
        activation="tanh",
        solver="sgd",
        alpha=alpha,
        batch_size=batch_size,
        learning_rate_init=lr,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
    )
    return model.partial_fit(x, y) if task == "regression" else model.partial_fit(x, y, classes=np.unique(y))


def sklearn_weights(model):
    return [(w.T.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]


@pytest.mark.parametrize("batch_size", [40, 8])
@pytest.mark.parametrize("task", TASKS)
def test_sklearn_mlp_takes_our_steps(task, batch_size):
    x, y, _ = sample(task)
    alpha = 1.5
    facts = {"rows": 40, "batch_size": batch_size, "task": task}
    cocktail = from_dialect("sklearn-mlp", alpha=alpha, **facts)
    told = to_dialect(cocktail, "sklearn-mlp", **facts)
    assert told.arguments == {"alpha": pytest.approx(alpha, rel=1e-12), "batch_size": batch_size}
    lr = 0.05
    model = sklearn_mlp(task, alpha, batch_size, lr * told.loss_factor, x, y)
    trainer = ours(cocktail, sklearn_weights(model), task, activation="tanh", lr=lr)
    before = sklearn_weights(model)
    for _ in range(STEPS):
        objectives = []
        for first in range(0, 40, batch_size):
            part = slice(first, first + batch_size)
            objectives.append(trainer.loss(x[part], y[part]) + trainer.penalty())
            trainer.step(x[part], y[part])
        model.partial_fit(x, y)
        assert model.loss_ * told.loss_factor == pytest.approx(np.mean(objectives), abs=1e-9)
    assert apart(trainer, sklearn_weights(model)) < 1e-9
    assert apart(trainer, before) > 1e-2


def test_sklearn_mlp_short_last_batch_has_no_equivalent():
    x, y, _ = sample("binary", rows=43)
    facts = {"rows": 43, "batch_size": 8, "task": "binary"}
    for answer in (from_dialect("sklearn-mlp", alpha=1.5, **facts), to_dialect(L2(0.1), "sklearn-mlp", **facts)):
        assert isinstance(answer, NoEquivalent)
        assert "last batch of 3" in str(answer)
    # And truly: the strength that is exact for the full batches is not for the short one.
    model = sklearn_mlp("binary", 1.5, 8, 0.05, x, y)
    trainer = ours(Cocktail((L2(1.5 / 8),)), sklearn_weights(model), "binary", activation="tanh", lr=0.05)
    model.partial_fit(x, y)
    for first in range(0, 43, 8):
        trainer.step(x[first : first + 8], y[first : first + 8])
    assert apart(trainer, sklearn_weights(model)) > 1e-4


def test_sklearn_mlp_batch_sizes_are_read_as_scikit_learn_does():
    read = [from_dialect("sklearn-mlp", alpha=1.0, task="binary", **facts)
            for facts in ({"rows": 400, "batch_size": "auto"}, {"rows": 50, "batch_size": "auto"}, {"rows": 50},
                          {"rows": 50, "batch_size": 64})]  # fmt: skip
    assert [c.get(L2).strength for c in read] == [1 / 200, 1 / 50, 1 / 50, 1 / 50]


# ---- scikit-learn's linear models ---------------------------------------------------------------------------------


def smooth_gradient(task, cocktail, x, y, coef, intercept):
    """Gradient of our mean loss + L2 at a linear model's solution: (k, d) and (k,)."""
    s = cocktail.resolve(1)
    [pair] = Trainer(task, [(np.atleast_2d(coef), np.atleast_1d(intercept))], l2=s.l2).gradients(x, y)
    return pair


def assert_optimal(task, cocktail, x, y, coef, intercept, tol):
    """The optimality condition of mean loss + l1 sum|w| + l2/2 sum w^2 at (coef, intercept)."""
    dw, db = smooth_gradient(task, cocktail, x, y, coef, intercept)
    coef, l1 = np.atleast_2d(coef), cocktail.resolve(1).l1[0]
    assert np.abs(db).max() < tol
    moved = coef != 0
    assert np.abs(dw[moved] + l1 * np.sign(coef[moved])).max() < tol
    assert np.all(np.abs(dw[~moved]) <= l1 + tol)


def solve_ours(task, cocktail, x, y, k):
    """Minimize our own objective by proximal gradient steps to machine precision; (coef (k, d), intercept (k,))."""
    s = cocktail.resolve(1)
    trainer = Trainer(task, [(np.zeros((k, x.shape[1])), np.zeros(k))], l1=s.l1, l2=s.l2, lr=0.15)
    for _ in range(6000):
        trainer.step(x, y)
    return trainer.weights[0]


def linear_model(dialect, arguments):
    from sklearn import linear_model as lm

    if dialect == "sklearn-ridge":
        return lm.Ridge(**arguments, solver="cholesky")
    if dialect == "sklearn-lasso":
        return lm.Lasso(**arguments, tol=1e-14, max_iter=100_000)
    if dialect == "sklearn-elastic-net":
        return lm.ElasticNet(**arguments, tol=1e-14, max_iter=100_000)
    if arguments.get("l1_ratio", 0.0):
        return lm.LogisticRegression(**arguments, solver="saga", tol=1e-12, max_iter=100_000, random_state=0)
    return lm.LogisticRegression(**arguments, solver="lbfgs", tol=1e-10, max_iter=10_000)


CONVEX = [
    ("sklearn-ridge", "regression", {"alpha": 12.0}, L2(2 * 12.0 / 80)),
    ("sklearn-lasso", "regression", {"alpha": 0.15}, L1(0.3)),
    ("sklearn-elastic-net", "regression", {"alpha": 0.2, "l1_ratio": 0.7}, ElasticNet(0.4, 0.7)),
    ("sklearn-logistic", "binary", {"C": 0.25}, L2(1 / (0.25 * 80))),
    ("sklearn-logistic", "multiclass", {"C": 0.25}, L2(1 / (0.25 * 80))),
    ("sklearn-logistic", "binary", {"C": 0.25, "l1_ratio": 1.0}, L1(1 / (0.25 * 80))),
    ("sklearn-logistic", "multiclass", {"C": 0.25, "l1_ratio": 0.6}, ElasticNet(1 / (0.25 * 80), 0.6)),
]


@pytest.mark.parametrize(("dialect", "task", "arguments", "expected"), CONVEX)
def test_convex_models_minimize_our_objective(dialect, task, arguments, expected):
    x, y, k = sample(task, rows=80)
    cocktail = from_dialect(dialect, rows=80, **arguments)
    assert cocktail == Cocktail((expected,))
    model = linear_model(dialect, arguments).fit(x, y)
    exact = arguments.get("l1_ratio", 0.0) == 0.0 or task == "regression"
    tol = 1e-6 if dialect == "sklearn-logistic" else 1e-9
    assert_optimal(task, cocktail, x, y, model.coef_, model.intercept_, tol if exact else 1e-6)
    # A strength off by a factor of two is caught.
    with pytest.raises(AssertionError):
        assert_optimal(task, Cocktail((_twice(expected),)), x, y, model.coef_, model.intercept_, tol)
    # And vice versa: our own minimum is where their solver goes.
    told = to_dialect(cocktail, dialect, rows=80, task=task, layers=1)
    coef, intercept = solve_ours(task, cocktail, x, y, k)
    theirs = linear_model(dialect, told.arguments).fit(x, y)
    assert np.abs(np.atleast_2d(theirs.coef_) - coef).max() < 1e-5
    if k == 1:  # softmax intercepts are free up to a constant
        assert np.abs(theirs.intercept_ - intercept).max() < 1e-5


def _twice(item):
    return (
        ElasticNet(2 * item.strength, item.l1_ratio) if isinstance(item, ElasticNet) else type(item)(2 * item.strength)
    )


def test_loss_factor_turns_their_objective_into_ours():
    x, y, _ = sample("regression", rows=80)
    w, b = np.linspace(-1, 1, 5), 0.3
    sse = np.sum((x @ w + b - y) ** 2)
    theirs = {
        "sklearn-ridge": lambda a: sse + a["alpha"] * (w @ w),
        "sklearn-lasso": lambda a: sse / 160 + a["alpha"] * np.abs(w).sum(),
        "sklearn-elastic-net": lambda a: (
            sse / 160 + a["alpha"] * (a["l1_ratio"] * np.abs(w).sum() + (1 - a["l1_ratio"]) / 2 * (w @ w))
        ),
    }
    for name, cocktail in [
        ("sklearn-ridge", L2(0.3)),
        ("sklearn-lasso", L1(0.3)),
        ("sklearn-elastic-net", L1(0.2) + L2(0.5)),
    ]:
        told = to_dialect(cocktail, name, rows=80)
        s = Cocktail().__add__(cocktail).resolve(1)
        mine = sse / 80 + s.l1[0] * np.abs(w).sum() + s.l2[0] / 2 * (w @ w)
        assert told.loss_factor * theirs[name](told.arguments) == pytest.approx(mine, rel=1e-12)


def test_no_penalty_is_said_everywhere():
    facts = {"rows": 50, "task": "regression"}
    for name in DIALECTS:
        told = to_dialect("none", name, rows=50, task="binary" if name == "sklearn-logistic" else "regression")
        assert isinstance(told, Equivalent), told
        back = {k: v for k, v in told.arguments.items() if k in DIALECTS[name].arguments}
        assert from_dialect(name, **{**facts, **back}) == Cocktail()
    assert to_dialect(None, "sklearn-logistic", rows=50).arguments["C"] == math.inf


# ---- both ways, refusals, documentation ---------------------------------------------------------------------------

POSITIVE = st.floats(1e-8, 1e3)


@given(value=POSITIVE, ratio=st.floats(0.01, 0.99), rows=st.integers(1, 10**6), task=st.sampled_from(TASKS))
def test_every_argument_comes_back(value, ratio, rows, task):
    given_arguments = {
        "textbook": {"lambda_": value},
        "torch-sgd": {"weight_decay": value},
        "torch-adam": {"weight_decay": (value, 0.0)},
        "torch-adamw": {"weight_decay": value},
        "keras": {"l1": (0.0, value), "l2": value, "weight_decay": 2 * value},
        "sklearn-mlp": {"alpha": value},
        "sklearn-ridge": {"alpha": value},
        "sklearn-lasso": {"alpha": value},
        "sklearn-elastic-net": {"alpha": value, "l1_ratio": ratio},
        "sklearn-logistic": {"C": value, "l1_ratio": ratio},
    }
    assert set(given_arguments) == set(DIALECTS)
    for name, arguments in given_arguments.items():
        cocktail = from_dialect(name, rows=rows, task=task, **arguments)
        right = "binary" if name == "sklearn-logistic" else "regression" if name != "sklearn-mlp" else task
        told = to_dialect(cocktail, name, rows=rows, task=right)
        assert isinstance(told, Equivalent), told
        for key, wanted in arguments.items():
            assert told.arguments[key] == pytest.approx(wanted, rel=1e-12), (name, key)


@pytest.mark.parametrize(
    ("cocktail", "dialect", "facts", "word"),
    [
        ("l1=0.1", "textbook", {"rows": 9}, "no L1"),
        ("weight_decay=0.1", "textbook", {"rows": 9}, "plain gradient"),
        ("early_stopping=5", "textbook", {"rows": 9}, "early stopping"),
        ("l2=(0.1, 0.2)", "textbook", {"rows": 9}, "differs between"),
        ("l1=0.1", "torch-adam", {}, "proximal"),
        ("dropout=0.1", "sklearn-mlp", {"rows": 9, "task": "binary"}, "no dropout"),
        ("l1=0.1", "sklearn-mlp", {"rows": 9, "task": "binary"}, "no L1"),
        ("early_stopping=5", "sklearn-mlp", {"rows": 9, "task": "binary"}, "score"),
        ("l2=(0.1, 0.2)", "sklearn-mlp", {"rows": 9, "task": "binary"}, "differs between"),
        ("weight_decay=0.1", "sklearn-mlp", {"rows": 9, "task": "binary", "optimizer": "adam"}, "plain gradient"),
        ("l1=0.1", "sklearn-ridge", {"rows": 9}, "no L1"),
        ("l2=0.1", "sklearn-lasso", {}, "no L2"),
        ("early_stopping=5", "sklearn-lasso", {}, "exact minimum"),
        ("l2=0.1", "sklearn-ridge", {"rows": 9, "task": "binary"}, "regression"),
        ("l2=0.1", "sklearn-logistic", {"rows": 9, "task": "regression"}, "classification"),
        ("l2=0.1", "sklearn-ridge", {"rows": 9, "layers": 2}, "linear"),
        ("batch_norm", "keras", {}, "running variance"),
        ("ema=0.9", "keras", {}, "no warm-up"),
        ("mixup=0.2", "keras", {}, "one coefficient for each example"),
        ("group_lasso=0.1", "keras", {}, "Keras has no group_lasso"),
        ("label_smoothing=0.1", "keras", {"task": "regression"}, "for classes"),
        ("l2=0.1:schedule=cosine", "keras", {}, "no schedule for the strength of l2"),
        ("label_smoothing=0.1", "torch-sgd", {"task": "binary"}, "BCEWithLogitsLoss"),
        ("label_smoothing=0.1", "torch-sgd", {"task": "regression"}, "for classes"),
        ("max_norm=3", "torch-adam", {}, "no max_norm; code"),
        ("augment=0.2", "torch-sgd", {}, "no augmentation of its own"),
        ("augment=0.2", "keras", {}, "RandomFlip"),
        ("mixup=0.2 + ema=0.9", "torch-adamw", {}, "no mixup; code"),
        ("dropout=0.2:schedule=one_cycle", "torch-adam", {}, "no schedule for the strength of dropout"),
        ("early_stopping=5:on=score", "sklearn-mlp", {"rows": 9, "task": "binary"}, "rows of its own"),
        ("mixup=0.2", "sklearn-logistic", {"rows": 9}, "no mixup"),
        ("ema=0.9", "textbook", {"rows": 9}, "no word for ema"),
    ],
)
def test_no_equivalent_says_why(cocktail, dialect, facts, word):
    answer = to_dialect(cocktail, dialect, **facts)
    assert isinstance(answer, NoEquivalent)
    assert word in str(answer)


def test_every_ingredient_is_told_or_refused_by_name():
    values = {"max_norm": "3", "batch_norm": None, "early_stopping": "5", "mixup": "0.2"}
    for kind in INGREDIENTS:
        value = values.get(kind, "0.1")
        text = kind if value is None else f"{kind}={value}"
        for name in DIALECTS:
            task = "regression" if name in ("sklearn-ridge", "sklearn-lasso", "sklearn-elastic-net") else "multiclass"
            answer = to_dialect(text, name, rows=40, task=task, layers=None)
            plain = to_dialect("none", name, rows=40, task=task)
            if answer:
                assert answer.arguments != plain.arguments, (kind, name)
            else:
                assert answer.reasons, (kind, name)


def test_what_does_nothing_is_no_reason():
    idle = "mixup=0:schedule=cosine + ema=0 + max_norm=inf + gradient_clipping=inf + label_smoothing=0 + input_noise=0"
    for name in DIALECTS:
        told = to_dialect(idle, name, rows=40, task="binary" if name == "sklearn-logistic" else "regression")
        assert isinstance(told, Equivalent), told
    assert from_dialect("keras", **to_dialect(idle, "keras").arguments) == Cocktail()


def test_label_smoothing_in_torch_needs_the_task():
    with pytest.raises(SettingError, match="needs task"):
        to_dialect(LabelSmoothing(0.1), "torch-sgd")


def test_all_reasons_are_given():
    answer = to_dialect("l1=0.1 + dropout=0.2 + early_stopping=3", "sklearn-mlp", rows=40, task="binary")
    assert len(answer.reasons) == 3


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: to_dialect("l2=0.1", "sklearn-rigde", rows=9), "did you mean sklearn-ridge"),
        (lambda: to_dialect("l2=0.1", "???"), "Known: textbook"),
        (lambda: to_dialect("l2=0.1", "textbook"), "needs rows"),
        (lambda: to_dialect("l2=0.1", "sklearn-mlp", rows=9), "needs task"),
        (lambda: to_dialect("l2=(0.1, 0.2)", "keras", layers=3), "2 values"),
        (lambda: to_dialect("l2=(0.1, 0.2) + weight_decay=(1, 2, 3)", "torch-sgd", optimizer="gd"), "equally many"),
        (lambda: from_dialect("sklearn-ridge", rows=9), "needs alpha"),
        (lambda: from_dialect("sklearn-ridge", alpha=1.0), "needs rows"),
        (lambda: from_dialect("sklearn-ridge", alpha=1.0, rows=0), "at least 1"),
        (lambda: from_dialect("sklearn-ridge", alpha=1.0, rows=2.5), "at least 1"),
        (lambda: from_dialect("sklearn-ridge", alpha=-1.0, rows=9), "negative"),
        (lambda: from_dialect("sklearn-ridge", alpha=(1.0, 2.0), rows=9), "one number"),
        (lambda: from_dialect("sklearn-ridge", beta=1.0, rows=9), "no argument 'beta'"),
        (lambda: from_dialect("sklearn-logistic", C=0.0, rows=9), "above 0"),
        (lambda: from_dialect("sklearn-logistic", C=math.nan, rows=9), "above 0"),
        (lambda: from_dialect("sklearn-mlp", alpha=1.0, rows=9, task="ranking"), "Unknown task"),
        (lambda: from_dialect("textbook", lambda_=0.7, rows=9, keep_prob=0.0), "keep_prob"),
        (lambda: from_dialect("keras", patience=3, monitor="val_mse"), "not 'val_mse'"),
        (lambda: from_dialect("keras", max_norm=0), "above 0"),
        (lambda: from_dialect("torch-sgd", weight_decay=0.0, label_smoothing=2.0), "at most 1"),
    ],
)
def test_wrong_use_is_refused(call, word):
    with pytest.raises(SettingError, match=word.replace("?", r"\?")):
        call()


def test_documentation_names_every_dialect_and_argument():
    page = (Path(__file__).parent.parent / "docs" / "dialects.md").read_text(encoding="utf-8")
    for name, dialect in DIALECTS.items():
        assert f"`{name}`" in page
        for argument in dialect.arguments:
            assert f"`{argument}`" in page, (name, argument)
