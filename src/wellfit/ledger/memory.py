"""A ledger that lasts as long as the process: for tests and for repeating a comparison within one program."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from wellfit.engines.base import State
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.ledger.encoding import decode, encode
from wellfit.records import History


class MemoryLedger:
    """Results in memory, encoded as in a file, so that what comes back shares nothing with what was put.

    >>> MemoryLedger().get("no such key") is None
    True
    """

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._states: dict[str, bytes] = {}
        self._notes: dict[str, str] = {}

    def get(self, key: str) -> History | None:
        """Return the history under this key, or None."""
        record = self._records.get(key)
        return None if record is None else decode(record)

    def put(self, key: str, history: History) -> None:
        """Record a history; the same key again replaces it. Its state goes."""
        self._records[key] = encode(history)
        self._states.pop(key, None)

    def state(self, key: str) -> State | None:
        """Return the state under this key, or None."""
        record = self._states.get(key)
        return None if record is None else state_from_bytes(record)

    def put_state(self, key: str, state: State) -> None:
        """Record how far a member is; the same key again replaces it."""
        self._states[key] = state_to_bytes(state)

    def keys(self) -> Iterator[str]:
        """Return all keys, in sorted order."""
        return iter(sorted(self._records))

    def note(self, name: str) -> str | None:
        """Return the text noted under this name, or None."""
        return self._notes.get(name)

    def put_note(self, name: str, text: str) -> None:
        """Note a text; the same name again replaces it."""
        self._notes[name] = text

    def __enter__(self) -> MemoryLedger:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None
