"""The script for PyTorch: an explicit loop, so that every ingredient is exact."""

from __future__ import annotations

from wellfit.cocktail import L2, WeightDecay
from wellfit.nets.code.recipe import Recipe, comment, data, number, numbers, per_layer

_ACTIVATIONS = {"relu": "nn.ReLU()", "tanh": "nn.Tanh()", "gelu": "nn.GELU()", "silu": "nn.SiLU()"}
_LOSSES = {"binary": "nn.BCEWithLogitsLoss()", "multiclass": "nn.CrossEntropyLoss()", "regression": "nn.MSELoss()"}
_LINKS = {
    "binary": "torch.sigmoid(outputs)[:, 0].numpy()",
    "multiclass": "torch.softmax(outputs, dim=1).numpy()",
    "regression": "outputs[:, 0].numpy() * y_scale + y_mean",
}


def write(recipe: Recipe) -> list[str]:
    """Return the lines of the script, after its header."""
    decays, penalty, shrink = _regularization(recipe)
    return [
        *comment("draws"),
        *(["import copy"] if recipe.stops else []),
        *(["import math"] if recipe.cosine else []),
        *([""] if recipe.stops or recipe.cosine else []),
        "import numpy as np",
        "import torch",
        "from torch import nn",
        "",
        f"torch.manual_seed({recipe.seed})",
        *data(recipe, split=recipe.stops),
        *_tensors(recipe, "train", "inputs", "targets"),
        *(_tensors(recipe, "stop", "stop_inputs", "stop_targets") if recipe.stops else []),
        *_network(recipe),
        *_optimizer(recipe, decays),
        *_loop(recipe, penalty, shrink),
        "",
        "network.eval()",
        "",
        "",
        "def predict(X):",
        *comment(f"predict_{recipe.task}", "    "),
        "    with torch.no_grad():",
        f"        outputs = network(torch.as_tensor(np.asarray(X), dtype=torch.{recipe.training.precision}))",
        f"    return {_LINKS[recipe.task]}",
    ]


def _regularization(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return per layer: weight_decay for the optimizer, L2 for the loss, decay by hand.

    PyTorch's coupled weight_decay reads the weights when it steps, so beside a decay by hand L2 stands in the loss.
    """
    layers, s = recipe.network.layers, recipe.strengths
    none = (0.0,) * layers
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
    if recipe.task == "multiclass":
        return [*lines, f"{targets} = torch.as_tensor(y_{part})"]
    return [*lines, f"{targets} = torch.as_tensor(y_{part}, dtype={precision}).reshape(-1, 1)"]


def _network(recipe: Recipe) -> list[str]:
    lines, widths = ["", "network = nn.Sequential("], (recipe.inputs, *recipe.network.hidden)
    for i, width in enumerate(recipe.network.hidden):
        lines += [f"    nn.Linear({widths[i]}, {width}),", f"    {_ACTIVATIONS[recipe.network.activation]},"]
        rate = recipe.strengths.dropout[i]
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
        kind = "AdamW" if any(recipe.strengths.weight_decay) else "Adam"
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
        'groups.append({"params": [layer.bias for layer in linear], "weight_decay": 0.0})',
        f"optimizer = torch.optim.{kind}(groups, {options})",
    ]


def _loop(recipe: Recipe, penalty: tuple[float, ...], shrink: tuple[float, ...]) -> list[str]:
    t, stop = recipe.training, recipe.strengths.early_stopping
    lines = [f"loss_of = {_LOSSES[recipe.task]}", "step = 0"]
    lines += [_BEST, _CHECKPOINTS] if stop else []
    lines += [f"for epoch in range(epochs{' + 1' if stop else ''}):"]
    if stop:
        lines += [*comment("torch_stop", "    "), *_look(stop.patience, stop.min_delta)]
    lines += ["    network.train()"]
    if t.batch_size is None:
        lines += [*comment("torch_full", "    "), "    batches = [slice(None)]"]
    else:
        lines += [
            f"    batches = list(torch.randperm(len(inputs)).split({int(t.batch_size)}))",
            "    if len(batches) > 1 and len(batches[-1]) == 1:",
            *comment("torch_merge", "        "),
            "        batches[-2:] = [torch.cat(batches[-2:])]",
        ]
    return [*lines, *_step(recipe, penalty, shrink), *(["network.load_state_dict(best_weights)"] if stop else [])]


_BEST = 'best_loss, best_weights, waited = float("inf"), None, 0'
_CHECKPOINTS = "checkpoints = set(np.round(np.linspace(0, epochs, min(epochs, 255) + 1)).astype(int).tolist())"


def _look(patience: int, min_delta: float) -> list[str]:
    """Return the lines that watch the stop rows at a checkpoint."""
    margin = f" - {number(min_delta)}" if min_delta else ""
    return [
        "    if epoch in checkpoints:",
        "        network.eval()",
        "        with torch.no_grad():",
        "            stop_loss = loss_of(network(stop_inputs), stop_targets).item()",
        f"        if best_weights is None or stop_loss < best_loss{margin}:",
        "            best_loss, best_weights, waited = stop_loss, copy.deepcopy(network.state_dict()), 0",
        "        else:",
        "            waited += 1",
        f"    if epoch == epochs or waited >= {patience}:",
        "        break",
    ]


def _step(recipe: Recipe, penalty: tuple[float, ...], shrink: tuple[float, ...]) -> list[str]:
    """Return the lines of one optimizer step: gradient, decay by hand, step, proximal step."""
    rate = "learning_rate"
    lines = ["    for rows in batches:"]
    if recipe.cosine:
        lines += [
            "        rate = learning_rate * 0.5 * (1 + math.cos(math.pi * step / (epochs * len(batches))))",
            "        for group in optimizer.param_groups:",
            '            group["lr"] = rate',
        ]
        rate = "rate"
    lines += ["        optimizer.zero_grad()", "        loss = loss_of(network(inputs[rows]), targets[rows])"]
    if any(penalty):
        lines += [
            f"        for layer, l2 in zip(linear, {numbers(penalty)}):",
            "            loss = loss + l2 / 2 * layer.weight.square().sum()",
        ]
    lines += ["        loss.backward()"]
    if any(shrink):
        lines += [
            *comment("torch_decay", "        "),
            "        with torch.no_grad():",
            f"            for layer, decay in zip(linear, {numbers(shrink)}):",
            f"                layer.weight.mul_(1 - {rate} * decay)",
        ]
    lines += ["        optimizer.step()", "        step += 1"]
    return lines + (_prox(recipe, rate) if any(recipe.strengths.l1) else [])


def _prox(recipe: Recipe, rate: str) -> list[str]:
    """Return the lines of the proximal step of L1, with the optimizer's own step for each weight."""
    lines = [
        *comment("torch_prox", "        "),
        "        with torch.no_grad():",
        f"            for layer, l1 in zip(linear, {numbers(recipe.strengths.l1)}):",
        "                weight = layer.weight",
    ]
    if recipe.adaptive:
        lines += [
            '                mean_square = optimizer.state[weight]["exp_avg_sq"] / (1 - 0.999**step)',
            f"                threshold = l1 * {rate} / (mean_square.sqrt() + 1e-8)",
        ]
    else:
        shared = f" / (1 - {number(recipe.training.momentum)})" if recipe.training.momentum else ""
        lines += [f"                threshold = l1 * {rate}{shared}"]
    return [*lines, "                weight.copy_(weight.sign() * (weight.abs() - threshold).clamp(min=0))"]
