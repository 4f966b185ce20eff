"""The sanity checks as a job: read the table, say what is odd about it, check the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wellfit.executors.base import Progress
from wellfit.job.study import Asked, opened, read_table
from wellfit.nets import NetworkLike
from wellfit.select import Sanity, sanity
from wellfit.select.source import development_rows


def sanity_of(
    source: object,
    *,
    network: NetworkLike | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    **options: Any,
) -> Sanity:
    """Return what `wellfit.sanity` finds on all rows that are not test rows. Settings are as in `wellfit.job.run`."""
    table, findings = read_table(source, seed, options)
    asked = Asked(network=network, seed=seed, threads=threads, progress=progress, notice=notice)
    with opened(table, findings, development_rows(table), asked, None) as study:
        return sanity(
            study.network, table, seed=seed, engine=study.engine, executor=study.executor, progress=asked.progress
        )
