"""Modules' weights by their layers: what a bound and a group lasso act on, and what no penalty reaches."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from test_modules import images  # noqa: E402 (PyTorch may be absent)

import wellfit as wf  # noqa: E402
from wellfit.cocktail import as_cocktail  # noqa: E402
from wellfit.engines.base import Member  # noqa: E402
from wellfit.engines.contract import finish  # noqa: E402
from wellfit.engines.torch import TorchEngine  # noqa: E402
from wellfit.nets import Training  # noqa: E402
from wellfit.nets.built import build  # noqa: E402

nn = torch.nn
SGD = Training("sgd", 0.05, 3, 16, momentum=0.9, precision="float64")


def trained(factory, text, *, stacked=False):
    """Return the tensors by name of a module that was trained."""
    network = wf.module("mine", factory).bound((1, 8, 8), 3)
    one = Member(network, as_cocktail(text), SGD, 1, 0)
    state = finish(TorchEngine("cpu", stacked=stacked), [one], images())[0]
    return build(network, (1, 8, 8), 3, False).layout.tensors(torch.tensor(state.parameters))


def transposed():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.Tanh(), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Tanh(), nn.Flatten(),
        nn.Linear(96, 3),
    )  # fmt: skip


class Normed(nn.Module):
    """A weight-normalized layer, and a normalization of its own whose scale has two axes."""

    class ChannelNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 6))

        def forward(self, x):
            return self.scale * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1)

    def __init__(self):
        super().__init__()
        self.lift = nn.utils.parametrizations.weight_norm(nn.Linear(64, 18))
        self.norm, self.head = self.ChannelNorm(), nn.Linear(18, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.lift(x.flatten(1)).unflatten(1, (3, 6))).flatten(1)))


def test_scales_with_two_axes_are_not_penalized():
    free, held = trained(Normed, "none"), trained(Normed, "l2=4")
    length, direction = (f"lift.parametrizations.weight.original{i}" for i in range(2))
    ratio = {name: (held[name].norm() / free[name].norm()).item() for name in free}
    assert ratio["head.weight"] < 0.5
    assert ratio[direction] < 0.5
    assert ratio[length] > 0.8
    assert ratio["norm.scale"] > 0.8
