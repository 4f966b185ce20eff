"""The scripts that `code` prints are run: in PyTorch, Keras and scikit-learn, for many cocktails and every task.

Where a library can do the same, its 20 full-batch steps are held against our objective in NumPy (`peers.Trainer`).
"""

from __future__ import annotations

import ast
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import Trainer, import_keras, import_torch, keras_floats, sample

from wellfit.cocktail import INGREDIENTS, L1, L2, Cocktail, Dropout, EarlyStopping, WeightDecay, as_cocktail
from wellfit.cocktail.dialects import to_dialect
from wellfit.cocktail.schedules import SCHEDULES, schedule_factor
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


class Whole(Trainer):
    """All deterministic ingredients, losses and schedules by their formulas; mixup and noise with fixed draws."""

    def __init__(self, task, weights, s, training, activation, *, total=STEPS, draws=(0.3, 7), **how):
        chosen = {"optimizer": training.optimizer, "momentum": training.momentum, "nesterov": training.nesterov}
        super().__init__(task, weights, activation=activation, **chosen, **how)
        self.s, self.training, self.total, self.draws = s, training, total, draws
        self.kind, self.parameter = training.loss_and_parameter(task)
        widths = [len(b) for _, b in self.weights[:-1]]
        self.units = [[np.ones(n), np.zeros(n)] for n in widths]  # scale and shift
        self.running = [[np.zeros(n), np.ones(n)] for n in widths]
        self.average = None

    def everything(self):
        flat = [part for pair in self.weights for part in pair]
        return [*flat, *(part for pair in self.units + self.running for part in pair)] if self.s.batch_norm else flat

    def now(self, name):
        value, factor = getattr(self.s, name), schedule_factor(self.s.schedules.get(name, "constant"), self.progress)
        if name in ("max_norm", "gradient_clipping"):
            return tuple(v / factor for v in value) if isinstance(value, tuple) else value / factor
        return tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor

    def row_weights(self, y):
        given, classes = self.training.class_weights, max(2, len(np.unique(y)))
        if given is None:
            return np.ones(len(y))
        counts = np.array([(y == c).sum() for c in range(classes)])
        weights = (len(y) / (classes * counts) if given == "balanced" else np.array(given))[y]
        return weights / weights.mean()

    def slope(self, z):
        if self.activation == "leaky_relu":
            return np.maximum(z, 0.01 * z), np.where(z > 0, 1.0, 0.01)
        return np.tanh(z), 1 - np.tanh(z) ** 2

    def delta(self, z, y):
        r = z - y
        if self.task == "binary":
            return 1 / (1 + np.exp(-z)) - y
        if self.task == "multiclass":
            top = np.exp(z - z.max(1, keepdims=True))
            return top / top.sum(1, keepdims=True) - y
        t = self.parameter
        return {
            "squared": 2 * r,
            "absolute": np.sign(r),
            "huber": np.clip(r, -t, t),
            "quantile": np.where(r > 0, 1 - t, -t),
        }[self.kind]

    def all_gradients(self, x, y, w):
        inputs, slopes, kept = [x], [], []
        for i, (weights, bias) in enumerate(self.weights[:-1]):
            z, hat, sd = inputs[-1] @ weights.T + bias, None, None
            if self.s.batch_norm:
                mean, var = z.mean(0), z.var(0)
                sd = np.sqrt(var + 1e-5)
                hat = (z - mean) / sd
                z = self.units[i][0] * hat + self.units[i][1]
                old, n = self.running[i], len(x)
                self.running[i] = [0.9 * old[0] + 0.1 * mean, 0.9 * old[1] + 0.1 * var * n / (n - 1)]
            a, slope = self.slope(z)
            inputs, slopes, kept = [*inputs, a], [*slopes, slope], [*kept, (hat, sd)]
        weights, bias = self.weights[-1]
        delta, found = self.delta(inputs[-1] @ weights.T + bias, y) * w[:, None] / len(x), {}
        for i in range(len(self.weights) - 1, -1, -1):
            found[i, "w"], found[i, "b"] = delta.T @ inputs[i], delta.sum(0)
            if i:
                delta = delta @ self.weights[i][0] * slopes[i - 1]
                hat, sd = kept[i - 1]
                if hat is not None:
                    found[i - 1, "scale"], found[i - 1, "shift"] = (delta * hat).sum(0), delta.sum(0)
                    d = delta * self.units[i - 1][0]
                    delta = (d - d.mean(0) - hat * (d * hat).mean(0)) / sd
        return found

    def whole_step(self, x, y):
        """One full-batch step; y is (n,): classes or values."""
        self.progress = self.steps / self.total
        self.steps += 1
        lr = self.training.learning_rate * schedule_factor(self.training.schedule, self.progress)
        k, w = len(self.weights[-1][1]), self.row_weights(y)
        y = np.eye(k)[y] if self.task == "multiclass" else np.reshape(y, (-1, 1)).astype(float)
        if self.s.mixup:
            share = self.now("mixup") / self.s.mixup * (1 - self.draws[0])
            x, y, w = (p + share * (np.roll(p, -self.draws[1], 0) - p) for p in (x, y, w))
        x = x + self.now("input_noise")
        smooth = self.now("label_smoothing")
        y = (1 - smooth) * y + smooth / max(k, 2) if smooth else y
        grads = self.all_gradients(x, y, w)
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        grads = {key: g * min(1, self.now("gradient_clipping") / norm) for key, g in grads.items()}
        l1, l2, decay, bound = (self.now(name) for name in ("l1", "l2", "weight_decay", "max_norm"))
        for i, (weights, bias) in enumerate(self.weights):
            move, factor = self._direction((i, "w"), grads[i, "w"] + l2[i] * weights)
            weights = (1 - lr * decay[i]) * weights - lr * move
            weights = np.sign(weights) * np.maximum(np.abs(weights) - l1[i] * lr * factor, 0)
            if i == 0 and self.s.group_lasso:
                size = np.linalg.norm(weights, axis=0)
                weights = weights * np.maximum(1 - self.now("group_lasso") * lr * factor / np.maximum(size, 1e-300), 0)
            size = np.linalg.norm(weights, axis=1, keepdims=True)
            weights = weights * np.minimum(1, bound[i] / np.maximum(size, 1e-300))
            self.weights[i] = (weights, bias - lr * self._direction((i, "b"), grads[i, "b"])[0])
            if (i, "scale") in grads:
                for j, name in enumerate(("scale", "shift")):
                    self.units[i][j] = self.units[i][j] - lr * self._direction((i, name), grads[i, name])[0]
        if self.average is not None:
            keep = min(self.now("ema"), self.steps / (9 + self.steps))
            self.average = [a + (1 - keep) * (b - a) for a, b in zip(self.average, self.everything(), strict=True)]

    def run(self, x, y):
        self.average = self.everything() if self.s.ema else None
        for _ in range(self.total):
            self.whole_step(x, y)
        return self


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
    wrong = text.replace('others, "weight_decay": 0.0}', 'others, "weight_decay": 0.05}')
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


RICH = {
    "batch_norm + l2=0.05": "momentum",
    "batch_norm + ema=0.8 + weight_decay=0.1": "adam",
    "label_smoothing=0.2 + max_norm=(1.2, inf, 0.9)": "gd",
    "gradient_clipping=0.05 + l2=(0.05, 0, 0.2)": "momentum",
    "gradient_clipping=0.05 + l2=0.1 + weight_decay=0.1": "adam",
    "group_lasso=0.05 + l1=(0.01, 0, 0) + max_norm=0.6": "nesterov cosine",
    "mixup=0.4 + input_noise=0.1 + label_smoothing=0.1": "adam",
    "ema=0.95:schedule=cosine + l1=0.02:schedule=one_cycle + l2=0.05:schedule=flat_cosine": "adamw cosine",
    "weight_decay=0.3:schedule=cosine + max_norm=1.5:schedule=flat_cosine": "adam",
    "group_lasso=0.1:schedule=cosine + label_smoothing=0.3:schedule=one_cycle": "momentum",
    "mixup=1:schedule=cosine + input_noise=0.2:schedule=one_cycle + gradient_clipping=0.1:schedule=cosine": "gd",
    "elastic_net=0.05:schedule=cosine": "gd",
}
WEIGHTED = {"binary": (1.0, 3.0), "multiclass": "balanced", "regression": None}
LOSSES = {"binary": "auto", "multiclass": "auto", "regression": "huber:0.7"}


def settled(text):
    """A script with its draws replaced by fixed ones: mixup's coefficient 0.3 and distance 7, noise of 1."""
    for drawn, fixed in (
        ("beta.sample().item()", "0.3"),
        ("int(torch.randint(1, len(x), ()))", "7"),
        ("torch.randn_like(x)", "torch.ones_like(x)"),
    ):
        text = text.replace(drawn, fixed)
    return text


def whole_against_torch(cocktail, training, task, activation="tanh"):
    """The script's network and ours after 20 full-batch steps from equal weights: (space, ours)."""
    network = MLP((6, 4), activation)
    text = settled(text_for(network, cocktail, training, task, "torch"))
    head, tail = cut(text, "epochs, learning_rate")
    space = run(head, task)
    weights = [_torch_pair(layer) for layer in space["linear"]]
    space["began"] = [(w.copy(), b.copy()) for w, b in weights]
    run(tail, task, space=space)
    x, y, _ = sample(task)
    return space, Whole(task, weights, as_cocktail(cocktail).resolve(3), training, activation).run(x, y)


def torch_parts(network):
    """All parameters and statistics in the order of `Whole.everything`."""
    torch = import_torch()
    linear = [m for m in network if isinstance(m, torch.nn.Linear)]
    norms = [m for m in network if isinstance(m, torch.nn.BatchNorm1d)]
    parts = [p for m in linear for p in (m.weight, m.bias)] + [p for m in norms for p in (m.weight, m.bias)]
    return [p.detach().numpy() for p in [*parts, *(b for m in norms for b in (m.running_mean, m.running_var))]]


def furthest(mine, theirs):
    return max(float(np.abs(a - b).max()) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("cocktail", RICH)
def test_torch_script_takes_our_steps_with_every_ingredient(cocktail):
    import_torch()
    tasks = ("binary", "multiclass") if "smoothing" in cocktail else ("multiclass", "regression")
    for task in tasks:
        training = Training(**TRAININGS[RICH[cocktail]], epochs=STEPS, batch_size=None, precision="float64",
                            loss=LOSSES[task], class_weights=WEIGHTED[task])  # fmt: skip
        space, ours = whole_against_torch(cocktail, training, task)
        # PyTorch adds 1e-6 to a norm of about 0.1; processors differ in the order of sums, which batch norm magnifies.
        tolerance = 2e-4 if "clipping" in cocktail else 1e-8 if "batch_norm" in cocktail else 1e-9
        assert furthest(ours.everything(), torch_parts(space["network"])) < tolerance
        if "ema" in cocktail:
            assert furthest(ours.average, torch_parts(space["average"])) < tolerance
            assert furthest(ours.everything(), ours.average) > 1e-6
            space["average"].load_state_dict(space["network"].state_dict())
        if "group_lasso" in cocktail:
            dead = (ours.weights[0][0] == 0).all(0)
            assert ((space["linear"][0].weight.detach().numpy() == 0).all(0) == dead).all()
        check_predictions(space, task)


def test_torch_script_with_an_ingredient_removed_would_be_caught():
    import_torch()
    for cocktail in RICH:
        training = Training(**TRAININGS[RICH[cocktail]], epochs=STEPS, batch_size=None, precision="float64")
        for item in as_cocktail(cocktail).ingredients:
            if item.name == "ema":
                continue
            rest = Cocktail(tuple(i for i in as_cocktail(cocktail).ingredients if i != item))
            space, _ = whole_against_torch(rest, training, "multiclass")
            strengths = as_cocktail(cocktail).resolve(3)
            full = Whole("multiclass", space["began"], strengths, training, "tanh").run(*sample("multiclass")[:2])
            assert furthest(full.everything()[:6], torch_parts(space["network"])[:6]) > 1e-3, (cocktail, item)


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber", "huber:0.3", "quantile:0.9", "quantile"])
@pytest.mark.parametrize("schedule", ["one_cycle", "flat_cosine"])
def test_torch_script_has_our_losses_and_schedules(loss, schedule):
    import_torch()
    training = Training("adam", 0.02, STEPS, None, schedule, precision="float64", loss=loss)
    space, ours = whole_against_torch("none", training, "regression", "leaky_relu")
    assert furthest(ours.everything(), torch_parts(space["network"])) < 1e-9
    check_predictions(space, "regression")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("weights", ["balanced", "given", None])
def test_torch_script_weighs_classes(task, weights):
    import_torch()
    given = {"balanced": "balanced", None: None, "given": (0.5, 2.0) if task == "binary" else (1.0, 0.0, 5.0)}
    training = Training("gd", 0.1, STEPS, None, precision="float64", class_weights=given[weights])
    space, ours = whole_against_torch("mixup=0.4", training, task)
    assert furthest(ours.everything(), torch_parts(space["network"])) < 1e-9


@pytest.mark.parametrize("task", TASKS)
def test_torch_script_with_everything_at_random(task):
    torch = import_torch()
    classes = task != "regression"
    cocktail = "batch_norm + dropout=(0.2, 0.1):schedule=cosine + input_dropout=0.1:schedule=one_cycle + ema=0.9"
    cocktail += " + input_noise=0.1 + mixup=0.2 + gradient_clipping=1 + max_norm=3 + early_stopping=6:min_delta=0.001"
    cocktail += ":on=score + label_smoothing=0.1" if classes else ""
    training = Training(learning_rate=0.02, epochs=40, batch_size=25, schedule="one_cycle",
                        class_weights="balanced" if classes else None)  # fmt: skip
    text = text_for(MLP((16, 8), "leaky_relu"), cocktail, training, task, "torch", rows=201, stop_share=0.25)
    space = run(text, task, rows=201)
    average, progress = space["average"], space["progress"]
    assert [m.p for m in space["network"] if isinstance(m, torch.nn.Dropout)] == pytest.approx(
        [p * schedule_factor(name, progress) for p, name in ((0.1, "one_cycle"), (0.2, "cosine"), (0.1, "cosine"))]
    )
    assert not average.training
    with torch.no_grad():
        outputs = average(space["stop_inputs"])
        kept = space["loss_of"](outputs, space["stop_targets"]).item()
    found, y = check_predictions(space, task, rows=201)
    x, stop = data_for(task, rows=201)[0], space["stop"]
    on_stop = space["predict"](x[stop])
    if classes:
        right = on_stop.argmax(1) if task == "multiclass" else on_stop > 0.5
        assert space["best_score"] == pytest.approx(np.mean(right == y[stop]))
        assert space["best_score"] > 0.75
    else:
        assert space["best_loss"] == pytest.approx(kept, abs=1e-6)
        assert 1 - np.mean((found - y) ** 2) / np.var(y) > 0.6
    assert all(torch.linalg.vector_norm(layer.weight, dim=1).max() <= 3.0001 for layer in space["linear"])


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


def test_sklearn_script_says_that_it_lacks_every_new_ingredient():
    lacking = ("group_lasso=0.1", "max_norm=3", "batch_norm", "input_dropout=0.1", "input_noise=0.1", "mixup=0.2",
               "label_smoothing=0.1", "gradient_clipping=1", "ema=0.9", "augment=0.5")  # fmt: skip
    for text in lacking:
        script = text_for(MLP((4,)), text, Training("gd", 0.1), "binary", "sklearn")
        assert f"LEFT OUT: scikit-learn's models have no {as_cocktail(text).ingredients[0].name}." in script
        idle = {"max_norm=3": "max_norm=inf", "gradient_clipping=1": "gradient_clipping=inf"}.get(text)
        idle = idle or (text.partition("=")[0] + "=0" if "=" in text else "none")
        assert "LEFT OUT" not in text_for(MLP((4,)), idle, Training("gd", 0.1), "binary", "sklearn")
    scheduled = text_for(MLP((4,)), "l2=0.1:schedule=cosine", Training(schedule="one_cycle"), "binary", "sklearn")
    assert "LEFT OUT: scikit-learn has no schedule for the strength of l2" in scheduled
    assert "LEFT OUT: scikit-learn has no one_cycle schedule" in scheduled
    on_score = text_for(MLP((4,)), "early_stopping=5:on=score", Training(), "binary", "sklearn").replace("\n# ", " ")
    assert "splits off rows of its own" in on_score
    linear = text_for(MLP(()), "l2=0.1 + mixup=0.2", Training(), "binary", "sklearn")
    assert "neural_network" in linear, "mixup makes the best solution another"
    run(linear, "binary")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("weights", ["balanced", "given"])
def test_sklearn_script_weighs_classes(task, weights):
    given = "balanced" if weights == "balanced" else (1.0, 3.0, 0.5)[: 2 if task == "binary" else 3]
    training = Training("gd", 0.05, STEPS, None, precision="float64", class_weights=given)
    # A linear network: the solution is where our weighted gradient is 0.
    space = run(text_for(MLP(()), "l2=0.05", training, task, "sklearn", rows=80), task, rows=80)
    model, x, y = space["model"], space["X_train"], space["y_train"]
    pair = (np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_))
    ours = Whole(task, [pair], as_cocktail("l2=0.05").resolve(1), training, "tanh")
    k = len(pair[1])
    found = ours.all_gradients(x, np.eye(k)[y] if k > 1 else y[:, None], ours.row_weights(y))
    assert np.abs(found[0, "w"] + 0.05 * pair[0]).max() < 1e-5
    assert np.abs(found[0, "b"]).max() < 1e-5
    # The multilayer perceptron, full batch: our steps.
    head, tail = cut(text_for(MLP((6, 4), "tanh"), "l2=0.05", training, task, "sklearn"), "with warnings")
    space = run(head, task)
    model, x, y = space["model"].set_params(shuffle=False), space["X_train"], space["y_train"]
    classes, weighted = {"classes": np.unique(y)}, {"sample_weight": space["row_weights"]}
    model.partial_fit(x, y, **classes, **weighted)
    ours = Whole(task, _sklearn_pairs(model), as_cocktail("l2=0.05").resolve(3), training, "tanh")
    for _ in range(STEPS):
        model.partial_fit(x, y, **classes, **weighted)
    assert apart(ours.run(x, y), _sklearn_pairs(model)) < 1e-9
    run(tail, task, space=space)
    check_predictions(space, task)


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


NEW = ("group_lasso=0.1", "max_norm=(1, inf, 2)", "batch_norm", "input_dropout=0.1", "input_noise=0.1", "mixup=0.2",
       "label_smoothing=0.1", "gradient_clipping=1", "ema=0.9", "augment=0.5")  # fmt: skip


OLD = {"l1", "l2", "elastic_net", "weight_decay", "dropout", "early_stopping"}


def test_every_ingredient_is_written():
    assert {text.partition("=")[0] for text in NEW} | OLD == set(INGREDIENTS)


@settings(max_examples=60)
@given(
    new=st.lists(st.tuples(st.sampled_from(NEW), st.sampled_from(SCHEDULES)), max_size=9, unique_by=lambda n: n[0]),
    loss=st.sampled_from(("auto", "absolute", "huber:2", "quantile:0.1")),
    weighted=st.booleans(),
    activation=st.sampled_from(("relu", "leaky_relu", "gelu")),
    l1=st.none() | STRENGTHS,
    l2=st.none() | STRENGTHS,
    decay=st.none() | STRENGTHS,
    drop=st.none() | st.floats(0, 0.99),
    stop=st.none() | st.integers(1, 99),
    task=st.sampled_from(TASKS),
    how=st.sampled_from(list(TRAININGS)),
    batch=st.none() | st.integers(1, 100),
)
def test_every_script_is_python_of_our_own_words(
    new, loss, weighted, activation, l1, l2, decay, drop, stop, task, how, batch
):
    kinds = ((L1, l1), (L2, l2), (WeightDecay, decay), (Dropout, drop), (EarlyStopping, stop))
    cocktail = Cocktail(tuple(kind(value) for kind, value in kinds if value is not None))
    classes, plain = task != "regression", TRAININGS[how]["optimizer"] in ("gd", "sgd")
    for text, schedule in new:
        if (classes or "smoothing" not in text) and (plain or "lasso" not in text):
            cocktail += as_cocktail(text + (f":schedule={schedule}" if "=" in text else ""))
    weights = ("balanced" if classes else None) if weighted else None
    training = Training(**TRAININGS[how], batch_size=batch, loss="auto" if classes else loss, class_weights=weights)
    network = MLP((6, 4), activation)
    for dialect in LIBRARIES:
        if dialect == "sklearn" and training.loss != "auto":
            continue
        text = text_for(network, cocktail, training, task, dialect)
        ast.parse(text)
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 120
        assert text == text_for(network, cocktail, training, task, dialect)
        for item in cocktail.ingredients:  # none is dropped in silence, nor in PyTorch its schedule
            without = Cocktail(tuple(i for i in cocktail.ingredients if i != item))
            others = [without] if item.name not in OLD else []
            # What is left out as a whole is left out with its schedule.
            if dialect == "torch" and item.name != "augment" and getattr(item, "schedule", "constant") != "constant":
                others.append(without + replace(item, schedule="constant"))
            for other in others:
                assert body(text) != body(text_for(network, other, training, task, dialect)), item
        for change in ({"class_weights": None}, {"loss": "auto"}, {"schedule": "constant"}):
            other = replace(training, **change)
            if other != training:
                assert body(text) != body(text_for(network, cocktail, other, task, dialect)), change


def body(text):
    """A script below its title, which names the cocktail and the training."""
    return text.partition("# X: ")[2]


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
        ({"cocktail": as_cocktail("group_lasso=0.1")}, "gd and sgd, not adam"),
        ({"cocktail": as_cocktail("label_smoothing=0.1"), "task": "regression"}, "label_smoothing is for classes"),
        ({"cocktail": as_cocktail("early_stopping:on=score"), "task": "regression"}, "on=score is for classes"),
        ({"training": Training(class_weights="balanced"), "task": "regression"}, "class_weights is for classes"),
        ({"training": Training(class_weights=(1, 2, 3))}, "3 numbers for 2 classes"),
        ({"training": Training(loss="huber")}, "Unknown loss 'huber'"),
        (
            {"training": Training(loss="huber"), "task": "regression", "dialect": "sklearn"},
            "no code for the loss huber",
        ),
    ],
)
def test_wrong_use_is_refused(change, word):
    right = {"network": MLP((4,)), "cocktail": Cocktail(), "training": Training(), "inputs": 2, "outputs": 1,
             "task": "binary", "rows": 9, "dialect": "torch"}  # fmt: skip
    values = {**right, **change}
    with pytest.raises(SettingError, match=word):
        code(values.pop("network"), values.pop("cocktail"), values.pop("training"), **values)
