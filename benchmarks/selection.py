"""A whole selection against its peers: 30 strengths of L2 x 5 folds x 3 seeds of a 64-32 network, side by side.

    python benchmarks/selection.py [--json] [--only 1] [--rounds 3] [--quick]

The 450 trainings choose the strength for scikit-learn's ``breast_cancer`` (batches of 32) and ``digits`` (of 64): Adam
at the same constant rate for all, the same folds (the stacked ones are cut alike, by another seed). Round r asks the
question of seed r, of everyone in turn. Figures are medians over the rounds, as seconds for all 450, and ratios are
medians of each round's ratio. All have made a first run before. Rows:

1. **Equal steps**, 100 epochs. wellfit trains the seed's 150 by `wellfit.path`, from the raw columns to its answer:
   curves at every epoch, intervals and all. ``GridSearchCV`` of a pipeline of ``StandardScaler`` and ``MLPClassifier``
   (``n_jobs`` the number of cores, one BLAS thread a process, no refit, stopping switched off) trains a slice, two
   strengths on all folds, other ones each round; its time for 450 is extrapolated by the training. ``alpha`` is told
   by wellfit's dialect for a full batch: scikit-learn divides by the size of each batch, so that in the short last one
   its penalty is heavier, and exactly equal it is not. Single precision, wellfit's, was 26% slower on the one and 7%
   faster on the other when tried once, within noise: scikit-learn gets the table as it is, in double precision.
2. **Time to an equal or better validation loss.** A round asks it of all strengths, 150 trainings. scikit-learn
   searches that grid, ``early_stopping`` on, all else at its defaults, at most 100 epochs. The target is its lowest
   loss: the mean log-loss on the folds' score rows, lowest over the strengths. It is known when the search has ended,
   and that is scikit-learn's time. wellfit trains the same 150 (no rows held out) side by side in waves of epochs until
   the mean loss of some strength, at the epoch that all have reached, is no higher than the target. Both losses are
   lowest ones on the rows that chose them. Two complete searches stand beside it, which know no target: the path along
   L2 where every training stops early by its own stop rows (15% of the training rows; patience 10 as scikit-learn's),
   and the path along epochs, 15 trainings of 100 epochs without L2, read at 30 of them. The second is another way to
   choose, not the same grid: scikit-learn too would need a thirtieth of its time for one strength.
3. **PyTorch stacked**, equal steps: all members at once by `bmm`, each with its strength and its fold's rows, one
   fused Adam for all, gradients by autograd; the fastest layout of processes, threads and stacks. It measures no
   validation losses. A slice of some steps is extrapolated. "By hand", both passes are written out for this one
   network: not counted. wellfit's time is row 1's.

Other jobs on the machine spoil figures by the clock: each figure is also given by the processor's own time of all
processes, divided by the cores. ``--quick`` takes fewer epochs and strengths: noisy figures,
with wellfit's fixed costs multiplied. ``--only`` times one row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers.crew import Crew
from peers.strengths import EPOCHS, FOLDS, HIDDEN, LEARNING_RATE, QUESTIONS, SEEDS, STRENGTHS, Question, read

import wellfit as wf
from wellfit.cocktail.dialects import to_dialect
from wellfit.engines.base import CURVES
from wellfit.engines.compiled import CompiledEngine
from wellfit.executors import Threads
from wellfit.population import plan
from wellfit.select.compare import cross_validation_data
from wellfit.select.source import development_rows, read_source

ASKED_LOSS, ASKED_STACKED = 30.0, 5.0
WAVES = (1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 29, 38, 50, 65, 82, EPOCHS)
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PATIENCE = 10
_TICKS = os.sysconf("SC_CLK_TCK")
_TOGETHER = (16, 64)


class Spent(NamedTuple):
    """Seconds by the clock, and the processor's own divided by the cores."""

    clock: float
    processor: float

    def times(self, factor: float) -> Spent:
        """Return the same for ``factor`` times the work."""
        return Spent(self.clock * factor, self.processor * factor)


@dataclass(frozen=True)
class Asking:
    """How much is asked: ``strengths`` and ``epochs`` of a wellfit path and of the peers, on ``cores``."""

    strengths: tuple[float, ...]
    epochs: int
    seconds: float  # of one turn of the stacked peers
    cores: int


def main() -> None:
    """Measure and print."""
    given = _parser().parse_args()
    os.environ.update(dict.fromkeys(_LIMITS, "1"))  # for the processes of scikit-learn
    began = time.perf_counter()

    def say(text: str) -> None:
        load = os.getloadavg()[0]
        print(f"[{time.perf_counter() - began:4.0f} s, load {load:.1f}] {text}", file=sys.stderr, flush=True)

    cores = len(os.sched_getaffinity(0))
    asking = Asking(STRENGTHS, EPOCHS, 2.0, cores)
    if given.quick:
        asking = Asking(STRENGTHS[::5], EPOCHS // 5, 0.5, cores)
    rows = (1, 2, 3) if given.only is None else (given.only,)
    found = [_measure(question, asking, rows, given.rounds, say) for question in QUESTIONS]
    entries = [entry | _circumstances(given.rounds, cores) for entry in found]
    print(json.dumps(_rounded(entries), indent=1) if given.json else _table(entries))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--only", type=int, choices=(1, 2, 3), help="one row")
    parser.add_argument("--rounds", type=int, default=SEEDS, help="one seed each")
    parser.add_argument("--quick", action="store_true", help="fewer epochs and strengths: noisy figures")
    return parser


def _circumstances(rounds: int, cores: int) -> dict:
    packages = ("numpy", "numba", "scikit-learn", "torch")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "rounds": rounds,
        "cores": cores,
        "machine": next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def _measure(question: Question, asking: Asking, rows: Sequence[int], rounds: int, say: Callable[[str], None]) -> dict:
    """Return the figures of one data set: everyone takes a turn in every round."""
    ours, peer = Ours(question, asking), GridSearch(question, asking)
    with ExitStack() as stack:
        say(f"{question.name}: first runs")
        ours.equal_steps(0, epochs=1)
        if 2 in rows:
            ours.stopped_path(0, epochs=1)
        peer.slice(0, epochs=1)
        stacked = Stacks(question, asking, stack, say) if 3 in rows else None
        turns = []
        for turn in range(rounds):
            say(f"{question.name}: round {turn + 1} of {rounds}")
            found: dict[str, Any] = {"load": os.getloadavg()[0]}
            if 1 in rows or 3 in rows:
                found["wellfit"] = ours.equal_steps(turn)
            if 1 in rows:
                found["GridSearchCV"] = peer.slice(turn)
            if stacked is not None:
                found |= stacked.turn()
            if 2 in rows:
                found |= _to_loss(ours, peer, turn)
            turns.append(found)
            say(json.dumps(_rounded(found)))
    entry = {"data": question.name, "batch": question.batch, "steps_an_epoch": question.batches, "turns": turns}
    if 1 in rows:
        entry["equal_steps"] = _figures(turns, "wellfit", ("GridSearchCV",), question.asked)
    if 2 in rows:
        entry["to_loss"] = _figures(turns, "to target", ("early stopped",), ASKED_LOSS)
        entry["to_loss"]["epochs"] = [t["epoch"] for t in turns]
        entry["stopped_path"] = _figures(turns, "stopped path", ("early stopped",), ASKED_LOSS)
        entry["epochs_path"] = _figures(turns, "epochs path", ("early stopped",), ASKED_LOSS)
        for name, ours_name in (("to_loss", "to target"), ("stopped_path",) * 2, ("epochs_path",) * 2):
            key = ours_name.replace("_", " ")
            entry[name]["losses"] = {k: [t[f"{k}: loss"] for t in turns] for k in (key, "early stopped")}
    if stacked is not None:
        entry["stacked"] = _figures(turns, "wellfit", ("PyTorch stacked", "by hand"), ASKED_STACKED)
        entry["stacked"] |= {"layouts": stacked.notes, "trials": stacked.trials}
    return entry


def _to_loss(ours: Ours, peer: GridSearch, turn: int) -> dict:
    spent, target = peer.stopped(turn)
    to_target, epoch, loss = ours.to_target(turn, target)
    stopped, epochs = ours.stopped_path(turn), ours.epochs_path(turn)
    return {
        "early stopped": spent,
        "early stopped: loss": target,
        "to target": to_target,
        "to target: loss": loss,
        "epoch": epoch,
        "stopped path": stopped[0],
        "stopped path: loss": stopped[1],
        "epochs path": epochs[0],
        "epochs path: loss": epochs[1],
    }


def _figures(turns: Sequence[dict], ours: str, peers: Sequence[str], asked: float) -> dict:
    def ratio(name: str, at: int) -> float:
        return statistics.median(t[name][at] / t[ours][at] for t in turns)

    return {
        "asked": asked,
        "seconds": {n: Spent(*(statistics.median(t[n][at] for t in turns) for at in (0, 1))) for n in (ours, *peers)},
        "ratios": {name: Spent(ratio(name, 0), ratio(name, 1)) for name in peers},
    }


class Watch:
    """What this process and the running children have spent since the watch was made, for ``cores`` cores."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.children = _children()
        self.clock, self.own = time.perf_counter(), time.process_time()

    def read(self) -> Spent:
        """Return it; children are found by /proc, and where there is none they do not count."""
        clock, own = time.perf_counter() - self.clock, time.process_time() - self.own
        others = sum(used - self.children.get(child, 0.0) for child, used in _children().items())
        return Spent(clock, (own + others) / self.cores)


def _children() -> dict[int, float]:
    """Return the processor's seconds of each running child, by process number."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = entry.read_text()
        except OSError:  # it ended meanwhile
            continue
        parts = text.rpartition(")")[2].split()
        if int(parts[1]) == os.getpid():
            found[int(entry.parent.name)] = (int(parts[11]) + int(parts[12])) / _TICKS
    return found


def _share(strengths: Collection[float]) -> float:
    """Return how many times the trainings of these strengths, on all folds with one seed, go into the 450."""
    return SEEDS * len(STRENGTHS) / len(strengths)


class Ours:
    """wellfit. Every time holds the reading of the columns and the making of the folds."""

    def __init__(self, question: Question, asking: Asking) -> None:
        self.question, self.asking, self.source = question, asking, read(question.name)

    def _training(self, epochs: int | None) -> wf.Training:
        return wf.Training("adam", LEARNING_RATE, epochs or self.asking.epochs, self.question.batch)

    def _path(
        self, over: str, seed: int, points: int | Sequence[float], epochs: int | None, **options: Any
    ) -> tuple[Spent, float]:
        watch = Watch(self.asking.cores)
        given = points if isinstance(points, int) else list(points)
        training = self._training(epochs)
        found = wf.path(
            self.source, over, points=given, folds=FOLDS, seeds=(seed,), network=HIDDEN, training=training, **options
        )
        spent = watch.read()
        if found.task == "regression" or found.diverged.any():
            raise RuntimeError("the path went wrong")
        return spent, float(found.losses.mean(axis=(1, 2)).min())

    def equal_steps(self, turn: int, epochs: int | None = None) -> Spent:
        """Return what 450 trainings take, from the strengths of one seed; with ``--quick`` from fewer and shorter."""
        spent, _ = self._path("l2", turn, self.asking.strengths, epochs)
        return spent.times(EPOCHS / self.asking.epochs * _share(self.asking.strengths))

    def stopped_path(self, turn: int, epochs: int = EPOCHS) -> tuple[Spent, float]:
        """Return what the path takes whose trainings stop early, and its lowest loss."""
        strengths = self.asking.strengths
        spent, loss = self._path("l2", turn, strengths, epochs, cocktail=f"early_stopping={_PATIENCE}")
        return spent.times(_share(strengths)), loss

    def epochs_path(self, turn: int) -> tuple[Spent, float]:
        """Return what the path along epochs takes, which trains no strengths, and its lowest loss."""
        spent, loss = self._path("early_stopping", turn, 30, EPOCHS)
        return spent.times(SEEDS), loss

    def to_target(self, turn: int, target: float) -> tuple[Spent, int, float]:
        """Return what it takes to reach the target, in which epoch, and the loss there; if never, of all epochs."""
        watch, engine = Watch(self.asking.cores), CompiledEngine()
        table = read_source(self.source, {})
        data, folds = cross_validation_data(table, development_rows(table), FOLDS, 0, False, wf.MLP())
        members = plan(
            data,
            folds=folds,
            cocktails=[wf.Cocktail((wf.L2(s),) if s else ()) for s in self.asking.strengths],
            networks=(wf.MLP(HIDDEN),),
            trainings=(self._training(EPOCHS),),
            seeds=(turn,),
        )
        states = engine.init(members, data)
        column = CURVES.index("score_loss")
        for epoch in WAVES:
            ended = dict(Threads().run(engine, members, data, states=states, until=[epoch] * len(members)))
            states = [ended[i] for i in range(len(members))]
            losses = np.array([state.curves[epoch, column] for state in states])
            lowest = float(losses.reshape(-1, folds).mean(axis=1).min())
            if lowest <= target:
                break
        return watch.read().times(_share(self.asking.strengths)), epoch, lowest


class GridSearch:
    """scikit-learn's ``GridSearchCV`` of a pipeline that ends in ``MLPClassifier``, on wellfit's folds."""

    def __init__(self, question: Question, asking: Asking) -> None:
        self.question, self.asking = question, asking
        self.x, self.y = read(question.name)
        table = read_source((self.x, self.y), {})
        data, _ = cross_validation_data(table, development_rows(table), FOLDS, 0, False, wf.MLP())
        self.folds = [(fold.rows.train, fold.rows.score) for fold in data.folds]

    def _alpha(self, strength: float) -> float:
        # The dialect refuses rows with a short last batch: this is the equivalent for the full ones.
        size, task = self.question.batch, "binary" if self.question.outputs == 1 else "multiclass"
        said = to_dialect(f"l2={strength}", "sklearn-mlp", rows=size, batch_size=size, task=task)
        return float(said.arguments["alpha"])  # type: ignore[union-attr]  # L2 has an equivalent

    def _search(self, strengths: Sequence[float], seed: int, **options: Any) -> tuple[Spent, float]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import GridSearchCV
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        watch = Watch(self.asking.cores)
        net = MLPClassifier(HIDDEN, batch_size=self.question.batch, learning_rate_init=LEARNING_RATE, **options)
        search = GridSearchCV(
            make_pipeline(StandardScaler(), net),
            {
                "mlpclassifier__alpha": [self._alpha(s) for s in strengths],
                "mlpclassifier__random_state": [seed],
            },
            scoring="neg_log_loss",
            n_jobs=self.asking.cores,
            refit=False,
            cv=self.folds,
            error_score="raise",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            search.fit(self.x, self.y)
        return watch.read(), float(-search.cv_results_["mean_test_score"].max())

    def slice(self, turn: int, epochs: int | None = None) -> Spent:
        """Return what 450 full trainings take by two strengths of them."""
        count = len(STRENGTHS)
        strengths = [STRENGTHS[(6 + 5 * turn) % count], STRENGTHS[(21 + 5 * turn) % count]]
        epochs = epochs or self.asking.epochs
        spent, _ = self._search(strengths, turn, max_iter=epochs, tol=0.0, n_iter_no_change=10**9)
        return spent.times(EPOCHS / epochs * _share(strengths))

    def stopped(self, turn: int) -> tuple[Spent, float]:
        """Return what the grid takes whose trainings stop early, and its lowest mean loss."""
        strengths = self.asking.strengths
        spent, loss = self._search(strengths, turn, max_iter=EPOCHS, early_stopping=True, n_iter_no_change=_PATIENCE)
        return spent.times(_share(strengths)), loss


class Stacks:
    """PyTorch stacked: by autograd, and by hand, each in its fastest layout."""

    def __init__(self, question: Question, asking: Asking, stack: ExitStack, say: Callable[[str], None]) -> None:
        self.question, self.asking = question, asking
        crews = [stack.enter_context(Crew(asking.cores, 1)), stack.enter_context(Crew(1, asking.cores))]
        self.chosen: dict[str, tuple[Crew, dict]] = {}
        self.notes: dict[str, str] = {}
        self.trials: dict[str, float] = {}
        say(f"{question.name}: choosing PyTorch's layouts")
        for name, way in (("PyTorch stacked", "autograd"), ("by hand", "by hand")):
            layouts = [(crews[0], t) for t in (*_TOGETHER, question.members // crews[0].processes)]
            layouts.append((crews[1], question.members))
            trials = []
            for crew, together in layouts:
                options = {"way": way, "together": together, "threads": crew.threads}
                note = f"{crew.processes} processes x {crew.threads} threads, stacks of {together}"
                trials.append((self._time(crew, options, asking.seconds / 4).processor, note, crew, options))
                self.trials[f"{way}, {note}"] = trials[-1][0]
            _, self.notes[name], *chosen = min(trials, key=lambda trial: trial[0])
            self.chosen[name] = chosen[0], chosen[1]

    def _time(self, crew: Crew, options: dict, seconds: float) -> Spent:
        """Return the seconds of the whole question."""
        # For the type checker: any question that the class takes.
        steps = crew.prepare("peers.strengths.Strengths", self.question, seconds, **options)  # type: ignore[arg-type]
        timing = crew.microseconds(steps)
        return Spent(timing.clock, timing.processor).times(self.question.steps / 1e6)

    def turn(self) -> dict[str, Spent]:
        """Return what each way takes for the whole question."""
        return {n: self._time(crew, options, self.asking.seconds) for n, (crew, options) in self.chosen.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value


_TITLES = {
    "equal_steps": "equal steps: GridSearchCV",
    "to_loss": "time to the peer's lowest loss",
    "stopped_path": "  complete path, stopped early",
    "epochs_path": "  complete path along epochs",
    "stacked": "equal steps: PyTorch stacked",
}


def _table(entries: list[dict]) -> str:
    first = entries[0]
    lines = [f"{first['machine']}, {first['cores']} cores, medians of {first['rounds']} rounds"]
    lines.append("Seconds for 450 trainings, by the clock (by the processor's time over the cores)")
    for entry in entries:
        loads = ", ".join(f"{t['load']:.1f}" for t in entry["turns"])
        lines += [
            "",
            f"{entry['data']}, batch {entry['batch']}, {entry['steps_an_epoch']} steps an epoch; load {loads}",
        ]
        lines.append(f"  {'':34s}{'wellfit':>18s}{'peer':>18s}{'times':>16s}{'asked':>8s}")
        for key, title in _TITLES.items():
            if key in entry:
                lines += _lines(title, entry[key])
    return "\n".join(lines)


def _lines(title: str, figures: dict) -> list[str]:
    (_, ours), *peers = figures["seconds"].items()
    lines = []
    for at, (name, spent) in enumerate(peers):
        ratio = figures["ratios"][name]
        times, asked = f"{ratio.clock:.1f} ({ratio.processor:.1f})", f"{figures['asked']:g}"
        head = title if at == 0 else f"  {name}; not counted"
        lines.append(f"  {head:34s}{_pair(ours):>18s}{_pair(spent):>18s}{times:>16s}{asked if at == 0 else '':>8s}")
    for name, losses in figures.get("losses", {}).items():
        lines.append(f"      loss, {name}: {', '.join(f'{loss:.4f}' for loss in losses)}")
    if "epochs" in figures:
        lines.append(f"      reached in epoch {', '.join(map(str, figures['epochs']))}")
    return lines + [f"      {name}: {note}" for name, note in figures.get("layouts", {}).items()]


def _pair(spent: Spent) -> str:
    return f"{spent.clock:.1f} ({spent.processor:.1f})"


if __name__ == "__main__":
    main()
