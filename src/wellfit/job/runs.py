"""A run's folder: who works in it, what was asked for, what is recorded there, and how it goes away again."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from wellfit.errors import ModelFileError
from wellfit.job.files import FILES, LEDGER, RUNS
from wellfit.ledger import Ledger
from wellfit.ledger import schema as ledger_schema
from wellfit.ledger.lock import LOCK, held, holder
from wellfit.ledger.salvage import Mended, mend

NOTE = "run"  # the note that holds an `Asking`
# The commands that leave something to go on with.
COMMANDS = ("run", "compare", "path", "search")


@dataclass(frozen=True)
class Asking:
    """What a run was asked: the command's ``arguments`` (none from Python) in the ``folder`` where it was typed.

    Times are for reading only: nothing is decided by them.
    """

    arguments: tuple[str, ...]
    folder: str
    version: str
    started: str
    ended: str | None = None

    @classmethod
    def now(cls, arguments: Sequence[str]) -> Asking:
        """Return what begins now."""
        from wellfit import __version__

        return cls(tuple(arguments), os.getcwd(), __version__, _now())

    @classmethod
    def read(cls, text: str | None) -> Asking | None:
        """Return what a ledger noted, or None where it is nothing of the kind."""
        try:
            values = json.loads(text or "")
            arguments = values["arguments"]
            plain = (values["folder"], values["version"], values["started"], values["ended"] or "")
            if not all(isinstance(v, str) for v in (*arguments, *plain)) or isinstance(arguments, str):
                return None
            return cls(tuple(arguments), *plain[:3], values["ended"])
        except (ValueError, KeyError, TypeError):
            return None

    def text(self) -> str:
        """Return the note."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run without working in it.

    ``state`` is ``running``, ``finished``, ``unfinished`` or ``unreadable``; ``about`` says who holds it or why it
    cannot be read. ``results`` are members done, ``unfinished`` members under way, ``size`` the bytes of its files.
    """

    folder: Path
    state: str
    about: str
    results: int
    unfinished: int
    size: int
    asking: Asking | None


@contextmanager
def recorded(folder: Path, arguments: Sequence[str]) -> Iterator[tuple[Ledger, Mended | None]]:
    """Hold a run's folder and open its ledger while the block lasts, mended where it was damaged.

    What was asked is noted, and when it ended. Raises `ModelFileError` where another process holds the run or the
    ledger cannot be used, ``OSError`` where the folder cannot be written.
    """
    with held(folder):
        mended = mend(folder / LEDGER)
        with Ledger(folder / LEDGER) as ledger:
            asking = Asking.now(arguments)
            ledger.put_note(NOTE, asking.text())
            yield ledger, mended
            ledger.put_note(NOTE, Asking(**{**asdict(asking), "ended": _now()}).text())


def find_run(text: str | Path) -> Path:
    """Return the folder of a run by its path, or by its name among the usual ones. Raises `ModelFileError`."""
    place = Path(text)
    if (place / LEDGER).is_file():
        return place
    named = Path(RUNS) / place
    # A name is one part: nothing outside the usual folder has one.
    if len(place.parts) == 1 and place.name == str(text) and (named / LEDGER).is_file():
        return named
    raise ModelFileError("runs.none", path=text)


def list_runs(folder: str | Path = RUNS) -> list[RunInfo]:
    """Return what is known of the runs in a folder, by name; none where there is no such folder."""
    place = Path(folder)
    if not place.is_dir():
        return []
    return [read_run(each) for each in sorted(place.iterdir()) if (each / LEDGER).is_file()]


def read_run(folder: Path) -> RunInfo:
    """Return what is known of a run. Nothing is written: another process may be at work in it."""
    size = sum(_size(folder / name) for name in FILES)
    counts, asking, trouble = {"results": 0, "states": 0}, None, ""
    by, path = holder(folder), (folder / LEDGER).absolute()
    # Where nobody writes, nothing is put beside the file for reading it.
    still = by is None and not path.with_name(LEDGER + "-wal").exists()
    try:
        address = f"{path.as_uri()}?mode=ro{'&immutable=1' * still}"
        with closing(sqlite3.connect(address, uri=True, timeout=5.0)) as base:
            application, version, _ = ledger_schema.identity(base)
            if application != ledger_schema.APPLICATION:
                raise sqlite3.DatabaseError("no ledger")
            tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in tables & set(counts):
                (counts[table],) = base.execute(f"SELECT count(key) FROM {table}").fetchone()
            if version == ledger_schema.FORMAT:
                row = base.execute("SELECT record, digest FROM notes WHERE key = ?", (NOTE,)).fetchone()
                if row is not None and ledger_schema.digest("notes", NOTE, row[0]) == row[1]:
                    asking = Asking.read(row[0].decode())
    except (sqlite3.Error, OSError, TypeError, ValueError) as error:
        trouble = str(error)
    state = "finished" if asking is not None and asking.ended else "unfinished"
    if by or trouble:
        state = "running" if by else "unreadable"
    return RunInfo(folder, state, by or trouble, counts["results"], counts["states"], size, asking)


def remove_run(folder: Path) -> list[str]:
    """Remove a run: the files that wellfit wrote, and the folder where nothing else is in it.

    Returns the names of what else is there, which stays. Raises `ModelFileError` where a process holds the run.
    """
    with held(folder):
        for name in FILES:
            if name != LOCK:  # goes with the hold on it
                with suppress(FileNotFoundError):
                    (folder / name).unlink()
    left = sorted(each.name for each in folder.iterdir())
    if not left:
        with suppress(OSError):  # a link to a folder is not ours to remove
            folder.rmdir()
    return left


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _now() -> str:
    return datetime.now().isoformat(" ", "seconds")
