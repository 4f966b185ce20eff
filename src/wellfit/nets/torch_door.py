"""The one door to PyTorch, which is an extra: nothing else decides whether it is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

from wellfit.errors import MissingExtraError

_WAITING = "OMP_WAIT_POLICY"


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None


def require_torch() -> ModuleType:
    """Return PyTorch. Raises `MissingExtraError`, which names the extra to install, where it is absent."""
    try:
        with _waiting_asleep():
            import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":  # PyTorch is there, and what it needs is not: say that
            raise
        raise MissingExtraError("torch", "torch") from None
    return torch


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory is used up: PyTorch has one kind for a GPU and another for a CPU."""
    kind = type(error).__name__
    return isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


@contextmanager
def _waiting_asleep() -> Iterator[None]:
    """Have threads of PyTorch that wait for each other sleep and not spin, unless the user says otherwise.

    Where other programs use the cores too, spinning makes a step up to thirty times as long (docs/modules.md). OpenMP
    reads this once, as PyTorch is imported; where that was done before us nothing changes.
    """
    if "torch" in sys.modules or _WAITING in os.environ:
        yield
        return
    os.environ[_WAITING] = "PASSIVE"
    try:
        yield
    finally:
        del os.environ[_WAITING]
