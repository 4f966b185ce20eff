"""What a job works with: the table, what was found in it, the settings, and the place to write to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wellfit.cocktail import Cocktail, Ingredient, as_cocktails
from wellfit.engines.base import Engine
from wellfit.engines.choice import default_engine
from wellfit.errors import SettingError
from wellfit.evidence import as_metric
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.job.files import RUNS
from wellfit.job.runs import Asking, free_folder, recorded
from wellfit.ledger import LedgerLike, MemoryLedger
from wellfit.messages import say
from wellfit.nets import Network, NetworkLike, Training
from wellfit.population import Shard, Share
from wellfit.records import Array, Finding, Fold, Table
from wellfit.select import default_training
from wellfit.select.defaults import FOLDS
from wellfit.select.source import chosen_network

Cocktails = str | Iterable[Cocktail | Ingredient | str | None] | None
MAX_NOTICES = 12


@dataclass(frozen=True, eq=False)
class Asked:
    """The settings of a job as they were given; None leaves a choice to the defaults.

    ``training`` is a whole recipe, or the fields by name in which it differs from the default one.
    """

    metric: str | None = None
    network: NetworkLike | None = None
    training: Training | Mapping[str, Any] | None = None
    cocktails: Cocktails = None
    folds: int | None = None
    seeds: int | None = None
    seed: int = 0
    quick: bool = False
    threads: int | None = None
    progress: Progress | None = None
    notice: Callable[[str], None] | None = None
    seconds: float | None = None  # of training, for the default recipe of the comparison
    executor: Executor | None = None  # by default threads, ``threads`` of them
    shard: Shard | None = None  # train this share alone: see `Share`
    reference: Cocktail | None = None
    arguments: tuple[str, ...] = ()  # of the command line, so that the run can be continued by its folder
    placed: Callable[[Path], None] | None = None  # hears the folder before any training

    def tell(self, sentence: str) -> None:
        """Pass a sentence on to whoever listens."""
        if self.notice is not None:
            self.notice(sentence)

    def warn(self, findings: Sequence[Finding]) -> None:
        """Pass findings on: warnings first, then what was merely assumed."""
        # Sorting is stable, so each kind keeps its order.
        for finding in sorted(findings, key=_is_note)[:MAX_NOTICES]:
            self.tell(say("job.note" if _is_note(finding) else "job.warning", sentence=finding.text))
        if len(findings) > MAX_NOTICES:
            self.tell(say("job.more_warnings", count=len(findings) - MAX_NOTICES))


@dataclass(frozen=True, eq=False)
class Study:
    """A table read and looked over, with the settings bound to it. ``folder`` is None where nothing is written.

    ``slowness`` is how many times longer training takes here and now than the formula of its cost says, on all cores;
    None where that was not measured.
    """

    table: Table
    findings: tuple[Finding, ...]
    asked: Asked
    network: Network
    training: Training
    engine: Engine
    executor: Executor
    ledger: LedgerLike
    folder: Path | None = None
    slowness: float | None = None


def _is_note(finding: Finding) -> bool:
    """Whether a finding tells of a choice that was made, not of something wrong."""
    return finding.kind.startswith("assumed_") or finding.kind in ("constant", "no_header", "unnamed_columns")


def default_folder(source: object, shard: Shard | None = None) -> str:
    """Return the folder that a run writes into by default: named after the file or the built-in data, and the share.

    >>> default_folder("data/patients 2024.csv.gz"), default_folder("photos/"), default_folder(None)
    ('runs/patients-2024', 'runs/photos', 'runs/data')
    """
    name = re.split(r"[/\\]", str(source).rstrip("/\\"))[-1] if isinstance(source, str | Path) else ""
    stem = re.sub(r"(\.(csv|tsv|txt|npz|mat|parquet|gz))+$", "", name, flags=re.IGNORECASE)
    share = "" if shard is None else f"-share-{shard.index}-of-{shard.count}"
    return f"{RUNS}/{re.sub(r'[^0-9A-Za-z_.]+', '-', stem).strip('-.')[:80] or 'data'}{share}"


def read_table(source: object, seed: int, options: Mapping[str, Any]) -> tuple[Table, tuple[Finding, ...]]:
    """Read the table and look it over. Raises `DataError`."""
    from wellfit.data import inspect, load

    table = source if isinstance(source, Table) else load(source, **options)
    if isinstance(source, Table) and options:
        raise SettingError("select.options_with_table", options=", ".join(options))
    return table, (*table.findings, *inspect(table, seed=seed))


CROSS_VALIDATED = ("run", "compare", "path", "search")


@contextmanager
def opened(
    table: Table,
    findings: tuple[Finding, ...],
    rows: Array,
    asked: Asked,
    out: str | Path | None,
    question: Sequence[object] = (),
    writes: Sequence[str] = (),
    free: bool = False,
) -> Iterator[Study]:
    """Bind the settings to the table, make the folder, hold it and open its ledger: all before any training.

    ``rows`` are those that may be learned from, (m,). ``question`` is the kind of command and what it asks beside the
    table and the settings here; ``writes`` are the files of its answer, and with ``free`` another question's folder is
    left alone. Raises `SettingError` for settings that do not fit and a folder that cannot be made, ``OSError`` or
    `ModelFileError` where it cannot be written or another process works in it.
    """
    from wellfit.data import inspect_folds

    if question and question[0] in CROSS_VALIDATED:
        findings = (*findings, *inspect_folds(table, rows, folds=FOLDS if asked.folds is None else asked.folds))
    network = chosen_network(table, rows, asked.network)
    training = _training(table, rows, network, asked)
    executor = Threads(asked.threads) if asked.executor is None else asked.executor
    if asked.shard is not None:
        executor = Share(executor, asked.shard, asked.reference)
    as_metric(asked.metric, table.task)
    for cocktail in () if asked.cocktails is None else as_cocktails(asked.cocktails):
        network.strengths(cocktail)
    asked.warn(findings)
    if out is None:
        yield Study(table, findings, asked, network, training, _engine(asked, network), executor, MemoryLedger())
        return
    asking = Asking.now(asked.arguments, _question(table, rows, network, asked, question))
    folder = free_folder(Path(out), asking) if free else Path(out)
    with recorded(folder, asking, writes) as (ledger, mended, replaced):
        if asked.placed is not None:
            asked.placed(folder)
        if folder != Path(out):
            asked.tell(say("job.note", sentence=say("runs.elsewhere", held=out, folder=folder)))
        if replaced:
            asked.tell(say("job.note", sentence=say("runs.replaces", folder=folder, files=", ".join(replaced))))
        if mended is not None:
            asked.tell(say("job.warning", sentence=say("runs.mended", results=mended.results, copy=mended.copy)))
        engine = _engine(asked, network)
        yield Study(table, findings, asked, network, training, engine, executor, ledger, folder)


def _question(table: Table, rows: Array, network: Network, asked: Asked, question: Sequence[object]) -> str:
    """Return the kind of command and a hash of all that its answer depends on, the machine left aside."""
    from wellfit.data.prepare import fingerprint

    training = asked.training
    parts: list[object] = [
        fingerprint(table, [Fold(rows, rows[:0], rows[:0])]),
        table.target_name,
        *(None if each is None else each.tolist() for each in (table.groups, table.times)),
        network.key,
        sorted(training.items()) if isinstance(training, Mapping) else training,
        None if asked.cocktails is None else [str(each) for each in as_cocktails(asked.cocktails)],
        asked.reference,
        (asked.metric, asked.folds, asked.seeds, asked.seed, asked.quick),
        *question,
    ]
    told = "\n".join(map(repr, parts)).encode("utf-8", "backslashreplace")
    return " ".join([*map(str, question[:1]), hashlib.sha256(told).hexdigest()])


def _training(table: Table, rows: Array, network: Network, asked: Asked) -> Training:
    if isinstance(asked.training, Training):
        return asked.training
    recipe = default_training(table, rows, quick=asked.quick, network=network, seconds=asked.seconds)
    return replace(recipe, **(asked.training or {}))


def _engine(asked: Asked, network: Network) -> Engine:
    from wellfit.engines.compiled import is_warm

    if not network.linear and not is_warm():
        asked.tell(say("job.compiling"))
    return default_engine()
