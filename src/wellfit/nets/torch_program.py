"""A fitted model as a program of ``torch.export``: a file that PyTorch runs without wellfit and the user's code.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wellfit.errors import UnsupportedError
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Predictor
from wellfit.nets.onnx_graph import input_type
from wellfit.nets.storage import write_whole
from wellfit.nets.torch_door import require_torch
from wellfit.records import Array

torch: Any = require_torch()


def write_program(model: Predictor, path: Path, *, logits: bool = False) -> Path:
    """Write `to_torch`'s module as a program (``.pt2``), all at once, and return the path.

    ``torch.export.load(path).module()`` takes and returns what that module does, in the types of `to_onnx`; n is free.
    Raises `UnsupportedError` where PyTorch cannot trace the module, ``OSError`` where the place cannot be written.
    """
    net = model.to_torch(logits=logits)
    given = tuple(map(torch.as_tensor, examples(model)))
    held = io.BytesIO()
    try:
        with quiet():
            torch.export.save(torch.export.export(net, given, dynamic_shapes=any_rows(model)), held)
    except Exception as error:
        raise refused(error) from error
    write_whole(path, held.getvalue())
    return path


def examples(model: Predictor) -> list[Array]:
    """Return two rows of zeros for each array that a model takes, of the type that a graph takes."""
    shapes = [model.inputs or (len(group[0][0].feature_names),) for group in model.groups]
    return [np.zeros((2, *shape), dtype=input_type(model)) for shape in shapes]


def any_rows(model: Predictor) -> tuple:
    """Return what tells PyTorch's exporters that the number of rows is free."""
    each = tuple({0: torch.export.Dim("n")} for _ in model.groups)
    return (each,) if isinstance(model, Ensemble) else each  # an ensemble's arrays are one tuple


def refused(error: Exception) -> UnsupportedError:
    """Return the error of a module that PyTorch cannot trace: the first cause, in one line."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return UnsupportedError("export.failed", kind=type(error).__name__, error=str(error).strip().partition("\n")[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep PyTorch's exporter from telling of its own deprecations, and of packages that it would know, too."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
