"""How a module is made, told from an edited one, measured and handed over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import wellfit as wf  # noqa: E402 (PyTorch may be absent)
from wellfit.cocktail import as_cocktail  # noqa: E402
from wellfit.engines.base import Member, history  # noqa: E402
from wellfit.engines.contract import finish, make_data  # noqa: E402
from wellfit.engines.torch import TorchEngine  # noqa: E402
from wellfit.nets import Training  # noqa: E402
from wellfit.nets.built import build  # noqa: E402

nn = torch.nn
ADAM = Training("adamw", 0.01, 3, 16)
Net = Callable[..., nn.Module]


class Ordered(nn.Module):
    """The same layers, called in another order, or with a constant of another size."""

    def __init__(self, order: str, constant: float = 1.0, *, detach: bool = False) -> None:
        super().__init__()
        self.a, self.norm, self.drop, self.head = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 1)
        self.order, self.constant, self.cut = order, torch.full((6,), constant), detach

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        return Backward.apply(x * self.constant) if self.cut else x * self.constant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = {"a": self.a, "n": self.norm, "d": self.drop, "r": torch.relu, "c": self.scaled, "h": self.head}
        for part in self.order:
            x = parts[part](x)
        return x


class Backward(torch.autograd.Function):
    """Nothing forward, half of the gradient backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple, output: torch.Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, given: torch.Tensor) -> torch.Tensor:
        return given / 2


def begun(bias: float = 0.0, *, reverse: bool = False) -> nn.Module:
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1))
    with torch.no_grad():
        net[0].bias.fill_(bias)
        net[2].bias.fill_(0)
        if reverse:
            net[0].weight.copy_(net[0].weight.flip(0, 1))
    return net


def momentum(value: float) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, momentum=value), nn.ReLU(), nn.Linear(6, 1))


class Half(nn.Module):
    """Makes a tensor of float32, so that it does not run in float64."""

    def __init__(self, size: float = 1.0) -> None:
        super().__init__()
        self.a, self.norm, self.head, self.size = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 1), size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.a(x))) @ (torch.eye(6) * self.size))


@pytest.mark.parametrize(
    "edits",
    [
        [lambda o=o: Ordered(o) for o in ("anrdch", "arndch", "dancrh", "acrh")],
        [lambda c=c: Ordered("arch", c) for c in (1.0, 3.0, 1.01)],
        [lambda d=d: Ordered("arch", detach=d) for d in (False, True)],
        [lambda b=b: begun(b) for b in (0.0, 2.0)] + [lambda: begun(reverse=True)],
        [lambda m=m: momentum(m) for m in (0.1, 0.01)],
        [lambda s=s: Half(s) for s in (1.0, 1.5)],
    ],
    ids=["order", "constant", "gradient", "start", "momentum", "float32"],
)
def test_an_edited_factory_does_not_take_the_results_of_the_one_before(edits: list[Net]) -> None:
    keys = [wf.module("mine", edit).bound(5, 1).key for edit in edits]
    assert len(set(keys)) == len(edits)
    assert [wf.module("mine", edit).bound(5, 1).key for edit in edits] == keys


def test_a_key_does_not_hang_on_last_bits_of_starting_weights_nor_on_threads() -> None:
    """As another processor draws and adds them."""

    def nudged(part: float) -> nn.Module:
        net = Ordered("anrdch")
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(1 + part * torch.sin(torch.arange(p.numel()).view(p.shape)))
        return net

    def key(part: float) -> str:
        return wf.module("mine", lambda: nudged(part)).bound(5, 1).key

    keys = {key(part) for part in (0.0, 2e-7, -2e-7, 1e-7)}
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        keys.add(key(0.0))
    finally:
        torch.set_num_threads(before)
    assert len(keys) == 1
    assert key(0.01) not in keys


def test_both_variants_of_a_module_have_its_one_signature() -> None:
    net = wf.module("mine", lambda: Ordered("anrdch")).bound(5, 1)
    assert build(net, 5, 1, False).signature == build(net, 5, 1, True).signature


def test_keys_of_a_large_population_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    network = wf.module("mine", lambda: made.append(1) or Ordered("anrdch")).bound(5, 1)
    ones = [Member(network, as_cocktail("l2=0.1"), ADAM, seed, 0) for seed in range(500)]
    start = time.perf_counter()
    assert len({one.key for one in ones}) == 500
    assert time.perf_counter() - start < 2
    assert len(made) < 10


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
    np.testing.assert_allclose(record.predictions, expected.numpy(), atol=1e-9)
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
