"""The command export: a saved model as a file for other programs."""

from __future__ import annotations

import click

from wellfit.cli.language import option
from wellfit.cli.program import Command, Problem
from wellfit.cli.screen import answer
from wellfit.messages import say


@click.command(cls=Command, help=say("export.help"), short_help=say("export.short"))
@click.argument("model")
@option("--out", metavar="FILE", help=say("export.opt_out"))
@option("--format", "kind", metavar="onnx|torch", default="onnx", help=say("export.opt_format"))
@option("--network", metavar="FILE.py:NAME", help=say("export.opt_network"))
def export(model: str, out: str | None, kind: str, network: str | None) -> None:
    """Write a saved model for other programs."""
    from wellfit.job.exporting import export as written

    if not out:
        raise Problem("cli.missing", what="--out FILE", command="wellfit export")
    for sentence in written(model, out, format=kind, network=network).sentences():
        answer(sentence)
