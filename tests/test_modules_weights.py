"""Modules' weights by their layers: what a bound and a group lasso act on, and what no penalty reaches."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from test_modules import images

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.contract import finish
from wellfit.engines.torch import TorchEngine
from wellfit.errors import SettingError
from wellfit.nets import Training
from wellfit.nets.built import build

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


class Late(nn.Module):
    """Meets a layer first that has no columns; a linear one comes later."""

    def __init__(self, first):
        super().__init__()
        self.first, self.head = first, nn.Linear(8, 3)

    def forward(self, x):
        out = self.first(x[:, 0])
        return self.head((out[0] if isinstance(out, tuple) else out)[:, -1])


@pytest.mark.parametrize(
    "first",
    [
        lambda: nn.LSTM(8, 8, batch_first=True),
        lambda: nn.Linear(8, 8).requires_grad_(False),
        lambda: nn.Conv1d(8, 8, 3, padding=1, groups=2),
    ],
)
def test_group_lasso_is_not_put_on_a_later_layer(first):
    with pytest.raises(SettingError, match="needs a first layer"):
        trained(lambda: Late(first()), "group_lasso=0.1")


@pytest.mark.parametrize("stacked", [False, True])
def test_what_enters_a_unit_of_a_transposed_convolution_is_bounded(stacked):
    """An output's gradient is 0 but at its own weights: that is what enters it."""
    bound = 0.25
    free = trained(transposed, "none", stacked=stacked)["2.weight"]
    held = trained(transposed, f"max_norm=(inf, {bound}, inf)", stacked=stacked)["2.weight"]
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False, dtype=torch.float64)
    for weight, longest in ((free, None), (held, bound)):
        layer.weight.data.copy_(weight)
        outputs = layer(torch.rand(1, 4, 3, 3, dtype=torch.float64) + 0.5)
        norms = []
        for channel in range(6):
            [gradient] = torch.autograd.grad(outputs[:, channel].sum(), layer.weight, retain_graph=True)
            norms.append(torch.where(gradient != 0, weight, 0).norm().item())
        if longest is None:
            assert min(norms) > bound
        else:
            np.testing.assert_allclose(norms, longest, rtol=1e-12)


class Mine(nn.Module):
    """Multiplies by a matrix of its own, from the other side."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.full((64, 5), 0.1))
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.tanh(x.flatten(1) @ self.matrix))


def test_a_bound_on_units_that_nobody_knows_is_refused():
    with pytest.raises(SettingError, match=r"units of matrix stand.*inf"):
        trained(Mine, "max_norm=1")
    assert torch.linalg.vector_norm(trained(Mine, "max_norm=(inf, 0.1)")["head.weight"], dim=1).max() < 0.1 + 1e-9


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
