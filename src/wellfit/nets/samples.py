"""A few made-up inputs to try a module on, of the kinds that it takes: values, or whole numbers such as tokens.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

import math
from typing import Any

from wellfit.errors import SettingError
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()
nn: Any = torch.nn

VALUES, TOKENS = "values", "tokens"


def values(shape: tuple[int, ...]) -> Any:
    """Return numbers between -1 and 1 in no order, float64: the same on every machine."""
    return torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * 12.9898).reshape(shape)


def tokens_like(x: Any) -> Any:
    """Return tokens of the shape of x: 1, since 0 often means that there is none."""
    return torch.ones_like(x, dtype=torch.long)


def kinds_of(net: Any, x: Any, name: str) -> tuple[str, ...]:
    """Return what a module takes, in evaluation mode, of the shape of the values x: `VALUES`, `TOKENS` or both.

    Only one with an embedding is asked whether it takes tokens. Raises `SettingError`, with both reasons, where such a
    one fails on either.
    """
    if not any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in net.modules()):
        return (VALUES,)
    found, reasons = [], []
    net.train(False)
    for kind, given in ((VALUES, x), (TOKENS, tokens_like(x))):
        try:
            with torch.no_grad():
                net(given)
            found.append(kind)
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {error}")
    if not found:
        shape, (first, second) = tuple(x.shape), reasons
        raise SettingError("module.no_kind", name=name, given=shape, values=first, tokens=second)
    return tuple(found)
