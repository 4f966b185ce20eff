"""The script for Keras: layers with regularizers, compile and fit."""

from __future__ import annotations

import math

from wellfit.cocktail import L1, L2, WeightDecay
from wellfit.cocktail.dialects import Equivalent, NoEquivalent
from wellfit.nets.code import keras_fit
from wellfit.nets.code.recipe import (
    Recipe,
    class_weights,
    comment,
    data,
    left_out,
    number,
    per_layer,
)
from wellfit.nets.network import LEAK

_LINKS = {
    "binary": "keras.ops.convert_to_numpy(keras.ops.sigmoid(outputs))[:, 0]",
    "multiclass": "keras.ops.convert_to_numpy(keras.ops.softmax(outputs))",
    "regression": "outputs[:, 0] * y_scale + y_mean",
}
_SAID = ("max_norm", "batch_norm", "dropout", "input_dropout", "input_noise", "label_smoothing", "gradient_clipping")


def write(recipe: Recipe) -> list[str]:
    """Return the lines of the script, after its header."""
    penalties, decay, reasons = _regularization(recipe)
    double = recipe.training.precision == "float64"
    return [
        *comment("draws"),
        "import keras",
        "import numpy as np",
        "",
        f"keras.utils.set_random_seed({recipe.seed})",
        *(['keras.config.set_floatx("float64")'] if double else []),
        *data(recipe, split=recipe.stops),
        *class_weights(recipe),
        *_columns(recipe),
        *_network(recipe, penalties),
        *[line for reason in reasons for line in comment("left_out", reason=reason)],
        *left_out(recipe, "keras", _SAID),
        *keras_fit.optimizer(recipe, decay, penalized=any(l1 or l2 for l1, l2 in penalties)),
        *keras_fit.fit(recipe),
        "",
        "",
        "def predict(X):",
        *comment(f"predict_{recipe.task}", "    "),
        f'    outputs = model.predict(np.asarray(X, dtype="{recipe.training.precision}"), verbose=0)',
        f"    return {_LINKS[recipe.task]}",
    ]


def _regularization(recipe: Recipe) -> tuple[list[tuple[float, float]], tuple[float, ...], tuple[str, ...]]:
    """Return Keras's (l1, l2) per layer, its weight_decay per layer, and the reasons for what is left out."""
    told = recipe.told("keras", L1, L2, WeightDecay)
    reasons = told.reasons if isinstance(told, NoEquivalent) else ()
    arguments = told.arguments if isinstance(told, Equivalent) else recipe.arguments("keras", L1, L2)
    l1, l2, decay = (per_layer(arguments.get(k, 0.0), recipe.network.layers) for k in ("l1", "l2", "weight_decay"))
    return list(zip(l1, l2, strict=True)), decay, reasons


def _columns(recipe: Recipe) -> list[str]:
    """Return the lines that give the targets the shape that the loss wants: one column, or one-hot rows."""
    parts = ("train", "stop") if recipe.stops else ("train",)
    if recipe.task != "multiclass":
        return [f"y_{part} = y_{part}.reshape(-1, 1)" for part in parts]
    if keras_fit.one_hot(recipe):
        return [f"y_{part} = np.eye({recipe.outputs})[y_{part}]" for part in parts]
    return []


def _network(recipe: Recipe, penalties: list[tuple[float, float]]) -> list[str]:
    lines = [
        "",
        "",
        "def normal(gain):",
        *comment("start_weights", "    "),
        '    return keras.initializers.VarianceScaling(gain, mode="fan_in", distribution="untruncated_normal")',
        "",
        "",
        *(comment("keras_l1") if any(l1 for l1, _ in penalties) else []),
        *(comment("keras_max_norm") if any(map(math.isfinite, recipe.strengths.max_norm)) else []),
        *(comment("keras_batch_norm") if recipe.strengths.batch_norm else []),
        "model = keras.Sequential(",
        "    [",
        f"        keras.Input(shape=({recipe.inputs},)),",
    ]
    s, activation = recipe.strengths, recipe.network.activation
    lines += [f"        keras.layers.GaussianNoise({number(s.input_noise)}),"] if s.input_noise else []
    lines += [f"        keras.layers.Dropout({number(s.input_dropout)}),"] if s.input_dropout else []
    apart = s.batch_norm or activation == "leaky_relu"  # the activation is a layer of its own
    widths = (*recipe.network.hidden, recipe.outputs)
    for i, (width, (l1, l2), gain) in enumerate(zip(widths, penalties, recipe.gains, strict=True)):
        hidden = i < len(recipe.network.hidden)
        lines += ["        keras.layers.Dense(", f"            {width},"]
        lines += [f'            activation="{activation}",'] if hidden and not apart else []
        lines += [f"            kernel_initializer=normal({number(gain)}),"]
        lines += [f"            kernel_regularizer=keras.regularizers.{_regularizer(l1, l2)},"] if l1 or l2 else []
        if math.isfinite(s.max_norm[i]):
            lines += [f"            kernel_constraint=keras.constraints.MaxNorm({number(s.max_norm[i])}, axis=0),"]
        lines += ["        ),"]
        if hidden and s.batch_norm:
            lines += ["        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),"]
        if hidden and apart:
            leaky = activation == "leaky_relu"
            layer = f"LeakyReLU(negative_slope={LEAK})" if leaky else f'Activation("{activation}")'
            lines += [f"        keras.layers.{layer},"]
        if hidden and s.dropout[i]:
            lines += [f"        keras.layers.Dropout({number(s.dropout[i])}),"]
    return [*lines, "    ]", ")"]


def _regularizer(l1: float, l2: float) -> str:
    if l1 and l2:
        return f"L1L2(l1={number(l1)}, l2={number(l2)})"
    return f"L1({number(l1)})" if l1 else f"L2({number(l2)})"
