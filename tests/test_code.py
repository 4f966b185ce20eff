"""The scripts that `code` prints are run: in PyTorch, Keras and scikit-learn, for many cocktails and every task.

Where a library can do the same, its 20 full-batch steps are held against our objective in NumPy (`peers.Trainer`).
"""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import Trainer, import_keras, import_torch, sample

from wellfit.cocktail import L1, L2, Cocktail, Dropout, EarlyStopping, WeightDecay, as_cocktail
from wellfit.cocktail.dialects import to_dialect
from wellfit.errors import SettingError
from wellfit.nets import MLP, Training
from wellfit.nets.code import LIBRARIES, code

TASKS = ("binary", "multiclass", "regression")
STEPS = 20
KERAS_WARNING = r"ignore:__array__ implementation doesn.t accept a copy keyword:DeprecationWarning"
COCKTAILS = (
    "none",
    "l2=0.05",
    "l2=(0.05, 0, 0.2)",
    "l1=0.01",
    "elastic_net=0.05:l1_ratio=0.3",
    "weight_decay=0.1",
    "weight_decay=(0.3, 0, 0.1)",
    "l1=(0.02, 0, 0.01) + l2=0.05 + weight_decay=0.1",
)
TRAININGS = {
    "gd": {"optimizer": "gd", "learning_rate": 0.1},
    "momentum": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.02},
    "nesterov cosine": {
        "optimizer": "sgd",
        "momentum": 0.8,
        "nesterov": True,
        "learning_rate": 0.05,
        "schedule": "cosine",
    },
    "adam": {"optimizer": "adam", "learning_rate": 0.02},
    "adamw cosine": {"optimizer": "adamw", "learning_rate": 0.05, "schedule": "cosine"},
}


def text_for(network, cocktail, training, task, dialect, rows=40, **more):
    outputs = 3 if task == "multiclass" else 1
    return code(
        network,
        as_cocktail(cocktail),
        training,
        inputs=5,
        outputs=outputs,
        task=task,
        rows=rows,
        dialect=dialect,
        **more,
    )


def data_for(task, rows=40):
    """X, y as a user has them: in regression y in its own unit."""
    x, y, _ = sample(task, rows=rows)
    return x, y * 7 + 100 if task == "regression" else y


def run(text, task, rows=40, space=None):
    """Execute a script, or a part of one in the space of the part before it; its names."""
    if space is None:
        x, y = data_for(task, rows)
        space = {"X": x, "y": y}
    exec(compile(text, "script", "exec"), space)
    return space


def cut(text, mark):
    """Split a script before the line that begins with the mark."""
    head, found, tail = text.partition(f"\n{mark}")
    assert found, mark
    return head + "\n", f"{mark}{tail}"


def trained(network, cocktail, training, task, weights, **how):
    """Our objective for 20 full-batch steps from these weights, on the target as the scripts scale it."""
    x, y, _ = sample(task)
    s = as_cocktail(cocktail).resolve(network.layers)
    trainer = Trainer(
        task,
        weights,
        activation=network.activation,
        optimizer=training.optimizer,
        momentum=training.momentum,
        nesterov=training.nesterov,
        l1=s.l1,
        l2=s.l2,
        weight_decay=s.weight_decay,
        **how,
    )
    for i in range(STEPS):
        share = 0.5 * (1 + math.cos(math.pi * i / STEPS)) if training.schedule == "cosine" else 1.0
        trainer.step(x, y, training.learning_rate * share)
    return trainer


def apart(trainer, weights):
    pairs = zip(trainer.weights, weights, strict=True)
    return max(float(np.abs(a - b).max()) for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True))


def check_predictions(space, task, rows=40):
    x, y = data_for(task, rows)
    found = space["predict"](x)
    assert found.shape == ((rows, 3) if task == "multiclass" else (rows,))
    assert np.isfinite(found).all()
    if task == "multiclass":
        assert np.abs(found.sum(1) - 1).max() < 1e-5
    if task == "binary":
        assert ((found >= 0) & (found <= 1)).all()
    return found, y


# ---- PyTorch: exact -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("how", TRAININGS)
def test_torch_script_takes_our_steps(task, how):
    import_torch()
    network = MLP((6, 4), {"binary": "tanh", "multiclass": "gelu", "regression": "silu"}[task])
    training = Training(**TRAININGS[how], epochs=STEPS, batch_size=None, precision="float64")
    for cocktail in COCKTAILS:
        head, tail = cut(text_for(network, cocktail, training, task, "torch"), "epochs, learning_rate")
        space = run(head, task)
        weights = [_torch_pair(layer) for layer in space["linear"]]
        run(tail, task, space=space)
        trainer = trained(network, cocktail, training, task, weights)
        found = [_torch_pair(layer) for layer in space["linear"]]
        assert apart(trainer, found) < 1e-9, cocktail
        assert apart(trainer, weights) > 1e-2
        if "l1" in cocktail:
            zeros = [int((w == 0).sum()) for w, _ in found]
            assert zeros == [int((w == 0).sum()) for w, _ in trainer.weights]
        check_predictions(space, task)


def _torch_pair(layer):
    """Weights and biases, the biases moved off 0 so that a penalty on them would show."""
    b = layer.bias.detach().numpy()  # a view
    if not b.any():
        b += 0.1 * (1 + np.arange(len(b)))
    return layer.weight.detach().numpy().copy(), b.copy()


def test_torch_script_without_its_groups_would_be_caught():
    import_torch()
    network, training = MLP((6, 4), "tanh"), Training("gd", 0.1, STEPS, None, precision="float64")
    text = text_for(network, "l2=0.05", training, "binary", "torch")
    wrong = text.replace('for layer in linear], "weight_decay": 0.0}', 'for layer in linear], "weight_decay": 0.05}')
    assert wrong != text
    head, tail = cut(wrong, "epochs, learning_rate")
    space = run(head, "binary")
    weights = [_torch_pair(layer) for layer in space["linear"]]
    run(tail, "binary", space=space)
    trainer = trained(network, "l2=0.05", training, "binary", weights)
    assert apart(trainer, [_torch_pair(layer) for layer in space["linear"]]) > 1e-4


@pytest.mark.parametrize("task", TASKS)
def test_torch_script_with_dropout_batches_and_early_stopping(task):
    torch = import_torch()
    cocktail = L2(1e-3) + Dropout((0.1, 0.0)) + EarlyStopping(5)
    training = Training(learning_rate=0.02, epochs=60, batch_size=25, schedule="cosine")
    text = text_for(MLP((16, 8)), cocktail, training, task, "torch", rows=201, stop_share=0.25, seed=3)
    space = run(text, task, rows=201)
    drops = [m.p for m in space["network"] if isinstance(m, torch.nn.Dropout)]
    assert drops == [0.1]
    assert len(space["X_stop"]) == 50
    assert len(space["X_train"]) == 151
    assert [len(b) for b in space["batches"]] == [25, 25, 25, 25, 25, 26]  # the last single row is merged
    space["network"].eval()
    with torch.no_grad():
        kept = space["loss_of"](space["network"](space["stop_inputs"]), space["stop_targets"]).item()
    assert kept == pytest.approx(space["best_loss"], abs=1e-6)
    found, y = check_predictions(space, task, rows=201)
    assert space["network"][0].weight.dtype == torch.float32
    quality = {
        "binary": lambda: np.mean((found > 0.5) == y),
        "multiclass": lambda: np.mean(found.argmax(1) == y),
        "regression": lambda: 1 - np.mean((found - y) ** 2) / np.var(y),
    }
    assert quality[task]() > 0.75
    assert repr(run(text, task, rows=201)["best_loss"]) == repr(space["best_loss"])  # its seed is fixed


def test_torch_script_spreads_the_cosine_over_all_steps():
    import_torch()
    training = Training(learning_rate=0.02, epochs=6, batch_size=16, schedule="cosine")
    space = run(text_for(MLP((4,)), "none", training, "binary", "torch"), "binary")
    steps = 6 * 3
    assert space["step"] == steps
    assert space["rate"] == pytest.approx(0.01 * (1 + math.cos(math.pi * (steps - 1) / steps)), rel=1e-12)


def test_torch_script_starts_as_we_do():
    import_torch()
    text = text_for(MLP((400, 300), "relu"), "none", Training(), "binary", "torch")
    space = run(cut(text, "epochs, learning_rate")[0], "binary")
    spreads = [float(layer.weight.detach().std()) for layer in space["linear"]]
    assert spreads == pytest.approx([(2 / 5) ** 0.5, (2 / 400) ** 0.5, (1 / 300) ** 0.5], rel=0.15)
    assert not any(layer.bias.any() for layer in space["linear"])


# ---- Keras --------------------------------------------------------------------------------------------------------


@pytest.fixture
def keras(tmp_path_factory, monkeypatch):
    """Keras in float64 throughout, as with TensorFlow (see test_dialects), and as it was afterwards."""
    pytest.importorskip("torch")
    module = import_keras(tmp_path_factory.mktemp("keras"))
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    before = module.config.floatx()
    yield module
    module.config.set_floatx(before)


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


# ---- scikit-learn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize("cocktail", ["none", "l2=0.05", "weight_decay=0.1 + l2=0.05"])
def test_sklearn_script_takes_our_steps(task, batch_size, cocktail):
    network = MLP((6, 4), "tanh")
    training = Training("gd", 0.05, STEPS, batch_size, precision="float64")
    head, tail = cut(text_for(network, cocktail, training, task, "sklearn"), "with warnings")
    assert "LEFT OUT" not in head
    space = run(head, task)
    model = space["model"].set_params(shuffle=False)
    x, y = space["X_train"], space["y_train"]
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    model.partial_fit(x, y, **classes)
    s = as_cocktail(cocktail).resolve(3)
    l2 = tuple(a + b for a, b in zip(s.l2, s.weight_decay, strict=True))
    trainer = Trainer(task, _sklearn_pairs(model), activation="tanh", lr=0.05, l2=l2)
    size = batch_size or 40
    factor = 2 if task == "regression" else 1
    assert factor * 0.5 * model.alpha * sum((w**2).sum() for w, _ in trainer.weights) / size == pytest.approx(
        trainer.penalty(), rel=1e-12
    )
    for _ in range(STEPS):
        model.partial_fit(x, y, **classes)
        for first in range(0, 40, size):
            trainer.step(x[first : first + size], y[first : first + size])
    assert apart(trainer, _sklearn_pairs(model)) < 1e-9
    run(tail, task, space=space)
    check_predictions(space, task)


def _sklearn_pairs(model):
    return [(w.T.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]


@pytest.mark.parametrize("task", TASKS)
def test_sklearn_script_says_what_it_leaves_out(task):
    cocktail = L1(1e-3) + L2((1e-2, 0.0, 1e-3)) + WeightDecay(1e-3) + Dropout(0.1) + EarlyStopping(4)
    training = Training("adam", 0.02, 15, 32, "cosine")
    text = text_for(MLP((16, 8), "gelu"), cocktail, training, task, "sklearn", rows=97)
    plain = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for words in (
        "l2 differs",
        "no L1 penalty",
        "no decoupled",
        "no dropout",
        "no cosine",
        "no gelu",
        "watches the score",
    ):
        assert words in plain, words
    space = run(text, task, rows=97)
    model = space["model"]
    assert model.early_stopping
    assert model.n_iter_no_change == 3
    assert model.alpha == 0
    assert [w.shape for w in model.coefs_] == [(5, 16), (16, 8), (8, 3 if task == "multiclass" else 1)]
    check_predictions(space, task, rows=97)


def test_sklearn_script_with_a_short_last_batch_keeps_the_strength_and_says_so():
    text = text_for(MLP((4,)), L2(0.05), Training(batch_size=16), "binary", "sklearn")
    assert "alpha=0.8," in text
    assert "LEFT OUT: 40 rows in batches of 16 leave a last batch of 8" in text.replace("\n# ", " ")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "cocktail", ["none", "l2=0.05", "l1=0.05", "l1=0.03 + l2=0.05", "elastic_net=0.1:l1_ratio=0.5"]
)
def test_sklearn_script_of_a_linear_network_minimizes_our_objective(task, cocktail):
    # Without a penalty classes must overlap for a minimum to exist: more rows make them.
    rows = 400 if cocktail == "none" else 80
    text = text_for(MLP(()), cocktail, Training(), task, "sklearn", rows=rows)
    space = run(text, task, rows=rows)
    assert "neural_network" not in text
    model, x, y = space["model"], space["X_train"], space["y_train"]
    s = as_cocktail(cocktail).resolve(1)
    coef = np.atleast_2d(model.coef_)
    [(dw, db)] = Trainer(task, [(coef, np.atleast_1d(model.intercept_))], l2=s.l2).gradients(x, y)
    assert np.abs(db).max() < 1e-5
    moved = coef != 0
    assert np.abs(dw[moved] + s.l1[0] * np.sign(coef[moved])).max() < 1e-5
    assert (np.abs(dw[~moved]) <= s.l1[0] + 1e-5).all()
    assert moved.all() or s.l1[0]
    check_predictions(space, task, rows=rows)


def test_sklearn_script_of_a_linear_network_that_stops_early_is_trained():
    text = text_for(MLP(()), EarlyStopping(3), Training(epochs=30), "binary", "sklearn")
    assert "hidden_layer_sizes=()" in text
    check_predictions(run(text, "binary"), "binary")


# ---- all of them --------------------------------------------------------------------------------------------------

STRENGTHS = st.one_of(st.floats(1e-6, 1.0), st.tuples(*[st.floats(0, 1.0)] * 3))


@settings(max_examples=60)
@given(
    l1=st.none() | STRENGTHS,
    l2=st.none() | STRENGTHS,
    decay=st.none() | STRENGTHS,
    drop=st.none() | st.floats(0, 0.99),
    stop=st.none() | st.integers(1, 99),
    task=st.sampled_from(TASKS),
    how=st.sampled_from(list(TRAININGS)),
    batch=st.none() | st.integers(1, 100),
)
def test_every_script_is_python_of_our_own_words(l1, l2, decay, drop, stop, task, how, batch):
    kinds = ((L1, l1), (L2, l2), (WeightDecay, decay), (Dropout, drop), (EarlyStopping, stop))
    cocktail = Cocktail(tuple(kind(value) for kind, value in kinds if value is not None))
    training = Training(**TRAININGS[how], batch_size=batch)
    for dialect in LIBRARIES:
        text = text_for(MLP((6, 4)), cocktail, training, task, dialect)
        ast.parse(text)
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 120
        assert text == text_for(MLP((6, 4)), cocktail, training, task, dialect)


def test_strengths_come_from_the_dialects():
    told = to_dialect(L2(0.03), "keras").arguments["l2"]
    assert f"keras.regularizers.L2({told!r})" in text_for(MLP((4,)), L2(0.03), Training(), "binary", "keras")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dialect": "jax"}, "no code for 'jax'"),
        ({"task": "ranking"}, "Unknown task"),
        ({"outputs": 2}, "one output a class"),
        ({"inputs": 0}, "at least 1"),
        ({"rows": 1.5}, "whole number"),
        ({"seed": -1}, "at least 0"),
        ({"stop_share": 1.0}, "between 0 and 1"),
        ({"cocktail": Cocktail((L2((0.1, 0.2, 0.3)),))}, "3 values"),
    ],
)
def test_wrong_use_is_refused(change, word):
    right = {"network": MLP((4,)), "cocktail": Cocktail(), "training": Training(), "inputs": 2, "outputs": 1,
             "task": "binary", "rows": 9, "dialect": "torch"}  # fmt: skip
    values = {**right, **change}
    with pytest.raises(SettingError, match=word):
        code(values.pop("network"), values.pop("cocktail"), values.pop("training"), **values)
