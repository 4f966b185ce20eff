"""What happens inside a network, as a table and in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wellfit.messages import say
from wellfit.report.text import harmless
from wellfit.report.workings_text import sentences, table, title

if TYPE_CHECKING:
    from rich.table import Table

    from wellfit.records import Workings


def workings(found: Workings, width: int) -> Iterator[str | Table]:
    """Give what was looked into, a row a point, and what the figures say."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    yield title(found)
    yield ""
    names, rows = table(found)
    cells = [[harmless(cell).replace("−", "-") for cell in row.cells] for row in rows]
    labels = [harmless(row.strength) for row in rows]
    rooms = [
        max(*(len(part) for part in name.split()), *(len(row[i]) for row in cells)) for i, name in enumerate(names)
    ]
    left = max(map(len, [say("workings.column_strength"), *labels]))
    while len(rooms) > 3 and left + sum(room + 2 for room in rooms) > width:
        rooms.pop()
    shown = Table(box=box.HORIZONTALS, show_edge=False, pad_edge=False, collapse_padding=True)
    shown.add_column(say("workings.column_strength"), overflow="fold")
    for name, room in zip(names, rooms, strict=False):
        shown.add_column(harmless(name), justify="right", min_width=room, max_width=room, overflow="fold")
    for label, row, line in zip(labels, rows, cells, strict=True):
        style = "bold" if row.best else ""
        shown.add_row(Text(label, style), *(Text(cell, style) for cell in line[: len(rooms)]))
    yield shown
    yield ""
    yield from sentences(found)
