"""Models handed over to PyTorch and ONNX: the same outputs, whatever made them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from modules import Plain, image_table, trained
from tables import made_table
from torch_modules import Attentive, Recurrent, Tokens

import wellfit as wf
from wellfit.errors import MissingExtraError, SettingError, UnsupportedError
from wellfit.nets import MLP
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted
from wellfit.nets.network import ACTIVATIONS
from wellfit.records import Table
from wellfit.select.fitting import fit

torch = pytest.importorskip("torch")

IMAGES, PLAIN = image_table(), wf.module("plain", Plain)
TASKS = ("binary", "multiclass", "regression")


def mlp(table: Table, network: MLP | None = None, cocktail: str = "dropout=0.2 + batch_norm", rows=None) -> Fitted:
    rows = np.arange(table.rows) if rows is None else rows
    training = wf.Training(epochs=5, batch_size=16, learning_rate=0.02)
    [(_, model)] = fit(table, rows, network or MLP((6, 5)), wf.Cocktail.parse(cocktail), training, 0)
    return model


def linear(task: str) -> Fitted:
    """The exact solution, in float64."""
    table = made_table(task, rows=60)
    [(_, model)] = fit(table, np.arange(60), MLP(()), wf.Cocktail.parse("l2=0.01"), wf.Training(), 0)
    assert model.parameters.dtype == np.float64
    return model


def of_folds(table: Table, temperature: float) -> Ensemble:
    """Networks of three folds, of which two share a preprocessing."""
    first, second = (mlp(table, rows=np.setdiff1d(np.arange(60), part)) for part in np.split(np.arange(60), 2))
    twin = replace(first, parameters=first.parameters * np.float32(0.8))
    return Ensemble((first, second, twin), np.array([0.5, 0.3, 0.2]), temperature)


def expected(model: Fitted | Ensemble, source: object) -> np.ndarray:
    return model.predict(source)[:, None] if model.task == "regression" else model.predict_proba(source)


def close(found, model: Fitted | Ensemble, source: object) -> None:
    truth = expected(model, source)
    assert np.ptp(truth, axis=0).max() > 0.01, "a test where all rows are alike shows nothing"
    unit = max(1.0, float(np.abs(truth).max()))
    np.testing.assert_allclose(found / unit, truth / unit, rtol=0, atol=1e-6)


def run_torch(model: Fitted | Ensemble, source: object, **options) -> np.ndarray:
    net = model.to_torch(**options)
    with torch.no_grad():
        return net(*map(torch.as_tensor, model.prepared(source))).double().numpy()


# PyTorch


@pytest.mark.parametrize("task", TASKS)
def test_torch_gives_what_the_model_predicts(task) -> None:
    table = made_table(task, rows=60)
    for model in (mlp(table), linear(task), of_folds(table, 1.0)):
        close(run_torch(model, table.columns), model, table.columns)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_torch_has_every_activation(activation) -> None:
    table = made_table(rows=60)
    model = mlp(table, MLP((6,), activation), "none")
    close(run_torch(model, table.columns), model, table.columns)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_torch_calibrates_as_the_ensemble_does_also_where_it_is_sure(task, temperature) -> None:
    table = made_table(task, rows=60)
    model = of_folds(table, temperature)
    close(run_torch(model, table.columns), model, table.columns)
    # Logits of 20 and more: 1 - p has no digits left in float32.
    sure = replace(model.parts[0], parameters=model.parts[0].parameters * np.float32(5))
    certain = Ensemble((sure, sure), np.array([0.5, 0.5]), temperature)
    assert certain.parts[0].outputs_of(table.columns).max() > 1 - 1e-6
    close(run_torch(certain, table.columns), certain, table.columns)


@pytest.mark.parametrize("network", [PLAIN, MLP((5,), "gelu"), wf.module("cnn")], ids=str)
def test_torch_takes_images_as_bytes_or_as_numbers(network) -> None:
    table = image_table(side=12, channels=3)
    model = trained(table, network, "l2=0.001")
    close(run_torch(model, table.inputs), model, table.inputs)
    with torch.no_grad():
        found = model.to_torch()(torch.tensor(table.inputs) / 127.5 - 1)
    close(found.numpy(), model, table.inputs)


def test_logits_are_those_before_the_link() -> None:
    for task in ("binary", "multiclass"):
        table = made_table(task, rows=60)
        model, together = mlp(table), of_folds(table, 2.0)
        logits = run_torch(model, table.columns, logits=True)
        assert logits.shape == (60, model.outputs)
        full = np.hstack([np.zeros((60, 1)), logits]) if task == "binary" else logits
        close(np.exp(full) / np.exp(full).sum(1, keepdims=True), model, table.columns)
        logits = run_torch(together, table.columns, logits=True)
        full = np.hstack([np.zeros((60, 1)), logits]) if task == "binary" else logits
        close(np.exp(full) / np.exp(full).sum(1, keepdims=True), together, table.columns)
    with pytest.raises(UnsupportedError, match="no probabilities"):
        linear("regression").to_torch(logits=True)


def test_a_users_module_comes_back_as_the_users_own() -> None:
    model = trained(IMAGES, PLAIN, "dropout=0.3 + batch_norm")
    net = model.to_torch(logits=True)
    assert type(net) is Plain
    assert not net.training
    own = Plain((1, 6, 6), 3)
    assert list(net.state_dict()) == list(own.state_dict())
    own.load_state_dict(net.state_dict())
    x = torch.tensor(IMAGES.inputs)
    with torch.no_grad():
        assert torch.equal(own.train(False)(x / 127.5 - 1), net(x))
    assert type(net.drop) is torch.nn.Dropout2d
    assert net.drop.p == 0.3, "the cocktail's rate, not the class's 0.9"
    assert trained(IMAGES, PLAIN, "none").to_torch().drop.p == 0


@pytest.mark.parametrize("kind", [Recurrent, Attentive])
def test_modules_of_other_kinds_on_columns(kind, tmp_path) -> None:
    table = made_table(rows=60, columns=5)
    model = trained(table, wf.module("other", kind), "dropout=0.1" if kind is Attentive else "none", epochs=8)
    close(run_torch(model, table.columns), model, table.columns)
    again = Fitted.load(model.save(tmp_path / "m"), network=wf.module("other", kind))
    np.testing.assert_array_equal(again.predict_proba(table.columns), model.predict_proba(table.columns))
    close(run_onnx(model, table.columns, tmp_path / "m.onnx"), model, table.columns)


def test_a_module_of_tokens(tmp_path) -> None:
    tokens = np.random.default_rng(1).integers(0, 10, (60, 5))
    target = (tokens.mean(1) > 4.5).astype(np.int64)
    table = Table("t", {}, {}, target, "y", "binary", ("low", "high"), inputs=tokens, scale="tokens")
    model = trained(table, wf.module("tokens", Tokens), "none", epochs=8)
    close(run_torch(model, tokens), model, tokens)
    again = Fitted.load(model.save(tmp_path / "m"), network=wf.module("tokens", Tokens))
    np.testing.assert_array_equal(again.predict_proba(tokens), model.predict_proba(tokens))


def three_layers(inputs: tuple[int, int, int], outputs: int) -> torch.nn.Module:
    nn = torch.nn
    body = [nn.Flatten(), nn.Linear(math.prod(inputs), 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU()]
    return nn.Sequential(*body, nn.Linear(5, outputs))


def test_inserted_layers_are_there_with_their_rates(tmp_path) -> None:
    model = trained(IMAGES, wf.module("three", three_layers, insert_dropout=True), "dropout=(0.1, 0.2) + batch_norm")
    net = model.to_torch()
    rates = {name: part.p for name, part in net.named_modules() if isinstance(part, torch.nn.Dropout)}
    assert rates == {"3.inserted_dropout": 0.1, "5.inserted_dropout": 0.2}
    assert [name for name, part in net.named_modules() if isinstance(part, torch.nn.BatchNorm1d)] == [
        "1.inserted_norm",
        "3.inserted_norm",
    ]
    assert {"1.weight", "3.weight", "5.weight"} <= set(net.state_dict())
    x = torch.as_tensor(IMAGES.inputs)
    assert not torch.allclose(net.train()(x), net.eval()(x))
    close(run_torch(model, IMAGES.inputs), model, IMAGES.inputs)
    close(run_onnx(model, IMAGES.inputs, tmp_path / "m"), model, IMAGES.inputs)


def test_values_of_a_module_are_in_the_targets_unit(tmp_path) -> None:
    table = made_table("regression", rows=60)
    table = replace(table, target=table.target * 300 + 2000)
    dense = wf.module("dense", lambda inputs, outputs: torch.nn.Linear(inputs, outputs))
    model = trained(table, dense, "none", epochs=20)
    assert model.target_scale > 100
    close(run_torch(model, table.columns), model, table.columns)
    close(run_onnx(model, table.columns, tmp_path / "m"), model, table.columns)


def test_what_comes_back_can_be_trained_further() -> None:
    model = trained(IMAGES, PLAIN, "dropout=0.3 + batch_norm", epochs=1)
    net = model.to_torch(logits=True).train()
    x, y = torch.tensor(IMAGES.inputs), torch.tensor(IMAGES.target)
    before = net(x)
    assert not torch.equal(before, net(x)), "dropout drops"
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        losses.append(torch.nn.functional.cross_entropy(net(x), y))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert np.array_equal(model.outputs_of(IMAGES.inputs), Fitted.outputs_of(model, IMAGES.inputs)), "a copy of its own"
    mlp_net = mlp(made_table(rows=60), cocktail="dropout=(0.2, 0.4)").to_torch()
    assert [part.p for part in mlp_net if isinstance(part, torch.nn.Dropout)] == [0.2, 0.4]


def test_an_ensemble_says_how_many_arrays_it_takes() -> None:
    table = made_table(rows=60)
    model = of_folds(table, 1.0)
    assert len(model.prepared(table.columns)) == 2
    with pytest.raises(SettingError, match="takes 2 arrays"):
        model.to_torch()(torch.zeros(3, 2))


# ONNX


def run_onnx(model: Fitted | Ensemble, source: object, path, **options) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.to_onnx(path, **options), providers=["CPUExecutionProvider"])
    types = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    wanted = session.get_inputs()
    given = zip(wanted, model.prepared(source), strict=True)
    [out] = session.run(None, {node.name: x.astype(types[node.type]) for node, x in given})
    assert session.get_outputs()[0].shape[1] == out.shape[1]
    return out


@pytest.mark.parametrize("task", TASKS)
def test_onnx_gives_what_the_model_predicts(task, tmp_path) -> None:
    table = made_table(task, rows=60)
    for model in (mlp(table), linear(task), of_folds(table, 1.0), of_folds(table, 2.0)):
        close(run_onnx(model, table.columns, tmp_path / "m.onnx"), model, table.columns)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_onnx_has_every_activation(activation, tmp_path) -> None:
    table = made_table(rows=60)
    model = mlp(table, MLP((6, 5), activation), "none")
    close(run_onnx(model, table.columns, tmp_path / "m"), model, table.columns)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_onnx_logits_are_those_of_torch(task, tmp_path) -> None:
    table = made_table(task, rows=60)
    for model in (mlp(table), of_folds(table, 2.0)):
        found = run_onnx(model, table.columns, tmp_path / "m", logits=True)
        np.testing.assert_allclose(found, run_torch(model, table.columns, logits=True), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", [PLAIN, MLP((5,), "gelu"), wf.module("cnn")], ids=str)
def test_onnx_of_images_takes_bytes(network, tmp_path) -> None:
    table = image_table(side=12, channels=3)
    model = trained(table, network, "l2=0.001")
    close(run_onnx(model, table.inputs, tmp_path / "m"), model, table.inputs)


def test_onnx_of_an_ensemble_of_modules(tmp_path) -> None:
    parts = tuple(trained(IMAGES, PLAIN, "batch_norm", seed=seed) for seed in (1, 2))
    model = Ensemble(parts, np.array([0.6, 0.4]), 2.0)
    close(run_onnx(model, IMAGES.inputs, tmp_path / "m"), model, IMAGES.inputs)
    close(run_torch(model, IMAGES.inputs), model, IMAGES.inputs)


def test_a_graph_tells_classes_and_features_and_is_equal_for_equal_models(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    table = made_table("multiclass", rows=60)
    model = mlp(table)
    first, second = model.to_onnx(tmp_path / "a"), model.to_onnx(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    told = {entry.key: json.loads(entry.value) for entry in onnx.load(first).metadata_props}
    assert told == {
        "classes": list(table.classes),
        "features": [list(model.preprocessor.feature_names)],
        "target": table.target_name,
    }


def test_an_mlp_becomes_a_graph_without_pytorch(tmp_path) -> None:
    pytest.importorskip("onnx")
    path = mlp(made_table(rows=60)).save(tmp_path / "m")
    code = f"""
import sys
from wellfit.nets.fitted import Fitted
Fitted.load({str(path)!r}).to_onnx({str(tmp_path / "m.onnx")!r})
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "m.onnx").stat().st_size > 500


@pytest.mark.parametrize("lacking", ["onnx", "onnxscript"])
def test_a_missing_extra_is_named(lacking, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    model = mlp(made_table(rows=60)) if lacking == "onnx" else trained(IMAGES, PLAIN, "none")
    with pytest.raises(MissingExtraError, match=rf"package {lacking}: .*wellfit\[onnx\]"):
        model.to_onnx(tmp_path / "m")


class Branching(Plain):
    """What no exporter can trace: the way that rows take depends on their values."""

    def forward(self, x):
        return super().forward(x) if float(x.sum()) > 0 else super().forward(-x)


def test_what_cannot_be_traced_is_refused_by_name(tmp_path) -> None:
    pytest.importorskip("onnxscript")
    model = trained(IMAGES, wf.module("branching", Branching), "none")
    with pytest.raises(UnsupportedError, match="PyTorch cannot trace"):
        model.to_onnx(tmp_path / "m")
    assert not (tmp_path / "m").exists()


# Programs of PyTorch, and the command


def test_a_program_of_torch_needs_no_code_of_the_users(tmp_path) -> None:
    from wellfit.nets.torch_program import write_program

    table = made_table(rows=60)
    models = (
        (trained(IMAGES, PLAIN, "batch_norm"), IMAGES.inputs),
        (mlp(table), table.columns),
        (of_folds(table, 2.0), table.columns),
    )
    for model, source in models:
        path = write_program(model, tmp_path / "m.pt2")
        net = torch.export.load(path).module()
        given = [x if x.dtype == np.uint8 else x.astype(np.float32) for x in model.prepared(source)]
        close(net(*map(torch.as_tensor, given)).detach().numpy(), model, source)


def status(arguments: list[str]) -> int:
    from wellfit.cli import main

    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_writes_what_is_asked_for_and_says_what_it_takes(tmp_path, capsys) -> None:
    runtime = pytest.importorskip("onnxruntime")
    table = made_table("multiclass", rows=60)
    model = mlp(table)
    model.save(tmp_path / "model.safetensors")
    out = str(tmp_path / "m.onnx")
    assert status(["export", str(tmp_path), "--out", out]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"takes x (n, {len(model.feature_names)}) float32 and returns probabilities (n, 3)" in said
    assert "prepared(DATA)" in said
    session = runtime.InferenceSession(out, providers=["CPUExecutionProvider"])
    [x] = model.prepared(table.columns)
    close(session.run(None, {"x": x.astype(np.float32)})[0], model, table.columns)
    assert status(["export", str(tmp_path), "--format", "torch", "--out", str(tmp_path / "m.pt2")]) == 0
    assert torch.export.load(tmp_path / "m.pt2").module()(torch.zeros(7, x.shape[1])).shape == (7, 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [([], "--out FILE"), (["--out", "m", "--format", "tflite"], "'tflite'. Known: onnx, torch")],
)
def test_slips_get_one_line(tmp_path, capsys, options, sentence) -> None:
    mlp(made_table(rows=60)).save(tmp_path / "model.safetensors")
    assert status(["export", str(tmp_path), *options]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
