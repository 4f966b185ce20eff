"""Files of built-in data: from the folder that WELLFIT_DATA names, else downloaded once, and checked either way."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from wellfit.data.raw import brief_path
from wellfit.errors import DataError

VARIABLE = "WELLFIT_DATA"
_SECONDS = 20  # that a mirror may keep silent


def files_of(name: str, checksums: Mapping[str, str], mirrors: Sequence[str]) -> dict[str, Path]:
    """Return where the files of built-in data stand, by file name; ``checksums`` are their SHA-256.

    They are read from the folder ``name`` in the folder that the environment variable WELLFIT_DATA names. Where there
    is none they are downloaded into the user's cache folder. Raises `DataError` for a file that is lacking or has other
    content, and where no mirror answers.
    """
    own = os.environ.get(VARIABLE)
    folder = Path(own).expanduser() / name if own else None
    if folder is not None and folder.is_dir():
        return {file: _checked(folder / file, checksum) for file, checksum in checksums.items()}
    return download(checksums, mirrors, _cache(name))


def _cache(name: str) -> Path:
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("wellfit")) / "data" / name


def _checked(path: Path, checksum: str) -> Path:
    """Return the path of a file with the right content. Raises `DataError`."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError("data.unreadable", label=brief_path(path), reason=reason) from None
    if found != checksum:
        raise DataError("images.other_content", label=brief_path(path))
    return path


def download(checksums: Mapping[str, str], mirrors: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the files in ``folder``, each downloaded from the first mirror that has it with the right SHA-256.

    ``mirrors`` are addresses to which a file's name is appended. A file is put in its place when it is complete and
    right, and one that is there is not asked for again. Raises `DataError` that names the file and says where to put
    it by hand.
    """
    return {file: _downloaded(file, checksum, mirrors, folder) for file, checksum in checksums.items()}


def _downloaded(file: str, checksum: str, mirrors: Sequence[str], folder: Path) -> Path:
    import pooch

    reason = ""
    for mirror in mirrors:
        try:
            with _quiet(pooch.get_logger()):
                fetch = pooch.HTTPDownloader(timeout=_SECONDS)
                return Path(pooch.retrieve(mirror + file, f"sha256:{checksum}", file, folder, downloader=fetch))
        except ValueError:  # the content has another checksum; the bad copy is gone already
            reason = "images.download_damaged"
        except OSError:  # no connection, an answer that is an error, a folder that cannot be written
            reason = reason or "images.download_failed"
    places = {"folder": brief_path(folder), "variable": VARIABLE, "name": folder.name}
    raise DataError(reason, file=file, mirrors=" ".join(mirrors), **places)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """While the block runs, hear warnings alone: what users are told comes from the catalogue."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
