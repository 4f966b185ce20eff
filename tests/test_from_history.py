"""Curves that a user already has: how they are read, and that the verdicts on planted curves are the planted ones.

Thresholds were tuned on other generators and seeds than those here (`SEED`).
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit import rng
from wellfit.errors import DataError, SettingError
from wellfit.evidence.curve_noise import LEAST, prepare, rise, simulated
from wellfit.evidence.from_history import diagnose_history
from wellfit.evidence.own_curves import read_curves
from wellfit.messages import catalogue
from wellfit.records import Diagnosis, History

SEED = 9_301


def noise(random: np.random.Generator, epochs: int, memory: float, spread: float = 1.0) -> np.ndarray:
    """AR(1) noise by its recursion, after a run-in: not by the package's own function."""
    found, last = [], 0.0
    for shock in random.normal(size=epochs + 60):
        last = memory * last + np.sqrt(1 - memory**2) * shock
        found.append(last)
    return spread * np.array(found[60:])


def planted(
    random: np.random.Generator, epochs: int, *, memory: float = 0.0, up: float = 0.0, shape: float = 1.0
) -> dict[str, list[float]]:
    """Return a pair of curves of noise 0.01; the validation curve turns up at 20-60% by ``up`` noise spreads in all."""
    at = np.arange(epochs)
    turn = int(random.uniform(0.2, 0.6) * epochs)
    rising = up * 0.01 * np.clip((at - turn) / (epochs - 1 - turn), 0, None) ** shape
    pace = random.uniform(0.03, 0.08) * epochs
    level = random.uniform(0.3, 0.7)
    validation = level + 0.4 * np.exp(-at / pace) + rising + noise(random, epochs, memory, 0.01)
    train = 0.9 * level * np.exp(-at / epochs) + 0.4 * np.exp(-at / pace) + noise(random, epochs, 0.0, 0.002)
    return {"loss": train.tolist(), "val_loss": validation.tolist()}


# --- verdicts on planted curves


def test_flat_noisy_curves_are_rarely_said_to_overfit() -> None:
    """400 curves that fall or are flat, of 10 to 300 epochs, noise with correlations 0 to 0.5: at most 2%."""
    random = np.random.default_rng(SEED)
    wrong = 0
    for i in range(400):
        epochs = int(np.exp(random.uniform(np.log(10), np.log(300))))
        memory = (0.0, 0.0, 0.3, 0.5)[i % 4]
        if i % 2:
            curves = planted(random, epochs, memory=memory)
        else:  # flat from the first epoch on: the hardest
            at = np.arange(epochs)
            flat = 0.5 + noise(random, epochs, memory, 0.02)
            curves = {"loss": (0.4 * np.exp(-at / epochs)).tolist(), "val_loss": flat.tolist()}
        wrong += diagnose_history(curves).verdict == "overfits"
    assert wrong <= 8, wrong


@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_a_rise_of_four_noise_deviations_is_found(shape: float) -> None:
    random = np.random.default_rng(SEED + 1)
    right = [
        diagnose_history(planted(random, int(random.integers(50, 250)), up=4.0, shape=shape)).verdict == "overfits"
        for _ in range(100)
    ]
    assert np.mean(right) >= 0.9, np.mean(right)


def test_correlated_noise_needs_a_longer_curve_and_then_a_rise_of_four_deviations_is_found_too() -> None:
    random = np.random.default_rng(SEED + 2)
    right = [
        diagnose_history(planted(random, int(random.integers(120, 300)), up=4.0, memory=0.5)).verdict == "overfits"
        for _ in range(150)
    ]
    assert np.mean(right) >= 0.9, np.mean(right)


def test_the_saving_of_early_stopping_is_covered_by_its_interval() -> None:
    random = np.random.default_rng(SEED + 3)
    at, inside, count = np.arange(120), 0, 200
    for _ in range(count):
        size = random.uniform(0.05, 0.2)
        trend = 0.5 + 0.5 * np.exp(-at / 8) + size * np.clip((at - 50) / 69, 0, None)
        curves = {"loss": np.exp(-at / 40), "val_loss": trend + noise(random, 120, 0.3, 0.01)}
        [stop, *_] = diagnose_history(curves).next_steps
        assert stop.worth is not None
        assert stop.action == "stop early"
        # The truth: the lowest tenth of the planted trend less its last tenth.
        stretches = np.convolve(trend, np.ones(12) / 12, "valid")
        truth = stretches[:-12].min() - stretches[-1]
        inside += stop.worth.low <= truth <= stop.worth.high
    assert inside >= 0.93 * count, inside


def test_a_training_still_under_way_is_undertrained_with_its_worth() -> None:
    random, right = np.random.default_rng(SEED + 4), 0
    at = np.arange(60)
    for _ in range(60):
        pace = random.uniform(30, 60)
        clean = 0.3 + 1.5 * np.exp(-at / pace)
        curves = {"loss": clean - 0.02, "val_loss": clean + noise(random, 60, 0.3, 0.01)}
        found = diagnose_history(curves)
        right += found.verdict == "undertrained"
        if found.verdict == "undertrained":
            [longer, *_] = found.next_steps
            truth = 1.5 * np.exp(-119 / pace) - 1.5 * np.exp(-59 / pace)
            assert longer.worth is not None
            assert longer.worth.mean == pytest.approx(truth, rel=0.5)
    assert right >= 57


def flat(level: float, start: float, epochs: int = 60, spread: float = 0.005, seed: int = 0) -> list[float]:
    at = np.arange(epochs)
    return (level + (start - level) * np.exp(-at / 5) + noise(np.random.default_rng(seed), epochs, 0, spread)).tolist()


@pytest.mark.parametrize(
    ("curves", "known", "verdict", "words"),
    [
        ({"loss": flat(0.47, 2), "val_loss": flat(0.5, 2, seed=1)}, {}, "fits well", "as far as curves can tell"),
        ({"loss": flat(0.47, 2), "val_loss": flat(0.5, 2, seed=1)}, {"chance": 2.3}, "fits well", "2.3"),
        ({"loss": flat(0.2, 2), "val_loss": flat(0.5, 2, seed=1)}, {}, "undecided", "a gap of 0.29"),
        ({"loss": flat(0.66, 0.7), "val_loss": flat(0.68, 0.7, seed=1)}, {"chance": 0.693}, "underfits", "0.693"),
        ({"loss": flat(0.66, 2), "val_loss": flat(0.68, 2, seed=1)}, {"target": 0.3}, "underfits", "0.3"),
        ({"loss": flat(0.66, 2), "val_loss": flat(0.68, 2, seed=1)}, {"target": 0.66}, "fits well", ""),
        ({"loss": flat(0.66, 0.66), "val_loss": flat(0.68, 0.68, seed=1)}, {}, "undecided", "never fell"),
        ({"val_loss": flat(0.5, 2)}, {}, "undecided", "no training curve"),
        ({"loss": [1.0] * 5, "val_loss": [1.0] * 5}, {}, "undecided", "too few"),
    ],
)
def test_what_flat_curves_can_and_cannot_tell(curves, known, verdict, words) -> None:
    found = diagnose_history(curves, **known)
    assert found.verdict == verdict
    assert words in found.sentence
    assert found.folds == found.seeds == 0
    assert found.task is None
    assert all(e.text for e in found.evidence)
    assert {"score_loss"} <= set(found.curves)


def test_a_training_that_goes_wrong_is_not_overfitting() -> None:
    at = np.arange(60)
    both = 0.5 + np.exp(-at / 5) + 0.02 * np.clip(at - 30, 0, None)
    found = diagnose_history({"loss": both + noise(np.random.default_rng(1), 60, 0, 0.01), "val_loss": both + 0.02})
    assert found.verdict == "undecided"
    assert "both curves turned up" in found.sentence
    assert found.next_steps[0].action == "lower the learning rate"
    alone = diagnose_history({"val_loss": both})
    assert alone.verdict == "undecided"
    assert "turned up" in alone.sentence


def test_one_late_spike_is_no_overfitting() -> None:
    values = flat(0.5, 2, seed=3)
    values[-3] = 2.0
    assert diagnose_history({"loss": flat(0.45, 2), "val_loss": values}).verdict != "overfits"


def test_diverged_curves_say_where() -> None:
    loss, validation = flat(0.4, 2), flat(0.5, 2, seed=1)
    loss[40:] = [np.nan] * 20
    validation[40:] = [np.nan] * 20
    found = diagnose_history({"loss": loss, "val_loss": validation})
    assert found.verdict == "undecided"
    assert "diverged at epoch 41" in found.sentence
    assert "lower the learning rate" in [s.action for s in found.next_steps]
    early = diagnose_history({"loss": [1.0, float("inf"), np.nan], "val_loss": [1.0, np.nan, np.nan]})
    assert "diverged at epoch 2" in early.sentence


def names(found: Diagnosis) -> set[str]:
    return {e.name for e in found.evidence}


def test_traps_are_said() -> None:
    # Validation below training: dropout or penalty in the training loss.
    found = diagnose_history({"loss": flat(0.7, 2), "val_loss": flat(0.5, 2, seed=1)})
    assert "not on one footing" in next(e.text for e in found.evidence if e.name == "footing")
    assert "lag" not in names(found)
    # A mean over the epoch lags by half an epoch: that alone puts validation below on a steep fall.
    at = np.arange(40)
    steep = {"loss": 5 - 0.1 * at, "val_loss": 5 - 0.1 * (at + 0.5)}
    assert "lag" in names(diagnose_history(steep))
    # Far too jumpy.
    assert "jumpy" in names(diagnose_history({"loss": flat(0.5, 2), "val_loss": flat(0.5, 2, spread=0.1)}))
    # Accuracy alone, also in percent; the loss is preferred where there is one.
    accuracy = diagnose_history({"accuracy": 100 - 20 * np.array(flat(0.4, 2)), "val_accuracy": [90.0] * 60})
    assert accuracy.metric == "accuracy"
    assert "accuracy only" in names(accuracy)
    assert accuracy.curves["score_loss"][0] == pytest.approx(0.1)


def test_surer_and_wrong_is_told_from_more_mistakes() -> None:
    at, random = np.arange(80), np.random.default_rng(5)
    up = 0.4 + np.exp(-at / 5) + 0.004 * np.clip(at - 20, 0, None) + noise(random, 80, 0, 0.004)
    better = 0.8 + 0.1 * (1 - np.exp(-at / 10)) + noise(random, 80, 0, 0.002)
    worse = better - 0.002 * np.clip(at - 20, 0, None)
    base = {"loss": np.exp(-at / 20), "val_loss": up}
    for accuracy, word in ((better, "does not fall"), (worse, "falls as well")):
        found = diagnose_history({**base, "accuracy": at / 80, "val_accuracy": accuracy})
        assert found.verdict == "overfits"
        assert word in next(e.text for e in found.evidence if e.name == "accuracy")


# --- the noise model


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_the_noise_of_a_curve_is_measured(memory: float) -> None:
    random, at = np.random.default_rng(SEED + 6), np.arange(200)
    found = [prepare(1 + np.exp(-at / 10) + noise(random, 200, memory, 0.05), at * 1.0).noise for _ in range(60)]
    # Of 200 epochs, blocks of about two are averaged.
    block = 0.05 * np.sqrt((1 + memory) / 2)
    assert np.median([n.spread for n in found]) == pytest.approx(block, rel=0.15)


def test_simulated_noise_has_the_spread_and_correlation_asked_for() -> None:
    curves = simulated(40, 0.6, 4000)
    assert curves.std() == pytest.approx(1, abs=0.02)
    assert (curves[:, 1:] * curves[:, :-1]).mean() == pytest.approx(0.6, abs=0.02)
    assert np.array_equal(curves, simulated(40, 0.6, 4000))


@settings(max_examples=40, deadline=None)
@given(st.integers(LEAST, 200), st.integers(0, 10**6), st.floats(0.01, 1e4), st.floats(-50, 50))
def test_units_do_not_matter(epochs: int, seed: int, unit: float, shift: float) -> None:
    """Scaling a curve scales its rise, shifting changes nothing, and no verdict hangs on either."""
    values, at = rng.normal(seed, rng.NOISE, epochs), np.arange(epochs) * 1.0
    plain, moved = rise(prepare(values, at)), rise(prepare(unit * values + unit * shift, at))
    assert moved.beyond == plain.beyond
    assert moved.best == plain.best
    assert moved.size == pytest.approx(unit * plain.size, rel=1e-6, abs=1e-8 * unit)
    assert moved.low <= moved.size <= moved.high


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, 0.0]) | st.none(), min_size=1, max_size=40),
    st.integers(0, 100),
)
def test_any_numbers_get_a_diagnosis_or_a_clear_error(values: list, seed: int) -> None:
    train = rng.normal(seed, rng.NOISE, len(values)).tolist()
    try:
        found = diagnose_history({"train_loss": train, "valid_loss": values})
    except DataError:
        assert not any(v is not None and np.isfinite(v) for v in values)
        return
    assert found.verdict in ("overfits", "undertrained", "fits well", "undecided")
    json.dumps([e.text for e in found.evidence])


# --- reading


def test_every_source_gives_the_same_curves(tmp_path: Path) -> None:
    loss, validation = flat(0.4, 2), flat(0.5, 2, seed=1)
    keras = SimpleNamespace(history={"loss": loss, "val_loss": validation}, epoch=list(range(60)))
    frame = pd.DataFrame({"epoch": range(60), "train_loss": loss, "valid_loss": validation})
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.to_csv(tmp_path / "european.csv", index=False, sep=";", decimal=",")
    sources = [keras, frame, tmp_path / "plain.csv", str(tmp_path / "european.csv")]
    for source in sources:
        found = read_curves(source)
        assert found.train is not None
        assert np.allclose(found.train, loss)
        assert np.allclose(found.validation, validation)
        assert found.epochs.tolist() == list(range(60))


def test_keras_csv_logger(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.2,0.55,1.0\n1,0.6,0.9,0.6,0.8\n2,0.7,nan,0.6,nan\n"
    )
    found = read_curves(tmp_path / "log.csv")
    assert found.names == ("loss", "val_loss")
    assert found.averaged
    assert found.validation.tolist() == [1.0, 0.8]
    assert found.accuracy is not None
    assert found.accuracy.tolist() == [0.55, 0.6]
    assert found.diverged == 2


def test_lightning_csv_logger(tmp_path: Path) -> None:
    """Several rows an epoch, each with a part of the columns: steps, then validation, then the epoch's mean."""
    lines = ["epoch,lr,step,train_loss_epoch,train_loss_step,val_loss"]
    for epoch in range(3):
        lines += [f"{epoch},0.1,{10 * epoch + s},,{1 / (epoch + 1) + s}," for s in (3, 6)]
        lines += [f"{epoch},,{10 * epoch + 9},,,{2 / (epoch + 1)}", f"{epoch},,{10 * epoch + 9},{1.5 / (epoch + 1)},,"]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    for source in (tmp_path / "metrics.csv", pd.read_csv(tmp_path / "metrics.csv")):
        found = read_curves(source)
        assert found.epochs.tolist() == [0, 1, 2]
        assert found.train is not None
        assert found.train.tolist() == pytest.approx([1.5, 0.75, 0.5])
        assert found.validation.tolist() == pytest.approx([2, 1, 2 / 3])
        assert found.names == ("train_loss_epoch", "val_loss")
        assert found.diverged is None


def test_validation_every_few_steps_averages_the_training_losses_between() -> None:
    found = read_curves({"step": [1, 2, 3, 4, 5], "loss": [5, 4, 3, 2, 1], "eval_loss": [None, 6, None, 5, None]})
    assert found.epochs.tolist() == [2, 4]
    assert found.train is not None
    assert found.train.tolist() == [4.5, 2.5]
    assert found.averaged


def test_a_history_of_our_own_is_read() -> None:
    curves = {n: np.array(flat(0.4, 2)) for n in ("train_loss", "score_loss")} | {"stop_loss": np.full(60, np.nan)}
    own = History("finished", 59, 59, 59, np.arange(60), curves, np.empty((0, 1)), (1.0,), 0, 1)
    found = read_curves(own)
    assert found.names == ("train_loss", "score_loss")


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({}, "holds no epochs"),
        ({"loss": []}, "holds no epochs"),
        ({"loss": [1, 2]}, "no validation curve among its columns (loss)"),
        ({"loss": [1, 2], "val_loss": [None, None]}, "no validation curve"),
        ({"loss": [1, 2], "val_loss": [1]}, "different lengths (loss 2, val_loss 1)"),
        ({"loss": [1, 2], "val_loss": [1, "x"]}, "row 2, column val_loss holds 'x'"),
        ({"loss": [1, 2], "val_loss": [1, True]}, "row 2, column val_loss holds 'True'"),
        ({"loss": 3, "val_loss": [1]}, "curve loss must be a list"),
        ({"epoch": [0, 1, 0], "val_loss": [1, 1, 1]}, "row 3 the epoch goes back from 1 to 0"),
        ({"epoch": [0, None], "val_loss": [1, 1]}, "row 2 has no epoch"),
        (3.5, "this is a float"),
        ("no such file.csv", "There is no file no such file.csv"),
    ],
)
def test_bad_input_gets_a_clear_error(history, expected, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        diagnose_history(history)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no epochs"),
        ("epoch,loss,val_loss\n", "holds no epochs"),
        ("epoch,loss,val_loss\n0,1,2\n1,2\n", "row 2 has 2 cells, the line of names has 3"),
        ("epoch,loss,val_loss\n0,1,two\n", "row 1, column val_loss holds 'two'"),
    ],
)
def test_bad_files_get_a_clear_error(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text(text)
    with pytest.raises(DataError) as error:
        diagnose_history(tmp_path / "curves.csv")
    assert expected in str(error.value)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="not a table of text"):
        diagnose_history(tmp_path / "binary.csv")


def test_chance_must_be_a_number() -> None:
    with pytest.raises(SettingError, match="chance must be a finite number"):
        diagnose_history({"val_loss": [1.0]}, chance=float("nan"))


def test_every_sentence_has_its_words() -> None:
    """Keys are put together in the code ("verdict_", "step_"): each that can come up is in the catalogue."""
    import re

    import wellfit.evidence.from_history as module

    source = Path(module.__file__).read_text()
    texts = catalogue("from_history")
    for kind, prefix in (("ended", "verdict_"), ("step", "step_"), ("step", "cost_"), ("say", "")):
        for arguments in re.findall(rf"found\.{kind}\((.*)\)", source):
            keys = re.findall(r'"([a-z_ ]+)"', arguments)
            for key in keys[1:] if kind != "ended" else [k for k in keys if k not in ("undecided", "overfits")]:
                if f"{prefix}{key}" not in texts and kind == "ended":
                    assert key in ("fits well", "underfits", "undertrained"), key
                elif kind != "ended":
                    assert f"{prefix}{key}" in texts, (kind, key)
