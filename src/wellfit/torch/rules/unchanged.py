"""A model, and the global random generators, as they were before a look."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from wellfit.torch.parts import modules_of


@contextmanager
def same_draws_afterwards() -> Iterator[None]:
    """Leave the global generators (Python's, NumPy's, PyTorch's) as they were: reading data may draw from them."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (it is theirs, and is only put back)
    with torch.random.fork_rng(devices=list(devices)):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 (the same)


@contextmanager
def same_model_afterwards(model: nn.Module) -> Iterator[None]:
    """Put modes, parameters and buffers back: a pass may count, keep its batch or normalize weights, in any mode.

    A buffer is the same tensor again, whatever the pass put in its place. What did not change is not written.
    """
    parts = [(module, module.training, dict(module._buffers)) for _, module in modules_of(model)]
    tensors = [*model.parameters(), *(b for *_, held in parts for b in held.values() if b is not None)]
    values = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        for module, training, held in parts:
            module.training = training
            module._buffers.clear()
            module._buffers.update(held)
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
