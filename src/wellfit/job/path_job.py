"""The path as a job: read the table, say what is odd about it, train the path, write it down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

import numpy as np

from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.job.files import COEFFICIENTS, COEFFICIENTS_PICTURE, PATH, PICTURE
from wellfit.job.outputs import csv_text
from wellfit.job.study import Asked, Study, default_folder, opened, read_table
from wellfit.messages import standard
from wellfit.nets import NetworkLike, Training
from wellfit.nets.storage import write_whole
from wellfit.population import Shard
from wellfit.records import Array, Path
from wellfit.report.path_text import linear_of
from wellfit.select import default_seeds
from wellfit.select.axes import as_over
from wellfit.select.defaults import FOLDS
from wellfit.select.path import count_points, path
from wellfit.select.path_output import path_text
from wellfit.select.source import development_rows

POINTS, QUICK_POINTS = 30, 15


def path_into(
    source: object,
    over: str,
    *,
    points: int | None = None,
    warm: bool = False,
    cocktail: str | None = None,
    metric: str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    folds: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    quick: bool = False,
    threads: int | None = None,
    executor: Executor | None = None,
    shard: str | None = None,
    out: str | Folder | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    arguments: Sequence[str] = (),
    **options: Any,
) -> Path:
    """Return `wellfit.path` on all rows that are not test rows; write ``path.json`` and ``path.svg`` into ``out``.

    A linear path, whose solutions are exact, has ``coefficients.csv`` and ``coefficients.svg`` as well. Nothing is
    written where ``out`` is None. Settings are as in `wellfit.job.run`, ``cocktail`` is what the ingredient
    is added to. On Ctrl-C with ``out`` what is trained stays there, and the same call continues from it (only warm
    starts, which hang together, are trained again).
    """
    along = as_over(over, cocktail)
    points = (QUICK_POINTS if quick else POINTS) if points is None else points
    count_points(points)
    table, findings = read_table(source, seed, options)
    rows = development_rows(table)
    mixes = (along.cocktail(0.5),)  # one that must fit the network, before any folder is made
    asked = Asked(metric, network, training, mixes, folds, seeds, seed, quick, threads, progress, notice)
    part = None if shard is None else Shard.parse(shard)
    asked = replace(asked, executor=executor, shard=part, reference=along.base, arguments=tuple(arguments))
    out = default_folder(source, part) if out is None and part else out
    question = ("path", along, points, warm)
    with opened(table, findings, rows, asked, out, question, () if part else (PATH, PICTURE)) as study:
        found = _trained(study, over, rows, points, warm=warm)
        if study.folder is not None:
            _write(study.folder, found)
    return found


def _trained(study: Study, over: str, rows: Array, points: int, *, warm: bool) -> Path:
    asked = study.asked
    return path(
        study.table,
        over,
        points=points,
        rows=rows,
        cocktail=asked.reference,
        network=study.network,
        training=asked.training,
        metric=asked.metric,
        folds=FOLDS if asked.folds is None else asked.folds,
        seeds=default_seeds(rows, quick=asked.quick, network=study.network) if asked.seeds is None else asked.seeds,
        seed=asked.seed,
        quick=asked.quick,
        warm=warm,
        engine=study.engine,
        executor=study.executor,
        ledger=study.ledger,
        progress=asked.progress,
    )


def _write(folder: Folder, found: Path) -> None:
    from wellfit.report.figures.coefficients import coefficients_svg
    from wellfit.report.figures.path import path_svg

    write_whole(folder / PATH, path_text(found).encode())
    write_whole(folder / PICTURE, path_svg(found).encode())
    if found.linear is not None:
        write_whole(folder / COEFFICIENTS, coefficients_csv(found).encode())
        write_whole(folder / COEFFICIENTS_PICTURE, coefficients_svg(found).encode())


def written(path: Path) -> tuple[str, ...]:
    """Return the names of the files that a path leaves in its folder."""
    return (PATH, PICTURE) if path.linear is None else (PATH, PICTURE, COEFFICIENTS, COEFFICIENTS_PICTURE)


def coefficients_csv(path: Path) -> str:
    """Return a linear path's coefficients as CSV: the intercept in the first line, then each feature, used or not.

    For the best and for the one-standard-error strength there is a column of coefficients in the data's own units and
    one of standardized ones (of which the intercept has none); with several classes each has these four columns.
    Raises `SettingError` for a path without exact solutions.

    >>> import wellfit as wf
    >>> found = wf.path("football", over="l1", network="linear", points=4, folds=2)
    >>> coefficients_csv(found).splitlines()[0]
    'feature,best,best standardized,1-SE,1-SE standardized'
    """
    linear = linear_of(path)
    columns: dict[str, Array] = {
        standard("path.csv_feature"): np.array([standard("path.intercept"), *linear.names], dtype=object)
    }
    marks = ((standard("path.mark_best"), path.best), (standard("path.mark_rule"), path.one_standard_error))
    for k, output in enumerate(linear.outputs):
        for mark, point in marks:
            name = mark if len(linear.outputs) == 1 else standard("path.csv_output", output=output, mark=mark)
            columns[name] = np.append(linear.intercepts[point, k], linear.coefficients[point, k])
            columns[standard("path.csv_standardized", name=name)] = np.append(np.nan, linear.standardized[point, k])
    return csv_text(columns)
