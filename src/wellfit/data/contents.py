"""The bytes of a file, unpacked where it is gzip-compressed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from wellfit.errors import DataError

GZIP = b"\x1f\x8b"


def contents(path: Path, label: str) -> bytes:
    """Return what a file holds, unpacked. Raises `DataError` where it cannot be read or its gzip stream is damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError("data.unreadable", label=label, reason=error.strerror or type(error).__name__) from None
    return unpacked(data, label)


def unpacked(data: bytes, label: str) -> bytes:
    """Return bytes unpacked where they are a gzip stream. Raises `DataError` where that is damaged."""
    if not data.startswith(GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error):
        raise DataError("data.broken_gzip", label=label) from None
