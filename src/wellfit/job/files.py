"""The names of all files that wellfit writes into a run's folder, and the making of that folder."""

from __future__ import annotations

import os
from pathlib import Path

from wellfit.errors import SettingError
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


def make_folder(folder: Path) -> list[Path]:
    """Make a folder to write into; return those that were absent, the innermost first. Raises `SettingError`."""
    absent = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise SettingError("runs.out_is_file", folder=folder) from error
    except OSError as error:
        raise SettingError("runs.out_not_made", folder=folder, reason=error.strerror or error) from error
    return absent
