"""Mutated CSVs, and what a load of one may do: give a valid table or raise a clear error.

For tests of any length of the chain: `mutations` makes the files, `load_or_refuse` loads one, `check_table` holds a
table against the contract of `wellfit.records.Table`. Also small helpers that the tests of the data sources share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from wellfit.data import load
from wellfit.errors import WellfitError
from wellfit.records import Table
from wellfit.rng import DATA, generator

Mutation = Callable[[bytes, np.random.Generator], bytes]

ODD_CELLS = (
    b"inf", b"-inf", b"Infinity", b"nan", b"NaN", b"", b" ", b"NULL", b"None", b"?", b"-", b"1e308", b"-1e308",
    b"1e400", b"1e-320", b"9" * 400, b"0x1F", b"1_000", b"1,5", b"TRUE", b"false", b"2020-01-31", b"31/01/2020",
    b"99/99/9999",
    b"0000-00-00", b'"', b'""', b"'", b"\\", b"a" * 200_000, b"=1+1", b"{0}", b"{name}", b"%s", b"\xff\xfe",
    "é".encode(), "日本".encode(), "\u2028".encode(), "١٢".encode(), "\U0001f600".encode(), b"+", b".", b"e", b"1e",
    b"nAn",
)  # fmt: skip
ODD_BYTES = (
    b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b" ", b"\x1a", b"\xef\xbb\xbf", b"\x80", b"\\", b"|",
    "\u00a0".encode(), "\u2028".encode(), "ß".encode(), "\ufeff".encode(), b"\x1f\x8b", b"{", b"}",
)  # fmt: skip


def bases() -> list[bytes]:
    """Return small well-formed tables: of both tasks, of all kinds of columns, in several spellings."""
    rng = generator(0, DATA)
    n = 40
    x = rng.normal(size=(n, 3))
    colours = ["red", "green", "blue", ""]
    plain = ["age,income,colour,member,since,y"]
    european = ["groesse;gewicht;farbe;ziel"]
    numbers = ["a\tb\tc\ttarget"]
    quoted = ['"name, first","note","score","label"']
    for i in range(n):
        day, yes = f"20{i % 20 + 10}-0{i % 9 + 1}-1{i % 9}", x[i, 0] + x[i, 1] > 0
        colour = colours[i % 4]
        income = "NA" if i % 11 == 0 else f"{1000 * x[i, 1]:.1f}"
        plain.append(f"{20 + i},{income},{colour},{str(i % 3 == 0).lower()},{day},{'yes' if yes else 'no'}")
        european.append(f"{x[i, 0]:.3f};{x[i, 1]:.2f};{colour};{x[i, 2]:.3f}".replace(".", ","))
        numbers.append(f"{x[i, 0]:.4f}\t{x[i, 1]:.4f}\t{i % 2}\t{i % 3}")
        quoted.append(f'"Miller, {colour}","said ""{i % 5}""",{x[i, 2]:.2f},"{"a" if yes else "b"}"')
    return [("\n".join(lines) + "\n").encode() for lines in (plain, european, numbers, quoted)]


def _at(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(0, len(data) + 1))


def flip_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if out:
            out[int(rng.integers(len(out)))] = int(rng.integers(256))
    return bytes(out)


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = _at(data, rng)
    return data[:at] + ODD_BYTES[int(rng.integers(len(ODD_BYTES)))] + data[at:]


def remove(data: bytes, rng: np.random.Generator) -> bytes:
    at = _at(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 40)) :]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: _at(data, rng)]


def _lines(change: Callable[[list[bytes], np.random.Generator], list[bytes]]) -> Mutation:
    def mutate(data: bytes, rng: np.random.Generator) -> bytes:
        return b"\n".join(change(data.split(b"\n"), rng))

    return mutate


def _drop_line(lines: list[bytes], rng: np.random.Generator) -> list[bytes]:
    at = int(rng.integers(len(lines)))
    return lines[:at] + lines[at + 1 :]


def _double_line(lines: list[bytes], rng: np.random.Generator) -> list[bytes]:
    at = int(rng.integers(len(lines)))
    return lines[:at] + lines[at : at + 1] * int(rng.integers(2, 5)) + lines[at:]


def _shuffle_lines(lines: list[bytes], rng: np.random.Generator) -> list[bytes]:
    return [lines[i] for i in rng.permutation(len(lines))]


def _few_lines(lines: list[bytes], rng: np.random.Generator) -> list[bytes]:
    return lines[: int(rng.integers(0, 7))]


def _mixed_ends(lines: list[bytes], rng: np.random.Generator) -> list[bytes]:
    return [line + b"\r" * int(rng.integers(2)) for line in lines]


def _separator(data: bytes) -> bytes:
    head = data.split(b"\n")[0]
    return max((b",", b";", b"\t"), key=head.count)


def _cells(change: Callable[[list[list[bytes]], np.random.Generator], None]) -> Mutation:
    def mutate(data: bytes, rng: np.random.Generator) -> bytes:
        between = _separator(data)
        rows = [line.split(between) for line in data.split(b"\n")]
        change(rows, rng)
        return b"\n".join(between.join(row) for row in rows)

    return mutate


def _odd_cell(rows: list[list[bytes]], rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 4))):
        row = rows[int(rng.integers(len(rows)))]
        row[int(rng.integers(len(row)))] = ODD_CELLS[int(rng.integers(len(ODD_CELLS)))]


def _odd_column(rows: list[list[bytes]], rng: np.random.Generator) -> None:
    at, cell = int(rng.integers(len(rows[0]))), ODD_CELLS[int(rng.integers(len(ODD_CELLS)))]
    for row in rows[1:]:
        if at < len(row):
            row[at] = cell[:50]


def _swap_cells(rows: list[list[bytes]], rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 6))):
        one, other = (rows[int(rng.integers(len(rows)))] for _ in range(2))
        i, j = int(rng.integers(len(one))), int(rng.integers(len(other)))
        one[i], other[j] = other[j], one[i]


def _double_column(rows: list[list[bytes]], rng: np.random.Generator) -> None:
    at = int(rng.integers(len(rows[0])))
    for row in rows:
        row.extend(row[at : at + 1])


def _drop_columns(rows: list[list[bytes]], rng: np.random.Generator) -> None:
    keep = int(rng.integers(0, 3))
    for row in rows:
        del row[keep:]


def _extra_cell(rows: list[list[bytes]], rng: np.random.Generator) -> None:
    rows[int(rng.integers(len(rows)))].append(b"1")


MUTATIONS: tuple[Mutation, ...] = (
    flip_bytes, insert, remove, truncate,
    *(_lines(change) for change in (_drop_line, _double_line, _shuffle_lines, _few_lines, _mixed_ends)),
    *(_cells(change) for change in (_odd_cell, _odd_cell, _odd_column, _swap_cells, _swap_cells, _double_column)),
    *(_cells(change) for change in (_drop_columns, _extra_cell)),
)  # fmt: skip


def mutations(count: int, seed: int = 1) -> Iterator[bytes]:
    """Yield ``count`` mutated tables, one to three mutations each; the same for the same seed."""
    rng = generator(seed, DATA)
    originals = bases()
    for i in range(count):
        data = originals[i % len(originals)]
        for _ in range(int(rng.integers(1, 4))):
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
        yield data


def load_or_refuse(path: Path, **options: object) -> Table | WellfitError:
    """Load a table, or return the error that refuses it. Any other exception is the caller's to see."""
    try:
        return load(path, **options)  # type: ignore[arg-type]
    except WellfitError as error:
        return error


def check_table(table: Table) -> None:
    """Assert all that `wellfit.records.Table` promises."""
    n = table.rows
    assert n >= 1
    assert table.columns
    assert list(table.columns) == list(table.kinds)
    assert table.target_name not in table.columns
    for name, values in table.columns.items():
        assert isinstance(name, str)
        assert name == " ".join(name.split())
        assert values.shape == (n,)
        if table.kinds[name] == "categorical":
            assert values.dtype == object
            assert all(value is None or type(value) is str for value in values)
            assert any(value is not None for value in values)
        else:
            assert values.dtype == np.float64
            assert not np.isinf(values).any()
            assert not np.isnan(values).all()
        if table.kinds[name] == "boolean":
            assert set(values[~np.isnan(values)]) <= {0.0, 1.0}
    if table.task == "regression":
        assert table.classes == ()
        assert table.target.dtype == np.float64
        assert np.isfinite(table.target).all()
        assert len(np.unique(table.target)) > 1
    else:
        assert table.target.dtype == np.int64
        assert set(table.target) <= set(range(len(table.classes)))
        assert len(set(table.classes)) == len(table.classes) >= 2
        assert (len(table.classes) == 2) == (table.task == "binary")
    for finding in table.findings:
        check_sentence(finding.text)


def check_sentence(text: str) -> None:
    """Assert that a message is one clear line."""
    assert text
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert len(text) < 1500
    assert "Traceback" not in text


def mixed_frame(n: int = 60) -> pd.DataFrame:
    """A table with all kinds of columns, awkward text and missing values."""
    rng = generator(1, DATA)
    words = ["plain", 'said "so"', "a, b", "a; b", "line\nbreak", "naïve", "tab\there"]
    return pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "count": rng.integers(0, 1000, n),
            "tiny": rng.normal(size=n) * 1e-12,
            "word": [None if i % 9 == 0 else words[i % len(words)] for i in range(n)],
            "flag": rng.random(n) < 0.5,
            "day": pd.date_range("1969-12-25", periods=n, freq="36h"),
            "outcome": np.where(rng.random(n) < 0.4, "ill", "well"),
        }
    )


def kinds_found(table: Table) -> set[str]:
    return {finding.kind for finding in table.findings}


def written(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
