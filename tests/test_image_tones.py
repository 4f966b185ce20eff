"""What is black and what white in images that are no bytes: augmentation keeps to it, and nothing else asks."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from peers import import_torch
from test_augment import STRONG, amounts, draws, images

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.cocktail.augment import KINDS
from wellfit.data import load, prepare
from wellfit.engines.base import Member
from wellfit.executors.remote import writable
from wellfit.nets import Training
from wellfit.records import Fold, Table
from wellfit.rng import DATA, generator

torch = import_torch()
augment = pytest.importorskip("wellfit.engines.torch.augment")
warp = import_module("wellfit.engines.torch.warp")
TorchEngine = import_module("wellfit.engines.torch").TorchEngine
fingerprint = import_module("wellfit.data.prepare").fingerprint
LOW, HIGH = np.array([-2.1, -1.9, 0.0]), np.array([2.25, 2.4, 0.5])


def normalized(n: int = 24, low: np.ndarray = LOW, high: np.ndarray = HIGH) -> Table:
    """A dataset of images whose channels each go from ``low`` to ``high``, as a normalization leaves them."""
    share = generator(0, DATA).random((n, len(low), 12, 12))
    share[:, :, 0, 0], share[:, :, 0, 1] = 0, 1
    x = low[:, None, None] + share * (high - low)[:, None, None]
    return load(torch.utils.data.TensorDataset(torch.tensor(x, dtype=torch.float32), torch.arange(n) % 2))


def seen_in_training(table: Table, cocktail: str, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """All images that one epoch augments, as they come and as they leave."""
    came, left, plain = [], [], augment.augmented

    def watched(x, *rest):
        made = plain(x, *rest)
        came.append(x.numpy().copy())
        left.append(made.numpy().copy())
        return made

    monkeypatch.setattr(augment, "augmented", watched)
    rows = np.arange(table.rows)
    data = prepare(table, [Fold(rows[6:], rows[:0], rows[:6])])
    net = wf.module("cnn")
    one = Member(net.bound(table.inputs.shape[1:], 1), as_cocktail(cocktail), Training("adam", 1e-3, 1, 6), 0, 0)
    engine = TorchEngine("cpu")
    engine.advance([one], engine.init([one], data), [1], data)
    return np.concatenate(came), np.concatenate(left)


def test_a_margin_is_black_and_a_brightness_of_next_to_nothing_changes_next_to_nothing(monkeypatch) -> None:
    table = normalized()
    _, left = seen_in_training(table, "augment:crop=0.5", monkeypatch)
    corners = np.stack([left[..., i, j] for i in (0, -1) for j in (0, -1)])
    for channel, black in enumerate(LOW):  # most corners come from outside
        share = (corners[..., channel] == np.float32(black)).mean()
        assert share > 0.5
    monkeypatch.undo()
    came, left = seen_in_training(table, "augment:brightness=0.01", monkeypatch)
    np.testing.assert_allclose(left, came, atol=0.01 * (HIGH - LOW).max() + 1e-6)
    assert (left != came).any()


def test_training_images_stay_in_the_range_that_validation_images_have(monkeypatch) -> None:
    table = normalized()
    kinds = "rotation=30:brightness=0.9:contrast=0.9:colour=0.9:erasing=0.5:crop=0.2"
    _, left = seen_in_training(table, f"augment:{kinds}", monkeypatch)
    for channel, (low, high) in enumerate(zip(LOW, HIGH, strict=True)):
        part = left[:, channel]
        assert part.min() == pytest.approx(low, abs=1e-5)
        assert high - (high - low) / 3 < part.max() < high + 1e-5


def test_any_scale_is_augmented_as_bytes_are() -> None:
    """Images from black to white on another scale become what the plain ones become, on that scale."""
    n, rng = 16, generator(1, DATA)
    x, u = images(n, 3), draws(n)
    noise = images(n, 3, seed=4)
    black = torch.as_tensor(rng.normal(size=(n, 3, 1, 1)))
    white = black + torch.as_tensor(rng.random((n, 3, 1, 1)) + 0.1)

    def moved(v):
        return black + (v + 1) / 2 * (white - black)

    for given in (STRONG, {"crop": 0.3}, {"rotation": 30.0}, {"contrast": 0.5}, {"noise": 0.2}, {"erasing": 0.9}):
        rows = amounts(n, 0.7, **given)
        rows[::3] = 0  # images that stay stand beside those that change
        want = augment.augmented(x, rows, u, lambda: noise)
        got = augment.augmented(moved(x), rows, u, lambda: noise, warp.Tones(black, white))
        torch.testing.assert_close(got, moved(want))
        assert torch.equal(got[::3], moved(x)[::3]), "without amounts: bit for bit"
    same = augment.augmented(moved(x), torch.zeros(n, len(KINDS)), u, None, warp.Tones(black, white))
    assert torch.equal(same, moved(x))


def test_a_channel_of_one_tone_stays_as_it_is() -> None:
    x, u = images(4, 3), draws(4)
    x[:, 1] = 0.25
    black, white = x.amin(dim=(0, 2, 3), keepdim=True), x.amax(dim=(0, 2, 3), keepdim=True)
    tones = warp.Tones(black.expand(4, 3, 1, 1), white.expand(4, 3, 1, 1))
    got = augment.augmented(x, amounts(4, brightness=0.8, contrast=0.8, crop=0.3), u, None, tones)
    assert (got[:, 1] == 0.25).all()


def test_black_and_white_are_read_off_a_folds_training_rows_alone() -> None:
    table = normalized()
    x = table.inputs.copy()
    x[:6] *= 7  # what lies outside of the first fold's training rows
    table, rows = replace(table, inputs=x), np.arange(24)
    folds = [Fold(rows[6:], rows[:3], rows[3:6]), Fold(rows[:18], rows[:0], rows[18:])]
    data = prepare(table, folds)
    np.testing.assert_array_equal(data.folds[0].tones, np.float32([LOW, HIGH]))
    np.testing.assert_array_equal(data.folds[1].tones, np.float32([7 * np.float32(LOW), 7 * np.float32(HIGH)]))
    np.testing.assert_array_equal(writable(data).folds[1].tones, data.folds[1].tones)
    assert prepare(table, folds, flat=True).folds[0].tones is None
    assert prepare(replace(table, scale="bytes"), folds).folds[0].tones is None
    # It changes what is learned, so a ledger must tell the two apart.
    assert fingerprint(table, folds) != fingerprint(replace(table, scale="bytes"), folds)


def test_fractions_have_black_at_0_and_white_at_1_and_a_note_says_what_was_taken() -> None:
    unit = normalized(low=np.array([0.1]), high=np.array([0.9]))
    rows = np.arange(24)
    fold = Fold(rows, rows[:0], rows[:0])
    assert prepare(unit, [fold]).folds[0].tones.tolist() == [[0.0], [1.0]]
    (found,) = unit.findings
    assert (found.kind, "0 for black and 1 for white" in found.text) == ("assumed_scale", True)
    (found,) = normalized().findings
    assert (found.kind, "least and the largest number of each channel" in found.text) == ("assumed_scale", True)
