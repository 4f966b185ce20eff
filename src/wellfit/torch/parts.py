"""The layers and parameters of a model: which are weights, and which are biases or belong to a normalization.

Keras 3 on the torch backend keeps its layers beside PyTorch's own list of modules, and its parameters, sorted by
name, in a dictionary; here both are found in the order in which the model was built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn

from wellfit.errors import SettingError
from wellfit.nets.layout import is_weight, normalizes
from wellfit.nets.orientation import Orientation, orientation_of
from wellfit.torch.keras_layers import (
    KERAS_DROPOUTS,
    KERAS_NORMS,
    is_keras,
    is_recurrent_cell,
    layers_in_order,
    orientation_of_variable,
)

Kind = Literal["weight", "bias", "normalization", "other"]
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
DROPOUTS = (nn.modules.dropout._DropoutNd,)


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter of a model: its name, what kind it is, and how it lies in its layer, None where nobody knows."""

    name: str
    tensor: torch.Tensor
    kind: Kind
    orientation: Orientation | None = None


def is_batch_norm(module: nn.Module) -> bool:
    """Return whether a module normalizes by the statistics of its batch."""
    return isinstance(module, BATCH_NORMS) or is_keras(module, "BatchNormalization")


def is_dropout(module: nn.Module) -> bool:
    """Return whether a module is a dropout layer."""
    return isinstance(module, DROPOUTS) or is_keras(module, *KERAS_DROPOUTS)


def dropout_attribute(module: nn.Module) -> str:
    """Return the name of the attribute that holds a module's dropout rate, or nothing.

    Attention drops its weights, a recurrent network of several layers what passes from one to the next, and a recurrent
    cell of Keras's its inputs.
    """
    if is_recurrent_cell(module):
        return "dropout"
    if is_dropout(module):
        return "rate" if is_keras(module) else "p"
    if isinstance(module, nn.MultiheadAttention) or (isinstance(module, nn.RNNBase) and module.num_layers > 1):
        return "dropout"
    return ""


def dropout_rate(module: nn.Module) -> float:
    """Return the dropout rate of a module, 0 for one that drops nothing."""
    attribute = dropout_attribute(module)
    return float(getattr(module, attribute)) if attribute else 0.0


def modules_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module with its name, in the order in which they were registered, each once.

    Raises `SettingError` for what is no ``nn.Module``.
    """
    if not isinstance(model, nn.Module):
        raise SettingError("toolbox.not_a_module", kind=type(model).__name__)
    seen: set[int] = set()
    for name, module in model.named_modules():
        found = [(name, module)]
        if is_keras(module):
            # Keras has no public walk through the layers within layers. A wrapped torch module is within its wrapper.
            inner = [part for layer in module._flatten_layers() for part in layer.named_modules(prefix=layer.name)]
            found = [(name, module), *inner]
        for part_name, part in found:
            if id(part) not in seen and not isinstance(part, nn.ParameterDict | nn.ParameterList):
                seen.add(id(part))
                yield part_name, part


def called_in_order(module: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """Return the parts of a module that calls one after another, with their names in it; None of what does otherwise.

    Those are PyTorch's and Keras's ``Sequential``: nobody knows what a ``forward`` of one's own does.
    """
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return list(module.named_children())
    layers = layers_in_order(module)
    return None if layers is None else [(layer.name, layer) for layer in layers]


def parameters_of(model: nn.Module, *, frozen: bool = False) -> list[Parameter]:
    """Return all parameters that training changes, each once, in the order in which the model was built.

    Frozen ones (``requires_grad=False``, Keras's ``trainable=False``) are left out, as in the engine, if they are not
    asked for. A *weight* has at least two axes, is no bias and belongs to no normalization: weight matrices, kernels,
    embeddings. Raises `SettingError` for a model without parameters, or with some that have no shape before the first
    batch.
    """
    owners = _owners(model)
    found: dict[int, Parameter] = {}
    there = False
    for name, tensor, trainable in _tensors(model):
        if nn.parameter.is_lazy(tensor):
            raise SettingError("toolbox.no_shape", name=name)
        there = there or tensor.is_floating_point()  # Keras keeps the state of its generators as a variable
        if id(tensor) not in found and (trainable or (frozen and tensor.is_floating_point())):
            found[id(tensor)] = _parameter(name, tensor, *owners[id(tensor)])
    if not there:
        raise SettingError("toolbox.no_parameters", kind=type(model).__name__)
    return list(found.values())


def weights_of(model: nn.Module, *, frozen: bool = False) -> list[Parameter]:
    """Return the weights alone: what penalties and decay act on. A strength per layer has one number for each."""
    return [parameter for parameter in parameters_of(model, frozen=frozen) if parameter.kind == "weight"]


def _owners(model: nn.Module) -> dict[int, tuple[nn.Module, str]]:
    """Return, by tensor, the layer that it is a parameter of, and its name there."""
    found: dict[int, tuple[nn.Module, str]] = {}
    wrapped: dict[int, tuple[nn.Module, str]] = {}
    for _, module in modules_of(model):
        if is_keras(module):
            # Those of the layers within are among them: the last to name one is its own.
            found.update({id(v.value): (module, v.name) for v in cast(Any, module).variables})
        else:
            for name, tensor in module.named_parameters(recurse=False):
                wrapped.setdefault(id(tensor), (module, name))
    return found | wrapped


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """Yield name, tensor and whether it is trained."""
    keras_names: set[str] = set()
    for name, module in model.named_modules():
        if is_keras(module):
            for variable in module.variables:
                yield variable.path, variable.value, variable.trainable and variable.value.requires_grad
            keras_names.add(f"{name}.")
        elif not any(name.startswith(prefix) or prefix == "." for prefix in keras_names):
            for leaf, tensor in module.named_parameters(recurse=False):
                yield f"{name}.{leaf}" if name else leaf, tensor, tensor.requires_grad


def _parameter(name: str, tensor: torch.Tensor, owner: nn.Module, leaf: str) -> Parameter:
    if is_keras(owner):
        normalizing = is_keras(owner, *KERAS_NORMS) or leaf in ("gamma", "beta")
        orientation = orientation_of_variable(owner, leaf, tensor.ndim)
    else:
        normalizing = normalizes(owner, leaf, tensor)  # the engine's rule, as is that of weights
        orientation = orientation_of(owner, leaf)
    kind: Kind = "bias" if "bias" in leaf else "other"
    if normalizing:
        kind = "normalization"
    elif is_weight(leaf, tensor):
        kind = "weight"
    return Parameter(name, tensor, kind, orientation)
