"""A network's expected error in parts, as a table for each loss and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wellfit.report.bias_variance_text import columns, loss_name, sentences, title
from wellfit.report.text import harmless

if TYPE_CHECKING:
    from rich.table import Table

    from wellfit import records


def bias_variance(found: records.BiasVariance, width: int) -> Iterator[str | Table]:
    """Give what was measured, a table for each loss, and the sentences."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    yield title(found)
    for loss in found.parts:
        told = columns(found, loss)
        # Parts of parts are left to a wider screen: --json and --out have them all.
        while len(told) > 4 and sum(max(map(len, [c.name, *c.cells])) + 2 for c in told) > width:
            told.pop()
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for column in told:
            table.add_column(harmless(column.name), justify="right", overflow="fold")
        for i in range(len(found.strengths)):
            chosen = "bold" if found.over and i == found.best and loss == next(iter(found.parts)) else ""
            table.add_row(*(Text(harmless(c.cells[i]).replace("−", "-"), chosen) for c in told))
        yield ""
        yield loss_name(loss)
        yield table
    yield ""
    yield from sentences(found)
