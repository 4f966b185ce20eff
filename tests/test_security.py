"""Files are data, never code; nothing listens; names lead nowhere: see docs/security.md."""

from __future__ import annotations

import ast
import io
import pickle
import re
import socket
from pathlib import Path

import numpy as np
import pytest
from test_fitted import BLOOD, make, mutate

from wellfit import job, rng
from wellfit.errors import WellfitError
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted

PACKAGE = Path(__file__).parents[1] / "src" / "wellfit"
# Modules and functions with which a file, or what a file says, can become code.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "jsonpickle", "shelve", "marshal", "yaml"}
LOADS = {"joblib.load", "torch.load", "torch.jit.load", "runpy.run_path"}
CALLS = {"eval", "exec", "__import__", "read_pickle", "loads_pickle", "load_module", "run_path", "load_extension"}
LISTENING = {"listen", "bind", "create_server", "HTTPServer", "TCPServer", "serve_forever", "start_server"}


def trees() -> list[tuple[str, ast.AST]]:
    return [(str(p.relative_to(PACKAGE)), ast.parse(p.read_text(encoding="utf-8"))) for p in PACKAGE.rglob("*.py")]


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def called(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found.append((name, node))
    return found


def test_nothing_of_ours_can_unpickle_or_evaluate() -> None:
    bad = []
    for name, tree in trees():
        bad += [(name, module) for module in imported(tree) & MODULES]
        # `compile` of kernels is Numba's; a method `eval` would be PyTorch's evaluation mode.
        bad += [(name, call) for call, node in called(tree) if call in CALLS or ast.unparse(node.func) in LOADS]
    assert not bad


def test_arrays_are_never_loaded_with_pickle() -> None:
    """Every ``np.load`` and the like says so; the default may change with a library."""
    loads = [
        (name, ast.unparse(node))
        for name, tree in trees()
        for call, node in called(tree)
        if call in ("load", "loadtxt", "fromfile", "loadmat")
        and re.match(r"(np|numpy|torch|scipy\.io)\.", ast.unparse(node.func))
    ]
    assert any("allow_pickle=False" in text for _, text in loads), "the test sees the one that is there"
    for name, text in loads:
        assert "allow_pickle=False" in text or "weights_only=True" in text or "loadmat" in text, (name, text)


def test_pickled_tables_and_models_are_refused_unread(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").write_text, ("boom",))

    bomb = pickle.dumps(Bomb())
    file = io.BytesIO()
    np.savez(file, x=np.array([Bomb()], dtype=object), y=np.arange(1))
    for name, content in {
        "model.safetensors": bomb,
        "a.npz": file.getvalue(),
        "b.npz": bomb,
        "c.csv": bomb,
        "d.mat": bomb,
        "ledger.sqlite": bomb,
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(WellfitError):
            Fitted.load(path)
        if name.startswith(("a", "b", "c", "d")):
            with pytest.raises(WellfitError):
                job.compare_into(path, network="2", folds=2)
        if name == "ledger.sqlite":
            with pytest.raises(WellfitError):
                job.compare_into("iris", network="2", folds=2, out=tmp_path)
        assert not (tmp_path / "exploded").exists(), name


def test_nothing_listens(tmp_path, monkeypatch) -> None:
    assert not [(name, call) for name, tree in trees() for call, _ in called(tree) if call in LISTENING]

    def refuse(*_):
        raise AssertionError("a run opened a door")

    for door in ("bind", "listen", "connect"):
        monkeypatch.setattr(socket.socket, door, refuse)
    job.compare_into("iris", network="2", training={"epochs": 2}, folds=2, seeds=1, cocktails="none", out=tmp_path)


def test_mutated_ensembles_are_refused_or_mean_the_same(tmp_path) -> None:
    parts = (make(BLOOD), make(BLOOD, parameters=make(BLOOD).parameters * 2))
    path = Ensemble(parts, np.array([0.25, 0.75]), 1.5).save(tmp_path / "m")
    raw, truth = path.read_bytes(), Fitted.load(path).predict_proba(BLOOD).tolist()
    draw, refused = rng.generator(2, rng.DATA), 0
    for _ in range(300):
        path.write_bytes(mutate(raw, draw))
        try:
            found = Fitted.load(path).predict_proba(BLOOD).tolist()
        except WellfitError as error:
            refused += "\n" not in str(error)
        else:
            assert found == truth
    assert refused > 250


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "..", "C:\\x", "con\x00", "~/x", "-rf"])
def test_names_of_data_lead_nowhere_but_into_runs(name) -> None:
    folder = Path(job.default_folder(name))
    assert folder.parts[0] == "runs"
    assert len(folder.parts) == 2
    assert re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z_.-]*", folder.name)
