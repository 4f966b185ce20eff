"""`wf.torch.lint` and `watch` where nothing is amiss: what only looks like a mistake, and what looking leaves alone."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import toolbox_scripts as scripts
import torch
from peers import import_torch
from toolbox_scripts import own_draws as own_draws
from toolbox_scripts import rules
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import wellfit as wf

import_torch()  # sets it to one thread


# ---- targets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(), nn.MSELoss()])
def test_a_teacher_s_probabilities_are_no_mixup(classes, loss):
    """Distillation, and shares that sum to 1 (compositions)."""
    x, soft = torch.randn(32, 8), torch.randn(32, classes).softmax(1)
    model, loader = nn.Linear(8, classes), DataLoader(TensorDataset(x, soft), 8)
    assert wf.torch.lint(model, loader=loader, loss=loss) == []
    with wf.torch.watch(model, loss) as watching:
        for inputs, target in loader:
            loss(model(inputs), target).backward()
    assert watching.advice == []


@pytest.mark.parametrize("floor", [0.0, 0.1])
@pytest.mark.parametrize("one_share", [True, False])
@pytest.mark.parametrize("classes", [3, 6])
def test_mixup_by_the_batch_or_by_the_row_is_still_seen(floor, one_share, classes):
    from wellfit.torch.rules.data import mixes

    draw = torch.Generator().manual_seed(1)
    labels = nn.functional.one_hot(torch.randint(classes, (16,), generator=draw), classes).float()
    share = torch.rand(1 if one_share else 16, 1, generator=draw)
    mixed = share * labels + (1 - share) * labels.flip(0)
    assert mixes((1 - floor) * mixed + floor / classes) == (True, floor > 0)


def test_two_classes_are_mixed_where_hard_rows_stand_beside_soft_ones():
    from wellfit.torch.rules.data import mixes

    assert mixes(torch.tensor([[0.7, 0.3], [1.0, 0.0], [0.3, 0.7]])) == (True, False)
    assert mixes(torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])) == (False, False)


@pytest.mark.parametrize("copied", [False, True])
def test_a_loss_that_is_logged_beside_is_no_mixup(copied):
    model, loss = nn.Linear(8, 3), nn.CrossEntropyLoss(label_smoothing=0.1)
    with wf.torch.watch(model, loss) as watching:
        for x, y in DataLoader(scripts.points(), 32):
            outputs = model(x)
            loss(outputs, y).backward()
            loss(outputs, y.clone() if copied else y).item()
    assert watching.advice == []


# ---- the order of layers ----------------------------------------------------------------------------------------


class Block(nn.Module):
    """A block of a pre-activation network (He et al. 2016): what it adds to has no normalization behind it."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.norm, self.conv, self.in_place = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, bias=False), in_place

    def forward(self, x):
        out = self.conv(torch.relu(self.norm(x)))
        if not self.in_place:
            return out + x
        out += x
        return out


@pytest.mark.parametrize("in_place", [True, False])
def test_what_is_added_to_in_place_is_another_tensor(in_place):
    blocks = [Block(in_place) for _ in range(2)]
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *blocks, nn.Flatten(), nn.Linear(256, 2))
    optimizer = torch.optim.SGD(wf.torch.parameter_groups(model, 0.1), lr=0.1)
    loader = DataLoader(scripts.Pictures(), 16)
    [advice] = wf.torch.lint(model, optimizer, loader)
    assert (advice.rule, advice.place) == ("decay_before_batch_norm", ("0.weight",))


class Towers(nn.Module):
    """Two towers beside each other, one with dropout and one with batch norm; or the one behind the other."""

    def __init__(self, behind: bool = False) -> None:
        super().__init__()
        self.behind = behind
        self.a = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
        self.b = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        a = self.a(x)
        room = torch.empty(len(x), 16)
        room[:, :8] = a  # written into a part of another tensor
        return self.head(torch.cat([a, self.b(room[:, :8] if self.behind else x)], 1))


def test_dropout_beside_a_batch_norm_is_not_before_it():
    loader = DataLoader(scripts.points(), 16)
    assert wf.torch.lint(Towers(), loader=loader) == []
    [advice] = wf.torch.lint(Towers(behind=True), loader=loader)
    assert (advice.rule, advice.place) == ("dropout_before_batch_norm", ("a.1",))
    assert "b.1" in advice.text


def test_what_goes_around_dropout_has_not_been_dropped():
    """In evaluation dropout gives back the tensor that it was given."""

    class Around(Towers):
        def forward(self, x):
            hidden = self.a[0](x)
            return self.head(torch.cat([self.a[1](hidden), self.b[1](hidden)], 1))

    assert wf.torch.lint(Around(), loader=DataLoader(scripts.points(), 16)) == []


def test_without_a_batch_only_what_is_called_in_order_has_an_order():
    assert wf.torch.lint(Towers()) == []
    inner = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    model = nn.Sequential(inner, Towers(), nn.BatchNorm1d(3))
    [advice] = wf.torch.lint(model)
    assert (advice.rule, advice.place) == ("dropout_before_batch_norm", ("0.1",))
    optimizer = torch.optim.SGD(wf.torch.parameter_groups(model, 0.1), lr=0.1)
    found = {advice.rule: advice.place for advice in wf.torch.lint(model, optimizer)}
    assert found["decay_before_batch_norm"] == ("1.b.0.weight",)


# ---- evaluation -------------------------------------------------------------------------------------------------


@dataclass
class Both:
    one: torch.Tensor
    other: torch.Tensor


class Several(nn.Module):
    """Gives more than one tensor back, in one form or another."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.drop, self.form = nn.Dropout(0.1), form
        self.one, self.other = nn.Linear(8, 2), nn.Linear(8, 3)

    def forward(self, x):
        one, other = self.one(self.drop(x)), self.other(self.drop(x))
        return {
            "tuple": (one, other),
            "mapping": {"one": one, "more": [other]},
            "dataclass": Both(one, other),
            "object": SimpleNamespace(one=one, other=other),
        }[self.form]


@pytest.mark.parametrize("form", ["tuple", "mapping", "dataclass", "object"])
def test_a_gradient_through_any_output_is_training(form):
    model = Several(form)
    take = {"tuple": lambda o: o[1], "mapping": lambda o: o["more"][0]}.get(form, lambda o: o.other)
    with wf.torch.watch(model) as watching:
        take(model(torch.randn(4, 8))).sum().backward()
    assert watching.advice == []
    with wf.torch.watch(model) as watching:
        take(model(torch.randn(4, 8))).sum().item()
    assert rules(watching.advice) == (["missing_eval"] if form != "object" else [])


def test_the_layers_that_matter_are_asked_for_their_mode():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4))
    for modes, place in (
        ((True, False, False), []),
        ((True, True, False), [("1",)]),
        ((False, False, True), [("2",)]),
        ((True, True, True), [("1", "2")]),
    ):
        model.training, model[1].training, model[2].training = modes
        with wf.torch.watch(model) as watching, torch.no_grad():
            model(torch.randn(3, 4))
        assert [advice.place for advice in watching.advice] == place


def test_dropout_that_is_turned_up_later_matters_from_then_on():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0))
    with wf.torch.watch(model) as watching, torch.no_grad():
        model(torch.randn(3, 4))
        assert watching.advice == []
        wf.torch.set_dropout(model, 0.5)
        model(torch.randn(3, 4))
    [advice] = watching.advice
    assert advice.text.startswith("1 forward passes")


# ---- looking changes nothing ------------------------------------------------------------------------------------


class Counting(nn.Module):
    """Counts its passes in a buffer, keeps the last batch in another, and normalizes its weights, in any mode."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(8, 3)
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))
        self.register_buffer("last", torch.zeros(0), persistent=False)

    def forward(self, x):
        self.passes += 1
        self.last = x.detach()
        with torch.no_grad():
            self.lift.weight.div_(self.lift.weight.norm())
        return self.lift(x)


@pytest.mark.parametrize("evaluates", [False, True])
def test_buffers_and_weights_that_a_pass_changes_are_put_back(evaluates):
    model = Counting().eval()
    passes, last, weight = model.passes, model.last, model.lift.weight.detach().clone()
    loader = DataLoader(scripts.points(), 16)
    evaluate = (lambda: [model(x) for x, _ in loader]) if evaluates else None
    wf.torch.lint(model, loader=loader, evaluate=evaluate)
    assert model.passes is passes
    assert model.passes == 0
    assert model.last is last
    assert torch.equal(model.lift.weight, weight)
    assert not model.training


def test_a_graph_that_stands_survives_the_look():
    """Weights that nothing changed are not written again: that would be a change to autograd."""
    model = scripts.mlp(nn.ReLU())
    value = model(torch.ones(2, 8)).sum()
    wf.torch.lint(model, loader=DataLoader(scripts.points(), 16))
    value.backward()
    assert model[0].weight.grad is not None


class Keyed(Dataset):
    """Its items have names; counts how many were read."""

    def __init__(self, *, changing: bool = False) -> None:
        self.items = {f"item {i}": pair for i, pair in enumerate(scripts.points(32))}
        self.changing, self.read = changing, 0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, name):
        self.read += 1
        x, y = self.items[name]
        return x + torch.rand(()) * self.changing, y


def test_items_that_go_by_names_are_read_by_the_sampler_s():
    model = nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 4), nn.BatchNorm1d(4))
    data = Keyed()
    loader = DataLoader(data, 4, sampler=list(data.items))
    assert rules(wf.torch.lint(model, loader=loader)) == ["dropout_before_batch_norm"]
    assert 0 < data.read <= 20
    batches = DataLoader(data, batch_sampler=[list(data.items)[:4]])
    assert rules(wf.torch.lint(scripts.mlp(nn.ReLU()), loader=batches, validation=batches)) == []
    changing = Keyed(changing=True)
    validation = DataLoader(changing, 4, sampler=list(changing.items))
    [advice] = wf.torch.lint(scripts.mlp(nn.ReLU()), validation=validation)
    assert advice.rule == "augmented_validation"
    assert "item 0" in advice.text
    assert wf.torch.lint(scripts.mlp(nn.ReLU()), validation=changing) == []  # nobody knows its names


def test_a_stream_keeps_its_first_batch():
    class Stream(IterableDataset):
        rows = iter(list(scripts.points()))

        def __iter__(self):
            return self.rows

    stream = DataLoader(Stream(), 32)
    wf.torch.lint(scripts.mlp(nn.ReLU()), loader=stream, validation=stream)
    assert sum(len(y) for _, y in stream) == 96
