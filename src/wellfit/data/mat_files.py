"""The numeric and text arrays of a MATLAB file, versions 5 to 7 (MathWorks, *MAT-File Format*, R2023a).

Written out because SciPy's reader, on a damaged file, can end the whole process (bus error in 1.17); here a damaged
file is a ``ValueError``. Cells, structures, sparse and complex arrays are left out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod

import numpy as np

from wellfit.records import Array

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CHAR_CLASS, _NUMBER_CLASSES, _COMPLEX = 4, range(6, 16), 0x0800


def read_arrays(data: bytes) -> dict[str, Array]:
    """Return the arrays of a MATLAB file by name, in MATLAB's shapes (two dimensions or more).

    Text comes as an array of strings, one per row. Raises ``ValueError``, ``struct.error`` or ``zlib.error`` where the
    file is damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no byte order in the header")
    arrays = {}
    for kind, content in _elements(data[128:], order):
        if kind == _COMPRESSED:
            inner = next(_elements(zlib.decompress(content), order), None)
            if inner is None:
                raise ValueError("an empty compressed element")
            kind, content = inner
        if kind == _MATRIX:
            name, array = _matrix(content, order)
            if array is not None:
                arrays[name] = array
    return arrays


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield (type, content) of each data element; up to four bytes are packed into the tag itself."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise ValueError("a small element of more than four bytes")
        else:
            start, after = at + 8, at + 8 + size
            if kind != _COMPRESSED:
                after += -size % 8
        if start + size > len(data):
            raise ValueError("an element is cut short")
        yield kind, data[start : start + size]
        at = after
    if any(data[at:]):
        raise ValueError("the file is cut short")


def _matrix(data: bytes, order: str) -> tuple[str, Array | None]:
    """Return the name and values of a matrix element; None for a class that is left out."""
    parts = list(_elements(data, order))
    if len(parts) < 3 or parts[0][0] != 6 or parts[1][0] != 5 or parts[2][0] != 1:
        raise ValueError("a matrix without flags, shape or name")
    (flags,) = struct.unpack_from(order + "I", parts[0][1])
    shape = tuple(np.frombuffer(parts[1][1], order + "i4").tolist())
    name = parts[2][1].decode("latin-1")
    array_class = flags & 0xFF
    if flags & _COMPLEX or (array_class != _CHAR_CLASS and array_class not in _NUMBER_CLASSES) or len(parts) < 4:
        return name, None
    kind, content = parts[3]
    if kind in _NUMBERS:
        values = np.frombuffer(content, order + _NUMBERS[kind])
    elif kind in _TEXT:
        text = content.decode(_TEXT[kind] + ("" if kind == 16 else "-le" if order == "<" else "-be"))
        values = np.array([ord(c) for c in text], dtype=np.uint32)
    else:
        raise ValueError("an unknown type of values")
    if len(shape) < 2 or min(shape) < 0 or prod(shape) != len(values):
        raise ValueError("the shape does not fit the values")
    values = values.reshape(shape, order="F")
    if array_class != _CHAR_CLASS:
        return name, values.astype(values.dtype.newbyteorder("="))
    rows = values.reshape(shape[0], -1) if values.size else values.reshape(0, 0)
    return name, np.array(["".join(map(chr, row)).rstrip() for row in rows.tolist()], dtype=str)
