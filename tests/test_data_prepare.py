"""What engines train on: right targets, matrices made of training rows only, and a fingerprint that misses nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from tables import table

from wellfit.data.prepare import prepare
from wellfit.data.preprocess import Preprocessor
from wellfit.data.splits import folds
from wellfit.errors import DataError
from wellfit.records import Fold, Table
from wellfit.rng import generator

room = import_module("wellfit.data.prepare")  # the package has a function of that name


def made(task: str = "binary", n: int = 60) -> Table:
    rng = generator(1, 5)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": rng.choice(["u", "v", "w"], size=n),
            "target": {
                "binary": rng.choice(["no", "yes"], size=n),
                "multiclass": rng.choice(["p", "q", "r"], size=n),
                "regression": rng.normal(1e4, 300, size=n),
            }[task],
        }
    )
    frame.loc[::7, "a"] = np.nan
    frame.loc[::11, "b"] = None
    return table(frame)


def cut(t: Table, stop: float = 0.25) -> list[Fold]:
    return folds(t, np.arange(t.rows - 10), folds=3, seed=0, stop_share=stop)


def poisoned(t: Table, rows: np.ndarray) -> Table:
    """The table with absurd values in ``rows``."""
    columns = {name: values.copy() for name, values in t.columns.items()}
    columns["a"][rows], columns["b"][rows] = 1e100, "poison"
    target = t.target.copy()
    if t.task == "regression":
        target[rows] = -1e100
    return replace(t, columns=columns, target=target)


def leaks(t: Table, fold: Fold) -> bool:
    """Does anything about the training rows change with the values of all other rows?"""
    clean = prepare(t, [fold]).folds[0]
    dirty = prepare(poisoned(t, np.setdiff1d(np.arange(t.rows), fold.train)), [fold]).folds[0]
    if clean.x.shape != dirty.x.shape or (clean.x[fold.train] != dirty.x[fold.train]).any():
        return True
    scales = [(d.target_mean, d.target_scale, d.loss_unit) for d in (clean, dirty)]
    return scales[0] != scales[1] or bool((clean.y[fold.train] != dirty.y[fold.train]).any())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_only_training_rows_have_influence(task: str) -> None:
    t = made(task)
    for fold in cut(t):
        assert not leaks(t, fold)


def test_that_test_notices_a_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults it is there for: preprocessing, or the target's scale, fitted on stop, score or test rows too."""
    t = made("regression")
    fold = cut(t)[0]
    with monkeypatch.context() as patch:
        fit = Preprocessor.fit
        patch.setattr(Preprocessor, "fit", lambda t, rows, **more: fit(t, np.concatenate([rows, fold.stop]), **more))
        assert leaks(t, fold)
    with monkeypatch.context() as patch:
        scale = room.target_scale
        patch.setattr(room, "target_scale", lambda t, rows: scale(t, np.arange(t.rows)))
        assert leaks(t, fold)
    assert not leaks(t, fold)


def test_classes() -> None:
    t = made("binary")
    data = prepare(t, cut(t))
    assert (data.task, data.outputs) == ("binary", 1)
    assert (data.folds[0].y[:, 0] == (np.array(t.classes)[t.target] == "yes")).all()
    assert data.folds[0].loss_unit == 1
    t = made("multiclass")
    data = prepare(t, cut(t))
    assert (data.task, data.outputs) == ("multiclass", 3)
    assert data.folds[0].y.shape == (60, 3)
    assert (data.folds[0].y.argmax(1) == t.target).all()
    assert (data.folds[0].y.sum(1) == 1).all()


def test_regression_targets_are_standardized_by_training_rows() -> None:
    t = made("regression")
    for fold in prepare(t, cut(t)).folds:
        y = fold.y[fold.rows.train]
        assert y.mean() == pytest.approx(0, abs=1e-10)
        assert y.std() == pytest.approx(1)
        np.testing.assert_allclose(fold.y[:, 0] * fold.target_scale + fold.target_mean, t.target, rtol=1e-12)
        # A squared error in the engine's unit times loss_unit is one in the user's.
        error = np.mean((fold.y - 0.3) ** 2) * fold.loss_unit
        assert error == pytest.approx(np.mean((t.target - (0.3 * fold.target_scale + fold.target_mean)) ** 2))


@pytest.mark.parametrize("bent", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_rows_of_the_matrix_are_rows_of_the_table(bent: bool, whole: bool) -> None:
    """What is made ready once for all folds is what each fold would do alone."""
    t = made("binary")
    more = {"c": np.exp(np.arange(60.0) / 9), "flat": np.ones(60)}
    columns = {**t.columns, **more, **({"a": np.nan_to_num(t.columns["a"])} if whole else {})}
    t = replace(t, columns=columns, kinds={**t.kinds, **dict.fromkeys(more, "numeric")})
    for fold in prepare(t, cut(t), bent=bent).folds:
        assert len(fold.x) == len(fold.y) == t.rows
        wanted = Preprocessor.fit(t, fold.rows.train, bent=bent).transform(t.columns)
        assert (fold.x == wanted).all()


@pytest.mark.parametrize("bent", [True, False])
def test_one_part_alone_is_prepared_the_same(bent: bool) -> None:
    t, rows = made("regression"), np.arange(0, 50, 2)
    data, plan = room.prepare_rows(t, rows, bent=bent)
    other = prepare(t, [Fold(rows, rows[:0], rows[:0])], bent=bent)
    assert (data.task, data.outputs, data.fingerprint) == (other.task, other.outputs, other.fingerprint)
    for name in ("x", "y"):
        assert (getattr(data.folds[0], name) == getattr(other.folds[0], name)).all()
    assert plan == Preprocessor.fit(t, rows, bent=bent)
    assert data.folds[0].target_scale == other.folds[0].target_scale


def test_equal_training_rows_share_one_matrix() -> None:
    t = made("binary")
    first, second, third = cut(t, 0.0)
    data = prepare(t, [first, replace(first, score=second.score[:3]), second, third])
    assert data.folds[0].x is data.folds[1].x
    assert data.folds[0].x is not data.folds[2].x
    assert (data.folds[1].rows.score == second.score[:3]).all()


def test_fingerprint_names_everything_a_result_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    t = made("multiclass")
    parts = cut(t)
    base = prepare(t, parts).fingerprint
    assert re.fullmatch(r"[0-9a-f]{64}", base)

    def with_column(name: str, row: int, value: object) -> Table:
        column = t.columns[name].copy()
        column[row] = value
        return replace(t, columns={**t.columns, name: column})

    target = t.target.copy()
    target[5] = (target[5] + 1) % 3
    renamed = {("a" if name == "a" else "bb"): values for name, values in t.columns.items()}
    others = [
        (with_column("a", 3, 1.2345), parts),
        (with_column("a", 4, np.nan), parts),
        (with_column("b", 3, "new"), parts),
        (with_column("b", 4, None), parts),
        (replace(t, target=target), parts),
        (replace(t, classes=("p", "q", "s")), parts),
        (replace(t, columns=renamed, kinds={"a": "numeric", "bb": "categorical"}), parts),
        (t, parts[:2]),
        (t, parts[::-1]),
        (t, [replace(parts[0], stop=parts[0].stop[1:]), *parts[1:]]),
        (t, [Fold(parts[0].train, parts[0].score, parts[0].stop), *parts[1:]]),
    ]
    prints = [prepare(*other).fingerprint for other in others]
    monkeypatch.setattr("wellfit.data.preprocess.VERSION", 0)
    prints.append(prepare(t, parts).fingerprint)
    assert len({base, *prints}) == len(prints) + 1


def test_fingerprint_of_equal_content_is_equal() -> None:
    t = made("binary")
    zeros = replace(t, columns={**t.columns, "z": np.array([0.0, 1.0, np.nan] * 20)})
    odd_nan = np.frombuffer(np.uint64(0xFFF8000000000001).tobytes(), dtype=np.float64)[0]
    same = replace(t, name="renamed", columns={**t.columns, "z": np.array([-0.0, 1.0, odd_nan] * 20)})
    kinds = {**t.kinds, "z": "numeric"}
    a, b = (prepare(replace(each, kinds=kinds), cut(t)).fingerprint for each in (zeros, same))
    assert a == b


def test_impossible_data_are_refused() -> None:
    t = made("regression")
    fold = cut(t)[0]
    with pytest.raises(DataError, match="no training row"):
        prepare(t, [replace(fold, train=fold.train[:0])])
    with pytest.raises(DataError, match="another unit"):
        prepare(replace(t, target=t.target * 1e148), [fold])
    flat = replace(t, columns={"a": np.ones(60)}, kinds={"a": "numeric"})
    with pytest.raises(DataError, match="constant"):
        prepare(flat, [fold])


def test_a_target_that_is_constant_in_the_training_rows() -> None:
    t = made("regression")
    fold = cut(t)[0]
    target = t.target.copy()
    target[fold.train] = 0.1 + 0.2
    data = prepare(replace(t, target=target), [fold]).folds[0]
    assert data.target_scale == 1
    assert np.abs(data.y[fold.train]).max() < 1e-12
