"""A fitted model as an ONNX graph: MLPs written out node by node, modules by PyTorch's exporter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wellfit.errors import UnsupportedError
from wellfit.nets.fitted import Predictor
from wellfit.nets.network import MLP
from wellfit.nets.onnx_door import require_onnx
from wellfit.nets.onnx_graph import input_names, mlp_graph
from wellfit.nets.storage import write_whole


def to_onnx(model: Predictor, path: Path, *, logits: bool = False) -> Path:
    """Write a model as an ONNX graph in float32, all at once, and return the path.

    The graph takes ``x`` (n, d) float32, the prepared features as `Predictor.prepared` returns them; an ensemble of
    several preprocessings takes ``x0``, ``x1``, ... one for each, in order. Of images it takes bytes
    (n, channels, height, width) uint8, and reads them itself; float32 where the data was no bytes, int64 for tokens.
    n is free. It returns ``probabilities`` (n, classes), or ``values`` (n, 1) in the target's unit, or with
    ``logits`` the ``logits`` (n, k), one for two classes. Its metadata hold ``classes``, ``features`` (names of the
    prepared features, of each input) and ``target`` as JSON.

    An MLP needs no PyTorch. A module goes through PyTorch's exporter: raises `UnsupportedError` where that fails;
    `UnsupportedError` for logits of a regression, ``OSError`` where the place cannot be written, `MissingExtraError`.
    """
    if logits and model.task == "regression":
        raise UnsupportedError("fitted.no_probabilities", target=model.target_name)
    onnx: Any = require_onnx()
    name = "values" if model.task == "regression" else "logits" if logits else "probabilities"
    plain = all(isinstance(part.network, MLP) for group in model.groups for part, _ in group)
    graph = mlp_graph(model, name) if plain else _traced(model, name)
    told = {
        "classes": list(model.classes),
        "features": [list(group[0][0].feature_names) for group in model.groups],
        "target": model.target_name,
    }
    onnx.helper.set_model_props(graph, {key: json.dumps(value) for key, value in told.items()})
    write_whole(path, graph.SerializeToString(deterministic=True))
    return path


def _traced(model: Predictor, name: str) -> Any:
    """Return the graph that PyTorch's exporter makes."""
    from wellfit.nets.torch_program import any_rows, examples, quiet, refused, torch

    require_onnx("onnxscript")
    net = model.to_torch(logits=name == "logits")
    given = tuple(map(torch.as_tensor, examples(model)))
    try:
        with quiet():
            made = torch.onnx.export(
                net.float(),
                given,
                input_names=input_names(model),
                output_names=[name],
                dynamo=True,
                dynamic_shapes=any_rows(model),
                verbose=False,
            )
    except Exception as error:
        raise refused(error) from error
    return made.model_proto
