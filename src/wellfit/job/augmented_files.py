"""The files of an augmented set: whose folder it is, and images by class as PNG or all of them as one ``.npz``."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.nets.storage import write_whole
from wellfit.records import Array, Table

FORMATS = ("png", "npz")
SETTINGS, SHEET, ARRAYS = "augmented.json", "contact_sheet.png", "augmented.npz"
TRAIN, TEST = "train", "test"


@dataclass(frozen=True, eq=False)
class Item:
    """An image (C, H, W), bytes, that was made of the table's ``row``: the original where ``copy`` is 0."""

    image: Array
    row: int
    copy: int


@contextmanager
def claim(folder: Path, settings: dict[str, object]) -> Iterator[Callable[[], None]]:
    """Take a folder for a set with these settings; what is yielded is to be called when all is written.

    Raises `SettingError` where the folder holds anything but a set with the same settings, whole or interrupted.
    """
    note = folder / SETTINGS
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = _read(note)
        if found is None:
            raise SettingError("augment.not_ours", folder=folder)
        if {**found, "complete": None} != {**settings, "complete": None}:
            raise SettingError("augment.other_settings", folder=folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(note, {**settings, "complete": False})
    yield lambda: _write(note, {**settings, "complete": True})


def left(folder: str | Path) -> str:
    """Return what an interrupt left in the folder, as a sentence."""
    files = sum(1 for part in (TRAIN, TEST) for _ in (Path(folder) / part).rglob("[!.]*.png"))
    return say("augment.interrupted", folder=folder, count=files)


def _read(note: Path) -> dict[str, object] | None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _write(note: Path, settings: dict[str, object]) -> None:
    write_whole(note, json.dumps(settings, indent=2, sort_keys=True).encode())


class Writer:
    """Writes images as they come (``png``), or all at the end (``npz``), and counts them."""

    def __init__(
        self, folder: Path, table: Table, format: str, *, total: int, progress: Callable[[int, int], None] | None
    ) -> None:
        self.folder, self.table, self.format = folder, table, format
        self.total, self.progress, self.done = total, progress, 0
        self.names = folder_names(table.classes)
        self.items: list[Item] = []
        self.tests: list[Item] = []

    def add(self, item: Item) -> None:
        """Add an image of the training rows, or a copy of one."""
        if self.format == "png":
            end = f"-copy-{item.copy}" if item.copy else ""
            self._png(item.image, TRAIN, item.row, end)
        else:
            self.items.append(item)
        self._count()

    def add_test(self, image: Array, row: int) -> None:
        """Add a test image."""
        if self.format == "png":
            self._png(image, TEST, row, "")
        else:
            self.tests.append(Item(image, row, 0))
        self._count()

    def close(self) -> None:
        """Write what waits to be written."""
        if self.format == "npz":
            write_whole(self.folder / ARRAYS, _npz(self._arrays()))

    def _count(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)

    def _png(self, image: Array, part: str, row: int, end: str) -> None:
        place = self.folder / part / self.names[int(self.table.target[row])]
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / f"row-{row:06}{end}.png", png(image))

    def _arrays(self) -> dict[str, Array]:
        made = {
            "X": np.stack([item.image for item in self.items]),
            "y": self.table.target[[item.row for item in self.items]],
            "source_row": np.array([item.row for item in self.items]),
            "copy": np.array([item.copy for item in self.items]),
        }
        if self.table.classes:
            made["classes"] = np.array(self.table.classes)
        if self.tests:
            made["Xtest"] = np.stack([item.image for item in self.tests])
            made["ytest"] = self.table.target[[item.row for item in self.tests]]
        return made


def png(image: Array) -> bytes:
    """Return an image (C, H, W) of bytes, one channel or three, as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, 2)
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def _npz(arrays: dict[str, Array]) -> bytes:
    """Return the arrays as an ``.npz`` file, without the time at which NumPy's own writer would stamp it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with file.open(entry, "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def folder_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return a folder's name for each class, all different: a name may hold what no file system takes.

    >>> folder_names(("T-shirt/top", "Bag", "bag", ".."))
    ('T-shirt_top', 'Bag', 'bag-2', 'class-3')
    """
    names: list[str] = []
    for code, label in enumerate(classes):
        name = re.sub(r"[^\w .()+-]", "_", label)[:100].strip(" ._") or f"class-{code}"
        taken = {known.casefold() for known in names}
        names.append(name if name.casefold() not in taken else f"{name}-{code}")
    return tuple(names)
