"""The script for PyTorch: an explicit loop, so that every ingredient is exact."""

from __future__ import annotations

from wellfit.cocktail import L2, WeightDecay
from wellfit.messages import say
from wellfit.nets.code import torch_steps
from wellfit.nets.code.recipe import Recipe, class_weights, comment, data, number, numbers, per_layer
from wellfit.nets.network import LEAK

_ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "tanh": "nn.Tanh()",
    "gelu": "nn.GELU()",
    "silu": "nn.SiLU()",
    "leaky_relu": f"nn.LeakyReLU({LEAK})",
}
_LINKS = {
    "binary": "torch.sigmoid(outputs)[:, 0].numpy()",
    "multiclass": "torch.softmax(outputs, dim=1).numpy()",
    "regression": "outputs[:, 0].numpy() * y_scale + y_mean",
}


def write(recipe: Recipe) -> list[str]:
    """Return the lines of the script, after its header."""
    decays, penalty, shrink = _regularization(recipe)
    modules = [*(["copy"] if recipe.stops or recipe.strengths.ema else [])]
    modules += ["math"] if recipe.scheduled or recipe.strengths.schedules else []
    precision, evaluated = recipe.training.precision, torch_steps.evaluated(recipe)
    return [
        *comment("draws"),
        *[f"import {module}" for module in modules],
        *([""] if modules else []),
        "import numpy as np",
        "import torch",
        "from torch import nn",
        *(["from torch.nn import functional"] if torch_steps.functional(recipe) else []),
        "",
        f"torch.manual_seed({recipe.seed})",
        *data(recipe, split=recipe.stops),
        *class_weights(recipe),
        *_tensors(recipe, "train", "inputs", "targets"),
        *(_tensors(recipe, "stop", "stop_inputs", "stop_targets") if recipe.stops else []),
        *_weights(recipe),
        *(comment("left_out", reason=say("dialects.augment_torch")) if recipe.strengths.augment else []),
        *_network(recipe),
        *_optimizer(recipe, decays),
        *torch_steps.loop(recipe, penalty, shrink),
        "",
        f"{evaluated}.eval()",
        "",
        "",
        "def predict(X):",
        *comment(f"predict_{recipe.task}", "    "),
        "    with torch.no_grad():",
        f"        outputs = {evaluated}(torch.as_tensor(np.asarray(X), dtype=torch.{precision}))",
        f"    return {_LINKS[recipe.task]}",
    ]


def _regularization(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return per layer: weight_decay for the optimizer, L2 by hand, decay by hand.

    PyTorch's coupled weight_decay reads the weights when it steps, so beside a decay by hand L2 is added to the
    gradient, as is one that follows a schedule.
    """
    layers, s = recipe.network.layers, recipe.strengths
    none = (0.0,) * layers
    if {"l2", "weight_decay"} & set(s.schedules):
        return none, s.l2, s.weight_decay
    if not any(s.weight_decay) or recipe.plain:
        name = "torch-adam" if recipe.adaptive else "torch-sgd"
        kinds = (L2,) if recipe.adaptive else (L2, WeightDecay)
        return per_layer(recipe.arguments(name, *kinds)["weight_decay"], layers), none, none
    if recipe.adaptive:
        decays = recipe.arguments("torch-adamw", WeightDecay)["weight_decay"]
        return per_layer(decays, layers), s.l2, none
    return none, s.l2, s.weight_decay


def _tensors(recipe: Recipe, part: str, inputs: str, targets: str) -> list[str]:
    precision = f"torch.{recipe.training.precision}"
    lines = [f"{inputs} = torch.as_tensor(X_{part})"]
    if recipe.task == "multiclass" and part == "train" and recipe.strengths.mixup:
        one_hot = f"functional.one_hot(torch.as_tensor(y_{part}), {recipe.outputs})"
        return [*lines, f"{targets} = {one_hot}.to({precision})"]
    if recipe.task == "multiclass":
        return [*lines, f"{targets} = torch.as_tensor(y_{part})"]
    return [*lines, f"{targets} = torch.as_tensor(y_{part}, dtype={precision}).reshape(-1, 1)"]


def _weights(recipe: Recipe) -> list[str]:
    if recipe.training.class_weights is None:
        return []
    shape = "" if recipe.task == "multiclass" else ".reshape(-1, 1)"
    return [f"weights = torch.as_tensor(row_weights){shape}"]


def _network(recipe: Recipe) -> list[str]:
    s, widths = recipe.strengths, (recipe.inputs, *recipe.network.hidden)
    lines = ["", "network = nn.Sequential("]
    lines += [f"    nn.Dropout({number(s.input_dropout)}),"] if s.input_dropout else []
    for i, width in enumerate(recipe.network.hidden):
        lines += [f"    nn.Linear({widths[i]}, {width}),"]
        lines += [f"    nn.BatchNorm1d({width}),"] if s.batch_norm else []
        lines += [f"    {_ACTIVATIONS[recipe.network.activation]},"]
        rate = s.dropout[i]
        lines += [f"    nn.Dropout({number(rate)}),"] if rate else []
    return [
        *lines,
        f"    nn.Linear({widths[-1]}, {recipe.outputs}),",
        f").to(torch.{recipe.training.precision})",
        "linear = [layer for layer in network if isinstance(layer, nn.Linear)]",
        *comment("start_weights"),
        f"for layer, gain in zip(linear, {numbers(recipe.gains)}):",
        "    nn.init.normal_(layer.weight, std=(gain / layer.in_features) ** 0.5)",
        "    nn.init.zeros_(layer.bias)",
    ]


def _optimizer(recipe: Recipe, decays: tuple[float, ...]) -> list[str]:
    t = recipe.training
    options = "lr=learning_rate"
    if t.momentum:
        options += f", momentum={number(t.momentum)}" + (", nesterov=True" if t.nesterov else "")
    kind = "SGD"
    if recipe.adaptive:
        kind = "AdamW" if any(decays) and any(recipe.strengths.weight_decay) else "Adam"
    first = ["", f"epochs, learning_rate = {int(t.epochs)}, {number(t.learning_rate)}"]
    if not any(decays):
        return [*first, f"optimizer = torch.optim.{kind}(network.parameters(), {options})"]
    return [
        *first,
        *comment("torch_groups"),
        "groups = [",
        '    {"params": [layer.weight], "weight_decay": decay}',
        f"    for layer, decay in zip(linear, {numbers(decays)})",
        "]",
        "others = [parameter for parameter in network.parameters() if parameter.ndim == 1]",
        'groups.append({"params": others, "weight_decay": 0.0})',
        f"optimizer = torch.optim.{kind}(groups, {options})",
    ]
