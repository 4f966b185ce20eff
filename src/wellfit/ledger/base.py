"""The ledger contract and the key of a result: equal work has an equal key, in every run and on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from wellfit.engines.base import Engine, Member, State, engine_of
from wellfit.errors import SettingError
from wellfit.records import History, TrainingData


class LedgerLike(Protocol):
    """Results, states and notes by key. Used from one thread. The promises are in `wellfit.ledger.contract`."""

    def get(self, key: str) -> History | None:
        """Return the history under this key, equal to the last bit to the one that was put, or None."""

    def put(self, key: str, history: History) -> None:
        """Record a history; it is durable when this returns. The same key again replaces it, and its state goes."""

    def keys(self) -> Iterator[str]:
        """Return all keys, in sorted order."""

    def state(self, key: str) -> State | None:
        """Return the state of an unfinished member under this key, equal to the last bit, or None."""

    def put_state(self, key: str, state: State) -> None:
        """Record how far a member is; durable when this returns. The same key again replaces it."""

    def note(self, name: str) -> str | None:
        """Return the text noted under this name, or None."""

    def put_note(self, name: str, text: str) -> None:
        """Note a text that a run decided once, such as its budget in steps; durable when this returns."""


def member_key(engine: Engine, data: TrainingData, member: Member) -> str:
    """Return the key of a member's result: SHA-256 over engine, its version, the data and the member, 64 hex digits.

    Raises `SettingError` where the data has no fingerprint: results of other data could be taken for these.
    """
    if not data.fingerprint:
        raise SettingError("ledger.no_fingerprint")
    engine = engine_of(engine, member, data)
    parts = ("wellfit member 2", engine.name, engine.version, data.fingerprint, member.key)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
