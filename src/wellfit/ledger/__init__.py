"""The durable record of which members are done: `Ledger` (one SQLite file) and `MemoryLedger`."""

from wellfit.ledger.base import LedgerLike, member_key
from wellfit.ledger.memory import MemoryLedger
from wellfit.ledger.sqlite import Ledger

__all__ = ["Ledger", "LedgerLike", "MemoryLedger", "member_key"]
