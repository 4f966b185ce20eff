"""What the writers of code share: the checked facts of a training, comments from the catalogue, the data section.

Only numbers and words of our own enter a script: nothing that a user named.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from wellfit.cocktail import L1, L2, Cocktail, Dropout, Ingredient, Strengths, Strong, WeightDecay
from wellfit.cocktail.dialects import Equivalent, NoEquivalent, to_dialect
from wellfit.cocktail.dialects.base import Value
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.nets.network import GAINS, MLP
from wellfit.nets.training import MAX_CHECKPOINTS, Training
from wellfit.records import Task

_TASKS = ("binary", "multiclass", "regression")
_LIBRARIES = {"torch": "PyTorch", "keras": "Keras", "sklearn": "scikit-learn"}
_WIDTH = 100


@dataclass(frozen=True)
class Recipe:
    """A training with its cocktail bound to the network, all values checked."""

    network: MLP
    cocktail: Cocktail
    training: Training
    strengths: Strengths
    inputs: int
    outputs: int
    task: Task
    rows: int
    seed: int
    share: float

    @classmethod
    def of(
        cls,
        network: MLP,
        cocktail: Cocktail,
        training: Training,
        *,
        inputs: int,
        outputs: int,
        task: str,
        rows: int,
        seed: int,
        share: float,
    ) -> Recipe:
        """Check and bind. Raises `SettingError` where something does not fit."""
        for name, count, least in (
            ("inputs", inputs, 1),
            ("outputs", outputs, 1),
            ("rows", rows, 1),
            ("seed", seed, 0),
        ):
            if int(count) != count or count < least:
                raise SettingError("code.bad_count", name=name, value=count, least=least)
        if task not in _TASKS:
            raise SettingError("code.unknown_task", value=task, known=", ".join(_TASKS))
        if (task == "multiclass") != (outputs > 1):
            raise SettingError("code.bad_outputs", task=task, outputs=outputs)
        if not 0 < share < 1:
            raise SettingError("code.bad_share", value=share)
        cocktail.resolve(network.layers)  # raises where strengths do not fit
        acting = Cocktail(tuple(i for i in cocktail.ingredients if i.acts))
        strengths = acting.resolve(network.layers)
        _check_fit(strengths, training, task, outputs)
        return cls(
            network,
            cocktail,
            training,
            strengths,
            inputs=int(inputs),
            outputs=int(outputs),
            task=task,  # type: ignore[arg-type]  # checked above
            rows=int(rows),
            seed=int(seed) % 2**32,
            share=float(share),
        )

    @property
    def plain(self) -> bool:
        """Whether the steps are plain gradient steps, where decoupled decay equals L2."""
        return self.training.optimizer in ("gd", "sgd") and not self.training.momentum

    @property
    def adaptive(self) -> bool:
        """Whether the optimizer is Adam."""
        return self.training.optimizer in ("adam", "adamw")

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes over the training."""
        return self.training.schedule != "constant"

    @property
    def loss(self) -> tuple[str, float]:
        """The loss and its parameter."""
        return self.training.loss_and_parameter(self.task)

    @property
    def on_score(self) -> bool:
        """Whether early stopping watches the score."""
        return self.strengths.early_stopping is not None and self.strengths.early_stopping.on == "score"

    @property
    def stops(self) -> bool:
        """Whether training may stop early."""
        return self.strengths.early_stopping is not None

    @property
    def patience_in_epochs(self) -> int:
        """Early stopping's patience where every epoch is looked at."""
        stop = self.strengths.early_stopping
        spacing = self.training.epochs / min(self.training.epochs, MAX_CHECKPOINTS - 1)
        return round(stop.patience * spacing) if stop else 0

    @property
    def gains(self) -> tuple[float, ...]:
        """The variance of each layer's starting weights times its inputs."""
        return (GAINS[self.network.activation],) * len(self.network.hidden) + (1.0,)

    def told(self, dialect: str, *kinds: type[Ingredient], **facts: int | None) -> Equivalent | NoEquivalent:
        """Return these ingredients of the cocktail, per layer, in a dialect."""
        s = self.strengths
        bound: dict[type[Ingredient], tuple[float, ...]] = {
            L1: s.l1,
            L2: s.l2,
            WeightDecay: s.weight_decay,
            Dropout: s.dropout,
        }
        # For the type checker: each kind takes its strength.
        mixed = Cocktail(tuple(kind(bound[kind]) for kind in kinds if any(bound[kind])))  # type: ignore[call-arg]
        return to_dialect(
            mixed,
            dialect,
            task=self.task,
            layers=self.network.layers,
            optimizer=self.training.optimizer,
            momentum=self.training.momentum,
            **facts,
        )

    def arguments(self, dialect: str, *kinds: type[Ingredient]) -> Mapping[str, Value]:
        """Return the arguments for ingredients that this dialect is known to have."""
        told = self.told(dialect, *kinds)
        assert isinstance(told, Equivalent), told
        return told.arguments


def _check_fit(strengths: Strengths, training: Training, task: str, outputs: int) -> None:
    """Raise `SettingError` where the loss, class weights or ingredients do not go with this task or optimizer."""
    training.loss_and_parameter(task)
    stop, weights = strengths.early_stopping, training.class_weights
    if task == "regression":
        for name, given in (
            ("label_smoothing", strengths.label_smoothing > 0),
            ("early_stopping:on=score", stop is not None and stop.on == "score"),
            ("class_weights", weights is not None),
        ):
            if given:
                raise SettingError("code.classes_only", name=name)
    classes = max(outputs, 2)
    if isinstance(weights, tuple) and len(weights) != classes:
        raise SettingError("code.bad_class_weights", given=len(weights), classes=classes)
    if strengths.group_lasso and training.optimizer not in ("gd", "sgd"):
        raise SettingError("code.group_lasso_optimizer", optimizer=training.optimizer)


def number(value: float) -> str:
    """Return the text of a number that reads back as the same number."""
    return 'float("inf")' if value == math.inf else repr(float(value))


def numbers(values: Iterable[float]) -> str:
    """Return the text of a list of numbers."""
    return "[" + ", ".join(map(number, values)) + "]"


def comment(key: str, indent: str = "", **values: object) -> list[str]:
    """Return a sentence of the catalogue as comment lines."""
    return remark(say(f"code.{key}", **values), indent)


def remark(text: str, indent: str = "") -> list[str]:
    """Return a text as comment lines."""
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_long_words=False
    )


def per_layer(value: object, layers: int) -> tuple[float, ...]:
    """Return a dialect's argument as one number per layer."""
    return value if isinstance(value, tuple) else (float(value),) * layers  # type: ignore[arg-type]  # else a number


def header(recipe: Recipe, dialect: str) -> list[str]:
    """Return the comments at the top: what this is, what it expects."""
    return [
        *comment("title", library=_LIBRARIES[dialect], network=recipe.network, cocktail=recipe.cocktail),
        *comment("training", training=recipe.training),
        *comment("expects_x", inputs=recipe.inputs),
        *comment(f"expects_y_{recipe.task}", classes=recipe.outputs - 1),
    ]


def data(recipe: Recipe, *, split: bool, precision: str | None = None) -> list[str]:
    """Return the lines that make ``X_train``, ``y_train`` (and with ``split`` ``X_stop``, ``y_stop``) of X and y."""
    kind = f'"{precision or recipe.training.precision}"'
    label = '"int64"' if recipe.task != "regression" else kind
    lines = ["", f"X_train = np.asarray(X, dtype={kind})", f"y_train = np.asarray(y, dtype={label}).reshape(-1)"]
    if split:
        lines += [
            *comment("split", share=f"{recipe.share:.0%}"),
            f"order = np.random.default_rng({recipe.seed}).permutation(len(X_train))",
            f"stop, train = np.split(order, [max(1, round({number(recipe.share)} * len(X_train)))])",
            "X_train, X_stop, y_train, y_stop = X_train[train], X_train[stop], y_train[train], y_train[stop]",
        ]
    if recipe.task == "regression":
        lines += [
            *comment("standardized"),
            "y_mean, y_scale = y_train.mean(), y_train.std() or 1.0",
            "y_train = (y_train - y_mean) / y_scale",
        ]
        lines += ["y_stop = (y_stop - y_mean) / y_scale"] if split else []
    return lines


def class_weights(recipe: Recipe) -> list[str]:
    """Return the lines that make ``row_weights``, one for each training row, where classes have weights."""
    given = recipe.training.class_weights
    if given is None:
        return []
    classes = max(recipe.outputs, 2)
    if isinstance(given, tuple):
        made = f"np.array({numbers(given)})"
    else:
        made = f"len(y_train) / ({classes} * np.bincount(y_train, minlength={classes}).clip(1))"
    return [
        *comment("class_weights"),
        f"class_weights = {made}",
        "row_weights = class_weights[y_train]",
        f'row_weights = (row_weights / row_weights.mean()).astype("{recipe.training.precision}")',
    ]


def left_out(recipe: Recipe, dialect: str, said: tuple[str, ...]) -> list[str]:
    """Return the comments on ingredients and schedules that a library lacks; penalties and stopping are not asked.

    ``said`` are the names of those that the writer puts into its script by itself.
    """
    kept = ("l1", "l2", "elastic_net", "weight_decay", "early_stopping", *said)
    lines: list[str] = []
    for item in recipe.cocktail.ingredients:
        if not item.acts:
            continue
        schedule = item.schedule if isinstance(item, Strong) else "constant"
        if item.name not in kept:
            lasting = replace(item, schedule="constant") if isinstance(item, Strong) else item
            told = to_dialect(lasting, dialect, task=recipe.task, rows=recipe.rows)
            reasons = told.reasons if isinstance(told, NoEquivalent) else ()
            lines += [line for reason in reasons for line in comment("left_out", reason=reason)]
        elif schedule != "constant":
            reason = say("code.no_schedule", library=_LIBRARIES[dialect.partition("-")[0]], ingredient=item.name)
            lines += comment("left_out", reason=reason)
    return lines
