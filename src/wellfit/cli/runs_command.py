"""The commands resume and runs: go on with a run by its folder; list, show and remove runs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wellfit.cli.language import asked_language, option
from wellfit.cli.program import Command, Problem, Program
from wellfit.cli.screen import answer, console, harmless, tell
from wellfit.messages import say, speaking

if TYPE_CHECKING:
    from wellfit.job.runs import RunInfo


@click.command(cls=Command, help=say("runs.resume"), short_help=say("runs.resume_short"))
@click.argument("run", metavar="RUN")
@click.pass_context
def resume(context: click.Context, run: str) -> Any:
    """Continue a run with the command that its ledger notes."""
    from wellfit.job.runs import COMMANDS, find_run, read_run

    folder = find_run(run).absolute()
    found = read_run(folder)
    if found.state == "unreadable":
        raise Problem("ledger.damaged", path=folder, reason=found.about)
    if found.asking is None or not found.asking.arguments:
        raise Problem("runs.not_typed", folder=folder)
    arguments = found.asking.arguments
    written = shlex.join(["wellfit", *arguments])
    program = context.find_root().command
    assert isinstance(program, click.Group)
    command = program.get_command(context, arguments[0])
    # What stands in a file may ask for no other commands than these, write nowhere else and connect to nothing.
    if command is None or arguments[0] not in COMMANDS:
        raise Problem("runs.not_resumable", folder=folder, command=written)
    if Path(found.asking.folder).is_dir():
        os.chdir(found.asking.folder)
    # In the language that the run was started in, unless another is asked for now.
    spoken = asked_language((*arguments, *context.find_root().obj))
    with (
        speaking(spoken),
        click.Context(program, info_name="wellfit", obj=arguments) as root,
        command.make_context(arguments[0], list(arguments[1:]), parent=root) as inner,
    ):
        if inner.params.get("address") is not None:
            raise Problem("runs.on_a_cluster", folder=folder, command=written)
        inner.params["out"] = str(folder)
        tell(say("runs.resuming", command=written))
        return command.invoke(inner)


@click.group(cls=Program, help=say("runs.group"), short_help=say("runs.group_short"))
def runs() -> None:
    """The group; its help is in the catalogue."""


@runs.command("list", help=say("runs.list"), short_help=say("runs.list_short"))
@click.argument("folder", required=False)
@option("as_json", "--json", is_flag=True, help=say("cli.opt_json"))
def list_command(folder: str | None, as_json: bool) -> None:
    """List the runs in a folder."""
    from wellfit import job
    from wellfit.job.files import RUNS
    from wellfit.job.runs import list_runs

    place = RUNS if folder is None else folder
    found = list_runs(place)
    if as_json:
        print(job.as_json({"runs": [_plain(each) for each in found]}), end="")
    elif not found:
        answer(say("runs.nothing", folder=place))
    else:
        _print_table(found)


@runs.command(help=say("runs.show"), short_help=say("runs.show_short"))
@click.argument("run", metavar="RUN")
@option("as_json", "--json", is_flag=True, help=say("cli.opt_json"))
def show(run: str, as_json: bool) -> None:
    """Show one run."""
    from wellfit import job
    from wellfit.job.runs import find_run, read_run

    found = read_run(find_run(run))
    if as_json:
        print(job.as_json(_plain(found)), end="")
        return
    for line in _lines(found):
        print(harmless(line))


@runs.command(help=say("runs.remove"), short_help=say("runs.remove_short"))
@click.argument("given", metavar="RUN...", nargs=-1, required=True)
@option("--yes", is_flag=True, help=say("runs.opt_yes"))
def remove(given: tuple[str, ...], yes: bool) -> None:
    """Remove runs."""
    from wellfit.job.runs import find_run, read_run, remove_run

    folders = [find_run(each) for each in given]
    if not yes and not sys.stdin.isatty():
        raise Problem("runs.no_yes")
    for folder in folders:
        found = read_run(folder)
        question = say("runs.ask", folder=folder, results=found.results, size=_size(found.size))
        if not yes and not click.confirm(harmless(question)):
            tell(say("runs.not_removed", folder=folder))
            continue
        left = remove_run(folder)
        key = "runs.removed_but" if left else "runs.removed"
        tell(say(key, folder=folder, left=", ".join(left)))


def _plain(found: RunInfo) -> dict[str, object]:
    """Return a run as values for JSON."""
    asking = found.asking
    return {
        "folder": str(found.folder),
        "state": found.state,
        "about": found.about,
        "results": found.results,
        "unfinished": found.unfinished,
        "bytes": found.size,
        "arguments": list(asking.arguments) if asking else None,
        "started": asking.started if asking else None,
        "ended": asking.ended if asking else None,
    }


def _lines(found: RunInfo) -> list[str]:
    """Return what there is to say of a run, a line each."""
    state, asking = say(f"runs.state_{found.state}"), found.asking
    about = say("runs.line_state_about", state=state, about=found.about)
    lines = [about if found.about else say("runs.line_state", state=state)]
    if asking is not None:
        lines.append(say("runs.line_command", command=_command(found)))
        lines.append(say("runs.line_folder", folder=asking.folder))
        lines.append(say("runs.line_started", started=asking.started, version=asking.version))
        if asking.ended:
            lines.append(say("runs.line_ended", ended=asking.ended))
    lines.append(say("runs.line_results", results=found.results, unfinished=found.unfinished))
    lines.append(say("runs.line_size", size=_size(found.size)))
    if found.state == "unfinished" and asking is not None and asking.arguments:
        lines.append(say("runs.line_resume", folder=found.folder))
    return lines


def _print_table(found: list[RunInfo]) -> None:
    import shutil

    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("run", "state", "results", "size", "command"):
        right = name in ("results", "size")
        table.add_column(say(f"runs.column_{name}"), justify="right" if right else "left", overflow="fold")
    for each in found:
        cells = (each.folder, say(f"runs.state_{each.state}"), each.results, _size(each.size), _command(each))
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    screen = console(sys.stdout)
    screen.width = shutil.get_terminal_size(fallback=(120, 24)).columns
    screen.print(table)


def _command(found: RunInfo) -> str:
    if found.asking is None:
        return ""
    if not found.asking.arguments:
        return say("runs.from_python")
    return shlex.join(["wellfit", *found.asking.arguments])


def _size(count: int) -> str:
    """Return bytes with a unit.

    >>> _size(999), _size(1_500_000)
    ('999 B', '1.5 MB')
    """
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"
