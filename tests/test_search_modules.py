"""A search over a user's module: on tokens, and on tables, where modules get no bins beside numeric columns."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tables import made_table
from torch_modules import Plain, Tokens

import wellfit as wf
from wellfit import rng
from wellfit.engines.torch import TorchEngine
from wellfit.errors import SettingError
from wellfit.records import Table
from wellfit.select.search import bins_for

VALUES = {"input_noise", "input_dropout", "mixup", "augment"}  # what goes with values only


def sentences(rows: int = 150) -> Table:
    """Return rows of four words out of ten, and whether word 3 is among them."""
    words = rng.generator(0, rng.DATA).integers(0, 10, (rows, 4))
    target = (words == 3).any(1).astype(np.int64)
    return Table("sentences", {}, {}, target, "three", "binary", ("no", "yes"), inputs=words)


def test_a_search_on_tokens_leaves_out_what_goes_with_values_and_learns() -> None:
    table, net = sentences(), wf.module("tokens", Tokens)
    training = wf.Training("adam", 0.05, 9, 32)
    found = wf.search(table, network=net, budget=20_000, folds=2, training=training)
    cocktails = [wf.cocktail.as_cocktail(trial.cocktail) for trial in found.record.trials]
    assert {trial.source for trial in found.record.trials} == {"portfolio", "proposed"}
    assert not VALUES & {part.name for mix in cocktails for part in mix.ingredients}
    chances = found.model.outputs_on(table, np.arange(150))[:, 0]
    assert np.mean((chances > 0.5) == table.target) > 0.9
    new = np.array([[1, 2, 3, 4], [1, 2, 4, 5]])
    assert found.model.outputs_of(new)[0, 0] > found.model.outputs_of(new)[1, 0]


def test_a_search_on_tokens_refuses_a_module_of_values() -> None:
    with pytest.raises(SettingError, match="whole numbers"):
        wf.search(sentences(), network=wf.module("plain", Plain), budget=2000, folds=2)


def test_rows_of_values_in_place_of_columns_have_a_number_of_features() -> None:
    """As in the folds: the factory gets 5, not (5,)."""
    x = rng.generator(0, rng.DATA).normal(size=(120, 5))
    table = Table(
        "vectors", {}, {}, (x[:, 0] > 0).astype(np.int64), "y", "binary", ("no", "yes"), inputs=x, scale="given"
    )
    training = wf.Training("adam", 0.05, 9, 32)
    found = wf.search(table, network=wf.module("plain", Plain), budget=2000, folds=2, training=training)
    assert {part.takes for part in found.model.parts} == {5}
    assert np.mean((found.model.outputs_of(x)[:, 0] > 0.5) == table.target) > 0.9


class Wide(TorchEngine):
    """Notes which folds and widths it was asked for."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.seen: set[tuple[int, int]] = set()

    def init(self, members, data):
        self.seen |= {(len(data.folds), data.folds[member.fold].inputs) for member in members}
        return super().init(members, data)


def test_a_module_gets_no_bins_where_an_mlp_has_them() -> None:
    table, engine = made_table(rows=1200), Wide()
    width = len(wf.data.Preprocessor.fit(table, np.arange(1200)).feature_names)
    assert bins_for(table, np.arange(1200)) > 0
    training = wf.Training("adam", 0.01, 3, 256)
    found = wf.search(table, network=wf.module("plain", Plain), budget=600, folds=2, training=training, engine=engine)
    assert engine.seen == {(2, width)}
    assert not any(trial.binned for trial in found.record.trials)
    assert {part.takes for part in found.model.parts} == {width}
    beside = wf.search(table, network="4", budget=20_000, folds=2, training=training)
    assert any(trial.binned for trial in beside.record.trials)
