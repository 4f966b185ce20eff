"""Keras's layers on the torch backend, for a program that has imported Keras. Nothing here does."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from torch import nn

KERAS_DROPOUTS = ("Dropout", "AlphaDropout", "GaussianDropout")


def keras_layers() -> ModuleType | None:
    """Return ``keras.layers`` where the program has imported Keras: without that it holds no Keras model."""
    return getattr(sys.modules.get("keras"), "layers", None)


def is_keras(module: nn.Module, *names: str) -> bool:
    """Return whether a module is a layer of Keras, of one of these classes if any is named."""
    layers = keras_layers()
    if layers is None:
        return False
    return isinstance(module, tuple(getattr(layers, name) for name in names or ("Layer",) if hasattr(layers, name)))


def layers_in_order(module: Any) -> list[Any] | None:
    """Return the layers of a ``keras.Sequential``, None for what calls its layers as it likes."""
    kind = getattr(sys.modules.get("keras"), "Sequential", None)
    if kind is None or not isinstance(module, kind) or type(module).call is not kind.call:
        return None
    return list(module.layers)
