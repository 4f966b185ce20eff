"""Augmentation of a batch of images as a pure function: all chance comes in as uniform numbers, a row for each image.

The kinds act in this order: perspective; scale, shear, rotation and translation; resized crop; crop; flips (see
`wellfit.engines.torch.warp`); then brightness, contrast, colour (saturation, hue), noise, erasing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from wellfit.cocktail.augment import KINDS
from wellfit.engines.torch.warp import PLAIN, Tones, box, moved, warp

Tensor = torch.Tensor

# How many uniform numbers each kind takes. Noise is drawn by a callable, a number for each pixel.
NEEDS = {
    "horizontal_flip": 1,
    "vertical_flip": 1,
    "rotation": 1,
    "crop": 2,
    "resized_crop": 4,
    "translation": 2,
    "scale": 1,
    "shear": 1,
    "perspective": 8,
    "contrast": 1,
    "brightness": 1,
    "noise": 0,
    "colour": 2,
    "erasing": 5,
}
DRAWS = sum(NEEDS.values())  # K
_ENDS = [sum(list(NEEDS.values())[: i + 1]) for i in range(len(NEEDS))]
_PLACES = {name: slice(end - NEEDS[name], end) for name, end in zip(NEEDS, _ENDS, strict=True)}
# Kinds that interpolate, and those that move whole pixels.
_WARPS = ("rotation", "resized_crop", "translation", "scale", "shear", "perspective")
_MOVES = ("horizontal_flip", "vertical_flip", "crop")
_TONES = ("brightness", "contrast")
_COLOURS = (*_TONES, "colour")
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and torchvision have it
_HUE = 0.25  # a hue turns by up to this share of the circle at colour 1 (Chen et al. 2020: a quarter of saturation's)
_ERASED = (0.02, 0.4, 0.3)  # least and largest share of the area, least ratio of the sides (Zhong et al. 2020)


def augmented(x: Tensor, amounts: Tensor, draws: Tensor, noise: Callable[[], Tensor], tones: Tones = PLAIN) -> Tensor:
    """Return images changed at random, of the same shape, dtype and device.

    ``x`` is (N, C, H, W), float32 or float64, black and white as in ``tones``, by default -1 and 1. ``amounts`` is
    (N, A), each image's own, in the order of `wellfit.cocktail.augment.KINDS` and times its strength
    (`Augment.amounts`); images of members that differ may stand in one call. ``draws`` is
    (N, DRAWS) uniform in (0, 1), and ``noise()`` gives (N, C, H, W) standard normal numbers; it is called only where
    some amount of noise is above 0.

    An image's result depends on its own row of each argument alone. Where its amounts are 0 it comes back bit for bit;
    where none but flips and crop act its pixels are moved, not interpolated. All other geometric kinds compose to one
    projective map an image, and the image is interpolated once, bilinearly.

    >>> x = torch.linspace(-1, 1, 4).reshape(1, 1, 1, 4)
    >>> amounts, draws = torch.zeros(1, len(KINDS)), torch.full((1, DRAWS), 0.5)
    >>> amounts[0, list(KINDS).index("horizontal_flip")] = 1.0
    >>> augmented(x, amounts, draws, lambda: torch.zeros_like(x)).flatten().tolist()[0]
    1.0
    """
    acting = amounts > 0
    # The one place that waits for a device: which kinds act at all.
    used = {name for name, some in zip(KINDS, acting.any(dim=0).tolist(), strict=True) if some}
    a, u = _Columns(amounts.to(draws.dtype)), _Draws(draws)
    if used & {*_WARPS, *_MOVES}:
        x = _geometry(x, a, u, used, tones.black)
    tints = _COLOURS if x.shape[1] == 3 else _TONES
    if used & {*tints}:
        x = torch.where(a.any(tints)[:, None, None, None], _coloured(x, a, u, used, tones), x)
    if "noise" in used:
        x = x + _each(a["noise"], x) * ((tones.white - tones.black) / 2) * noise()
    if "erasing" in used:
        grey = (tones.black + tones.white) / 2
        x = torch.where(_erased(a["erasing"], u["erasing"], x.shape[2], x.shape[3]), grey, x)
    return x


class _Columns:
    """Amounts by the name of their kind, (N,) each."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._place = {name: i for i, name in enumerate(KINDS)}

    def __getitem__(self, name: str) -> Tensor:
        return self.values[:, self._place[name]]

    def any(self, names: tuple[str, ...]) -> Tensor:
        """Which images any of these kinds act on, (N,)."""
        return (self.values[:, [self._place[name] for name in names]] > 0).any(dim=1)

    def rows(self, which: Tensor) -> _Columns:
        """The amounts of some images."""
        return _Columns(self.values[which])


class _Draws:
    """Uniform numbers by the name of the kind that they are for, (N, `NEEDS`) each."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __getitem__(self, name: str) -> Tensor:
        return self.values[:, _PLACES[name]]

    def rows(self, which: Tensor) -> _Draws:
        """The numbers of some images."""
        return _Draws(self.values[which])


def _geometry(x: Tensor, a: _Columns, u: _Draws, used: set[str], black: Tensor | float) -> Tensor:
    """Return images moved or warped; each by the way that its own kinds need, whatever the others beside it need."""
    if not used & {*_WARPS}:
        return moved(x, a, u, black)
    warped = a.any(_WARPS)
    if warped.all():
        return warp(x, a, u, used, black)
    out = moved(x, a, u, black) if used & {*_MOVES} else x.clone()
    own = black[warped] if isinstance(black, Tensor) else black
    out[warped] = warp(x[warped], a.rows(warped), u.rows(warped), used, own)
    return out


def _each(values: Tensor, x: Tensor) -> Tensor:
    """Return one number an image as (N, 1, 1, 1), in the dtype of x."""
    return values.to(x.dtype)[:, None, None, None]


def _grey(v: Tensor) -> Tensor:
    """Return the grey of each pixel, (N, 1, H, W): weighted as the eye does for three channels, else their mean."""
    if v.shape[1] != 3:
        return v.mean(dim=1, keepdim=True)
    red, green, blue = (v[:, i : i + 1] for i in range(3))
    return _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue


def _coloured(x: Tensor, a: _Columns, u: _Draws, used: set[str], tones: Tones) -> Tensor:
    """Return images of other brightness, contrast, saturation and hue, by torchvision's and Pillow's formulas."""
    span = tones.white - tones.black
    # A channel of one tone alone is black, and stays so.
    v = ((x - tones.black) / (torch.where(span > 0, span, 1.0) if isinstance(span, Tensor) else span)).clamp(0, 1)

    def factor(name: str) -> Tensor:
        return _each(1 + (2 * u[name][:, 0] - 1) * a[name], x)

    def blend(v: Tensor, other: Tensor, name: str) -> Tensor:
        share = factor(name)
        return (share * v + (1 - share) * other).clamp(0, 1)  # in this form v itself, to the bit, where the share is 1

    if "brightness" in used:
        v = (v * factor("brightness")).clamp(0, 1)
    if "contrast" in used:
        # A running sum adds up in one order, whatever images and threads there are; mean() does not.
        total = _grey(v).flatten(1).cumsum(dim=1)
        mean = _each(total[:, -1] / total.shape[1], x)
        v = blend(v, mean, "contrast")
    if "colour" in used and x.shape[1] == 3:
        v = blend(v, _grey(v), "colour")
        turn = (2 * u["colour"][:, 1] - 1) * a["colour"] * _HUE
        v = torch.where(_each(a["colour"], x) > 0, _turned(v, _each(turn, x)), v)
    return span * v + tones.black


def _turned(v: Tensor, turn: Tensor) -> Tensor:
    """Return colours in [0, 1], (N, 3, H, W), with their hue turned by shares of the circle, (N, 1, 1, 1).

    To HSV and back (Smith 1978): with hue h, a channel is value - chroma max(0, min(k, 4 - k, 1)), k = n + 6 h modulo
    6, n = 5, 3, 1 for red, green, blue.
    """
    red, green, blue = (v[:, i : i + 1] for i in range(3))
    value, least = v.amax(dim=1, keepdim=True), v.amin(dim=1, keepdim=True)
    chroma = value - least
    safe = torch.where(chroma > 0, chroma, 1.0)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    k = torch.remainder(sixth + 6 * turn + v.new_tensor([5.0, 3.0, 1.0])[:, None, None], 6)
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)


def _erased(probability: Tensor, u: Tensor, height: int, width: int) -> Tensor:
    """Return where images are erased, (N, 1, H, W): a rectangle of whole pixels, where one is drawn."""
    least, most, ratio = _ERASED
    tall, wide = box(least + (most - least) * u[:, 1], u[:, 2], ratio)
    rows = _between(tall, u[:, 3], height)
    columns = _between(wide, u[:, 4], width)
    return ((u[:, 0] < probability)[:, None, None] & rows[:, :, None] & columns[:, None, :])[:, None]


def _between(share: Tensor, u: Tensor, side: int) -> Tensor:
    """Return which of a side's pixels lie in a stretch of this share of it, at a place drawn, (N, side)."""
    long = (share * side).round().clamp(1, side)
    first = torch.minimum((u * (side - long + 1)).floor(), side - long)
    at = torch.arange(side, device=u.device)
    return (at >= first[:, None]) & (at < (first + long)[:, None])
