"""What every question begins with: the table, and the rows that may be learned from."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

from wellfit import rng
from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets import MLP, Module, Network, NetworkLike, Training, as_network
from wellfit.records import Array, Table, inputs_of
from wellfit.select.defaults import default_network

P = ParamSpec("P")
R = TypeVar("R")


def question(function: Callable[P, R]) -> Callable[P, R]:
    """Let a public function refuse keywords that neither it nor the reading of data has, in its own name.

    So it does with a second positional argument where it takes one only, its data.
    """
    name, known = function.__name__, inspect.signature(function).parameters
    places = sum(each.kind is each.POSITIONAL_OR_KEYWORD for each in known.values())

    @wraps(function)
    def asked(*given: P.args, **options: P.kwargs) -> R:
        if len(given) > places:
            raise SettingError("select.data_as_pair" if places == 1 else "select.by_name", function=name, count=places)
        from wellfit.data import load

        check_keywords(f"{name}()", options, (*known, *list(inspect.signature(load).parameters)[1:]))
        return function(*given, **options)

    return asked


def check_keywords(name: str, given: Mapping[str, object], known: Iterable[str]) -> None:
    """Raise `SettingError` for the first keyword that ``name`` does not take: the nearest, or how to train so."""
    known = [each for each in known if each not in ("self", "options")]
    for keyword, value in given.items():
        if keyword in known:
            continue
        if "training" in known and keyword in (field.name for field in fields(Training)):
            raise SettingError("select.keyword_of_training", function=name, keyword=keyword, value=repr(value))
        near = difflib.get_close_matches(keyword, known, 1, 0.6)
        key = "select.unknown_keyword_near" if near else "select.unknown_keyword"
        raise SettingError(key, function=name, keyword=keyword, near=near[0] if near else "", known=", ".join(known))


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


def chosen_network(table: Table, rows: Array, asked: NetworkLike | None) -> Network:
    """Return the network that was asked for, or the table's default, bound to the table's inputs.

    Raises `SettingError` for a text that names none, and for a module that does not take such inputs.
    """
    net = default_network(table) if asked is None else as_network(asked)
    if not isinstance(net, Module):
        return net
    outputs = len(table.classes) if table.task == "multiclass" else 1
    if table.inputs is not None:
        return net.bound(inputs_of(table.inputs), outputs)
    from wellfit.data import Preprocessor

    return net.bound(len(Preprocessor.fit(table, rows).feature_names), outputs)


def design(network: Network) -> dict[str, bool]:
    """Return how a table is given to a network: the settings of `wellfit.data.prepare`.

    Numeric columns are bent for networks and left straight for linear models (see `wellfit.data.Preprocessor.fit`);
    modules get inputs such as images as they are, others as rows.
    """
    return {"bent": not network.linear, "flat": not isinstance(network, Module)}


def only_mlp(network: Network, table: Table, question: str) -> MLP:
    """Return the network. Raises `UnsupportedError` for a module, and for inputs that are no columns.

    ``question`` is the name of what is asked, which looks at units or columns.
    """
    if isinstance(network, Module):
        raise UnsupportedError("select.mlp_only", question=question, network=network)
    if table.inputs is not None:
        raise UnsupportedError("select.columns_only", question=question, data=table.name)
    return network


def development_rows(table: Table, rows: Array | None = None) -> Array:
    """Return ``rows``, (m,) indices, or by default all rows that are not test rows. Raises `SettingError` for none."""
    if rows is None:
        rows = np.arange(table.rows)
        if table.test_rows is not None:
            rows = np.setdiff1d(rows, table.test_rows)
    if not len(rows):
        raise SettingError("select.no_rows", rows=table.rows, data=table.name)
    return np.asarray(rows)


def thinned(table: Table, rows: Array, count: int, seed: int) -> Array:
    """Return ``count`` of ``rows`` (m,), sorted, drawn at random, classes or target values in the shares they have.

    All rows come back where there are no more.
    """
    if len(rows) <= count:
        return rows
    shuffled = rows[rng.generator(seed, rng.RESAMPLE).permutation(len(rows))]
    ranked = shuffled[np.argsort(table.target[shuffled], kind="stable")]
    # The middles of equal stretches of the ranking: every class gets its share, to a row.
    return np.sort(ranked[((np.arange(count) + 0.5) * len(rows) / count).astype(int)])
