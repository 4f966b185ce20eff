"""The layer that an input meets first: what group lasso acts on."""

from __future__ import annotations

import difflib

import torch
from torch import nn

from wellfit.errors import SettingError
from wellfit.torch.parts import Parameter, called_in_order, weights_of


def entry_of(model: nn.Module, weights: list[Parameter], name: str | None) -> Parameter:
    """Return the weight of the layer that an input meets first, by its name, or where the model shows which it is.

    It does where it has one weight, or begins with what is called in order. Raises `SettingError` where it does not, or
    has no weight, for a name that none has, and for a layer whose weights have no columns that belong to inputs.
    """
    if not weights:
        raise SettingError("toolbox.no_weights", kind=type(model).__name__)
    names = [weight.name for weight in weights]
    if name is not None:
        if name not in names:
            near = difflib.get_close_matches(name, names, 3, 0.3)
            raise SettingError("toolbox.no_such_weight", name=name, near=", ".join(near or names[:3]))
        found = weights[names.index(name)]
    else:
        first = _shown(model)
        shown = [weight for weight in weights if first is not None and weight.tensor is first.tensor]
        if not shown:
            raise SettingError("toolbox.needs_entry", names=", ".join(names[:3]))
        [found] = shown
    if _inputs(found) is None:
        raise SettingError("toolbox.no_columns", name=found.name)
    return found


def columns(weight: Parameter) -> torch.Tensor:
    """Return the norms of what leaves each input of the first layer, with as many axes as its weight."""
    others = tuple(axis for axis in range(weight.tensor.ndim) if axis != _inputs(weight))
    return torch.linalg.vector_norm(weight.tensor, dim=others, keepdim=True)


def _inputs(weight: Parameter) -> int | None:
    return None if weight.orientation is None else weight.orientation.inputs


def _shown(module: nn.Module) -> Parameter | None:
    """Return the first weight as far as the calls in order show it, a frozen one too."""
    while (parts := called_in_order(module)) is not None:
        weighted = (part for _, part in parts if any(True for _ in part.parameters()) and weights_of(part, frozen=True))
        inner = next(weighted, None)
        if inner is None:
            return None
        module = inner
    own = weights_of(module, frozen=True)
    return own[0] if len(own) == 1 else None
