"""The search as a job: read the table, say what is odd about it, search, write down the record and the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wellfit.errors import SettingError
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.job.files import MODEL, SEARCH
from wellfit.job.study import Asked, opened, read_table
from wellfit.nets import NetworkLike, as_network
from wellfit.nets.storage import write_whole
from wellfit.select.budget import Budget, as_budget
from wellfit.select.defaults import FOLDS
from wellfit.select.proposals import SAMPLERS
from wellfit.select.search import Search, search
from wellfit.select.search_output import search_text
from wellfit.select.source import development_rows

BUDGET, SAMPLER = "60s", "tpe"


def search_into(
    source: object,
    *,
    budget: str | float | Budget | None = None,
    sampler: str | None = None,
    metric: str | None = None,
    network: NetworkLike | None = None,
    folds: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    executor: Executor | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    arguments: Sequence[str] = (),
    **options: Any,
) -> Search:
    """Return `wellfit.search` on all rows that are not test rows; write ``search.json`` and the model into ``out``.

    Nothing is written where ``out`` is None. ``network`` fixes the network, ``budget`` is "60s" unless given. On Ctrl-C
    with ``out`` what is trained stays there, and the same call continues from it, with the steps that its seconds came
    to the first time.
    """
    # All that can be refused is refused before any folder is made.
    limit = as_budget(BUDGET if budget is None else budget)
    sampler = SAMPLER if sampler is None else sampler
    if sampler not in SAMPLERS:
        raise SettingError("search.unknown_sampler", value=sampler, known=", ".join(SAMPLERS))
    table, findings = read_table(source, seed, options)
    rows = development_rows(table)
    asked = Asked(metric, network, folds=folds, seed=seed, threads=threads, progress=progress, notice=notice)
    asked = replace(asked, executor=executor, arguments=tuple(arguments))
    with opened(table, findings, rows, asked, out, ("search", limit, sampler), (SEARCH, MODEL)) as study:
        found = search(
            table,
            budget=limit,
            network=None if network is None else as_network(network),
            sampler=sampler,
            folds=FOLDS if folds is None else folds,
            metric=metric,
            seed=seed,
            rows=rows,
            engine=study.engine,
            executor=study.executor,
            ledger=study.ledger,
            progress=progress,
        )
        if study.folder is not None:
            found.model.save(study.folder / MODEL)
            write_whole(study.folder / SEARCH, search_text(found.record).encode())
    return found
