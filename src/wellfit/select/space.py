"""Where a search looks: cocktails, and the few training choices that interact with them; and where it looks first."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from wellfit.cocktail import (
    EMA,
    L1,
    L2,
    Augment,
    BatchNorm,
    Cocktail,
    Dropout,
    ElasticNet,
    Ingredient,
    InputDropout,
    InputNoise,
    LabelSmoothing,
    Mixup,
    WeightDecay,
    as_cocktail,
)
from wellfit.nets import MLP, Module, Network, Training
from wellfit.records import Task
from wellfit.select.defaults import can_have, takes_images

PENALTIES = ("none", "l1", "l2", "elastic_net", "weight_decay")
# (cocktail, hidden widths or None for the default network, learning rate): strong defaults, tried before anything else.
# The first ones are what single members of the comparison's list do best; the others differ from them in kind.
_PORTFOLIO: tuple[tuple[str, tuple[int, ...] | None, float], ...] = (
    ("none", None, 3e-3),
    ("l2=1e-2", None, 3e-3),
    ("l2=1e-2", (), 3e-3),
    ("weight_decay=0.3 + dropout=0.15", (128, 64), 3e-3),
    ("l1=1e-3 + dropout=0.2", None, 3e-3),
    ("l2=1e-3 + dropout=0.1", None, 3e-3),
    ("weight_decay=1 + input_noise=0.2", None, 3e-3),
    ("weight_decay=0.1 + batch_norm + dropout=0.1", (128, 64), 5e-3),
    ("l2=3e-2", None, 5e-3),
    ("weight_decay=0.3 + mixup=0.2", (128, 128), 3e-3),
    ("l1=3e-3", (), 5e-3),
    ("weight_decay=0.03 + dropout=0.3", (256, 128), 2e-3),
)
# Where only linear models are searched: inputs, and in regression the target, have a standard deviation of 1.
_EXACT = (
    *("none", "l2=1e-3", "l2=1e-2", "l2=1e-1", "l2=1"),
    *("l1=1e-3", "l1=1e-2", "l1=3e-2", "elastic_net=1e-2", "elastic_net=1e-1"),
)
_EXACT_RANGES = {"l1": (1e-5, 1.0), "l2": (1e-5, 100.0), "elastic_net": (1e-5, 2.0)}
# Of modules: a cocktail and a learning rate; those that do not fit the module are left out.
_MODULES: tuple[tuple[str, float], ...] = (
    ("none", 1e-3),
    ("batch_norm + augment", 3e-3),
    ("dropout=0.3", 1e-3),
    ("batch_norm + dropout=0.3 + augment=0.5 + weight_decay=0.05", 3e-3),
    ("weight_decay=0.3 + dropout=0.3", 1e-3),
    ("batch_norm + label_smoothing=0.05", 2e-3),
    ("l2=1e-3", 1e-3),
    ("mixup=0.2 + batch_norm", 2e-3),
)
BINNED = (1, 2, 3, 5, 9)  # places of the portfolio that are tried with bins as well
SMOOTHED = "weight_decay=0.3 + dropout=0.15 + label_smoothing=0.05"


class Suggest(Protocol):
    """What proposes values: an Optuna trial, or the like."""

    def suggest_categorical(self, name: str, choices: tuple) -> object:
        """Return one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number."""


@dataclass(frozen=True)
class Candidate:
    """What is searched for: a network, a cocktail, a training, and how numbers are given to the network."""

    network: Network
    cocktail: Cocktail
    training: Training
    binned: bool = False  # whether bins stand beside the numeric columns

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.cocktail} | {self.network} | {self.training}{' | bins' if self.binned else ''}"


@dataclass(frozen=True)
class Space:
    """What may vary. ``network`` and ``rate`` are None where the search is to choose; ``training`` holds the rest.

    ``widest`` bounds the hidden widths, so that one candidate does not eat the budget of all. ``bins`` says whether
    there are folds with bins beside the numeric columns.
    """

    task: Task
    training: Training
    network: Network | None = None
    rate: float | None = None
    widest: int = 256
    bins: bool = False

    @property
    def exact(self) -> bool:
        """Whether only linear models are searched: they are solved, so that the penalty alone varies."""
        return self.network is not None and self.network.linear

    def portfolio(self) -> list[Candidate]:
        """Return the strong defaults, as far as they fit the space, without repetitions."""
        if self.network is not None and self.exact:
            return [Candidate(self.network, as_cocktail(text), self.training) for text in _EXACT]
        if isinstance(self.network, Module):
            return self._of_module(self.network)
        found = []
        lines = [*_PORTFOLIO]
        if self.task != "regression":
            lines.insert(4, (SMOOTHED, (128, 64), 3e-3))
        for place, (text, hidden, rate) in enumerate(lines):
            network = self.network or MLP(self._narrowed((64, 32) if hidden is None else hidden))
            cocktail = as_cocktail(text)
            if network.linear:
                cocktail = without_hidden(cocktail)
            training = replace(self.training, learning_rate=self.rate or rate)
            found.append(Candidate(network, cocktail, training))
            if self.bins and place in BINNED:
                found.append(Candidate(network, cocktail, training, binned=True))
        return list(dict.fromkeys(found))

    def _of_module(self, network: Module) -> list[Candidate]:
        """Return the strong defaults that a module can have."""
        lines = [(as_cocktail(text), rate) for text, rate in _MODULES]
        return [
            Candidate(network, mix, replace(self.training, learning_rate=self.rate or rate))
            for mix, rate in lines
            if can_have(network, mix) and (self.task != "regression" or mix.get(LabelSmoothing) is None)
        ]

    def _narrowed(self, hidden: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(min(width, self.widest) for width in hidden)

    def suggest(self, trial: Suggest) -> Candidate:
        """Return the candidate that a trial proposes."""
        if self.network is not None and self.exact:
            return Candidate(self.network, self._penalty(trial), self.training)
        network = self.network or self._network(trial)
        low, high = (2e-4, 6e-3) if isinstance(network, Module) else (7e-4, 2e-2)
        rate = self.rate or trial.suggest_float("learning_rate", low, high, log=True)
        batch = self._batch(trial)
        cocktail = self._cocktail(trial, network)
        training = replace(self.training, learning_rate=_digits(rate), batch_size=batch)
        binned = self.bins and bool(trial.suggest_categorical("bins", (False, True)))
        return Candidate(network, cocktail, training, binned)

    def _penalty(self, trial: Suggest) -> Cocktail:
        """Return a penalty that has an exact solution."""
        kind = str(trial.suggest_categorical("penalty", ("l1", "l2", "elastic_net")))
        strength = _digits(trial.suggest_float(f"{kind}_strength", *_EXACT_RANGES[kind], log=True))
        if kind == "elastic_net":
            ratio = round(trial.suggest_float("l1_ratio", 0.05, 0.95), 2)
            return Cocktail((ElasticNet(strength, l1_ratio=ratio),))
        return Cocktail(({"l1": L1, "l2": L2}[kind](strength),))

    def _network(self, trial: Suggest) -> MLP:
        depth = trial.suggest_categorical("depth", (0, 1, 2, 3))
        if not depth:
            return MLP(())
        widths = tuple(width for width in (32, 64, 128, 256) if width <= self.widest) or (self.widest,)
        width = int(trial.suggest_categorical("width", widths))  # type: ignore[call-overload]  # one of these numbers
        activation = str(trial.suggest_categorical("activation", ("relu", "silu")))
        hidden = {1: (width,), 2: (width, max(width // 2, 8)), 3: (width, width, max(width // 2, 8))}
        return MLP(hidden[depth], activation)  # type: ignore[index]  # one of these numbers

    def _batch(self, trial: Suggest) -> int | None:
        batch = self.training.batch_size
        if batch is None:
            return None
        factor = trial.suggest_categorical("batch_factor", (1, 2, 4))
        return batch * int(factor)  # type: ignore[call-overload]  # one of these numbers

    def _cocktail(self, trial: Suggest, network: Network) -> Cocktail:
        parts: list[Ingredient] = []
        penalty = trial.suggest_categorical("penalty", PENALTIES)
        if penalty in ("l1", "l2", "elastic_net"):
            strength = _digits(trial.suggest_float("penalty_strength", 1e-5, 1e-1, log=True))
            parts.append({"l1": L1, "l2": L2, "elastic_net": ElasticNet}[str(penalty)](strength))
        elif penalty == "weight_decay":
            parts.append(WeightDecay(_digits(trial.suggest_float("decay_strength", 1e-2, 5.0, log=True))))
        if can_have(network, Cocktail((Dropout(0.1),))):
            parts += _some(trial, "dropout", Dropout, 0.05, 0.6)
        if can_have(network, Cocktail((BatchNorm(),))) and trial.suggest_categorical("batch_norm", (False, True)):
            parts.append(BatchNorm())
        if takes_images(network):
            parts += _some(trial, "augment", Augment, 0.2, 1.0)
        if can_have(network, Cocktail((Mixup(0.2),))):  # tokens can be neither mixed nor disturbed
            parts += _some(trial, "input_dropout", InputDropout, 0.02, 0.4)
            parts += _some(trial, "input_noise", InputNoise, 0.02, 0.6, log=True)
            parts += _some(trial, "mixup", Mixup, 0.05, 1.0, log=True)
        if self.task != "regression":
            parts += _some(trial, "label_smoothing", LabelSmoothing, 0.01, 0.2, log=True)
        if trial.suggest_categorical("ema", (False, True)):
            parts.append(EMA(0.99))
        return Cocktail(tuple(parts))


def _some(
    trial: Suggest, name: str, kind: type[Ingredient], low: float, high: float, *, log: bool = False
) -> list[Ingredient]:
    """Return the ingredient at a proposed strength, or nothing."""
    if not trial.suggest_categorical(f"use_{name}", (False, True)):
        return []
    strength = _digits(trial.suggest_float(name, low, high, log=log))
    return [kind(strength)]  # type: ignore[call-arg]  # all of these have a strength


def _digits(number: float) -> float:
    """Return the number with two digits: what cannot be told apart need not be told at length."""
    return float(f"{number:.1e}") if math.isfinite(number) else number


def without_hidden(cocktail: Cocktail) -> Cocktail:
    """Return the cocktail without what only hidden layers can have."""
    return Cocktail(tuple(i for i in cocktail.ingredients if not isinstance(i, Dropout | BatchNorm)))
