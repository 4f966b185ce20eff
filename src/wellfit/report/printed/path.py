"""A path as a table, and what it says; a linear model's coefficients as another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wellfit.evidence.metrics import metric_said
from wellfit.messages import join, say
from wellfit.report.path_text import (
    Row,
    axis_name,
    linear_of,
    rows,
    sentences,
    shown,
    title,
    weights,
    weights_note,
)
from wellfit.report.text import clean, harmless

if TYPE_CHECKING:
    from rich.table import Table

    from wellfit import records

# Even the narrowest screen shows strength and both losses.
_LEAST_COLUMNS = 3
_MOST_WEIGHTS = 15
_STYLES = {"weak": "yellow", "right": "green", "strong": "yellow", "diverged": "red"}


def path(found: records.Path, width: int) -> Iterator[str | Table]:
    """Give what was trained, a table of at most 15 points, and the sentences; then a linear model's coefficients."""
    points, every = shown(found), len(found.strengths)
    yield title(found)
    yield ""
    yield _table(rows(found, points), axis_name(found), metric_said(found.metric), width)
    yield ""
    note = say("path.note_high" if found.higher_is_better else "path.note_low", metric=metric_said(found.metric))
    if len(points) < every:
        note = join([note, say("path.some", shown=len(points), all=every)], "sentences")
    if found.linear is not None:
        note = join([note, say("path.freedom_note")], "sentences")
    yield note
    yield from sentences(found)
    if found.linear is not None:
        yield from _coefficients(found, width)


def _coefficients(found: records.Path, width: int) -> Iterator[str | Table]:
    """Give the coefficients in use at the one-standard-error strength, the `_MOST_WEIGHTS` largest, and their units.

    Columns of classes that a screen of this ``width`` has no room for are named below.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    lines, outputs = weights(found, _MOST_WEIGHTS), linear_of(found).outputs
    names = [_short(line.name, max(12, width // 3)) for line in lines]
    until = say("path.column_until")
    columns = [(_short(output, 20), [line.own[k] for line in lines]) for k, output in enumerate(outputs)]
    if len(outputs) == 1:
        columns = [
            (say("path.column_own"), columns[0][1]),
            (say("path.column_standardized"), [line.standardized for line in lines]),
        ]
    left = width - max(map(cell_len, [say("path.column_feature"), *names])) - len(until) - 6
    kept = 0
    for name, cells in columns:
        left -= max(map(cell_len, [name, *cells])) + 3
        if left < 0 and kept:
            break
        kept += 1
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(say("path.column_feature"), no_wrap=True)
    for name, _ in columns[:kept]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(until, no_wrap=True)
    for i, line in enumerate(lines):
        numbers = [Text(cells[i].replace("−", "-")) for _, cells in columns[:kept]]
        table.add_row(Text(names[i]), *numbers, Text(line.until))
    yield ""
    yield table
    yield ""
    yield weights_note(found, len(lines) - 1, outputs[kept:] if len(outputs) > 1 else ())


def _short(name: str, room: int) -> str:
    """Return a name that is harmless and takes at most ``room`` cells of a screen, its middle left out where longer."""
    from rich.cells import cell_len

    for limit in range(room, 3, -1):
        text = harmless(clean(name, limit))
        if cell_len(text) <= room:
            break
    return text


def _table(points: list[Row], strength: str, metric: str, width: int) -> Table:
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    parts = [_verdict(row) for row in points]
    words = [join(each) for each in parts]
    columns = _columns(points, strength, metric, wide=True)
    # Headings are whole where all fits, else they break between words and ranges stand below their means.
    wide = sum(max(room, cell_len(name)) + 3 for name, _, room in columns) + max(map(cell_len, words)) <= width
    if not wide:
        columns = _columns(points, strength, metric, wide=False)
        rest = 1 + max(cell_len(part) for each in parts for part in each)
        # Numbers never break; what does not fit is left to a wider screen.
        while sum(room + 2 for _, _, room in columns) + rest > width and len(columns) > _LEAST_COLUMNS:
            columns.pop()
    table = Table(box=box.SIMPLE_HEAD if wide else box.HORIZONTALS, show_edge=False, pad_edge=False)
    table.collapse_padding = not wide
    for name, _, room in columns:
        most = None if wide else room
        table.add_column(name, justify="right", overflow="fold", min_width=room, max_width=most)
    table.add_column(say("path.column_word"), overflow="fold")
    for i, row in enumerate(points):
        written = [Text(cells[i].replace("−", "-"), "bold" if row.best else "") for _, cells, _ in columns]
        table.add_row(*written, Text(words[i], _STYLES[row.word]))
    return table


def _columns(points: list[Row], strength: str, metric: str, *, wide: bool) -> list[tuple[str, list[str], int]]:
    """Return the columns that hold anything: heading, cells, and the width they need."""
    columns = [
        (strength, [row.strength for row in points]),
        (say("path.column_train_loss"), [row.train_loss for row in points]),
        (say("path.column_loss"), [_ranged(row, wide) for row in points]),
        (metric, [row.score for row in points]),
        (say("path.column_freedom"), [row.freedom for row in points]),
        (say("path.column_zeros"), [row.zeros for row in points]),
        (say("path.column_inputs"), [row.inputs for row in points]),
        (say("path.column_off"), [row.off for row in points]),
    ]
    return [(harmless(name), cells, _room(name, cells)) for name, cells in columns if any(cells)]


def _room(name: str, cells: list[str]) -> int:
    """Return the width that a column's numbers need, and the longest word of its heading."""
    from rich.cells import cell_len

    return max(cell_len(part) for part in [*_unbroken(name), *(line for cell in cells for line in cell.split("\n"))])


def _unbroken(name: str) -> list[str]:
    """Return the parts of a heading that stay on one line: words, or a pair of Chinese signs."""
    return [part[:2] if part[:1] > "\u2e7f" else part for part in name.split()]


def _ranged(row: Row, wide: bool) -> str:
    if not row.loss_range:
        return row.loss
    return f"{row.loss} [{row.loss_range}]" if wide else f"{row.loss}\n{row.loss_range}"


def _verdict(row: Row) -> list[str]:
    """Return the word for a point, and what it was chosen as."""
    marks = [say("path.mark_best")] * row.best + [say("path.mark_rule")] * row.rule
    return [row.word_text, *marks]
