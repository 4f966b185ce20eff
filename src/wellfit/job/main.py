"""The order of work: read, hold out, compare, choose, judge, fit again, and only then touch the test rows, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path as Folder
from time import perf_counter
from typing import Any

from wellfit.cocktail import Cocktail
from wellfit.errors import SettingError
from wellfit.executors import Executor
from wellfit.executors.base import Progress
from wellfit.job.exploring import COMPARISON as COMPARISON_SHARE
from wellfit.job.exploring import LAST_TRAINING, Plan, against_linear, explore, frames_of, one_path, path_names, paths
from wellfit.job.files import COMPARISON, MODEL, OUT_OF_FOLD, REPORT, SUMMARY
from wellfit.job.outputs import SEARCHED, Work, make_record, write
from wellfit.job.portraits import portraits
from wellfit.job.refit import refit, roles
from wellfit.job.study import Asked, Cocktails, Study, default_folder, opened, read_table
from wellfit.job.testing import on_test_rows
from wellfit.job.thinning import last_training, repaced, sample
from wellfit.messages import say
from wellfit.nets import NetworkLike, Training
from wellfit.nets.fitted import Predictor
from wellfit.nets.storage import write_whole
from wellfit.population import Incomplete, Shard, Share
from wellfit.records import Array, Comparison, Finding, Frames, Path, RunRecord, Simplest, Split
from wellfit.select import compare, comparison_text, default_seeds
from wellfit.select.defaults import FOLDS
from wellfit.select.search import Search
from wellfit.select.source import development_rows, question

LATE = 3.0  # seconds beyond a budget that are not worth a word


@question
def run(
    source: object,
    *,
    metric: str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    cocktails: Cocktails = None,
    budget: object = None,
    folds: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    quick: bool = False,
    threads: int | None = None,
    executor: Executor | None = None,
    shard: str | None = None,
    out: str | Folder | None = None,
    command: str = "",
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    arguments: Sequence[str] = (),
    placed: Callable[[Folder], None] | None = None,
    **options: Any,
) -> RunRecord:
    """Answer the main question for one table, and write the answer into the folder ``out``.

    ``source`` and ``options`` are those of `wellfit.data.load`: a path, a built-in name, a DataFrame or arrays, with
    ``target``, ``task``, ``drop``, ``test`` and so on. Test rows are held out first; all else works on the other rows.
    The usual cocktails are compared by cross-validation, which gives the verdict on the unregularized network; each
    main ingredient is turned up along its path; a linear model, solved exactly, says whether a network is needed; a
    search for the best mixture takes what is left of ``budget`` ("60s" by default, or a count of member-steps for the
    search), and its ensemble is the model. The best cocktail compared, none and the best L2 and dropout are fitted on
    all those rows, for the pictures. The test rows are used once, at the end. Where ``cocktails`` are given these alone
    are compared ("none" is always among them), and the best of them, fitted on all those rows, is the model: no path,
    no linear model, no search.
    ``training`` is a recipe, or the fields by name in which it differs from the default. ``quick`` trains fewer and
    shorter (budget "15s"). ``progress(done, total)`` counts optimizer steps; ``notice(sentence)`` hears warnings as
    they come up. ``executor`` is where members train, by default on ``threads`` of this machine. With ``shard``, "i/n",
    only that share of the comparison and the paths is trained, into a folder of its own, and `Incomplete` is raised:
    see `wellfit.population.Share`. ``arguments`` are those of the command line, if any, which ``wellfit resume``
    repeats. ``placed(folder)`` hears where the answer goes, before any training.

    Writes report.html, summary.json, comparison.json, out_of_fold.csv and model.safetensors, each all at once, into
    ``out`` (default: runs/ and the name of the data; where that folder holds a run of another table or with other
    settings, the next one, such as runs/data-2; the record's ``folder`` says which). On Ctrl-C what is trained stays in
    ledger.sqlite there, and the same call continues from it.
    Raises `DataError` for the data, `SettingError` for the settings and an ``out`` that cannot be made, ``OSError``
    where it cannot be written.
    """
    started = perf_counter()
    if cocktails is not None and budget is not None:
        raise SettingError("job.budget_of_cocktails", budget=budget)
    table, findings = read_table(source, seed, options)
    plan = Plan.of(budget, quick=quick, images=table.inputs is not None) if cocktails is None else None
    from wellfit.data import cross_validation_split

    split = cross_validation_split(table, seed=seed)
    asked = Asked(metric, network, training, cocktails, folds, seeds, seed, quick, threads, progress, notice)
    asked = replace(
        asked,
        executor=executor,
        shard=None if shard is None else Shard.parse(shard),
        arguments=tuple(arguments),
        seconds=None if plan is None else COMPARISON_SHARE * plan.seconds,
        placed=placed,
    )
    folder = default_folder(source, asked.shard) if out is None else out
    free = out is None and asked.shard is None  # a share leaves no report to replace
    files = () if asked.shard else (REPORT, SUMMARY, COMPARISON, OUT_OF_FOLD, MODEL)
    with opened(table, findings, split.train, asked, folder, ("run", plan), files, free) as study:
        if asked.shard is not None:
            train_share(study, split.train, plan)
        told = command or _call(source, seed)
        record, work = answer_table(study, split, command=told, started=started, plan=plan)
        assert study.folder is not None
        record = replace(record, folder=str(study.folder))
        write(record, work, study.folder)
        _tell_late(study, plan, perf_counter() - started)
    return record


def answer_table(
    study: Study, split: Split, *, command: str, started: float, plan: Plan | None = None
) -> tuple[RunRecord, Work]:
    """Do the work on a table that is read and split. Nothing before `on_test_rows` looks at the test rows.

    Without a plan there is no path and no search: the model is the winner of the comparison.
    """
    study, chosen = sample(study, split.train, plan)
    split = replace(split, train=chosen.rows)
    study.asked.warn(chosen.findings())
    began = perf_counter()
    comparison = _compare(study, split.train)
    study = repaced(study, plan, perf_counter() - began)
    study = replace(study, findings=(*study.findings, *chosen.findings(), *_diverged(study, comparison)))
    along: tuple[Path, ...] = ()
    turned: tuple[Frames, ...] = ()
    straight: Simplest | None = None
    found: Search | None = None
    if plan is not None:
        along, lacking = paths(study, split.train, plan)
        turned = frames_of(study, split, along, plan)
        straight, slow = against_linear(study, split.train, plan, along)
        study.asked.warn((*lacking, *slow))
        study = replace(study, findings=(*study.findings, *lacking, *slow))
    fits = refit(study, split.train, roles(comparison))
    if plan is not None:
        found = explore(study, split.train, plan, started, LAST_TRAINING * plan.seconds * chosen.thinned)
        if chosen.thinned:
            found = last_training(study, chosen, found, plan, started)
    models: dict[str, Predictor | None] = {
        name: fits[name].model if fits[name].sound else None for name in dict.fromkeys((comparison.winner, "none"))
    }
    if found is not None:
        models = {"none": models["none"], SEARCHED: found.model}
    tests = {name: on_test_rows(study, name, model, split.test) for name, model in models.items()}
    pictures = portraits(study, comparison, fits, split.test)
    winner, count = fits[comparison.winner], len(fits) + sum(len(f.sound) for f in turned)
    work = Work(study, split, comparison, winner, tests, pictures, count, along, turned, found, straight)
    return make_record(work, command=command, started=started), work


def _tell_late(study: Study, plan: Plan | None, took: float) -> None:
    """Say so where the seconds of a budget did not suffice for what a run does in any case."""
    if plan is not None and plan.limit.seconds is not None and took > plan.limit.seconds + LATE:
        study.asked.tell(say("job.late", took=round(took), budget=f"{plan.limit.seconds:g}"))


def compare_into(
    source: object,
    *,
    metric: str | None = None,
    network: NetworkLike | None = None,
    training: Training | Mapping[str, Any] | None = None,
    cocktails: Cocktails = None,
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
) -> Comparison:
    """Compare cocktails on all rows that are not test rows, and write ``comparison.json`` into ``out``, if given.

    Settings are as in `run`; with ``shard`` there always is a folder. On Ctrl-C with ``out`` what is trained stays
    there, and the same call continues from it.
    """
    table, findings = read_table(source, seed, options)
    asked = Asked(metric, network, training, cocktails, folds, seeds, seed, quick, threads, progress, notice)
    part = None if shard is None else Shard.parse(shard)
    asked = replace(asked, executor=executor, shard=part, arguments=tuple(arguments))
    out = default_folder(source, part) if out is None and part else out
    rows = development_rows(table)
    with opened(table, findings, rows, asked, out, ("compare",), () if part else (COMPARISON,)) as study:
        comparison = _compare(study, rows)
        _diverged(study, comparison)
        if study.folder is not None:
            write_whole(study.folder / COMPARISON, comparison_text(comparison).encode())
    return comparison


def train_share(study: Study, rows: Array, plan: Plan | None) -> None:
    """Train this share of the comparison and of each path, and raise `Incomplete`, which says how much that was."""
    share = study.executor
    assert isinstance(share, Share)
    with suppress(Incomplete):
        _compare(study, rows)
    share.reference = Cocktail()
    if plan is not None:
        for name in path_names(study, plan):
            with suppress(Incomplete, SettingError):  # a path that cannot be had is told by who asks without shares
                one_path(study, rows, plan, name)
    raise Incomplete("shares.incomplete", shard=share.shard, own=share.own, others=share.others)


def _compare(study: Study, rows: Array) -> Comparison:
    asked = study.asked
    return compare(
        study.table,
        rows=rows,
        cocktails=asked.cocktails,
        network=study.network,
        training=study.training,
        seeds=default_seeds(rows, quick=asked.quick, network=study.network) if asked.seeds is None else asked.seeds,
        folds=FOLDS if asked.folds is None else asked.folds,
        metric=asked.metric,
        seed=asked.seed,
        quick=asked.quick,
        engine=study.engine,
        executor=study.executor,
        ledger=study.ledger,
        progress=asked.progress,
    )


def _diverged(study: Study, comparison: Comparison) -> tuple[Finding, ...]:
    """Warn of the cocktails with diverged members or without a solution, and return that as findings."""
    rate = f"{study.training.learning_rate:g}"
    found = []
    for result in comparison.results:
        if result.diverged:
            counts = {"diverged": result.diverged, "members": result.members}
            text = say(
                "population.some_diverged", cocktail=result.cocktail, rates=rate, epoch=result.diverged_epoch, **counts
            )
            found.append(Finding("diverged", text, count=result.diverged))
        if result.unbounded:
            text = say("select.unbounded", cocktail=result.cocktail, unbounded=result.unbounded, members=result.members)
            found.append(Finding("unbounded", text, count=result.unbounded))
    study.asked.warn(found)
    return tuple(found)


def _call(source: object, seed: int) -> str:
    """Return how this was called from Python, as far as it can be written down."""
    shown = repr(source) if isinstance(source, str | Folder) else f"<{type(source).__name__}>"
    return f"wellfit.run({shown}, seed={seed}, ...)"
