"""What a model's file says of a PyTorch module, and how that is held against the module at hand. No code is stored."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.errors import MissingExtraError, ModelFileError, WellfitError
from wellfit.nets.module import Inputs, Module
from wellfit.nets.modules import MODULES
from wellfit.nets.torch_door import require_torch
from wellfit.records import Array

if TYPE_CHECKING:
    from wellfit.nets.built import Built
    from wellfit.nets.fitted import Fitted

# Numbers in one input that a file may ask for: trying a module takes memory in proportion.
MOST_INPUTS = 2**24
# Parameters that a module may make beyond those of the file (normalization that was left out) before it is refused.
SPARE = 2**20
# Outputs for the trial input are kept to four digits and may differ by this share of the largest: other processors and
# versions add in another order.
TOLERANCE = 5e-3


def described(model: Fitted) -> dict[str, Any]:
    """Return what a file says of a model's module: its name and settings, its tensors, its outputs for a trial input.

    ``signature`` is that of `Built`, which a ledger's key ends in too.
    """
    network, built = model.network, model.built
    assert isinstance(network, Module)
    return {
        "module": network.name,
        "insert_dropout": network.insert_dropout,
        "inputs": built.inputs,
        "outputs": built.outputs,
        "batch_norm": built.batch_norm,
        "signature": built.signature,
        "tensors": [[slot.name, list(slot.shape)] for slot in built.layout.slots],
        "trial": [[float(f"{value:.4g}") for value in row] for row in _trial(built, model.parameters)],
    }


def found(said: dict[str, Any], parameters: Array, given: Module | None, place: Path) -> Module:
    """Return the module that a file speaks of: the one ``given``, or one that comes with wellfit.

    Raises `ModelFileError` where there is none of that name, where it fails, and where its tensors or its outputs for
    the trial input are other ones; ``ValueError`` where what the file says makes no sense.
    """
    name, inputs, outputs = str(said["module"]), _inputs(said["inputs"]), int(said["outputs"])
    tensors = [(str(tensor), tuple(map(int, shape))) for tensor, shape in said["tensors"]]
    sizes = [math.prod(shape) for _, shape in tensors]
    if sum(sizes) != parameters.size or min(sizes, default=0) < 0 or not 1 <= outputs <= max(1, parameters.size):
        raise ValueError("the tensors do not fit the parameters")
    if given is None and name not in MODULES:
        name = name[:200]
        code = '"FILE.py:NAME"' if ".py:" in name else f"wf.module({json.dumps(name)}, factory)"
        raise ModelFileError("fitted.whose_module", path=place, name=name, code=code)
    module = replace(given or Module(name, MODULES[name]), insert_dropout=bool(said["insert_dropout"]))
    module = module.bound(inputs, outputs)
    try:
        count = _size(module, inputs, outputs)
        if count > parameters.size + SPARE:
            raise ModelFileError("fitted.larger_module", path=place, name=name, file=parameters.size, own=count)
        built = module.built(inputs, outputs, batch_norm=bool(said["batch_norm"]))
    except (ModelFileError, MissingExtraError):
        raise
    except WellfitError as error:
        raise ModelFileError("fitted.module_fails", path=place, name=name, reason=error) from error
    here = [(slot.name, slot.shape) for slot in built.layout.slots]
    if tensors != here:
        raise ModelFileError("fitted.other_layers", path=place, name=name, **_difference(tensors, here))
    if not _same(np.array(said["trial"], dtype=np.float64), _trial(built, parameters)):
        signatures = {"file": str(said["signature"])[:20], "own": built.signature}
        raise ModelFileError("fitted.other_outputs", path=place, name=name, **signatures)
    return module


def _inputs(value: Any) -> Inputs:
    shape = (value,) if isinstance(value, int) else tuple(map(int, value))
    if not shape or min(shape) < 1 or math.prod(shape) > MOST_INPUTS:
        raise ValueError("no shape of an input")
    return shape[0] if isinstance(value, int) else shape


def _size(module: Module, inputs: Inputs, outputs: int) -> int:
    """Return how many parameters the factory would make, without taking memory for them; 0 where it does not say."""
    from wellfit.nets.built import drawing

    torch: Any = require_torch()
    try:
        with drawing(0), torch.device("meta"):  # what a factory draws is nobody else's
            net = module.make(inputs, outputs)
        return sum(parameter.numel() for parameter in net.parameters())
    except WellfitError:
        raise
    except Exception:  # a factory that reads its numbers cannot be asked without making them
        return 0


def _trial(built: Built, parameters: Array) -> Array:
    """Return the outputs (rows, k) for the trial input."""
    with np.errstate(all="ignore"):
        return built.forward(parameters, built.example().numpy())


def _same(file: Array, own: Array) -> bool:
    if file.shape != own.shape:
        return False
    finite = np.abs(own[np.isfinite(own)])
    return np.allclose(file, own, rtol=TOLERANCE, atol=TOLERANCE * finite.max(initial=1e-30), equal_nan=True)


def _difference(file: list, own: list) -> dict[str, str]:
    """Return the first pair of tensors that differ, in words; a dash where one side has no more."""
    first, second = next(pair for pair in zip_longest(file, own) if pair[0] != pair[1])
    return {"file": _said(first), "own": _said(second)}


def _said(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    return "-" if tensor is None else f"{tensor[0][:200]} {tensor[1]}"
