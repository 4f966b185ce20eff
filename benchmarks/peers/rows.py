"""One row of the table: wellfit, its peers and the ceiling of one work, in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from peers import ceiling
from peers.crew import Crew
from peers.ours import Ours
from peers.work import Timing, Work


class Crews(NamedTuple):
    """One process per core with one thread each, and one process with all threads."""

    singles: Crew
    whole: Crew


class Runner(NamedTuple):
    """A crew whose trainer stands ready. Its crew trains nothing else until `microseconds` was asked."""

    crew: Crew
    place: str
    options: dict[str, Any]
    note: str

    def microseconds(self, work: Work, seconds: float) -> Timing:
        """Return microseconds per step and member over about ``seconds``, warmed up."""
        return self.crew.microseconds(self.crew.prepare(self.place, work, seconds, **self.options))


_ONE_BY_ONE = {
    "reference.py": "peers.textbook.Textbook",
    "scikit-learn": "peers.scikit.Scikit",
    "PyTorch, one at a time": "peers.alone.Alone",
}


def _stacked(crew: Crew, way: str, together: int) -> Runner:
    options = {"way": way, "together": together, "threads": crew.threads}
    layout = f"{crew.processes} processes x {crew.threads} threads, stacks of {together}"
    return Runner(crew, "peers.stacked.Stacked", options, layout)


def choose_stacked(work: Work, crews: Crews, seconds: float) -> tuple[dict[str, Runner], dict[str, float]]:
    """Try the layouts of each way of stacking; return the fastest runner of each way, and what all trials gave."""
    share = max(1, work.members // crews.singles.processes)
    chosen, trials = {}, {}
    for way in ("by hand", "autograd", "tuned autograd", "torch.func"):
        runners = [_stacked(crews.singles, way, share), _stacked(crews.whole, way, work.members)]
        if way != "torch.func" and share >= 8:
            runners.append(_stacked(crews.singles, way, share // 2))
        times = [runner.microseconds(work, seconds).clock for runner in runners]
        trials.update({f"{way}, {r.note}": t for r, t in zip(runners, times, strict=True)})
        chosen[way] = runners[times.index(min(times))]
    return chosen, trials


def choose_ceiling(work: Work, crew: Crew, seconds: float) -> tuple[Runner, dict[str, float]]:
    """Return the fastest way to do a step's products on all cores, and what each way gave."""
    runners = {name: Runner(crew, place, {}, name) for name, place in ceiling.WAYS.items()}
    times = {name: runner.microseconds(work, seconds).clock for name, runner in runners.items()}
    return runners[min(times, key=lambda name: times[name])], times


_TUNED = ("PyTorch, stacked (tuned autograd)", "PyTorch, stacked (by hand)")


def measure(work: Work, crews: Crews, rounds: int, seconds: float, say: Callable[[str], None]) -> dict:
    """Return the figures of one work: medians over rounds in which everyone takes turns."""
    say(f"{work.text}: choosing the peers' fastest ways")
    stacked, trials = choose_stacked(work, crews, seconds / 4)
    limit, products = choose_ceiling(work, crews.singles, seconds / 8)
    runners = {name: Runner(crews.singles, place, {}, "") for name, place in _ONE_BY_ONE.items()}
    # torch.func is timed in rounds only where it may be the best: its trials stand in the result.
    runners |= {f"PyTorch, stacked ({way})": stacked[way] for way in ("by hand", "autograd", "tuned autograd")}
    fastest = min(trials, key=lambda name: trials[name])
    if fastest.startswith("torch.func"):
        runners["PyTorch, stacked (torch.func)"] = stacked["torch.func"]
    ours = Ours(work, crews.singles.processes)
    epochs = ours.pace(seconds)
    times: dict[str, list[Timing]] = {name: [] for name in ("wellfit", "whole", "ceiling", *runners)}
    for turn in range(rounds):
        say(f"{work.name}: round {turn + 1} of {rounds}")
        times["wellfit"].append(ours.steps_alone(epochs))
        times["whole"].append(ours.whole())
        times["ceiling"].append(limit.microseconds(work, seconds / 2))
        for name, runner in runners.items():
            times[name].append(runner.microseconds(work, seconds))
    clock, processor = ({name: [t[kind] for t in given] for name, given in times.items()} for kind in (0, 1))
    peers = list(runners)
    received = [used / spent for used, spent in zip(processor["wellfit"], clock["wellfit"], strict=True)]
    return {
        "work": work.text,
        "name": work.name,
        **_figures(clock, peers),
        "by_processor_time": _figures(processor, peers),
        "whole_checkpoints": min(work.epochs, 255) + 1,
        "share_of_the_cores_received": statistics.median(received),
        "wellfit_rounds": clock["wellfit"],
        "epochs_timed": epochs,
        "ceiling_by": limit.note,
        "ceiling_trials": products,
        "stacked_layout": {way: runner.note for way, runner in stacked.items()},
        "stacked_trials": trials,
    }


def _figures(times: dict[str, list[float]], peers: list[str]) -> dict:
    def ratio(numerator: list[float], denominator: str) -> float:
        return statistics.median(a / b for a, b in zip(numerator, times[denominator], strict=True))

    usual = [name for name in peers if name not in _TUNED]
    best = [min(at) for at in zip(*(times[name] for name in usual), strict=True)]
    return {
        "microseconds": statistics.median(times["wellfit"]),
        "peers": {name: statistics.median(times[name]) for name in usual},
        "tuned": {name: statistics.median(times[name]) for name in _TUNED},
        "ratios_to_tuned": {name: ratio(times[name], "wellfit") for name in _TUNED},
        "ratio_to_best_peer": ratio(best, "wellfit"),
        "ratios": {name: ratio(times[name], "wellfit") for name in usual},
        "ceiling_microseconds": statistics.median(times["ceiling"]),
        "ceiling_share": ratio(times["ceiling"], "wellfit"),
        "microseconds_with_curves": statistics.median(times["whole"]),
        "ratio_to_best_peer_with_curves": ratio(best, "whole"),
        "curves_share": 1 - 1 / ratio(times["whole"], "wellfit"),
    }
