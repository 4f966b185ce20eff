"""By what a module is told from an edited one: its key, the same on every machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch_modules import Attentive, Convolutional, Recurrent

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member
from wellfit.nets import Training
from wellfit.nets.built import build

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


PROCESSOR = """
import sys
sys.path.insert(0, {tests!r})
from test_modules_keys import keys_of_all_kinds
print(" ".join(keys_of_all_kinds()))
"""


def keys_of_all_kinds() -> list[str]:
    kinds = ((Half, 5, 1), (Recurrent, 5, 1), (Attentive, 5, 1), (Convolutional, (1, 8, 8), 3))
    own = [wf.module("mine", factory).bound(inputs, outputs) for factory, inputs, outputs in kinds]
    return [net.key for net in (*own, wf.module("cnn").bound((1, 12, 12), 3))]


def test_a_key_is_the_same_on_a_processor_that_draws_and_adds_otherwise() -> None:
    """PyTorch without vector instructions draws starting weights with other last bits, and oneDNN multiplies so."""
    scalar = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "3"}
    program = PROCESSOR.format(tests=str(Path(__file__).parent))
    ran = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | scalar, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == keys_of_all_kinds()


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
