"""The names of all files that wellfit writes into a run's folder."""

from __future__ import annotations

from wellfit.ledger.lock import LOCK
from wellfit.ledger.salvage import DAMAGED
from wellfit.nets.storage import FILE_NAME

RUNS = "runs"  # where runs are by default
LEDGER = "ledger.sqlite"
MODEL = FILE_NAME
REPORT, SUMMARY, COMPARISON, OUT_OF_FOLD = "report.html", "summary.json", "comparison.json", "out_of_fold.csv"
PATH, PICTURE = "path.json", "path.svg"
COEFFICIENTS, COEFFICIENTS_PICTURE = "coefficients.csv", "coefficients.svg"
SEARCH = "search.json"
# What removing a run takes away, and nothing else.
FILES = (
    *(LEDGER + end for end in ("", "-wal", "-shm", "-journal", DAMAGED)),
    MODEL,
    REPORT,
    SUMMARY,
    COMPARISON,
    OUT_OF_FOLD,
    PATH,
    PICTURE,
    COEFFICIENTS,
    COEFFICIENTS_PICTURE,
    SEARCH,
    LOCK,
)
