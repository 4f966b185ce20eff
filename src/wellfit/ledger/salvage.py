"""A damaged ledger: whether it is one, and what of it can still be read, page by page."""

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from wellfit.ledger import schema
from wellfit.ledger.schema import APPLICATION, FORMAT, TABLES
from wellfit.ledger.sqlite import Ledger

_MAGIC = b"SQLite format 3\0"
_ID_AT = 68  # of the application id in the header
_LEAF = 0x0D  # the kind of page that holds a table's rows
_MAX_CELL = 2**31
DAMAGED = ".damaged"


@dataclass(frozen=True)
class Mended:
    """What was saved of a damaged ledger: results, states and notes; ``copy`` is the damaged file."""

    results: int
    states: int
    notes: int
    copy: Path


def mend(path: Path) -> Mended | None:
    """Save what can be read of a ledger that is damaged; return None where there is none, or a sound one.

    Every row's checksum is looked at. The damaged file stays beside the new one as ``<name>.damaged``. Files that are
    not ledgers are left as they are: `Ledger` refuses them. Only for a caller that holds the run: see
    `wellfit.ledger.lock`. Raises ``OSError`` where the folder cannot be written.
    """
    if path.is_symlink() or not path.is_file() or path.stat().st_size == 0 or not _ours(path) or _sound(path):
        return None
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    counts = dict.fromkeys(TABLES, 0)
    try:
        with Ledger(fresh) as ledger:
            base = ledger._open
            base.execute("BEGIN")
            for table, key, record in _rows(path):
                # A page that was freed may hold an older row of the same key: what the tables name comes last.
                schema.write(base, table, key, record)
            base.execute("DELETE FROM states WHERE key IN (SELECT key FROM results)")
            base.execute("COMMIT")
            for table in TABLES:
                (counts[table],) = base.execute(f"SELECT count(*) FROM {table}").fetchone()
        damaged = path.with_name(path.name + DAMAGED)
        with suppress(FileNotFoundError):
            damaged.unlink()
        shutil.copyfile(path, damaged)
        os.replace(fresh, path)
        for end in ("-wal", "-shm", "-journal"):  # of the damaged file; what they held has been read
            with suppress(FileNotFoundError):
                path.with_name(path.name + end).unlink()
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()
    return Mended(counts["results"], counts["states"], counts["notes"], damaged)


def _sound(path: Path) -> bool:
    """Whether every page and every row of the file is in order; older formats have no checksums for all rows."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=30.0)) as base:
            application, version, _ = schema.identity(base)
            if application != APPLICATION or version > FORMAT:
                return False
            if base.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return False
            if version < FORMAT:
                return True
            return schema.fits(base) and all(_valid(base, table) for table in TABLES)
    except sqlite3.OperationalError as error:
        # Locked, or not to be opened: nothing to mend here, and `Ledger` says why it cannot be used.
        return not ("malformed" in str(error) or "schema" in str(error))
    except sqlite3.DatabaseError:
        return False


def _valid(base: sqlite3.Connection, table: str) -> bool:
    keys = []
    for key, record, found in base.execute(f"SELECT key, record, digest FROM {table} NOT INDEXED"):
        if not isinstance(record, bytes) or not isinstance(key, str) or schema.digest(table, key, record) != found:
            return False
        keys.append(key)
    # Keys are read from their index, which the quick check does not look into.
    return [key for (key,) in base.execute(f"SELECT key FROM {table} ORDER BY key")] == sorted(keys)


def _ours(path: Path) -> bool:
    """Whether a file that cannot be used is a ledger of ours of a known format, or the beginning of one."""
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < _ID_AT + 4:
        # Cut off in its first bytes: nothing in it is readable. Any database may begin so, but nothing is lost by
        # putting it aside.
        return _MAGIC.startswith(head[:16]) or head.startswith(_MAGIC)
    if int.from_bytes(head[_ID_AT : _ID_AT + 4], "big") != APPLICATION:
        return False
    return int.from_bytes(head[60:64], "big") <= FORMAT


def _rows(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield (table, key, record) of every row whose checksum is right: by page first, then as the tables name them."""
    with path.open("rb") as file:
        head = file.read(100)
    size = int.from_bytes(head[16:18], "big") if len(head) >= 18 else 0
    size = 65536 if size == 1 else size if size in (512, 1024, 2048, 4096, 8192, 16384, 32768) else 4096
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        pages = _Pages(raw, size)
        for number in range(1, pages.count + 1):
            for values in pages.rows(number):
                found = _known(values)
                if found is not None:
                    yield found
    # The latest of each key, as far as SQLite finds its way; with what stands in the write-ahead file.
    for table in TABLES:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
                for values in base.execute(f"SELECT key, record, digest FROM {table}"):
                    found = _known(values)
                    if found is not None and found[0] == table:
                        yield found
        except sqlite3.Error:
            continue


def _known(values: tuple) -> tuple[str, str, bytes] | None:
    """Return the row as (table, key, record) where its checksum says which table it is of, else None."""
    if len(values) != 3:
        return None
    key, record, found = values
    if not (isinstance(key, str) and isinstance(record, bytes) and isinstance(found, bytes)):
        return None
    return next(((t, key, record) for t in TABLES if schema.digest(t, key, record) == found), None)


class _Pages:
    """The pages of a database file, read without trusting any of them (https://sqlite.org/fileformat2.html)."""

    def __init__(self, raw: mmap.mmap, size: int) -> None:
        self.raw, self.size = raw, size
        self.count = -(-len(self.raw) // size)

    def page(self, number: int) -> bytes:
        """Return a page by its number, from 1; the last may be short."""
        return self.raw[(number - 1) * self.size : number * self.size]

    def rows(self, number: int) -> Iterator[tuple]:
        """Yield the rows that begin on a page, as tuples of text, bytes or None; what makes no sense is left out."""
        page = self.page(number)
        start = 100 if number == 1 else 0
        if len(page) < start + 8 or page[start] != _LEAF:
            return
        cells = int.from_bytes(page[start + 3 : start + 5], "big")
        for i in range(min(cells, self.size // 2)):
            place = start + 8 + 2 * i
            at = int.from_bytes(page[place : place + 2], "big")
            try:
                values = _record(self._payload(page, at))
            except (IndexError, ValueError):
                continue
            yield values

    def _payload(self, page: bytes, at: int) -> bytes:
        """Return a cell's content: what stands on its page, then along its chain of overflow pages."""
        length, at = _varint(page, at)
        _, at = _varint(page, at)  # the row's number
        if not 0 < length < min(_MAX_CELL, len(self.raw) + 1):
            raise ValueError(length)
        most, least = self.size - 35, (self.size - 12) * 32 // 255 - 23
        here = length
        if length > most:
            kept = least + (length - least) % (self.size - 4)
            here = kept if kept <= most else least
        parts = [page[at : at + here]]
        following = int.from_bytes(page[at + here : at + here + 4], "big")
        left = length - len(parts[0])
        while left > 0:
            if not 0 < following <= self.count:
                raise ValueError(following)
            more = self.page(following)
            parts.append(more[4 : 4 + left])
            if len(more) <= 4:
                raise ValueError(following)
            left -= len(parts[-1])
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)


def _record(payload: bytes) -> tuple:
    """Return the values of a record of texts and blobs. Raises ``ValueError`` for anything else."""
    size, at = _varint(payload, 0)
    kinds = []
    while at < size:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[object] = []
    for kind in kinds:
        if kind < 12:
            raise ValueError(kind)
        length = (kind - 12) // 2
        value = payload[at : at + length]
        if len(value) < length:
            raise ValueError(length)
        values.append(value.decode() if kind % 2 else value)
        at += length
    return tuple(values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 1 to 9 bytes, most significant first, and where it ends."""
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | data[at + 8], at + 9
