"""Text tables: comma, semicolon or tab, quoted, with a byte-order mark, in UTF-8, UTF-16 or Windows-1252.

The standard library's reader does the parsing, because it alone says on which line a row is too short; rows are turned
into words and codes block by block, so that the text is never held twice as Python strings.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections import defaultdict

import numpy as np

from wellfit.data.raw import Array, Column, Raw, brief, clean_name, listing, tidy, unique_names
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Finding

SEPARATORS = (",", ";", "\t")
_BLOCK = 50_000  # cells read before they are encoded: few enough to stay in the processor's cache
_HEAD = 1_000_000  # characters in which the separator is sought
# Control characters that no text table holds: all but tab, line ends, form feed, vertical tab, DOS end of file.
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a")) + b"\x7f"


def read_csv(data: bytes, label: str, title: str) -> Raw:
    """Read a text table from its bytes. Raises `DataError` naming the line where the text is no table."""
    text, findings = _decode(data, label)
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    rows = _rows(reader, label)
    _, header = next(rows, (0, []))
    if not header:
        raise DataError("data.empty_file", label=label)
    names = [clean_name(name) for name in header]
    if _is_data(names):
        findings.append(Finding("no_header", say("data.found_no_header", first=listing(names, 3))))
        rows = itertools.chain([(1, header)], rows)
        names = [f"column_{i}" for i in range(1, len(names) + 1)]
    distinct, found = unique_names(names)
    columns, lines = _columns(rows, distinct, label)
    if not len(lines):
        raise DataError("data.header_only", label=label)
    return Raw(label, title, columns, len(lines), lines=lines, european=separator == ";", findings=(*findings, *found))


def _decode(data: bytes, label: str) -> tuple[str, list[Finding]]:
    """Return the text of a file, and a finding where its encoding had to be assumed."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16"), []
        except UnicodeDecodeError:
            raise DataError("data.binary", label=label) from None
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError("data.zero_byte", label=label, line=line)
    if len(data) - len(data.translate(None, _CONTROL)) > 0.01 * len(data) + 2:
        raise DataError("data.binary", label=label)
    try:
        text, findings = data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text, findings = data.decode("cp1252", "replace"), [Finding("encoding", say("data.found_encoding", line=line))]
    if not text.strip():
        raise DataError("data.empty_file", label=label)
    return text, findings


def _separator(text: str) -> str:
    """Return the separator on whose count the first lines agree best; then the one that makes most columns."""
    best, best_score = SEPARATORS[0], (0.0, 0)
    lines = list(itertools.islice(io.StringIO(text[:_HEAD], newline=""), 20))
    text = "".join(lines[:-1] if len(text) > _HEAD and len(lines) > 1 else lines)  # the last may be cut
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        try:
            widths = [len(row) for row in itertools.islice(reader, 20) if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            agree = sum(width == widths[0] for width in widths) / len(widths)
            best, best_score = max((best, best_score), (separator, (agree, widths[0])), key=lambda pair: pair[1])
    return best


def _rows(reader, label: str):  # type: ignore[no-untyped-def]  # csv's reader has no public type
    """Yield (line, cells) of each row that is not blank; a row is named by the line on which it begins."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error)
            key = "data.broken_line"
            if "field larger" in reason:
                key = "data.huge_field"
            elif "unexpected end" in reason:
                key = "data.open_quote"
            raise DataError(key, label=label, line=line) from None
        if row:
            yield line, row


def _is_data(names: list[str]) -> bool:
    """Tell whether a first line of numbers is a row and not names. Names may count: 0, 1, 2, ... or 1, 2, 3, ..."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return False
    return all(numbers != list(range(first, first + len(names))) for first in (0, 1))


# For the type checker: The same reader.
def _columns(rows, names: tuple[str, ...], label: str) -> tuple[dict[str, Column], Array]:  # type: ignore[no-untyped-def]
    """Return the columns as words and codes, and the line of each row."""
    tables: list[defaultdict[str, int]] = [defaultdict() for _ in names]
    for table in tables:
        table.default_factory = table.__len__
    pieces: list[list[Array]] = [[] for _ in names]
    lines: list[Array] = []
    width = len(names)
    while block := list(itertools.islice(rows, max(1, _BLOCK // width))):
        for line, row in block:
            if len(row) != width:
                key = "data.ragged_more" if len(row) > width else "data.ragged_less"
                last = brief(row[-1])
                raise DataError(key, label=label, line=line, found=len(row), expected=width, last=last)
        lines.append(np.array([line for line, _ in block], dtype=np.int64))
        for table, column, piece in zip(tables, zip(*(row for _, row in block), strict=True), pieces, strict=True):
            piece.append(np.fromiter(map(table.__getitem__, column), np.int32, len(block)))
    if not lines:
        return {}, np.empty(0, dtype=np.int64)
    columns: dict[str, Column] = {
        name: tidy(np.concatenate(piece), table) for name, piece, table in zip(names, pieces, tables, strict=True)
    }
    return columns, np.concatenate(lines)
