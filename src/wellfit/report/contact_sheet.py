"""A contact sheet: images with their variants beside them, and what each kind of augmentation does alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np

from wellfit.nets.storage import write_whole
from wellfit.records import Array

_SIDE = 96  # an image is shown about so large, in whole multiples of its pixels where it is smaller
_GAP, _MARGIN, _LABEL, _LINE = 4, 12, 132, 14
_PAPER, _INK = 255, 32


def contact_sheet(path: Path, images: Sequence[Array], kinds: Mapping[str, Array], *, title: str) -> None:
    """Write a PNG file with a row for each of ``images`` and, below, one for each of ``kinds`` with its name.

    A row is (k, C, H, W), bytes, the original first: it stands a little apart. One or three channels are shown.
    Identifiers stand in it, and no sentences: so it is the same in every language.
    """
    from PIL import Image, ImageDraw, ImageFont

    rows = [*images, *kinds.values()]
    tiles = [np.stack([_tile(image) for image in row]) for row in rows]
    count, height, width = tiles[0].shape[:3]
    full = _LABEL + count * (width + _GAP) + 2 * _GAP + 2 * _MARGIN
    lines = wrap(title.replace(":", ": "), (full - 2 * _MARGIN) // 7)
    top = 2 * _MARGIN + len(lines) * _LINE
    starts = [top + i * (height + _GAP) + (_MARGIN if i >= len(images) else 0) for i in range(len(rows))]
    sheet = Image.new("RGB", (full, starts[-1] + height + _MARGIN), (_PAPER,) * 3)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()

    def write(x: int, y: int, text: str) -> None:
        ascii_ = text.encode("ascii", "replace").decode()
        draw.text((x, y), ascii_, fill=(_INK,) * 3, font=font)

    for i, text in enumerate(lines):
        write(_MARGIN, _MARGIN + i * _LINE, text.replace(": ", ":"))
    labels = [""] * len(images) + list(kinds)
    for start, label, row in zip(starts, labels, tiles, strict=True):
        write(_MARGIN, start + height // 2 - 6, label)
        for i, tile in enumerate(row):
            x = _MARGIN + _LABEL + i * (width + _GAP) + (2 * _GAP if i else 0)
            sheet.paste(Image.fromarray(tile), (x, start))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def _tile(image: Array) -> Array:
    """Return an image (C, H, W) as (h, w, 3) of about the side that is shown."""
    shown = np.moveaxis(image if len(image) == 3 else np.repeat(image[:1], 3, axis=0), 0, 2)
    longest = max(shown.shape[:2])
    if longest <= _SIDE:
        return np.ascontiguousarray(shown.repeat(_SIDE // longest, 0).repeat(_SIDE // longest, 1))
    from PIL import Image

    height, width = (max(1, round(side * _SIDE / longest)) for side in shown.shape[:2])
    return np.asarray(Image.fromarray(np.ascontiguousarray(shown)).resize((width, height)))
