"""How a module is made, measured and handed over, and which factories are refused."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_modules_keys import ADAM, Half, Net
from torch.utils.data import TensorDataset

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member, history
from wellfit.engines.contract import finish, make_data
from wellfit.engines.torch import TorchEngine
from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets.built import build
from wellfit.nets.network import as_network, link
from wellfit.population import train

nn = torch.nn


class Own(nn.Module):
    """Multiplies by a matrix of its own before, or only adds one to its inputs."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.w = kind, nn.Parameter(torch.ones(5, 5) if kind == "product" else torch.ones(1, 5))
        self.first, self.head = nn.Linear(5, 5), nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "product":
            x = x @ self.w
        elif self.kind == "function":
            x = nn.functional.linear(x, self.first.weight)
        else:
            x = self.first(x + self.w)
        return self.head(torch.relu(x))


class Gated(nn.Module):
    """A recurrent layer, or a frozen one, in front of a linear one."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.body = nn.GRU(1, 4, batch_first=True) if kind == "gru" else nn.Linear(5, 4)
        self.body.requires_grad_(kind == "gru")
        self.kind, self.head = kind, nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x[:, :, None])[1][0] if self.kind == "gru" else torch.relu(self.body(x)))


@pytest.mark.parametrize(
    ("factory", "entry"),
    [
        (lambda: Own("sum"), "first.weight"),
        (lambda: Own("product"), None),
        (lambda: Own("function"), None),
        (lambda: Gated("gru"), None),
        (lambda: Gated("frozen"), None),
        (lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)), "0.weight"),
    ],
    ids=["sum", "product", "function", "gru", "frozen", "linear"],
)
def test_columns_are_inputs_only_where_no_weight_comes_before(factory: Net, entry: str | None) -> None:
    built = build(wf.module("mine", factory).bound(5, 1), 5, 1, False)
    names = [built.layout.slots[i].name for i in built.layout.weights]
    assert built.entry == (None if entry is None else names.index(entry))


def test_the_variant_is_told_and_not_guessed_from_a_length() -> None:
    """Of a normalization without numbers of its own both variants have vectors of one length."""

    def plain_norm() -> nn.Module:
        norm = nn.BatchNorm1d(6, affine=False, track_running_stats=False)
        return nn.Sequential(nn.Linear(5, 6), norm, nn.ReLU(), nn.Linear(6, 1))

    data = make_data("binary")
    one = Member(wf.module("mine", plain_norm).bound(5, 1), as_cocktail("batch_norm"), ADAM, 0, 0)
    [state] = finish(TorchEngine("cpu"), [one], data)
    record, fold = history(one, state, data), data.folds[0]
    net = plain_norm().double()
    tensors = build(one.network, 5, 1, True).layout.tensors(torch.tensor(state.parameters).double())
    net.load_state_dict(tensors)
    with torch.no_grad():
        expected = torch.sigmoid(net.eval()(torch.tensor(fold.x[fold.rows.score])))
    np.testing.assert_allclose(record.predictions, expected.numpy(), atol=1e-6)
    assert not np.isnan(record.units[0])


def test_units_of_a_linear_layer_stand_on_the_last_axis_and_of_a_convolution_on_the_second() -> None:
    def dead_half(linear: bool) -> nn.Module:
        layer = nn.Linear(5, 8) if linear else nn.Conv1d(3, 8, 1)
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor([-1.0] * 2 + [1.0] * 6))
        return nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(24 if linear else 40, 1))

    x = np.random.default_rng(0).normal(size=(10, 3, 5))
    for linear in (True, False):
        net = wf.module("mine", lambda linear=linear: dead_half(linear)).bound((3, 5), 1)
        on, off, _ = net.unit_shares(net.initialize(0, (3, 5), 1), x, 1)
        assert (on, off) == (0.75, 0.25)


class Noise(nn.Dropout):
    """A dropout of one's own kind."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.p + 1)


class Named(nn.Dropout):
    """PyTorch's under another name."""


def test_dropout_with_a_forward_pass_of_its_own_is_refused_by_name() -> None:
    def net(drop: type) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 4), drop(0.5), nn.Linear(4, 1))

    with pytest.raises(UnsupportedError, match=r"layer 1 of module mine is a Noise.*torch.nn.Module"):
        build(wf.module("mine", lambda: net(Noise)).bound(5, 1), 5, 1, False)
    assert build(wf.module("mine", lambda: net(Named)).bound(5, 1), 5, 1, False).places == 1


def test_a_factory_may_make_another_module() -> None:
    """Of wellfit's, whose own start is drawn in between; a lock that waits for itself would never end."""
    program = """
import torch, wellfit as wf
inner = wf.module("inner", lambda: torch.nn.Linear(5, 4)).bound(5, 4)
def outer():
    inner.initialize(7, 5, 4)
    return torch.nn.Linear(5, 1)
found = wf.module("outer", outer).initialize(0, 5, 1)
assert (found == wf.module("plain", lambda: torch.nn.Linear(5, 1)).initialize(0, 5, 1)).all()
"""
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_biases_without_effect_are_found_where_a_module_does_not_run_in_float64() -> None:
    built = build(wf.module("half", Half).bound(5, 1), 5, 1, True)
    assert [slot.name for slot in built.unfelt] == ["a.bias"]


def test_a_module_predicts_in_the_precision_that_it_was_trained_in_as_its_fitted_model_does() -> None:
    """Of a table's values too, which are float64: a module need not run in it."""
    data = make_data("binary")
    one = Member(wf.module("half", Half).bound(5, 1), as_cocktail("batch_norm"), ADAM, 0, 0)
    [state] = finish(TorchEngine("cpu"), [one], data)
    x = data.folds[0].x[data.folds[0].rows.score]
    logits = build(one.network, 5, 1, True).forward(state.parameters, x)
    np.testing.assert_array_equal(history(one, state, data).predictions, link("binary", logits))


class Words(nn.Module):
    """Reads tokens, in which 0 is what fills up a line."""

    def __init__(self, kind: str, inputs: object = None) -> None:
        super().__init__()
        self.kind = kind
        self.embed, self.body, self.head = nn.Embedding(12, 4), nn.GRU(4, 5, batch_first=True), nn.Linear(5, 1)
        self.wide = nn.Linear(4 * inputs, 5) if isinstance(inputs, int) else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "packed":
            counts = (x != 0).sum(1)
            packed = nn.utils.rnn.pack_padded_sequence(self.embed(x), counts, batch_first=True, enforce_sorted=False)
            return self.head(self.body(packed)[1][0])
        if self.kind == "wide":
            return self.head(self.wide(self.embed(x).flatten(1)))
        if self.kind == "broken":
            return self.head(self.embed(x))
        return self.head(self.body(self.embed(x.long()))[1][0])


def lines(rows: int = 60, columns: int = 7) -> TensorDataset:
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 12, (rows, columns), generator=draw)
    x[:, 0] = x[:, 0].clamp(min=1)
    return TensorDataset(x, torch.arange(rows) % 2)


@pytest.mark.parametrize("kind", ["packed", "long", "wide"])
def test_modules_that_read_tokens_are_tried_with_tokens(kind: str) -> None:
    heard = []

    def net(inputs: object) -> nn.Module:
        heard.append(inputs)
        return Words(kind, inputs)

    found = wf.compare(lines(), network=wf.module("words", net), cocktails="none", folds=2, seeds=1, training=ADAM)
    assert np.isfinite(found.results[0].score.mean)
    assert set(map(repr, heard)) == {"7"}, "one shape, always told the same way"


def test_a_module_of_tokens_that_fails_says_how_for_tokens_too() -> None:
    with pytest.raises(SettingError, match=r"words fails.*values \(.*FloatTensor.*whole numbers.*28x4 and 5x1"):
        build(wf.module("words", lambda: Words("broken")).bound(7, 1), 7, 1, False)


class Twice(nn.Module):
    """One dropout layer that hangs in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), self.drop)
        self.head = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(x)))


def test_a_shared_dropout_layer_is_pytorchs_own_again_and_one_in_what_is_handed_over() -> None:
    built = build(wf.module("twice", Twice).bound(5, 1), 5, 1, False)
    net = built.released(built.initialize(0), (0.3,))
    assert type(net.drop) is nn.Dropout
    assert net.drop.p == 0.3
    assert net.drop is net.body[2]


class Asks(nn.Module):
    """Looks at its dropout layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.drop, self.head = nn.Linear(5, 6), nn.Dropout(0.4, inplace=True), nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.head(self.drop(x) if self.drop.p > 0 and self.drop.inplace else x)


def test_a_forward_pass_may_look_at_its_dropout_layer() -> None:
    assert build(wf.module("asks", Asks).bound(5, 1), 5, 1, False).places == 1


def seeded() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(5, 1)


def forked() -> nn.Module:
    net = nn.Linear(5, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net.register_buffer("fixed", torch.randn(3))
    return net


def drawn_by_numpy() -> nn.Module:
    net = nn.Linear(5, 1)
    net.weight.data = torch.tensor(np.random.default_rng().normal(size=(1, 5)), dtype=torch.float32)
    return net


def of_any_width() -> nn.Module:
    width = int(torch.randint(4, 7, ()))
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 1))


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (of_any_width, "makes other layers"),
        (drawn_by_numpy, "begins with other numbers each time"),
        (seeded, "seeds PyTorch's generator itself"),
    ],
)
def test_factories_whose_start_is_no_function_of_the_seed_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, factory: Net, words: str
) -> None:
    monkeypatch.setattr(TorchEngine, "init", None)
    network = wf.module("mine", factory).bound(5, 1)
    ones = [Member(network, as_cocktail("none"), ADAM, seed, 0) for seed in range(6)]
    with pytest.raises(wf.WellfitError, match=words):
        train(ones, make_data("binary"), engine=TorchEngine("cpu"))


def test_a_factory_may_seed_a_generator_that_it_puts_back() -> None:
    network = wf.module("mine", forked).bound(5, 1)
    first, second = (network.initialize(seed, 5, 1) for seed in (0, 1))
    assert (first[-3:] == second[-3:]).all()
    assert not (first[:5] == second[:5]).any()


def anything(**given: int) -> nn.Module:
    return nn.Linear(given["inputs"], given["outputs"])


def test_a_factory_that_takes_any_keyword_gets_those_that_there_are() -> None:
    assert wf.module("mine", anything).size(5, 3) == 18


@dataclass
class Widths:
    """Settings that are called."""

    width: int = 4

    def __call__(self, inputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, self.width), nn.ReLU(), nn.Linear(self.width, 1))


@dataclass(frozen=True)
class Fixed:
    """The same, which cannot be changed."""

    width: int = 4
    __call__ = Widths.__call__


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: wf.module("my", Words("long")), r'made already.*wf\.module\("my", Words\)'),
        (lambda: as_network(Words), r'wf\.module\("words", Words\)'),
        (lambda: as_network(Words("long")), r'wf\.module\("words", Words\)'),
        (lambda: as_network(of_any_width), r'wf\.module\("of_any_width", of_any_width\)'),
        (lambda: as_network(lambda: nn.Linear(5, 1)), r'wf\.module\("my-net", factory\)'),
        (lambda: wf.module("my", Widths()), r"Widths.*cannot be hashed.*frozen=True"),
    ],
)
def test_what_is_no_named_factory_is_told_what_to_write(ask: Net, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        ask()


def test_settings_that_are_frozen_are_a_factory() -> None:
    assert wf.module("my", Fixed(3)).size(5, 1) == 22


def test_an_engine_of_ones_own_lets_go_of_data_that_nobody_else_has() -> None:
    engine, data = TorchEngine("cpu"), make_data("binary")
    one = Member(wf.module("line", lambda: nn.Linear(5, 1)).bound(5, 1), as_cocktail("none"), ADAM, 0, 0)
    finish(engine, [one], data)
    seen = [weakref.ref(array) for array in (data.folds[0].x, data.folds[0].y)]
    assert all(ref() is not None for ref in seen)
    del data
    gc.collect()
    assert all(ref() is None for ref in seen)
