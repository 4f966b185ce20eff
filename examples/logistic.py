"""Logistic regression with L1 and with L2: accuracy, and how many weights are left, from no penalty to the strongest.

    python examples/logistic.py                    # both tables, both penalties (needs the data: see below)
    python examples/logistic.py --out pictures     # and a picture, PNG and SVG
    python examples/logistic.py --json             # the figures alone

``sonar`` is 208 echoes of mines and of rocks in 60 frequencies (Gorman & Sejnowski 1988); ``alon-colon`` is 62 tissues,
tumour or normal, by the activity of 2,000 genes (Alon et al. 1999). Every point of a path is solved exactly, on 5 folds
and once on all rows. Losses and accuracies are means over the folds' score rows, weights are counted in the model of
all rows. Both tables can be separated by a plane, so without a penalty no solution exists; that point shows l2 = 1e-6.

The data: the environment variable WELLFIT_DATA, or ``--data``, names a folder with ``tabular/sonar.csv.gz`` and
``tabular/alon-colon.csv.gz``: tables with the class in a column ``target``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

import wellfit as wf
from wellfit import records

TABLES, PENALTIES = ("sonar", "alon-colon"), ("l1", "l2")
SHOWN = 8  # points of a path in the table, besides the best and the one-standard-error rule's
MISSING = """{path} is not there. This example reads two tables that wellfit may not ship: CSV files, gzipped, with the
class in a column "target". Put them into FOLDER/tabular and set WELLFIT_DATA=FOLDER, or give --data FOLDER:
  sonar.csv.gz       "Connectionist Bench (Sonar, Mines vs. Rocks)" of the UCI repository; OpenML's data set 40
  alon-colon.csv.gz  "alon" of the R package datamicroarray (ramhiser/datamicroarray), 62 rows of 2000 columns"""


def find(name: str, folder: Path | None) -> Path:
    """Return a table's file. Raises ``FileNotFoundError`` with how to get it."""
    base = folder or Path(os.environ.get("WELLFIT_DATA") or "WELLFIT_DATA")
    path = base / "tabular" / f"{name}.csv.gz"
    if not path.is_file():
        raise FileNotFoundError(MISSING.format(path=path))
    return path


def figures(path: records.Path) -> dict:
    """Return a path as plain values: one entry a point, from none to the strongest."""
    assert path.linear is not None  # solved exactly, since the network is linear
    weights = path.linear.coefficients[:, 0]
    return {
        "strengths": path.strengths.tolist(),
        "accuracy": path.mean(path.scores).tolist(),
        "loss": path.mean(path.losses).tolist(),
        "weights": (weights != 0).sum(axis=1).tolist(),
        "of": weights.shape[1],
        "exists": path.linear.exists.tolist(),
        "best": path.best,
        "one_standard_error": path.one_standard_error,
        "features": list(path.linear.used(path.one_standard_error)[:5]),
        "accuracy_interval": [[round(v, 9) for v in (s.low, s.high)] if s else None for s in path.score],
    }


def text(name: str, over: str, path: records.Path, found: dict) -> str:
    """Return one path as a table."""
    head = f"{name}: {len(path.rows)} rows of {found['of']} columns, logistic regression along {over}"
    lines = [head, f"{'':>12}{'accuracy':>10}{'95% interval':>18}{'loss':>8}{'weights':>9}"]
    marks = {found["best"]: "best"}
    marks[found["one_standard_error"]] = " and ".join(filter(None, (marks.get(found["one_standard_error"]), "1-SE")))
    even = np.linspace(0, len(found["strengths"]) - 1, SHOWN).round().astype(int)
    for i in sorted({*even.tolist(), *marks}):
        strength = f"{found['strengths'][i]:.3g}" if found["strengths"][i] else "none"
        low, high = found["accuracy_interval"][i] or (np.nan, np.nan)
        note = marks.get(i, "") if found["exists"][i] else "no solution exists: l2 = 1e-6"
        lines.append(
            f"{strength:>12}{found['accuracy'][i]:10.3f}{f'{low:.3f} to {high:.3f}':>18}{found['loss'][i]:8.3f}"
            f"{found['weights'][i]:9}  {note}".rstrip()
        )
    if over == "l1":
        lines.append(f"Largest at 1-SE: {', '.join(found['features'])}.")
    return "\n".join(lines)


def draw(paths: dict[tuple[str, str], dict], folder: Path) -> list[Path]:
    """Write the picture as PNG and SVG; return the paths. Columns are tables; above accuracy, below weights."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    from wellfit.report.theme import LIGHT, drawing

    colours = {"l1": LIGHT["validation"], "l2": LIGHT["train"]}
    folder.mkdir(parents=True, exist_ok=True)
    with drawing():
        figure = Figure(figsize=(9.2, 5.6), layout="constrained")
        panels = figure.subplots(2, len(TABLES), sharex="col", squeeze=False)
        for column, name in enumerate(TABLES):
            accuracy, weights = panels[:, column]
            for over in PENALTIES:
                found = paths[name, over]
                x, look = found["strengths"][1:], {"color": colours[over], "linewidth": 1.8, "label": over.upper()}
                accuracy.plot(x, found["accuracy"][1:], **look)
                weights.plot(x, found["weights"][1:], **look)
                at = found["one_standard_error"]
                if at:
                    accuracy.plot(found["strengths"][at], found["accuracy"][at], "o", color=colours[over])
                    weights.plot(found["strengths"][at], found["weights"][at], "o", color=colours[over])
            accuracy.set(title=name, xscale="log")
            weights.set(xlabel="strength", yscale="symlog", ylim=(0, 2 * paths[name, "l2"]["of"]))
            for axis in (weights.xaxis, weights.yaxis):  # the house style reads no formulas
                axis.set_major_formatter(lambda value, _: f"{value:g}")
            weights.xaxis.set_major_locator(LogLocator(numticks=5))
            weights.xaxis.set_minor_locator(NullLocator())
        panels[0, 0].set_ylabel("accuracy")
        panels[1, 0].set_ylabel("weights not 0")
        panels[0, 0].legend(frameon=False)
        figure.supxlabel("dots: the one-standard-error rule's strength", fontsize="medium")
        written = [folder / f"logistic.{suffix}" for suffix in ("png", "svg")]
        for file in written:
            figure.savefig(file, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)
    return written


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="the folder that holds tabular/ (by default WELLFIT_DATA)")
    parser.add_argument("--points", type=int, default=30, help="strengths along a path (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--out", type=Path, help="folder for the picture; without it none is drawn")
    options = parser.parse_args(arguments)
    found: dict[tuple[str, str], dict] = {}
    try:
        sources = {name: find(name, options.data) for name in TABLES}
        for name, source in sources.items():
            for over in PENALTIES:
                path = wf.path(source, over, network="linear", points=options.points)
                found[name, over] = figures(path)
                if not options.json:
                    print(text(name, over, path, found[name, over]), end="\n\n", flush=True)
    except (wf.WellfitError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({name: {over: found[name, over] for over in PENALTIES} for name in TABLES}, indent=1))
    if options.out:
        written = draw(found, options.out)
        if not options.json:
            print("Pictures:", *written, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
