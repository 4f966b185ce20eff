"""Keras's layers on the torch backend, for a program that has imported Keras. Nothing here does."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from torch import nn

from wellfit.nets.orientation import Orientation

KERAS_DROPOUTS = ("Dropout", "AlphaDropout", "GaussianDropout")
KERAS_NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
_CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D")
# The axes of units, counted from the end, by kinds of layers and the names of their variables.
_UNITS: tuple[tuple[tuple[str, ...], dict[str, tuple[int, ...]]], ...] = (
    (("Dense", *_CONVOLUTIONS), {"kernel": (-1,)}),
    (("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), {"kernel": (-2,)}),
    (("DepthwiseConv1D", "DepthwiseConv2D"), {"kernel": (-2, -1)}),
    (("SeparableConv1D", "SeparableConv2D"), {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)}),
    (("SimpleRNNCell", "LSTMCell", "GRUCell"), {"kernel": (-1,), "recurrent_kernel": (-1,)}),
    (("Embedding",), {"embeddings": (-2,)}),
)


def keras_layers() -> ModuleType | None:
    """Return ``keras.layers`` where the program has imported Keras: without that it holds no Keras model."""
    return getattr(sys.modules.get("keras"), "layers", None)


def is_keras(module: nn.Module, *names: str) -> bool:
    """Return whether a module is a layer of Keras, of one of these classes if any is named."""
    layers = keras_layers()
    if layers is None:
        return False
    return isinstance(module, tuple(getattr(layers, name) for name in names or ("Layer",) if hasattr(layers, name)))


def is_recurrent_cell(module: nn.Module) -> bool:
    """Return whether a module is the cell of a recurrent layer of Keras's: its masks of dropout are its own."""
    return is_keras(module) and hasattr(module, "get_dropout_mask")


def layers_in_order(module: Any) -> list[Any] | None:
    """Return the layers of a ``keras.Sequential``, None for what calls its layers as it likes."""
    kind = getattr(sys.modules.get("keras"), "Sequential", None)
    if kind is None or not isinstance(module, kind) or type(module).call is not kind.call:
        return None
    return list(module.layers)


def orientation_of_variable(layer: Any, name: str, axes: int) -> Orientation | None:
    """Return how a layer's own variable lies, by its name there and its number of axes; None where nobody knows."""
    if is_keras(layer, "EinsumDense") and name == "kernel":
        kernel, left = layer.equation.partition(",")[2].split("->")
        return Orientation(tuple(axis for axis, letter in enumerate(kernel.strip()) if letter in left))
    for kinds, units in _UNITS:
        if name in units and is_keras(layer, *kinds):
            plain = is_keras(layer, "Dense") or (is_keras(layer, *_CONVOLUTIONS) and layer.groups == 1)
            return Orientation(tuple(axes + axis for axis in units[name]), inputs=axes - 2 if plain else None)
    return None
