"""What every question begins with: the table, and the rows that may be learned from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wellfit.errors import SettingError
from wellfit.records import Array, Table


def read_source(source: object, options: Mapping[str, object]) -> Table:
    """Return a table as it is, or what `wellfit.data.load` reads from ``source`` with ``options``.

    Raises `DataError` for the data, `SettingError` where options stand beside a table that is read already.
    """
    if isinstance(source, Table):
        if options:
            raise SettingError("select.options_with_table", options=", ".join(options))
        return source
    from wellfit.data import load

    return load(source, **options)  # type: ignore[arg-type]  # load checks them


def development_rows(table: Table, rows: Array | None = None) -> Array:
    """Return ``rows``, (m,) indices, or by default all rows that are not test rows. Raises `SettingError` for none."""
    if rows is None:
        rows = np.arange(table.rows)
        if table.test_rows is not None:
            rows = np.setdiff1d(rows, table.test_rows)
    if not len(rows):
        raise SettingError("select.no_rows", rows=table.rows, data=table.name)
    return np.asarray(rows)
