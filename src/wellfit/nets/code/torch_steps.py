"""The training loop of the script for PyTorch: batches, early stopping, and each part of one step."""

from __future__ import annotations

import math

from wellfit.cocktail.schedules import FIRST, LAST, WARM_UP
from wellfit.nets.code.recipe import Recipe, comment, number, numbers

_LOSSES = {
    "binary": "nn.BCEWithLogitsLoss()",
    "multiclass": "nn.CrossEntropyLoss()",
    "squared": "nn.MSELoss()",
    "absolute": "nn.L1Loss()",
    "huber": "nn.HuberLoss(delta={})",
}
_HITS = {"binary": "(outputs > 0) == (stop_targets > 0.5)", "multiclass": "outputs.argmax(1) == stop_targets"}
_CHECKPOINTS = "checkpoints = set(np.round(np.linspace(0, epochs, min(epochs, 255) + 1)).astype(int).tolist())"
_SCHEDULES = {
    "cosine": ["    return (1 + math.cos(math.pi * progress)) / 2"],
    "flat_cosine": ["    return (1 + math.cos(math.pi * max(2 * progress - 1, 0))) / 2"],
    "one_cycle": [
        f"    start, end, share = {number(FIRST)}, 1.0, progress / {WARM_UP}",
        f"    if progress >= {WARM_UP}:",
        f"        start, end, share = 1.0, {number(LAST)}, (progress - {WARM_UP}) / {1 - WARM_UP}",
        "    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2",
    ],
}


def evaluated(recipe: Recipe) -> str:
    """Return the name of the network that is evaluated: the average where there is one."""
    return "average" if recipe.strengths.ema else "network"


def functional(recipe: Recipe) -> bool:
    """Whether the script needs ``torch.nn.functional``: for losses of rows or smoothed labels, or one-hot targets."""
    s = recipe.strengths
    return recipe.training.class_weights is not None or (
        recipe.task == "multiclass" and bool(s.mixup or s.label_smoothing)
    )


def loop(recipe: Recipe, penalty: tuple[float, ...], shrink: tuple[float, ...]) -> list[str]:
    """Return the lines from the loss to the last step; ``penalty`` (L2) and ``shrink`` (decay) are those by hand."""
    t, s, stop = recipe.training, recipe.strengths, recipe.strengths.early_stopping
    lines = [*_schedules(recipe), *_loss(recipe), "step = 0"]
    if s.mixup:
        lines += [f"beta = torch.distributions.Beta({number(s.mixup)}, {number(s.mixup)})"]
    if s.ema:
        lines += ["average = copy.deepcopy(network).eval()"]
    if "dropout" in s.schedules:
        hidden = "network[1:]" if s.input_dropout else "network"
        lines += [f"drops = [layer for layer in {hidden} if isinstance(layer, nn.Dropout)]"]
    if stop:
        worst = 'best_score, best_weights, waited = float("-inf"), None, 0'
        lines += [worst if recipe.on_score else 'best_loss, best_weights, waited = float("inf"), None, 0', _CHECKPOINTS]
    lines += [f"for epoch in range(epochs{' + 1' if stop else ''}):"]
    if stop:
        lines += [*comment("torch_stop", "    "), *_look(recipe, stop.patience, stop.min_delta)]
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
    lines += _step(recipe, penalty, shrink)
    return [*lines, *([f"{evaluated(recipe)}.load_state_dict(best_weights)"] if stop else [])]


def _schedules(recipe: Recipe) -> list[str]:
    """Return a function of progress, 0 to 1, for each schedule in use."""
    used = {recipe.training.schedule, *recipe.strengths.schedules.values()}
    lines: list[str] = []
    for name, body in _SCHEDULES.items():
        if name in used:
            lines += ["", "", f"def {name}(progress):", *body]
    return [*lines, "", ""] if lines else []


def _loss(recipe: Recipe) -> list[str]:
    """Return the lines of the plain loss: in evaluation, and in training where nothing is mixed into it."""
    name, parameter = recipe.loss
    if name == "quantile":
        low, high = number(parameter - 1), number(parameter)
        return [
            "",
            "",
            "def loss_of(outputs, targets):",
            "    rest = targets - outputs",
            f"    return torch.maximum({high} * rest, {low} * rest).mean()",
            "",
            "",
        ]
    kind = name if recipe.task == "regression" else recipe.task
    return [f"loss_of = {_LOSSES[kind].format(number(parameter))}"]


def _look(recipe: Recipe, patience: int, min_delta: float) -> list[str]:
    """Return the lines that watch the stop rows at a checkpoint."""
    outputs = f"{evaluated(recipe)}(stop_inputs)"
    name, sign, better = ("stop_score", "+", ">") if recipe.on_score else ("stop_loss", "-", "<")
    best = name.replace("stop", "best")
    margin = f" {sign} {number(min_delta)}" if min_delta else ""
    if recipe.on_score:
        watched = [
            f"            outputs = {outputs}",
            f"            stop_score = ({_HITS[recipe.task]}).double().mean().item()",
        ]
    else:
        watched = [f"            stop_loss = loss_of({outputs}, stop_targets).item()"]
    return [
        "    if epoch in checkpoints:",
        *([] if recipe.strengths.ema else ["        network.eval()"]),
        "        with torch.no_grad():",
        *watched,
        f"        if best_weights is None or {name} {better} {best}{margin}:",
        f"            {best}, waited = {name}, 0",
        f"            best_weights = copy.deepcopy({evaluated(recipe)}.state_dict())",
        "        else:",
        "            waited += 1",
        f"    if epoch == epochs or waited >= {patience}:",
        "        break",
    ]


def _now(recipe: Recipe, name: str, text: str | float) -> str:
    """Return the text of a strength at this step: times its schedule's factor; a bound is divided by it."""
    text = text if isinstance(text, str) else number(text)
    schedule = recipe.strengths.schedules.get(name)
    sign = "/" if name in ("max_norm", "gradient_clipping") else "*"
    return f"{text} {sign} {schedule}(progress)" if schedule else text


def _step(recipe: Recipe, penalty: tuple[float, ...], shrink: tuple[float, ...]) -> list[str]:
    """Return the lines of one step: batch, gradient, clipping, L2 and decay by hand, step, prox, bound, average."""
    s, rate = recipe.strengths, "learning_rate"
    lines = ["    for rows in batches:"]
    if recipe.scheduled or s.schedules:
        lines += ["        progress = step / (epochs * len(batches))"]
    if recipe.scheduled:
        lines += [
            f"        rate = learning_rate * {recipe.training.schedule}(progress)",
            "        for group in optimizer.param_groups:",
            '            group["lr"] = rate',
        ]
        rate = "rate"
    lines += [*_batch(recipe), "        loss.backward()"]
    if s.gradient_clipping < math.inf:
        bound = _now(recipe, "gradient_clipping", s.gradient_clipping)
        lines += [*comment("torch_clipping", "        ")]
        lines += [f"        nn.utils.clip_grad_norm_(network.parameters(), {bound})"]
    if any(penalty):
        lines += [
            *comment("torch_penalty", "        "),
            f"        for layer, l2 in zip(linear, {numbers(penalty)}):",
            f"            layer.weight.grad.add_(layer.weight.detach(), alpha={_now(recipe, 'l2', 'l2')})",
        ]
    if any(shrink):
        lines += [
            *comment("torch_decay", "        "),
            "        with torch.no_grad():",
            f"            for layer, decay in zip(linear, {numbers(shrink)}):",
            f"                layer.weight.mul_(1 - {rate} * {_now(recipe, 'weight_decay', 'decay')})",
        ]
    lines += ["        optimizer.step()", "        step += 1"]
    lines += _prox(recipe, rate) if any(s.l1) else []
    lines += _group_prox(recipe, rate) if s.group_lasso else []
    lines += _bound(recipe) if any(map(math.isfinite, s.max_norm)) else []
    return lines + (_average(recipe) if s.ema else [])


def _batch(recipe: Recipe) -> list[str]:
    """Return the lines from a batch to its loss: mixup, noise, smoothing, weights; dropout at its rate of now."""
    s, weighted = recipe.strengths, recipe.training.class_weights is not None
    lines: list[str] = []
    if "dropout" in s.schedules:
        rates = numbers(rate for rate in s.dropout if rate)
        lines += [f"        for layer, rate_of in zip(drops, {rates}):"]
        lines += [f"            layer.p = {_now(recipe, 'dropout', 'rate_of')}"]
    if "input_dropout" in s.schedules:
        lines += [f"        network[0].p = {_now(recipe, 'input_dropout', s.input_dropout)}"]
    if not (weighted or s.mixup or s.input_noise or s.label_smoothing):
        lines += ["        optimizer.zero_grad()"]
        return [*lines, "        loss = loss_of(network(inputs[rows]), targets[rows])"]
    parts = "x, y, w" if weighted else "x, y"
    lines += [f"        {parts} = inputs[rows], targets[rows]{', weights[rows]' if weighted else ''}"]
    if s.mixup:
        share = "(1 - beta.sample().item())" if "mixup" in s.schedules else "1 - beta.sample().item()"
        lines += [
            *comment("torch_mixup", "        "),
            f"        share = {_now(recipe, 'mixup', share)}",
            "        distance = int(torch.randint(1, len(x), ())) if len(x) > 1 else 0",
            f"        {parts} = (part + share * (part.roll(-distance, 0) - part) for part in ({parts}))",
        ]
    if s.input_noise:
        noise = _now(recipe, "input_noise", s.input_noise)
        lines += [*comment("torch_noise", "        "), f"        x = x + {noise} * torch.randn_like(x)"]
    if s.label_smoothing:
        lines += [f"        smoothing = {_now(recipe, 'label_smoothing', s.label_smoothing)}"]
        lines += ["        y = (1 - smoothing) * y + smoothing / 2"] if recipe.task == "binary" else []
    return [*lines, "        optimizer.zero_grad()", f"        loss = {_training_loss(recipe)}"]


def _training_loss(recipe: Recipe) -> str:
    """Return the mean loss of a batch (x, y) with weights w; PyTorch's own class weights divide by their sum."""
    weighted, smoothed = recipe.training.class_weights is not None, bool(recipe.strengths.label_smoothing)
    if recipe.task == "binary" and weighted:
        return "functional.binary_cross_entropy_with_logits(network(x), y, weight=w)"
    if recipe.task == "multiclass" and (weighted or smoothed):
        options = (", label_smoothing=smoothing" if smoothed else "") + (', reduction="none"' if weighted else "")
        losses = f"functional.cross_entropy(network(x), y{options})"
        return f"({losses} * w).mean()" if weighted else losses
    return "loss_of(network(x), y)"


def _prox(recipe: Recipe, rate: str) -> list[str]:
    """Return the lines of the proximal step of L1, with the optimizer's own step for each weight."""
    strength = _now(recipe, "l1", "l1")
    lines = [
        *comment("torch_prox", "        "),
        "        with torch.no_grad():",
        f"            for layer, l1 in zip(linear, {numbers(recipe.strengths.l1)}):",
        "                weight = layer.weight",
    ]
    if recipe.adaptive:
        lines += [
            '                mean_square = optimizer.state[weight]["exp_avg_sq"] / (1 - 0.999**step)',
            f"                threshold = {strength} * {rate} / (mean_square.sqrt() + 1e-8)",
        ]
    else:
        lines += [f"                threshold = {strength} * {rate}{_momentum(recipe)}"]
    return [*lines, "                weight.copy_(weight.sign() * (weight.abs() - threshold).clamp(min=0))"]


def _momentum(recipe: Recipe) -> str:
    return f" / (1 - {number(recipe.training.momentum)})" if recipe.training.momentum else ""


def _group_prox(recipe: Recipe, rate: str) -> list[str]:
    strength = _now(recipe, "group_lasso", recipe.strengths.group_lasso)
    return [
        *comment("torch_group_lasso", "        "),
        "        with torch.no_grad():",
        "            norms = linear[0].weight.norm(dim=0, keepdim=True)",
        f"            shorter = (norms - {strength} * {rate}{_momentum(recipe)}).clamp(min=0)",
        "            linear[0].weight.mul_(torch.where(norms > 0, shorter / norms, 0))",
    ]


def _bound(recipe: Recipe) -> list[str]:
    return [
        *comment("torch_max_norm", "        "),
        "        with torch.no_grad():",
        f"            for layer, bound in zip(linear, {numbers(recipe.strengths.max_norm)}):",
        "                norms = layer.weight.norm(dim=1, keepdim=True)",
        f"                layer.weight.mul_(({_now(recipe, 'max_norm', 'bound')} / norms).clamp(max=1))",
    ]


def _average(recipe: Recipe) -> list[str]:
    kept = _now(recipe, "ema", recipe.strengths.ema)
    return [
        *comment("torch_ema", "        "),
        f"        kept = min({kept}, step / (9 + step))",
        "        with torch.no_grad():",
        "            for mean, new in zip(average.state_dict().values(), network.state_dict().values()):",
        "                mean.copy_(mean + (1 - kept) * (new - mean))",
    ]
