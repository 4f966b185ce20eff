"""Fitted modules and models of images: what they predict, and a file that names the module and never holds code."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from modules import FILE, Plain, image_table, trained

import wellfit as wf
from wellfit import rng
from wellfit.errors import DataError, ModelFileError, SettingError, UnsupportedError
from wellfit.nets import MLP, as_network, storage
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted
from wellfit.nets.network import apply_temperature

torch = pytest.importorskip("torch")

PLAIN = wf.module("plain", Plain)
IMAGES = image_table()


@pytest.fixture(scope="module")
def cnn() -> Fitted:
    return trained(image_table(side=12), wf.module("cnn"), "dropout=0.25 + l2=0.001")


@pytest.fixture(scope="module")
def plain() -> Fitted:
    return trained(IMAGES, PLAIN, "batch_norm")


def by_hand(model: Fitted, x: np.ndarray) -> np.ndarray:
    """The user's class itself, with the numbers put into its tensors one by one."""
    net = Plain(model.inputs, model.outputs)
    if model.cocktail.get(wf.BatchNorm) is None:
        net.norm = torch.nn.Identity()
    held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    with torch.no_grad():
        for slot in model.built.layout.slots:
            held[slot.name].copy_(torch.tensor(model.parameters[slot.start : slot.stop]).view(slot.shape))
        out = net.eval()(torch.tensor(x.astype(np.float32)) / 127.5 - 1)
    return torch.softmax(out.double(), 1).numpy()


@pytest.mark.parametrize("cocktail", ["none", "batch_norm", "dropout=0.3"])
def test_a_module_predicts_what_the_users_class_says(cocktail) -> None:
    model = trained(IMAGES, PLAIN, cocktail)
    expected = by_hand(model, IMAGES.inputs)
    np.testing.assert_allclose(model.outputs_of(IMAGES.inputs), expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 0.05, "a test where all rows are alike shows nothing"
    assert model.predict(IMAGES.inputs).tolist() == [model.classes[i] for i in expected.argmax(1)]
    assert model.inputs == (1, 6, 6)
    assert model.preprocessor is None
    assert [w.shape for w in model.weights] == [(4, 1, 3, 3), (3, 64)]


def test_an_mlp_reads_images_as_flat_rows() -> None:
    model = trained(IMAGES, MLP((5,), "tanh"), "l2=0.01")
    a = IMAGES.inputs.reshape(len(IMAGES.inputs), -1) / 127.5 - 1
    (w, b), (v, c) = ((w.astype(float), b.astype(float)) for w, b in model.layers)
    z = np.exp(np.tanh(a @ w.T + b) @ v.T + c)
    np.testing.assert_allclose(model.predict_proba(IMAGES.inputs), z / z.sum(1, keepdims=True), atol=1e-12)


def test_images_come_as_arrays_files_and_folders(plain, tmp_path) -> None:
    from PIL import Image

    x = IMAGES.inputs
    expected = plain.outputs_of(x)
    np.testing.assert_array_equal(plain.predict_proba(x[:, 0]), expected)
    np.testing.assert_allclose(plain.predict_proba(x[:, 0] / 255), expected, atol=1e-6)
    np.savez(tmp_path / "some.npz", X=x)
    np.testing.assert_array_equal(plain.predict_proba(tmp_path / "some.npz"), expected)
    (tmp_path / "folder").mkdir()
    for i in range(3):
        Image.fromarray(x[i, 0]).save(tmp_path / "folder" / f"{i}.png")
    np.testing.assert_array_equal(plain.predict_proba(tmp_path / "folder"), expected[:3])
    np.testing.assert_allclose(plain.predict_proba(tmp_path / "folder" / "1.png"), expected[1:2], atol=1e-6)
    assert plain.outputs_of(x[:0]).shape == (0, 3)
    with pytest.raises(DataError, match="7"):
        plain.predict(np.zeros((2, 7, 6), dtype=np.uint8))


def test_a_module_on_columns_takes_prepared_features() -> None:
    table = wf.load("iris")
    model = trained(table, wf.module("dense", lambda inputs, outputs: torch.nn.Linear(inputs, outputs)), "none")
    linear = MLP(())
    as_mlp = replace(model, network=linear, cocktail=wf.Cocktail())
    np.testing.assert_allclose(model.predict_proba("iris"), as_mlp.predict_proba("iris"), atol=1e-6)


def test_what_only_an_mlp_has_is_refused_for_a_module(plain) -> None:
    with pytest.raises(UnsupportedError, match=r"module.*layers"):
        _ = plain.layers
    with pytest.raises(UnsupportedError, match="code"):
        plain.code("torch")
    assert "36" in trained(IMAGES, MLP((5,)), "none").code("torch"), "an MLP of images has code, for flat rows"


def test_fold_networks_of_images_average(plain) -> None:
    other = trained(IMAGES, PLAIN, "batch_norm", seed=4)
    together = Ensemble((plain, other), np.array([0.7, 0.3]), temperature=2.0)
    mean = 0.7 * plain.outputs_of(IMAGES.inputs) + 0.3 * other.outputs_of(IMAGES.inputs)
    np.testing.assert_allclose(together.predict_proba(IMAGES.inputs), apply_temperature("multiclass", mean, 2.0))
    with pytest.raises(SettingError, match="kind of inputs"):
        Ensemble((plain, replace(other, scale="given")), np.array([0.7, 0.3]))


# Files


def test_a_module_that_comes_with_wellfit_is_found_by_name(cnn, tmp_path) -> None:
    again = Fitted.load(cnn.save(tmp_path / "m"))
    assert str(again.network) == "cnn"
    plain = [name for name in vars(cnn) if name not in ("parameters", "preprocessor")]
    assert {n: getattr(again, n) for n in plain} == {n: getattr(cnn, n) for n in plain}
    x = image_table(side=12).inputs
    np.testing.assert_array_equal(again.outputs_of(x), cnn.outputs_of(x))
    assert (tmp_path / "m").read_bytes() == again.save(tmp_path / "n").read_bytes(), "equal models, equal files"
    assert again.network.strengths(again.cocktail).dropout == (0.25,), "it knows its layers"


def test_a_users_module_is_asked_for_by_name_and_taken_when_given(plain, tmp_path) -> None:
    path = plain.save(tmp_path / "m")
    with pytest.raises(ModelFileError, match=r'module plain.*network=wf\.module\("plain", factory\)'):
        Fitted.load(path)
    again = Fitted.load(path, network=PLAIN)
    np.testing.assert_array_equal(again.outputs_of(IMAGES.inputs), plain.outputs_of(IMAGES.inputs))
    together = Ensemble((plain, again), np.array([0.5, 0.5]))
    both = Fitted.load(together.save(tmp_path / "e"), network=PLAIN)
    np.testing.assert_array_equal(both.outputs_of(IMAGES.inputs), plain.outputs_of(IMAGES.inputs))


def test_inserted_layers_are_inserted_again(tmp_path) -> None:
    model = trained(IMAGES, replace(PLAIN, insert_dropout=True), "dropout=0.2")
    again = Fitted.load(model.save(tmp_path / "m"), network=PLAIN)
    assert again.network.insert_dropout
    np.testing.assert_array_equal(again.outputs_of(IMAGES.inputs), model.outputs_of(IMAGES.inputs))


class Wider(Plain):
    channels = 5


class Bent(Plain):
    """The same tensors and the same description: only what is done with them differs."""

    def forward(self, x):
        return super().forward(-x)


Bent.__name__ = "Plain"


class Huge(Plain):
    channels = 10**7


def failing(inputs, outputs):
    raise ZeroDivisionError("no such luck")


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (wf.module("plain", Wider), r"has conv\.weight \(4, 1, 3, 3\) where .* has conv\.weight \(5, 1, 3, 3\)"),
        (wf.module("plain", Bent), "outputs for a trial input differ"),
        (wf.module("plain", Huge), r"makes [0-9,]{11}"),
        (wf.module("plain", failing), "cannot be made again.*no such luck"),
        ("8,4", "leave out the network 8,4"),
    ],
)
def test_another_network_is_refused_and_the_difference_named(plain, tmp_path, network, sentence) -> None:
    path = plain.save(tmp_path / "m")
    with pytest.raises(ModelFileError, match=sentence) as caught:
        Fitted.load(path, network=network)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_module_takes_none(tmp_path) -> None:
    path = trained(IMAGES, MLP((5,)), "none").save(tmp_path / "m")
    assert Fitted.load(path).inputs == (1, 6, 6)
    with pytest.raises(ModelFileError, match="leave out the network plain"):
        Fitted.load(path, network=PLAIN)


def test_a_file_of_code_is_run_only_when_given(tmp_path, monkeypatch) -> None:
    code = tmp_path / "mine.py"
    code.write_text(FILE + f"\nimport pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    model = trained(IMAGES, as_network(f"{code}:Mine"), "none")
    path = model.save(tmp_path / "m")
    (tmp_path / "ran").unlink()
    with pytest.raises(ModelFileError, match=r"module .*mine\.py:Mine, .*network=\"FILE\.py:NAME\""):
        Fitted.load(path)
    assert not (tmp_path / "ran").exists(), "loading must not run code that a file names"
    again = Fitted.load(path, network=f"{code}:Mine")
    np.testing.assert_array_equal(again.outputs_of(IMAGES.inputs), model.outputs_of(IMAGES.inputs))
    assert b"class Mine" not in path.read_bytes()


def test_plain_models_keep_the_oldest_format_and_modules_have_the_newest(plain, tmp_path) -> None:
    iris = trained(wf.load("iris"), MLP((4,)), "none")
    assert b'"format_version":"1"' in iris.save(tmp_path / "a").read_bytes()
    assert b'"format_version":"2"' in Ensemble((iris,), np.ones(1)).save(tmp_path / "b").read_bytes()
    assert b'"format_version":"3"' in plain.save(tmp_path / "c").read_bytes()
    assert b'"format_version":"3"' in Ensemble((plain,), np.ones(1)).save(tmp_path / "d").read_bytes()


FORGERIES = {
    "huge images": lambda c: c["network"].update(inputs=[1, 20_000, 20_000]),
    "large images": lambda c: (c["network"].update(inputs=[1, 1000, 1000]), c.update(inputs=[1, 1000, 1000])),
    "many outputs": lambda c: c["network"].update(outputs=10**12),
    "other inputs": lambda c: c.update(inputs=[1, 13, 13]),
    "no inputs": lambda c: c.update(inputs=[]),
    "negative": lambda c: c["network"].update(inputs=[1, -12, -12]),
    "inputs": lambda c: c["network"].update(inputs="all"),
    "infinite": lambda c: c.update(inputs=[1, float("inf"), 12]),
    "scale": lambda c: c.update(scale="pickled"),
    "a preprocessor": lambda c: c.update(preprocessor={"plans": []}),
    "tensors": lambda c: c["network"].update(tensors=[]),
    "module": lambda c: c["network"].update(module=["cnn"]),
    "trial": lambda c: c["network"].update(trial="good"),
    "columns": lambda c: c.update(kinds=[["age", "numeric"]]),
    "classes": lambda c: c.update(classes=["a", "b"]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused_without_taking_memory(cnn, tmp_path, name) -> None:
    path = cnn.save(tmp_path / "m")
    content = storage._content(cnn)
    FORGERIES[name](content)
    text = json.dumps(content)
    metadata = {"format": storage.FORMAT, "format_version": "3", "content": text}
    metadata["sha256"] = storage._checksum(text, cnn.parameters)
    path.write_bytes(storage._pack(cnn.parameters, metadata))
    with pytest.raises(ModelFileError) as caught:
        Fitted.load(path)
    assert "\n" not in str(caught.value)


def test_damaged_files_are_refused_in_one_line(plain, tmp_path) -> None:
    path = plain.save(tmp_path / "m")
    raw, draw = path.read_bytes(), rng.generator(0, rng.DATA)
    for _ in range(200):
        data = bytearray(raw)
        at = int(draw.integers(0, len(data)))
        if draw.integers(0, 2):
            data[at] ^= 1 << int(draw.integers(0, 8))
        else:
            del data[at : at + int(draw.integers(1, 40))]
        path.write_bytes(bytes(data))
        with pytest.raises(ModelFileError) as caught:
            Fitted.load(path, network=PLAIN)
        assert "\n" not in str(caught.value)


def test_the_command_predicts_images(plain, tmp_path, capsys) -> None:
    from wellfit.cli import main

    code = tmp_path / "mine.py"
    code.write_text(FILE)
    model = trained(IMAGES, as_network(f"{code}:Mine"), "none")
    model.save(tmp_path / "model.safetensors")
    np.savez(tmp_path / "some.npz", X=IMAGES.inputs)
    arguments = ["predict", str(tmp_path), str(tmp_path / "some.npz"), "--out", str(tmp_path / "p.csv")]
    assert status(main, arguments) == 2
    assert "--network FILE.py:NAME" in capsys.readouterr().err
    assert status(main, [*arguments, "--network", f"{code}:Mine"]) == 0
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert len(lines) == len(IMAGES.inputs) + 1
    assert [line.split(",")[0] for line in lines[1:]] == model.predict(IMAGES.inputs).tolist()


def status(main, arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
