"""What an interrupt leaves behind, in words."""

from __future__ import annotations

from pathlib import Path

from wellfit.messages import say


def kept(folder: str | None) -> str:
    """Return what an interrupt leaves behind in the folder, if there is one."""
    from wellfit.job import LEDGER

    if folder and (Path(folder) / LEDGER).exists():
        return say("cli.interrupted_kept", folder=folder)
    return say("cli.interrupted")
