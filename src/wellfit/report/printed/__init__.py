"""Results as text, for a terminal and for ``print``: paragraphs and tables, drawn only where they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from io import StringIO
from typing import TYPE_CHECKING

from wellfit.records import (
    BiasVariance,
    Comparison,
    Diagnosis,
    History,
    Path,
    RunRecord,
    SearchRecord,
    Simplest,
    Workings,
)
from wellfit.report.printed.bias_variance import bias_variance
from wellfit.report.printed.comparison import comparison
from wellfit.report.printed.diagnosis import diagnosis
from wellfit.report.printed.path import path
from wellfit.report.printed.search import search
from wellfit.report.printed.workings import workings
from wellfit.report.run_text import answer
from wellfit.report.text import harmless, screen_width

if TYPE_CHECKING:
    from rich.table import Table


def text_of(record: object) -> str:
    """Return a record as the text that the command line prints, as wide as the terminal, no control signs in it."""
    from rich.console import Console

    width = screen_width()
    into = StringIO()
    # No terminal: no colours, and nothing that a name holds is taken for markup.
    screen = Console(file=into, width=width, markup=False, emoji=False, highlight=False, force_terminal=False)
    for block in blocks(record, width):
        if isinstance(block, str):
            into.write(harmless(block) + "\n")
        else:
            screen.print(block)
    return "\n".join(line.rstrip() for line in into.getvalue().splitlines())


@singledispatch
def blocks(record: object, width: int) -> Iterable[str | Table]:  # noqa: ARG001 (tables need it)
    """Return the paragraphs and tables of a record; "" is a blank line."""
    raise TypeError(f"no text is known for {type(record).__name__}")


blocks.register(BiasVariance, bias_variance)
blocks.register(Comparison, comparison)
blocks.register(Path, path)
blocks.register(SearchRecord, search)
blocks.register(Workings, workings)
blocks.register(Diagnosis, lambda record, _: diagnosis(record))
blocks.register(History, lambda record, _: _history(record))
blocks.register(RunRecord, lambda record, _: answer(record))
blocks.register(Simplest, lambda record, _: (record.sentence,))


def _history(record: History) -> tuple[str, ...]:
    from wellfit.report.showing import history_told  # with pictures beside it, which take a while to import

    return history_told(record)
