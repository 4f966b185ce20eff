"""Which members answer a question, and the refusal of misfits by name before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping
from wellfit.engines.base import Engine, Member
from wellfit.errors import SettingError, UnsupportedError
from wellfit.messages import say
from wellfit.nets import MLP, Module, Network, Training
from wellfit.nets.module import Inputs
from wellfit.records import TrainingData


def plan_fold(cocktail: Cocktail, fold: int, folds: int, data: TrainingData) -> int:
    """Return the index into ``data.folds`` at which a cocktail trains for fold ``fold`` of ``folds``.

    The data holds K folds, or 2K where some cocktail stops early: first K without stop rows, then the same K with stop
    rows taken from their training rows. Both halves score the same rows, so cocktails stay paired. Raises
    `SettingError` where the data holds neither K nor 2K folds.
    """
    if len(data.folds) not in (folds, 2 * folds):
        raise SettingError("population.wrong_folds", given=len(data.folds), folds=folds, double=2 * folds)
    stops = cocktail.get(EarlyStopping) is not None
    return fold + folds * (stops and len(data.folds) == 2 * folds)


def plan(
    data: TrainingData,
    *,
    folds: int,
    cocktails: Sequence[Cocktail] = (Cocktail(),),
    networks: Sequence[Network] = (MLP(),),
    trainings: Sequence[Training] = (Training(),),
    seeds: Iterable[int] = (0,),
) -> list[Member]:
    """Return every combination: networks, then trainings, cocktails, folds and seeds, the last turning fastest.

    ``folds`` is K (see `plan_fold`). Raises `SettingError` where there is nothing to combine.
    """
    seeds = tuple(seeds)
    members = [
        Member(network, cocktail, training, seed, plan_fold(cocktail, fold, folds, data))
        for network in networks
        for training in trainings
        for cocktail in cocktails
        for fold in range(folds)
        for seed in seeds
    ]
    if not members:
        raise SettingError("population.nothing")
    return members


def check(members: Sequence[Member], data: TrainingData, engine: Engine) -> None:
    """Refuse what cannot be trained. Raises `UnsupportedError` naming cocktail, network and reason.

    A module is made with each seed, since what its factory draws is known only then.
    """
    asked: set[tuple] = set()
    for member in members:
        if not 0 <= member.fold < len(data.folds):
            raise SettingError("population.no_such_fold", fold=member.fold, last=len(data.folds) - 1, member=member)
        # Seeds make no difference, so one member speaks for all that differ in nothing else.
        kind = (id(member.network), id(member.cocktail), id(member.training), member.fold)
        if kind in asked:
            continue
        asked.add(kind)
        reason = _misfit(member, data) or engine.supports(member, data)
        if reason:
            raise UnsupportedError(
                "population.refused", cocktail=member.cocktail, network=member.network, reason=reason
            )
    _refuse_starts(members, data)


def _refuse_starts(members: Sequence[Member], data: TrainingData) -> None:
    """Raise what `Module.initialize` raises for any seed, and `UnsupportedError` where a start is not repeated."""
    asked: dict[tuple[Module, Inputs], dict[int, None]] = {}  # seeds, in order
    for member in members:
        if isinstance(member.network, Module):
            asked.setdefault((member.network, data.folds[member.fold].inputs), {})[member.seed] = None
    for (network, inputs), seeds in asked.items():
        begin = partial(network.initialize, inputs=inputs, outputs=data.outputs)
        for i, seed in enumerate(seeds):
            start = begin(seed)
            if i == 0 and not np.array_equal(start, begin(seed), equal_nan=True):
                raise UnsupportedError("module.begins_anew", name=network.name)


def _misfit(member: Member, data: TrainingData) -> str | None:
    rows = data.folds[member.fold].rows
    if not len(rows.train):
        return say("population.no_train_rows", fold=member.fold)
    try:
        strengths = member.network.strengths(member.cocktail)
    except SettingError as error:
        return str(error)
    if strengths.early_stopping is not None and not len(rows.stop):
        return say("population.no_stop_rows", fold=member.fold)
    return None
