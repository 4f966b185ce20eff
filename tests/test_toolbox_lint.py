"""`wf.torch.lint`: every rule on a broken script and on the mended one, clean scripts; looking changes nothing."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import toolbox_scripts as scripts
import torch
from peers import import_keras, import_torch, keras_floats
from toolbox_scripts import own_draws as own_draws
from toolbox_scripts import rules
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import wellfit as wf
from wellfit.errors import SettingError

import_torch()  # sets it to one thread


# ---- scripts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "rule"), scripts.BROKEN.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_a_rule_finds_the_broken_script_and_lets_the_mended_one_pass(script, rule):
    found, loss = script(mended=False)
    assert rules(found) == [rule]
    assert math.isfinite(loss)
    [advice] = found
    assert advice.place
    assert str(advice) == f"{rule} ({', '.join(advice.place)}): {advice.text} {advice.mend}"
    found, loss = script(mended=True)
    assert found == []
    assert math.isfinite(loss)


@pytest.mark.parametrize("script", scripts.CLEAN, ids=lambda s: s.__name__)
def test_clean_scripts_raise_nothing(script):
    found, loss = script()
    assert found == []
    assert math.isfinite(loss)


def test_every_rule_has_its_scripts():
    from wellfit.messages import catalogue

    texts = {name for name in catalogue("toolbox") if name in set(scripts.BROKEN.values())}
    assert texts == set(scripts.BROKEN.values())
    assert len(texts) == 7


# ---- what is named, and how to mend it --------------------------------------------------------------------------


def test_the_mend_mends():
    """Following the advice to the letter silences it."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    decay, before = wf.torch.lint(model, optimizer)
    assert decay.place == ("0.bias", "1.weight", "1.bias", "3.bias")
    assert before.place == ("0.weight",)
    assert "AdamW(wf.torch.parameter_groups(model, weight_decay=0.02), ...)" in decay.mend
    assert "parameter_groups(model, weight_decay=0.02, undecayed=['0.weight'])" in before.mend
    call = before.mend[before.mend.index("wf.torch.parameter_groups") :].rstrip(".")
    groups = eval(call, {"wf": wf, "model": model})  # what the advice prints is code
    assert wf.torch.lint(model, torch.optim.AdamW(groups, weight_decay=0.02)) == []


def test_a_normalization_that_pytorch_does_not_know_is_one():
    class RootNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

    class Scaled(RootNorm):
        """Has a vector too, and is not called a normalization."""

    model = nn.Sequential(RootNorm(), Scaled())
    [advice] = wf.torch.lint(model, torch.optim.AdamW(model.parameters()))
    assert advice.place == ("0.scale",)


def test_long_lists_are_cut_in_the_text_and_whole_in_the_record():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(6)))
    [advice] = wf.torch.lint(model, torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1))
    assert len(advice.place) == 6
    assert "3.bias and 2 more" in str(advice)


def test_adamw_s_other_spellings_are_no_adam():
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    for kind, options, found in (
        (torch.optim.NAdam, {"decoupled_weight_decay": True}, []),
        (torch.optim.NAdam, {}, ["adam_weight_decay"]),
        (torch.optim.RAdam, {}, ["adam_weight_decay"]),
        (torch.optim.SGD, {}, []),
        (torch.optim.Adam, {"weight_decay": 0.0}, []),
    ):
        optimizer = kind(model.parameters(), lr=0.1, **{"weight_decay": 0.1, **options})
        assert rules(wf.torch.lint(model, optimizer)) == found
    inner = torch.optim.Adam(model.parameters(), weight_decay=0.1)
    [advice] = wf.torch.lint(model, wf.torch.ProximalOptimizer(inner, l1=0.1))
    assert "weight_decay=0.1 of Adam" in advice.text


def test_what_is_random_in_validation_is_named():
    [advice] = scripts.augmented_validation(mended=False)[0]
    assert advice.place == ("RandomFlip",)
    assert "Random there: RandomFlip." in advice.text


def test_advice_is_told_in_the_language():
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.1)
    with wf.speaking("zh"):
        text = str(wf.torch.lint(model, optimizer)[0])
    assert "weight_decay 也把偏置" in text


# ---- the order of layers is that of the calls -------------------------------------------------------------------


class Backwards(nn.Module):
    """Registers its layers in another order than it calls them in."""

    def __init__(self, drop_first: bool) -> None:
        super().__init__()
        self.drop_first = drop_first
        parts = [("drop", nn.Dropout(0.3)), ("norm", nn.BatchNorm1d(4))]
        for name, part in parts if not drop_first else parts[::-1]:
            self.add_module(name, part)
        self.lift = nn.Linear(8, 4)

    def forward(self, x):
        x = self.lift(x)
        return self.norm(self.drop(x)) if self.drop_first else self.drop(self.norm(x))


@pytest.mark.parametrize("drop_first", [True, False])
def test_a_batch_shows_the_real_order(drop_first):
    model, loader = Backwards(drop_first), DataLoader(scripts.points(), 16)
    traced = ["dropout_before_batch_norm"] if drop_first else []
    assert rules(wf.torch.lint(model, loader=loader)) == traced
    assert wf.torch.lint(model) == []  # without a batch nobody knows it
    wrong = DataLoader(TensorDataset(torch.ones(4, 3), torch.ones(4)), 2)  # no batch of this model's
    assert wf.torch.lint(model, loader=wrong) == []


def test_only_weights_that_feed_a_batch_norm_are_named():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.skip, self.head = (nn.Linear(8, 8) for _ in range(4))
            self.norm, self.skip_norm = nn.BatchNorm1d(8), nn.BatchNorm1d(8)

        def forward(self, x):
            a, skip = self.a(x), self.skip(x)
            return self.head(self.b(self.norm(a)) + self.skip_norm(skip))

    model = Branches()
    optimizer = torch.optim.SGD(wf.torch.parameter_groups(model, 0.1), lr=0.1)
    [advice] = wf.torch.lint(model, optimizer, DataLoader(scripts.points(), 16))
    assert advice.place == ("a.weight", "skip.weight")


@pytest.mark.parametrize("batch", ["mapping", "pair of inputs"])
def test_batches_of_other_forms_are_passed(batch):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Backwards(drop_first=True)

        def forward(self, x, other):
            return self.net(x + other)

    x = torch.ones(4, 8)
    loader = [{"x": x, "other": x}] if batch == "mapping" else [(x, x, torch.ones(4))]
    assert rules(wf.torch.lint(Two(), loader=loader)) == ["dropout_before_batch_norm"]


# ---- looking changes nothing ------------------------------------------------------------------------------------


class Noisy(Dataset):
    """Draws from every global generator."""

    def __len__(self):
        return 32

    def __getitem__(self, i):
        noise = torch.randn(8) + random.random() + np.random.rand()  # noqa: NPY002 (as augmentation does)
        return noise, torch.tensor(i % 3)


def test_nothing_is_changed_by_looking():
    norms = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
    model = nn.Sequential(nn.Linear(8, 8), *norms, nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    model[1].eval()  # a frozen normalization stays frozen
    loader = DataLoader(Noisy(), 8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    draws = (random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state())  # noqa: NPY002 (read only)

    def evaluate():
        with torch.no_grad():
            return [model(x) for x, _ in loader]

    found = wf.torch.lint(model, optimizer, loader, validation=loader, loss=nn.CrossEntropyLoss(), evaluate=evaluate)
    assert sorted(rules(found)) == ["augmented_validation", "missing_eval"]
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert [m.training for m in model] == [True, False, True, True, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert random.getstate() == draws[0]
    assert np.array_equal(np.random.get_state()[1], draws[1])  # noqa: NPY002 (read only)
    assert torch.equal(torch.get_rng_state(), draws[2])
    assert not any(m._forward_hooks for m in model.modules())


def test_an_evaluation_that_fails_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).eval()
    before = model[1].running_mean.clone()

    def evaluate():
        model(torch.randn(4, 2))
        raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        wf.torch.lint(model, evaluate=evaluate)
    assert torch.equal(model[1].running_mean, before)
    assert not model.training
    assert not model._forward_hooks


def test_an_iterator_is_not_used_up():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(scripts.points())

    model = scripts.mlp(nn.ReLU())
    batches = iter([(torch.ones(2, 8), torch.ones(2))])
    assert wf.torch.lint(model, loader=batches, validation=iter([])) == []
    assert len(list(batches)) == 1
    stream = DataLoader(Stream(), 8)
    assert wf.torch.lint(model, loader=stream, validation=stream) == []


def test_the_watch_changes_no_step_and_lets_models_be_in_which_the_mode_does_nothing():
    ends = []
    for watched in (False, True):
        torch.manual_seed(0)
        model, loss = scripts.mlp(nn.ReLU(), nn.Dropout(0.2)), nn.CrossEntropyLoss()
        optimizer, loader = torch.optim.Adam(model.parameters()), DataLoader(scripts.points(), 32)
        with wf.torch.watch(model, loss) if watched else torch.enable_grad():
            scripts.fit(model, optimizer, loader, loss)
        ends.append(model[0].weight.detach())
    assert torch.equal(*ends)
    plain = scripts.mlp(nn.ReLU())
    with wf.torch.watch(plain) as watching, torch.no_grad():
        plain(torch.ones(2, 8))
    assert watching.advice == []


@pytest.mark.parametrize("make", [scripts.Encoder, scripts.Reader])
def test_dropout_inside_attention_and_between_layers_of_an_lstm_counts(make):
    model = make()
    inputs = torch.randn(2, 1, 8, 8) if make is scripts.Encoder else torch.zeros(2, 6, dtype=torch.long)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    [advice] = wf.torch.lint(model, evaluate=lambda: model(inputs))
    assert advice.rule == "missing_eval"
    assert advice.place[0] in ("encoder.layers.0.self_attn", "lstm")
    assert wf.torch.lint(model, evaluate=lambda: model.eval()(inputs)) == []


# ---- validation data, targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["array", "mapping", "rare", "nan", "text"])
def test_items_of_any_form_are_compared(form):
    draw = random.Random(0)

    class Items(Dataset):
        changing = True

        def __len__(self):
            return 10

        def __getitem__(self, i):
            moved = draw.random() * self.changing
            return {
                "array": (np.full(3, i + moved), i),
                "mapping": {"x": [torch.tensor(i + moved)], "y": i},
                "rare": torch.tensor(float(i) + (moved > 0.85)),
                "nan": torch.tensor([math.nan, moved]),
                "text": (f"{i}{moved}", object()),
            }[form]

    items, model = Items(), nn.Linear(1, 1)
    assert rules(wf.torch.lint(model, validation=items)) == ["augmented_validation"]
    items.changing = False
    assert wf.torch.lint(model, validation=items) == []
    assert wf.torch.lint(model, validation=DataLoader(items, 2)) == []


@pytest.mark.parametrize(
    ("target", "mixed", "smoothed"),
    [
        ([[1.0, 0, 0], [0, 1, 0]], False, False),
        ([[0.6, 0.4, 0], [0, 1, 0]], True, False),
        ([[0.95, 0.025, 0.025], [0.025, 0.95, 0.025]], False, True),
        ([[0.595, 0.38, 0.025], [0.025, 0.95, 0.025]], True, True),
        ([[1.0, 1, 0], [0, 1, 0]], False, False),  # several labels at once
        ([[0.9, 0.1], [0.1, 0.9]], False, False),  # two classes smoothed alike
        ([[0.9, 0.1], [0.3, 0.7], [1, 0]], True, False),
        ([[-0.5, 1.5], [0.3, 0.7]], False, False),  # values
        ([1.0, 0.0], False, False),
    ],
)
def test_mixed_and_smoothed_targets_are_told_apart(target, mixed, smoothed):
    from wellfit.torch.rules.data import mixes

    assert mixes(torch.tensor(target)) == (mixed, smoothed)


def test_a_mixing_collate_function_is_known_by_its_name_where_numbers_do_not_show_it():
    """Its labels may be a pair of classes and a share."""

    def cutmix(items):
        x, y = torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])
        return x, y, y.flip(0), 0.4

    loader = DataLoader(scripts.points(), 16, collate_fn=cutmix)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    assert rules(wf.torch.lint(scripts.mlp(nn.ReLU()), loader=loader, loss=loss)) == ["smoothed_mixup"]
    assert wf.torch.lint(scripts.mlp(nn.ReLU()), loader=loader, loss=nn.CrossEntropyLoss()) == []


@pytest.mark.parametrize("named", [False, True])
def test_a_watched_loss_shows_targets_mixed_and_smoothed_in_the_loop(named):
    """As a library's mixup makes them that smooths by default."""
    model, loss = nn.Linear(8, 3), nn.CrossEntropyLoss()
    for floor, found in ((0.0, []), (0.1, ["smoothed_mixup"])):
        with wf.torch.watch(model, loss) as watching:
            target = (1 - floor) * torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]]) + floor / 3
            outputs = model(torch.ones(2, 8))
            (loss(input=outputs, target=target) if named else loss(outputs, target)).backward()
        assert rules(watching.advice) == found


def test_empty_and_counted_streams_are_let_be():
    class Counted(IterableDataset):
        def __len__(self):
            return 4

        def __iter__(self):
            return iter(scripts.points(4))

    model, empty = scripts.mlp(nn.ReLU()), TensorDataset(torch.ones(0, 8), torch.ones(0))
    for data in (empty, Counted()):
        loader = DataLoader(data, 2)
        assert wf.torch.lint(model, loader=loader, validation=loader) == []


# ---- Keras on the torch backend ---------------------------------------------------------------------------------


@pytest.fixture
def keras(tmp_path):
    with keras_floats(import_keras(tmp_path), "float32") as module:
        yield module


def test_keras_models_are_linted(keras):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(4),
            layers.Dropout(0.2),
            layers.Dense(4),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.01)
    loader = DataLoader(scripts.points(), 16)
    kernels = [layer.kernel.path for layer in model.layers if hasattr(layer, "kernel")]
    for given in (loader, None):
        found = {advice.rule: advice.place for advice in wf.torch.lint(model, optimizer, given)}
        assert set(found) == {
            "decay_on_bias_or_norm",
            "adam_weight_decay",
            "decay_before_batch_norm",
            "dropout_before_batch_norm",
        }
        assert found["decay_before_batch_norm"] == (kernels[1],)
        assert len(found["decay_on_bias_or_norm"]) == 5
    # Without an argument a Keras model is called in evaluation, whatever its ``training`` says.
    x = torch.ones(4, 8)
    for training in (None, True):
        found = rules(wf.torch.lint(model, evaluate=lambda t=training: model(x, training=t)))
        assert ("missing_eval" in found) is bool(training)


def test_a_model_is_needed():
    with pytest.raises(SettingError, match=r"nn\.Module"):
        wf.torch.lint("model")
    with pytest.raises(SettingError, match="no parameters"):
        wf.torch.lint(nn.ReLU())
