"""Budgets: counts of member-steps, or seconds that are turned into such a count once.

The unit is one optimizer step of a standard member (`STANDARD`): a larger network or batch costs more units a step, by
a formula, not by a clock. So a search with a given budget in steps does the same every time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from wellfit.engines.base import Member
from wellfit.errors import SettingError
from wellfit.nets import MLP, Module, Network
from wellfit.nets.module import Inputs
from wellfit.nets.training import batches
from wellfit.records import TrainingData

# Seconds on one core, fitted to 64 measured trainings (docs/search.md): a step for itself, for each parameter, each
# parameter and row, each unit and row, each disturbed input and row; and a member's overhead each time it is taken up.
STEP, PARAMETER, PRODUCT, UNIT, DISTURBED, MEMBER = 2.7e-6, 1.75e-9, 5.6e-11, 6.7e-10, 2.5e-9, 4e-3
# The same for PyTorch modules (the textbook's convolutional network, docs/modules.md): a step, each parameter, and each
# multiplication of a row's forward pass with its share of the backward pass, in float32 and in bfloat16.
TORCH_STEP, TORCH_PARAMETER, FLOATS, HALVED = 1.5e-3, 4e-9, 1.2e-10, 4.5e-11
# Seconds of the unit: a step of 64,32 on ten inputs with batches of 32.
STANDARD = 13e-6
_UNITS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*")
LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Budget:
    """How much a search may train: ``seconds`` of wall time, or ``steps``, a count of member-steps.

    ``name`` is what a ledger notes the seconds' worth in steps under, where they are what is left of something larger.
    """

    seconds: float | None = None
    steps: int | None = None
    name: str = field(default="", repr=False)


def as_budget(value: object) -> Budget:
    """Return a budget from seconds ("60s", "2m", "1h30m", 45.0) or member-steps (a whole number, "200000 steps").

    Raises `SettingError` for anything else, and for less than a second or one step.

    >>> as_budget("1m30s"), as_budget(200_000)
    (Budget(seconds=90.0, steps=None), Budget(seconds=None, steps=200000))
    """
    if isinstance(value, Budget):
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if value < 1:
            raise SettingError("search.bad_budget", value=value)
        return Budget(steps=int(value))
    seconds = float(value) if isinstance(value, float) else math.nan
    if isinstance(value, str):
        text = value.strip().lower().replace("_", "").replace(",", "")
        steps = re.fullmatch(r"(\d+)\s*steps?", text)
        if steps and int(steps[1]) >= 1:
            return Budget(steps=int(steps[1]))
        parts = _PART.findall(text)
        if parts and not _PART.sub("", text) and all(unit in _UNITS for _, unit in parts):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not (math.isfinite(seconds) and seconds >= LEAST_SECONDS):
        raise SettingError("search.bad_budget", value=value)
    return Budget(seconds=seconds)


def step_seconds(network: Network, inputs: Inputs, outputs: int, batch: int, *, halved: bool = False) -> float:
    """Return about how long an optimizer step takes on one core, in seconds; ``halved``: with passes in bfloat16."""
    size = network.size(inputs, outputs)
    if isinstance(network, Module):
        each = HALVED if halved else FLOATS
        return TORCH_STEP + TORCH_PARAMETER * size + each * batch * network.products(inputs, outputs)
    return STEP + size * (PARAMETER + PRODUCT * batch) + sum(network.hidden) * UNIT * batch


def step_cost(member: Member, data: TrainingData) -> float:
    """Return what one optimizer step of a member costs, in units of a standard member's step."""
    fold = data.folds[member.fold]
    _, batch = batches(len(fold.rows.train), member.training.batch_size)
    strengths = member.network.strengths(member.cocktail)
    disturbances = sum(bool(s) for s in (strengths.mixup, strengths.input_noise, strengths.input_dropout))
    extra = disturbances * int(np.prod(fold.inputs)) * DISTURBED
    if isinstance(member.network, MLP):
        extra += strengths.batch_norm * 2 * sum(member.network.hidden) * UNIT
    halved = member.training.precision == "bfloat16"
    seconds = step_seconds(member.network, fold.inputs, data.outputs, batch, halved=halved)
    return (seconds + batch * extra) / STANDARD


def cost(members: Sequence[Member], begin: Sequence[int], end: Sequence[int], data: TrainingData) -> int:
    """Return what it costs to train members from epoch ``begin`` to ``end``, in standard member-steps."""
    total = 0.0
    for member, first, last in zip(members, begin, end, strict=True):
        an_epoch, _ = batches(len(data.folds[member.fold].rows.train), member.training.batch_size)
        total += (last - first) * an_epoch * step_cost(member, data) + MEMBER / STANDARD
    return math.ceil(total)
