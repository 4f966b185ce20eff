"""What is seen in single networks: the measurements of `wellfit.evidence.workings`, with their rows and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member, State, mlp_of
from wellfit.errors import SettingError
from wellfit.evidence import workings as look
from wellfit.nets import MLP
from wellfit.nets.fitted import Fitted
from wellfit.nets.network import link
from wellfit.records import Array, Averaging, Table, Task, TrainingData, Workings
from wellfit.select.source import only_mlp

NOISE = (0.0, 0.1, 0.2, 0.5, 1.0)  # standard deviations of what is laid on the columns
ROWS, DRAWS, SEGMENTS, MASKS = 512, 8, 200, 200


def read(seen: Sequence[Sequence[Seen]]) -> dict[str, Any]:
    """Return the fields of `Workings` that are read off each network, ``seen[p][k]``."""

    def over(name: str) -> Array:
        return np.array([[getattr(one, name) for one in point] for point in seen], dtype=np.float64)

    means = ("weight_norms", "zeros", "units", "noise_losses", "sensitivities")
    single = ("train_loss", "loss", "reliance", "slope", "roughness", "crossings")
    found: dict[str, Any] = {name: over(name).mean(axis=1) for name in means}
    found |= {name: over(name) for name in single}
    found["curvature_freedom"] = over("curvature_freedom")[:, 0]
    found["averaging"] = tuple(point[0].averaging for point in seen)
    return found


@dataclass(frozen=True, eq=False)
class Seen:
    """One network, measured on rows it did not learn from; all NaN where it diverged."""

    train_loss: float
    loss: float
    weight_norms: Array
    zeros: float
    units: Array
    sensitivities: Array
    reliance: float
    slope: float
    noise_losses: Array
    roughness: float
    crossings: float
    curvature_freedom: float
    averaging: Averaging | None

    @classmethod
    def of(cls, member: Member, state: State, data: TrainingData) -> Seen:
        """Return what is seen in a member's network, on its fold's training and score rows."""
        fold, network = data.folds[member.fold], mlp_of(member)
        plain = network.fold(state.kept.astype(np.float64), fold.x.shape[1], data.outputs)
        if state.status == "diverged":
            return cls.lost(network, fold.x.shape[1])
        parts = fold.x[fold.rows.train], fold.y[fold.rows.train], fold.x[fold.rows.score], fold.y[fold.rows.score]
        settings: dict[str, Any] = {"unit": fold.loss_unit, "seed": member.seed, "curved": member.fold == 0}
        return cls.measured(network, member.cocktail, plain, data.task, parts, **settings)

    @classmethod
    def measured(
        cls,
        network: MLP,
        cocktail: Cocktail,
        plain: Array,
        task: Task,
        parts: tuple[Array, Array, Array, Array],
        *,
        unit: float = 1.0,
        seed: int = 0,
        curved: bool = True,
    ) -> Seen:
        """Return what is seen in parameters (P,) on training rows (x, y) and others (x, y)."""
        x, y, held_x, held_y = (part[:: max(1, -(-len(part) // ROWS))] for part in parts)
        outputs, pairs = y.shape[1], network.unpack(plain, x.shape[1], y.shape[1])

        def predict(rows: Array) -> Array:
            return link(task, network.forward(plain, rows, outputs))

        gradients = look.slopes(network, plain, held_x, outputs)
        sensitivity = look.sensitivities(gradients, x.std(axis=0))
        rough, crossings = look.along_segments(predict, task, *_segments(held_x, seed))
        strengths, nan = network.strengths(cocktail), float("nan")
        averaging = None
        if any(strengths.dropout) or strengths.input_dropout:
            rates = (strengths.dropout, strengths.input_dropout)
            masks = look.draw_masks(network, x.shape[1], *rates, count=MASKS, seed=seed)
            averaging = look.averaged(network, plain, task, held_x, held_y, masks)
        return cls(
            train_loss=unit * float(look.loss_of(task, y, predict(x)).mean()),
            loss=unit * float(look.loss_of(task, held_y, predict(held_x)).mean()),
            weight_norms=np.array([np.linalg.norm(w) for w, _ in pairs]),
            zeros=sum(int((w == 0).sum()) for w, _ in pairs) / sum(w.size for w, _ in pairs),
            units=np.array(network.unit_shares(plain, x, outputs)),
            sensitivities=sensitivity,
            reliance=look.reliance(sensitivity),
            slope=float(np.sqrt((gradients**2).sum(axis=(1, 2)).mean())),
            noise_losses=unit * look.under_noise(predict, task, held_x, held_y, NOISE, seed=seed, draws=DRAWS),
            roughness=rough,
            crossings=crossings,
            curvature_freedom=look.curvature_freedom(network, plain, task, x, outputs, strengths.l2) if curved else nan,
            averaging=averaging,
        )

    @classmethod
    def lost(cls, network: MLP, inputs: int) -> Seen:
        """Return what is seen in a diverged network: nothing."""
        nan = float("nan")
        lines = [np.full(n, nan) for n in (network.layers, 3, inputs, len(NOISE))]
        return cls(nan, nan, lines[0], nan, lines[1], lines[2], nan, nan, lines[3], nan, nan, nan, None)


def _segments(x: Array, seed: int) -> tuple[Array, Array]:
    """Return `SEGMENTS` pairs of different rows of x (n, d) as starts and ends."""
    draws = rng.uniform(seed, rng.RESAMPLE, 2 * SEGMENTS).reshape(2, SEGMENTS)
    first = (draws[0] * len(x)).astype(int)
    other = (first + 1 + (draws[1] * max(1, len(x) - 1)).astype(int)) % len(x)
    return x[first], x[other]


def of_model(table: Table, rows: Array, model: Fitted, seed: int = 0) -> Workings:
    """Return what is found inside one fitted network, on ``rows`` (m,) of a table with its columns and target.

    Losses are the same in both fields, since it is not known which rows the network learned from. Raises
    `SettingError` where the table is another task or has other classes, `DataError` where it lacks columns.
    """
    if table.task != model.task or table.classes != model.classes:
        raise SettingError("workings.other_target", model=model.target_name, task=model.task, data=table.name)
    lacking = [name for name in model.kinds if name not in table.columns]
    if lacking:
        raise SettingError("workings.lacks_columns", data=table.name, columns=", ".join(lacking[:10]))
    network = only_mlp(model.network, table, "workings")
    assert model.preprocessor is not None  # a model of columns
    x = model.preprocessor.transform({name: table.columns[name][rows] for name in model.kinds})
    y = _targets(table, model)[rows]
    plain = model.parameters.astype(np.float64)
    unit = model.target_scale**2
    parts = (x, y, x, y)
    seen = Seen.measured(network, model.cocktail, plain, model.task, parts, unit=unit, seed=seed)
    nothing = np.full((1, model.network.layers), np.nan)
    return Workings(
        data=table.name,
        task=table.task,
        network=str(model.network),
        training=str(model.training),
        base=str(model.cocktail),
        over="",
        folds=0,
        seed=seed,
        strengths=np.array([np.nan]),
        cocktails=(str(model.cocktail),),
        shrink=nothing,
        formula=nothing,
        freedom=np.array([np.nan]),
        freedom_error=np.array([np.nan]),
        parameters=len(plain),
        names=tuple(model.preprocessor.feature_names),
        noise=np.array(NOISE),
        **read([[seen]]),
    )


def _targets(table: Table, model: Fitted) -> Array:
    if table.task == "regression":
        return ((table.target - model.target_mean) / model.target_scale)[:, None]
    if table.task == "binary":
        return (table.target == 1).astype(np.float64)[:, None]
    return np.eye(len(table.classes))[table.target]
