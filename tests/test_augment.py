"""Augmentation of a batch: against SciPy, Pillow and colorsys, image by image, and what must come back untouched."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import import_torch
from PIL import Image, ImageEnhance
from scipy import ndimage

from wellfit import rng
from wellfit.cocktail import Augment, Cocktail, as_cocktail
from wellfit.cocktail.augment import DEFAULTS, KINDS
from wellfit.engines.base import Member
from wellfit.engines.choice import default_engine
from wellfit.engines.contract.problems import make_data
from wellfit.errors import SettingError
from wellfit.nets import MLP, Training
from wellfit.select.axes import as_over

torch = import_torch()
augment = pytest.importorskip("wellfit.engines.torch.augment")
WARPS = ("rotation", "resized_crop", "translation", "scale", "shear", "perspective")
# Every kind, strong enough to be seen.
STRONG = {name: {"rotation": 40, "shear": 20, "noise": 0.1}.get(name, 0.5) for name in KINDS}


def images(n: int = 6, channels: int = 1, height: int = 12, width: int = 12, seed: int = 0, dtype=None):
    values = rng.uniform(seed, rng.DATA, n * channels * height * width).reshape(n, channels, height, width)
    return torch.as_tensor(2 * values - 1, dtype=dtype or torch.float64)


def draws(n: int, seed: int = 1):
    return torch.as_tensor(rng.uniform(seed, rng.DATA, n * augment.DRAWS).reshape(n, augment.DRAWS))


def drawn(u, name: str) -> np.ndarray:
    """The numbers of one kind, counted off here by hand."""
    needs = {"crop": 2, "resized_crop": 4, "translation": 2, "perspective": 8, "noise": 0, "colour": 2, "erasing": 5}
    first = 0
    for kind in KINDS:
        count = needs.get(kind, 1)
        if kind == name:
            return u.numpy()[:, first : first + count]
        first += count
    raise AssertionError(name)


def amounts(n: int, strength: float = 1.0, **given: float):
    return torch.tensor([Augment(strength, **given).amounts] * n, dtype=torch.float64)


def never():
    raise AssertionError("noise was asked for")


def apply(x, u, strength: float = 1.0, normal=never, **given: float):
    return augment.augmented(x, amounts(len(x), strength, **given), u, normal)


# ---- what must stay -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_amounts_no_change(dtype) -> None:
    x = images(channels=3, dtype=dtype)
    same = augment.augmented(x, torch.zeros(6, len(KINDS)), draws(6), never)
    assert torch.equal(same, x)
    assert same.dtype == dtype


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_depends_on_its_own_row_alone(channels: int, dtype) -> None:
    """Images of every kind side by side, and all kinds at once, come back as each does alone, bit for bit."""
    mixed = [Augment(0.7, **{name: amount}).amounts for name, amount in STRONG.items()]
    mixed += [(0.0,) * len(KINDS), Augment().amounts, Augment(**STRONG).amounts, Augment(0.3, **STRONG).amounts]
    n = len(mixed)
    x, u, rows = images(n, channels, 11, 14, dtype=dtype), draws(n), torch.tensor(mixed, dtype=torch.float64)
    noise = images(n, channels, 11, 14, seed=5, dtype=dtype)
    whole = augment.augmented(x, rows, u, lambda: noise)
    assert whole.shape == x.shape
    assert whole.dtype == dtype
    for i in range(n):
        own = slice(i, i + 1)
        alone = augment.augmented(x[own], rows[own], u[own], lambda own=own: noise[own])
        assert torch.equal(whole[own], alone), (i, (whole[own] - alone).abs().max())
    back = augment.augmented(x.flip(0), rows.flip(0), u.flip(0), lambda: noise.flip(0)).flip(0)
    assert torch.equal(whole, back)
    assert torch.equal(whole[len(KINDS)], x[len(KINDS)]), "the image without amounts"
    changed = [bool((whole[i] != x[i]).any()) for i in range(n)]
    assert changed[list(KINDS).index("colour")] == (channels == 3)


def test_no_global_generator_is_touched() -> None:
    before, ours = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (it is watched)
    apply(images(channels=3), draws(6), normal=lambda: images(channels=3), **STRONG)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(ours, np.random.get_state()[1])  # noqa: NPY002


def test_decisions_are_the_same_in_both_precisions() -> None:
    x, u = images(32, 3), draws(32)
    noise = images(32, 3, seed=4)
    exact = apply(x, u, normal=lambda: noise, **STRONG)
    single = apply(x.float(), u, normal=lambda: noise.float(), **STRONG)
    assert (exact - single).abs().max() < 1e-4


# ---- whole pixels ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 9), st.floats(0.01, 1))
def test_flips_and_crops_move_pixels(seed: int, height: int, width: int, crop: float) -> None:
    x, u = images(5, 2, height, width, seed), draws(5, seed)
    got = apply(x, u, horizontal_flip=0.5, vertical_flip=0.4, crop=crop).numpy()
    margins = np.array([round(crop * side) for side in (height, width)])
    for i, image in enumerate(x.numpy()):
        padded = np.pad(image, [(0, 0), *((m, m) for m in margins)], constant_values=-1)
        down, right = np.floor(drawn(u, "crop")[i] * (2 * margins + 1)).astype(int)
        want = padded[:, down : down + height, right : right + width]
        want = want[:, :, ::-1] if drawn(u, "horizontal_flip")[i, 0] < 0.5 else want
        want = want[:, ::-1] if drawn(u, "vertical_flip")[i, 0] < 0.4 else want
        np.testing.assert_array_equal(got[i], want)


def test_every_offset_of_a_crop_is_as_likely() -> None:
    n, side = 4000, 8
    x = torch.arange(side, dtype=torch.float64).expand(n, 1, side, side)
    got = apply(x, draws(n), crop=0.25)
    first = got[:, 0, 4, 3].numpy() - 3
    counts = np.array([(first == offset).sum() for offset in range(-2, 3)])
    assert counts.sum() == n
    assert np.abs(counts - n / 5).max() < 4 * math.sqrt(n * 0.2 * 0.8)


@pytest.mark.parametrize(("strength", "share"), [(1.0, 0.6), (0.5, 0.3)])
def test_a_flip_happens_as_often_as_it_should(strength: float, share: float) -> None:
    x = images(4000, 1, 1, 2)
    happened = (apply(x, draws(4000), strength, horizontal_flip=0.6) != x).any(dim=3).double().mean().item()
    assert happened == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))


# ---- warps ----------------------------------------------------------------------------------------------------------


def about(matrix) -> np.ndarray:
    return np.array(matrix, dtype=float)


def scipy_warp(image: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """The image under a map of places (x, y, 1) from its middle, by SciPy: black outside, bilinear between pixels."""
    _, height, width = image.shape
    y, x = np.mgrid[:height, :width]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])[:, None]
    seen = np.linalg.inv(forward) @ np.vstack([np.stack([x.ravel(), y.ravel()]) - middle, np.ones(x.size)])
    at = (seen[:2] / seen[2] + middle)[::-1]
    rows = [ndimage.map_coordinates(c, at, order=1, mode="grid-constant", cval=-1.0) for c in image]
    return np.array(rows).reshape(image.shape)


def forward_map(u, i: int, height: int, width: int, given: dict[str, float]) -> np.ndarray:
    """The map of image i, from the definitions in the docstring of `Augment`, forwards, in plain NumPy."""
    of = {name: given.get(name, 0.0) for name in KINDS}
    spread = {name: 2 * drawn(u, name)[i] - 1 for name in KINDS}
    whole = np.eye(3)
    # Corners move inward, clockwise from the upper left; eight equations for the map (as torchvision solves them).
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
    share = drawn(u, "perspective")[i].reshape(4, 2) * of["perspective"] / 2
    ends = corners * (1 - 2 * share)
    left, right = [], []
    for (x, y), (p, q) in zip(corners, ends, strict=True):
        left += [[x, y, 1, 0, 0, 0, -p * x, -p * y], [0, 0, 0, x, y, 1, -q * x, -q * y]]
        right += [p, q]
    whole = np.append(np.linalg.solve(left, right), 1).reshape(3, 3) @ whole
    larger = (1 + of["scale"]) ** spread["scale"][0]
    slant = math.tan(math.radians(of["shear"] * spread["shear"][0]))
    angle = math.radians(of["rotation"] * spread["rotation"][0])
    down, across = spread["translation"] * of["translation"] * [height, width]
    whole = np.diag([larger, larger, 1]) @ whole
    whole = about([[1, slant, 0], [0, 1, 0], [0, 0, 1]]) @ whole
    turn = about([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    whole = about([[1, 0, across], [0, 1, down], [0, 0, 1]]) @ turn @ whole
    # A part of the image, resized to the whole.
    area, ratio, below, beside = drawn(u, "resized_crop")[i]
    area = 1 - of["resized_crop"] * area
    ratio = math.exp((2 * ratio - 1) * min(math.log(4 / 3), -math.log(area)))
    tall, wide = math.sqrt(area * ratio), math.sqrt(area / ratio)
    top, start = below * (1 - tall), beside * (1 - wide)
    middle = [(start + wide / 2 - 0.5) * width, (top + tall / 2 - 0.5) * height]
    whole = np.diag([1 / wide, 1 / tall, 1]) @ about([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]]) @ whole
    margins = np.round(np.array([height, width]) * of["crop"])
    down, across = np.floor(drawn(u, "crop")[i] * (2 * margins + 1)) - margins
    whole = about([[1, 0, -across], [0, 1, -down], [0, 0, 1]]) @ whole
    sideways = -1 if drawn(u, "horizontal_flip")[i, 0] < of["horizontal_flip"] else 1
    over = -1 if drawn(u, "vertical_flip")[i, 0] < of["vertical_flip"] else 1
    return np.diag([sideways, over, 1]) @ whole


@pytest.mark.parametrize("name", [*WARPS, "all"])
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 9, 14)])
def test_a_warp_is_that_of_scipy(name: str, shape: tuple[int, ...]) -> None:
    given = {"rotation": 40.0, "resized_crop": 0.6, "translation": 0.3, "scale": 0.5, "shear": 25.0, "perspective": 0.6}
    given = (
        {**given, "horizontal_flip": 0.5, "vertical_flip": 0.5, "crop": 0.2} if name == "all" else {name: given[name]}
    )
    channels, height, width = shape
    x, u = images(12, channels, height, width), draws(12)
    got = apply(x, u, **given).numpy()
    for i, image in enumerate(x.numpy()):
        want = scipy_warp(image, forward_map(u, i, height, width, given))
        np.testing.assert_allclose(got[i], want, atol=1e-5)
        assert np.abs(want - image).max() > 0.01


def test_a_rotation_turns_counter_clockwise() -> None:
    """By a quarter, where SciPy is not needed to see it; u = 1 is the largest angle."""
    x, u = images(1, 1, 5, 5), torch.full((1, augment.DRAWS), 1.0, dtype=torch.float64)
    got = apply(x, u, rotation=90)
    np.testing.assert_allclose(got[0, 0].numpy(), np.rot90(x[0, 0].numpy()), atol=1e-12)


def test_the_strongest_perspective_folds_nothing() -> None:
    """At the largest amount every quadrangle is convex, so all places seen lie on one side of the horizon."""
    n = 2000
    u = torch.as_tensor((rng.uniform(3, rng.DATA, n * augment.DRAWS) > 0.5).astype(float).reshape(n, -1))
    for i in range(n):
        m = forward_map(u, i, 8, 8, {"perspective": KINDS["perspective"]})
        depths = m[2] @ np.array([[-4, 4, 4, -4], [-4, -4, 4, 4], [1, 1, 1, 1]])
        assert (depths > 0).all()


# ---- colours --------------------------------------------------------------------------------------------------------


def test_brightness_contrast_and_saturation_are_those_of_pillow() -> None:
    x, u = images(8, 3), draws(8)
    x = torch.round((x + 1) * 127.5) / 127.5 - 1
    enhancers = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast}
    for name, enhancer in enhancers.items():
        got = apply(x, u, **{name: 0.8})
        for i in range(8):
            pixels = np.round((x[i].numpy() + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
            factor = 1 + 0.8 * (2 * drawn(u, name)[i, 0] - 1)
            want = np.asarray(enhancer(Image.fromarray(pixels)).enhance(factor)).transpose(2, 0, 1)
            # Pillow's pixels, and its mean, are whole numbers.
            assert np.abs((got[i].numpy() + 1) * 127.5 - want).max() <= 2.0


def test_colour_is_saturation_by_pillow_and_hue_by_colorsys() -> None:
    x, u = images(8, 3, 4, 4), draws(8)
    got = (apply(x, u, colour=0.8).numpy() + 1) / 2
    for i in range(8):
        saturation, hue = 0.8 * (2 * drawn(u, "colour")[i] - 1)
        v = (x[i].numpy() + 1) / 2
        grey = np.tensordot([0.299, 0.587, 0.114], v, 1)
        v = np.clip(grey + (1 + saturation) * (v - grey), 0, 1)
        for y, z in np.ndindex(4, 4):
            h, s, value = colorsys.rgb_to_hsv(*v[:, y, z])
            want = colorsys.hsv_to_rgb((h + hue / 4) % 1, s, value)
            np.testing.assert_allclose(got[i, :, y, z], want, atol=1e-9)
    # The grey is Pillow's, to its rounding.
    pixels = np.round((x[0].numpy() + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    ours = np.tensordot(pixels, [0.299, 0.587, 0.114], 1)
    assert np.abs(np.asarray(Image.fromarray(pixels).convert("L")) - ours).max() <= 1


def test_a_grey_picture_has_no_colour_to_change() -> None:
    x, u = images(4, 1), draws(4)
    assert torch.allclose(apply(x, u, colour=1.0), x)
    grey = x.expand(4, 3, 12, 12)
    assert torch.allclose(apply(grey, u, colour=1.0), grey)


def test_noise_is_added_at_its_deviation() -> None:
    x, u, noise = images(4), draws(4), images(4, seed=9)
    assert torch.equal(apply(x, u, 0.5, normal=lambda: noise, noise=0.2), x + 0.1 * noise)


# ---- erasing --------------------------------------------------------------------------------------------------------


def test_erased_is_a_rectangle_of_the_right_size() -> None:
    n, side = 600, 40
    x = torch.ones(n, 2, side, side, dtype=torch.float64)
    got = apply(x, draws(n), erasing=0.5).numpy()
    np.testing.assert_array_equal(got[:, 0], got[:, 1])
    shares, ratios = [], []
    for image in got[:, 0]:
        hole = image == 0
        assert ((image == 1) | hole).all()
        if hole.any():
            rows, columns = hole.any(axis=1).sum(), hole.any(axis=0).sum()
            assert hole.sum() == rows * columns, "a rectangle, in one piece"
            assert np.ptp(np.flatnonzero(hole.any(axis=1))) == rows - 1
            shares.append(hole.mean())
            ratios.append(rows / columns)
    assert len(shares) / n == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / n))
    # Zhong et al. 2020: 2% to 40% of the area, sides up to 0.3 to 1; whole pixels blur these bounds a little.
    assert 0.01 < min(shares) < 0.06
    assert 0.35 < max(shares) < 0.43
    assert np.mean(shares) == pytest.approx(0.21, abs=0.02)
    assert 0.25 < min(ratios) < 0.45 < 2 < max(ratios) < 4
    assert (got[:, 0, 2:-2, 2:-2].min(axis=0) == 0).all(), "every place is erased now and then"


# ---- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*KINDS, "the default set"])
def test_more_strength_changes_more(name: str) -> None:
    x, u = images(200, 3, 16, 16), draws(200)
    x = torch.as_tensor(ndimage.gaussian_filter(x.numpy(), (0, 0, 3, 3)) * 5).clamp(-1, 1)  # smooth, as photos are
    given = DEFAULTS if name == "the default set" else {name: STRONG[name]}
    noise = images(200, 3, 16, 16, seed=7)
    change = [(apply(x, u, s, normal=lambda: noise, **given) - x).abs().mean().item() for s in (0.1, 0.4, 1.0)]
    assert 0 < change[0] < change[1] < change[2]


def test_the_order_of_amounts_is_that_of_the_ingredient() -> None:
    assert list(augment.NEEDS) == list(KINDS)
    assert sum(augment.NEEDS.values()) == augment.DRAWS


# ---- the ingredient -------------------------------------------------------------------------------------------------


def test_no_amounts_given_stand_for_the_default_set() -> None:
    assert Augment() == Augment(1.0, horizontal_flip=0.5, crop=0.125)
    assert str(Augment(0.5)) == "augment=0.5"
    assert Cocktail.parse("augment") == Cocktail((Augment(),))
    assert Augment(0.5).amounts == tuple(0.5 * DEFAULTS.get(name, 0.0) for name in KINDS)
    assert Augment(rotation=15).crop == 0, "an amount given stands alone"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("augment=1.5", "at most 1"),
        ("augment=-1", "cannot be negative"),
        ("augment=0.5:rotation=200", "augment:rotation is at most 180"),
        ("augment:crop=-0.1", "augment:crop cannot be negative"),
        ("augment:erasing=x", "augment:erasing must be a number"),
        ("augment:noise=inf", "augment:noise must be finite"),
        ("augment:resized_crop=1", "at most 0.99"),
        ("augment:rotation=0", "Every amount of augment is 0"),
        ("augment:blur=1", "no option 'blur'"),
    ],
)
def test_impossible_amounts_are_refused(text: str, word: str) -> None:
    with pytest.raises(SettingError, match=word):
        Cocktail.parse(text)


def test_a_path_turns_the_whole_set_up() -> None:
    over = as_over(Augment(rotation=20, schedule="cosine"))
    assert over.cocktail(0.0) == Cocktail()
    assert over.cocktail(0.25) == Cocktail((Augment(0.25, rotation=20, schedule="cosine"),))
    assert as_over("augment:rotation=20").cocktail(0.5) == Cocktail((Augment(0.5, rotation=20),))
    assert as_over(Augment).cocktail(0.5) == Cocktail((Augment(0.5),))
    assert (over.axis.spacing, over.axis.end) == ("even", 1.0)


@pytest.mark.parametrize("hidden", [(8,), ()])
def test_an_engine_for_tables_refuses_it_by_name(hidden: tuple[int, ...]) -> None:
    data = make_data("binary")
    engine = default_engine()
    reason = engine.supports(Member(MLP(hidden), as_cocktail("augment"), Training(), 0, 0), data)
    assert reason == "augment goes with images and a PyTorch network"
    assert engine.supports(Member(MLP(hidden), as_cocktail("augment=0"), Training(), 0, 0), data) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_a_gpu_gives_the_same_images(dtype, close: float) -> None:
    x, u, noise = images(64, 3, dtype=dtype), draws(64), images(64, 3, seed=4, dtype=dtype)
    rows = amounts(64, **STRONG)
    here = augment.augmented(x, rows, u, lambda: noise)
    there = augment.augmented(x.cuda(), rows.cuda(), u.cuda(), lambda: noise.cuda())
    assert there.device.type == "cuda"
    assert (there.cpu() - here).abs().max() < close
