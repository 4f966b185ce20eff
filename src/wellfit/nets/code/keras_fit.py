"""The second half of the script for Keras: optimizer and its schedule, loss, early stopping, fit."""

from __future__ import annotations

import math

from wellfit.cocktail.schedules import FIRST, LAST, WARM_UP
from wellfit.messages import say
from wellfit.nets.code.recipe import Recipe, comment, number

WIDEST = 120  # letters of a line
_LOSSES = {
    "binary": ("BinaryCrossentropy", "from_logits=True"),
    "multiclass": ("SparseCategoricalCrossentropy", "from_logits=True"),
    "one_hot": ("CategoricalCrossentropy", "from_logits=True"),
    "squared": ("MeanSquaredError", ""),
    "absolute": ("MeanAbsoluteError", ""),
}
_SCORES = {
    "binary": 'BinaryAccuracy(name="accuracy", threshold=0.0)',
    "multiclass": 'SparseCategoricalAccuracy(name="accuracy")',
    "one_hot": 'CategoricalAccuracy(name="accuracy")',
}
_HALF_WAVE = "(1 + keras.ops.cos(np.pi * {})) / 2"
_FACTORS = {
    "flat_cosine": [f"        return top * {_HALF_WAVE.format('keras.ops.maximum(2 * progress - 1, 0)')}"],
    "one_cycle": [
        f"        up = 1 - (1 - {number(FIRST)}) * {_HALF_WAVE.format(f'progress / {WARM_UP}')}",
        f"        share = (progress - {WARM_UP}) / {1 - WARM_UP}",
        f"        down = {number(LAST)} + (1 - {number(LAST)}) * {_HALF_WAVE.format('share')}",
        f"        return top * keras.ops.where(progress < {WARM_UP}, up, down)",
    ],
}


def one_hot(recipe: Recipe) -> bool:
    """Whether targets are one-hot rows: Keras smooths labels of several classes only there."""
    return recipe.task == "multiclass" and recipe.strengths.label_smoothing > 0


def _rate(recipe: Recipe) -> tuple[list[str], str]:
    """Return the lines of the learning rate's schedule, and the text of the rate."""
    t, rate = recipe.training, number(recipe.training.learning_rate)
    if not recipe.scheduled:
        return [], rate
    lines = comment("keras_momentum") if t.momentum else []
    lines += ["steps = epochs * -(-len(X_train) // batch_size)"]
    if t.schedule == "cosine":
        return [*lines, f"rate = keras.optimizers.schedules.CosineDecay({rate}, decay_steps=steps)"], "rate"
    return [
        *lines,
        f"top = {rate}",
        "",
        "",
        "class Rate(keras.optimizers.schedules.LearningRateSchedule):",
        "    def __call__(self, step):",
        "        progress = keras.ops.cast(step, keras.config.floatx()) / steps",
        *_FACTORS[t.schedule],
        "",
        "",
    ], "Rate()"


def optimizer(recipe: Recipe, decay: tuple[float, ...], *, penalized: bool) -> list[str]:
    """Return the lines of the optimizer. Where weights are ``penalized`` Keras would clip the penalty's gradient."""
    t, (schedule, rate) = recipe.training, _rate(recipe)
    size = "len(X_train)" if t.batch_size is None else int(t.batch_size)
    lines = ["", f"epochs, batch_size = {int(t.epochs)}, {size}", *schedule]
    options = [rate]
    if t.momentum:
        options += [f"momentum={number(t.momentum)}", *(["nesterov=True"] if t.nesterov else [])]
    if any(decay):
        options += [f"weight_decay={number(max(decay))}"]
    if recipe.strengths.gradient_clipping < math.inf:
        if penalized:
            lines += comment("left_out", reason=say("dialects.keras_clipping"))
        else:
            options += [f"global_clipnorm={number(recipe.strengths.gradient_clipping)}"]
    kind = "SGD"
    if recipe.adaptive:
        kind = "AdamW" if any(decay) else "Adam"
        options += ["epsilon=1e-8"]
        lines += comment("adam_epsilon", library="Keras")
    call = f"optimizer = keras.optimizers.{kind}("
    line = f"{call}{', '.join(options)})"
    lines += [line] if len(line) <= WIDEST else [call, *(f"    {option}," for option in options), ")"]
    if any(decay):
        bare = [i for i, d in enumerate(decay) if not d]
        kernels = f" + [dense[i].kernel for i in {bare}]" if bare else ""
        lines += [
            *comment("keras_decay"),
            'dense = [layer for layer in model.layers if hasattr(layer, "kernel")]',
            f"free = [layer.bias for layer in dense]{kernels}",
        ]
        if recipe.strengths.batch_norm:
            lines += [
                'free += [v for layer in model.layers if hasattr(layer, "gamma") for v in (layer.gamma, layer.beta)]'
            ]
        lines += ["optimizer.exclude_from_weight_decay(var_list=free)"]
    return lines


def _loss(recipe: Recipe) -> tuple[list[str], str, str]:
    """Return lines to go before, the loss that is trained, and the plain one as a metric."""
    name, parameter = recipe.loss
    if name in ("huber", "quantile"):
        metric = 'keras.metrics.MeanMetricWrapper({}, name="plain_loss"{})'
        if name == "huber":
            delta = f"delta={number(parameter)}"
            return [], f"keras.losses.Huber({delta})", metric.format("keras.losses.huber", f", {delta}")
        low, high = number(parameter - 1), number(parameter)
        lines = [
            "",
            "",
            "def pinball(y_true, y_pred):",
            "    rest = y_true - y_pred",
            f"    return keras.ops.mean(keras.ops.maximum({high} * rest, {low} * rest), axis=-1)",
            "",
            "",
        ]
        return lines, "pinball", metric.format("pinball", "")
    kind, options = _LOSSES["one_hot" if one_hot(recipe) else name if recipe.task == "regression" else recipe.task]
    smoothing = recipe.strengths.label_smoothing
    smooth = f", label_smoothing={number(smoothing)}" if smoothing else ""
    metric = f'keras.metrics.{kind}(name="plain_loss"{", " + options if options else ""})'
    return [], f"keras.losses.{kind}({options}{smooth})", metric


def fit(recipe: Recipe) -> list[str]:
    """Return the lines from compile to fit."""
    t, stop = recipe.training, recipe.strengths.early_stopping
    lines, loss, watched = _loss(recipe)
    if recipe.on_score:
        watched = f"keras.metrics.{_SCORES['one_hot' if one_hot(recipe) else recipe.task]}"
    name, mode = ("accuracy", "max") if recipe.on_score else ("plain_loss", "min")
    lines += [
        "model.compile(",
        "    optimizer=optimizer,",
        f"    loss={loss},",
        *([f"    metrics=[{watched}],"] if stop else []),
        ")",
    ]
    if stop:
        lines += [
            *comment("keras_stop_score" if recipe.on_score else "keras_stop"),
            "stopping = keras.callbacks.EarlyStopping(",
            f'    monitor="val_{name}",',
            f'    mode="{mode}",',
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
        *(["    sample_weight=row_weights,"] if t.class_weights is not None else []),
        *(["    validation_data=(X_stop, y_stop),", "    callbacks=[stopping],"] if stop else []),
        "    verbose=0,",
        ")",
    ]
