"""The columns of a table made ready once for many folds, where each fold would do the same again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellfit.records import Array, Table


@dataclass(frozen=True, eq=False)
class Coded:
    """A categorical column encoded once for many folds: row i holds ``levels[codes[i]]``, missing where that is -1."""

    codes: Array
    levels: tuple[str, ...]

    @classmethod
    def of(cls, values: Any) -> Coded:
        """Encode a column, (n,) of str or None; a coded one is returned as it is."""
        import pandas as pd

        if isinstance(values, cls):
            return values
        codes, levels = pd.factorize(np.asarray(values, dtype=object))
        return cls(codes, tuple(map(str, levels)))

    def __len__(self) -> int:
        return len(self.codes)


class Encoded(Mapping[str, Any]):
    """The columns of a table: categories as codes, and the p numeric ones side by side too."""

    def __init__(self, table: Table) -> None:
        self._columns = {
            name: Coded.of(values) if table.kinds[name] == "categorical" else values
            for name, values in table.columns.items()
        }
        self._numeric = [name for name, kind in table.kinds.items() if kind != "categorical"]

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @cached_property
    def by_column(self) -> Array:
        """The numbers as (p, n), in the order of the table's kinds."""
        return np.array([self._columns[name] for name in self._numeric])

    @cached_property
    def by_row(self) -> Array:
        """The numbers as (n, p)."""
        return np.ascontiguousarray(self.by_column.T)

    @cached_property
    def whole(self) -> bool:
        """Whether no number is missing."""
        return not np.isnan(self.by_column).any()

    def some(self, names: Sequence[str]) -> Array:
        """Return the numbers of some of the columns, (n, len(names)); not to be written to."""
        if list(names) == self._numeric:
            return self.by_row
        return np.take(self.by_row, [self._numeric.index(name) for name in names], axis=1)
