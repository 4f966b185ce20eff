"""The one door to PyTorch: rooms that need it pass here first, and only then import their own modules."""

from __future__ import annotations

from types import ModuleType

from wellfit.errors import MissingExtraError


def require_torch() -> ModuleType:
    """Return PyTorch's module. Raises `MissingExtraError`, which names ``wellfit[torch]``, where it is not installed.

    >>> require_torch().__name__
    'torch'
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":  # PyTorch is there, and what it needs is not: say that
            raise
        raise MissingExtraError("torch", "torch") from None
    return torch
