"""Checks of a table of images or other inputs without columns: equal ones, equal ones of two classes, constant ones."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from wellfit.messages import say
from wellfit.records import Array, Finding, Table

# A constant image has at least so many equal numbers: a row of two tokens may well be twice the same.
_FEWEST_NUMBERS = 9


def equal_inputs(x: Array) -> Array:
    """Return (n,) int64 codes of inputs (n, ...): equal rows, number for number, have equal codes.

    Rows are compared by 64 bits of BLAKE2b; unequal rows meet with a probability of about n^2 / 2^65.

    >>> equal_inputs(np.array([[1, 2], [3, 4], [1, 2]])).tolist() in ([0, 1, 0], [1, 0, 1])
    True
    """
    rows = np.ascontiguousarray(x.reshape(len(x), -1))
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)  # -0 becomes 0
    digests = b"".join(blake2b(row, digest_size=8).digest() for row in rows)
    return np.unique(np.frombuffer(digests, np.uint64), return_inverse=True)[1].reshape(-1)


def inspect_inputs(table: Table, learn: Array, test: Array) -> Iterator[Finding]:
    """Yield what is odd about the inputs of the rows to ``learn`` from and of the ``test`` rows.

    ``duplicates``: inputs that repeat another's, whatever their target; ``conflicts``: equal inputs with different
    classes, which no network can tell apart; ``duplicates_across``: test rows whose inputs also stand among those to
    learn from; ``constant_inputs``: images of one colour throughout.
    """
    assert table.inputs is not None
    equal = equal_inputs(table.inputs)
    repeated = table.rows - int(equal.max(initial=-1)) - 1
    if repeated:
        text = say("images.duplicates", count=repeated, rows=table.rows)
        yield Finding("duplicates", text, count=repeated)
    if table.task != "regression":
        low, high = np.full(table.rows, len(table.classes)), np.full(table.rows, -1)
        np.minimum.at(low, equal, table.target)
        np.maximum.at(high, equal, table.target)
        conflicts = int((low < high)[equal].sum())
        if conflicts:
            yield Finding("conflicts", say("images.conflicts", count=conflicts), count=conflicts)
    yield from across(equal, learn, test)
    flat = table.inputs.reshape(table.rows, -1)
    if flat.shape[1] >= _FEWEST_NUMBERS:
        constant = int((flat == flat[:, :1]).all(axis=1).sum())
        if constant:
            yield Finding("constant_inputs", say("images.constant", count=constant), count=constant)


def across(equal: Array, learn: Array, test: Array) -> Iterator[Finding]:
    """Yield the test rows whose inputs also stand among the rows to learn from, by their codes ``equal``, (n,)."""
    seen = int(np.isin(equal[test], equal[learn]).sum())
    if seen:
        text = say("images.duplicates_across", count=seen, rows=len(test))
        yield Finding("duplicates_across", text, count=seen)
