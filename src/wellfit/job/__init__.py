"""The main job, end to end: one table in; the comparison, the verdict, the fitted model and the report out.

`run` answers the question and writes everything into a folder; `compare_into` is the comparison alone; `sanity_of`
checks that a network can learn at all; `predictions` applies a saved model; `merge` joins the ledgers of shares.
"""

from wellfit.job.checking import sanity_of
from wellfit.job.files import COMPARISON, LEDGER, MODEL, OUT_OF_FOLD, REPORT, SUMMARY
from wellfit.job.main import compare_into, run
from wellfit.job.merging import merge
from wellfit.job.outputs import as_json
from wellfit.job.predicting import predictions
from wellfit.job.study import default_folder
from wellfit.nets.storage import write_whole
from wellfit.population import Incomplete, Shard
from wellfit.report.run_text import answer
from wellfit.select import comparison_text, sanity_text

__all__ = [
    "COMPARISON",
    "LEDGER",
    "MODEL",
    "OUT_OF_FOLD",
    "REPORT",
    "SUMMARY",
    "Incomplete",
    "Shard",
    "answer",
    "as_json",
    "compare_into",
    "comparison_text",
    "default_folder",
    "merge",
    "predictions",
    "run",
    "sanity_of",
    "sanity_text",
    "write_whole",
]
