"""A run's folder: who works in it, what was asked for, what is recorded there, and how it goes away again."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import count
from pathlib import Path

from wellfit.errors import DataError, MissingExtraError, ModelFileError, SettingError
from wellfit.job.files import FILES, LEDGER, MODEL, REPORT, RUNS, make_folder
from wellfit.ledger import Ledger
from wellfit.ledger import schema as ledger_schema
from wellfit.ledger.lock import LOCK, held, holder
from wellfit.ledger.salvage import Mended, mend

NOTE = "run"  # the note that holds an `Asking`
# The commands that leave something to go on with.
COMMANDS = ("run", "compare", "path", "search")
REFUSALS = (DataError, SettingError, MissingExtraError)  # what no repetition of a command mends


@dataclass(frozen=True)
class Asking:
    """What a run was asked: the command's ``arguments`` (none from Python) in the ``folder`` where it was typed.

    ``question`` is the kind of command and a hash of its table and settings; ``wrote`` names, for each file of the
    folder, the question that it answers. Times are for reading only: nothing is decided by them.
    """

    arguments: tuple[str, ...]
    folder: str
    version: str
    started: str
    ended: str | None = None
    question: str = ""  # not noted by older versions
    wrote: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def now(cls, arguments: Sequence[str], question: str = "") -> Asking:
        """Return what begins now."""
        from wellfit import __version__

        return cls(tuple(arguments), os.getcwd(), __version__, _now(), question=question)

    @classmethod
    def read(cls, text: str | None) -> Asking | None:
        """Return what a ledger noted, or None where it is nothing of the kind."""
        try:
            values = json.loads(text or "")
            arguments = values["arguments"]
            plain = (values["folder"], values["version"], values["started"], values["ended"] or "")
            question, wrote = values.get("question", ""), dict(values.get("wrote", {}))
            texts = (*arguments, *plain, question, *wrote, *wrote.values())
            if not all(isinstance(v, str) for v in texts) or isinstance(arguments, str):
                return None
            return cls(tuple(arguments), *plain[:3], values["ended"], question, wrote)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def text(self) -> str:
        """Return the note."""
        return json.dumps(asdict(self))

    def answers(self, name: str, other: Asking) -> bool:
        """Whether the file ``name`` beside this note is taken to answer the question of ``other``."""
        owner = self.wrote.get(name, self.question)
        return owner == other.question if owner else self.arguments == other.arguments


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
def recorded(
    folder: Path, asking: Asking, writes: Sequence[str] = ()
) -> Iterator[tuple[Ledger, Mended | None, tuple[str, ...]]]:
    """Make and hold a run's folder and open its ledger while the block lasts, mended where it was damaged.

    What was asked is noted, and when it ended, with the files it ``writes``; given with the ledger are those of them
    that answer another question till then. Where the block refuses the data or the settings before anything was
    trained, all is left as it was: the earlier note is put back, and what was made here goes.
    Raises `SettingError` for a folder that cannot be, `ModelFileError` where another process holds the run or the
    ledger cannot be used, ``OSError`` where the folder cannot be written.
    """
    made = make_folder(folder)
    try:
        with held(folder):
            new, empty, mended = not (folder / LEDGER).exists(), False, mend(folder / LEDGER)
            try:
                with Ledger(folder / LEDGER) as ledger, _noted(ledger, asking, writes) as earlier:
                    try:
                        yield ledger, mended, () if earlier is None else _others(folder, earlier, asking, writes)
                    except REFUSALS:
                        empty = new and not _trained(ledger)
                        raise
            except REFUSALS:
                if empty:
                    (folder / LEDGER).unlink()
                raise
    except REFUSALS:
        for each in made:
            with suppress(OSError):  # something is in it
                each.rmdir()
        raise


@contextmanager
def _noted(ledger: Ledger, asking: Asking, writes: Sequence[str]) -> Iterator[Asking | None]:
    """Note what is asked, and at the end of the block that it ended; give what was noted before."""
    noted, before = ledger.note(NOTE), _trained(ledger)
    earlier = Asking.read(noted)
    if earlier is not None:
        asking = replace(asking, wrote=earlier.wrote)
    ledger.put_note(NOTE, asking.text())
    try:
        yield earlier
    except REFUSALS:
        if _trained(ledger) == before:
            ledger.put_note(NOTE, noted or "")
        raise
    wrote = {**asking.wrote, **dict.fromkeys(writes, asking.question)}
    ledger.put_note(NOTE, replace(asking, ended=_now(), wrote=wrote).text())


def _trained(ledger: Ledger) -> list[str]:
    return [*ledger.keys(), *ledger.states()]


def _others(folder: Path, earlier: Asking, asking: Asking, names: Sequence[str]) -> tuple[str, ...]:
    """Return the files among ``names`` that are there and answer another question."""
    return tuple(name for name in names if (folder / name).exists() and not earlier.answers(name, asking))


def free_folder(folder: Path, asking: Asking) -> Path:
    """Return the first of ``folder``, ``folder-2``, ... that holds no run of another question."""
    for number in count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        earlier = read_run(place).asking if (place / LEDGER).is_file() else None
        if earlier is None or earlier.answers(REPORT, asking) or not _is_of_run(place, earlier):
            break
    return place


def _is_of_run(folder: Path, earlier: Asking) -> bool:
    """Whether a folder has a report, or will have one; of other commands it may hold answers beside it."""
    kind = earlier.question.split(" ")[0]
    return (folder / REPORT).exists() or kind == "run"


def model_of(text: str | Path) -> Path:
    """Return where a model is by its path, or by the name of its run among the usual ones; else the path itself."""
    place = Path(text)
    if place.is_file() or (place / MODEL).is_file():
        return place
    with suppress(ModelFileError):
        return find_run(text)
    return place


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
