"""The diagnosis as a job: read the table, say what is odd about it, diagnose the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wellfit.executors.base import Progress
from wellfit.job.study import Asked, read_table
from wellfit.records import Diagnosis
from wellfit.select.diagnose import diagnose


def diagnosis_of(
    source: object,
    *,
    validation: str | None = None,
    cocktail: str | None = None,
    folds: int | None = None,
    seeds: int | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    **settings: Any,
) -> Diagnosis:
    """Return `wellfit.diagnose` on all rows that are not test rows; settings are as there, None for the usual ones.

    What is odd about the table is passed to ``notice`` first; leaks are left to the diagnosis.
    """
    from wellfit.engines.compiled import is_warm
    from wellfit.messages import say
    from wellfit.select.defaults import FOLDS
    from wellfit.select.diagnose import SEEDS

    columns = ("target", "task", "test", "group", "time", "weight", "drop", "categorical", "numeric")
    names = (*columns, "image_size", "skip_corrupt")
    options = {name: settings.pop(name) for name in names if name in settings}
    asked = Asked(notice=notice)
    if validation is not None:
        table: object = source  # read with the validation rows, by the diagnosis
    else:
        table, findings = read_table(source, settings["seed"], options)
        options = {}
        asked.warn([finding for finding in findings if finding.kind != "leak"])
    if not is_warm():
        asked.tell(say("job.compiling"))
    return diagnose(
        table,  # type: ignore[arg-type]  # what the user gave, or a table
        validation=validation,
        cocktail="none" if cocktail is None else cocktail,
        folds=FOLDS if folds is None else folds,
        seeds=SEEDS if seeds is None else seeds,
        progress=progress,
        **settings,
        **options,
    )
