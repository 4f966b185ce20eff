"""The one door to ONNX, which is an extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from wellfit.errors import MissingExtraError


def require_onnx(package: str = "onnx") -> ModuleType:
    """Return ``onnx``, or ``onnxscript``. Raises `MissingExtraError`, which names the extra, where it is absent."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # it is there, and what it needs is not: say that
            raise
        raise MissingExtraError(package, "onnx") from None
