"""The toolbox around the loop: early stopping, dropout, Keras models, and that PyTorch is optional."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from peers import import_keras, import_torch, keras_floats

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import CURVES, Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.contract.problems import make_data
from wellfit.errors import MissingExtraError, SettingError
from wellfit.nets import MLP, Training

torch = import_torch()
nn = torch.nn


# ---- early stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["loss", "score"])
@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (3, 0.0), (4, 0.01), (200, 0.0)])
def test_it_stops_where_the_engine_stops(patience, min_delta, on):
    """Fed with the curve of the stop rows, it chooses the engine's epoch, and stops at the engine's."""
    data = make_data("binary")
    cocktail = as_cocktail(f"early_stopping={patience}:min_delta={min_delta}:on={on}")
    member = Member(MLP((9,)), cocktail, Training("adam", 0.05, 40, 16, precision="float64"), seed=3, fold=1)
    engine = CompiledEngine()
    [state] = engine.advance([member], engine.init([member], data), [40], data)
    column = CURVES.index("stop_loss" if on == "loss" else "stop_accuracy")
    curve = state.curves[: state.epoch + 1, column]
    model = nn.Linear(1, 1)
    stop = wf.torch.EarlyStopping(model, patience, min_delta, mode="min" if on == "loss" else "max")
    answers = []
    for epoch, value in enumerate(curve):
        model.weight.data.fill_(epoch)
        answers.append(stop(value))
    assert answers == [False] * state.epoch + [state.status == "stopped"]
    assert stop.best_epoch == state.best_epoch
    assert stop.best_value == curve[state.best_epoch]
    stop.restore()
    assert model.weight.item() == state.best_epoch


def trained_pair():
    torch_rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    model.register_buffer("hidden", torch.zeros(1), persistent=False)  # a state_dict leaves it out
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x, y = (torch.randn(16, n, generator=torch_rng) for n in (3, 1))

    def step():
        model.train()
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
        model.hidden += 1

    return model, step


def everything(model):
    return {name: t.detach().clone() for name, t in [*model.named_parameters(), *model.named_buffers()]}


def test_weights_and_all_buffers_come_back():
    model, step = trained_pair()
    stop = wf.torch.EarlyStopping(model, patience=2)
    parameter = model[0].weight
    kept = None
    for value in (1.0, 0.4, 0.6, 0.7):
        step()
        if value == 0.4:
            kept = everything(model)
        stopped = stop(torch.tensor(value, requires_grad=True))
    assert stopped
    assert kept.keys() == everything(model).keys()
    assert all(torch.equal(kept[name], now) for name, now in everything(model).items())
    assert "1.running_var" in kept
    assert model[0].weight is parameter  # the optimizer goes on with the same tensors
    step()  # what was kept is a copy: training on does not touch it
    assert not torch.equal(kept["0.weight"], model[0].weight)
    stop.restore()
    assert all(torch.equal(kept[name], now) for name, now in everything(model).items())


def test_nan_is_no_improvement_and_is_told():
    model, _ = trained_pair()
    stop = wf.torch.EarlyStopping(model, patience=3)
    with pytest.warns(UserWarning, match="look 0"):
        assert not stop(math.nan)
    with pytest.raises(SettingError, match="no best weights"):
        stop.restore()
    assert not stop(2.0)  # the first number is the best so far
    assert (stop.best_epoch, stop.best_value) == (1, 2.0)
    assert [stop(math.nan), stop(3.0), stop(math.nan)] == [False, False, True]  # told once
    with pytest.warns(UserWarning, match="not a number"):
        assert wf.torch.EarlyStopping(model, patience=1)(math.nan)  # nothing to restore, and no error


def test_it_goes_on_from_a_checkpoint():
    values = [0.9, 0.5, 0.6, 0.55, 0.3, 0.4, 0.5, 0.6]
    whole, halves = (nn.Linear(1, 1, bias=False) for _ in range(2))
    first, second = (wf.torch.EarlyStopping(m, patience=3) for m in (whole, halves))
    answers = {"whole": [], "halves": []}
    for epoch, value in enumerate(values):
        for name, model, stop in (("whole", whole, first), ("halves", halves, second)):
            model.weight.data.fill_(epoch)
            answers[name].append(stop(value))
        if epoch == 3:
            saved = second.state_dict()
            second = wf.torch.EarlyStopping(halves, patience=3)
            second.load_state_dict(saved)
    assert answers["whole"] == answers["halves"] == [False] * 7 + [True]
    assert whole.weight.item() == halves.weight.item() == first.best_epoch == second.best_epoch == 4


def test_impossible_settings_are_refused():
    model = nn.Linear(1, 1)
    for options in ({"patience": 0}, {"patience": 1.5}, {"min_delta": -0.1}, {"mode": "auto"}):
        with pytest.raises(SettingError):
            wf.torch.EarlyStopping(model, **options)


# ---- dropout ----------------------------------------------------------------------------------------------------


def test_every_place_of_dropout_is_set():
    model = nn.ModuleDict(
        {
            "plain": nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout2d(), nn.AlphaDropout()),
            "encoder": nn.TransformerEncoderLayer(8, 2, 16),
            "lstm": nn.LSTM(4, 4, num_layers=2),
            "one": nn.GRU(4, 4),
        }
    )
    assert wf.torch.set_dropout(model, 0.25) == 8
    encoder = model["encoder"]
    rates = [encoder.self_attn.dropout, encoder.dropout.p, encoder.dropout1.p, encoder.dropout2.p]
    assert rates == [0.25] * 4
    assert [m.p for m in model["plain"][1:]] == [0.25] * 3
    assert (model["lstm"].dropout, model["one"].dropout) == (0.25, 0.0)  # one layer has nothing between layers
    assert wf.torch.set_dropout(model["plain"], (0.1, 0.2, 0)) == 3
    assert [m.p for m in model["plain"][1:]] == [0.1, 0.2, 0.0]


def test_the_rate_that_was_set_is_the_rate_that_drops():
    lstm = nn.LSTM(4, 64, num_layers=2)
    plain = nn.Sequential(nn.Dropout(0.9))
    wf.torch.set_dropout(plain, 0.2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = (plain(torch.ones(100_000)) == 0).double().mean().item()
        x = torch.ones(3, 2, 4)
        assert torch.equal(lstm(x)[0], lstm(x)[0])
        wf.torch.set_dropout(lstm, 0.5)
        assert not torch.equal(lstm(x)[0], lstm(x)[0])
    assert dropped == pytest.approx(0.2, abs=0.01)  # ten standard errors are 0.013


def test_dropout_that_cannot_be_set_is_refused():
    with pytest.raises(SettingError, match="no dropout layer"):
        wf.torch.set_dropout(nn.Linear(1, 1), 0.1)
    model = nn.Sequential(nn.Dropout(0.3), nn.Dropout(0.3))
    for bad in (1.0, -0.1, (0.1,), "much"):
        with pytest.raises(SettingError):
            wf.torch.set_dropout(model, bad)
    assert [m.p for m in model] == [0.3, 0.3]


# ---- Keras on the torch backend ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    with keras_floats(import_keras(tmp_path_factory.mktemp("keras")), "float32") as module:
        yield module


def keras_model(keras, rate=0.3):
    layers = keras.layers
    inputs = keras.Input((5,))
    x = inputs
    for _ in range(11):  # dense_10 comes before dense_2 where names are sorted
        x = layers.Dense(4)(x)
    x = layers.Dropout(rate)(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(3)(x))


def test_keras_kernels_are_weights_in_the_order_of_the_layers(keras):
    model = keras_model(keras)
    weights, rest = wf.torch.parameter_groups(model, 0.1)
    kernels = [layer.kernel.value for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 12
    assert all(a is b for a, b in zip(weights["params"], kernels, strict=True))
    trainable = {id(v.value) for v in model.trainable_variables}
    assert {id(p) for group in (weights, rest) for p in group["params"]} == trainable
    strengths = tuple(float(i) for i in range(12))
    per_layer = wf.torch.parameter_groups(model, strengths)
    assert [group["weight_decay"] for group in per_layer] == [*strengths, 0.0]


def test_keras_penalty_is_keras_s_regularizer(keras):
    """Keras's l2(l) is l sum W^2: ours at twice the strength."""
    layers, regularizers = keras.layers, keras.regularizers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, kernel_regularizer=regularizers.L1L2(0.01, 0.02)),
            layers.BatchNormalization(),
            layers.Dense(3, kernel_regularizer=regularizers.L2(0.03)),
        ]
    )
    ours = wf.torch.penalty(model, wf.L1((0.01, 0)) + wf.L2((0.04, 0.06)))
    assert ours.item() == pytest.approx(sum(model.losses).item(), rel=1e-6)


def test_keras_model_trains_with_exact_zeros_and_bounded_units(keras):
    first, last = (keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2))
    layers = [
        keras.layers.Dense(6, activation="tanh", kernel_initializer=first),
        keras.layers.Dense(1, kernel_initializer=last),
    ]
    model = keras.Sequential([keras.Input((5,)), *layers])
    x = torch.tensor(np.random.default_rng(0).normal(size=(64, 5)), dtype=torch.float32)
    inner = torch.optim.Adam(wf.torch.parameter_groups(model, 0.0), lr=0.01)
    optimizer = wf.torch.ProximalOptimizer(inner, l1=0.01, max_norm=(0.3, math.inf), model=model)
    for _ in range(100):
        optimizer.zero_grad()
        (model(x) - x[:, :1]).square().mean().backward()
        optimizer.step()
    kernel = model.layers[0].kernel.value
    assert kernel.shape == (5, 6)
    longest = torch.linalg.vector_norm(kernel, dim=0).max().item()  # units are columns in Keras
    assert longest == pytest.approx(0.3)
    assert 0 < int((kernel == 0).sum()) < kernel.numel()
    # A model whose kernel was zeroed predicts with it: these are the variables that Keras computes with.
    assert not torch.equal(model(x), torch.zeros_like(model(x)))


def test_keras_dropout_is_set_and_drops(keras):
    model = keras_model(keras)
    assert wf.torch.set_dropout(model, 0.6) == 1
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dropout))
    assert layer.rate == 0.6
    assert float((layer(np.ones(100_000, "float32"), training=True) == 0).float().mean()) == pytest.approx(
        0.6, abs=0.02
    )
    assert wf.torch.set_dropout(model, 0.0) == 1
    with pytest.raises(SettingError, match="made with rate 0"):
        wf.torch.set_dropout(keras_model(keras, rate=0.0), 0.2)


def test_keras_weights_come_back(keras):
    model = keras_model(keras)
    stop = wf.torch.EarlyStopping(model, patience=1)
    stop(0.5)
    kept = [variable.value.detach().clone() for variable in model.variables]
    with torch.no_grad():
        for variable in model.variables:
            variable.value.add_(1)
    assert stop(0.6)
    assert all(torch.equal(a, v.value) for a, v in zip(kept, model.variables, strict=True))


def test_keras_inside_a_torch_module_and_the_other_way_round(keras):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = keras_model(keras)
            self.head = nn.Linear(3, 2)

    model = Outer()
    weights, _ = wf.torch.parameter_groups(model, 0.1)
    assert len(weights["params"]) == 13
    assert weights["params"][-1] is model.head.weight
    assert wf.torch.set_dropout(model, 0.4) == 1
    wrapped = keras.Sequential(
        [keras.Input((5,)), keras.layers.TorchModuleWrapper(nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5)))]
    )
    assert wf.torch.set_dropout(wrapped, 0.2) == 1
    [group, _] = wf.torch.parameter_groups(wrapped, 0.1)
    assert [tuple(p.shape) for p in group["params"]] == [(4, 5)]
    with pytest.raises(SettingError, match="must be built"):
        wf.torch.penalty(keras.Sequential([keras.layers.Dense(3)]), "l2=1")


# ---- PyTorch is optional ----------------------------------------------------------------------------------------


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_wellfit_imports_no_torch_until_it_is_asked_for():
    code = "import sys, wellfit as wf; dir(wf); print('torch' in sys.modules, 'torch' in dir(wf)); wf.torch.lint; "
    assert python(code + "print('torch' in sys.modules)") == "False True\nTrue"


class Lacking:
    """Finds no PyTorch: ``missing`` is what its import says is not there."""

    def __init__(self, missing: str) -> None:
        self.missing = missing

    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError(f"No module named {self.missing!r}", name=self.missing)


@pytest.mark.parametrize(
    ("missing", "error", "text"),
    [("torch", MissingExtraError, r"pip install 'wellfit\[torch\]'"), ("sympy", ModuleNotFoundError, "'sympy'")],
)
def test_without_pytorch_the_error_names_what_to_install(monkeypatch, missing, error, text):
    for name in [name for name in sys.modules if name == "torch" or name.startswith("wellfit.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(wf, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Lacking(missing), *sys.meta_path])
    with pytest.raises(error, match=text) as caught:
        wf.torch  # noqa: B018 (asking is the test)
    assert type(caught.value) is error


def test_the_tools_are_listed():
    assert set(wf.torch.__all__) <= set(dir(wf.torch))
    assert {"parameter_groups", "penalty", "ProximalOptimizer", "EarlyStopping", "set_dropout", "lint"} <= set(
        wf.torch.__all__
    )
