"""What is seen while members train: a bar on a terminal; elsewhere the notices, and a line where it takes long.

All on stderr.
"""

from __future__ import annotations

import sys
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

from wellfit.cli.screen import console, harmless, tell
from wellfit.messages import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


PATIENCE = 20.0  # seconds of one part of the work without a word, where there is no bar


class Watch:
    """Shows notices as they come and, on a terminal, how far the training is. A context manager."""

    def __init__(self, task: str = "cli.training") -> None:
        self._name = say(task)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = 0
        self._began: float | None = None  # when this part of the work was first heard of
        self._patient = True

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def notice(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        if self._bar is None:
            tell(sentence)
        else:
            self._bar.console.print(harmless(sentence), soft_wrap=True)

    def progress(self, done: int, total: int) -> None:
        """Move the bar; a new total begins a new bar."""
        if not sys.stderr.isatty():
            self._say_once(done, total)
            return
        if self._bar is None or total != self._total:
            self._open(total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
        if done >= total:
            self._close()

    def _say_once(self, done: int, total: int) -> None:
        """Say, the first time that a part of the work takes long, how far it is and how long it may take."""
        now = perf_counter()
        if self._began is None or total != self._total:
            self._began, self._total = now, total
        took = now - self._began
        if self._patient and took > PATIENCE and 0 < done < total:
            self._patient = False
            left = took * (total - done) / done
            tell(
                say("cli.takes_long", task=self._name, share=f"{done / total:.0%}", took=round(took), left=round(left))
            )

    def _open(self, total: int) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._close()
        self._total = total
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console(sys.stderr),
            transient=True,
        )
        self._task = self._bar.add_task(self._name, total=total)
        self._bar.start()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
