"""Modules with edges: tied and frozen weights, normalization in other places, what is refused, memory that runs out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tables import made_table
from torch_modules import Plain, Tokens

import wellfit as wf
from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.data import Preprocessor, folds
from wellfit.engines.base import Member, threads_of
from wellfit.engines.contract import finish, make_data
from wellfit.engines.torch import TorchEngine
from wellfit.engines.torch.stack import Stack
from wellfit.errors import SettingError, UnsupportedError
from wellfit.executors import MemberError, Threads
from wellfit.job.path_job import path_into
from wellfit.nets import Training
from wellfit.nets.built import build
from wellfit.records import Table
from wellfit.select.defaults import default_training

nn = torch.nn
ADAM = Training("adamw", 0.01, 6, 16, precision="float64")


class Tied(nn.Module):
    """Two layers that share their weights, a frozen one, and a head that is defined first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 1)
        self.a, self.b, self.frozen = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)
        self.b.weight = self.a.weight
        self.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.frozen(torch.tanh(self.b(torch.tanh(self.a(x)))))))


@pytest.mark.parametrize("stacked", [False, True])
def test_tied_weights_stay_tied_and_frozen_ones_frozen_as_in_plain_pytorch(stacked: bool) -> None:
    data = make_data("binary")
    training = Training("sgd", 0.1, 4, None, momentum=0.5, precision="float64")
    one = Member(wf.module("tied", Tied).bound(5, 1), as_cocktail("l2=0.1"), training, 3, 0)
    [state, _] = finish(TorchEngine("cpu", stacked=stacked), [one, replace(one, seed=4)], data)
    built = build(one.network, 5, 1, False)
    net = Tied().double()
    start = built.layout.tensors(torch.tensor(built.initialize(3)))
    net.load_state_dict({**net.state_dict(), **start, "b.weight": start["a.weight"]})
    decayed = [p for p in net.parameters() if p.ndim > 1 and p.requires_grad]
    rest = [p for p in net.parameters() if p.ndim == 1 and p.requires_grad]
    optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 0.1}, {"params": rest}], 0.1, momentum=0.5)
    fold = data.folds[0]
    x, y = torch.tensor(fold.x[fold.rows.train]), torch.tensor(fold.y[fold.rows.train])
    for _ in range(4):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()
    for name, tensor in built.layout.tensors(torch.tensor(state.parameters)).items():
        torch.testing.assert_close(tensor, net.state_dict()[name], rtol=0, atol=1e-9, msg=name)
    names = [built.layout.slots[i].name for i in built.layout.weights]
    assert names == ["head.weight", "a.weight"]
    assert names[built.entry] == "a.weight"
    expected = net(torch.tensor(fold.x)).detach().numpy()
    np.testing.assert_allclose(built.forward(state.parameters, fold.x), expected, atol=1e-9)


class Residual(nn.Module):
    """A normalization that its layer's values also go around."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.head = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.a(x)
        return self.head(torch.relu(self.norm(z)) + z)


@pytest.mark.parametrize(
    ("factory", "without"),
    [
        (lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1)), ["0.bias"]),
        (lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 1)), []),
        (Residual, []),
    ],
)
def test_only_biases_without_effect_are_left_alone(factory: object, without: list[str]) -> None:
    built = build(wf.module("m", factory).bound(5, 1), 5, 1, True)
    assert [slot.name for slot in built.unfelt] == without


class Positioned(nn.Module):
    """A block with a matrix of its own around layers."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 5))
        self.body, self.head = nn.Linear(5, 8), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x + self.place)))


def test_normalization_is_put_behind_hidden_layers_and_not_behind_the_last() -> None:
    built = build(wf.module("p", Positioned).bound(5, 1), 5, 1, True)
    assert [name for name, part in built.net.named_modules() if isinstance(part, nn.BatchNorm1d)] == [
        "body.inserted_norm"
    ]


def test_one_dropout_layer_in_two_places_is_one_layer() -> None:
    def net() -> nn.Module:
        drop = nn.Dropout(0.5)
        return nn.Sequential(nn.Linear(5, 8), drop, nn.ReLU(), drop, nn.Linear(8, 1))

    built = build(wf.module("twice", net).bound(5, 1), 5, 1, False)
    assert (built.places, len(built.masks)) == (1, 2)


def mean() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 5)), nn.AvgPool1d(5), nn.Flatten())


def transposed() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 5)), nn.ConvTranspose1d(1, 1, 1), nn.Flatten(), nn.Linear(5, 1))


@pytest.mark.parametrize(
    ("net", "text", "words"),
    [
        (mean, "none", "nothing to learn"),
        (Tokens, "none", "whole numbers"),
        (transposed, "group_lasso=1", "columns"),
    ],
)
def test_more_that_is_refused_before_any_work(net: object, text: str, words: str) -> None:
    data = make_data("binary")
    one = Member(wf.module("mine", net).bound(5, 1), as_cocktail(text), Training("gd", 0.1, 2, None), 0, 0)
    assert words in str(TorchEngine("cpu").supports(one, data))


def test_lost_memory_ends_a_run_in_an_error_once_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = make_data("binary"), Stack.run
    net = wf.module("plain", Plain).bound(5, 1)
    ones = [Member(net, as_cocktail("none"), ADAM, seed, 0) for seed in range(4)]

    def scarce(self: Stack, *given: object) -> list:
        if any(m.seed == 2 for m in self.members):
            torch.empty(1 << 50)
        return run(self, *given)

    monkeypatch.setattr(Stack, "run", scarce)
    engine, ended = TorchEngine("cpu", stacked=True, notice=lambda _: None), {}

    def collect() -> None:
        for index, state in Threads().run(engine, ones, data):
            ended[index] = state

    with pytest.raises(MemberError, match="memory"):
        collect()
    assert set(ended) == {0, 1, 3}


def test_the_usual_recipe_of_an_unbound_module() -> None:
    assert default_training(made_table(rows=60), np.arange(60), network=wf.module("plain", Plain)).epochs > 1


class Formula(nn.Module):
    """A number in the forward pass that no layer shows."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = nn.Linear(5, 1), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(x) * self.factor) * 3


def test_a_ledger_knows_an_edited_factory_from_the_one_before() -> None:
    factories = (
        lambda: nn.Linear(5, 1),
        lambda: nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1)),
        lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1)),
        lambda: Formula(1.0),
        lambda: Formula(2.0),
        lambda: nn.Linear(5, 1),
    )
    keys = [Member(wf.module("n", f).bound(5, 1), as_cocktail("none"), ADAM, 0, 0).key for f in factories]
    assert len(set(keys)) == 5
    assert keys[0] == keys[-1]


class Frozen(nn.Module):
    """A body that does not learn, as in transfer learning, and a head that does."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop, self.head = nn.Linear(5, 8), nn.Dropout(), nn.Linear(8, 1)
        self.body.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(torch.relu(self.body(x))))


@pytest.mark.parametrize("net", [Frozen, lambda: nn.Sequential(nn.Dropout(), nn.Linear(5, 1))])
def test_dropout_in_front_of_the_only_layer_that_learns(net: object) -> None:
    data = make_data("binary")
    network = wf.module("head", net).bound(5, 1)
    with_it, without = (Member(network, as_cocktail(mix), ADAM, 0, 0) for mix in ("dropout=0.5", "none"))
    engine = TorchEngine("cpu")
    assert engine.supports(with_it, data) is None
    ends = [engine.advance([m], engine.init([m], data), [ADAM.epochs], data)[0] for m in (with_it, without)]
    assert not np.allclose(ends[0].parameters, ends[1].parameters)


def test_batch_norm_where_there_is_nothing_to_normalize_is_refused() -> None:
    network = wf.module("line", lambda: nn.Linear(5, 1)).bound(5, 1)
    with pytest.raises(wf.SettingError, match="nothing to normalize"):
        network.strengths(as_cocktail("batch_norm"))


def test_a_module_without_dropout_is_asked_whether_it_is_needed() -> None:
    network = wf.module("two", lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)))
    found = wf.simplest(made_table(rows=60, columns=5), network=network, points=3, folds=2, seeds=1, training=ADAM)
    assert "dropout" not in found.network_cocktail
    assert found.network.startswith("two")


def rare_category() -> tuple[Table, tuple[np.ndarray, ...]]:
    """Return a table with a category that the first of three folds does not meet in training, and all training rows."""
    draw = rng.generator(0, rng.DATA)
    x, words = draw.normal(size=60), np.array(["a", "b"] * 30, dtype=object)
    target = (x > 0).astype(np.int64)
    kinds = {"x": "numeric", "word": "categorical"}
    table = Table("words", {"x": x, "word": words}, kinds, target, "y", "binary", ("no", "yes"))
    cut = folds(table, np.arange(60), folds=3, seed=0)
    words[cut[0].score[:3]] = "rare"
    return table, tuple(fold.train for fold in cut)


def test_a_module_is_made_for_the_columns_that_each_fold_has_as_an_mlp_is(tmp_path: Path) -> None:
    table, rows = rare_category()
    widths = [len(Preprocessor.fit(table, some).feature_names) for some in (np.arange(60), *rows)]
    assert widths == [4, 3, 4, 4]
    training = Training("adam", 0.01, 3, 16)
    own = wf.module("plain", Plain)
    for network in ("7", own):
        compared = wf.compare(table, network=network, training=training, cocktails="l2=1e-2", seeds=1, folds=3)
        assert np.isfinite([r.score.mean for r in compared.results]).all()
        found = wf.search(table, network=network, budget=2000, folds=3, training=training)
        model = found.model
        assert sorted(part.takes for part in model.parts) == sorted(widths[1:])
        for part in model.parts:
            assert part.weights[0].shape == (7, part.takes)
        given = {"network": network} if network is own else {}
        again = wf.Fitted.load(model.save(tmp_path / "model.wellfit"), **given)
        np.testing.assert_array_equal(again.predict_proba(table.columns), model.predict_proba(table.columns))


def test_a_factory_with_a_width_of_its_own_is_told_of_a_fold_with_fewer_columns() -> None:
    table, _ = rare_category()
    fixed = wf.module("fixed", lambda: Plain(4, 1))
    with pytest.raises(UnsupportedError, match=r"fixed is bound to 4 inputs.* make 3.* keyword inputs.*\(2, 3\)"):
        wf.compare(table, network=fixed, training=ADAM, cocktails="l2=1e-2", seeds=1, folds=3)
    with pytest.raises(SettingError, match="keyword inputs"):
        wf.search(table, network=fixed, budget=2000, folds=3, training=ADAM)


def test_small_steps_have_one_thread_and_large_ones_two() -> None:
    data = make_data("binary")
    small = Member(wf.module("plain", Plain).bound(5, 1), as_cocktail("none"), ADAM, 0, 0)
    wide = wf.module("wide", lambda: nn.Sequential(nn.Linear(5, 200_000), nn.ReLU(), nn.Linear(200_000, 1)))
    large = Member(wide.bound(5, 1), as_cocktail("none"), ADAM, 0, 0)
    engine = TorchEngine("cpu")
    assert [threads_of(engine, ones, data) for ones in ([small], [large], [small, large])] == [1, 2, 2]


def test_threads_that_wait_sleep_where_wellfit_imports_pytorch_and_the_user_says_nothing() -> None:
    program = "import os; from wellfit.nets.torch_door import require_torch; require_torch(); print(dict(os.environ))"
    settings = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | {"OMP_DISPLAY_ENV": "TRUE"}
    for asked, policy in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        own = settings if asked is None else settings | {"OMP_WAIT_POLICY": asked}
        found = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True)
        assert re.search(rf"OMP_WAIT_POLICY = '{policy}'", found.stderr)
        assert ("OMP_WAIT_POLICY" in found.stdout) is (asked is not None), "the environment is put back"


def test_a_path_of_a_module_has_one_seed_as_its_comparison_has() -> None:
    network = wf.module("plain", Plain)
    found = path_into(made_table(rows=60, columns=5), "l2", points=3, network=network, training=ADAM, folds=2)
    assert found.seeds == 1
    assert path_into(made_table(rows=60, columns=5), "l2", points=3, network="4", training=ADAM, folds=2).seeds == 3
