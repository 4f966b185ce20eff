"""The command line: reads what was asked, calls the rooms below, prints what came back. No logic of its own."""

from wellfit.cli.commands import main

__all__ = ["main"]
