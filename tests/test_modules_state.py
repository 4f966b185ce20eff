"""What a module keeps between passes: buffers are each member's own, of floats and of whole numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tables import made_table

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member, advance_within
from wellfit.engines.contract import finish, make_data, same
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.engines.torch import TorchEngine
from wellfit.errors import UnsupportedError
from wellfit.executors import MemberError, Threads
from wellfit.nets import Training
from wellfit.nets.built import build

nn = torch.nn
SGD = Training("sgd", 0.1, 5, 16, precision="float64")


class InPlace(nn.Module):
    """Inputs are centred by the mean of all batches so far, for which batches are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("odd", torch.zeros(1, dtype=torch.bool))
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("order", torch.arange(5).flip(0))  # whole numbers that nothing changes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.count(x.detach().mean(0))
        return self.b(torch.tanh(self.a((x - self.mean)[:, self.order] * (1 + self.odd))))

    def count(self, mean: torch.Tensor) -> None:
        self.seen += 1
        self.odd.logical_not_()
        self.mean += (mean - self.mean) / self.seen


class Anew(InPlace):
    """The same with other tensors in the buffers' places."""

    def count(self, mean: torch.Tensor) -> None:
        self.seen, self.odd = self.seen + 1, ~self.odd
        self.mean = self.mean + (mean - self.mean) / self.seen


def members(factory: type, text: str = "none", seeds: tuple[int, ...] = (0, 1, 2), fold: int = 0) -> list[Member]:
    net = wf.module(factory.__name__, factory).bound(5, 1)
    return [Member(net, as_cocktail(text), SGD, seed, fold) for seed in seeds]


@pytest.mark.parametrize("factory", [InPlace, Anew])
@pytest.mark.parametrize("stacked", [False, True])
def test_a_member_counts_its_own_batches_as_in_a_plain_pytorch_loop(factory: type, stacked: bool) -> None:
    data, ones = make_data("binary"), members(factory)
    ones[1] = replace(ones[1], training=replace(SGD, epochs=3))
    fold = data.folds[0]
    for one, state in zip(ones, finish(TorchEngine("cpu", stacked=stacked), ones, data), strict=True):
        built, net = build(one.network, 5, 1, False), factory().double()
        net.load_state_dict({**net.state_dict(), **built.layout.tensors(torch.tensor(built.initialize(one.seed)))})
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        x, y, rows = torch.tensor(fold.x), torch.tensor(fold.y), fold.rows.train
        for epoch in range(one.training.epochs):
            order = rows[wf.rng.permutation(one.seed, wf.rng.SHUFFLE, len(rows), epoch=epoch)]
            for batch in np.split(order, range(16, len(order), 16)):
                optimizer.zero_grad()
                nn.functional.binary_cross_entropy_with_logits(net(x[batch]), y[batch]).backward()
                optimizer.step()
        found, expected = built.layout.tensors(torch.tensor(state.parameters)), net.state_dict()
        assert set(found) == set(expected) - {"order"}
        assert found["seen"] == expected["seen"] == state.step
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, expected[name].double(), rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("stacked", [False, True])
def test_counters_stop_and_go_on_to_the_bit(stacked: bool) -> None:
    data, engine = make_data("binary"), TorchEngine("cpu", stacked=stacked)
    ones = members(InPlace, "ema=0.9 + early_stopping=9", fold=1)
    straight, states = finish(engine, ones, data), engine.init(ones, data)
    while any(state.status == "running" for state in states):
        states = advance_within(engine, ones, states, [one.training.epochs for one in ones], data, 0.0)
        states = [state_from_bytes(state_to_bytes(state)) for state in states]
    for one, state, expected in zip(ones, states, straight, strict=True):
        assert same(state, expected, 0)
        assert same(state, finish(TorchEngine("cpu"), [one], data)[0], 1e-9)
        layout = build(one.network, 5, 1, False).layout
        assert state.average[layout.whole :].tolist() == [state.step, state.step % 2]  # as they are, not averaged


def test_counters_are_saved_and_handed_over(tmp_path: Path) -> None:
    net, table = wf.module("counts", InPlaceOf), made_table(rows=60)
    found = wf.search(table, network=net, budget=2000, folds=2, training=Training("adam", 0.01, 2, 16))
    model = found.model
    again = wf.Fitted.load(model.save(tmp_path / "model.wellfit"), network=net)
    np.testing.assert_array_equal(again.predict(table.columns), model.predict(table.columns))
    part = model.parts[0]
    plain = part.built.released(part.parameters, ())
    assert plain.seen.dtype == torch.long
    assert int(plain.seen) > 1


class InPlaceOf(InPlace):
    """The same for any number of inputs and outputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a, self.b, self.mean = nn.Linear(inputs, 4), nn.Linear(4, outputs), torch.zeros(inputs)
        self.order = torch.arange(inputs)


class Warming(nn.Module):
    """Goes by its count: small steps at first."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(5, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += self.training
        return self.a(x) * (0.1 if self.seen < 8 else 1.0)


def test_members_that_go_by_their_counts_train_alone_where_others_are_stacked() -> None:
    data, engine = make_data("binary"), TorchEngine("cpu", stacked=True)
    ones = members(Warming, seeds=(0, 1)) + members(InPlace, seeds=(0, 1))
    assert engine.groups(ones, data) == [[0], [1], [2, 3]]
    for state, alone in zip(finish(engine, ones, data), finish(TorchEngine("cpu"), ones, data), strict=True):
        assert same(state, alone, 1e-9)


class Masked(nn.Module):
    """A buffer of infinities, as masks of attention are."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(5, 1)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf, -torch.inf]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(torch.softmax(x + self.mask, 1))


def test_an_average_of_weights_leaves_infinities_as_they_are() -> None:
    [state] = finish(TorchEngine("cpu"), members(Masked, "ema=0.9", (0,)), make_data("binary"))
    assert state.average[-5:].tolist() == [0, 0, 0, -np.inf, -np.inf]
    assert np.isfinite(state.average[:-5]).all()
    assert np.isfinite(state.curves[:, (0, 2)]).all()


class Odd(nn.Module):
    """Does what ``change`` says to its buffers, or to itself."""

    def __init__(self, change: object) -> None:
        super().__init__()
        self.a, self.change, self.calls, self.width, self.note = nn.Linear(5, 1), change, 0, 0, None
        self.register_buffer("late", None)
        self.register_buffer("whole", torch.zeros(3, dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.change(self)
        self.width, self.note = x.shape[1], x  # what a pass notes is no count
        return self.a(x)


def late(net: nn.Module) -> None:
    net.late = torch.zeros(3)


def shape(net: nn.Module) -> None:
    net.whole = torch.zeros(4, dtype=torch.long)


def kind(net: nn.Module) -> None:
    net.whole = net.whole + 0.5


def large(net: nn.Module) -> None:
    net.whole += 2**30


def calls(net: nn.Module) -> None:
    net.calls += 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (late, "buffer late"),
        (shape, "buffer whole"),
        (kind, "buffer whole"),
        (large, "16777216"),
        (calls, "number calls"),
    ],
)
def test_what_no_member_could_keep_is_refused(change: object, words: str) -> None:
    one = members(Odd)[0]
    one = replace(one, network=wf.module("odd", lambda: Odd(change)).bound(5, 1))
    with pytest.raises(UnsupportedError, match=rf"module odd.*{words}"):
        TorchEngine("cpu").init([one], make_data("binary"))


def test_what_a_pass_notes_of_itself_is_no_count() -> None:
    one = members(Odd)[0]
    one = replace(one, network=wf.module("noting", lambda: Odd(lambda net: None)).bound(5, 1))
    assert finish(TorchEngine("cpu"), [one], make_data("binary"))[0].status == "finished"


class Late(nn.Module):
    """Raises a flag of its own after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(5, 1)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("warm", torch.zeros((), dtype=torch.bool))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += 1
            if self.seen > 3:
                self.warm.fill_(True)
        return self.a(x)


def test_a_flag_that_is_raised_late_is_not_shared() -> None:
    with pytest.raises(MemberError, match=r"module Late.*buffer warm"):
        list(Threads(1).run(TorchEngine("cpu"), members(Late), make_data("binary")))
