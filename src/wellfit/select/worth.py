"""What each ingredient of the winner is worth: it is trained again without each, on the same folds and seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.evidence.intervals import difference
from wellfit.messages import say
from wellfit.records import Array, Difference, Table
from wellfit.select.halving import Runner, Track
from wellfit.select.reading import kept_value
from wellfit.select.row_changes import Look, RowChanges, by_fold

ALL = "all"  # the variant without any ingredient


def worth(
    winner: Runner, rung: int, track: Track, runners: Sequence[Runner], table: Table, *, left: float = math.inf
) -> dict[str, Difference]:
    """Return by ingredient the paired difference in validation loss, without it to with it, and by "all" without any.

    Above 0 the ingredient helps: ``word`` is said of leaving it out, so "worse" means that it is needed. Each variant
    trains to the winner's rung with every seed that the winner has; candidates that were trained already are not
    trained again. A variant that diverges has no line, nor has one that costs more than what is ``left``, in standard
    member-steps; where the seeds of all cost too much, fewer seeds are taken. ``table`` is what ``track`` was made
    from; the interval is that of `wellfit.evidence.difference`, with rows.
    """
    without = _without(winner.candidate.cocktail)
    own = [r for r in runners if r.candidate == winner.candidate and rung in r.rungs]
    one_seed = price_of_worth(winner, rung, track)
    own = own[: int(np.clip(left / max(one_seed, 1), 1, len(own)))]
    variants: dict[str, list[Runner]] = {}
    for name, mix in without.items():
        candidate = replace(winner.candidate, cocktail=mix)
        group = [_known(runners, candidate, r.seed, rung) or Runner(candidate, r.seed, "worth") for r in own]
        price = sum(track.price(r, rung) for r in group if rung not in r.rungs)
        if price <= left:
            left -= price
            variants[name] = group
    jobs = [(r, rung) for group in variants.values() for r in group if rung not in r.rungs]
    if jobs:
        track.advance(jobs)
    reference = _by_fold(own, rung)
    parts = track.data.folds[: track.folds]
    rows = RowChanges(table, parts, winner.candidate.training)

    def look(group: Sequence[Runner]) -> Look:
        of_folds = [[r.rungs[rung][k] for r in group] for k in range(len(parts))]
        return rows.of_loss(by_fold(of_folds), by_fold(of_folds, "seen"))

    with_it = look(own)
    found: dict[str, Difference] = {}
    for name, group in variants.items():
        losses = _by_fold(group, rung)
        if np.isnan(losses).any():
            continue
        found[name] = difference(
            losses,
            reference,
            train_rows=np.array([len(part.rows.train) for part in parts]),
            test_rows=np.array([len(part.rows.score) for part in parts]),
            higher_is_better=False,
            rows=rows.error(look(group) - with_it, paired=True),
            estimates=say("search.worth_all") if name == ALL else say("search.worth", ingredient=name),
        )
    return found


def price_of_worth(winner: Runner, rung: int, track: Track) -> int:
    """Return what all variants of a winner cost with one seed, in standard member-steps."""
    mixes = _without(winner.candidate.cocktail).values()
    return sum(track.price(Runner(replace(winner.candidate, cocktail=mix), 0, ""), rung) for mix in mixes)


def _without(cocktail: Cocktail) -> dict[str, Cocktail]:
    """Return the cocktail without each ingredient, and without all where there are several."""
    found = {i.name: Cocktail(tuple(j for j in cocktail.ingredients if j is not i)) for i in cocktail.ingredients}
    return found | ({ALL: Cocktail()} if len(found) > 1 else {})


def _known(runners: Sequence[Runner], candidate: object, seed: int, rung: int) -> Runner | None:
    """Return a runner of this candidate and seed that reached the rung already."""
    return next((r for r in runners if r.candidate == candidate and r.seed == seed and rung in r.rungs), None)


def _by_fold(runners: Sequence[Runner], rung: int) -> Array:
    """Return the validation loss of each fold, (K,), averaged over the runners' seeds; NaN where one diverged."""
    losses = [
        [kept_value(h, "score_loss") if h.status != "diverged" else np.nan for h in r.rungs[rung]] for r in runners
    ]
    return np.mean(losses, axis=0)
