"""Rules on the order of layers, read off one forward pass: what a dropout gave is followed to the batch norms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from wellfit.messages import say
from wellfit.torch.keras_layers import is_keras
from wellfit.torch.parts import called_in_order, dropout_rate, is_batch_norm, is_dropout, modules_of
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.data import tensors_in


@dataclass
class Trace:
    """What a pass showed: pairs of a dropout and a batch norm behind it, by name; weights right before a batch norm."""

    dropped: list[tuple[str, str]] = field(default_factory=list)
    before_batch_norm: list[torch.Tensor] = field(default_factory=list)


def order_rules(trace: Trace) -> Iterator[Advice]:
    """Yield the advice on dropout before batch normalization."""
    if trace.dropped:
        places = tuple(dict.fromkeys(dropout for dropout, _ in trace.dropped))
        text = say("toolbox.dropout_before_batch_norm", dropout=trace.dropped[0][0], norm=trace.dropped[0][1])
        yield Advice("dropout_before_batch_norm", places, text, say("toolbox.mend_dropout_before_batch_norm"))


def trace_of(model: nn.Module, inputs: tuple | dict | None) -> Trace:
    """Return the trace of a pass on one batch, in evaluation mode and left in it; without one, what is known."""
    trace = None if inputs is None else _passed(model, inputs)
    return trace or _in_order(model)


class _Following(TorchDispatchMode):
    """Follows data through operations: which dropouts it came through, by the memory in which it stands."""

    def __init__(self) -> None:
        super().__init__()
        self._through: dict[int, tuple[str, ...]] = {}
        self._held: list[torch.Tensor] = []  # so that no other tensor gets the memory

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: yes makes PyTorch import its compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Do the operation: what it gives, or writes into, has come through what its arguments came through."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self._through and (names := self.dropouts_of((args, kwargs))):
            self.mark(out, names)
        return out

    def dropouts_of(self, value: object) -> tuple[str, ...]:
        """Return the names of the dropouts that any tensor in a value came through."""
        found = (self._through.get(_memory(tensor), ()) for tensor in tensors_in(value))
        return tuple(dict.fromkeys(name for names in found for name in names))

    def mark(self, value: object, names: tuple[str, ...]) -> None:
        """Note that all tensors in a value came through these dropouts too."""
        for tensor in tensors_in(value):
            if tensor.numel():
                before = self._through.get(_memory(tensor), ())
                self._through[_memory(tensor)] = tuple(dict.fromkeys((*before, *names)))
                self._held.append(tensor)


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _passed(model: nn.Module, inputs: tuple | dict) -> Trace | None:
    trace, hooks, following = Trace(), [], _Following()
    # Each weighted layer's output: held, so that it stays the same object, and its version: what is added to it in
    # place makes it another tensor.
    made: list[tuple[torch.Tensor, int, nn.Module]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, given: tuple, named: dict, output: Any) -> Any:
            if is_dropout(module):
                if not dropout_rate(module):
                    return None
                # In evaluation it gives back what it was given, which may go around it too: this is a tensor apart.
                apart, before = output.clone(), following.dropouts_of(output)
                following.mark(apart, (*before, name))
                return apart
            if is_batch_norm(module):
                came = next(tensors_in((given, named)), None)
                trace.dropped += [(dropout, name) for dropout in following.dropouts_of(came)]
                same = [m for out, version, m in made if out is came and out._version == version]
                trace.before_batch_norm += [w for m in same for w in _weights(m)]
            elif _weights(module) and (out := next(tensors_in(output), None)) is not None:
                made.append((out, out._version, module))
            return None

        return hook

    try:
        for name, module in modules_of(model):
            hooks.append(module.register_forward_hook(note(name), with_kwargs=True))
        model.train(False)
        with torch.no_grad(), following:
            model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    except Exception:  # the model may want its batch in a shape of its own: then only what is called in order is known
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _in_order(model: nn.Module) -> Trace:
    """Return what is known without a batch: the order within what calls its parts one after another."""
    trace, rest = Trace(), [("", model)]
    while rest:
        name, module = rest.pop(0)
        chain, inner = _chain(name, module)
        rest += inner
        dropouts = [name for name, part in chain if part is not None and is_dropout(part) and dropout_rate(part)]
        where = [name for name, _ in chain]
        for name, part in chain:
            if part is not None and is_batch_norm(part):
                trace.dropped += [(d, name) for d in dropouts if where.index(d) < where.index(name)]
        parts = [part for _, part in chain if not isinstance(part, nn.Identity)]
        for before, part in pairwise(parts):
            if before is not None and part is not None and is_batch_norm(part):
                trace.before_batch_norm += _weights(before)
    return trace


Named = list[tuple[str, nn.Module]]


def _chain(name: str, module: nn.Module) -> tuple[list[tuple[str, nn.Module | None]], Named]:
    """Return a module's layers in the order of their calls, and the parts that are called as a ``forward`` likes.

    Such a module stands in the order as None.
    """
    parts = called_in_order(module)
    if parts is None:
        inner = _children(name, module)
        return [(name, None if inner else module)], inner
    whole, rest = [], []
    for key, part in parts:
        chain, inner = _chain(key if is_keras(part) else f"{name}.{key}".lstrip("."), part)
        whole += chain
        rest += inner
    return whole, rest


def _children(name: str, module: nn.Module) -> Named:
    """Return the parts of a module, named as `modules_of` names them."""
    if is_keras(module):
        layers: Any = module._layers
        return [(layer.name, layer) for layer in layers]
    return [(f"{name}.{key}".lstrip("."), part) for key, part in module.named_children()]


def _weights(module: nn.Module) -> list[torch.Tensor]:
    """Return a layer's own weight matrices or kernels."""
    if is_keras(module):
        own: Any = module.trainable_variables if not _children("", module) else []
        return [variable.value for variable in own if variable.name.endswith("kernel")]
    return [tensor for name, tensor in module.named_parameters(recurse=False) if tensor.ndim > 1 and "bias" not in name]
