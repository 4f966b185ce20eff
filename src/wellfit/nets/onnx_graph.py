"""MLPs, and ensembles of them, as ONNX graphs, written node by node: needs onnx, and no PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted, Predictor
from wellfit.nets.network import LEAK, MLP
from wellfit.nets.onnx_door import require_onnx
from wellfit.records import Array

# Of 2023, and all that is needed: runtimes read what is older than they are.
OPSET, IR = 17, 8
_ONE_NODE = {"relu": ("Relu", {}), "tanh": ("Tanh", {}), "leaky_relu": ("LeakyRelu", {"alpha": LEAK})}


def mlp_graph(model: Predictor, name: str) -> Any:
    """Return the graph of a model whose networks are MLPs; its output is ``name``: probabilities, values or logits."""
    onnx: Any = require_onnx()
    graph = _Graph(onnx)
    parts: list[tuple[Fitted, float, str]] = []
    for title, group in zip(input_names(model), model.groups, strict=True):
        x = graph.input(title, group[0][0])
        parts += [(part, weight, x) for part, weight in group if weight]
    if isinstance(model, Ensemble):
        out = _averaged(graph, model, parts, name)
    else:
        out = _read(graph, parts[0][0], parts[0][2], name)
    single = model.task == "regression" or (model.task == "binary" and name == "logits")
    return graph.finished(out, name, 1 if single else len(model.classes))


def input_names(model: Predictor) -> list[str]:
    """Return what the inputs of a graph are called: x, or x0, x1, ... for several preprocessings."""
    return ["x"] if len(model.groups) == 1 else [f"x{i}" for i in range(len(model.groups))]


def input_type(model: Predictor) -> type[np.generic]:
    """Return the type of the numbers that a graph takes."""
    kinds: dict[str, type[np.generic]] = {"bytes": np.uint8, "tokens": np.int64}
    return kinds.get(model.scale, np.float32) if model.inputs else np.float32


def _averaged(graph: _Graph, model: Ensemble, parts: list[tuple[Fitted, float, str]], name: str) -> str:
    """Add the weighted mean of the networks' outputs, calibrated: see `wellfit.nets.torch_export.Average`."""
    kind = "values" if model.task == "regression" else "probabilities"
    terms = [graph.add("Mul", _read(graph, part, x, kind), graph.number(weight)) for part, weight, x in parts]
    total = terms[0] if len(terms) == 1 else graph.add("Sum", *terms)
    if model.task == "regression" or (model.temperature == 1 and name != "logits"):
        return total
    clipped = graph.add("Clip", total, graph.number(np.finfo(np.float64).eps), graph.number(1.0))
    logs = graph.add("Div", graph.add("Log", clipped), graph.number(model.temperature))
    if name != "logits":
        return graph.add("Softmax", logs, axis=1)
    # Of two classes the difference, as a product with a column.
    return graph.add("MatMul", logs, graph.constant(np.array([[-1.0], [1.0]]))) if model.task == "binary" else logs


def _read(graph: _Graph, part: Fitted, x: str, name: str) -> str:
    """Add one network's probabilities, values or logits."""
    out = _forward(graph, part, x)
    if name == "values":
        out = graph.add("Mul", out, graph.number(part.target_scale))
        return graph.add("Add", out, graph.number(part.target_mean))
    if name == "logits":
        return out
    if part.task == "binary":  # the first of two classes has the logit 0
        out = graph.add("MatMul", out, graph.constant(np.array([[0.0, 1.0]])))
    return graph.add("Softmax", out, axis=1)


def _forward(graph: _Graph, part: Fitted, x: str) -> str:
    """Add the layers of one network."""
    assert isinstance(part.network, MLP)
    for i, (weights, bias) in enumerate(part.layers):
        if i:
            x = _activated(graph, part.network.activation, x)
        x = graph.add("Gemm", x, graph.constant(weights), graph.constant(bias), transB=1)
    return x


def _activated(graph: _Graph, name: str, z: str) -> str:
    """Add an activation: the formulas of `wellfit.nets.network.activate`."""
    if name in _ONE_NODE:
        kind, settings = _ONE_NODE[name]
        return graph.add(kind, z, **settings)
    if name == "silu":
        return graph.add("Mul", z, graph.add("Sigmoid", z))
    # GELU: z Phi(z) = z (1 + erf(z / sqrt 2)) / 2
    shares = graph.add("Add", graph.add("Erf", graph.add("Mul", z, graph.number(math.sqrt(0.5)))), graph.number(1.0))
    return graph.add("Mul", graph.add("Mul", z, graph.number(0.5)), shares)


class _Graph:
    """Nodes and constants as they are added, each under a name of its own."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, model: Fitted) -> str:
        """Add what a model takes, and return it as rows (n, d) float32."""
        helper, kind = self.onnx.helper, np.dtype(input_type(model))
        shape = ["n", *(model.inputs or (len(model.feature_names),))]
        self.inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(kind), shape))
        if not model.inputs:
            return name
        if kind != np.float32:
            name = self.add("Cast", name, to=self.onnx.TensorProto.FLOAT)
        if kind == np.uint8:
            name = self.add("Sub", self.add("Div", name, self.number(127.5)), self.number(1.0))
        return self.add("Flatten", name, axis=1)

    def add(self, kind: str, *given: str, **settings: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(given), [name], name=name, **settings))
        return name

    def constant(self, values: Array) -> str:
        """Add an array as float32 and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values, dtype=np.float32), name))
        return name

    def number(self, value: float) -> str:
        """Add one number and return its name."""
        return self.constant(np.array(value))

    def finished(self, out: str, name: str, width: int) -> Any:
        """Return the model whose output is ``out``, called ``name``, (n, width)."""
        helper = self.onnx.helper
        self.nodes.append(helper.make_node("Identity", [out], [name]))
        outputs = [helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, ["n", width])]
        graph = helper.make_graph(self.nodes, "wellfit", self.inputs, outputs, self.constants)
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opset, ir_version=IR, producer_name="wellfit")
        self.onnx.checker.check_model(made, full_check=True)
        return made
