"""Ensembles of fitted networks: their average, their file, and what does not fit together."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import made_table

from wellfit.errors import ModelFileError, SettingError
from wellfit.nets import Training
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted
from wellfit.select.fitting import fit

TRAINING = Training(epochs=5, batch_size=16)


def parts(task="binary", count=3) -> tuple[Fitted, ...]:
    from wellfit.cocktail import Cocktail
    from wellfit.nets import MLP

    table = made_table(task, rows=60)
    rows = np.arange(60)
    return tuple(
        fitted
        for part in np.array_split(rows, count)
        for _, fitted in fit(table, np.setdiff1d(rows, part), MLP((4,)), Cocktail(), TRAINING, (0,))
    )


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_outputs_are_the_weighted_mean(task, tmp_path):
    table, networks = made_table(task, rows=60), parts(task)
    weights = np.array([0.5, 0.3, 0.2])
    together = Ensemble(networks, weights)
    by_hand = sum(w * n.outputs_of(table.columns) for w, n in zip(weights, networks, strict=True))
    np.testing.assert_allclose(together.outputs_of(table.columns), by_hand, rtol=1e-12)
    again = Fitted.load(together.save(tmp_path / "model"))
    assert isinstance(again, Ensemble)
    np.testing.assert_array_equal(again.outputs_of(table.columns), together.outputs_of(table.columns))
    assert again.parts[1].rows == networks[1].rows
    assert (tmp_path / "model").read_bytes() == together.save(tmp_path / "other").read_bytes(), (
        "equal models, equal files"
    )


def test_networks_of_one_fold_are_prepared_for_once(monkeypatch):
    from wellfit.data import Preprocessor

    first, second, _ = parts()
    calls = []
    plain = Preprocessor.transform
    monkeypatch.setattr(Preprocessor, "transform", lambda self, columns: calls.append(1) or plain(self, columns))
    twin = replace(first, parameters=first.parameters * 0.5)
    Ensemble((first, twin, second), np.full(3, 1 / 3)).outputs_of(made_table(rows=60).columns)
    assert len(calls) == 2


def test_labels_and_probabilities_are_those_of_the_average():
    table, networks = made_table(rows=60), parts()
    together = Ensemble(networks, np.full(3, 1 / 3), temperature=2.0)
    chances = together.predict_proba(table.columns)
    np.testing.assert_allclose(chances.sum(1), 1)
    labels = together.predict(table.columns)
    assert (labels == np.array(table.classes)[chances.argmax(1)]).all()
    sure = Ensemble(networks, np.full(3, 1 / 3), temperature=0.5).predict_proba(table.columns)
    assert (sure.max(1) >= chances.max(1)).all(), "a lower temperature is surer"


@pytest.mark.parametrize(
    ("weights", "temperature"),
    [([0.5, 0.5], 1.0), ([0.5, 0.6, -0.1], 1.0), ([0.5, 0.5, 0.5], 1.0), ([0.4, 0.3, 0.3], 0.0), ([np.nan, 0, 1], 1.0)],
)
def test_weights_and_temperatures_that_make_no_sense_are_refused(weights, temperature):
    with pytest.raises(SettingError, match="one weight per network"):
        Ensemble(parts(), np.array(weights), temperature)
    with pytest.raises(SettingError, match="one task"):
        Ensemble((parts()[0], parts("regression")[0]), np.array([0.5, 0.5]))


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_told_and_never_believed(data):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        raw = bytearray(Ensemble(PARTS, np.full(3, 1 / 3)).save(path).read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255).filter(lambda b: b != raw[at]))
        path.write_bytes(raw)
        with pytest.raises(ModelFileError):
            Fitted.load(path)


def test_code_of_several_networks_is_refused_with_what_to_ask_instead():
    together = Ensemble(PARTS, np.array([0.2, 0.5, 0.3]))
    with pytest.raises(SettingError, match=r"averages 3 networks.*model\.parts\[1\]\.code\('keras'\).*seeds=1"):
        together.code("keras")
    assert Ensemble(PARTS[:1], np.ones(1)).code("keras") == PARTS[0].code("keras")


def test_sizes_that_do_not_add_up_are_refused(tmp_path):
    """A file with a right checksum over content that makes no sense."""
    from wellfit.nets import storage

    model = Ensemble(PARTS, np.full(3, 1 / 3))
    for change in ({"sizes": [1, 2, 3]}, {"sizes": []}, {"weights": [1.0]}, {"temperature": -1.0}, {"parts": []}):
        content = json.dumps({**storage._ensemble_content(model), **change})
        parameters = np.concatenate([p.parameters for p in model.parts])
        metadata = {
            "format": storage.FORMAT,
            "format_version": "2",
            "content": content,
            "sha256": storage._checksum(content, parameters),
        }
        (tmp_path / "m").write_bytes(storage._pack(parameters, metadata))
        with pytest.raises(ModelFileError, match="do not fit together"):
            Fitted.load(tmp_path / "m")


PARTS = parts()
