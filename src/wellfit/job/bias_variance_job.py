"""The decomposition as a job: read the table, say what is odd about it, measure, write it down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

from wellfit.cocktail import as_cocktail
from wellfit.errors import SettingError
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.job.study import Asked, opened, read_table
from wellfit.nets import NetworkLike, Training
from wellfit.nets.storage import write_whole
from wellfit.records import BiasVariance
from wellfit.select.bias_variance import POINTS, bias_variance, turned_up
from wellfit.select.bias_variance_output import bias_variance_csv, bias_variance_text
from wellfit.select.path import count_points
from wellfit.select.source import development_rows

FILES = ("bias_variance.json", "bias_variance.csv", "bias_variance.svg")


def bias_variance_into(
    source: object,
    *,
    over: str | None = None,
    points: int | None = None,
    cocktail: str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    resamples: int = 50,
    seeds: int = 4,
    seed: int = 0,
    quick: bool = False,
    threads: int | None = None,
    executor: Executor | None = None,
    out: str | Folder | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    arguments: Sequence[str] = (),
    **options: Any,
) -> BiasVariance:
    """Return `wellfit.bias_variance` of a table; write `FILES` into ``out``, and nothing where it is None.

    Settings are as there and in `wellfit.job.run`. On Ctrl-C with ``out`` what is trained stays there, and the same
    call continues from it.
    """
    if over is None and points is not None:
        raise SettingError("bias_variance.points_alone")
    along = None if over is None else turned_up(over, cocktail)
    count_points(POINTS if points is None else points)
    base = as_cocktail(cocktail) if along is None else along.base
    mixes = (base if along is None else along.cocktail(0.5),)
    table, findings = read_table(source, seed, options)
    rows = development_rows(table)
    asked = Asked(None, network, training, mixes, None, None, seed, quick, threads, progress, notice, executor=executor)
    asked = replace(asked, arguments=tuple(arguments))
    question = ("bias-variance", over, points, base, resamples, seeds)
    with opened(table, findings, rows, asked, out, question, FILES) as study:
        found = bias_variance(
            table,
            over=over,
            points=POINTS if points is None else points,
            cocktail=base,
            network=study.network,
            training=training,
            resamples=resamples,
            seeds=seeds,
            seed=seed,
            rows=rows,
            quick=quick,
            engine=study.engine,
            executor=study.executor,
            ledger=study.ledger,
            progress=progress,
        )
        if study.folder is not None:
            from wellfit.report.figures.decomposition import decomposition_svg

            texts = bias_variance_text(found), bias_variance_csv(found), decomposition_svg(found)
            for name, text in zip(FILES, texts, strict=True):
                write_whole(study.folder / name, text.encode())
    return found
