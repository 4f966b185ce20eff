"""Keras: kernel_regularizer L1(l) and L2(l) add l sum|W| and l sum W^2 to the loss; weight_decay is decoupled."""

from __future__ import annotations

from wellfit.cocktail.dialects.base import (
    Answer,
    Dialect,
    Fit,
    NoEquivalent,
    Parts,
    active,
    each,
    mix,
    penalties,
    scale,
)
from wellfit.cocktail.ingredients import Dropout, EarlyStopping, Ingredient, WeightDecay
from wellfit.cocktail.mixing import Cocktail
from wellfit.messages import say


def _speak(parts: Parts, answer: Answer) -> None:
    if active(parts.weight_decay) and len(set(each(parts.weight_decay)) - {0.0}) > 1:
        if not answer.fit.plain:
            answer.refuse("keras_decay_per_layer")
        parts = parts.coupled(answer.fit)
    if active(parts.l1):
        answer.arguments["l1"] = parts.l1
        answer.note("keras_l1")
    if active(parts.l2):
        answer.arguments["l2"] = scale(parts.l2, 0.5)
    if active(parts.weight_decay):
        answer.arguments["weight_decay"] = parts.weight_decay
        answer.note("keras_decay")
    if active(parts.dropout):
        answer.arguments["dropout"] = parts.dropout
    if parts.early_stopping:
        answer.arguments["patience"] = parts.early_stopping.patience
        answer.arguments["min_delta"] = parts.early_stopping.min_delta
        answer.note("keras_early_stopping")


def _read(arguments: dict, fit: Fit) -> Cocktail | NoEquivalent:
    l1, l2 = penalties(arguments["l1"], arguments["l2"], (1.0, 2.0))
    parts: list[Ingredient] = [l1, l2, WeightDecay(arguments["weight_decay"]), Dropout(arguments["dropout"])]
    if arguments["biases"] and any(active(p.strength) for p in parts[:3]):  # type: ignore[attr-defined]
        return NoEquivalent(fit.dialect, (say("dialects.biases"),))
    if arguments["patience"] is not None:
        parts.append(EarlyStopping(arguments["patience"], arguments["min_delta"]))
    return mix(parts)


KERAS = Dialect(
    "keras",
    {"l1": 0.0, "l2": 0.0, "weight_decay": 0.0, "dropout": 0.0, "patience": None, "min_delta": 0.0, "biases": False},
    _speak,
    _read,
)
