"""The script for scikit-learn: its convex models where the network is linear, else its multilayer perceptron."""

from __future__ import annotations

import math

from wellfit.cocktail import L1, L2, WeightDecay
from wellfit.cocktail.dialects import Equivalent, NoEquivalent
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.nets.code.recipe import Recipe, class_weights, comment, data, left_out, number

_LINKS = {
    "binary": "model.predict_proba(np.asarray(X))[:, 1]",
    "multiclass": "model.predict_proba(np.asarray(X))",
    "regression": "model.predict(np.asarray(X)) * y_scale + y_mean",
}


def write(recipe: Recipe) -> list[str]:
    """Return the lines of the script, after its header. Raises `SettingError` for a loss that it lacks."""
    if recipe.loss[0] not in ("cross_entropy", "squared"):
        raise SettingError("code.sklearn_loss", loss=recipe.training.loss)
    body = _convex(recipe) or _perceptron(recipe)
    return [
        *body,
        "",
        "",
        "def predict(X):",
        *comment(f"predict_{recipe.task}", "    "),
        f"    return {_LINKS[recipe.task]}",
    ]


def _weights(recipe: Recipe) -> str:
    return "" if recipe.training.class_weights is None else ", sample_weight=row_weights"


def _convex(recipe: Recipe) -> list[str]:
    """Return the lines for a linear network whose objective a convex model has, else nothing.

    Their alpha and C are told for one row and multiplied by the rows of the script's own data.
    """
    if recipe.network.hidden or recipe.stops or left_out(recipe, "sklearn-mlp", ()):
        return []
    choices = ["sklearn-ridge", "sklearn-lasso", "sklearn-elastic-net", "sklearn-logistic"]
    for dialect in choices[3:] if recipe.task != "regression" else choices[:3]:
        told = recipe.told(dialect, L1, L2, WeightDecay, rows=1)
        if isinstance(told, Equivalent):
            kind, options = _model(dialect, told)
            return [
                "import numpy as np",
                f"from sklearn.linear_model import {kind}",
                *data(recipe, split=False, precision="float64"),
                *class_weights(recipe),
                "",
                *comment("sklearn_convex"),
                *(comment("sklearn_saga") if 'solver="saga"' in options else []),
                f"model = {kind}(",
                *[f"    {option}," for option in options],
                ")",
                f"model.fit(X_train, y_train{_weights(recipe)})",
            ]
    return []


def _model(dialect: str, told: Equivalent) -> tuple[str, list[str]]:
    """Return the class and its arguments, for the rows of the script's own data."""
    a = {name: float(value) for name, value in told.arguments.items()}  # type: ignore[arg-type]  # one number each here
    if dialect == "sklearn-ridge":
        return ("Ridge", [f"alpha={number(a['alpha'])} * len(X_train)"]) if a["alpha"] else ("LinearRegression", [])
    ratio = f"l1_ratio={number(a.get('l1_ratio', 0.0))}"
    if dialect == "sklearn-logistic":
        strength = "C=np.inf" if math.isinf(a["C"]) else f"C={number(a['C'])} / len(X_train)"
        if a["l1_ratio"]:
            return "LogisticRegression", [strength, ratio, 'solver="saga"', "tol=1e-6", "max_iter=10_000"]
        return "LogisticRegression", [strength, "tol=1e-8", "max_iter=10_000"]
    alpha, rest = f"alpha={number(a['alpha'])}", ["tol=1e-8", "max_iter=100_000"]
    return ("Lasso", [alpha, *rest]) if dialect == "sklearn-lasso" else ("ElasticNet", [alpha, ratio, *rest])


def _alpha(recipe: Recipe) -> tuple[str, list[str]]:
    """Return the text of the perceptron's alpha, and the reasons for what is left out."""
    size = None if recipe.training.batch_size is None else min(int(recipe.training.batch_size), recipe.rows)
    full = size is None or size == recipe.rows
    # Told for one full batch; a short last one is a reason of its own.
    facts = {"rows": 1 if full else size}
    reasons: list[str] = []
    total, kinds = 0.0, ((L2, WeightDecay) if recipe.plain else (L2,))
    told = recipe.told("sklearn-mlp", *kinds, **facts)
    if isinstance(told, NoEquivalent):
        reasons += told.reasons
    else:
        total = float(told.arguments["alpha"])  # type: ignore[arg-type]  # one number
    exact = recipe.told("sklearn-mlp", *kinds, rows=recipe.rows, batch_size=size or recipe.rows)
    if total and isinstance(exact, NoEquivalent):
        reasons += exact.reasons
    for kind in (L1,) if recipe.plain else (L1, WeightDecay):
        answer = recipe.told("sklearn-mlp", kind, rows=recipe.rows)
        reasons += answer.reasons if isinstance(answer, NoEquivalent) else ()
    return f"{number(total)} * train_rows" if full and total else number(total), reasons


def _reasons(recipe: Recipe, reasons: list[str]) -> list[str]:
    """Return the comments on all that scikit-learn cannot do the same way."""
    lines: list[str] = []
    if recipe.scheduled:
        reasons = [*reasons, say("code.sklearn_schedule", schedule=recipe.training.schedule)]
    for reason in reasons:
        lines += comment("left_out", reason=reason)
    lines += left_out(recipe, "sklearn-mlp", ())
    if recipe.training.class_weights is not None:
        lines += comment("sklearn_weights")
    if recipe.network.activation not in ("relu", "tanh") and recipe.network.hidden:
        lines += comment("sklearn_activation", activation=recipe.network.activation)
    lines += comment("sklearn_start")
    if recipe.stops:
        key = "dialects.sklearn_stops_on_its_own" if recipe.on_score else "dialects.sklearn_early_stopping"
        lines += comment("sklearn_stop", reason=say(key))
    if recipe.adaptive:
        lines += comment("adam_epsilon", library="scikit-learn")
    elif recipe.task == "regression":
        lines += comment("sklearn_half")
    return lines


def _perceptron(recipe: Recipe) -> list[str]:
    t, stop = recipe.training, recipe.strengths.early_stopping
    alpha, reasons = _alpha(recipe)
    kind = "MLPRegressor" if recipe.task == "regression" else "MLPClassifier"
    activation = recipe.network.activation if recipe.network.activation in ("relu", "tanh") else "relu"
    rate = t.learning_rate * (2 if recipe.task == "regression" and not recipe.adaptive else 1)
    held = f" - int(np.ceil({number(recipe.share)} * len(X_train)))" if stop else ""
    batch = "train_rows" if t.batch_size is None else f"min({int(t.batch_size)}, train_rows)"
    options = [
        f"hidden_layer_sizes={recipe.network.hidden!r}",
        f'activation="{activation}"',
        f'solver="{"adam" if recipe.adaptive else "sgd"}"',
        f"alpha={alpha}",
        f"batch_size={batch}",
        f"learning_rate_init={number(rate)}",
        *([] if recipe.adaptive else [f"momentum={number(t.momentum)}", f"nesterovs_momentum={bool(t.nesterov)}"]),
        f"max_iter={int(t.epochs)}",
        f"random_state={recipe.seed}",
        "tol=0.0",
    ]
    if stop:
        options += ["early_stopping=True", f"validation_fraction={number(recipe.share)}"]
        options += [f"n_iter_no_change={max(1, recipe.patience_in_epochs - 1)}"]
    else:
        options += [f"n_iter_no_change={int(t.epochs)}"]
    return [
        *comment("draws"),
        "import warnings",
        "",
        "import numpy as np",
        "from sklearn.exceptions import ConvergenceWarning",
        f"from sklearn.neural_network import {kind}",
        *data(recipe, split=False),
        *class_weights(recipe),
        f"train_rows = len(X_train){held}",
        "",
        *_reasons(recipe, reasons),
        f"model = {kind}(",
        *[f"    {option}," for option in options],
        ")",
        "with warnings.catch_warnings():",
        *comment("sklearn_epochs", "    "),
        '    warnings.simplefilter("ignore", ConvergenceWarning)',
        f"    model.fit(X_train, y_train{_weights(recipe)})",
    ]
