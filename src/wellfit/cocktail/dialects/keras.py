"""Keras: kernel_regularizer L1(l) and L2(l) add l sum|W| and l sum W^2 to the loss; weight_decay is decoupled."""

from __future__ import annotations

import math

from wellfit.cocktail.base import Ingredient
from wellfit.cocktail.dialects.base import (
    Answer,
    Dialect,
    Fit,
    NoEquivalent,
    Parts,
    active,
    bounded,
    each,
    mix,
    penalties,
    scale,
)
from wellfit.cocktail.ingredients import EarlyStopping, GradientClipping, MaxNorm, WeightDecay
from wellfit.cocktail.mixing import Cocktail
from wellfit.cocktail.noise import Dropout, InputDropout, InputNoise, LabelSmoothing
from wellfit.errors import SettingError
from wellfit.messages import say

_WATCHED = {"val_loss": "loss", "val_accuracy": "score"}


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
        if parts.early_stopping.on == "score":
            answer.arguments["monitor"] = "val_accuracy"
            answer.note("keras_score")
        else:
            answer.note("keras_early_stopping")
    _speak_more(parts, answer)


def _speak_more(parts: Parts, answer: Answer) -> None:
    """Speak of what came beyond penalties, dropout and early stopping."""
    if bounded(parts.max_norm):
        answer.arguments["max_norm"] = parts.max_norm
        answer.note("keras_max_norm")
    if bounded(parts.gradient_clipping):
        answer.arguments["global_clipnorm"] = parts.gradient_clipping
        if active(parts.l1) or active(parts.l2):
            answer.refuse("keras_clipping")
    if parts.label_smoothing:
        answer.arguments["label_smoothing"] = parts.label_smoothing
        answer.note("keras_smoothing")
        if answer.fit.task == "regression":
            answer.refuse("smoothing_task")
    for name in ("input_noise", "input_dropout"):
        if getattr(parts, name):
            answer.arguments[name] = getattr(parts, name)
            answer.note(f"keras_{name}")


def _read(arguments: dict, fit: Fit) -> Cocktail | NoEquivalent:
    l1, l2 = penalties(arguments["l1"], arguments["l2"], (1.0, 2.0))
    parts: list[Ingredient] = [l1, l2, WeightDecay(arguments["weight_decay"]), Dropout(arguments["dropout"])]
    if arguments["biases"] and any(active(p.strength) for p in parts[:3]):  # type: ignore[attr-defined]  # all have one
        return NoEquivalent(fit.dialect, (say("dialects.biases"),))
    clipping = GradientClipping(arguments["global_clipnorm"])
    if clipping.acts and (l1.acts or l2.acts):
        return NoEquivalent(fit.dialect, (say("dialects.keras_clipping"),))
    parts += [MaxNorm(arguments["max_norm"]), clipping, LabelSmoothing(arguments["label_smoothing"])]
    parts += [InputNoise(arguments["input_noise"]), InputDropout(arguments["input_dropout"])]
    if arguments["patience"] is not None:
        if arguments["monitor"] not in _WATCHED:
            raise SettingError("dialects.bad_monitor", value=arguments["monitor"], known=", ".join(_WATCHED))
        watched = _WATCHED[arguments["monitor"]]
        parts.append(EarlyStopping(arguments["patience"], arguments["min_delta"], on=watched))
    return mix(parts)


KERAS = Dialect(
    "keras",
    {
        "l1": 0.0,
        "l2": 0.0,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "patience": None,
        "min_delta": 0.0,
        "monitor": "val_loss",
        "max_norm": math.inf,
        "global_clipnorm": math.inf,
        "label_smoothing": 0.0,
        "input_noise": 0.0,
        "input_dropout": 0.0,
        "biases": False,
    },
    _speak,
    _read,
    says=("max_norm", "gradient_clipping", "label_smoothing", "input_noise", "input_dropout"),
    reasons={
        "": "keras_lacks",
        "batch_norm": "keras_batch_norm",
        "ema": "keras_ema",
        "mixup": "keras_mixup",
        "augment": "augment_keras",
    },
)
