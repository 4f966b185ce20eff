"""Rules on the order of layers, read off one forward pass: hooks note which layer is called after which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from wellfit.messages import say
from wellfit.torch.parts import dropout_rate, is_batch_norm, is_dropout, is_keras, modules_of
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.data import first_tensor


@dataclass
class Trace:
    """What a pass showed: dropouts and batch norms in the order of their calls, and weights right before a batch norm.

    ``calls`` holds (name, module); a layer that is called twice stands in it twice.
    """

    calls: list[tuple[str, nn.Module]] = field(default_factory=list)
    before_batch_norm: list[torch.Tensor] = field(default_factory=list)


def order_rules(trace: Trace) -> Iterator[Advice]:
    """Yield the advice on dropout before batch normalization."""
    norms = [i for i, (_, module) in enumerate(trace.calls) if is_batch_norm(module)]
    last = norms[-1] if norms else -1
    drops = [i for i, (_, module) in enumerate(trace.calls[: last + 1]) if dropout_rate(module) > 0]
    if drops:
        places = tuple(dict.fromkeys(trace.calls[i][0] for i in drops))
        norm = trace.calls[next(i for i in norms if i > drops[0])][0]
        text = say("toolbox.dropout_before_batch_norm", dropout=places[0], norm=norm)
        yield Advice("dropout_before_batch_norm", places, text, say("toolbox.mend_dropout_before_batch_norm"))


def trace_of(model: nn.Module, inputs: tuple | dict | None) -> Trace:
    """Return the trace of a pass on one batch in evaluation mode; where none succeeds, the order of registration."""
    trace = None if inputs is None else _passed(model, inputs)
    return trace or _registered(model)


def _passed(model: nn.Module, inputs: tuple | dict) -> Trace | None:
    trace, hooks = Trace(), []
    # Each weighted layer's output: held, so that it stays the same object, and its version: what is added to it in
    # place makes it another tensor.
    made: list[tuple[torch.Tensor, int, nn.Module]] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, given: tuple, output: Any) -> None:
            if is_batch_norm(module):
                came = first_tensor(given)
                same = [m for out, version, m in made if out is came and out._version == version]
                trace.before_batch_norm += [w for m in same for w in _weights(m)]
            if is_batch_norm(module) or is_dropout(module):
                trace.calls.append((name, module))
            elif _weights(module) and (out := first_tensor(output)) is not None:
                made.append((out, out._version, module))

        return hook

    try:
        for name, module in modules_of(model):
            hooks.append(module.register_forward_hook(note(name)))
        with evaluating(model), torch.no_grad():
            model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    except Exception:  # the model may want its batch in a shape of its own: then the order of registration has to do
        return None
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _registered(model: nn.Module) -> Trace:
    trace, before = Trace(), None
    for name, module in modules_of(model):
        if is_batch_norm(module) or is_dropout(module):
            trace.calls.append((name, module))
            if is_batch_norm(module) and before is not None:
                trace.before_batch_norm += _weights(before)
        if not isinstance(module, nn.Identity) and _is_leaf(module):
            before = module
    return trace


def _is_leaf(module: nn.Module) -> bool:
    inner: Any = module._layers if is_keras(module) else list(module.children())
    return not inner


def _weights(module: nn.Module) -> list[torch.Tensor]:
    """Return a layer's own weight matrices or kernels."""
    if is_keras(module):
        own: Any = module.trainable_variables if _is_leaf(module) else []
        return [variable.value for variable in own if variable.name.endswith("kernel")]
    return [tensor for name, tensor in module.named_parameters(recurse=False) if tensor.ndim > 1 and "bias" not in name]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode while the block runs, and each module back into its own afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
