"""Looking into networks as a job: read the table, say what is odd about it, train and measure, write it down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as Folder
from typing import Any

from wellfit.errors import SettingError
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.job.files import make_folder
from wellfit.job.runs import model_of
from wellfit.job.study import Asked, read_table
from wellfit.messages import say
from wellfit.nets import as_network
from wellfit.nets.fitted import Fitted
from wellfit.nets.storage import write_whole
from wellfit.records import Workings
from wellfit.select.workings import workings
from wellfit.select.workings_output import workings_text

WORKINGS, PICTURE = "workings.json", "workings.svg"


def workings_into(
    source: object,
    over: str | None,
    *,
    model: str | None = None,
    network: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    executor: Executor | None = None,
    out: str | Folder | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    options: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Workings:
    """Return `wellfit.workings`; write ``workings.json`` and ``workings.svg`` into ``out`` where it is given.

    ``model`` is a saved model's file or a run's folder, ``options`` are those of `wellfit.data.load`, and other
    settings go to `wellfit.workings`. Raises `SettingError` for a model that is several networks.
    """
    fitted = None
    if model is not None:
        loaded = Fitted.load(model_of(model))
        if not isinstance(loaded, Fitted):
            raise SettingError("workings.ensemble", path=model)
        fitted = loaded
    table, findings = read_table(source, seed, options or {})
    told = Asked(notice=notice)
    told.warn(findings)
    if fitted is None and (network is None or not as_network(network).linear):
        from wellfit.engines.compiled import is_warm

        if not is_warm():
            told.tell(say("job.compiling"))
    found = workings(
        table,
        over,
        model=fitted,
        network=network,
        seed=seed,
        executor=Threads(threads) if executor is None else executor,
        progress=progress,
        **asked,
    )
    if out is not None:
        from wellfit.report.figures.workings import workings_svg

        folder = Folder(out)
        make_folder(folder)
        write_whole(folder / WORKINGS, workings_text(found).encode())
        write_whole(folder / PICTURE, workings_svg(found).encode())
    return found
