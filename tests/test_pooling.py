"""Max pooling that halves, by compiled kernels: the bits of PyTorch's own, forward and back."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import wellfit as wf
from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.torch import TorchEngine, pooling
from wellfit.nets import Training
from wellfit.records import Fold, FoldData, TrainingData

nn = torch.nn


def images(*shape: int) -> torch.Tensor:
    """Numbers with many ties, zeros among them, their channels last in memory."""
    drawn = rng.generator(0, rng.DATA).integers(-4, 5, shape) / 4
    return torch.tensor(drawn + 0.0).bfloat16().to(memory_format=torch.channels_last)


def both_ways(x: torch.Tensor, pool: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What leaves the pool and the gradient by x, PyTorch's and ours."""
    found = []
    pooling.quicken(pool)
    for way in (nullcontext(), pooling.quick_pools()):
        with way:
            given = x.clone(memory_format=torch.preserve_format).requires_grad_()
            out = pool(given)
            slope = torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype)
            found.append((out.detach(), torch.autograd.grad(out, given, slope)[0]))
    return found


@pytest.mark.parametrize("shape", [(3, 4, 6, 8), (2, 16, 7, 5), (1, 1, 2, 3), (5, 3, 9, 2)])
def test_values_and_gradients_are_pytorchs(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    quick, apply = [], pooling._Halved.apply
    monkeypatch.setattr(pooling._Halved, "apply", lambda x: quick.append(1) or apply(x))
    theirs, ours = both_ways(images(*shape), nn.MaxPool2d(2))
    assert quick == [1]
    for one, other in zip(theirs, ours, strict=True):
        assert torch.equal(one, other)


def test_infinities_and_what_is_no_number_pass_as_in_pytorch() -> None:
    x = images(1, 2, 8, 8)
    x[0, 0, 0, 1], x[0, 0, 2, 2], x[0, 0, 5, 4] = float("inf"), float("-inf"), float("nan")
    x[0, 1, 1, 1] = -torch.tensor(float("nan"))  # with a sign, as 0 * inf has it on some processors
    x[0, 1, 4:6, 4:6] = float("-inf")
    (out, slope), (mine, back) = both_ways(x, nn.MaxPool2d(2))
    assert torch.isnan(out).sum() == 2
    assert torch.equal(torch.isnan(out), torch.isnan(mine))
    assert torch.equal(out.nan_to_num(7.0), mine.nan_to_num(7.0))
    assert torch.equal(slope, back)


@pytest.mark.parametrize(
    ("pool", "change"),
    [
        (nn.MaxPool2d(3), lambda x: x),
        (nn.MaxPool2d(2, stride=1), lambda x: x),
        (nn.MaxPool2d(2, padding=1), lambda x: x),
        (nn.MaxPool2d(2, ceil_mode=True), lambda x: x),
        (nn.MaxPool2d(2), torch.Tensor.float),
        (nn.MaxPool2d(2), torch.Tensor.contiguous),
        (nn.AvgPool2d(2), lambda x: x),
    ],
)
def test_all_else_is_left_to_pytorch(pool: nn.Module, change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling._Halved, "apply", None)
    theirs, ours = both_ways(change(images(2, 3, 7, 7)), pool)
    for one, other in zip(theirs, ours, strict=True):
        assert torch.equal(one, other)


def test_a_training_has_the_bits_that_it_has_with_pytorchs_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = rng.generator(0, rng.DATA)
    x = draw.integers(0, 256, (60, 1, 12, 12)).astype(np.uint8)
    y = np.eye(3)[np.arange(60) % 3]
    rows = Fold(np.arange(50), np.arange(0), np.arange(50, 60))
    data = TrainingData("multiclass", 3, (FoldData(x, y, rows),), "images")
    training = Training("adamw", 0.01, 2, 16, precision="bfloat16")
    cnn = wf.module("cnn").bound((1, 12, 12), 3)
    member = Member(cnn, as_cocktail("batch_norm + dropout=0.3"), training, 0, 0)
    engine, ends = TorchEngine("cpu"), []
    for way in (pooling.quick_pools, nullcontext):
        monkeypatch.setattr("wellfit.engines.torch.stack.quick_pools", way)
        ends += engine.advance([member], engine.init([member], data), [2], data)
    np.testing.assert_array_equal(ends[0].parameters, ends[1].parameters)
