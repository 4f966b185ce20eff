"""What stands in a ledger's file: three tables of one shape, and the way from older formats to the present one."""

from __future__ import annotations

import hashlib
import sqlite3

# 1: results. 2: notes as well. 3: states of unfinished members; a row's digest covers its table and its key too.
FORMAT = 3
# "wfit" as SQLite's application id: tells a ledger from another program's database.
APPLICATION = 0x77666974
TABLES = ("results", "states", "notes")

# With row ids, so that the file grows at its end: of a file cut in half, half of the rows can be read.
_TABLE = "CREATE TABLE {name} (key TEXT PRIMARY KEY, record BLOB NOT NULL, digest BLOB NOT NULL)"
# A member that has ended needs no state: both happen in one transaction.
_TRIGGER = "CREATE TRIGGER ended AFTER INSERT ON results BEGIN DELETE FROM states WHERE key = new.key; END"
_SQL = {name: _TABLE.format(name=name) for name in TABLES}


def digest(table: str, key: str, record: bytes) -> bytes:
    """Return the checksum of a row, 32 bytes: SHA-256 over table, key and record, so that none can be another's.

    >>> digest("results", "a", b"b") == digest("notes", "a", b"b")
    False
    """
    return hashlib.sha256(f"{table}\0{key}\0".encode() + record).digest()


def identity(base: sqlite3.Connection) -> tuple[int, int, int]:
    """Return a database's application id, its format, and how many tables and the like it has."""
    (application,) = base.execute("PRAGMA application_id").fetchone()
    (version,) = base.execute("PRAGMA user_version").fetchone()
    (things,) = base.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return application, version, things


def fits(base: sqlite3.Connection) -> bool:
    """Whether the file holds our tables as this version writes them and nothing else: no view, no foreign trigger."""
    rows = base.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    found = {name: " ".join(str(sql).split()) for name, sql in rows}
    return found == {**_SQL, "ended": _TRIGGER}


def bring_up(base: sqlite3.Connection) -> None:
    """Make the tables of a new file, or bring an older format to the present one, in one transaction."""
    base.execute("BEGIN IMMEDIATE")
    try:
        _, version, _ = identity(base)  # another process may have been first
        if version < FORMAT:
            _bring_up(base, version)
            base.execute(f"PRAGMA application_id = {APPLICATION}")
            base.execute(f"PRAGMA user_version = {FORMAT}")
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise


def _bring_up(base: sqlite3.Connection, version: int) -> None:
    if version:
        base.execute("ALTER TABLE results RENAME TO old_results")
    if version == 2:
        base.execute("ALTER TABLE notes RENAME TO old_notes")
    for name in TABLES:
        base.execute(_SQL[name])
    base.execute(_TRIGGER)
    if version:
        for key, record, old in base.execute("SELECT key, record, digest FROM old_results"):
            if hashlib.sha256(record).digest() == old:  # what is damaged is trained again
                write(base, "results", key, record)
        base.execute("DROP TABLE old_results")
    if version == 2:
        for name, text in base.execute("SELECT name, text FROM old_notes"):
            write(base, "notes", name, text.encode())
        base.execute("DROP TABLE old_notes")


def write(base: sqlite3.Connection, table: str, key: str, record: bytes) -> None:
    """Write a row with its digest; the same key again replaces it."""
    assert table in TABLES
    base.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", (key, record, digest(table, key, record)))
