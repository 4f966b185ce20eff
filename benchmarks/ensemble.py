"""Does the ensemble that costs nothing help? It against the best single candidate, on rows that neither saw.

    WELLFIT_DATA=FOLDER python benchmarks/ensemble.py [--data NAME ...] [--splits 1] [--budget "500000 steps"]
        [--json FILE]

A quarter of each table of ``tabular/`` is held out, stratified by class. A search runs on the rest. Both models are
averages of the fold networks that it trained, each with its own temperature: the ensemble chosen on out-of-fold
predictions, and the best single candidate. Printed are their losses on the rows held out (log-loss; in regression the
mean squared error over the target's variance), and the mean over the tables of the logarithm of their ratio with its
standard error, tables with several splits averaged first. Below 1 the ensemble is better. Nothing here is timed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from accuracy_peers import Rows, folder, read, scores, split

import wellfit as wf
from wellfit.data import read_features
from wellfit.nets.ensemble import Ensemble

# Each takes minutes at any budget worth asking.
LARGE = ("adult", "bike-hourly", "california")


def main() -> None:
    known = sorted(path.name.removesuffix(".csv.gz") for path in folder().glob("*.csv.gz"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=known, default=[name for name in known if name not in LARGE])
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--budget", default="500000 steps")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {name: [measure(name, seed, given.budget) for seed in range(given.splits)] for name in given.data}
    print(f"{'table':16} {'single':>8} {'ensemble':>8} {'ratio':>6}")
    for name, pairs in found.items():
        single, together = np.mean(pairs, axis=0)
        print(f"{name:16} {single:8.4f} {together:8.4f} {ratio(pairs):6.3f}")
    logs = np.log([ratio(pairs) for pairs in found.values()])
    error = logs.std(ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else float("nan")
    better = int((logs < 0).sum())
    print(f"mean ratio {np.exp(logs.mean()):.3f} (log {logs.mean():+.4f}, standard error {error:.4f});", end=" ")
    print(f"the ensemble is better on {better} of {len(logs)} tables")
    if given.json:
        given.json.write_text(json.dumps({"budget": given.budget, "losses": found}, indent=2) + "\n")


def ratio(pairs: list[tuple[float, float]]) -> float:
    """Return the geometric mean over splits of the ensemble's loss over the single candidate's."""
    return float(np.exp(np.mean([np.log(together / single) for single, together in pairs])))


def measure(name: str, seed: int, budget: str) -> tuple[float, float]:
    """Return the losses of the best single candidate and the ensemble on the rows held out of one split."""
    train, test = split(read(name), seed)
    target = np.array([f"class {code:03d}" for code in train.y]) if train.classes else train.y
    found = wf.search((plain(train), target), budget=budget, seed=seed)
    return loss(found.single, test), loss(found.model, test)


def plain(rows: Rows) -> object:
    """Return the columns with categories as words."""
    words = [column for column in rows.x if str(rows.x[column].dtype) == "category"]
    return rows.x.astype(dict.fromkeys(words, object))


def loss(model: Ensemble, test: Rows) -> float:
    """Return the model's loss on the rows."""
    outputs = model.outputs_of(read_features(plain(test), model.kinds))
    if model.task == "binary":
        outputs = np.hstack([1 - outputs, outputs])
    value = scores(outputs, test, float(test.y.std()) if not test.classes else 1.0)[1]
    return value if test.classes else value**2


if __name__ == "__main__":
    main()
