"""What a trial of a module finds before any work, by what a member could not keep or repeat; and what it lets pass."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tables import made_table
from torch.utils.checkpoint import checkpoint

import wellfit as wf
from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.contract import finish, make_data
from wellfit.engines.torch import TorchEngine
from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets import Training
from wellfit.nets.built import build
from wellfit.records import Fold, FoldData, TrainingData

nn = torch.nn
ADAM = Training("adam", 0.01, 3, 16)


class Net(nn.Module):
    """Two layers and a dropout layer; ``passes`` says what a forward pass does, ``prepares`` what stands ready."""

    def __init__(self, passes: Callable, prepares: Callable | None = None, outputs: int = 1) -> None:
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(5, 8), nn.Linear(8, outputs), nn.Dropout()
        self.passes = passes
        if prepares:
            prepares(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.passes(self, x)


def plain(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.b(torch.relu(net.a(x)))


def member(factory: Callable, text: str = "none", training: Training = ADAM, outputs: int = 1) -> Member:
    return Member(wf.module("mine", factory).bound(5, outputs), as_cocktail(text), training, 0, 0)


def reason(factory: Callable, task: str = "binary") -> str:
    """Return why members of a module are refused, before any work; "None" where they are not."""
    data = make_data(task)
    return str(TorchEngine("cpu").supports(member(factory, outputs=data.outputs), data))


@pytest.mark.parametrize("mode", [False, True])
def test_probabilities_in_one_mode_only_are_refused(mode: bool) -> None:
    def ends(net: Net, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(plain(net, x), 1) if net.training is mode else plain(net, x)

    assert "ends in a softmax" in reason(lambda: Net(ends, outputs=3), "multiclass")


def running_mean(net: Net, x: torch.Tensor) -> torch.Tensor:
    if net.training:
        net.mean = 0.9 * net.mean + 0.1 * x.detach().mean(0)
    return plain(net, x - net.mean)


def caches(net: Net, x: torch.Tensor) -> torch.Tensor:
    if net.turned is None:
        net.turned = net.a.weight.T.contiguous()
    return net.b(torch.relu(x @ net.turned))


def has_mean(net: Net) -> None:
    net.mean = torch.zeros(5)


def has_nothing(net: Net) -> None:
    net.turned = None


def has_its_own_generator(net: Net) -> None:
    net.draw = np.random.default_rng(0)


def with_numpys_generator(net: Net, x: torch.Tensor) -> torch.Tensor:
    return plain(net, x + torch.tensor(net.draw.normal(size=x.shape), dtype=x.dtype) * net.training)


@pytest.mark.parametrize(
    ("passes", "prepares"),
    [(running_mean, has_mean), (caches, has_nothing), (with_numpys_generator, has_its_own_generator)],
)
def test_what_a_pass_keeps_or_draws_elsewhere_is_found_by_repeating_it(passes: Callable, prepares: Callable) -> None:
    assert "outside of them" in (found := reason(lambda: Net(passes, prepares)))
    assert "register_buffer" in found


def skips_a_layer(net: Net, x: torch.Tensor) -> torch.Tensor:
    return plain(net, x) if not net.training or random.random() < 0.9 else net.b(net.a(x))


def skips_by_numpy(net: Net, x: torch.Tensor) -> torch.Tensor:
    return plain(net, x) if not net.training or np.random.rand() < 0.9 else net.b(net.a(x))  # noqa: NPY002


@pytest.mark.parametrize(("passes", "generator"), [(skips_a_layer, "random"), (skips_by_numpy, "numpy.random")])
def test_a_layer_skipped_by_a_draw_of_python_or_numpy_is_refused(passes: Callable, generator: str) -> None:
    """Whatever the draw: most passes would be the same."""
    assert f"generator of {generator}," in reason(lambda: Net(passes))


def holds_weights(net: Net) -> None:
    net.held = [net.a.weight]


def holds_a_view(net: Net) -> None:
    net.held = [net.a.weight.detach()[:]]


def holds_layers(net: Net) -> None:
    net.more = [nn.Linear(8, 8)]


def by_the_list(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.b(torch.relu(x @ net.held[0].T + net.a.bias))


def by_more(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.b(torch.relu(net.more[0](net.a(x))))


@pytest.mark.parametrize(
    ("passes", "prepares", "words"),
    [
        (by_the_list, holds_weights, "reads a.weight by another reference"),
        (by_the_list, holds_a_view, "reads a.weight by another reference"),
        (by_more, holds_layers, "shape (8, 8) that asks for a gradient"),
    ],
)
def test_weights_that_training_would_not_reach_are_refused(passes: Callable, prepares: Callable, words: str) -> None:
    assert words in reason(lambda: Net(passes, prepares))


def clips(net: Net, x: torch.Tensor) -> torch.Tensor:
    net.a.weight.data.clamp_(-0.1, 0.1)
    return plain(net, x)


def cuts_off(net: Net, x: torch.Tensor) -> torch.Tensor:
    return plain(net, x).detach()


@pytest.mark.parametrize(
    ("passes", "words"), [(clips, "changes its parameter a.weight"), (cuts_off, "no gradient of the outputs")]
)
def test_what_training_could_not_do_with_the_parameters_is_refused(passes: Callable, words: str) -> None:
    assert words in reason(lambda: Net(passes))


def drops(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.b(net.drop(torch.relu(net.a(x))))


def drops_in_training(net: Net, x: torch.Tensor) -> torch.Tensor:
    return drops(net, x) if net.training else plain(net, x)


def drops_again_in_large_batches(net: Net, x: torch.Tensor) -> torch.Tensor:
    z = net.drop(torch.relu(net.a(x)))
    return net.b(net.drop(z) if len(x) > 10 else z)


def drops_rows_of_positions(net: Net, x: torch.Tensor) -> torch.Tensor:
    z = torch.relu(net.a(x.repeat_interleave(2, 0)))
    return net.b(net.drop(z)).view(len(x), 2).mean(1)


def computes_again(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.b(checkpoint(lambda x: net.drop(torch.relu(net.a(x))), x, use_reentrant=False))


@pytest.mark.parametrize("stacked", [False, True])
def test_dropout_that_only_training_meets_is_trained_as_any(stacked: bool) -> None:
    data, engine = make_data("binary"), TorchEngine("cpu", stacked=stacked)
    found = []
    for passes in (drops, drops_in_training, plain):
        one = member(lambda passes=passes: Net(passes), "dropout=0.5" if passes is not plain else "none")
        found.append(finish(engine, [one], data)[0].parameters)
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_dropout_without_a_mask_of_its_own_is_refused() -> None:
    assert "torch.utils.checkpoint" in reason(lambda: Net(computes_again))
    assert "given the shape (6, 8) for 3 inputs" in reason(lambda: Net(drops_rows_of_positions))
    late = member(lambda: Net(drops_again_in_large_batches), "dropout=0.5")
    with pytest.raises(UnsupportedError, match="mine calls a dropout layer more often"):
        finish(TorchEngine("cpu"), [late], make_data("binary"))


def test_the_task_says_what_outputs_may_be() -> None:
    def two() -> nn.Module:
        return nn.Linear(5, 2)

    def squashed() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 1), nn.Sigmoid())

    assert reason(two) == "None", "two logits of two classes"
    assert "the target is one number" in reason(two, "regression")
    assert "ends in a sigmoid" in reason(squashed)
    assert reason(squashed, "regression") == "None", "a value between 0 and 1"
    assert finish(TorchEngine("cpu"), [member(squashed)], make_data("regression"))[0].status == "finished"


def gives_two(net: Net, x: torch.Tensor) -> object:
    return (plain(net, x), x) if net.training else plain(net, x)


def raises(net: Net, x: torch.Tensor) -> torch.Tensor:
    if net.training:
        raise ValueError("boo")
    return plain(net, x)


def takes_two_rows(net: Net, x: torch.Tensor) -> torch.Tensor:
    return plain(net, x.view(2, 5))


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        (gives_two, "was given (3, 5) in training mode and returned tuple"),
        (raises, "fails in training mode for inputs of shape (3, 5): ValueError: boo"),
        (takes_two_rows, "fails in training mode for inputs of shape (3, 5)"),
    ],
)
def test_what_fails_in_training_or_for_other_counts_of_rows_is_found_before_any_work(
    passes: Callable, words: str
) -> None:
    assert words in reason(lambda: Net(passes))


def draws_in_large_batches(net: Net, x: torch.Tensor) -> torch.Tensor:
    return plain(net, nn.functional.dropout(x, 0.5, net.training and len(x) > 10))


def test_what_only_a_batch_of_the_training_shows_is_told_with_its_shape() -> None:
    data, engine = make_data("binary"), TorchEngine("cpu")
    with pytest.raises(UnsupportedError, match="mine draws random numbers of its own"):
        finish(engine, [member(lambda: Net(draws_in_large_batches))], data)

    def normalized() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    alone = member(normalized, "batch_norm", Training("adam", 0.01, 1, 1))
    with pytest.raises(SettingError, match=r"in training mode for inputs of shape \(1, 5\): ValueError: Expected more"):
        finish(engine, [alone], data)


def words(highest: int = 9, rows: int = 60) -> TrainingData:
    """Return rows of four tokens, of which some are padding."""
    x = rng.generator(0, rng.DATA).integers(1, highest + 1, (rows, 4))
    x[:, 3] *= np.arange(rows) % 2
    order = np.arange(rows)
    y = (x == 3).any(1).astype(float)[:, None]
    return TrainingData("binary", 1, (FoldData(x, y, Fold(order[:40], order[:0], order[40:])),))


class Reads(nn.Module):
    """Tokens in a recurrent layer, without padding; ``passes`` says in what type it asks for them."""

    def __init__(self, passes: Callable = lambda x: x) -> None:
        super().__init__()
        self.word, self.state, self.head = nn.Embedding(10, 3, padding_idx=0), nn.GRU(3, 4), nn.Linear(4, 1)
        self.passes = passes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.word(self.passes(x)).transpose(0, 1)
        packed = nn.utils.rnn.pack_padded_sequence(z, (x != 0).sum(1), enforce_sorted=False)
        return self.head(self.state(packed)[1][0])


@pytest.mark.parametrize("passes", [lambda x: x, lambda x: x.long()])
def test_tokens_are_tried_as_tokens_and_not_as_padding(passes: Callable) -> None:
    one = Member(wf.module("reads", lambda: Reads(passes)).bound(4, 1), as_cocktail("none"), ADAM, 0, 0)
    assert finish(TorchEngine("cpu"), [one], words())[0].status == "finished"
    with pytest.raises(SettingError, match=r"shape \(40, 4\): IndexError"):
        finish(TorchEngine("cpu"), [one], words(highest=12))


def lazy(outputs: int) -> nn.Module:
    return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(outputs))


def test_lazy_layers_take_their_shapes_and_draw_from_the_members_seed() -> None:
    before = torch.get_rng_state()
    net = wf.module("lazy", lazy).bound(5, 1)
    first, again, other = (net.initialize(seed, 5, 1) for seed in (0, 0, 1))
    assert len(first) == 5 * 8 + 8 + 8 + 1
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    one = Member(net, as_cocktail("none"), ADAM, 0, 0)
    assert finish(TorchEngine("cpu"), [one], make_data("binary"))[0].status == "finished"
    assert torch.equal(torch.get_rng_state(), before)


class Usual(nn.Module):
    """What tutorials do, and nothing is wrong with: a start made in the pass that asks for a gradient, notes, NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.head, self.unused = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 1), nn.Linear(3, 3)
        self.register_buffer("order", torch.arange(5).flip(0))
        self.orders, self.seen = [self.order], None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = torch.zeros(1, len(x), 4).requires_grad_()
        z, self.seen = self.state(x[:, self.orders[0], None], (start, start.detach()))
        self.rows = len(x)
        return self.head(z[:, -1]) + 0 * torch.log(x[:, :1]).detach().nan_to_num()


def test_a_part_that_is_hidden_from_training_may_stay_so() -> None:
    def knows_a_teacher(net: Net) -> None:
        net.hidden = [nn.Linear(5, 5)]

    def asks_it(net: Net, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = net.hidden[0](x)
        return plain(net, x)

    assert reason(lambda: Net(asks_it, knows_a_teacher)) == "None"


def test_what_is_usual_passes_and_the_module_is_left_as_it_was() -> None:
    assert reason(Usual) == "None"
    built = build(wf.module("usual", Usual).bound(5, 1), 5, 1, False)
    start = built.pack(built.net)
    np.testing.assert_array_equal(start, built.initialize(0))
    assert all(isinstance(p, nn.Parameter) for p in built.net.parameters())


def test_a_module_that_makes_tensors_of_its_own_is_compared_on_a_table() -> None:
    """Of float32, which do not go with weights of float64."""
    table, net = made_table(rows=60, columns=5), wf.module("usual", Usual)
    found = wf.compare(table, network=net, cocktails="none", training=ADAM, seeds=1, folds=2)
    assert np.isfinite(found.results[0].score.mean)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_what_torch_jit_compiled_is_refused_by_name() -> None:
    assert "compiled by torch.jit" in reason(lambda: nn.Sequential(torch.jit.trace(nn.Linear(5, 1), torch.ones(2, 5))))
