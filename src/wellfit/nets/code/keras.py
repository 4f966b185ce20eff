"""The script for Keras: layers with regularizers, compile and fit."""

from __future__ import annotations

from wellfit.cocktail import L1, L2, WeightDecay
from wellfit.cocktail.dialects import Equivalent, NoEquivalent
from wellfit.nets.code.recipe import Recipe, comment, data, number, per_layer

_LOSSES = {
    "binary": ("BinaryCrossentropy", "from_logits=True"),
    "multiclass": ("SparseCategoricalCrossentropy", "from_logits=True"),
    "regression": ("MeanSquaredError", ""),
}
_LINKS = {
    "binary": "keras.ops.convert_to_numpy(keras.ops.sigmoid(outputs))[:, 0]",
    "multiclass": "keras.ops.convert_to_numpy(keras.ops.softmax(outputs))",
    "regression": "outputs[:, 0] * y_scale + y_mean",
}


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
        *([] if recipe.task == "multiclass" else _columns(recipe)),
        *_network(recipe, penalties),
        *[line for reason in reasons for line in comment("left_out", reason=reason)],
        *_optimizer(recipe, decay),
        *_fit(recipe),
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
    """Return the lines that give the targets of one output the shape of that output."""
    return [f"y_{part} = y_{part}.reshape(-1, 1)" for part in (("train", "stop") if recipe.stops else ("train",))]


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
        "model = keras.Sequential(",
        "    [",
        f"        keras.Input(shape=({recipe.inputs},)),",
    ]
    widths = (*recipe.network.hidden, recipe.outputs)
    for i, (width, (l1, l2), gain) in enumerate(zip(widths, penalties, recipe.gains, strict=True)):
        hidden = i < len(recipe.network.hidden)
        lines += ["        keras.layers.Dense(", f"            {width},"]
        lines += [f'            activation="{recipe.network.activation}",'] if hidden else []
        lines += [f"            kernel_initializer=normal({number(gain)}),"]
        lines += [f"            kernel_regularizer=keras.regularizers.{_regularizer(l1, l2)},"] if l1 or l2 else []
        lines += ["        ),"]
        if hidden and recipe.strengths.dropout[i]:
            lines += [f"        keras.layers.Dropout({number(recipe.strengths.dropout[i])}),"]
    return [*lines, "    ]", ")"]


def _regularizer(l1: float, l2: float) -> str:
    if l1 and l2:
        return f"L1L2(l1={number(l1)}, l2={number(l2)})"
    return f"L1({number(l1)})" if l1 else f"L2({number(l2)})"


def _optimizer(recipe: Recipe, decay: tuple[float, ...]) -> list[str]:
    t, rate = recipe.training, number(recipe.training.learning_rate)
    size = "len(X_train)" if t.batch_size is None else int(t.batch_size)
    lines = ["", f"epochs, batch_size = {int(t.epochs)}, {size}"]
    if recipe.cosine:
        if t.momentum:
            lines += comment("keras_momentum")
        lines += ["steps = epochs * -(-len(X_train) // batch_size)"]
        lines += [f"rate = keras.optimizers.schedules.CosineDecay({rate}, decay_steps=steps)"]
        rate = "rate"
    options = [rate]
    if t.momentum:
        options += [f"momentum={number(t.momentum)}", *(["nesterov=True"] if t.nesterov else [])]
    if any(decay):
        options += [f"weight_decay={number(max(decay))}"]
    kind = "SGD"
    if recipe.adaptive:
        kind = "AdamW" if any(decay) else "Adam"
        options += ["epsilon=1e-8"]
        lines += comment("adam_epsilon", library="Keras")
    lines += [f"optimizer = keras.optimizers.{kind}({', '.join(options)})"]
    if any(decay):
        bare = [i for i, d in enumerate(decay) if not d]
        kernels = f" + [dense[i].kernel for i in {bare}]" if bare else ""
        lines += [
            *comment("keras_decay"),
            'dense = [layer for layer in model.layers if hasattr(layer, "kernel")]',
            f"optimizer.exclude_from_weight_decay(var_list=[layer.bias for layer in dense]{kernels})",
        ]
    return lines


def _fit(recipe: Recipe) -> list[str]:
    t, stop = recipe.training, recipe.strengths.early_stopping
    kind, options = _LOSSES[recipe.task]
    watched = f'keras.metrics.{kind}(name="plain_loss"{", " + options if options else ""})'
    lines = [
        "model.compile(",
        "    optimizer=optimizer,",
        f"    loss=keras.losses.{kind}({options}),",
        *([f"    metrics=[{watched}],"] if stop else []),
        ")",
    ]
    if stop:
        lines += [
            *comment("keras_stop"),
            "stopping = keras.callbacks.EarlyStopping(",
            '    monitor="val_plain_loss",',
            '    mode="min",',
            f"    patience={recipe.patience_in_epochs},",
            f"    min_delta={number(stop.min_delta)},",
            "    restore_best_weights=True,",
            ")",
        ]
    if t.batch_size is not None and recipe.rows % int(t.batch_size) == 1 and recipe.rows > t.batch_size:
        lines += comment("single_row")
    return [
        *lines,
        "model.fit(",
        "    X_train,",
        "    y_train,",
        "    batch_size=batch_size,",
        "    epochs=epochs,",
        *(["    validation_data=(X_stop, y_stop),", "    callbacks=[stopping],"] if stop else []),
        "    verbose=0,",
        ")",
    ]
