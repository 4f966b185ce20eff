"""The ledger as one SQLite file: what was recorded survives a crash of the program and of the machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from wellfit.engines.base import State
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.errors import ModelFileError
from wellfit.ledger import schema
from wellfit.ledger.encoding import decode, encode
from wellfit.ledger.places import network_file_system
from wellfit.ledger.schema import APPLICATION, FORMAT
from wellfit.messages import say
from wellfit.records import History

WAIT_SECONDS = 30.0


class Ledger:
    """Results in the file at ``path``, made if absent; use it as a context manager, from one thread.

    Each result is on the disk before `put` returns. The file is written ahead (WAL), on a network file system, where
    that would not be safe, with a rollback journal. Raises `ModelFileError` where the folder is missing, the file
    cannot be read or written, is another program's, of a newer format, or damaged (`wellfit.ledger.salvage.mend`
    saves what can be read).

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
        for end in ("", "-wal", "-shm", "-journal"):
            if self.path.with_name(self.path.name + end).is_symlink():  # it could lead out of the folder
                raise ModelFileError("ledger.is_link", path=self.path.with_name(self.path.name + end))
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
            raise _unreadable(self.path, error) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, base: sqlite3.Connection) -> None:
        """Check whose file this is, before anything is written; make the tables in a new one."""
        application, version, things = schema.identity(base)
        if application != APPLICATION and (application or version or things):
            raise ModelFileError("ledger.not_a_ledger", path=self.path, reason=say("ledger.foreign"))
        if version > FORMAT:
            raise ModelFileError("ledger.newer", path=self.path, found=version, known=FORMAT)
        _journal(base, self.path)
        if version < FORMAT:
            schema.bring_up(base)
        if not schema.fits(base):
            raise ModelFileError("ledger.damaged", path=self.path, reason=say("ledger.bad_schema"))

    def get(self, key: str) -> History | None:
        """Return the history under this key, or None. Raises `ModelFileError` where its record is damaged."""
        record = self._read("results", key)
        try:
            return None if record is None else decode(record)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError("ledger.bad_record", path=self.path, key=key, reason=error) from error

    def put(self, key: str, history: History) -> None:
        """Record a history, durable when this returns; the same key again replaces it. Its state goes."""
        self._write("results", key, encode(history))

    def state(self, key: str) -> State | None:
        """Return the state under this key, or None. Raises `ModelFileError` where its record is damaged."""
        record = self._read("states", key)
        return None if record is None else state_from_bytes(record)

    def put_state(self, key: str, state: State) -> None:
        """Record how far a member is, durable when this returns; the same key again replaces it."""
        self._write("states", key, state_to_bytes(state))

    def note(self, name: str) -> str | None:
        """Return the text noted under this name, or None."""
        record = self._read("notes", name)
        return None if record is None else record.decode()

    def put_note(self, name: str, text: str) -> None:
        """Note a text, durable when this returns; the same name again replaces it."""
        self._write("notes", name, text.encode())

    def keys(self) -> Iterator[str]:
        """Return all keys, in sorted order."""
        return iter(self._keys("results"))

    def states(self) -> Iterator[str]:
        """Return the keys of all states, in sorted order."""
        return iter(self._keys("states"))

    def _keys(self, table: str) -> list[str]:
        with self._reading() as base:
            rows = base.execute(f"SELECT key FROM {table} ORDER BY key").fetchall()
        return [key for (key,) in rows]

    def _read(self, table: str, key: str) -> bytes | None:
        with self._reading() as base:
            row = base.execute(f"SELECT record, digest FROM {table} WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        record, found = row
        if not isinstance(record, bytes) or schema.digest(table, key, record) != found:
            raise ModelFileError("ledger.bad_record", path=self.path, key=key, reason=say("ledger.bad_digest"))
        return record

    def _write(self, table: str, key: str, record: bytes) -> None:
        try:
            schema.write(self._open, table, key, record)
        except sqlite3.Error as error:
            raise ModelFileError("ledger.cannot_write", path=self.path, reason=error) from error

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
            raise _unreadable(self.path, error) from error

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _journal(base: sqlite3.Connection, path: Path) -> None:
    """Choose how writes become durable; FULL, so that a power cut costs nothing that was reported."""
    # A file from elsewhere could name functions in its schema: none of them is trusted.
    base.execute("PRAGMA trusted_schema = OFF")
    if network_file_system(path):
        # WAL needs memory shared between processes, which a network file system cannot give. Exclusive for this one
        # change: a file that is in WAL mode already cannot be opened otherwise.
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
        base.execute("PRAGMA journal_mode = DELETE")
        base.execute("PRAGMA locking_mode = NORMAL")
    else:
        base.execute("PRAGMA journal_mode = WAL")  # where the system cannot, SQLite stays with the rollback journal
    base.execute("PRAGMA synchronous = FULL")


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> ModelFileError:
    """Return the error for a file that SQLite cannot read: no database at all, or a damaged one."""
    key = "ledger.not_a_ledger" if "not a database" in str(error) else "ledger.damaged"
    return ModelFileError(key, path=path, reason=error)
