"""The compiled engine against its peers: microseconds per optimizer step and member, side by side in one run.

    python benchmarks/engine.py [--json] [--only 2] [--rounds 3] [--quick] [--check]

Every row is one work (network, rows, batch size, optimizer, dropout; float32), done on all cores by

- wellfit: bare training steps, members on one thread per core;
- ``reference.py``: `wellfit.reference`, one process per core (its own step, gradient descent, where the row asks for
  AdamW, which it lacks; float64);
- scikit-learn's MLPClassifier, one process per core, without dropout and decoupled decay, which it lacks;
- PyTorch, one net at a time: modules, autograd and the fused optimizer, one process of one thread per core;
- PyTorch, stacked: all members of a process at once by `bmm`, autograd and PyTorch's dropout, or by `torch.func`, one
  fused optimizer step for all. Each is tried in one process with all threads and in one process of one thread per core,
  in one stack and in smaller ones; the fastest layout is the one timed;
- the same tuned further, as few would: with dropout that draws 16 bits a unit, five times as fast as PyTorch's, and
  also with both passes written out by hand for this one network, into tensors made beforehand. They are not counted
  among the peers (``tuned``): they say what is left of the lead against a specialist;
- the ceiling: the matrix products of a step and nothing else, one thread per core and all cores busy, by the fastest of
  NumPy, SciPy's BLAS from a compiled loop, and PyTorch. ``ceiling_share`` is its time over wellfit's.

All have made a first run and a probe before they are timed, and take turns in every round; times are medians over the
rounds, ratios are medians of each round's ratio. The best peer is the best of its round. Peers record no curves, so
wellfit's ``microseconds`` hold none; ``microseconds_with_curves`` are those of complete trainings by the executor, with
the curves at their usual checkpoints (on all training rows and the score rows), and ``curves_share`` is the difference.

Other jobs on the machine spoil figures by the clock: ``share_of_the_cores_received`` says what wellfit got, and
``by_processor_time`` holds the same figures counted in the processor's own time, which suffers less.

``--check`` compares the peers' results with each other and times nothing. ``--quick`` takes a fifth of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers import extras
from peers.crew import Crew
from peers.rows import Crews, measure
from peers.work import WORKS


def main() -> None:
    """Measure and print."""
    given = _parser().parse_args()
    if given.check:
        from peers.check import check

        print("\n".join(check()))
        return
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    entries = [entry | _circumstances(given.rounds) for entry in _measure(given, say)]
    print(json.dumps(_rounded(entries), indent=1) if given.json else _table(entries))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--only", type=int, choices=range(1, len(WORKS) + 1), help="one row, without the last entries")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="shorter turns: noisy figures")
    parser.add_argument("--check", action="store_true", help="compare the peers' results with each other")
    return parser


def _measure(given: argparse.Namespace, say: Any) -> list[dict]:
    seconds = 0.2 if given.quick else 1.0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    works = WORKS if given.only is None else (WORKS[given.only - 1],)
    with ExitStack() as stack:
        crews = Crews(stack.enter_context(Crew(cores, 1)), stack.enter_context(Crew(1, cores)))
        rows = [measure(work, crews, given.rounds, seconds, say) for work in works]
    entries = [*rows, extras.curves_and_bookkeeping(rows)]
    if given.only is None:
        say("threads")
        threads = extras.threads_against_one(cores, given.rounds, extras.default_works())
        entries += [threads] if threads else []
        entries += extras.first_and_warm_start(say)
    return entries


def _circumstances(rounds: int) -> dict:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    packages = ("numpy", "scipy", "numba", "scikit-learn", "torch")
    return {
        "rounds": rounds,
        "cores": cores,
        "machine": _processor(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    """Return the same with four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


def _table(entries: list[dict]) -> str:
    lines = [f"{entries[0]['machine']}, {entries[0]['cores']} cores, medians of {entries[0]['rounds']} rounds"]
    lines.append("Microseconds per optimizer step and member, all cores together")
    for entry in entries:
        lines += ["", entry["work"]]
        lines += _row_lines(entry) if "peers" in entry else _plain_lines(entry)
    return "\n".join(lines)


def _row_lines(row: dict) -> list[str]:
    lines = [f"  {'wellfit':32s}{row['microseconds']:10.2f}"]
    for name, value in row["peers"].items():
        lines.append(f"  {name:32s}{value:10.2f}{row['ratios'][name]:9.1f} times wellfit's")
    for name, value in row["tuned"].items():
        lines.append(f"  {name:34s}{value:8.2f}{row['ratios_to_tuned'][name]:9.1f} times wellfit's; not counted")
    own, got = row["by_processor_time"]["ratio_to_best_peer"], row["share_of_the_cores_received"]
    lines.append(f"  best peer against wellfit: {row['ratio_to_best_peer']:.2f} times")
    if got < 0.9:
        lines.append(f"  (other jobs took {1 - got:.0%} of the cores; by the processor's own time {own:.2f} times)")
    share, limit = row["ceiling_share"], row["ceiling_microseconds"]
    lines.append(f"  matrix products alone ({row['ceiling_by']}): {limit:.2f}, {share:.0%} of wellfit's time")
    whole, part = row["microseconds_with_curves"], row["curves_share"]
    lines.append(f"  wellfit with its curves: {whole:.2f}; {part:.0%} of the time goes into them")
    return lines


def _plain_lines(entry: dict) -> list[str]:
    skipped = {"work", "rounds", "cores", "machine", "versions"}
    return [f"  {key.replace('_', ' ')}: {_rounded(value)}" for key, value in entry.items() if key not in skipped]


if __name__ == "__main__":
    main()
