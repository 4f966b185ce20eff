"""Fitted networks: what they predict, and a file that either reads back exactly or is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wellfit import rng
from wellfit.cocktail import Cocktail
from wellfit.data import Preprocessor, load
from wellfit.errors import DataError, ModelFileError, SettingError, UnsupportedError
from wellfit.messages import say
from wellfit.nets import MLP, Training, fitted, storage
from wellfit.nets.fitted import Fitted

BLOOD = {
    "age": [31.0, 45.5, None, 62.0, 28.0, 51.0],
    "group": ["A", "B", "0", "A", None, "B"],
    "smokes": [True, False, True, False, True, False],
    "died": ["no", "yes", "no", "yes", "no", "yes"],
}
HEIGHTS = {"left": [1.0, 2.0, 3.0, 4.0], "right": [4.0, 3.0, 2.5, 1.0], "height": [10.5, 20.25, 30.75, 41.0]}


def make(source, *, network="8,3", precision="float64", **changes) -> Fitted:
    table = load(source)
    preprocessor = Preprocessor.fit(table, np.arange(table.rows))
    net = MLP(tuple(int(w) for w in network.split(",")), "tanh") if network else MLP(())
    outputs = len(table.classes) if table.task == "multiclass" else 1
    model = Fitted(
        network=net,
        cocktail=Cocktail.parse("l2=0.001 + dropout=(0.2, 0.1)"),
        training=Training(optimizer="sgd", momentum=0.9, epochs=7, batch_size=None),
        preprocessor=preprocessor,
        parameters=net.initialize(5, len(preprocessor.feature_names), outputs).astype(precision),
        task=table.task,
        target_name=table.target_name,
        kinds=table.kinds,
        classes=table.classes,
        target_mean=25.0 if table.task == "regression" else 0.0,
        target_scale=11.0 if table.task == "regression" else 1.0,
        rows=table.rows,
        stop_rows=2,
        seed=5,
        notes={"data": table.name, "engine": "compiled 1"},
    )
    return replace(model, **changes)


def by_hand(model: Fitted, columns: dict) -> np.ndarray:
    """The network written out with loops over layers, from the preprocessor's matrix on."""
    a = model.preprocessor.transform(columns)
    for i, (weights, bias) in enumerate(layers := model.layers):
        a = np.einsum("ni,oi->no", a, weights.astype(np.float64)) + bias
        if i < len(layers) - 1:
            a = np.tanh(a)
    return a


def test_binary_predictions_are_the_likelier_class() -> None:
    model, table = make(BLOOD), load(BLOOD)
    chance = 1 / (1 + np.exp(-by_hand(model, table.columns)[:, 0]))
    assert np.allclose(model.predict_proba(BLOOD), np.column_stack([1 - chance, chance]), rtol=0, atol=1e-12)
    assert model.predict(BLOOD).tolist() == ["yes" if c > 0.5 else "no" for c in chance]
    assert len(set(model.predict(BLOOD))) == 2, "a test where one class is always predicted shows nothing"


def test_multiclass_probabilities_are_the_softmax_in_the_order_of_the_classes() -> None:
    model, table = make("iris"), load("iris")
    z = np.exp(by_hand(model, table.columns))
    assert np.allclose(model.predict_proba("iris"), z / z.sum(1, keepdims=True), rtol=0, atol=1e-12)
    assert model.predict("iris").tolist() == [model.classes[i] for i in z.argmax(1)]


def test_regression_predictions_are_in_the_targets_unit() -> None:
    model, table = make(HEIGHTS), load(HEIGHTS)
    assert np.allclose(model.predict(HEIGHTS), by_hand(model, table.columns)[:, 0] * 11 + 25, rtol=1e-12)
    with pytest.raises(UnsupportedError, match="height predicts values"):
        model.predict_proba(HEIGHTS)


def test_a_long_table_in_pieces_equals_the_table_at_once(monkeypatch) -> None:
    model, table = make("iris"), load("iris")
    whole = model.outputs_of(table.columns)
    monkeypatch.setattr(fitted, "_CHUNK_CELLS", 4 * 7)
    assert np.allclose(model.outputs_of(table.columns), whole, rtol=0, atol=1e-14)
    assert model.outputs_of({name: column[:0] for name, column in table.columns.items()}).shape == (0, 3)


def test_columns_may_stand_in_any_order_beside_others_and_hold_what_training_never_saw() -> None:
    model = make(BLOOD)
    turned = {name: BLOOD[name] for name in reversed(BLOOD)} | {"more": list(range(6))}
    assert model.predict_proba(turned).tolist() == model.predict_proba(BLOOD).tolist()
    odd = {"age": ["", "1e100"], "group": ["never seen", ""], "smokes": ["", "true"]}
    assert np.isfinite(model.predict_proba(odd)).all()


def test_lacking_columns_are_named() -> None:
    with pytest.raises(DataError, match="age, group") as caught:
        make(BLOOD).predict({"smokes": [True, False]})
    assert "\n" not in str(caught.value)


def test_what_is_not_a_number_becomes_no_label() -> None:
    labels, _ = make(BLOOD).read_outputs(np.array([[np.nan], [0.9]]))
    assert labels.tolist() == [None, "yes"]


@pytest.mark.parametrize("source", [BLOOD, HEIGHTS, "iris"], ids=["binary", "regression", "multiclass"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_saved_and_loaded_is_equal_in_every_part(tmp_path, source, precision) -> None:
    model = make(source, precision=precision)
    again = Fitted.load(model.save(tmp_path / "m.safetensors"))
    assert again.parameters.dtype == model.parameters.dtype
    assert again.parameters.tobytes() == model.parameters.tobytes()
    plain = [name for name in vars(model) if name != "parameters"]
    assert {n: getattr(again, n) for n in plain} == {n: getattr(model, n) for n in plain}
    assert list(again.kinds) == list(model.kinds)
    assert again.predict(source).tolist() == model.predict(source).tolist()


def test_the_file_is_safetensors_and_equal_models_give_equal_files(tmp_path) -> None:
    from safetensors import safe_open

    first, second = make(BLOOD).save(tmp_path / "a"), make(BLOOD).save(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    with safe_open(first, "np") as file:
        assert list(file.keys()) == ["parameters"]
        assert np.array_equal(file.get_tensor("parameters"), make(BLOOD).parameters)
        assert file.metadata()["format"] == "wellfit-model"
    assert os.listdir(tmp_path) == ["a", "b"] or sorted(os.listdir(tmp_path)) == ["a", "b"], "no temporary file stays"


def test_a_run_folder_stands_for_its_model(tmp_path) -> None:
    make(BLOOD).save(tmp_path / "model.safetensors")
    assert Fitted.load(tmp_path).target_name == "died"


def test_names_of_any_kind_survive(tmp_path) -> None:
    names = ["年龄", 'a"b', "line\nend", "\x1b[31m", "[red]"]
    source = {name: [float(i), 2.0, 3.5] for i, name in enumerate(names)} | {"target": ["ja", "nein", "ja"]}
    model = make(source)
    assert list(Fitted.load(model.save(tmp_path / "m")).kinds) == list(model.kinds)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = make(BLOOD).save(tmp_path / "m")
    before = path.read_bytes()

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        make(HEIGHTS).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("dialect", ["keras", "torch", "sklearn"])
def test_the_code_is_this_networks_own(dialect) -> None:
    model = make(BLOOD)
    script = model.code(dialect)
    compile(script, "script", "exec")
    assert "8" in script
    assert "tanh" in script.lower()
    stopping = replace(model, cocktail=Cocktail.parse("early_stopping=5"))
    assert stopping.code(dialect) != replace(stopping, stop_rows=1).code(dialect), "the stop rows' share is told"
    with pytest.raises(SettingError, match="jax"):
        model.code("jax")


# What is refused


def refuse(path, match: str) -> None:
    with pytest.raises(ModelFileError, match=match) as caught:
        Fitted.load(path)
    assert "\n" not in str(caught.value)


def test_missing_foreign_and_newer_files_are_told_apart(tmp_path) -> None:
    from safetensors.numpy import save

    refuse(tmp_path / "none", "There is no model at")
    refuse(tmp_path, "There is no model at")
    for name, raw in {
        "empty": b"",
        "short": b"\x08\0\0",
        "csv": b"a,b\n1,2\n" * 99,
        "length": b"\xff" * 99,
        "deep": (200_000).to_bytes(8, "little") + b"[" * 200_000,
        "weights": save({"w": np.ones(3)}),
        "other": save({"w": np.ones(3)}, {"format": "pt"}),
    }.items():
        (tmp_path / name).write_bytes(raw)
        refuse(tmp_path / name, "is not a wellfit model")
    path = make(BLOOD).save(tmp_path / "m")
    path.write_bytes(path.read_bytes().replace(b'format_version":"1"', b'format_version":"4"'))
    refuse(path, "format 4.*update wellfit")


def test_a_single_changed_bit_in_the_content_is_noticed(tmp_path) -> None:
    path = make(BLOOD).save(tmp_path / "m")
    raw = path.read_bytes()
    for place in (raw.index(b"died"), raw.index(b"sha256") + 12, len(raw) - 1, len(raw) - 200):
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        refuse(path, "is damaged")


def forge(path: Path, change) -> None:
    """Rewrite the content with a right checksum: what someone who wants harm, or a bug of ours, would make."""
    model = Fitted.load(path)
    content = storage._content(model)
    content = change(content) or content
    text = json.dumps(content)
    metadata = {"format": storage.FORMAT, "format_version": "1", "content": text}
    metadata["sha256"] = storage._checksum(text, model.parameters)
    path.write_bytes(storage._pack(model.parameters, metadata))


FORGERIES = {
    "wide": lambda c: c["network"].update(hidden=[16384] * 60),
    "huge number": lambda c: c["network"].update(hidden=[10**30]),
    "many layers": lambda c: c["network"].update(hidden=[1] * 100_000),
    "activation": lambda c: c["network"].update(activation="os.system"),
    "no classes": lambda c: c.update(classes=[]),
    "more classes": lambda c: c.update(classes=[str(i) for i in range(10**5)]),
    "other task": lambda c: c.update(task="multiclass"),
    "no task": lambda c: c.update(task=["binary"]),
    "kind": lambda c: c.update(kinds=[["age", "picture"]]),
    "no columns": lambda c: c.update(kinds=[]),
    "fewer columns": lambda c: c.update(kinds=[["age", "numeric"]]),
    "preprocessor": lambda c: c.update(preprocessor={"plans": [{"type": "Numeric"}]}),
    "preprocessor values": lambda c: c["preprocessor"]["plans"][0].update(scale="wide"),
    "cocktail": lambda c: c.update(cocktail="l2=much"),
    "training": lambda c: c["training"].update(epochs=-1),
    "unknown": lambda c: c["training"].update(colour="red"),
    "lacking": lambda c: c.pop("seed"),
    "list": lambda c: [1, 2],
    "text": lambda c: "model",
    "scale": lambda c: c.update(target_scale=None),
    "scale nan": lambda c: c.update(target_scale=float("nan")),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_parts_that_do_not_fit_are_refused_though_the_checksum_is_right(tmp_path, name) -> None:
    path = make(BLOOD).save(tmp_path / "m")
    forge(path, FORGERIES[name])
    refuse(path, "parts do not fit together")


def test_a_forged_file_that_changes_nothing_is_read(tmp_path) -> None:
    path = make(BLOOD).save(tmp_path / "m")
    forge(path, lambda content: None)
    assert Fitted.load(path).rows == 6


def test_mutated_files_are_refused_in_one_line_or_mean_the_same(tmp_path) -> None:
    path = make(BLOOD).save(tmp_path / "m")
    raw, truth = path.read_bytes(), make(BLOOD).predict_proba(BLOOD).tolist()
    draw, refused = rng.generator(0, rng.DATA), 0
    for _ in range(1000):
        path.write_bytes(mutate(raw, draw))
        try:
            model, sentence = Fitted.load(path), ""
        except ModelFileError as error:
            model, sentence = None, str(error)
        assert "\n" not in sentence
        assert model is None or model.predict_proba(BLOOD).tolist() == truth
        refused += model is None
    assert refused > 850


def mutate(raw: bytes, draw: np.random.Generator) -> bytes:
    data = bytearray(raw)
    for _ in range(int(draw.integers(1, 4))):
        at = int(draw.integers(0, max(1, len(data))))
        match draw.integers(0, 6):
            case 0:
                data[at : at + 1] = bytes([int(draw.integers(0, 256))])
            case 1:
                del data[at:]
            case 2:
                del data[at : at + int(draw.integers(1, 40))]
            case 3:
                data[at:at] = data[at : at + int(draw.integers(1, 40))]
            case 4:
                data[at : at + 8] = (2 ** int(draw.integers(0, 64)) - 1).to_bytes(8, "little")
            case _:
                data[int(draw.integers(0, 8))] ^= 1 << int(draw.integers(0, 8))
    return bytes(data)


def test_an_unreadable_file_says_so(tmp_path, monkeypatch) -> None:
    path = make(BLOOD).save(tmp_path / "m")
    say("fitted.unreadable", path="", reason="")  # the catalogue is a file, too, and must be read by now

    def refuse_open(self, *a, **k):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse_open)
    refuse(path, "Permission denied")


def test_the_checksum_covers_what_a_reader_relies_on() -> None:
    """Written out once more, so that a change of the checksum is a change of the format."""
    text, array = '{"a":1}', np.array([1.5, -2.0])
    expected = hashlib.sha256(b'{"a":1}\0float64\0' + b"2\0" + array.tobytes()).hexdigest()
    assert storage._checksum(text, array) == expected
