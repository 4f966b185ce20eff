"""The features of an estimator: which columns there are, what each holds, and the same reading again for prediction.

Nothing is guessed about roles here, unlike in `wellfit.data.load`: every column is a feature, none is the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellfit.data.frames import is_frame, to_column
from wellfit.data.infer import Reader
from wellfit.data.raw import Raw, clean_name, unique_names
from wellfit.errors import DataError
from wellfit.records import Array, Finding, Kind


@dataclass(frozen=True)
class Features:
    """The columns of X by position: ``names`` of all of them, ``kinds`` of those with values, by name.

    ``day_first`` holds the order of dates like 3/4/2020, by column, as fit read them. What fit assumed stands in
    ``findings``.
    """

    names: tuple[str, ...]
    kinds: Mapping[str, Kind]
    day_first: Mapping[str, bool]
    findings: tuple[Finding, ...] = ()

    @classmethod
    def learn(cls, x: Any) -> tuple[Features, dict[str, Array]]:
        """Return the features that a DataFrame or an array (n, d) has, and its columns as `Table` holds them.

        Numbers, text that writes numbers and dates are numeric, two truth values boolean, all else categorical (so is
        a pandas categorical, whatever it holds). Raises `DataError` naming row and column of what cannot be read.

        >>> features, columns = Features.learn(np.array([["red", 1.5], ["blue", None]], dtype=object))
        >>> dict(features.kinds), columns["x2"].tolist()
        ({'x1': 'categorical', 'x2': 'numeric'}, [1.5, nan])
        """
        names, raw = _raw(x)
        reader = Reader(raw)
        read = {name: reader.read(name) for name in names}
        known = {name: found for name, found in read.items() if found is not None and not _empty(found[1])}
        if not known:
            raise DataError("estimators.no_values")
        kinds = {name: kind for name, (kind, _) in known.items()}
        findings = (*raw.findings, *reader.findings)
        columns = {name: values for name, (_, values) in known.items()}
        return cls(names, kinds, dict(reader.day_first), findings), columns

    def read(self, x: Any) -> dict[str, Array]:
        """Return the columns of another X with the same d columns, read as the first one was.

        Raises `DataError` naming row and column of a value that does not fit.
        """
        _, raw = _raw(x, self.names)
        reader = Reader(raw, strict=True, day_first=dict(self.day_first))
        columns = {}
        for name, kind in self.kinds.items():
            read = reader.read(name, kind)
            assert read is not None  # a column read with its kind may be all missing
            columns[name] = read[1]
        return columns


def as_frame(x: Any) -> Any:
    """Return a DataFrame of another library (polars, ...) as one of pandas, and anything else as it is."""
    convert = getattr(x, "to_pandas", None)
    return convert() if callable(convert) and hasattr(x, "columns") else x


def _raw(x: Any, names: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], Raw]:
    """Return the columns of X, named by position where ``names`` are given, else by X itself, else x1, x2, ..."""
    frame = is_frame(x)
    findings: tuple[Finding, ...] = ()
    if names is None:
        given = [clean_name(name) for name in x.columns] if frame else [f"x{j}" for j in range(1, x.shape[1] + 1)]
        names, findings = unique_names(given)
    if not frame and x.dtype.kind in "fiub":
        x = x.astype(np.float64)
    values = (x.iloc[:, j] if frame else x[:, j] for j in range(len(names)))
    columns = {name: to_column(value, name) for name, value in zip(names, values, strict=True)}
    return names, Raw("X", "X", columns, len(x), named=frame, findings=findings)


def _empty(values: Array) -> bool:
    """Tell whether a column holds no value at all."""
    return all(v is None for v in values) if values.dtype == object else bool(np.isnan(values).all())
