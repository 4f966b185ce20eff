"""One optimizer step of many members at once: clip, penalize, step, prox, bound, average; in this order, in place.

Vectors are (M, T) with each member's numbers in a row, as in `wellfit.nets.layout`. Imports PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wellfit.cocktail import Strengths
from wellfit.cocktail.schedules import schedule_factor
from wellfit.nets import Training
from wellfit.nets.built import Built
from wellfit.nets.orientation import bound_units
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_BOUNDS = ("max_norm", "gradient_clipping")


@dataclass
class Vectors:
    """What a step changes: parameters (M, T), two moments (M, T) and the average (M, T), None where nobody has one."""

    parameters: Any
    first: Any
    second: Any
    average: Any

    def of(self, places: Any) -> Vectors:
        """Return those of some members, by place."""
        average = None if self.average is None else self.average[places]
        return Vectors(self.parameters[places], self.first[places], self.second[places], average)


class Present:
    """The strengths of members at one share of their trainings, (M,) or (M, layers), as PyTorch tensors."""

    def __init__(self, strengths: Sequence[Strengths], progress: Sequence[float], like: Any) -> None:
        self._all, self._progress, self._like = strengths, progress, like
        self._made: dict[str, Any] = {}

    def of(self, name: str) -> Any:
        """Return one strength of all members, None where it acts in none of them."""
        if name not in self._made:
            values = [self._one(s, p, name) for s, p in zip(self._all, self._progress, strict=True)]
            idle = math.inf if name in _BOUNDS else 0.0
            flat = [v for value in values for v in (value if isinstance(value, tuple) else (value,))]
            acts = any(v != idle for v in flat)
            self._made[name] = self._like.new_tensor(values) if acts else None
        return self._made[name]

    def factors(self, name: str) -> list[float]:
        """Return the factor of one ingredient's schedule in each member."""
        pairs = zip(self._all, self._progress, strict=True)
        return [schedule_factor(s.schedules.get(name, "constant"), p) for s, p in pairs]

    @staticmethod
    def _one(strengths: Strengths, progress: float, name: str) -> float | tuple[float, ...]:
        """Return a strength times its schedule's factor; a bound over it."""
        value = getattr(strengths, name)
        if name not in strengths.schedules:
            return value
        factor = schedule_factor(strengths.schedules[name], progress)
        if name in _BOUNDS:
            factor = 1 / factor if factor else math.inf
        return tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor


def rates(trainings: Sequence[Training], progress: Sequence[float], like: Any) -> Any:
    """Return the learning rates now, (M, 1)."""
    now = [t.learning_rate * schedule_factor(t.schedule, p) for t, p in zip(trainings, progress, strict=True)]
    return like.new_tensor(now)[:, None]


def descend(
    vectors: Vectors, gradient: Any, built: Built, trainings: Sequence[Training], present: Present, lr: Any, done: int
) -> None:
    """Make one step along the gradient of the mean loss, (M, P), after ``done`` steps.

    All trainings have the same optimizer; their rates and momenta may differ. The formulas are those of
    ``docs/objective.md``: l2 enters the gradient, decay is decoupled, l1 is a proximal step whose threshold is the
    optimizer's own step for each weight.
    """
    layout, entry = built.layout, built.entry
    kind, size = trainings[0].optimizer, layout.learned
    weights = vectors.parameters[:, :size]
    clip = present.of("gradient_clipping")
    if clip is not None:
        norm = torch.linalg.vector_norm(gradient, dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
        gradient = gradient * torch.clamp(clip / norm, max=1.0)[:, None]
    slots = [layout.slots[i] for i in layout.weights]
    if (l2 := present.of("l2")) is not None:
        for i, slot in enumerate(slots):
            here = slice(slot.start, slot.stop)
            gradient[:, here] += l2[:, i : i + 1] * weights[:, here]
    momentum = lr.new_tensor([t.momentum for t in trainings])[:, None]
    move, eta = _step(kind, vectors, gradient, trainings[0].nesterov, momentum, lr, done)
    l1 = present.of("l1")
    own = eta() if l1 is not None else lr
    if (decay := present.of("weight_decay")) is not None:
        for i, slot in enumerate(slots):
            weights[:, slot.start : slot.stop] *= 1 - lr * decay[:, i : i + 1]
    weights.addcmul_(move, lr, value=-1)
    if l1 is not None:
        for i, slot in enumerate(slots):
            here = slice(slot.start, slot.stop)
            step = own[:, here] if own.shape[1] > 1 else own
            weights[:, here] = torch.nn.functional.relu(weights[:, here].abs() - l1[:, i : i + 1] * step).copysign_(
                weights[:, here]
            )
    if (group := present.of("group_lasso")) is not None:
        assert entry is not None  # others are refused
        _shorten_inputs(weights, slots[entry], group[:, None] * lr / (1 - momentum))
    if (bound := present.of("max_norm")) is not None:
        for i, slot in enumerate(slots):
            _bound_units(weights, slot, bound[:, i])
    if (ema := present.of("ema")) is not None:
        share = 1 - torch.clamp(ema, max=(1 + done) / (10 + done))[:, None]
        _average(vectors, share, layout.whole)


def _average(vectors: Vectors, share: Any, whole: int) -> None:
    """Move the average towards the parameters by the share (M, 1); what stands from ``whole`` on is as it is."""
    now, average = vectors.parameters, vectors.average
    # A mask of a module's own may hold infinities, whose difference is no number.
    average += torch.where(now == average, 0, share * (now - average))
    average[:, whole:] = now[:, whole:]


def _step(
    kind: str, vectors: Vectors, g: Any, nesterov: bool, momentum: Any, lr: Any, done: int
) -> tuple[Any, Callable[[], Any]]:
    """Update the moments; return the move, (M, P), and what gives each weight's own step, (M, P) or (M, 1).

    Each line of this is a pass over the memory: a network of many weights spends as long here as in its layers.
    """
    size = g.shape[1]
    if kind == "gd":
        return g, lambda: lr
    first = vectors.first[:, :size]
    if kind == "sgd":
        first.mul_(momentum).add_(g)
        return (g + momentum * first if nesterov else first), lambda: lr / (1 - momentum)
    second = vectors.second[:, :size]
    first.lerp_(g, 1 - _BETA1)
    second.mul_(_BETA2).addcmul_(g, g, value=1 - _BETA2)
    root = second.sqrt().mul_((1 - _BETA2 ** (done + 1)) ** -0.5).add_(_EPSILON)
    return (first / root).mul_(1 / (1 - _BETA1 ** (done + 1))), lambda: lr / root


def _shorten_inputs(weights: Any, slot: Any, threshold: Any) -> None:
    """Shorten what leaves each input or channel, (out, in, ...), by the threshold (M, 1); to 0 where it is shorter."""
    here = weights[:, slot.start : slot.stop].view(len(weights), *slot.shape)
    rest = [axis for axis in range(1, here.ndim) if axis != 2]
    size = torch.linalg.vector_norm(here, dim=rest, keepdim=True)
    threshold = threshold.view(-1, *(1 for _ in slot.shape))
    factor = torch.where(size > threshold, 1 - threshold / torch.where(size > 0, size, 1), 0)
    here *= factor


def _bound_units(weights: Any, slot: Any, bound: Any) -> None:
    """Cut what enters each unit to the bound's norm, (M,)."""
    if slot.orientation is not None:  # of others nobody knows the units: `Module.strengths` refuses a bound
        here = weights[:, slot.start : slot.stop].view(len(weights), *slot.shape)
        bound_units(here, slot.orientation, bound, lead=1)
