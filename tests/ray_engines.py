"""Engines for tests of executors whose workers are other processes: what they did is read in files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from wellfit.executors.contract import CountingEngine


class Marks:
    """What engines in several processes did, as lines of files that all of them can read."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def note(self, *words: object) -> None:
        with (self.folder / f"{os.getpid()}.log").open("a") as log:
            log.write(" ".join(map(str, words)) + "\n")

    def lines(self) -> list[list[str]]:
        return [line.split(" ", 1) for log in self.folder.glob("*.log") for line in log.read_text().splitlines()]

    def running(self) -> list[int]:
        """The processes in the middle of a member, of those that live."""
        found = []
        for log in self.folder.glob("*.log"):
            words = [line.split()[0] for line in log.read_text().splitlines()]
            if words.count("begin") > words.count("end") and alive(int(log.stem)):
                found.append(int(log.stem))
        return found

    def most_at_once(self) -> int:
        events = sorted((float(time), 1 if word == "begin" else -1) for word, time in self.lines() if word != "call")
        return int(np.cumsum([step for _, step in events]).max())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


class Seen(CountingEngine):
    """The counting engine, seen from other processes through files."""

    def __init__(self, seconds: float, bad_seed: int | None, folder: str, error: type = ZeroDivisionError) -> None:
        super().__init__(seconds, bad_seed)
        self.marks, self.error = Marks(folder), error

    def __reduce__(self):
        return Seen, (self.seconds, self.bad_seed, str(self.marks.folder), self.error)

    @property
    def running(self) -> int:
        return len(self.marks.running())

    @running.setter
    def running(self, _: int) -> None:
        """The files count."""

    def _one(self, member, state, until, data):
        self.marks.note("begin", time.time())
        try:
            return super()._one(member, state, until, data)
        finally:
            self.marks.note("end", time.time())


class Together(Seen):
    """It wants the members of a fold in one call, the last first."""

    def __reduce__(self):
        return Together, super().__reduce__()[1]

    def groups(self, members, data):
        return [[i for i in reversed(range(len(members))) if members[i].fold == fold] for fold in (0, 1)]

    def advance(self, members, states, until, data):
        self.marks.note("call", ",".join(str(m.seed) for m in members))
        return super().advance(members, states, until, data)


class Twofold(Seen):
    """It trains a member on two threads."""

    def threads_for(self, member, data):
        return 2

    def __reduce__(self):
        return Twofold, super().__reduce__()[1]


class Sleeper(CountingEngine):
    def __init__(self) -> None:
        super().__init__(0.01)

    def __reduce__(self):
        return Sleeper, ()


class Deadly(CountingEngine):
    """It ends its process at one seed."""

    def __reduce__(self):
        return Deadly, (self.seconds, self.bad_seed)

    def _one(self, member, state, until, data):
        if member.seed == self.bad_seed:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._one(member, state, until, data)


class Other(CountingEngine):
    """An engine of which workers have another version."""

    def __init__(self, version: str = "1") -> None:
        super().__init__()
        self.version = version

    def __reduce__(self):
        return Other, ()
