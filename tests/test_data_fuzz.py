"""Two thousand mutated CSVs and some mutated binary files: a valid table or a clear error, never a crash."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from fuzzing import bases, check_sentence, check_table, flip_bytes, load_or_refuse, mutations, truncate

from wellfit.data import load
from wellfit.errors import WellfitError
from wellfit.rng import DATA, generator

COUNT = 2000


def test_the_bases_load_without_a_mutation(tmp_path: Path) -> None:
    for number, data in enumerate(bases()):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(data)
        check_table(load(path))


def test_mutated_tables_load_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mutated.csv"
    outcomes: Counter[str] = Counter()
    for data in mutations(COUNT):
        path.write_bytes(data)
        got = load_or_refuse(path)
        if isinstance(got, WellfitError):
            check_sentence(str(got))
            outcomes[got.key] += 1
        else:
            check_table(got)
            outcomes["loaded"] += 1
    assert sum(outcomes.values()) == COUNT
    # The mutations reach both ends, and many different refusals.
    assert outcomes["loaded"] > COUNT / 4, outcomes
    assert outcomes["loaded"] < COUNT * 3 / 4, outcomes
    assert len(outcomes) > 12, outcomes


def _binary_files() -> dict[str, bytes]:
    rng = generator(3, DATA)
    x, y = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    npz, packed, mat, parquet = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(npz, X=x, y=y, names=np.array(["a", "b", "c"]))
    np.savez_compressed(packed, X=x, y=y)
    scipy.io.savemat(mat, {"X": x, "y": y[:, None], "Xval": x[:5], "yval": y[:5, None]})
    pd.DataFrame({"a": x[:, 0], "b": [f"w{i % 3}" for i in range(30)], "y": y}).to_parquet(parquet)
    made = {"npz": npz, "packed.npz": packed, "mat": mat, "parquet": parquet}
    return {**{ending: stream.getvalue() for ending, stream in made.items()}, "csv.gz": gzip.compress(bases()[0])}


@pytest.mark.parametrize("ending", ["npz", "packed.npz", "mat", "parquet", "csv.gz"])
def test_mutated_binary_files_load_or_are_refused(tmp_path: Path, ending: str) -> None:
    data, rng = _binary_files()[ending], generator(4, DATA)
    path = tmp_path / f"mutated.{ending}"
    path.write_bytes(data)
    check_table(load(path))
    refused = 0
    for number in range(60):
        path.write_bytes((truncate if number % 3 == 0 else flip_bytes)(data, rng))
        got = load_or_refuse(path)
        if isinstance(got, WellfitError):
            check_sentence(str(got))
            refused += 1
        else:
            check_table(got)
    assert refused >= 20
