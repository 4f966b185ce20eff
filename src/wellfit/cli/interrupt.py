"""Ctrl-C: once finishes cleanly and says what is kept, twice leaves now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from wellfit.messages import say

INTERRUPTED = 130


def kept(folder: str | Path | None) -> str:
    """Return what an interrupt leaves behind in the folder, if there is one."""
    from wellfit.job.files import LEDGER

    if folder and (Path(folder) / LEDGER).exists():
        return say("cli.interrupted_kept", folder=folder)
    return say("cli.interrupted")


@contextmanager
def twice_leaves() -> Iterator[None]:
    """Let a second Ctrl-C end the process at once while the block lasts; the first raises ``KeyboardInterrupt``.

    Leaving at once loses nothing that was recorded: the ledger takes it for a crash, and a crash it survives.
    """
    plain = signal.getsignal(signal.SIGINT)
    if plain is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield  # someone else has plans for it
        return
    sentence = f"\n{say('runs.left_at_once')}\n".encode()  # read now: a handler should do little

    def leave(_number: int, _frame: FrameType | None) -> None:
        os.write(2, sentence)
        os._exit(INTERRUPTED)

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, leave)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, plain)
