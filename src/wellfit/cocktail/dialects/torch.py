"""PyTorch: SGD and Adam add weight_decay * w to the gradient (coupled), AdamW shrinks the weights (decoupled)."""

from __future__ import annotations

import math

from wellfit.cocktail.base import Ingredient
from wellfit.cocktail.dialects.base import REQUIRED, Answer, Dialect, Fit, NoEquivalent, Parts, active, bounded, mix
from wellfit.cocktail.ingredients import L2, BatchNorm, GradientClipping, WeightDecay
from wellfit.cocktail.mixing import Cocktail
from wellfit.cocktail.noise import Dropout, InputDropout, LabelSmoothing
from wellfit.messages import say


def _common(parts: Parts, answer: Answer) -> None:
    if active(parts.l1):
        answer.refuse("torch_l1")
    if active(parts.dropout):
        answer.arguments["dropout"] = parts.dropout
        answer.note("torch_dropout")
    if parts.early_stopping:
        answer.refuse("torch_early_stopping")
    if active(parts.weight_decay if answer.fit.dialect == "torch-adamw" else parts.l2):
        answer.note("torch_groups")
    if parts.batch_norm:
        answer.arguments["batch_norm"] = True
        answer.note("torch_batch_norm")
    if parts.input_dropout:
        answer.arguments["input_dropout"] = parts.input_dropout
        answer.note("torch_input_dropout")
    if bounded(parts.gradient_clipping):
        answer.arguments["clip_grad_norm"] = parts.gradient_clipping
        answer.note("torch_clipping")
    if parts.label_smoothing:
        answer.arguments["label_smoothing"] = parts.label_smoothing
        answer.note("torch_smoothing")
        task = answer.fit.need("task")
        if task != "multiclass":
            answer.refuse("smoothing_task" if task == "regression" else "torch_smoothing_binary")


def _speak_coupled(parts: Parts, answer: Answer) -> None:
    if answer.fit.dialect == "torch-sgd":
        parts = parts.coupled(answer.fit)
    answer.arguments["weight_decay"] = parts.l2
    if active(parts.weight_decay):
        answer.refuse("torch_decoupled")
    _common(parts, answer)


def _speak_decoupled(parts: Parts, answer: Answer) -> None:
    answer.arguments["weight_decay"] = parts.weight_decay
    if active(parts.l2):
        answer.refuse("torch_coupled")
    _common(parts, answer)


def _read(arguments: dict, fit: Fit) -> Cocktail | NoEquivalent:
    kind = WeightDecay if fit.dialect == "torch-adamw" else L2
    decay = kind(arguments["weight_decay"])
    if active(decay.strength) and arguments["biases"]:
        return NoEquivalent(fit.dialect, (say("dialects.biases"),))
    parts: list[Ingredient] = [decay, Dropout(arguments["dropout"]), InputDropout(arguments["input_dropout"])]
    parts += [LabelSmoothing(arguments["label_smoothing"]), GradientClipping(arguments["clip_grad_norm"])]
    return mix([*parts, BatchNorm()] if arguments["batch_norm"] else parts)


_ARGUMENTS = {
    "weight_decay": REQUIRED,
    "biases": False,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "batch_norm": False,
    "label_smoothing": 0.0,
    "clip_grad_norm": math.inf,
}
_SAYS = ("batch_norm", "input_dropout", "label_smoothing", "gradient_clipping")
TORCH = tuple(
    Dialect(name, _ARGUMENTS, speak, _read, _SAYS, {"": "torch_by_hand", "augment": "augment_torch"})
    for name, speak in (
        ("torch-sgd", _speak_coupled),
        ("torch-adam", _speak_coupled),
        ("torch-adamw", _speak_decoupled),
    )
)
