"""The Keras example: its recipes in both languages, its figures, and a sentence that follows from them."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peers import import_keras, keras_floats

from wellfit.records import Difference, Interval

SCRIPT = Path(__file__).parents[1] / "examples" / "keras_l2.py"


def example():
    spec = importlib.util.spec_from_file_location("keras_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


script = example()


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    with keras_floats(import_keras(tmp_path_factory.mktemp("keras")), "float32") as module:
        yield module


@pytest.fixture(scope="module")
def found(keras):
    """The figures of a small run."""
    import contextlib
    import io
    import random

    import torch

    # Keras's seed is the script's own; what other tests draw from is put back.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (only put back)
    out = io.StringIO()
    with torch.random.fork_rng(), contextlib.redirect_stdout(out):
        assert script.main(["--json", "--epochs", "4", "--folds", "3", "--seeds", "1"]) == 0
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002 (the same)
    return json.loads(out.getvalue())


def test_the_recipes_are_those_of_the_tutorials():
    assert {name: str(script.cocktail_of(name)) for name in script.RECIPES} == {
        "none": "none",
        "l2": "l2=(0.002, 0.002, 0)",
        "dropout": "dropout=0.3",
        "both": "l2=(0.002, 0.002, 0) + dropout=0.3",
    }


def test_the_keras_model_is_the_one_described(keras):
    plain, both = (script.network(keras, 64, name) for name in ("none", "both"))
    dense = [layer for layer in both.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [128, 64, 10]
    assert [layer.kernel_regularizer and float(layer.kernel_regularizer.l2) for layer in dense] == [0.001, 0.001, None]
    assert [layer.rate for layer in both.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    assert len(plain.layers) == 3
    assert plain.losses == []


def test_both_libraries_learn_the_digits(found):
    assert found["settings"] == {"epochs": 4, "folds": 3, "seeds": 1}
    for library in ("keras", "wellfit"):
        assert list(found[library]) == list(script.RECIPES)
        for name, told in found[library].items():
            assert len(told["folds"]) == 3
            assert told["accuracy"]["mean"] == pytest.approx(np.mean(told["folds"]))
            assert 0.8 < told["accuracy"]["mean"] < 1
            assert ("gain" in told) is (name != "none")
        assert found[library]["l2"]["folds"] != found[library]["none"]["folds"]
    gain = found["keras"]["both"]["gain"]
    difference = np.subtract(found["keras"]["both"]["folds"], found["keras"]["none"]["folds"])
    assert gain["mean"] == pytest.approx(difference.mean())


def test_the_penalty_is_the_same_in_both(found):
    assert found["penalty"]["keras"] == pytest.approx(found["penalty"]["wellfit"], rel=1e-5)


def test_the_sentence_follows_the_words():
    def told(keras: dict, ours: dict) -> str:
        gain = Difference(Interval(0.0, 0.0, 0.0, ""), "undecided")
        return script.sentence(
            *(script.Compared({}, {}, {n: replace(gain, word=w) for n, w in words.items()}) for words in (keras, ours))
        )

    assert told({"l2": "better"}, {"l2": "better"}).startswith("In both libraries l2 is better than none. Nowhere")
    assert told({"l2": "better"}, {"l2": "undecided"}).startswith("No recipe is surely")
    assert told({"l2": "better"}, {"l2": "worse"}).endswith("They contradict each other on l2.")


def test_without_keras_it_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras", None)
    assert script.main(["--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "pip install keras" in err
