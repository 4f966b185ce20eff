"""The files of an augmented set: whose folder it is, and images by class as PNG or all of them as one ``.npz``."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import numpy as np

from wellfit.data.raw import listing
from wellfit.errors import SettingError
from wellfit.job.files import make_folder
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
def claim(folder: Path, settings: dict[str, object], owned: Collection[str]) -> Iterator[Callable[[], None]]:
    """Take a folder for a set with these settings; what is yielded is to be called when all is written.

    ``owned`` are the paths of all its files, from the folder. Raises `SettingError` where the folder holds anything but
    a set with the same settings, whole or interrupted.
    """
    note = folder / SETTINGS
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = _read(note)
        if found is None:
            raise SettingError("augment.not_ours", folder=folder)
        if {**found, "complete": None} != {**settings, "complete": None}:
            raise SettingError("augment.other_settings", folder=folder)
        foreign = _visible(folder) - {SETTINGS, *owned}
        if foreign:
            raise SettingError("pictures.foreign_files", folder=folder, names=listing(sorted(foreign)))
    make_folder(folder)
    _write(note, {**settings, "complete": False})
    yield lambda: _write(note, {**settings, "complete": True})


def _visible(folder: Path) -> set[str]:
    """Return the paths of the files in a folder; hidden ones, which nothing reads as images, are left out."""
    places = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {place.as_posix() for place in places if not any(part.startswith(".") for part in place.parts)}


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
            self._png(item.image, TRAIN, item.row, item.copy)
        else:
            self.items.append(item)
        self._count()

    def add_test(self, image: Array, row: int) -> None:
        """Add a test image."""
        if self.format == "png":
            self._png(image, TEST, row, 0)
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

    def files(self, rows: Array, copies: int, tests: Array) -> set[str]:
        """Return the paths, from the folder, of all files of the set: of copies of ``rows``, and of ``tests``."""
        if self.format == "npz":
            return {SHEET, ARRAYS}
        made = {self._place(TRAIN, int(row), copy) for row in rows for copy in range(copies + 1)}
        return {SHEET, *made, *(self._place(TEST, int(row), 0) for row in tests)}

    def _place(self, part: str, row: int, copy: int) -> str:
        end = f"-copy-{copy}" if copy else ""
        return f"{part}/{self.names[int(self.table.target[row])]}/row-{row:06}{end}.png"

    def _png(self, image: Array, part: str, row: int, copy: int) -> None:
        place = self.folder / self._place(part, row, copy)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, png(image))

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
    names: dict[str, str] = {}  # by what a file system may take for the same name
    for code, label in enumerate(classes):
        plain = re.sub(r"[^\w .()+-]", "_", label)[:100].strip(" ._") or f"class-{code}"
        tried = chain([plain], (f"{plain}-{number}" for number in count(code)))
        name = next(name for name in tried if _alike(name) not in names)
        names[_alike(name)] = name
    return tuple(names.values())


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
