"""The durable record of which members are done: `Ledger` (one SQLite file) and `MemoryLedger`.

`lock.held` keeps a run to one process; `salvage.mend` saves what can be read of a damaged file.
"""

from wellfit.ledger.base import LedgerLike, member_key
from wellfit.ledger.memory import MemoryLedger
from wellfit.ledger.sqlite import Ledger

__all__ = ["Ledger", "LedgerLike", "MemoryLedger", "member_key"]
