"""Geometric augmentation: whole pixels moved, or one projective map an image and one interpolation.

Coordinates are pixels from the image's middle, x to the right and y downward. A map leads from a place of the result to
the place of the image that is seen there, as a 3 x 3 matrix on (x, y, 1) up to a factor.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch.nn import functional

Tensor = torch.Tensor
_RATIO = 3 / 4  # least ratio of a resized crop's sides to the image's (Szegedy et al. 2015)
_FAR = 4.0  # half sides from the middle, well outside of any image


class Tones(NamedTuple):
    """What is black and what white in images: one number for all, or (N, C, 1, 1), each image's own by channel."""

    black: Tensor | float = -1.0
    white: Tensor | float = 1.0


PLAIN = Tones()


class ByKind(Protocol):
    """Amounts (N,) or draws (N, k), asked for by the name of a kind."""

    def __getitem__(self, name: str) -> Tensor:
        """Return those of one kind."""


def box(share: Tensor, u: Tensor, least_ratio: float) -> tuple[Tensor, Tensor]:
    """Return the height and width, as shares of the sides, of a box over this share of the area.

    Their ratio is log-uniform in [``least_ratio``, 1 / ``least_ratio``], or as much of it as fits.
    """
    least = share.clamp(min=least_ratio).log()
    ratio = ((2 * u - 1) * -least).exp()
    return (share * ratio).sqrt(), (share / ratio).sqrt()


def _flips(a: ByKind, u: ByKind) -> tuple[Tensor, Tensor]:
    """Return which images are flipped sideways and upside down, (N,) each."""
    return u["horizontal_flip"][:, 0] < a["horizontal_flip"], u["vertical_flip"][:, 0] < a["vertical_flip"]


def _offsets(a: ByKind, u: ByKind, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return how many pixels the crop lies below and to the right of the image, (N,) each, whole numbers."""
    down, right = (_offset((a["crop"] * side).round(), u["crop"][:, i]) for i, side in enumerate((height, width)))
    return down, right


def _offset(margin: Tensor, u: Tensor) -> Tensor:
    return torch.minimum((u * (2 * margin + 1)).floor(), 2 * margin) - margin


def moved(x: Tensor, a: ByKind, u: ByKind, black: Tensor | float) -> Tensor:
    """Return images flipped and cropped: each pixel is one of the image's, or black."""
    n, c, height, width = x.shape
    sideways, over = _flips(a, u)
    down, right = _offsets(a, u, height, width)
    rows, rows_in = _sources(over, down, height)
    columns, columns_in = _sources(sideways, right, width)
    places = (rows[:, :, None] * width + columns[:, None, :]).reshape(n, 1, height * width)
    picked = x.reshape(n, c, height * width).gather(2, places.expand(n, c, height * width)).reshape(x.shape)
    return torch.where((rows_in[:, :, None] & columns_in[:, None, :])[:, None], picked, black)


def _sources(flipped: Tensor, offset: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return which row (or column) of the image each one of the result is, (N, side), and whether there is one."""
    at = torch.arange(side, device=offset.device)
    source = torch.where(flipped[:, None], side - 1 - at, at) + offset[:, None].long()
    return source.clamp(0, side - 1), (source >= 0) & (source < side)


def warp(x: Tensor, a: ByKind, u: ByKind, used: set[str], black: Tensor | float) -> Tensor:
    """Return images under their maps, interpolated bilinearly between pixels; what lies outside is black."""
    height, width = x.shape[2:]
    m = _maps(a, u, used, height, width).to(x.dtype)
    across = torch.arange(width, device=x.device, dtype=x.dtype) - (width - 1) / 2
    down = (torch.arange(height, device=x.device, dtype=x.dtype) - (height - 1) / 2)[:, None]
    # In half sides, as grid_sample asks for: -1 and 1 are an image's edges.
    m = m / m.new_tensor([width / 2, height / 2, 1.0])[:, None]
    right, below, depth = (
        m[:, i, 0, None, None] * across + (m[:, i, 1, None, None] * down + m[:, i, 2, None, None]) for i in range(3)
    )
    if "perspective" in used:
        depth = torch.where(depth.abs() < 1e-6, 1e-6, depth)  # on the horizon: infinitely far
        right, below = right / depth, below / depth
    grid = torch.stack([right, below], dim=-1).clamp(-_FAR, _FAR)
    # Outside is 0 to grid_sample: so that this is black, black is made 0.
    return functional.grid_sample(x - black, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + black


def _maps(a: ByKind, u: ByKind, used: set[str], height: int, width: int) -> Tensor:
    """Return each image's map, (N, 3, 3): back through the flips, the crop, and so on to the perspective."""
    sideways, over = _flips(a, u)
    down, right = _offsets(a, u, height, width)
    m = _affine(1 - 2 * sideways.to(down), 0, right, 0, 1 - 2 * over.to(down), down)
    if "resized_crop" in used:
        m = _resized_crop(a["resized_crop"], u["resized_crop"], height, width) @ m
    if used & {"rotation", "translation", "scale", "shear"}:
        m = _affinity(a, u, height, width) @ m
    if "perspective" in used:
        m = _perspective(a["perspective"], u["perspective"], height, width) @ m
    return m


def _affine(*entries: Tensor | float) -> Tensor:
    """Return maps from their first six entries, by row, (N,) each or one number for all."""
    some = next(e for e in entries if isinstance(e, Tensor))
    filled = [e if isinstance(e, Tensor) else torch.full_like(some, e) for e in (*entries, 0.0, 0.0, 1.0)]
    return torch.stack(filled, dim=-1).reshape(-1, 3, 3)


def _resized_crop(amount: Tensor, u: Tensor, height: int, width: int) -> Tensor:
    """Return the map to a part of at least 1 - amount of the area, anywhere in the image."""
    tall, wide = box(1 - amount * u[:, 0], u[:, 1], _RATIO)
    down, right = (u[:, 2] - 0.5) * (1 - tall) * height, (u[:, 3] - 0.5) * (1 - wide) * width
    return _affine(wide, 0, right, 0, tall, down)


def _affinity(a: ByKind, u: ByKind, height: int, width: int) -> Tensor:
    """Return the map back through a translation, a rotation (counter-clockwise), a shear along x and a scale."""
    turned, slanted = (_spread(a[name], u[name][:, 0]) * (math.pi / 180) for name in ("rotation", "shear"))
    larger = (_spread(a["scale"].log1p(), u["scale"][:, 0])).exp()
    moves = _spread(a["translation"][:, None], u["translation"])
    down, right = moves[:, 0] * height, moves[:, 1] * width
    cos, sin, slant = turned.cos(), turned.sin(), slanted.tan()
    # Seen with y downward, counter-clockwise by t is ((cos, sin), (-sin, cos)): back is its transpose.
    xx, xy, yx, yy = cos + slant * -sin, -sin - slant * cos, sin, cos
    xx, xy, yx, yy = (e / larger for e in (xx, xy, yx, yy))
    return _affine(xx, xy, -xx * right - xy * down, yx, yy, -yx * right - yy * down)


def _spread(amount: Tensor, u: Tensor) -> Tensor:
    """Return what lies in [-amount, amount] where u in (0, 1) says."""
    return amount * (2 * u - 1)


def _perspective(amount: Tensor, u: Tensor, height: int, width: int) -> Tensor:
    """Return the map back from the quadrangle that the image's corners are moved to.

    The map from the unit square to a quadrangle is Heckbert's (1989, *Fundamentals of texture mapping*, 2.2.3); its
    adjugate is its inverse up to a factor, and there factors do not count.
    """
    inward = (amount[:, None] / 2 * u).reshape(-1, 4, 2)
    corners = u.new_tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    quad = corners + inward * -2 * corners  # in sides, from the middle, clockwise from the upper left
    p0, p1, p2, p3 = quad.unbind(dim=1)
    rest, first, second = p0 - p1 + p2 - p3, p1 - p2, p3 - p2
    area = _cross(first, second)
    g, h = _cross(rest, second) / area, _cross(first, rest) / area
    c0, c1 = (torch.cat([p - p0 + w[:, None] * p, w[:, None]], dim=1) for p, w in ((p1, g), (p3, h)))
    c2 = torch.cat([p0, torch.ones_like(p0[:, :1])], dim=1)
    back = torch.stack([torch.linalg.cross(*pair) for pair in ((c1, c2), (c2, c0), (c0, c1))], dim=1)
    sides = u.new_tensor([width, height, 1.0])
    centred = torch.eye(3, dtype=u.dtype, device=u.device)
    centred[:2, 2] = -0.5  # from the unit square to sides from the middle
    return sides[:, None] * (centred @ back) / sides


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
