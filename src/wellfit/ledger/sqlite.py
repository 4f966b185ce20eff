"""The ledger as one SQLite file, written ahead (WAL): a result that was recorded survives a crash of the program."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from wellfit.errors import ModelFileError
from wellfit.ledger.encoding import decode, encode
from wellfit.messages import say
from wellfit.records import History

# 1: results. 2: notes as well. A file of format 1 is brought to 2 when it is opened.
FORMAT = 2
# "wfit" as SQLite's application id: tells a ledger from another program's database.
APPLICATION = 0x77666974
WAIT_SECONDS = 30.0


class Ledger:
    """Results in the file at ``path``, made if absent; use it as a context manager, from one thread.

    Each result is committed before `put` returns. Raises `ModelFileError` where the folder is missing, the file cannot
    be read or written, is another program's, of a newer format, or damaged.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Ledger(folder.name + "/ledger.sqlite") as ledger:
    ...     list(ledger.keys())
    []
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise ModelFileError("ledger.is_folder", path=self.path)
        if not self.path.parent.is_dir():
            raise ModelFileError("ledger.no_folder", path=self.path, folder=self.path.parent)
        self._base: sqlite3.Connection | None = None
        try:
            # No implicit transactions: each statement is its own and durable at once.
            self._base = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            self._prepare(self._base)
        except sqlite3.OperationalError as error:
            self.close()
            raise ModelFileError("ledger.cannot_open", path=self.path, reason=error) from error
        except sqlite3.DatabaseError as error:
            self.close()
            raise ModelFileError("ledger.not_a_ledger", path=self.path, reason=error) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, base: sqlite3.Connection) -> None:
        """Check whose file this is, before anything is written; make the table in a new one."""
        (application,) = base.execute("PRAGMA application_id").fetchone()
        (version,) = base.execute("PRAGMA user_version").fetchone()
        (tables,) = base.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION and (application or version or tables):
            raise ModelFileError("ledger.not_a_ledger", path=self.path, reason=say("ledger.foreign"))
        if version > FORMAT:
            raise ModelFileError("ledger.newer", path=self.path, found=version, known=FORMAT)
        base.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL survives a crash of the program, and a power cut costs at most the last results.
        base.execute("PRAGMA synchronous = NORMAL")
        if version < FORMAT:
            base.executescript(
                f"""
                BEGIN IMMEDIATE;
                PRAGMA application_id = {APPLICATION};
                PRAGMA user_version = {FORMAT};
                CREATE TABLE IF NOT EXISTS results (
                    key TEXT PRIMARY KEY, record BLOB NOT NULL, digest BLOB NOT NULL
                ) WITHOUT ROWID;
                CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
                COMMIT;
                """
            )

    def get(self, key: str) -> History | None:
        """Return the history under this key, or None. Raises `ModelFileError` where its record is damaged."""
        with self._reading() as base:
            row = base.execute("SELECT record, digest FROM results WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        record, digest = row
        if hashlib.sha256(record).digest() != digest:
            raise ModelFileError("ledger.bad_record", path=self.path, key=key, reason=say("ledger.bad_digest"))
        try:
            return decode(record)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError("ledger.bad_record", path=self.path, key=key, reason=error) from error

    def put(self, key: str, history: History) -> None:
        """Record a history, durable when this returns; the same key again replaces it."""
        record = encode(history)
        try:
            self._open.execute(
                "INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (key, record, hashlib.sha256(record).digest())
            )
        except sqlite3.Error as error:
            raise ModelFileError("ledger.cannot_write", path=self.path, reason=error) from error

    def note(self, name: str) -> str | None:
        """Return the text noted under this name, or None."""
        with self._reading() as base:
            row = base.execute("SELECT text FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put_note(self, name: str, text: str) -> None:
        """Note a text, durable when this returns; the same name again replaces it."""
        try:
            self._open.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))
        except sqlite3.Error as error:
            raise ModelFileError("ledger.cannot_write", path=self.path, reason=error) from error

    def keys(self) -> Iterator[str]:
        """Return all keys, in sorted order."""
        with self._reading() as base:
            rows = base.execute("SELECT key FROM results ORDER BY key").fetchall()
        return iter([key for (key,) in rows])

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._base is not None:
            self._base.close()
            self._base = None

    @property
    def _open(self) -> sqlite3.Connection:
        if self._base is None:
            raise ModelFileError("ledger.closed", path=self.path)
        return self._base

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._open
        except sqlite3.OperationalError as error:
            raise ModelFileError("ledger.cannot_open", path=self.path, reason=error) from error
        except sqlite3.DatabaseError as error:
            raise ModelFileError("ledger.not_a_ledger", path=self.path, reason=error) from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
