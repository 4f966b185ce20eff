"""PyTorch: SGD and Adam add weight_decay * w to the gradient (coupled), AdamW shrinks the weights (decoupled)."""

from __future__ import annotations

from wellfit.cocktail.dialects.base import REQUIRED, Answer, Dialect, Fit, NoEquivalent, Parts, active, mix
from wellfit.cocktail.ingredients import L2, Dropout, WeightDecay
from wellfit.cocktail.mixing import Cocktail
from wellfit.messages import say


def _common(parts: Parts, answer: Answer) -> None:
    if active(parts.l1):
        answer.refuse("torch_l1")
    if active(parts.dropout):
        answer.arguments["dropout"] = parts.dropout
        answer.note("torch_dropout")
    if parts.early_stopping:
        answer.refuse("torch_early_stopping")
    if active(answer.arguments.get("weight_decay", 0.0)):
        answer.note("torch_groups")


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
    return mix((decay, Dropout(arguments["dropout"])))


_ARGUMENTS = {"weight_decay": REQUIRED, "biases": False, "dropout": 0.0}
TORCH = (
    Dialect("torch-sgd", _ARGUMENTS, _speak_coupled, _read),
    Dialect("torch-adam", _ARGUMENTS, _speak_coupled, _read),
    Dialect("torch-adamw", _ARGUMENTS, _speak_decoupled, _read),
)
