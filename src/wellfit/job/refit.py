"""Fit chosen cocktails again, each once, on all development rows. The test rows are in no set of these trainings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellfit.cocktail import L2, Cocktail, Dropout, EarlyStopping, Ingredient
from wellfit.engines.base import Member, State, history
from wellfit.errors import SettingError
from wellfit.job.study import Study
from wellfit.nets.fitted import Fitted
from wellfit.records import Array, Comparison, Fold, FoldData, History
from wellfit.select.compare import seeds_of

# An early-stopping refit keeps one part in so many of the development rows to stop on: about the comparison's share.
STOP_PARTS = 7


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
    from wellfit.data import prepare

    cocktails = [Cocktail.parse(text) for text in dict.fromkeys(chosen.values())]
    parts = [_all_of(rows)]
    if any(cocktail.get(EarlyStopping) for cocktail in cocktails):
        parts.append(_with_stop(study, rows))
    data = prepare(study.table, parts)
    (seed,) = seeds_of(study.asked.seed, 1)
    members = [
        Member(study.network, cocktail, study.training, seed, int(cocktail.get(EarlyStopping) is not None))
        for cocktail in cocktails
    ]
    fits: dict[str, Refit] = {}
    ended = study.executor.run(study.engine, members, data, progress=study.asked.progress)
    for index, state in ended:
        member = members[index]
        with np.errstate(all="ignore"):  # a diverged member's curves overflow: its status says so
            record = history(member, state, data)
        model = _model(study, member, state, record, data.folds[member.fold])
        fits[str(member.cocktail)] = Refit(member.cocktail, record, model)
    if not fits[chosen["winner"]].sound:
        raise SettingError("job.winner_diverged", cocktail=chosen["winner"], rate=f"{study.training.learning_rate:g}")
    return fits


def _all_of(rows: Array) -> Fold:
    return Fold(rows, rows[:0], rows[:0])


def _with_stop(study: Study, rows: Array) -> Fold:
    """Return the fold whose stop rows are one part of a cross-validation's (with times: the latest part)."""
    from wellfit.data import folds

    stop = folds(study.table, rows, folds=STOP_PARTS, seed=study.asked.seed)[-1].score
    return Fold(np.setdiff1d(rows, stop), stop, rows[:0])


def _model(study: Study, member: Member, state: State, record: History, fold: FoldData) -> Fitted:
    from wellfit import __version__
    from wellfit.data import Preprocessor

    table = study.table
    preprocessor = Preprocessor.fit(table, fold.rows.train)
    return Fitted(
        network=member.network,
        cocktail=member.cocktail,
        training=member.training,
        preprocessor=preprocessor,
        parameters=np.array(member.network.fold(state.kept, fold.x.shape[1], fold.y.shape[1])),
        task=table.task,
        target_name=table.target_name,
        kinds={name: table.kinds[name] for name in preprocessor.column_names},
        classes=table.classes,
        target_mean=fold.target_mean,
        target_scale=fold.target_scale,
        rows=len(fold.rows.train),
        stop_rows=len(fold.rows.stop),
        seed=member.seed,
        notes={
            "data": table.name,
            "engine": f"{study.engine.name} {study.engine.version}",
            "version": __version__,
            "best_epoch": str(record.best_epoch),
        },
    )
