"""The PyTorch scripts that `code` prints take our steps, with every ingredient, loss and schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from code_scripts import (
    LOSSES,
    TRAININGS,
    WEIGHTED,
    Whole,
    check_predictions,
    cut,
    data_for,
    furthest,
    run,
    text_for,
    trained,
)
from peers import STEPS, TASKS, apart, import_torch, sample

from wellfit.cocktail import L2, Cocktail, Dropout, EarlyStopping, as_cocktail
from wellfit.cocktail.schedules import schedule_factor
from wellfit.nets import MLP, Training

COCKTAILS = (
    "none",
    "l2=0.05",
    "l2=(0.05, 0, 0.2)",
    "l1=0.01",
    "elastic_net=0.05:l1_ratio=0.3",
    "weight_decay=0.1",
    "weight_decay=(0.3, 0, 0.1)",
    "l1=(0.02, 0, 0.01) + l2=0.05 + weight_decay=0.1",
)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("how", TRAININGS)
def test_torch_script_takes_our_steps(task, how):
    import_torch()
    network = MLP((6, 4), {"binary": "tanh", "multiclass": "gelu", "regression": "silu"}[task])
    training = Training(**TRAININGS[how], epochs=STEPS, batch_size=None, precision="float64")
    for cocktail in COCKTAILS:
        head, tail = cut(text_for(network, cocktail, training, task, "torch"), "epochs, learning_rate")
        space = run(head, task)
        weights = [_torch_pair(layer) for layer in space["linear"]]
        run(tail, task, space=space)
        trainer = trained(network, cocktail, training, task, weights)
        found = [_torch_pair(layer) for layer in space["linear"]]
        assert apart(trainer, found) < 1e-9, cocktail
        assert apart(trainer, weights) > 1e-2
        if "l1" in cocktail:
            zeros = [int((w == 0).sum()) for w, _ in found]
            assert zeros == [int((w == 0).sum()) for w, _ in trainer.weights]
        check_predictions(space, task)


def _torch_pair(layer):
    """Weights and biases, the biases moved off 0 so that a penalty on them would show."""
    b = layer.bias.detach().numpy()  # a view
    if not b.any():
        b += 0.1 * (1 + np.arange(len(b)))
    return layer.weight.detach().numpy().copy(), b.copy()


def test_torch_script_without_its_groups_would_be_caught():
    import_torch()
    network, training = MLP((6, 4), "tanh"), Training("gd", 0.1, STEPS, None, precision="float64")
    text = text_for(network, "l2=0.05", training, "binary", "torch")
    wrong = text.replace('others, "weight_decay": 0.0}', 'others, "weight_decay": 0.05}')
    assert wrong != text
    head, tail = cut(wrong, "epochs, learning_rate")
    space = run(head, "binary")
    weights = [_torch_pair(layer) for layer in space["linear"]]
    run(tail, "binary", space=space)
    trainer = trained(network, "l2=0.05", training, "binary", weights)
    assert apart(trainer, [_torch_pair(layer) for layer in space["linear"]]) > 1e-4


@pytest.mark.parametrize("task", TASKS)
def test_torch_script_with_dropout_batches_and_early_stopping(task):
    torch = import_torch()
    cocktail = L2(1e-3) + Dropout((0.1, 0.0)) + EarlyStopping(5)
    training = Training(learning_rate=0.02, epochs=60, batch_size=25, schedule="cosine")
    text = text_for(MLP((16, 8)), cocktail, training, task, "torch", rows=201, stop_share=0.25, seed=3)
    space = run(text, task, rows=201)
    drops = [m.p for m in space["network"] if isinstance(m, torch.nn.Dropout)]
    assert drops == [0.1]
    assert len(space["X_stop"]) == 50
    assert len(space["X_train"]) == 151
    assert [len(b) for b in space["batches"]] == [25, 25, 25, 25, 25, 26]  # the last single row is merged
    space["network"].eval()
    with torch.no_grad():
        kept = space["loss_of"](space["network"](space["stop_inputs"]), space["stop_targets"]).item()
    assert kept == pytest.approx(space["best_loss"], abs=1e-6)
    found, y = check_predictions(space, task, rows=201)
    assert space["network"][0].weight.dtype == torch.float32
    quality = {
        "binary": lambda: np.mean((found > 0.5) == y),
        "multiclass": lambda: np.mean(found.argmax(1) == y),
        "regression": lambda: 1 - np.mean((found - y) ** 2) / np.var(y),
    }
    assert quality[task]() > 0.75
    assert repr(run(text, task, rows=201)["best_loss"]) == repr(space["best_loss"])  # its seed is fixed


RICH = {
    "batch_norm + l2=0.05": "momentum",
    "batch_norm + ema=0.8 + weight_decay=0.1": "adam",
    "label_smoothing=0.2 + max_norm=(1.2, inf, 0.9)": "gd",
    "gradient_clipping=0.05 + l2=(0.05, 0, 0.2)": "momentum",
    "gradient_clipping=0.05 + l2=0.1 + weight_decay=0.1": "adam",
    "group_lasso=0.05 + l1=(0.01, 0, 0) + max_norm=0.6": "nesterov cosine",
    "mixup=0.4 + input_noise=0.1 + label_smoothing=0.1": "adam",
    "ema=0.95:schedule=cosine + l1=0.02:schedule=one_cycle + l2=0.05:schedule=flat_cosine": "adamw cosine",
    "weight_decay=0.3:schedule=cosine + max_norm=1.5:schedule=flat_cosine": "adam",
    "group_lasso=0.1:schedule=cosine + label_smoothing=0.3:schedule=one_cycle": "momentum",
    "mixup=1:schedule=cosine + input_noise=0.2:schedule=one_cycle + gradient_clipping=0.1:schedule=cosine": "gd",
    "elastic_net=0.05:schedule=cosine": "gd",
}


def settled(text):
    """A script with its draws replaced by fixed ones: mixup's coefficient 0.3 and distance 7, noise of 1."""
    for drawn, fixed in (
        ("beta.sample().item()", "0.3"),
        ("int(torch.randint(1, len(x), ()))", "7"),
        ("torch.randn_like(x)", "torch.ones_like(x)"),
    ):
        text = text.replace(drawn, fixed)
    return text


def whole_against_torch(cocktail, training, task, activation="tanh"):
    """The script's network and ours after 20 full-batch steps from equal weights: (space, ours)."""
    network = MLP((6, 4), activation)
    text = settled(text_for(network, cocktail, training, task, "torch"))
    head, tail = cut(text, "epochs, learning_rate")
    space = run(head, task)
    weights = [_torch_pair(layer) for layer in space["linear"]]
    space["began"] = [(w.copy(), b.copy()) for w, b in weights]
    run(tail, task, space=space)
    x, y, _ = sample(task)
    return space, Whole(task, weights, as_cocktail(cocktail).resolve(3), training, activation).run(x, y)


def torch_parts(network):
    """All parameters and statistics in the order of `Whole.everything`."""
    torch = import_torch()
    linear = [m for m in network if isinstance(m, torch.nn.Linear)]
    norms = [m for m in network if isinstance(m, torch.nn.BatchNorm1d)]
    parts = [p for m in linear for p in (m.weight, m.bias)] + [p for m in norms for p in (m.weight, m.bias)]
    return [p.detach().numpy() for p in [*parts, *(b for m in norms for b in (m.running_mean, m.running_var))]]


@pytest.mark.parametrize("cocktail", RICH)
def test_torch_script_takes_our_steps_with_every_ingredient(cocktail):
    import_torch()
    tasks = ("binary", "multiclass") if "smoothing" in cocktail else ("multiclass", "regression")
    for task in tasks:
        training = Training(**TRAININGS[RICH[cocktail]], epochs=STEPS, batch_size=None, precision="float64",
                            loss=LOSSES[task], class_weights=WEIGHTED[task])  # fmt: skip
        space, ours = whole_against_torch(cocktail, training, task)
        # PyTorch adds 1e-6 to a norm of about 0.1; processors differ in the order of sums, which batch norm magnifies.
        tolerance = 2e-4 if "clipping" in cocktail else 1e-8 if "batch_norm" in cocktail else 1e-9
        assert furthest(ours.everything(), torch_parts(space["network"])) < tolerance
        if "ema" in cocktail:
            assert furthest(ours.average, torch_parts(space["average"])) < tolerance
            assert furthest(ours.everything(), ours.average) > 1e-6
            space["average"].load_state_dict(space["network"].state_dict())
        if "group_lasso" in cocktail:
            dead = (ours.weights[0][0] == 0).all(0)
            assert ((space["linear"][0].weight.detach().numpy() == 0).all(0) == dead).all()
        check_predictions(space, task)


def test_torch_script_with_an_ingredient_removed_would_be_caught():
    import_torch()
    for cocktail in RICH:
        training = Training(**TRAININGS[RICH[cocktail]], epochs=STEPS, batch_size=None, precision="float64")
        for item in as_cocktail(cocktail).ingredients:
            if item.name == "ema":
                continue
            rest = Cocktail(tuple(i for i in as_cocktail(cocktail).ingredients if i != item))
            space, _ = whole_against_torch(rest, training, "multiclass")
            strengths = as_cocktail(cocktail).resolve(3)
            full = Whole("multiclass", space["began"], strengths, training, "tanh").run(*sample("multiclass")[:2])
            assert furthest(full.everything()[:6], torch_parts(space["network"])[:6]) > 1e-3, (cocktail, item)


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber", "huber:0.3", "quantile:0.9", "quantile"])
@pytest.mark.parametrize("schedule", ["one_cycle", "flat_cosine"])
def test_torch_script_has_our_losses_and_schedules(loss, schedule):
    import_torch()
    training = Training("adam", 0.02, STEPS, None, schedule, precision="float64", loss=loss)
    space, ours = whole_against_torch("none", training, "regression", "leaky_relu")
    assert furthest(ours.everything(), torch_parts(space["network"])) < 1e-9
    check_predictions(space, "regression")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("weights", ["balanced", "given", None])
def test_torch_script_weighs_classes(task, weights):
    import_torch()
    given = {"balanced": "balanced", None: None, "given": (0.5, 2.0) if task == "binary" else (1.0, 0.0, 5.0)}
    training = Training("gd", 0.1, STEPS, None, precision="float64", class_weights=given[weights])
    space, ours = whole_against_torch("mixup=0.4", training, task)
    assert furthest(ours.everything(), torch_parts(space["network"])) < 1e-9


@pytest.mark.parametrize("task", TASKS)
def test_torch_script_with_everything_at_random(task):
    torch = import_torch()
    classes = task != "regression"
    cocktail = "batch_norm + dropout=(0.2, 0.1):schedule=cosine + input_dropout=0.1:schedule=one_cycle + ema=0.9"
    cocktail += " + input_noise=0.1 + mixup=0.2 + gradient_clipping=1 + max_norm=3 + early_stopping=6:min_delta=0.001"
    cocktail += ":on=score + label_smoothing=0.1" if classes else ""
    training = Training(learning_rate=0.02, epochs=40, batch_size=25, schedule="one_cycle",
                        class_weights="balanced" if classes else None)  # fmt: skip
    text = text_for(MLP((16, 8), "leaky_relu"), cocktail, training, task, "torch", rows=201, stop_share=0.25)
    space = run(text, task, rows=201)
    average, progress = space["average"], space["progress"]
    assert [m.p for m in space["network"] if isinstance(m, torch.nn.Dropout)] == pytest.approx(
        [p * schedule_factor(name, progress) for p, name in ((0.1, "one_cycle"), (0.2, "cosine"), (0.1, "cosine"))]
    )
    assert not average.training
    with torch.no_grad():
        outputs = average(space["stop_inputs"])
        kept = space["loss_of"](outputs, space["stop_targets"]).item()
    found, y = check_predictions(space, task, rows=201)
    x, stop = data_for(task, rows=201)[0], space["stop"]
    on_stop = space["predict"](x[stop])
    if classes:
        right = on_stop.argmax(1) if task == "multiclass" else on_stop > 0.5
        assert space["best_score"] == pytest.approx(np.mean(right == y[stop]))
        assert space["best_score"] > 0.75
    else:
        assert space["best_loss"] == pytest.approx(kept, abs=1e-6)
        assert 1 - np.mean((found - y) ** 2) / np.var(y) > 0.6
    assert all(torch.linalg.vector_norm(layer.weight, dim=1).max() <= 3.0001 for layer in space["linear"])


def test_torch_script_spreads_the_cosine_over_all_steps():
    import_torch()
    training = Training(learning_rate=0.02, epochs=6, batch_size=16, schedule="cosine")
    space = run(text_for(MLP((4,)), "none", training, "binary", "torch"), "binary")
    steps = 6 * 3
    assert space["step"] == steps
    assert space["rate"] == pytest.approx(0.01 * (1 + math.cos(math.pi * (steps - 1) / steps)), rel=1e-12)


def test_torch_script_starts_as_we_do():
    import_torch()
    text = text_for(MLP((400, 300), "relu"), "none", Training(), "binary", "torch")
    space = run(cut(text, "epochs, learning_rate")[0], "binary")
    spreads = [float(layer.weight.detach().std()) for layer in space["linear"]]
    assert spreads == pytest.approx([(2 / 5) ** 0.5, (2 / 400) ** 0.5, (1 / 300) ** 0.5], rel=0.15)
    assert not any(layer.bias.any() for layer in space["linear"])
