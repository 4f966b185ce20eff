"""One run, one process: a lock on the run's folder that the system itself takes back when its holder dies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from wellfit.errors import ModelFileError
from wellfit.messages import say

LOCK = "run.lock"
# A link could lead out of the folder.
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
_TRIES = 20  # to get a lock whose file is not being removed at this moment


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder while the block lasts. Raises `ModelFileError` that names who holds it, where someone does.

    No time and no process id decides: a killed process holds nothing, whatever stands in the file or on the clock.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, held(Path(folder)):
    ...     str(os.getpid()) in str(holder(Path(folder)))
    True
    """
    path = folder / LOCK
    handle = _acquire(path)
    if handle is None:
        raise ModelFileError("ledger.held", folder=folder, holder=_told(path))
    try:
        about = {"pid": os.getpid(), "host": _host(), "since": datetime.now().isoformat(" ", "seconds")}
        os.write(handle, json.dumps(about).encode())
        yield
    finally:
        _release(handle, path)


def holder(folder: Path) -> str | None:
    """Return who holds a run's folder, in words, or None for nobody. Makes no file."""
    path = folder / LOCK
    try:
        handle = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        if _lock(handle):
            _unlock(handle)
            return None
        return _told(path)
    finally:
        os.close(handle)


def _acquire(path: Path) -> int | None:
    """Return the open and locked file, emptied, or None where another process holds it."""
    for _ in range(_TRIES):
        try:
            handle = os.open(path, _FLAGS | os.O_CREAT, 0o644)
        except OSError as error:
            raise ModelFileError("ledger.no_lock", folder=path.parent, reason=error.strerror or error) from error
        try:
            if not _lock(handle):
                os.close(handle)
                return None
            if _same(handle, path):
                os.ftruncate(handle, 0)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has just removed it
    return None


def _release(handle: int, path: Path) -> None:
    # Removed while it is held, so that whoever opens the path from now on makes a new file.
    with suppress(OSError):
        if sys.platform != "win32":
            path.unlink()
    os.close(handle)
    with suppress(OSError):
        if sys.platform == "win32":
            path.unlink()


def _same(handle: int, path: Path) -> bool:
    """Whether an open file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    _FAR = 2**30  # a locked place cannot be read there, so it lies behind the content

    def _lock(handle: int) -> bool:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)


def _told(path: Path) -> str:
    """Return what stands in the lock's file, in words; it may be written at this moment."""
    try:
        about = json.loads(path.read_bytes()[:2000])
        return say("ledger.holder", pid=int(about["pid"]), host=str(about["host"]), since=str(about["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return say("ledger.unknown_holder")


def _host() -> str:
    import socket

    return socket.gethostname()
