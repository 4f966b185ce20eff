"""The ledgers of several shares, joined into one: nothing is lost, and it is there whole or not at all."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wellfit.errors import ModelFileError
from wellfit.job.files import LEDGER
from wellfit.job.runs import NOTE
from wellfit.ledger import Ledger, schema
from wellfit.ledger.lock import held, holder
from wellfit.messages import say


@dataclass
class Merged:
    """What a merge did: ``results`` in the new ledger at ``path``, and what differed, by table."""

    path: Path
    ledgers: int
    results: int = 0
    conflicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(schema.TABLES, 0))

    def sentences(self) -> list[str]:
        """Return it in words."""
        told = [say("shares.merged", results=self.results, ledgers=self.ledgers, path=self.path)]
        if self.conflicts["results"]:
            told.append(say("shares.conflicts", count=self.conflicts["results"]))
        if self.conflicts["notes"]:
            told.append(say("shares.note_conflicts", count=self.conflicts["notes"]))
        return told


def merge(out: str | Path, sources: Sequence[str | Path]) -> Merged:
    """Join ledgers into that of the folder ``out``, made if absent; a ledger that it holds already comes first.

    ``sources`` are folders of runs, or ledger files. Of two records under one key the first is kept; where they differ,
    that is counted. Results make states of unfinished members needless. Until all is read and checked nothing is
    changed in ``out``, and then at once.
    Raises `ModelFileError` where a ledger is absent, in use, of a newer format or damaged; ``OSError`` for the folder.
    """
    folder = Path(out)
    paths = [_file_of(Path(source)) for source in sources]
    folder.mkdir(parents=True, exist_ok=True)
    whole, part = folder / LEDGER, folder / f"{LEDGER}.merging"
    with held(folder):
        if whole.exists():
            paths.insert(0, whole)
        paths = list({path.resolve(): path for path in paths}.values())
        for path in paths:
            used = None if path.parent.resolve() == folder.resolve() else holder(path.parent)
            if used is not None:
                raise ModelFileError("shares.held", folder=path.parent, holder=used)
        try:
            done = _joined(part, paths)
            done.path = whole
            os.replace(part, whole)
        finally:
            _remove(part)
    return done


def _file_of(path: Path) -> Path:
    """Return the ledger that a source names. Raises `ModelFileError` where there is none."""
    file = path / LEDGER if path.is_dir() else path
    if not file.is_file():
        raise ModelFileError("shares.no_ledger", path=path)
    return file


def _joined(part: Path, paths: Sequence[Path]) -> Merged:
    """Make a new ledger of all that the others hold, in one transaction."""
    done = Merged(part, len(paths))
    _remove(part)  # what an interrupted merge left
    Ledger(part).close()
    with closing(sqlite3.connect(part, isolation_level=None)) as base:
        base.execute("BEGIN")
        for path in paths:
            for table in schema.TABLES:
                for key, record in _records(path, table):
                    if table == "notes" and key == NOTE and path.parent.resolve() != part.parent.resolve():
                        continue  # what a share was asked is not what the whole is asked
                    done.conflicts[table] += _add(base, table, key, record)
        # As where a member ends: its state is needed no more, whichever ledger held it.
        base.execute("DELETE FROM states WHERE key IN (SELECT key FROM results)")
        (done.results,) = base.execute("SELECT count(*) FROM results").fetchone()
        base.execute("COMMIT")
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        base.execute("PRAGMA journal_mode = DELETE")  # one file, so that it can be moved; opened, it is as any ledger
    return done


def _add(base: sqlite3.Connection, table: str, key: str, record: bytes) -> bool:
    """Add a record unless its key is there; return whether another record is."""
    found = base.execute(f"SELECT record FROM {table} WHERE key = ?", (key,)).fetchone()
    if found is None:
        schema.write(base, table, key, record)
        return False
    return bool(found[0] != record)


def _records(path: Path, table: str) -> Iterator[tuple[str, bytes]]:
    """Yield the records of one table of a ledger. Raises `ModelFileError` for a damaged one."""
    with _reading(path) as base:
        for key, record, digest in base.execute(f"SELECT key, record, digest FROM {table} ORDER BY key"):
            if not isinstance(record, bytes) or schema.digest(table, key, record) != digest:
                raise ModelFileError("ledger.bad_record", path=path, key=key, reason=say("ledger.bad_digest"))
            yield key, record


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    Ledger(path).close()  # checks whose file it is, and brings an older format up
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as base:
            yield base
    except sqlite3.DatabaseError as error:
        raise ModelFileError("ledger.damaged", path=path, reason=error) from error


def _remove(part: Path) -> None:
    for end in ("", "-wal", "-shm", "-journal"):
        part.with_name(part.name + end).unlink(missing_ok=True)
