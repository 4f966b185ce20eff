"""Dropout and batch normalization put into a module: as if its author had written them there, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tables import made_table
from torch_modules import Attentive

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.contract import finish, make_data
from wellfit.engines.torch import TorchEngine
from wellfit.errors import UnsupportedError
from wellfit.nets import Training
from wellfit.nets.built import build

nn = torch.nn
ADAM = Training("adamw", 0.01, 4, 16, precision="float64")


class Read(nn.Module):
    """Reads layers' attributes and types, calls one by keyword and one twice."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        self.twice, self.head = nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.body:
            x = torch.relu(layer(x)) if isinstance(layer, nn.Linear) else x
        x = torch.relu(self.twice(torch.relu(self.twice(x))))
        return self.head(input=x) + self.twice.weight.mean() / self.body[0].out_features


class Written(Read):
    """The same with dropout and normalization written out."""

    def __init__(self) -> None:
        super().__init__()
        self.drops = nn.ModuleList([nn.Dropout(), nn.Dropout(), nn.Dropout()])
        self.norms = nn.ModuleList([nn.BatchNorm1d(8), nn.BatchNorm1d(8), nn.BatchNorm1d(8)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norms[0](self.body[0](x)))
        x = torch.relu(self.norms[1](self.body[2](self.drops[0](x))))
        for _ in range(2):
            x = torch.relu(self.norms[2](self.twice(self.drops[1](x))))
        return self.head(self.drops[2](x)) + self.twice.weight.mean() / 8


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("text", ["dropout=(0.2, 0.5, 0.3) + l2=0.01", "batch_norm + dropout=0.3 + early_stopping=3"])
def test_what_is_inserted_acts_as_if_it_were_written(text: str, stacked: bool) -> None:
    """Whatever a forward pass does with its layers."""
    data, engine = make_data("binary"), TorchEngine("cpu", stacked=stacked)
    found = []
    for net in (wf.module("read", Read, insert_dropout=True), wf.module("written", Written)):
        ones = [Member(net.bound(5, 1), as_cocktail(text), ADAM, seed, 1) for seed in (0, 1)]
        found.append(finish(engine, ones, data))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours.parameters, theirs.parameters, atol=1e-12)
        np.testing.assert_allclose(ours.curves, theirs.curves, atol=1e-12)


def test_a_module_with_dropout_put_in_comes_back_as_the_users_own(tmp_path: Path) -> None:
    table = made_table(rows=60)
    net = wf.module("of", lambda inputs, outputs: Of(inputs, outputs), insert_dropout=True)
    model = wf.search(table, network=net, budget=1000, folds=2, training=Training("adam", 0.01, 2, 16)).model.parts[0]
    handed = model.to_torch(logits=table.task != "regression")
    own = Of(model.takes, model.outputs)
    own.load_state_dict(handed.state_dict())
    x = torch.as_tensor(model.prepared(table.columns)[0], dtype=torch.float32)
    expected = handed(x) if table.task != "regression" else (handed(x) - model.target_mean) / model.target_scale
    torch.testing.assert_close(own(x).reshape(-1), expected.reshape(-1), rtol=0, atol=1e-5)
    again = wf.Fitted.load(model.save(tmp_path / "model.wellfit"), network=net)
    np.testing.assert_array_equal(again.parameters, model.parameters)


class Of(nn.Module):
    """Two layers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(inputs, 6), nn.Linear(6, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(x)))


class Words(nn.Module):
    """Words and where they stand, a dropout layer in front of one of two layers, and one whose weights are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(10, 6), nn.Embedding(4, 6)
        self.drop, self.flat = nn.Dropout(), nn.Flatten()
        self.body, self.head = nn.Linear(24, 8), nn.utils.parametrizations.weight_norm(nn.Linear(8, 1))
        self.around = nn.Linear(24, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.word(x) + self.place(torch.arange(x.shape[1]))
        return self.head(torch.relu(self.body(self.flat(self.drop(z))))) + self.around(self.flat(z))


def test_dropout_is_put_where_values_come_in_and_none_is_there() -> None:
    built = build(wf.module("words", Words, insert_dropout=True).bound(4, 1), 4, 1, False)
    assert built.tokens
    assert [name for name, part in built.net.named_modules() if type(part).__name__ == "Site"] == [
        "drop",
        "head.inserted_dropout",
        "around.inserted_dropout",
    ]
    assert built.masks == [(4, 6), (8,), (24,)]


class Functional(nn.Module):
    """A layer whose weights are read, and which is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.relu(nn.functional.linear(torch.relu(self.a(x)), self.b.weight, self.b.bias)))


class Matrix(nn.Module):
    """A matrix that is no layer's, used in another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.matrix = nn.Linear(5, 8), nn.Parameter(torch.ones(1, 8) / 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.a(x)) @ self.matrix.T.contiguous()


class Attention(nn.Module):
    """Attention alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.attention, self.head = (
            nn.Linear(1, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.lift(x[:, :, None])
        return self.head(self.attention(z, z, z)[0].mean(1))


class Shared(nn.Module):
    """An embedding that reads words and gives logits."""

    def __init__(self) -> None:
        super().__init__()
        self.word = nn.Embedding(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.word(x).mean(1) @ self.word.weight.T)[:, :1]


@pytest.mark.parametrize(
    ("factory", "weight"),
    [
        (Functional, "b.weight"),
        (Matrix, "matrix"),
        (Attention, "attention.in_proj_weight"),
        (Attentive, "layer.self_attn.in_proj_weight"),
        (Shared, "word.weight"),
    ],
)
def test_weights_out_of_reach_are_refused_where_something_is_to_be_inserted(factory: type, weight: str) -> None:
    plain = wf.module("mine", factory).bound(5, 1)
    assert plain.layers
    with pytest.raises(UnsupportedError, match=rf"mine.*multiplies by {weight} outside.*self\.fc\(x\).*nn\.Dropout"):
        wf.module("mine", factory, insert_dropout=True).bound(5, 1).strengths(as_cocktail("none"))
    with pytest.raises(UnsupportedError, match=f"mine.*{weight}"):
        plain.strengths(as_cocktail("batch_norm"))
