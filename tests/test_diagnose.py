"""`wellfit.diagnose` on small tables whose truth was planted, and on tables at the edge of what can be said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tables

import wellfit as wf
from wellfit.errors import SettingError
from wellfit.executors import Threads
from wellfit.ledger import MemoryLedger
from wellfit.records import Diagnosis, Table
from wellfit.select.diagnose_output import diagnosis_json
from wellfit.select.diagnose_shift import two_samples

SHORT = wf.Training(learning_rate=5e-3, epochs=40, batch_size=32)


def rows(n: int = 200, d: int = 4, seed: int = 0, noise: float = 0.4, bend: float = 0.0) -> pd.DataFrame:
    """A regression with a linear truth, and a bend where asked."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = x[:, 0] - x[:, 1] + bend * (x[:, 0] ** 2 - 1) + noise * rng.normal(size=n)
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(d)]).assign(target=y)


def diagnosed(frame: pd.DataFrame | Table, **asked: object) -> Diagnosis:
    table = frame if isinstance(frame, Table) else tables.table(frame)
    return wf.diagnose(table, **{"network": "linear", "training": SHORT, "seeds": 1, **asked})


def named(found: Diagnosis, name: str):
    return next(e for e in found.evidence if e.name == name)


# Planted truths


def test_a_linear_model_on_a_bent_truth_underfits() -> None:
    found = diagnosed(rows(bend=1.0))
    assert found.verdict == "underfits"
    step = next(s for s in found.next_steps if s.action == "larger_network")
    assert step.worth is not None
    assert step.worth.high < 0
    assert named(found, "bias").interval.low > 0


def test_a_wide_network_trained_long_on_few_rows_overfits() -> None:
    frame = rows(120, 10, noise=1.0)
    found = diagnosed(frame, network="64", training=replace(SHORT, epochs=200))
    assert found.verdict == "overfits"
    assert found.next_steps[0].worth is not None
    assert found.next_steps[0].worth.high < 0
    assert named(found, "gap").interval.low > 0
    assert "more_data" in [s.action for s in found.next_steps]


def test_the_right_model_fits_well_and_with_much_noise_is_limited_by_it() -> None:
    assert diagnosed(rows(400)).verdict == "fits well"
    found = diagnosed(rows(400, noise=4.0))
    assert found.verdict == "noise-limited"
    # The truth: the noise variance is 16; the floor and half the squared difference of neighbours come near it.
    assert named(found, "noise_floor").interval.low < 16 < named(found, "noise_floor").interval.high
    assert 12 < named(found, "neighbours").interval.mean < 22


def test_a_network_stopped_after_a_few_steps_is_undertrained() -> None:
    found = diagnosed(rows(bend=0.5), network="16", training=replace(SHORT, epochs=3))
    assert found.verdict == "undertrained"
    assert found.next_steps[0].action == "train_longer"
    assert found.checkpoints[-1] > 3
    assert found.curves["score_loss"][-1] < found.curves["score_loss"][3]


@pytest.mark.parametrize("rate", [100.0, 1e6])
def test_a_network_that_training_made_worse_than_guessing_is_told_to_train_slower(rate: float) -> None:
    found = diagnosed(rows(), network="8", training=replace(SHORT, learning_rate=rate))
    assert found.verdict == "underfits"
    assert "Training itself failed" in found.sentence
    assert [s.action for s in found.next_steps][:1] == ["lower_rate"]
    assert f"{rate / 10:g}" in found.next_steps[0].text


def test_a_network_that_hardly_began_has_not_failed() -> None:
    found = diagnosed(rows(), network="64", training=replace(SHORT, learning_rate=1e-6, epochs=4))
    assert named(found, "train_loss").interval.mean > 1
    assert "lower_rate" not in [s.action for s in found.next_steps]


def test_a_leaking_column_is_named_with_what_dropping_it_costs() -> None:
    frame = rows(200, noise=1.0)
    rng = np.random.default_rng(1)
    shared = rng.normal(size=200)
    for name in ("x0", "x1", "x2"):
        frame[name] = frame[name] + shared
    frame["invoice"] = frame["target"] * 3.5 + 0.05 * rng.normal(size=200)
    found = diagnosed(frame)
    assert found.verdict == "leak suspected"
    [step] = [s for s in found.next_steps if s.action == "drop_columns"]
    assert step.columns == ("invoice",)
    assert step.worth is not None
    assert step.worth.mean > 0  # the loss to expect is the higher one


def test_copies_on_both_sides_that_flatter_the_score_are_a_leak() -> None:
    frame = rows(120, 10, noise=1.0)
    frame = pd.concat([frame, frame[:60]], ignore_index=True)
    found = diagnosed(frame, network="64", training=replace(SHORT, epochs=200))
    assert found.verdict == "leak suspected"
    assert found.next_steps[0].action == "group_copies"
    assert named(found, "copies").interval.low > 0


def test_copies_kept_in_one_group_are_none() -> None:
    frame = rows(120, 10, noise=1.0)
    frame = pd.concat([frame, frame[:60]], ignore_index=True)
    table = tables.table(frame, groups=np.array([*range(120), *range(60)]))
    found = diagnosed(table, network="64", training=replace(SHORT, epochs=200))
    assert found.verdict == "overfits"
    assert "copies" not in [e.name for e in found.evidence]


@pytest.mark.parametrize(("shift", "verdict"), [(1.5, "shifted validation"), (0.0, "fits well")])
def test_validation_rows_like_the_others_and_unlike_them(shift: float, verdict: str) -> None:
    frame, other = rows(300), rows(150, seed=1)
    other["x2"] += shift
    other["target"] += shift
    both = tables.table(pd.concat([frame, other], ignore_index=True))
    found = diagnosed(both, validation=np.arange(300, 450))
    assert found.verdict == verdict
    if shift:
        assert {"x2", "target"} <= set(found.next_steps[0].columns)


def test_validation_rows_from_a_second_table_are_the_same() -> None:
    frame, other = rows(200), rows(100, seed=1).assign(target=lambda f: f["target"] + 1)
    table = tables.table(pd.concat([frame, other], ignore_index=True))
    one = diagnosed(table, validation=np.arange(200, 300))
    two = wf.diagnose(frame, validation=other, network="linear", training=SHORT, seeds=1, target="target")
    assert two.verdict == one.verdict == "shifted validation"
    assert named(two, "shift").interval == named(one, "shift").interval


@pytest.mark.parametrize(("drift", "verdict"), [(2.0, "shifted validation"), (0.0, "fits well")])
def test_the_latest_rows_are_the_validation_rows_of_data_with_times(drift: float, verdict: str) -> None:
    frame = rows(500, noise=0.3)
    late = np.arange(500) >= 400
    frame.loc[late, "target"] += drift
    table = tables.table(frame, times=np.arange(500.0))
    assert diagnosed(table, cocktail="l2=0.001").verdict == verdict


# Two samples


def test_the_two_sample_test_holds_its_level_and_sees_what_is_there() -> None:
    """Of 200 pairs of like samples about 5% have p < 0.05, and no more; a shift of one column is seen nearly always."""
    level, power = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(rng.normal(size=(150, 4)), columns=list("abcd")).assign(target=rng.normal(size=150))
        for found, moved in ((level, 0.0), (power, 0.9)):
            frame.loc[100:, "b"] += moved
            table = tables.table(frame, task="regression")
            ready = frame[list("abcd")].to_numpy()
            found.append(two_samples(table, np.arange(100), np.arange(100, 150), seed, ready)[0])
    assert np.mean(np.array(level) < 0.05) <= 0.08
    assert np.mean(np.array(power) < 0.05) > 0.9


def test_its_parts_are_scipys() -> None:
    from scipy import stats

    from wellfit.select.diagnose_shift import _rank_sum, _shares

    rng = np.random.default_rng(0)
    a, b = np.round(rng.normal(size=40), 1), np.round(rng.normal(0.4, 1, 60), 1)
    side = np.repeat([0, 1], [40, 60])
    expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic").pvalue
    assert _rank_sum(np.concatenate([a, b]), side) == pytest.approx(expected)
    codes = rng.integers(0, 3, 100)
    counts = [np.bincount(codes[side == s], minlength=3) for s in (0, 1)]
    assert _shares(codes, side) == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue)


# The edge of what can be said


def test_ten_rows_are_too_few_to_tell() -> None:
    assert diagnosed(rows(10, 2, noise=1.0)).verdict == "undecided"
    frame = pd.DataFrame({"a": np.arange(10.0), "target": ["x", "y"] * 5})
    assert diagnosed(frame, network="8").verdict in ("undecided", "overfits")


@pytest.mark.parametrize("network", ["linear", "8"])
def test_a_constant_target_leaves_nothing_to_learn(network: str) -> None:
    found = diagnosed(rows(40).assign(target=3.0), network=network)
    assert found.verdict == "undecided"
    assert "the target is the same in all rows" in found.sentence


def test_one_class_in_a_fold() -> None:
    frame = rows(60).assign(target=lambda f: np.where(np.arange(60) < 2, "rare", "usual"))
    assert isinstance(diagnosed(frame, network="8"), Diagnosis)
    table = tables.table(frame.assign(target=np.where(np.arange(60) < 30, "a", "b")), groups=np.arange(60) // 30)
    assert diagnosed(table, network="8", folds=2).verdict in ("undecided", "underfits", "overfits")


def test_a_perfect_score_fits_well() -> None:
    frame = rows(200).assign(target=lambda f: f["x0"] * 2 - f["x3"])
    found = diagnosed(frame)
    assert found.verdict == "fits well"
    assert named(found, "score").interval.mean < 1e-3


def test_only_categories_and_missing_values() -> None:
    rng = np.random.default_rng(0)
    a, c = rng.choice(list("pqr"), 150), rng.choice(["u", "v"], 150)
    y = np.where((a == "p") ^ (rng.random(150) < 0.1), "yes", "no")
    frame = pd.DataFrame({"a": a, "c": c, "target": y})
    frame.loc[::7, "c"] = None
    assert diagnosed(frame, network="8", cocktail="l2=0.03").verdict in ("fits well", "noise-limited", "undecided")
    holes = rows(200)
    holes.loc[::5, "x2"] = np.nan
    assert diagnosed(holes).verdict in ("fits well", "undecided")


def test_rows_with_a_wrong_label_are_listed() -> None:
    frame = rows(300)
    frame.loc[[17, 170], "target"] += 15
    step = next(s for s in diagnosed(frame).next_steps if s.action == "clean_rows")
    assert {17, 170} <= set(step.rows)


def test_a_network_that_diverges_is_refused_with_advice() -> None:
    with pytest.raises(SettingError, match="of 5 trainings of the network itself diverged"):
        diagnosed(rows(60), network="8", training=replace(SHORT, optimizer="gd", learning_rate=1e4, batch_size=None))


def test_exact_references_take_fewer_rows_where_there_are_too_many_and_the_same_score_rows(monkeypatch) -> None:
    from wellfit.data import folds, prepare
    from wellfit.select import diagnose_references

    table = tables.table(rows(200))
    data = prepare(table, folds(table, np.arange(200), folds=2, seed=0))
    assert diagnose_references._lighter(data, 2) is data
    monkeypatch.setattr(diagnose_references, "MOST_WORK", 40 * 4**2)
    lighter = diagnose_references._lighter(data, 2)
    for before, after in zip(data.folds, lighter.folds, strict=True):
        assert 20 <= len(after.rows.train) <= 40
        assert set(after.rows.train) < set(before.rows.train)
        assert after.rows.score is before.rows.score


# What it looks at, and what it does not


def test_test_rows_are_never_looked_at() -> None:
    frame = rows(150)
    table = tables.table(frame, test_rows=np.arange(100, 150))
    columns = {name: values.copy() for name, values in table.columns.items()}
    target = table.target.copy()
    for values in (*columns.values(), target):
        values[100:] = 1e6
    spoilt = replace(table, columns=columns, target=target)
    assert diagnosis_json(diagnosed(table, network="8")) == diagnosis_json(diagnosed(spoilt, network="8"))


def test_threads_a_ledger_and_asking_again_change_nothing() -> None:
    table, ledger, asked = (
        tables.table(rows(80)),
        MemoryLedger(),
        {"network": "8", "training": replace(SHORT, epochs=10)},
    )
    one = diagnosis_json(diagnosed(table, executor=Threads(1), **asked))
    assert diagnosis_json(diagnosed(table, executor=Threads(2), ledger=ledger, **asked)) == one

    class Idle(Threads):
        def run(self, engine, members, data, **more):
            assert all(not m.network.hidden for m in members)  # the exact references alone are solved again
            return super().run(engine, members, data, **more)

    assert diagnosis_json(diagnosed(table, executor=Idle(1), ledger=ledger, **asked)) == one


@pytest.mark.parametrize(
    "more",
    [
        {"cocktail": "early_stopping=3"},
        {"cocktail": "l2=0.01 + dropout=0.2"},
        {"training": replace(SHORT, epochs=6, schedule="cosine")},
        {"training": replace(SHORT, epochs=6, loss="absolute")},
        {"network": "linear", "cocktail": "l1=0.01"},
    ],
    ids=str,
)
def test_any_cocktail_and_training_may_be_diagnosed(more: dict) -> None:
    found = diagnosed(rows(90), **{"network": "8", "training": replace(SHORT, epochs=6), "folds": 3, **more})
    assert np.isfinite([found.evidence[0].interval.mean, found.evidence[1].interval.mean]).all()
    json.dumps(diagnosis_json(found), allow_nan=False)


def test_groups_times_and_weights() -> None:
    table = tables.table(rows(90))
    training = replace(SHORT, epochs=6)
    for more in ({"groups": np.arange(90) // 5}, {"times": np.arange(90.0)}, {"weights": np.tile([1.0, 2.0, 0.0], 30)}):
        found = diagnosed(replace(table, **more), network="8", training=training, folds=3)
        assert np.isfinite(found.evidence[0].interval.mean)


def test_the_figures_are_those_of_the_comparison() -> None:
    """Validation and training loss of the network are what `wellfit.compare` finds for none on the same folds."""
    table, asked = tables.table(rows(100)), {"network": "8", "training": replace(SHORT, epochs=12), "folds": 4}
    found = wf.diagnose(table, seeds=2, **asked)
    none = wf.compare(table, cocktails="none", seeds=2, **asked).results[0]
    for name, interval in (("validation_loss", none.loss), ("train_loss", none.train_loss), ("score", none.score)):
        mine = named(found, name).interval
        assert (mine.mean, mine.low, mine.high) == pytest.approx((interval.mean, interval.low, interval.high), rel=1e-4)


def test_the_learning_curve_holds_the_sizes_and_both_losses() -> None:
    curve = diagnosed(rows(100), network="8").learning_curve
    assert curve is not None
    assert curve.sizes.tolist() == [20, 40, 80]
    assert curve.losses.shape == curve.train_losses.shape == (3, 5)
    assert (curve.losses.mean(axis=1) > curve.train_losses.mean(axis=1)).all()
    assert (np.diff(curve.losses.mean(axis=1)) < 0).all()


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ({"validation": np.array([0.5])}, "indices of some of its rows"),
        ({"validation": np.array([999])}, "from 0 to 39"),
        ({"cocktail": "dropout=0.2"}, "dropout"),
        ({"folds": 1}, "folds"),
        ({"seeds": 0}, "seeds"),
        ({"history": "curves.csv"}, "not both"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(asked: dict, part: str) -> None:
    with pytest.raises(SettingError, match=part):
        diagnosed(rows(40), **asked)


def test_nothing_at_all_is_refused_and_test_rows_beside_validation_too() -> None:
    with pytest.raises(SettingError, match="nothing to diagnose"):
        wf.diagnose()
    with pytest.raises(SettingError, match="not both"):
        wf.diagnose(rows(40), validation=rows(20), test=rows(20), target="target")


def test_a_history_goes_to_the_reader_of_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    stand_in = ModuleType("wellfit.evidence.from_history")
    stand_in.diagnose_history = lambda source: Diagnosis("undecided", f"read {source}", (), ())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wellfit.evidence.from_history", stand_in)
    assert wf.diagnose(history="curves.csv").sentence == "read curves.csv"
