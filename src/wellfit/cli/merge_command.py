"""The command merge: the ledgers of shares, joined."""

from __future__ import annotations

import click

from wellfit.cli.program import Command, Problem
from wellfit.cli.screen import answer
from wellfit.messages import say


@click.command(cls=Command, help=say("cli.merge"), short_help=say("cli.merge_short"))
@click.argument("folder")
@click.argument("ledgers", nargs=-1)
def merge(folder: str, ledgers: tuple[str, ...]) -> None:
    """Join ledgers into one folder."""
    from wellfit.job import merge as joined

    if not ledgers:
        raise Problem("cli.missing", what="LEDGERS", command="wellfit merge")
    for sentence in joined(folder, ledgers).sentences():
        answer(sentence)
