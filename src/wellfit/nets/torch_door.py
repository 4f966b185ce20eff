"""The one door to PyTorch, which is an extra: nothing else decides whether it is there."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from wellfit.errors import MissingExtraError


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None


def require_torch() -> ModuleType:
    """Return PyTorch. Raises `MissingExtraError`, which names the extra to install, where it is absent."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":  # PyTorch is there, and what it needs is not: say that
            raise
        raise MissingExtraError("torch", "torch") from None
    return torch
