"""The penalty of a cocktail as a term for the loss of one's own loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from wellfit.cocktail import L1, L2, Cocktail, ElasticNet, GroupLasso, Ingredient, Strengths, as_cocktail
from wellfit.cocktail.schedules import schedule_factor
from wellfit.errors import SettingError
from wellfit.torch.entry import columns, entry_of
from wellfit.torch.parts import weights_of

PENALTIES = (L1, L2, ElasticNet, GroupLasso)


def penalty(
    model: nn.Module,
    cocktail: Cocktail | Ingredient | str | None,
    *,
    smooth: bool = False,
    progress: float | None = None,
    entry: str | None = None,
) -> torch.Tensor:
    """Return ``l1 sum|W| + l2/2 sum W^2`` over the model's weights, a scalar tensor to add to the loss of a batch.

    ``cocktail`` is one of wellfit's, or its text: L1, L2 and elastic net act, one strength or one per weight, and so
    does group lasso on the columns of the layer that an input meets first, a linear one or a convolution. ``entry`` is
    the name of its weight, for models that do not call their layers in order as ``Sequential`` does and have several
    weights. Biases, normalizations and frozen parameters are never penalized. Other ingredients of the
    cocktail are no part of the objective (``docs/objective.md``) and add nothing: dropout is in the model, decay in the
    optimizer's groups.

    The gradient of L1 is the subgradient that is 0 at 0: weights become small and not 0. For exact zeros leave L1 to
    `ProximalOptimizer` and put the rest in the loss by ``smooth=True``, which leaves L1 and group lasso out.
    ``progress``, 0 to 1, is the share of the training done, for strengths on a schedule.

    Raises `SettingError` for a cocktail that acts and has no penalty at all, a schedule without ``progress``, group
    lasso where the first layer is not known or has no columns, and as `Cocktail.resolve`.

    >>> import torch
    >>> model = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[3.0, -4.0]]))
    >>> penalty(model, "l1=0.1 + l2=0.01").item(), penalty(model, "l1=0.1 + l2=0.01", smooth=True).item()
    (0.824999988079071, 0.125)
    """
    weights = weights_of(model)
    strengths = _strengths(as_cocktail(cocktail), len(weights), progress)
    total = weights[0].tensor.new_zeros(()) if weights else next(model.parameters()).new_zeros(())
    for weight, l1, l2 in zip(weights, strengths.l1, strengths.l2, strict=True):
        w = weight.tensor
        if l2:
            total = total + (l2 / 2 * w.square().sum()).to(total)
        if l1 and not smooth:
            total = total + (l1 * w.abs().sum()).to(total)
    if strengths.group_lasso and not smooth:
        first = entry_of(model, weights, entry)
        total = total + (strengths.group_lasso * columns(first).sum()).to(total)
    return total


def _strengths(cocktail: Cocktail, layers: int, progress: float | None) -> Strengths:
    kept = tuple(item for item in cocktail.ingredients if isinstance(item, PENALTIES))
    if not kept and any(item.acts for item in cocktail.ingredients):
        raise SettingError("toolbox.no_penalty", cocktail=cocktail)
    strengths = Cocktail(kept).resolve(layers)
    if not strengths.schedules:
        return strengths
    if progress is None or not 0 <= progress <= 1:
        raise SettingError("toolbox.needs_progress", cocktail=cocktail, value=progress)
    changed: dict[str, Any] = {}
    for name, schedule in strengths.schedules.items():
        factor, value = schedule_factor(schedule, progress), getattr(strengths, name)
        changed[name] = tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
    return replace(strengths, **changed)
