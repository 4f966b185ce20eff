"""An ensemble of fitted networks: their weighted average, its probabilities calibrated by a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wellfit.errors import SettingError
from wellfit.nets.fitted import Fitted, Predictor, Rows
from wellfit.nets.network import MLP, apply_temperature
from wellfit.records import Array, Kind, Scale, Task

if TYPE_CHECKING:
    from wellfit.data import Preprocessor

SUM_ERROR = 1e-6  # by which weights may miss a sum of 1


@dataclass(frozen=True, eq=False)
class Ensemble(Predictor):
    """Networks of one task whose outputs are averaged: probabilities, or values in the target's unit.

    ``weights`` is (M,) for M networks, not negative and of sum 1; ``temperature`` divides the logits of the averaged
    probabilities (Guo et al. 2017), 1 for none. Raises `SettingError` where these do not fit together.
    """

    parts: tuple[Fitted, ...]
    weights: Array
    temperature: float = 1.0

    # What all its networks have in common; of the columns, those that any of them reads.
    task: Task = field(init=False)
    target_name: str = field(init=False)
    classes: tuple[str, ...] = field(init=False)
    kinds: Mapping[str, Kind] = field(init=False)
    inputs: tuple[int, ...] = field(init=False)
    scale: Scale = field(init=False)
    resized: bool = field(init=False)

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=np.float64)
        fits = bool(self.parts) and weights.shape == (len(self.parts),) and bool((weights >= 0).all())
        if not fits or abs(weights.sum() - 1) > SUM_ERROR or not 0 < self.temperature < np.inf:
            raise SettingError("fitted.bad_ensemble", networks=len(self.parts), weights=weights.shape)
        first = self.parts[0]
        common = [(p.task, p.target_name, p.classes, p.inputs, p.scale, p.resized) for p in self.parts]
        if any(each != common[0] for each in common):
            raise SettingError("fitted.unlike_parts")
        values = {
            "weights": weights,
            "task": first.task,
            "target_name": first.target_name,
            "classes": first.classes,
            "kinds": {name: kind for part in self.parts for name, kind in part.kinds.items()},
            "inputs": first.inputs,
            "scale": first.scale,
            "resized": first.resized,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def groups(self) -> list[list[tuple[Fitted, float]]]:
        """The networks with their weights, in groups of the same preprocessing, in order of appearance."""
        found: dict[Preprocessor | None, list[tuple[Fitted, float]]] = {}
        for part, weight in zip(self.parts, self.weights, strict=True):
            found.setdefault(part.preprocessor, []).append((part, float(weight)))
        return list(found.values())

    def outputs_of(self, rows: Rows) -> Array:
        """Return probabilities (n, k) (k is 1 for two classes: that of the second) or values (n, 1).

        ``rows`` are as `Fitted.outputs_of` takes them. Networks of one fold share its preprocessing, which is done
        once.
        """
        total: Array | float = 0.0
        for members in self.groups:
            first = members[0][0]
            sums = [np.empty((0, first.outputs))]
            for chunk in first.chunks(rows):
                x = first.design(chunk)
                sums.append(np.sum([weight * part.outputs_at(x) for part, weight in members], axis=0))
            total = total + np.concatenate(sums)
        return apply_temperature(self.task, np.asarray(total), self.temperature)

    def code(self, dialect: str) -> str:
        """Return `Fitted.code` of its network, where it has one only.

        Raises `SettingError` where it mixes several, which says how to get the code of one.
        """
        own = [i for i, part in enumerate(self.parts) if isinstance(part.network, MLP)]
        if len(self.parts) == 1 or not own:  # a module says that its code is the user's
            return self.parts[0].code(dialect)
        first = max(own, key=lambda i: self.weights[i])
        raise SettingError(
            "fitted.code_of_several",
            networks=len(self.parts),
            number=first,
            dialect=dialect,
            network=self.parts[first].network,
            cocktail=self.parts[first].cocktail,
            weight=f"{self.weights[first]:.2g}",
        )
