"""How a weight lies in its layer: along which axes its units stand, and which belong to inputs.

One rule for the engine that trains modules and for the toolbox. Imports PyTorch only when it is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_GATES = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?")
_HEADS = re.compile(r"(in|[qkv])_proj_weight")


@dataclass(frozen=True)
class Orientation:
    """How a weight lies in its layer.

    ``units`` are the axes along which the layer's units stand: what lies along all others enters one unit. Where
    ``groups`` is above 1 the first axis is first cut into so many parts, each of which has units of its own. ``inputs``
    is the axis along which a layer's inputs or channels stand, None where columns do not belong to them.
    """

    units: tuple[int, ...] = (0,)
    groups: int = 1
    inputs: int | None = None


def orientation_of(module: Any, name: str) -> Orientation | None:
    """Return how a layer's own parameter lies, by its ``name`` there; None where nobody knows.

    Known are PyTorch's layers. What a module of one's own does with its parameters only its ``forward`` knows, and what
    a parametrized layer computes with is another tensor.

    >>> from torch import nn
    >>> orientation_of(nn.Linear(3, 2), "weight"), orientation_of(nn.ConvTranspose2d(4, 6, 1, groups=2), "weight")
    (Orientation(units=(0,), groups=1, inputs=1), Orientation(units=(1,), groups=2, inputs=None))
    """
    from torch import nn

    if isinstance(module, nn.modules.conv._ConvNd) and name == "weight":
        if module.transposed:
            return Orientation((1,), module.groups)
        return Orientation(inputs=1 if module.groups == 1 else None)
    if isinstance(module, nn.Linear) and name == "weight":
        return Orientation(inputs=1)
    rows = isinstance(module, nn.Embedding | nn.EmbeddingBag | nn.Bilinear) and name == "weight"
    gates = isinstance(module, nn.RNNBase | nn.RNNCellBase) and _GATES.fullmatch(name)
    heads = isinstance(module, nn.MultiheadAttention) and _HEADS.fullmatch(name)
    return Orientation() if rows or gates or heads else None


def bound_units(weight: Any, orientation: Orientation, bound: Any, lead: int = 0) -> None:
    """Cut what enters each unit to the bound's Euclidean norm, in place.

    ``weight`` is (..., *shape) with ``lead`` axes before the layer's own; ``bound`` is a number, or (...) like those.

    >>> import torch
    >>> weight = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    >>> bound_units(weight, Orientation(), 2.5)
    >>> weight
    tensor([[1.5000, 2.0000],
            [0.0000, 1.0000]])
    """
    import torch

    apart = weight.unflatten(lead, (orientation.groups, -1))  # (..., groups, *shape): a view
    entering = tuple(axis for axis in range(lead + 1, apart.ndim) if axis - lead - 1 not in orientation.units)
    size = torch.linalg.vector_norm(apart, dim=entering, keepdim=True)
    if lead:
        bound = bound.reshape(*bound.shape, *(1 for _ in range(apart.ndim - lead)))
    apart.mul_(torch.where(size > bound, bound / torch.where(size > 0, size, 1), 1))
