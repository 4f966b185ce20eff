"""Parameter groups for an optimizer: weights decayed, biases and normalizations not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import groupby

from torch import nn

from wellfit.cocktail import Cocktail, WeightDecay
from wellfit.errors import SettingError
from wellfit.torch.parts import parameters_of

# The key by which a group says whether it holds weights; optimizers keep keys that they do not know.
HOLDS_WEIGHTS = "holds_weights"


def parameter_groups(
    model: nn.Module, weight_decay: float | tuple[float, ...], *, undecayed: Iterable[str] = ()
) -> list[dict]:
    """Return parameter groups for any optimizer of ``torch.optim``: weights decay, biases and normalizations do not.

    Weights are what has at least two axes and is neither (embeddings too, unless they are named in ``undecayed``).
    ``weight_decay`` is one number, or one per weight in the order of the model. With AdamW it is wellfit's
    ``weight_decay`` (decoupled; Loshchilov & Hutter 2019), with SGD and Adam its ``l2`` (coupled). ``undecayed`` names
    further parameters to leave alone, as ``model.named_parameters()`` has them. Every trainable parameter is in exactly
    one group, a frozen one in none: thaw it first, or add a group for it later.

    Raises `SettingError` for a negative strength, a wrong count of them, a name that the model does not have, and a
    model without parameters or with all of them frozen.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 3))
    >>> groups = parameter_groups(model, weight_decay=0.01)
    >>> [(group["weight_decay"], [tuple(p.shape) for p in group["params"]]) for group in groups]
    [(0.01, [(8, 4), (3, 8)]), (0.0, [(8,), (8,), (8,), (3,)])]
    >>> optimizer = torch.optim.AdamW(groups, lr=1e-3)
    """
    parameters = parameters_of(model)
    if not parameters:
        raise SettingError("toolbox.all_frozen", kind=type(model).__name__)
    weights = [p for p in parameters if p.kind == "weight"]
    spared = set(undecayed)
    _check_names(spared, [p.name for p in parameters])
    strengths = Cocktail((WeightDecay(weight_decay),)).resolve(len(weights)).weight_decay
    decays = [0.0 if p.name in spared else s for p, s in zip(weights, strengths, strict=True)]
    groups = [
        # One group for each run of equal decays, so that the weights stay in the order of the model.
        {"params": [p.tensor for p, _ in run], "weight_decay": decay, HOLDS_WEIGHTS: True}
        for decay, run in groupby(zip(weights, decays, strict=True), key=lambda pair: pair[1])
    ]
    rest = [p.tensor for p in parameters if p.kind != "weight"]
    return [*groups, {"params": rest, "weight_decay": 0.0, HOLDS_WEIGHTS: False}] if rest else groups


def _check_names(given: set[str], known: list[str]) -> None:
    for name in sorted(given - set(known)):
        near = difflib.get_close_matches(name, known, 3, 0.3)
        raise SettingError("toolbox.no_such_parameter", name=name, near=", ".join(near or known[:3]))
