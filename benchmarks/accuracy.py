"""Accuracy against peers on real tables: test error, log-loss and seconds of each method's defaults, side by side.

    WELLFIT_DATA=... python benchmarks/accuracy.py [--data sonar vehicle] [--methods wellfit realmlp] [--splits 3]
        [--budget 60s] [--rows 2000] [--threads 1] [--json FILE] [--cache FILE] [--quick] [--show]

A quarter of each table is held out, stratified by class, three times. Error is one minus accuracy, or for regression
the root mean squared error over the target's standard deviation, which also stands under log-loss. Seconds are those of
the fit, preparation included, by the clock and the processor's own (without processes that are still alive); each
method has made a first fit before it is timed, and each package works in a process of its own on ``--threads`` threads.
How each method is set up: `accuracy_peers.py`.

Ranks are mean ranks over the tables, by the means over the splits that all of them have; a table that lacks one of the
methods is left out. First among wellfit and its peers (scikit-learn's MLP, the same tuned, RealMLP-TD, TabM-D), then
with the boosted trees that stand beside them.

``--cache`` is a file of JSON lines, written as soon as something is measured: an interrupted run goes on where it was,
and two runs may share it. wellfit's lines count only for the sources they were measured with; ``--code NAME`` names
that state instead. What failed is tried again. ``--show`` measures nothing and shows what the cache holds.

The peers need packages that wellfit does not; a method whose package is missing is skipped. An environment of its own:

    python -m venv peers-env && . peers-env/bin/activate && pip install -e . 'pytabkit[models]' lightgbm catboost

(PyTorch built for the processor alone, installed first, spares the download of the other.)
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accuracy_peers import DATA, METHODS, Job, Workers

_PROTOCOL = 1  # to be raised when what is measured changes: older lines of a cache no longer count


def main() -> None:
    """Measure and print."""
    given = _parser().parse_args()
    if given.quick:
        given.splits, given.data = 1, given.data or ["sonar", "vehicle", "credit-g"]
        given.budget = given.budget or "10s"
    data = given.data or list(DATA)
    cache = Cache(given.cache)
    code = given.code or _sources()
    methods = given.methods or list(METHODS)
    skipped = {} if given.show else {m: why for m in methods if (why := _missing(m))}
    for why in skipped.values():
        _say(why)
    jobs = [
        Job(name, split, method, given.threads, given.rows, given.budget if method == "wellfit" else None)
        for name in data
        for split in range(given.splits)
        for method in methods
    ]
    keys = {job: _key(job, code) for job in jobs}
    if not given.show:
        _measure([job for job in jobs if job.method not in skipped], keys, cache, code)
    found = [line for job in jobs if (line := cache.lines.get(keys[job])) is not None]
    summary = summarize([line for line in found if "failed" not in line], data, methods)
    summary["failed"] = [line for line in found if "failed" in line]
    summary["circumstances"] = _circumstances() | {"threads": given.threads, "rows": given.rows, "budget": given.budget}
    if given.json:
        Path(given.json).write_text(json.dumps(summary, indent=1) + "\n")
    print(text(summary))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, metavar="NAME", help=f"among {', '.join(DATA)}")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="NAME", help=f"among {', '.join(METHODS)}")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--budget", help="wellfit's, as in 60s; its default otherwise")
    parser.add_argument("--rows", type=int, help="at most so many rows of a table, for a first look")
    parser.add_argument("--threads", type=int, default=1, help="for every method")
    parser.add_argument("--json", metavar="FILE", help="write all figures to a file")
    parser.add_argument("--cache", metavar="FILE", help="keep what was measured, and measure only what it lacks")
    parser.add_argument("--code", metavar="NAME", help="what wellfit's lines in the cache go by")
    parser.add_argument("--quick", action="store_true", help="one split of three small tables, 10 s for wellfit")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    return parser


class Cache:
    """Lines by key, in a file that only grows; the last line of a key counts. Without a path: in memory."""

    def __init__(self, path: str | None) -> None:
        self.path = None if path is None else Path(path)
        self.lines: dict[str, dict] = {}
        if self.path is not None and self.path.exists():
            for line in self.path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    self.lines[entry["key"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue  # torn, by a run that was ended while it wrote

    def add(self, entry: dict) -> None:
        """Keep an entry; a torn line before it is closed."""
        self.lines[entry["key"]] = entry
        if self.path is None:
            return
        line = json.dumps(entry).encode() + b"\n"
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)


def _key(job: Job, code: str) -> str:
    """Return what names a measurement: the job and all that settles its result but the peers' versions."""
    settings = asdict(job) | {"protocol": _PROTOCOL, "code": code if job.method == "wellfit" else None}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _sources() -> str:
    """Return a digest of wellfit's source files."""
    spec = importlib.util.find_spec("wellfit")
    if spec is None or spec.origin is None:
        return ""
    folder, digest = Path(spec.origin).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _missing(method: str) -> str | None:
    """Return a sentence if what a method needs is not here."""
    package = METHODS[method].package
    if importlib.util.find_spec(package) is None:
        return f"{method} is skipped: the package {package} is not installed."
    if method == "wellfit":
        import wellfit

        if not hasattr(wellfit, "WellfitClassifier"):
            return "wellfit is skipped: this version has no WellfitClassifier."
    return None


def _pending(jobs: list[Job], keys: dict[Job, str], cache: Cache) -> Iterator[Job]:
    for job in jobs:
        line = cache.lines.get(keys[job])
        if line is None or "failed" in line:
            yield job


def _measure(jobs: list[Job], keys: dict[Job, str], cache: Cache, code: str) -> None:
    waiting = list(_pending(jobs, keys, cache))
    workers = Workers(waiting[0].threads) if waiting else None
    try:
        for at, job in enumerate(waiting, 1):
            result = workers.measure(job)
            cache.add({"key": keys[job], **asdict(job), **result, **_by(job, code)})
            what = result.get("failed") or (
                f"error {result['error']:.4f}, log-loss {result['log_loss']:.4f}, {result['seconds']:.1f} s "
                f"({result['processor_seconds']:.1f} s of the processor)"
            )
            _say(f"{at}/{len(waiting)} {job.data}, split {job.split}, {job.method}: {what}")
    except KeyboardInterrupt:
        _say("Interrupted: here is what was measured.")
    finally:
        if workers is not None:
            workers.close()


def _by(job: Job, code: str) -> dict[str, str]:
    package = METHODS[job.method].package
    name = {"sklearn": "scikit-learn"}.get(package, package)
    what = f"wellfit {code}" if package == "wellfit" else f"{name} {version(name)}"
    return {"package": what, "machine": _processor(), "when": time.strftime("%Y-%m-%d %H:%M")}


def _circumstances() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"cores": cores, "machine": _processor(), "python": platform.python_version()}


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


_FIGURES = ("error", "log_loss", "seconds", "processor_seconds")
_LONG = 60.0  # seconds of realmlp from which times are compared


def _mean(lines: dict[int, dict], figure: str, splits: set[int] | None = None) -> float:
    return statistics.fmean(line[figure] for split, line in lines.items() if splits is None or split in splits)


def summarize(lines: Sequence[dict], data: Sequence[str], methods: Sequence[str]) -> dict[str, Any]:
    """Return tables, ranks, times and losses of measured ``lines``."""
    found: dict[str, dict[str, dict[int, dict]]] = {name: {m: {} for m in methods} for name in data}
    for line in lines:
        found[line["data"]][line["method"]][line["split"]] = line
    found = {name: {m: parts for m, parts in by.items() if parts} for name, by in found.items()}
    found = {name: by for name, by in found.items() if by}
    measured = [m for m in methods if any(m in by for by in found.values())]
    ranked = [m for m in measured if METHODS[m].ranked]
    return {
        "tables": {name: _table_entry(by) for name, by in found.items()},
        "ranks": [_ranks(found, some) for some in ([ranked] if ranked == measured else [ranked, measured]) if some],
        "times": [_times(found, figure) for figure in ("seconds", "processor_seconds")],
        "losses": [loss for name, by in found.items() for loss in _losses(name, by)],
    }


def _table_entry(by: dict[str, dict[int, dict]]) -> dict[str, Any]:
    one = next(iter(next(iter(by.values())).values()))
    facts = {key: one[key] for key in ("train_rows", "test_rows", "columns", "classes")}
    figures = {m: {"splits": len(parts)} | {f: _mean(parts, f) for f in _FIGURES} for m, parts in by.items()}
    return facts | {"methods": figures}


def _ranks(found: dict[str, dict[str, dict[int, dict]]], methods: list[str]) -> dict[str, Any]:
    """Return the mean rank of each method over the tables on which all share a split; equals share their ranks."""
    shared = {name: set.intersection(*(set(by.get(m, {})) for m in methods)) for name, by in found.items()}
    used = [name for name, splits in shared.items() if splits]
    entry: dict[str, Any] = {"methods": methods, "tables": used, "left_out": [n for n in found if n not in used]}
    for figure in ("error", "log_loss"):
        ranks: dict[str, list[float]] = {m: [] for m in methods}
        for name in used:
            means = {m: round(_mean(found[name][m], figure, shared[name]), 12) for m in methods}
            for m in methods:
                better = sum(value < means[m] for value in means.values())
                ranks[m].append(better + (sum(value == means[m] for value in means.values()) + 1) / 2)
        entry[figure] = {m: statistics.fmean(values) for m, values in ranks.items() if values}
    return entry


def _times(found: dict[str, dict[str, dict[int, dict]]], figure: str) -> dict[str, Any]:
    """Return wellfit's time over realmlp's on the tables on which that is long, and the median."""
    ratios = {}
    for name, by in found.items():
        splits = set(by.get("wellfit", {})) & set(by.get("realmlp", {}))
        if splits and _mean(by["realmlp"], figure, splits) > _LONG:
            ratios[name] = _mean(by["wellfit"], figure, splits) / _mean(by["realmlp"], figure, splits)
    return {"figure": figure, "ratios": ratios, "median": statistics.median(ratios.values()) if ratios else None}


def _losses(name: str, by: dict[str, dict[int, dict]]) -> Iterator[dict[str, Any]]:
    """Yield what ranked peers do better than wellfit on a table, over the splits both have."""
    for figure in ("error", "log_loss"):
        for m, parts in by.items():
            splits = set(by.get("wellfit", {})) & set(parts)
            if m != "wellfit" and METHODS[m].ranked and splits:
                ours, theirs = _mean(by["wellfit"], figure, splits), _mean(parts, figure, splits)
                if theirs < ours:
                    yield {"table": name, "figure": figure, "peer": m, "wellfit": ours, "theirs": theirs}


def text(summary: dict[str, Any]) -> str:
    """Return the summary in lines to be read."""
    about = summary["circumstances"]
    cores = f"{about['threads']} of {about['cores']} cores"
    lines = [f"{about['machine']}, {cores}; means over splits, * the best of those ranked"]
    if about["rows"]:
        lines.append(f"A first look: at most {about['rows']} rows of each table were used.")
    for name, entry in summary["tables"].items():
        lines += ["", *_table_lines(name, entry)]
    lines += [part for entry in summary["ranks"] for part in _rank_lines(entry)]
    lines.append("")
    for entry in summary["times"]:
        lines.append(_time_line(entry))
    if any("wellfit" in entry["methods"] for entry in summary["tables"].values()):
        lines += ["", *_loss_lines(summary["losses"])]
    if summary["failed"]:
        lines += ["", "Failed:"]
        lines += [f"  {f['data']}, split {f['split']}, {f['method']}: {f['failed']}" for f in summary["failed"]]
    return "\n".join(lines)


def _table_lines(name: str, entry: dict[str, Any]) -> Iterator[str]:
    kind = f"{entry['classes']} classes" if entry["classes"] else "regression"
    yield f"{name}: {entry['train_rows']} + {entry['test_rows']} rows, {entry['columns']} columns, {kind}"
    yield f"  {'':10s}{'error':>10s} {'log-loss':>10s} {'seconds':>10s}{'processor':>11s}{'splits':>8s}"
    rows = entry["methods"]
    best = {f: min((row[f] for m, row in rows.items() if METHODS[m].ranked), default=None) for f in _FIGURES[:2]}
    for m, row in rows.items():
        marks = ["*" if METHODS[m].ranked and row[f] == best[f] else " " for f in _FIGURES[:2]]
        yield (
            f"  {m:10s}{row['error']:10.4f}{marks[0]}{row['log_loss']:10.4f}{marks[1]}{row['seconds']:10.1f}"
            f"{row['processor_seconds']:11.1f}{row['splits']:8d}"
        )


def _rank_lines(entry: dict[str, Any]) -> Iterator[str]:
    yield ""
    count = len(entry["tables"])
    yield f"Mean ranks of {len(entry['methods'])} methods over {count} {'table' if count == 1 else 'tables'}"
    if entry["left_out"]:
        yield f"  (left out, for want of a split that all have: {', '.join(entry['left_out'])})"
    for figure in ("error", "log_loss"):
        order = sorted(entry[figure].items(), key=lambda item: item[1])
        yield f"  {figure.replace('_', '-'):9s} " + ", ".join(f"{m} {rank:.2f}" for m, rank in order)


def _time_line(entry: dict[str, Any]) -> str:
    by = {"seconds": "by the clock", "processor_seconds": "by the processor's time"}[entry["figure"]]
    if not entry["ratios"]:
        return f"wellfit's time over realmlp's, {by}: no table with both on which realmlp takes over {_LONG:.0f} s"
    parts = ", ".join(f"{name} {ratio:.2f}" for name, ratio in entry["ratios"].items())
    return (
        f"wellfit's time over realmlp's where that is over {_LONG:.0f} s, {by}: median {entry['median']:.2f} ({parts})"
    )


def _loss_lines(losses: list[dict[str, Any]]) -> Iterator[str]:
    yield (
        "Where a ranked peer does better than wellfit:"
        if losses
        else "No ranked peer does better than wellfit anywhere."
    )
    for figure, name in dict.fromkeys((loss["figure"], loss["table"]) for loss in losses):
        some = [loss for loss in losses if (loss["figure"], loss["table"]) == (figure, name)]
        peers = ", ".join(f"{p['peer']} {p['theirs']:.4f}" for p in sorted(some, key=lambda loss: loss["theirs"]))
        yield f"  {name}, {figure.replace('_', '-')}: wellfit {some[0]['wellfit']:.4f}; {peers}"


def _timed_say() -> Callable[[str], None]:
    began = time.perf_counter()

    def say(what: str) -> None:
        print(f"[{time.perf_counter() - began:5.0f} s] {what}", file=sys.stderr, flush=True)

    return say


_say = _timed_say()

if __name__ == "__main__":
    main()
