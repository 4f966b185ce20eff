"""Fit chosen cocktails again, each once, on all development rows. The test rows are in no set of these trainings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellfit.cocktail import L2, Cocktail, Dropout, EarlyStopping, Ingredient
from wellfit.engines.base import Member
from wellfit.errors import SettingError
from wellfit.job.study import Study
from wellfit.nets.fitted import Fitted
from wellfit.records import Array, Comparison, Fold, History
from wellfit.select.compare import seeds_of
from wellfit.select.fitting import everything, fit_members, with_stop


@dataclass(frozen=True, eq=False)
class Refit:
    """A cocktail fitted on all development rows: its history (no score rows, so no predictions) and the model."""

    cocktail: Cocktail
    history: History
    model: Fitted

    @property
    def sound(self) -> bool:
        """Whether its weights are finite."""
        return self.history.status != "diverged"


def roles(comparison: Comparison) -> dict[str, str]:
    """Return which cocktails are fitted again, text by role: ``winner``, ``none``, and the best ``l2`` and ``dropout``.

    The best is the one of the lowest validation loss among the cocktails of that ingredient alone, if there is one.
    """
    chosen = {"none": "none", "winner": comparison.winner}
    for role, kind in (("l2", L2), ("dropout", Dropout)):
        alone = [r for r in comparison.results if r.loss is not None and _is_only(r.cocktail, kind)]
        if alone:
            chosen[role] = min(alone, key=lambda r: r.loss.mean if r.loss else np.inf).cocktail
    return chosen


def _is_only(text: str, kind: type[Ingredient]) -> bool:
    ingredients = Cocktail.parse(text).ingredients
    return len(ingredients) == 1 and isinstance(ingredients[0], kind)


def refit(study: Study, rows: Array, chosen: dict[str, str]) -> dict[str, Refit]:
    """Train each chosen cocktail once on ``rows`` and return the fits by the cocktail's text.

    Where a cocktail stops early, a part of the rows is kept to stop on, by class, whole groups or the latest in time.
    Raises `SettingError` where the winner's weights become infinite.
    """
    cocktails = [Cocktail.parse(text) for text in dict.fromkeys(chosen.values())]
    parts = [everything(rows)]
    if any(cocktail.get(EarlyStopping) for cocktail in cocktails):
        parts.append(_with_stop(study, rows))
    (seed,) = seeds_of(study.asked.seed, 1)
    members = [
        Member(study.network, cocktail, study.training, seed, int(cocktail.get(EarlyStopping) is not None))
        for cocktail in cocktails
    ]
    progress = study.asked.progress
    ended = fit_members(study.table, parts, members, engine=study.engine, executor=study.executor, progress=progress)
    fits = {
        str(member.cocktail): Refit(member.cocktail, record, model)
        for member, (record, model) in zip(members, ended, strict=True)
    }
    if not fits[chosen["winner"]].sound:
        raise SettingError("job.winner_diverged", cocktail=chosen["winner"], rate=f"{study.training.learning_rate:g}")
    return fits


def _with_stop(study: Study, rows: Array) -> Fold:
    """Return the fold whose stop rows are one part of a cross-validation's (with times: the latest part)."""
    return with_stop(study.table, rows, study.asked.seed)
