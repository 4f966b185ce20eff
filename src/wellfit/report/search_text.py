"""What a search says in words: its sentences, its best trials and its ingredients' worth, for screen and page alike."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Literal, NamedTuple

from wellfit.messages import catalogue, join, say
from wellfit.records import Difference, Interval, SearchRecord, Trial
from wellfit.report.path_text import percent
from wellfit.report.text import amount, clean, decimals, digits, finite, metric_name, number, short

Verdict = Literal["helps", "harms", "undecided"]
MOST_ROWS, MOST_PARTS = 10, 12
_VERDICTS: dict[str, Verdict] = {"worse": "helps", "better": "harms"}


class Row(NamedTuple):
    """One trial, its numbers written out; a ``share`` of the ensemble or ``inputs`` with nothing to say are ""."""

    number: str
    cocktail: str
    network: str
    rate: str
    batch: str
    loss: str
    epochs: str
    seeds: str
    share: str
    inputs: str
    won: bool


class Worth(NamedTuple):
    """What leaving an ingredient out does to the loss, in words; ``difference`` holds the numbers."""

    key: str
    name: str
    change: str
    low: str
    high: str
    verdict: Verdict
    difference: Difference


def trial_of(search: SearchRecord, number: int) -> Trial:
    """Return the trial of this number."""
    return next(trial for trial in search.trials if trial.number == number)


def chosen_rung(search: SearchRecord, trial: Trial) -> int | None:
    """Return the rung at which a trial is best, None where it diverged.

    The choice leaves out the first rung where there are others, so only a trial that went no further has that one.
    """
    if trial.number == search.winner and search.winner_epoch in search.epochs[: len(trial.losses)]:
        return search.epochs.index(search.winner_epoch)
    start = 1 if len(trial.losses) > 1 else 0
    sound = [rung for rung in range(start, len(trial.losses)) if math.isfinite(trial.losses[rung])]
    return min(sound, key=lambda rung: trial.losses[rung]) if sound else None


def best_trials(search: SearchRecord, most: int = MOST_ROWS) -> list[Trial]:
    """Return the trials to show, the winner first: those in the ensemble and the best others, ``most`` of them.

    Trials that went beyond the first rung come before those that did not: their losses cannot be compared.
    """

    def rank(trial: Trial) -> tuple:
        rung = chosen_rung(search, trial)
        loss = math.inf if rung is None else trial.losses[rung]
        return trial.number != search.winner, rung is None, len(trial.losses) < 2, loss, trial.number

    ranked = sorted(search.trials, key=rank)
    shares = shares_of(search)
    inside = sorted(shares, key=lambda n: (-shares[n], n))[:MOST_PARTS]
    kept = list(dict.fromkeys([search.winner, *inside, *(trial.number for trial in ranked)]))
    kept = kept[: max(most, len({search.winner, *inside}))]
    return [trial for trial in ranked if trial.number in kept]


def shares_of(search: SearchRecord) -> dict[int, float]:
    """Return the share of each trial in the ensemble, by its number."""
    shares: dict[int, float] = {}
    for part in search.parts:
        shares[part.trial] = shares.get(part.trial, 0.0) + part.share
    return shares


def rows(search: SearchRecord, trials: Sequence[Trial]) -> list[Row]:
    """Return these trials as rows."""
    rungs = [chosen_rung(search, trial) for trial in trials]
    losses = [math.nan if r is None else t.losses[r] for t, r in zip(trials, rungs, strict=True)]
    places, shares = decimals(losses), shares_of(search)

    def row(trial: Trial, rung: int | None, loss: float) -> Row:
        return Row(
            number=str(trial.number),
            cocktail=clean(trial.cocktail, 140),
            network=clean(trial.network, 60),
            rate=f"{trial.learning_rate:g}",
            batch=say("search.full") if trial.batch_size is None else str(trial.batch_size),
            loss=say("search.diverged") if rung is None else amount(loss, places),
            epochs=_epochs(search, trial, rung),
            seeds=str(trial.seeds),
            share=_share(shares[trial.number]) if trial.number in shares else "",
            inputs=say("search.bins") if trial.binned else "",
            won=trial.number == search.winner,
        )

    return [row(*each) for each in zip(trials, rungs, losses, strict=True)]


def _epochs(search: SearchRecord, trial: Trial, rung: int | None) -> str:
    """Return the epoch of the loss and, where the trial went on, the one it reached."""
    reached = min(len(trial.losses), len(search.epochs)) - 1
    if rung is None or rung == reached:
        return str(search.epochs[reached])
    return say("search.epochs_of", epoch=search.epochs[rung], reached=search.epochs[reached])


def _share(share: float) -> str:
    return percent(share) if share >= 0.005 else "<1%"


def title(search: SearchRecord) -> str:
    """Return what was searched, in one line."""
    return say(
        "search.title",
        data=search.data,
        task=search.task,
        sampler=sampler_name(search),
        trials=len(search.trials),
        portfolio=sum(trial.source == "portfolio" for trial in search.trials),
        proposed=sum(trial.source != "portfolio" for trial in search.trials),
        folds=search.folds,
        spent=short(search.spent),
        budget=short(search.budget),
    )


def sampler_name(search: SearchRecord) -> str:
    """Return the sampler in words."""
    known = f"sampler_{search.sampler}" in catalogue("search")
    return say(f"search.sampler_{search.sampler}") if known else clean(search.sampler)


def note(search: SearchRecord, shown: int) -> str:
    """Return how to read the table of trials."""
    told = say("search.note" if len(search.epochs) > 1 else "search.note_one", folds=search.folds)
    if any(trial.binned for trial in search.trials):
        told = join([told, say("search.note_bins")], "sentences")
    if shown < len(search.trials):
        told = join([told, say("search.some", shown=shown, all=len(search.trials))], "sentences")
    return told


def sentences(search: SearchRecord) -> list[str]:
    """Return what was chosen: the winner, the ensemble, its losses."""
    return [winner_sentence(search), ensemble_sentence(search), _losses(search)]


def winner_sentence(search: SearchRecord) -> str:
    """Return the best single trial."""
    (row,) = rows(search, [trial_of(search, search.winner)])
    values = {"number": row.number, "cocktail": row.cocktail, "network": row.network, "rate": row.rate}
    told = say("search.winner", **values, batch=row.batch, epoch=search.winner_epoch)
    return join([told, say("search.winner_binned")], "sentences") if row.inputs else told


def ensemble_sentence(search: SearchRecord) -> str:
    """Return the ensemble's parts with their shares, the largest first."""
    shares = shares_of(search)
    order = sorted(shares, key=lambda n: (-shares[n], n))
    parts = [say("search.part", share=_share(shares[n]), number=n) for n in order[:MOST_PARTS]]
    if len(order) > MOST_PARTS:
        parts.append(say("search.part_more", count=len(order) - MOST_PARTS))
    if len(order) == 1:
        return say("search.ensemble_one", number=order[0], folds=search.folds, networks=_networks(search))
    return say("search.ensemble", count=len(order), parts=join(parts), networks=_networks(search))


def _networks(search: SearchRecord) -> int:
    """Return how many networks the ensemble averages."""
    seeds = {trial.number: trial.seeds for trial in search.trials}
    last = search.epochs[-1]
    # Other seeds are trained to the end only.
    return search.folds * sum(seeds.get(part.trial, 1) if part.epoch == last else 1 for part in search.parts)


def _losses(search: SearchRecord) -> str:
    key = "search.losses" if search.task != "regression" else "search.losses_regression"
    values = {"ensemble": digits(search.ensemble_loss), "single": digits(search.single_loss)}
    return say(key, temperature=f"{search.temperature:.2f}", **values)


def score_sentences(search: SearchRecord) -> list[str]:
    """Return the corrected score beside the naive one, and what it is and is not."""
    score, metric = search.score, metric_name(search.metric)
    mean, low, high, naive, optimism = score_numbers(search)
    ranged = "search.score" if finite(score.score.low) is not None else "search.score_alone"
    told = say(ranged, metric=metric, mean=mean, low=low, high=high)
    flattered = finite(score.optimism) is not None and float(optimism.replace("−", "-")) > 0
    beside = say("search.naive_flatters" if flattered else "search.naive", naive=naive, optimism=optimism)
    return [join([told, beside], "sentences"), clean(score.score.estimates, 900)]


def score_numbers(search: SearchRecord) -> tuple[str, str, str, str, str]:
    """Return the corrected score, the ends of its interval, the naive score and the optimism, written out."""
    score = search.score
    values = (score.score.mean, score.score.low, score.score.high, score.naive)
    places = decimals(values)
    mean, low, high, naive, optimism = (number(value, places) for value in (*values, score.optimism))
    return mean, low, high, naive, optimism


def worth_rows(search: SearchRecord) -> list[Worth]:
    """Return what leaving out each of the winner's ingredients does, and what leaving out all does."""
    sound = {name: d for name, d in search.worth.items() if _sound(d.interval)}
    # As many as the widest interval is worth: variants differ by far less than losses are large.
    places = decimals(bound for d in sound.values() for bound in (d.interval.low, d.interval.high))

    def row(name: str, difference: Difference) -> Worth:
        i = difference.interval
        change, low, high = (number(value, places, signed=True) for value in (i.mean, i.low, i.high))
        return Worth(name, _name(name), change, low, high, _VERDICTS.get(difference.word, "undecided"), difference)

    return [row(name, difference) for name, difference in sound.items()]


def _sound(interval: Interval) -> bool:
    return all(map(math.isfinite, (interval.mean, interval.low, interval.high)))


def _name(name: str) -> str:
    """Return an ingredient's name in words, and that of all together."""
    if name == "all":
        return say("search.all_of_them")
    return say(f"path.name_{name}") if f"name_{name}" in catalogue("path") else clean(name.replace("_", " "), 24)


def worth_sentences(search: SearchRecord) -> list[str]:
    """Return a sentence for each ingredient of the winner, or one that says why there is none."""
    told = []
    for row in worth_rows(search):
        change = row.change.lstrip("+−")
        way = "higher" if row.difference.interval.mean >= 0 else "lower"
        told.append(
            say(
                f"search.worth_{way}",
                without=say("search.without_all") if row.key == "all" else say("search.without", name=row.name),
                change=change,
                low=row.low,
                high=row.high,
                verdict=say(f"search.so_{row.verdict}"),
            )
        )
    return [*told, *worth_notes(search)]


def worth_notes(search: SearchRecord) -> list[str]:
    """Return what to make of the ingredients' worth, and of which it was not measured."""
    cocktail = trial_of(search, search.winner).cocktail
    if cocktail == "none":
        return [say("search.worth_none")]
    measured = {row.key for row in worth_rows(search)}
    told = [say("search.worth_note")] if measured else []
    lacking = [name for part in cocktail.split(" + ") if (name := part.partition("=")[0]) not in measured]
    if lacking:
        told.append(say("search.worth_lacking", names=join(map(_name, lacking))))
    return told


def repeat_sentence(search: SearchRecord) -> str:
    """Return with which budget the search gives the same answer anywhere."""
    told = say("search.repeat", budget=search.repeat, seed=search.seed)
    return join([say("search.one_trial"), told], "sentences") if len(search.trials) == 1 else told


def repeated(command: Sequence[str], search: SearchRecord) -> str:
    """Return the command that repeats the search: the words of the one that was typed, with its budget in steps.

    >>> from types import SimpleNamespace
    >>> repeated(["search", "iris", "--budget", "60s"], SimpleNamespace(repeat="100 steps"))
    "wellfit search --budget '100 steps' iris"
    """
    kept: list[str] = []
    words = iter(command)
    for word in words:
        if word == "--budget":
            next(words, None)
        elif not word.startswith("--budget="):
            kept.append(word)
    return shlex.join(["wellfit", *kept[:1], "--budget", search.repeat, *kept[1:]])
