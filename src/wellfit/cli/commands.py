"""The commands run, compare, sanity and predict; the others have modules of their own."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

import wellfit
from wellfit.cli import options as given
from wellfit.cli.augment_command import augment
from wellfit.cli.bias_variance_command import bias_variance
from wellfit.cli.diagnose_command import diagnose
from wellfit.cli.export_command import export
from wellfit.cli.interrupt import kept
from wellfit.cli.language import Option, option
from wellfit.cli.lesson_command import lesson
from wellfit.cli.merge_command import merge
from wellfit.cli.path_command import path
from wellfit.cli.places import placed, tell_share
from wellfit.cli.program import Program, Stopped
from wellfit.cli.runs_command import resume, runs
from wellfit.cli.screen import answer, harmless, screen_width, show, tell, write_bytes
from wellfit.cli.search_command import search
from wellfit.cli.workings_command import workings
from wellfit.messages import say


@click.group(cls=Program, help=say("cli.program"), epilog=say("cli.epilog"))
@click.version_option(
    wellfit.__version__,
    "-V",
    "--version",
    prog_name="wellfit",
    message="%(prog)s %(version)s",
    help=say("cli.version"),
    cls=Option,
)
def main() -> None:
    """The group; its help is in the catalogue."""


@main.command(help=say("cli.run"), short_help=say("cli.run_short"))
@click.argument("data")
@given.options(given.DATA, given.TRAINING, given.COCKTAIL, given.BUDGET, given.STUDY, given.OUTPUT, given.QUICK)
@given.options(given.PLACE, given.SHARE)
def run(data: str, **asked: Any) -> None:
    """Answer the main question, and write the report."""
    from wellfit import job
    from wellfit.cli.progress import Watch

    out = asked["out"]
    taken: list[Path] = []
    with Watch() as watch, placed(asked) as executor:
        try:
            record = job.run(
                data,
                **given.load_options(asked),
                metric=asked["metric"],
                network=asked["network"],
                training=given.training_changes(asked),
                cocktails=asked["cocktail"],
                budget=asked["budget"],
                folds=asked["folds"],
                seeds=asked["seeds"],
                seed=asked["seed"],
                quick=asked["quick"],
                threads=asked["threads"],
                executor=executor,
                shard=asked["shard"],
                out=out,
                command=_command(),
                progress=watch.progress,
                notice=watch.notice,
                arguments=given.typed(),
                placed=taken.append,
            )
        except KeyboardInterrupt as error:
            raise Stopped(kept(taken[0] if taken else None)) from error
        except job.Incomplete as share:
            tell_share(share, data, out)
            return
    place = say("cli.report_at", path=Path(record.folder) / job.REPORT)
    if asked["as_json"]:
        print(job.as_json(record.summary), end="")
        tell(place)
        return
    for sentence in job.answer(record):
        answer(sentence)
    # Not wrapped, so that the path can be copied.
    print(harmless(place))


@main.command(help=say("cli.compare"), short_help=say("cli.compare_short"))
@click.argument("data")
@given.options(given.DATA, given.TRAINING, given.COCKTAILS, given.STUDY, given.OUTPUT, given.QUICK)
@given.options(given.PLACE, given.SHARE)
def compare(data: str, **asked: Any) -> None:
    """Compare cocktails by cross-validation."""
    from wellfit import job
    from wellfit.cli.progress import Watch

    out = asked["out"]
    with Watch() as watch, placed(asked) as executor:
        try:
            comparison = job.compare_into(
                data,
                **given.load_options(asked),
                metric=asked["metric"],
                network=asked["network"],
                training=given.training_changes(asked),
                cocktails=asked["cocktails"],
                folds=asked["folds"],
                seeds=asked["seeds"],
                seed=asked["seed"],
                quick=asked["quick"],
                threads=asked["threads"],
                executor=executor,
                shard=asked["shard"],
                out=out,
                progress=watch.progress,
                notice=watch.notice,
                arguments=given.typed(),
            )
        except KeyboardInterrupt as error:
            raise Stopped(kept(out)) from error
        except job.Incomplete as share:
            tell_share(share, data, out)
            return
    if asked["as_json"]:
        print(job.comparison_text(comparison), end="")
    else:
        from wellfit.report.printed.comparison import comparison as comparison_blocks

        show(comparison_blocks(comparison, screen_width()))
    if out:
        tell(say("cli.written", path=Path(out) / job.COMPARISON))


@main.command(help=say("cli.sanity"), short_help=say("cli.sanity_short"))
@click.argument("data")
@given.options(given.DATA, given.NETWORK, given.REPEAT, given.JSON)
def sanity(data: str, **asked: Any) -> None:
    """Check that the network can learn the data at all."""
    from wellfit import job
    from wellfit.cli.progress import Watch

    with Watch() as watch:
        found = job.sanity_of(
            data,
            **given.load_options(asked),
            network=asked["network"],
            seed=asked["seed"],
            threads=asked["threads"],
            progress=watch.progress,
            notice=watch.notice,
        )
    if asked["as_json"]:
        print(job.sanity_text(found), end="")
        return
    answer(say("sanity.about", data=found.data, task=found.task, network=found.network, rows=found.rows))
    for line in str(found).splitlines():
        answer(line)


@main.command(help=say("cli.predict"), short_help=say("cli.predict_short"))
@click.argument("model")
@click.argument("data")
@option("--out", metavar="FILE", help=say("cli.opt_out_file"))
@option("--network", metavar="FILE.py:NAME", help=say("export.opt_network"))
@option("--skip-corrupt", is_flag=True, help=say("augment.opt_skip_corrupt"))
def predict(model: str, data: str, out: str | None, network: str | None, skip_corrupt: bool) -> None:
    """Predict the rows of a table, or images, with a saved model."""
    from wellfit import job

    text = job.predictions(model, data, network=network, skip_corrupt=skip_corrupt, notice=tell)
    if out:
        job.write_whole(Path(out), text.encode("utf-8", "backslashreplace"))
        tell(say("cli.written", path=out))
    elif sys.stdout.isatty():
        # On a screen a label must not command the terminal; a pipe or a file gets it as it is.
        print("\n".join(harmless(line) for line in text.splitlines()))
    else:
        write_bytes(text.encode("utf-8", "backslashreplace"))


def _command() -> str:
    """Return the command as it was typed, for the report."""
    return shlex.join(["wellfit", *given.typed()])


main.add_command(augment)
main.add_command(diagnose)
main.add_command(export)
main.add_command(lesson)
main.add_command(merge)
main.add_command(path)
main.add_command(bias_variance)
main.add_command(search)
main.add_command(resume)
main.add_command(runs)
main.add_command(workings)
