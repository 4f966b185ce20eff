"""PyTorch's rows of the dialects table against PyTorch itself: 20 steps from equal weights, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from peers import STEPS, TASKS, Trainer, apart, import_torch, sample, start
from test_dialects import NETWORK, ours

from wellfit.cocktail import L1, L2, Cocktail, EarlyStopping, WeightDecay, as_cocktail
from wellfit.cocktail.dialects import NoEquivalent, from_dialect, to_dialect

TORCH_ROWS = [
    ("torch-sgd", "SGD", {}, {"optimizer": "sgd"}),
    ("torch-sgd", "SGD", {"momentum": 0.9}, {"optimizer": "sgd", "momentum": 0.9}),
    (
        "torch-sgd",
        "SGD",
        {"momentum": 0.9, "nesterov": True},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    ),
    ("torch-adam", "Adam", {}, {"optimizer": "adam"}),
    ("torch-adamw", "AdamW", {}, {"optimizer": "adam"}),
]


def torch_network(weights):
    """A tanh network in PyTorch with the given weights; (network, its linear layers)."""
    torch = import_torch()
    nn = torch.nn

    layers = []
    for w, b in weights:
        layer = nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1]), layers[::2]


def torch_train(kind, options, groups, network, task, x, y):
    """20 full-batch steps of a PyTorch optimizer."""
    torch = import_torch()
    optimizer = getattr(torch.optim, kind)(groups, lr=0.05, **options)
    inputs = torch.tensor(x)
    for _ in range(STEPS):
        optimizer.zero_grad()
        out = network(inputs)
        if task == "regression":
            loss = torch.nn.functional.mse_loss(out[:, 0], torch.tensor(y))
        elif task == "binary":
            loss = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], torch.tensor(y, dtype=out.dtype))
        else:
            loss = torch.nn.functional.cross_entropy(out, torch.tensor(y))
        loss.backward()
        optimizer.step()


def torch_weights(linear):
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear]


@pytest.mark.parametrize("strength", [0.05, (0.05, 0.0, 0.2)], ids=["one", "per layer"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("dialect", "kind", "options", "how"), TORCH_ROWS)
def test_torch_takes_our_steps(dialect, kind, options, how, task, strength):
    x, y, k = sample(task)
    weights = start(NETWORK, 5, k)
    network, linear = torch_network(weights)
    cocktail = from_dialect(dialect, weight_decay=strength)
    told = to_dialect(cocktail, dialect, layers=3)
    assert told.arguments["weight_decay"] == strength
    decays = strength if isinstance(strength, tuple) else (strength,) * 3
    groups = [{"params": [m.weight], "weight_decay": d} for m, d in zip(linear, decays, strict=True)]
    groups.append({"params": [m.bias for m in linear], "weight_decay": 0.0})
    torch_train(kind, options, groups, network, task, x, y)
    trainer = ours(cocktail, weights, task, activation="tanh", lr=0.05, **how)
    for _ in range(STEPS):
        trainer.step(x, y)
    assert apart(trainer, torch_weights(linear)) < 1e-9
    assert apart(trainer, weights) > 1e-2  # it has moved


@pytest.mark.parametrize("dialect", ["torch-sgd", "torch-adam", "torch-adamw", "keras"])
def test_decay_on_biases_has_no_equivalent(dialect):
    answer = from_dialect(dialect, weight_decay=0.05, biases=True)
    assert not answer
    assert "biases" in str(answer)
    assert from_dialect(dialect, weight_decay=0.0, biases=True) == Cocktail()


def test_ungrouped_torch_differs_from_ours():
    x, y, k = sample("binary")
    weights = start(NETWORK, 5, k)
    network, linear = torch_network(weights)
    torch_train("SGD", {}, [{"params": network.parameters(), "weight_decay": 0.05}], network, "binary", x, y)
    trainer = ours(from_dialect("torch-sgd", weight_decay=0.05), weights, "binary", activation="tanh", lr=0.05)
    for _ in range(STEPS):
        trainer.step(x, y)
    assert apart(trainer, torch_weights(linear)) > 1e-3


def test_torch_weight_decay_is_l2_only_under_plain_steps():
    decay = WeightDecay(0.05)
    plain = to_dialect(decay + L2((0.01, 0.0, 0.0)), "torch-sgd", optimizer="sgd", layers=3)
    assert plain.arguments == {"weight_decay": pytest.approx((0.06, 0.05, 0.05))}
    for refused in (
        to_dialect(decay, "torch-sgd", optimizer="sgd", momentum=0.9),
        to_dialect(decay, "torch-sgd"),
        to_dialect(decay, "torch-adam"),
        to_dialect(L2(0.05), "torch-adamw"),
        to_dialect(L1(0.05), "torch-sgd"),
        to_dialect(EarlyStopping(5), "torch-adam"),
    ):
        assert isinstance(refused, NoEquivalent)
    # The claim itself, in our own objective: equal under plain steps, unequal with momentum.
    x, y, k = sample("binary")
    for momentum, equal in ((0.0, True), (0.9, False)):
        runs = [ours(c, start(NETWORK, 5, k), "binary", optimizer="sgd", momentum=momentum, activation="tanh")
                for c in (Cocktail((decay,)), Cocktail((L2(0.05),)))]  # fmt: skip
        for _ in range(STEPS):
            for run in runs:
                run.step(x, y)
        assert (apart(runs[0], runs[1].weights) < 1e-12) is equal


def torch_step_of(told, loss_of, clip=False):
    """One plain full-batch step of a PyTorch network by told arguments: (its weights after, before, x, y)."""
    torch = import_torch()
    x, y, k = sample("multiclass")
    weights = start(NETWORK, 5, k)
    network, linear = torch_network(weights)
    optimizer = torch.optim.SGD([m.weight for m in linear], lr=0.5, weight_decay=told.arguments["weight_decay"])
    optimizer.add_param_group({"params": [m.bias for m in linear], "weight_decay": 0.0})
    loss_of(torch)(network(torch.tensor(x)), torch.tensor(y)).backward()
    if clip:
        torch.nn.utils.clip_grad_norm_(network.parameters(), told.arguments["clip_grad_norm"])
    optimizer.step()
    return torch_weights(linear), weights, x, y


def test_torch_label_smoothing_is_ours():
    told = to_dialect("label_smoothing=0.3 + l2=0.05", "torch-sgd", task="multiclass")
    assert from_dialect("torch-sgd", **told.arguments) == as_cocktail("label_smoothing=0.3 + l2=0.05")
    theirs, weights, x, y = torch_step_of(
        told, lambda torch: torch.nn.CrossEntropyLoss(label_smoothing=told.arguments["label_smoothing"])
    )
    # In our objective the loss is linear in the targets: the mean of the hard ones and of each class, weighted.
    parts = [(0.7, y)] + [(0.1, np.full(len(y), c)) for c in range(3)]
    assert apart(_linear_mix(weights, x, parts, 0.05), theirs) < 1e-9
    assert apart(_linear_mix(weights, x, [(1.0, y)], 0.05), theirs) > 1e-3


def _linear_mix(weights, x, parts, l2, bound=math.inf):
    """Ours after one step of rate 0.5 on a weighted sum of losses, its gradient clipped before L2 is added."""
    trainer = Trainer("multiclass", weights, activation="tanh")
    both = [[np.zeros(w.shape), np.zeros(b.shape)] for w, b in weights]
    for share, y in parts:
        for total, pair in zip(both, trainer.gradients(x, y), strict=True):
            total[0] += share * pair[0]
            total[1] += share * pair[1]
    norm = math.sqrt(sum((dw**2).sum() + (db**2).sum() for dw, db in both))
    scale = min(1.0, bound / norm)
    new = [(w - 0.5 * (scale * dw + l2 * w), b - 0.5 * scale * db)
           for (w, b), (dw, db) in zip(weights, both, strict=True)]  # fmt: skip
    trainer.weights = new
    return trainer


def test_torch_clips_before_its_weight_decay_as_we_do():
    told = to_dialect("gradient_clipping=0.05 + l2=0.2", "torch-sgd")
    assert from_dialect("torch-sgd", **told.arguments) == as_cocktail("gradient_clipping=0.05 + l2=0.2")
    theirs, weights, x, y = torch_step_of(told, lambda torch: torch.nn.CrossEntropyLoss(), clip=True)
    assert apart(_linear_mix(weights, x, [(1.0, y)], 0.2, 0.05), theirs) < 1e-5  # the 1e-6 of the note
    assert apart(_linear_mix(weights, x, [(1.0, y)], 0.2), theirs) > 1e-3
    assert "1e-6" in " ".join(told.notes)


def test_torch_layers_for_inputs_and_batch_norm():
    told = to_dialect("batch_norm + input_dropout=0.2 + dropout=0.1", "torch-adam")
    assert told.arguments == {"weight_decay": 0, "batch_norm": True, "input_dropout": 0.2, "dropout": 0.1}
    assert from_dialect("torch-adam", **told.arguments) == as_cocktail("batch_norm + input_dropout=0.2 + dropout=0.1")
    norm = import_torch().nn.BatchNorm1d(3)
    assert (norm.momentum, norm.eps) == (0.1, 1e-5)
