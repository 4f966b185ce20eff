"""PyTorch modules as networks: what a cocktail does to them, against plain PyTorch loops; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_modules import Attentive, Calls, Convolutional, Plain, Recurrent, Tokens

import wellfit as wf
from wellfit import rng
from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Member, advance_within, history
from wellfit.engines.contract import finish, make_data, same
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.engines.torch import TorchEngine
from wellfit.errors import SettingError, UnsupportedError
from wellfit.executors import Threads
from wellfit.nets import MLP, Training, as_network
from wellfit.nets.built import as_inputs, build, channels_last
from wellfit.nets.layout import layout_of
from wellfit.nets.torch_threads import fixed_threads
from wellfit.records import Fold, FoldData, TrainingData

nn = torch.nn
SGD = Training("sgd", 0.05, 6, 16, momentum=0.9, precision="float64")
ADAM = Training("adamw", 0.01, 6, 16, precision="float64")


def images(rows: int = 90, outputs: int = 3, seed: int = 0) -> TrainingData:
    """Return small images of bytes whose class shows in where they are bright."""
    draw = rng.generator(seed, rng.DATA)
    labels = draw.integers(0, outputs, rows)
    x = draw.integers(0, 90, (rows, 1, 8, 8)).astype(np.uint8)
    for i, label in enumerate(labels):
        x[i, 0, 2 * label : 2 * label + 3, 1:6] += 120
    order = draw.permutation(rows)
    folds = (Fold(order[30:], order[:0], order[:30]), Fold(order[45:], order[30:45], order[:30]))
    return TrainingData("multiclass", outputs, tuple(FoldData(x, np.eye(outputs)[labels], f) for f in folds), "images")


def network(name: str = "conv", factory: object = Convolutional, **options: object) -> wf.nets.Module:
    return wf.module(name, factory, **options).bound((1, 8, 8), 3)


def member(text: str, training: Training = SGD, seed: int = 0, fold: int = 0, **options: object) -> Member:
    return Member(network(**options), as_cocktail(text), training, seed, fold)


def by_hand(one: Member, data: TrainingData, epochs: int) -> dict[str, object]:
    """Train the user's class in a plain PyTorch loop: its own optimizer, its own batch norm, no dropout."""
    fold, training = data.folds[one.fold], one.training
    strengths = one.network.strengths(one.cocktail)
    built = build(one.network, (1, 8, 8), 3, strengths.batch_norm)
    net = Convolutional(0.0).double()
    if not strengths.batch_norm:
        net.norm = nn.Identity()
    start = built.layout.tensors(torch.tensor(built.initialize(one.seed)))
    net.load_state_dict({**net.state_dict(), **start})
    norms = {id(p) for m in net.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    decayed = [p for p in net.parameters() if p.ndim > 1 and id(p) not in norms]
    rest = [p for p in net.parameters() if p.ndim <= 1 or id(p) in norms]
    l2, decay = max(strengths.l2), max(strengths.weight_decay)
    if training.optimizer == "sgd":
        groups = [{"params": decayed, "weight_decay": l2}, {"params": rest}]
        optimizer = torch.optim.SGD(groups, training.learning_rate, momentum=training.momentum)
    else:
        groups = [{"params": decayed, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, training.learning_rate)
    x, y = as_inputs(torch.tensor(fold.x), torch.float64), torch.tensor(fold.y)
    for epoch in range(epochs):
        order = fold.rows.train[rng.permutation(one.seed, rng.SHUFFLE, len(fold.rows.train), epoch=epoch)]
        for batch in np.split(order, range(16, len(order), 16)):
            loss = nn.functional.cross_entropy(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return dict(net.state_dict())


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    ("text", "training"),
    [
        ("none", SGD),
        ("l2=0.05", SGD),
        ("batch_norm + l2=0.05", SGD),
        ("weight_decay=0.5", ADAM),
        ("batch_norm + weight_decay=0.5", ADAM),
    ],
)
def test_a_training_equals_a_plain_pytorch_loop(text: str, training: Training, stacked: bool) -> None:
    """Penalties reach kernels and matrices and neither biases nor normalization; batch norm is on or off."""
    data, ones = images(), [member(text, training), member(text, training, seed=5)]
    ends = finish(TorchEngine("cpu", stacked=stacked), ones, data)
    for one, state in zip(ones, ends, strict=True):
        layout = build(one.network, (1, 8, 8), 3, "batch_norm" in text).layout
        found, expected = layout.tensors(torch.tensor(state.parameters)), by_hand(one, data, 6)
        assert set(found) == {n for n in expected if "num_batches" not in n}
        # A bias in front of a normalization has no effect, and Adam makes steps of the rounding in its gradient.
        unfelt = {"first.bias"} if "batch_norm" in text else set()
        for name in set(found) - unfelt:
            atol = 1e-9 if "batch_norm" not in text or training is SGD else 1e-6
            torch.testing.assert_close(found[name], expected[name], rtol=0, atol=atol, msg=f"{name} of {one}")


@pytest.mark.parametrize("text", ["dropout=(0.5, 0.3)", "batch_norm + mixup=0.3 + ema=0.9 + dropout=0.4", "augment=1"])
@pytest.mark.parametrize("stacked", [False, True])
def test_together_equals_alone(text: str, stacked: bool) -> None:
    data, engine = images(), TorchEngine("cpu", stacked=stacked)
    ones = [member(text, ADAM, seed) for seed in (0, 2**40)] + [member("l2=0.01 + dropout=0.2", ADAM, 7)]
    together = finish(engine, ones, data)
    for one, state in zip(ones, together, strict=True):
        assert same(state, finish(engine, [one], data)[0], 1e-9 if stacked else 0)
        assert same(state, finish(TorchEngine("cpu"), [one], data)[0], 1e-9)


def test_masks_depend_on_the_member_alone_and_the_rates_are_the_cocktails() -> None:
    """Whatever rate the module's own layers were made with."""
    data = images()
    ends = [
        finish(TorchEngine("cpu"), [Member(network("a", f), as_cocktail(text), ADAM, 1, 0)], data)[0].parameters
        for f, text in (
            (Convolutional, "dropout=0.3"),
            (lambda: Convolutional(0.9), "dropout=0.3"),
            (lambda: Convolutional(0.9), "none"),
        )
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.allclose(ends[0], ends[2])


def test_channels_are_dropped_whole_and_kept_at_the_right_share() -> None:
    built, seen = build(network(), (1, 8, 8), 3, False), []
    assert built.masks == [(4, 1, 1), (24,)]
    assert built.rate_of == (0, 1)
    built.net.get_submodule("second").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    from wellfit.engines.torch.batches import mask
    from wellfit.engines.torch.draws import keys_of

    keep, scale = mask(keys_of([3], "cpu"), 0, torch.tensor([0.25]), 4, 400, 0, 0)
    vector = torch.tensor(built.initialize(0))
    x = torch.rand(400, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    feed = [(keep[0].reshape(400, 4, 1, 1), scale[0]), (None, None)]
    built.call(vector[: built.layout.learned], vector[built.layout.learned :], x, feed, training=True)
    built.evaluate(vector, x)
    dropped, whole = (seen[0] == 0).flatten(2).all(2), (seen[0] == 0).flatten(2).any(2)
    assert torch.equal(dropped, ~keep[0] | (seen[1] == 0).flatten(2).all(2))
    assert abs(float(keep.double().mean()) - 0.75) < 0.04
    torch.testing.assert_close(seen[0][keep[0]], seen[1][keep[0]] / 0.75)
    assert bool(whole.any())


def test_dropout_and_batch_norm_are_inserted_where_there_is_none() -> None:
    plain = wf.module("plain", Plain, insert_dropout=True).bound(5, 1)
    built = build(plain, 5, 1, True)
    kinds = [type(part).__name__ for part in built.net.modules()]
    assert kinds.count("Site") == kinds.count("BatchNorm1d") == 1
    assert [slot.name for slot in built.layout.slots] == [
        *("body.weight", "body.bias", "head.weight", "head.bias"),
        *(f"body.inserted_norm.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
    ]
    data = make_data("binary")
    one = Member(plain, as_cocktail("batch_norm + dropout=0.5 + l1=0.01"), Training("adam", 0.01, 5, 16), 0, 0)
    [state] = finish(TorchEngine("cpu"), [one], data)
    record = history(one, state, data)
    assert (record.status, len(record.weight_norms), record.inputs_used) == ("finished", 2, 5)
    assert record.zero_weights > 0


@pytest.mark.parametrize("factory", [Recurrent, Attentive])
def test_other_kinds_of_modules_learn(factory: type) -> None:
    data = make_data("binary", rows=200)
    net = wf.module(factory.__name__, factory).bound(5, 1)
    one = Member(net, as_cocktail("none"), Training("adam", 0.01, 20, 32, precision="float64"), 0, 0)
    for stacked in (False, True):
        if stacked and factory is Recurrent:
            continue  # PyTorch cannot vmap an LSTM
        [state] = finish(TorchEngine("cpu", stacked=stacked), [one], data)
        losses = history(one, state, data).curves["train_loss"]
        assert losses[-1] < 0.9 * losses[0]
    if factory is Attentive:
        assert build(net, 5, 1, False).places == 3


def test_tokens_are_read_as_whole_numbers_and_two_logits_as_one() -> None:
    draw = rng.generator(0, rng.DATA)
    x = draw.integers(0, 10, (120, 4))
    y = (x == 3).any(1).astype(float)[:, None]
    rows = np.arange(120)
    data = TrainingData("binary", 1, (FoldData(x, y, Fold(rows[:90], rows[:0], rows[90:])),))
    net = wf.module("tokens", Tokens).bound(4, 1)
    one = Member(net, as_cocktail("none"), Training("adam", 0.05, 25, 32), 0, 0)
    [state] = finish(TorchEngine("cpu"), [one], data)
    record = history(one, state, data)
    assert record.curves["train_accuracy"][-1] > 0.95
    assert record.predictions.shape == (30, 1)
    reason = TorchEngine("cpu").supports(replace(one, cocktail=as_cocktail("input_noise=0.1")), data)
    assert "tokens" in str(reason)


def test_a_member_stops_inside_an_epoch_and_goes_on_as_if_it_had_not() -> None:
    data, one, engine = images(), member("dropout=0.3 + early_stopping=3", ADAM, fold=1), TorchEngine("cpu")
    [straight] = finish(engine, [one], data)
    states, middles = engine.init([one], data), 0
    while states[0].status == "running":
        states = advance_within(engine, [one], states, [6], data, 0.0)
        middles += states[0].step % 3 != 0
        states = [state_from_bytes(state_to_bytes(states[0]))]
    assert middles > 3
    assert same(states[0], straight, 0)


def test_augmentation_changes_what_is_trained_on_and_nothing_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch that passes the augmentation is of training rows; stop and score rows never do."""
    from wellfit.engines.torch import augment

    data, seen = images(), []
    plain = augment.augmented
    monkeypatch.setattr(augment, "augmented", lambda x, *rest: seen.append(x.clone()) or plain(x, *rest))
    one = member("augment=1:rotation=20:horizontal_flip=0.5", Training("adam", 0.01, 2, 16), fold=1)
    [state] = finish(TorchEngine("cpu"), [one], data)
    fold = data.folds[1]
    pixels = as_inputs(torch.tensor(fold.x), torch.float32)
    allowed = {pixels[i].numpy().tobytes() for i in fold.rows.train}
    others = {pixels[i].numpy().tobytes() for i in (*fold.rows.stop, *fold.rows.score)}
    given = {image.numpy().tobytes() for batch in seen for image in batch}
    assert given == allowed
    assert not given & others
    # What is measured is what the images themselves give.
    built = build(one.network, (1, 8, 8), 3, False)
    out = built.forward(state.parameters, fold.x[fold.rows.score])
    expected = nn.functional.cross_entropy(torch.tensor(out), torch.tensor(fold.y[fold.rows.score]))
    assert abs(state.curves[-1, 2] - float(expected)) < 1e-5
    again = finish(TorchEngine("cpu"), [one], data)[0]
    assert same(state, again, 0)


def test_bfloat16_learns_as_float32_does() -> None:
    data = images(300)
    losses = [
        finish(TorchEngine("cpu"), [member("none", Training("adam", 0.01, 12, 32, precision=p))], data)[0].curves[-1, 2]
        for p in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    assert max(losses) < 0.3


def test_memory_that_does_not_suffice_halves_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    from wellfit.engines.torch.stack import Stack

    data, told, sizes = images(), [], []
    ones = [member("dropout=0.2", ADAM, seed) for seed in range(5)]
    run = Stack.run

    def scarce(self: Stack, *given: object) -> list:
        sizes.append(len(self.members))
        if len(self.members) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(self, *given)

    expected = finish(TorchEngine("cpu", stacked=True), ones, data)
    monkeypatch.setattr(Stack, "run", scarce)
    found = finish(TorchEngine("cpu", stacked=True, notice=told.append), ones, data)
    assert sizes == [5, 2, 3, 1, 2]
    assert "5 members" in told[0]
    assert all(same(a, b, 1e-9) for a, b in zip(found, expected, strict=True))
    monkeypatch.setattr(Stack, "run", lambda *_: torch.empty(1 << 50))  # what PyTorch says, not what we think it says
    with pytest.raises(MemoryError):
        finish(TorchEngine("cpu"), ones[:1], data)


class Twice(nn.Module):
    """Another number of layers at every second making."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Twice.made += 1
        self.layers = nn.Sequential(*(nn.Linear(5, 5) for _ in range(1 + Twice.made % 2)), nn.Linear(5, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize(
    ("factory", "text", "words"),
    [
        (Calls, "none", ["torch.nn.functional.dropout", "torch.nn.Dropout layer"]),
        (lambda: nn.Linear(4, 1), "none", ["(2, 5)", "shape"]),
        (lambda: nn.Linear(5, 3), "none", ["(2, 5)", "(2, 3)", "(2, 1)"]),
        (lambda: nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), "none", ["sigmoid", "logits"]),
        (lambda: 3, "none", ["int"]),
        (lambda: 1 / 0, "none", ["ZeroDivisionError"]),
        (lambda: nn.Sequential(nn.Linear(5, 8), nn.AlphaDropout(), nn.Linear(8, 1)), "none", ["alpha dropout"]),
        (Plain, "dropout=0.5", ["no dropout layer", "insert_dropout=True"]),
        (lambda: nn.Sequential(nn.Linear(5, 8), nn.Dropout(), nn.Linear(8, 1)), "dropout=(0.1, 0.2)", ["dropout"]),
        (Plain, "augment=1", ["images"]),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name(factory: object, text: str, words: list[str]) -> None:
    data = make_data("binary")
    one = Member(wf.module("mine", factory).bound(5, 1), as_cocktail(text), Training(epochs=2), 0, 0)
    reason = str(TorchEngine("cpu").supports(one, data))
    for word in words:
        assert word in reason, reason
    with pytest.raises(UnsupportedError, match="mine"):
        TorchEngine("cpu").init([one], data)


def test_factories_that_disagree_in_layers_are_named() -> None:
    data = make_data("binary")
    ones = [
        Member(wf.module("twice", Twice).bound(5, 1), as_cocktail("none"), Training(epochs=2), s, 0) for s in (0, 1)
    ]
    with pytest.raises(UnsupportedError, match=r"twice.*layers\.1\.weight"):
        TorchEngine("cpu").init(ones, data)


def test_starting_weights_are_a_function_of_the_seed_and_nothing_global_is_touched() -> None:
    before = torch.get_rng_state()
    built = build(network(), (1, 8, 8), 3, False)
    first, second, again = (built.initialize(seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, second)
    data, threads = images(), torch.get_num_threads()
    finish(TorchEngine("cpu"), [member("dropout=0.5 + augment=1", ADAM)], data)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("channels", [1, 3])
def test_images_reach_convolutions_with_their_channels_last(channels: int) -> None:
    """Of one channel too, where PyTorch goes by the strides: without them it takes three times as long."""
    x = torch.rand(5, channels, 6, 7, generator=torch.Generator().manual_seed(0))
    y = channels_last(x)
    assert torch.equal(x, y)
    assert y.stride() == (channels * 42, 1, 7 * channels, channels)
    kernel = torch.rand(4, channels, 3, 3, generator=torch.Generator().manual_seed(1))
    assert nn.functional.conv2d(y, kernel).stride()[1] == 1


def test_counts_of_threads_are_put_back_also_from_within() -> None:
    before, seen = torch.get_num_threads(), []
    with fixed_threads(3):
        with fixed_threads(1):
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())
    assert seen == [1, 3]
    assert torch.get_num_threads() == before


def test_threads_make_no_difference() -> None:
    """Members beside each other, one after another, and whatever PyTorch was told before: equal bits."""
    data, ones = images(), [member("dropout=0.3", replace(ADAM, precision="bfloat16"), seed) for seed in range(3)]
    found, before = [], torch.get_num_threads()
    for count in (1, 2, 6):
        torch.set_num_threads(count)
        ended = dict(Threads(count).run(TorchEngine("cpu"), ones, data))
        found.append([ended[i] for i in range(3)])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(same(a, b, 0) for a, b in zip(found[0], other, strict=True))


def test_names_texts_and_files(tmp_path: object) -> None:
    assert str(as_network("cnn")) == str(wf.module("cnn")) == "cnn"
    assert as_network("64,32") == MLP((64, 32))
    with pytest.raises(SettingError, match="Known: cnn"):
        wf.module("resnet9000")
    with pytest.raises(SettingError, match="name"):
        wf.module("a|b", Plain)
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
        "from beside import WIDTH\n@dataclass\nclass Settings:\n    width: int = WIDTH\n"
        "def Net(): return nn.Linear(Settings().width, 1)\n"
    )
    (tmp_path / "beside.py").write_text("WIDTH = 5\n")
    net = as_network(f"{file}:Net").bound(5, 1)
    assert net.layers == 1
    assert as_network(f"{file}:Net") == as_network(f"{file}:Net")
    for text, words in ((f"{file}:Nope", "defines no Nope"), (f"{tmp_path / 'no.py'}:Net", "cannot be run")):
        with pytest.raises(SettingError, match=words):
            as_network(text)


def test_layouts_put_weights_first_whatever_normalization_there_is() -> None:
    layout = layout_of(Convolutional())
    names = [slot.name for slot in layout.slots]
    assert [names[i] for i in layout.weights] == ["first.weight", "second.weight", "dense.weight"]
    assert names.index("norm.weight") > names.index("dense.bias")
    assert names[-2:] == ["norm.running_mean", "norm.running_var"]
