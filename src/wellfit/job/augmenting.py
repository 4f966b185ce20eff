"""Augmentation offline: the enlarged set of images, written out, and a contact sheet to look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from wellfit import rng
from wellfit.cocktail import Augment, as_cocktail
from wellfit.cocktail.augment import KINDS
from wellfit.errors import DataError, SettingError
from wellfit.job.augmented_files import FORMATS, SHEET, Item, Writer, claim
from wellfit.messages import join, say
from wellfit.nets.torch_door import require_torch
from wellfit.records import Array, Finding, Table
from wellfit.report.contact_sheet import contact_sheet

_BATCH = 256  # images changed in one call
_SHOWN, _VARIANTS = 6, 8  # originals on the contact sheet, and how many variants stand beside each
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Augmented:
    """What was written: ``originals`` and ``copies`` of each in ``folder``, and ``tests`` unchanged images."""

    folder: Path
    originals: int
    copies: int
    tests: int
    format: str
    findings: tuple[Finding, ...] = ()

    @property
    def sheet(self) -> Path:
        """The contact sheet."""
        return self.folder / SHEET

    def sentences(self) -> list[str]:
        """Return it in words."""
        told = [
            say(
                f"augment.written_{self.format}",
                folder=self.folder,
                originals=self.originals,
                changed=self.originals * self.copies,
                copies=self.copies,
            )
        ]
        if self.tests:
            told.append(say(f"augment.tests_{self.format}", count=self.tests))
        return [*told, say("augment.one_side"), say("augment.look", sheet=self.sheet)]

    def __str__(self) -> str:
        """Return it in words, as one text."""
        return join(self.sentences(), "sentences")


def augment(
    source: object,
    out: str | Path,
    *,
    copies: int = 4,
    augment: Augment | str | None = None,
    seed: int = 0,
    format: str = "png",
    progress: Progress | None = None,
    **options: Any,
) -> Augmented:
    """Write a set of images enlarged by changed copies into the folder ``out``, with a contact sheet.

    ``source`` is anything that `wellfit.load` reads as images, with its ``options`` (``image_size``,
    ``skip_corrupt``), or a `Table`. Each training image is written as it is and ``copies`` times changed by
    ``augment`` (`Augment`, or its text form), copy c of row i by a draw that is a function of (seed, i, c). Test images
    that came with the data are written unchanged.

    ``format`` is ``png`` (``train/CLASS/row-000012.png`` and ``row-000012-copy-1.png``, tests in ``test/``; 12 is the
    row in the table, from 0) or ``npz`` (``augmented.npz`` with X, y, classes, Xtest, ytest, and for each image of X
    its ``source_row`` and ``copy``, 0 for the original). Each file is there whole or not at all; the same call writes
    the same bytes. ``progress(done, total)`` counts images.

    Raises `SettingError` for impossible settings and a folder that holds anything else or lies in that of the images,
    `DataError` for a source that is no set of images in bytes, `MissingExtraError` without PyTorch.

    >>> import tempfile
    >>> pixels = np.arange(4 * 64, dtype=np.uint8).reshape(4, 1, 8, 8)
    >>> table = Table("four", {}, {}, np.array([0, 0, 1, 1]), "label", "binary", ("cat", "dog"), inputs=pixels)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = augment(table, folder, copies=2, augment="augment:rotation=15")
    ...     sorted(path.name for path in (made.folder / "train" / "cat").iterdir())[:3]
    ['row-000000-copy-1.png', 'row-000000-copy-2.png', 'row-000000.png']
    """
    asked = _asked(augment)
    for name, value, least in (("copies", copies, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or value < least:
            raise SettingError(f"augment.bad_{name}", value=value)
    if format not in FORMATS:
        raise SettingError("augment.bad_format", value=format, known=", ".join(FORMATS))
    require_torch()
    for images in (source, options.get("test")):
        _refuse_inside(images, Path(out))
    table = _images(source, options, format)
    tests = np.array([], np.int64) if table.test_rows is None else np.asarray(table.test_rows)
    rows = np.setdiff1d(np.arange(table.rows), tests)
    set_ = _Set(table, asked, int(seed))
    settings = {"images": set_.fingerprint(), "augment": str(asked), "copies": int(copies), "seed": int(seed)}
    folder = Path(out)
    writer = Writer(folder, table, format, total=len(rows) * (1 + int(copies)) + len(tests), progress=progress)
    owned = writer.files(rows, int(copies), tests)
    with claim(folder, {**settings, "format": format}, owned) as done:
        for item in set_.items(rows, int(copies)):
            writer.add(item)
        for row in tests:
            writer.add_test(set_.inputs[row], int(row))
        contact_sheet(folder / SHEET, *set_.shown(rows), title=str(asked))
        writer.close()
        done()
    return Augmented(folder, len(rows), int(copies), len(tests), format, table.findings)


def _asked(given: Augment | str | None) -> Augment:
    """Return the augmentation that was asked for. Raises `SettingError` for anything beside it, or nothing at all."""
    if given is None:
        return Augment()
    parts = as_cocktail(given).ingredients
    if len(parts) != 1 or not isinstance(parts[0], Augment):
        raise SettingError("augment.only", value=given)
    if parts[0].schedule != "constant":
        raise SettingError("augment.no_schedule", value=given)
    if not parts[0].acts:
        raise SettingError("augment.nothing")
    return parts[0]


def _refuse_inside(images: object, out: Path) -> None:
    """Raise `SettingError` where the set would stand in the folder of the images themselves, as a class of its own."""
    if isinstance(images, (str, os.PathLike)):
        folder = Path(os.fsdecode(images)).expanduser()
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise SettingError("pictures.out_inside", out=out, images=folder)


def _images(source: object, options: dict[str, Any], format: str) -> Table:
    """Return a table of images in bytes. Raises `DataError` for anything else."""
    from wellfit.data import load

    table = source if isinstance(source, Table) else load(source, **options)
    if table.inputs is None or table.inputs.ndim != 4 or table.inputs.dtype != np.uint8:
        raise DataError("augment.no_images", name=table.name)
    if format == "png" and not table.classes:
        raise DataError("augment.no_classes", name=table.name)
    if format == "png" and table.inputs.shape[1] not in (1, 3):
        raise DataError("augment.channels", name=table.name, channels=table.inputs.shape[1])
    return table


class _Set:
    """A set of images, (n, C, H, W) bytes, and its copies: each a function of (seed, row, copy)."""

    def __init__(self, table: Table, asked: Augment, seed: int) -> None:
        assert table.inputs is not None
        self.table, self.inputs, self.target, self.asked, self.seed = table, table.inputs, table.target, asked, seed

    def fingerprint(self) -> str:
        """Return a hash of all images and targets, what the targets mean and which rows are test rows."""
        tests = None if self.table.test_rows is None else self.table.test_rows.tolist()
        about = (self.inputs.shape, self.table.task, self.table.classes, tests)
        digest = blake2b(repr(about).encode("utf-8", "surrogatepass"), digest_size=16)
        for row in self.inputs:
            digest.update(row.tobytes())
        digest.update(self.target.tobytes())
        return digest.hexdigest()

    def items(self, rows: Array, copies: int) -> Iterator[Item]:
        """Yield each row's image and its copies, batch by batch."""
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            made = [self.inputs[some], *(self.changed(some, copy, self.asked) for copy in range(1, copies + 1))]
            for i, row in enumerate(some):
                for copy, images in enumerate(made):
                    yield Item(images[i], int(row), copy)

    def changed(self, rows: Array, copy: int, asked: Augment) -> Array:
        """Return copy number ``copy`` of some rows, bytes."""
        import torch

        from wellfit.engines.torch.augment import DRAWS, augmented

        place = [{"epoch": copy, "step": int(row)} for row in rows]
        draws = np.array([rng.uniform(self.seed, rng.AUGMENT, DRAWS, **at) for at in place])
        x = torch.from_numpy(self.inputs[rows].astype(np.float32)) / 127.5 - 1

        def noise() -> torch.Tensor:
            size = x[0].numel()
            drawn = np.array([rng.normal(self.seed, rng.AUGMENT_NOISE, size, **at) for at in place])
            return torch.from_numpy(drawn).to(x.dtype).reshape(x.shape)

        amounts = torch.tensor([asked.amounts], dtype=torch.float64).expand(len(rows), -1)
        out = augmented(x, amounts, torch.from_numpy(draws), noise)
        return ((out + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()

    def shown(self, rows: Array) -> tuple[list[Array], dict[str, Array]]:
        """Return the images of the contact sheet, the original first in each row.

        Of some rows, classes in turn, the first copies; and by the name of each kind what it alone does to the first.
        """
        turn = [np.flatnonzero(self.target[rows] == label) for label in np.unique(self.target[rows])[:_SHOWN]]
        picked = np.array([rows[places[k]] for k in range(_SHOWN) for places in turn if k < len(places)][:_SHOWN])

        def beside(some: Array, asked: Augment) -> list[Array]:
            made = [self.inputs[some], *(self.changed(some, copy, asked) for copy in range(1, _VARIANTS + 1))]
            return list(np.stack(made, axis=1))

        acting = {name: getattr(self.asked, name) for name in KINDS if getattr(self.asked, name)}
        # The other amounts are 0, so that they do not stand for the default set.
        alone = {name: replace(self.asked, **(dict.fromkeys(KINDS, 0.0) | {name: acting[name]})) for name in acting}
        return beside(picked, self.asked), {name: beside(picked[:1], kind)[0] for name, kind in alone.items()}
