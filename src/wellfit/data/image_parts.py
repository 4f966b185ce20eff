"""Which folders of a folder of images are parts of the data (train, test, validation), and which are classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from wellfit.data.image_files import is_image
from wellfit.data.raw import brief_path, listing
from wellfit.errors import DataError

_NAMES = {"train": r"train(ing)?", "test": r"test(ing)?", "validation": r"val(id(ation)?)?"}
_SET = r"([-_ ]?(set|data|images))?"


@dataclass(frozen=True)
class Parts:
    """The folders of the parts; ``others`` stand beside them and are none."""

    train: Path
    test: Path | None
    validation: Path | None
    others: list[Path]


def parts_of(folder: Path, below: list[Path]) -> Parts | None:
    """Return the parts that the folders ``below`` a folder are; None where they are classes.

    They are parts where all are named so, or where one named train, training_set, ... holds class folders and no image
    of its own. Raises `DataError` where all are named as parts but none for training, and where two are the same part.
    """
    named = {part: [path for path in below if _is_named(path, part)] for part in _NAMES}
    others = [path for path in below if not any(path in paths for paths in named.values())]
    if len(others) == len(below):
        return None
    if others and not any(_holds_classes(path) for path in named["train"]):
        return None
    if not named["train"]:
        raise DataError("pictures.only_parts", label=brief_path(folder), names=listing(path.name for path in below))
    for paths in named.values():
        if len(paths) > 1:
            names = listing(path.name for path in paths)
            raise DataError("pictures.part_twice", label=brief_path(folder), names=names)
    train, test, validation = (next(iter(paths), None) for paths in named.values())
    assert train is not None
    return Parts(train, test, validation, others)


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, hidden ones and archives' own left out; numbers in the order of numbers."""
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    if all(path.name.isdecimal() for path in found):
        return sorted(found, key=lambda path: (int(path.name), path.name))
    return sorted(found, key=lambda path: path.name)


def _is_named(path: Path, part: str) -> bool:
    return re.fullmatch(_NAMES[part] + _SET, path.name.lower()) is not None


def _holds_classes(folder: Path) -> bool:
    """Tell whether a folder holds folders with images and no image beside them: a class named train may hold both."""
    if any(is_image(path) for path in folder.iterdir()):
        return False
    return any(is_image(path) for part in class_folders(folder) for path in part.rglob("*"))
