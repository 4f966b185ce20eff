"""A lesson as a job: train its networks, then write its page and its notebook."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.job.files import make_folder
from wellfit.job.lesson_training import teach
from wellfit.messages import say
from wellfit.nets.storage import write_whole
from wellfit.report.lesson_notebook import notebook_text
from wellfit.report.lesson_page import lesson_page
from wellfit.report.lessons import LESSONS, Lesson, find

FOLDER = "lessons"


def lesson(
    name: str,
    *,
    out: str | Path = FOLDER,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
) -> tuple[Path, Path]:
    """Write the lesson ``name`` into the folder ``out``, and return its page and its notebook.

    The page is one HTML file that loads nothing from anywhere; the notebook is Jupyter's, and its cells train the same
    networks again. A notebook that is there already is kept as it is, for it may hold your own work: ``notice`` is
    told so. Names are those of `wellfit.report.lessons.LESSONS`: overfitting, l1-or-l2, dropout, early-stopping,
    augmentation, bias-variance, learning-rate. Raises `SettingError` for another name, ``OSError`` where the folder
    cannot be written.

    >>> page, notebook = lesson("early-stopping", out="class")
    >>> page.name, notebook.name
    ('early-stopping.html', 'early-stopping.ipynb')
    """
    [files] = lessons([name], out=out, threads=threads, executor=executor, progress=progress, notice=notice)
    return files


def lessons(
    names: Sequence[str],
    *,
    out: str | Path = FOLDER,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    written: Callable[[Path], None] | None = None,
) -> list[tuple[Path, Path]]:
    """Write several lessons, as `lesson` does, that link to each other; ``written`` is told each file."""
    from wellfit.engines.compiled import is_warm

    asked = list({each.name: each for each in map(find, names)}.values())
    place = Threads(threads) if executor is None else executor
    folder = Path(out)
    make_folder(folder)
    linked = {each.name for each in asked} | {each.name for each in LESSONS if page_of(folder, each).is_file()}
    _must_be_writable(folder)
    if notice is not None and not is_warm():
        notice(say("job.compiling"))
    files = []
    for each in asked:
        taught = teach(each, executor=place, progress=progress)
        page, book = page_of(folder, each), folder / f"{each.name}.ipynb"
        write_whole(page, lesson_page(each, taught, linked=linked).encode())
        if written is not None:
            written(page)
        _keep_or_write(book, notebook_text(each, taught).encode(), notice, written)
        files.append((page, book))
    return files


def _must_be_writable(folder: Path) -> None:
    """Raise ``OSError`` before any training where nothing could be written after it."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def page_of(folder: Path, lesson: Lesson) -> Path:
    """Return where a lesson's page stands."""
    return folder / f"{lesson.name}.html"


def _keep_or_write(
    book: Path, content: bytes, notice: Callable[[str], None] | None, written: Callable[[Path], None] | None
) -> None:
    if book.exists() and book.read_bytes() != content:
        if notice is not None:
            notice(say("lesson.kept", path=book))
        return
    write_whole(book, content)
    if written is not None:
        written(book)
