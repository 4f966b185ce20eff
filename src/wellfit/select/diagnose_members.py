"""The members of a diagnosis: the network itself at several epochs, its relatives, and itself on fewer rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wellfit.cocktail import Cocktail, EarlyStopping
from wellfit.cocktail.base import Strong
from wellfit.engines.base import Engine, Member
from wellfit.executors import Executor
from wellfit.executors.base import Progress, member_steps
from wellfit.ledger import LedgerLike
from wellfit.nets import MLP, Training
from wellfit.nets.training import batches
from wellfit.population import train
from wellfit.records import Fold, History, TrainingData
from wellfit.rng import RESAMPLE, generator
from wellfit.select.watched import snapshots

# Training goes on to so many optimizer steps, to `LEAST_LONGER` times its epochs at least and `MOST_LONGER` at most.
STEPS, LEAST_LONGER, MOST_LONGER = 2_000, 1.6, 16
# What is added to the cocktail under diagnosis, and the factor on the strength of what it holds already.
STRONGER = ("l2=3e-3", "l2=3e-2", "weight_decay=1", "dropout=0.2")
FACTOR = 10.0
EXACT_STRONGER = ("l2=1e-3", "l2=1e-2", "l2=1e-1", "l2=1")
LARGER_COCKTAIL = "l2=3e-3"
DEFAULT_LARGER = (64, 32)
SHARES = (0.25, 0.5)  # of the training rows, for the learning curve
FEWEST = 8  # training rows of a subset


@dataclass(frozen=True)
class Relative:
    """Another way to train: ``name`` is what people read, ``kind`` regular (less flexible) or flexible."""

    name: str
    kind: str
    network: MLP
    cocktail: Cocktail
    training: Training


def relatives(network: MLP, cocktail: Cocktail, training: Training, *, exact: bool) -> list[Relative]:
    """Return what the network is compared with: regularized more and less, smaller and larger.

    >>> [r.name for r in relatives(MLP((8,)), Cocktail(), Training(), exact=False)][-2:]
    ['network 2', 'network 16 with l2=0.003']
    """
    found = []
    for text in EXACT_STRONGER if exact else STRONGER:
        mix = _stronger(cocktail, Cocktail.parse(text), network)
        if mix is not None and mix != cocktail:
            found.append(Relative(str(mix), "regular", network, mix, training))
    if cocktail.ingredients:
        found.append(Relative("none", "flexible", network, Cocktail(), training))
    if network.hidden and max(network.hidden) >= 4:
        smaller = replace(network, hidden=tuple(max(1, width // 4) for width in network.hidden))
        found.append(Relative(f"network {smaller}", "regular", smaller, _fitting(cocktail, network), training))
    wider = tuple(2 * width for width in network.hidden) or DEFAULT_LARGER
    larger = replace(network, hidden=wider)
    mix = Cocktail.parse(LARGER_COCKTAIL)
    found.append(Relative(f"network {larger} with {mix}", "flexible", larger, mix, training))
    return list({(r.network, r.cocktail): r for r in found}.values())


def _stronger(cocktail: Cocktail, more: Cocktail, network: MLP) -> Cocktail | None:
    """Return the cocktail with more of an ingredient, or None where it cannot have it."""
    [part] = more.ingredients
    own = cocktail.get(type(part))
    if part.name == "dropout" and network.linear:
        return None
    if own is None:
        return Cocktail((*cocktail.ingredients, part))
    if part.name == "dropout" or not isinstance(own, Strong) or isinstance(own.strength, tuple):
        return None
    rest = tuple(i for i in cocktail.ingredients if i is not own)
    strength = max(own.strength * FACTOR, part.strength)  # type: ignore[attr-defined]  # it is Strong as well
    return Cocktail((*rest, replace(own, strength=strength)))


def _fitting(cocktail: Cocktail, network: MLP) -> Cocktail:
    """Return the cocktail, which fits a network with as many layers."""
    network.strengths(cocktail)
    return cocktail


def plain(cocktail: Cocktail, training: Training) -> bool:
    """Return whether a training's state at an epoch is what a training of so many epochs would have come to."""
    moves = any(isinstance(i, Strong) and i.schedule != "constant" for i in cocktail.ingredients)
    return training.schedule == "constant" and not moves and cocktail.get(EarlyStopping) is None


def epochs_of(training: Training, train_rows: int, *, both: bool) -> tuple[list[int], int]:
    """Return the epochs to look at, which ascend and hold the training's own, and the last of them.

    Without ``both`` sides there are none before the training's own.

    >>> epochs_of(Training(epochs=100, batch_size=32), 640, both=True)
    ([25, 50, 100, 126, 160], 160)
    """
    steps = training.epochs * batches(train_rows, training.batch_size)[0]
    factor = min(max(LEAST_LONGER, STEPS / max(1, steps)), MOST_LONGER)
    last = int(np.ceil(factor * training.epochs))
    later = [round(np.sqrt(factor) * training.epochs), last]
    earlier = [training.epochs // 4, training.epochs // 2] if both else []
    return sorted({e for e in (*earlier, training.epochs, *later) if e > 0}), last


def subsets(parts: Sequence[Fold], seed: int) -> tuple[list[Fold], list[list[int]]]:
    """Return folds that train on `SHARES` of each fold's training rows (smaller within larger), and their places.

    ``places[g][k]`` is the index of share g of fold k; shares of fewer than `FEWEST` rows are left out.
    """
    out: list[Fold] = []
    places: list[list[int]] = []
    fewest = min(len(part.train) for part in parts)
    for share in SHARES:
        if share * fewest < FEWEST:
            continue
        places.append([])
        for k, part in enumerate(parts):
            mixed = generator(seed, RESAMPLE + (k << 40)).permutation(part.train)
            kept = np.sort(mixed[: round(share * len(mixed))])
            places[-1].append(len(out))
            out.append(Fold(kept, part.stop, part.score))
    return out, places


def same_steps(training: Training, rows: int, fewer: int) -> Training:
    """Return the training with about as many optimizer steps on fewer rows."""
    ours, theirs = (batches(count, training.batch_size)[0] for count in (rows, fewer))
    return replace(training, epochs=max(1, round(training.epochs * ours / theirs)))


@dataclass(frozen=True, eq=False)
class Trainer:
    """What trains members on folds prepared once, with one progress over all that is planned."""

    data: TrainingData
    engine: Engine
    executor: Executor
    ledger: LedgerLike | None
    progress: Callable[[int], Progress | None]

    def train(self, members: Sequence[Member], before: int = 0) -> list[History]:
        """Train members to their ends; ``before`` steps of the whole are done."""
        report = self.progress(before)
        return train(
            members, self.data, engine=self.engine, executor=self.executor, ledger=self.ledger, progress=report
        )

    def snapshots(self, members: Sequence[Member], epochs: Sequence[int]) -> list[list[History]]:
        """Return the members' histories at each epoch, (epochs, members), from one training of each."""
        return snapshots(
            members,
            self.data,
            epochs,
            engine=self.engine,
            executor=self.executor,
            ledger=self.ledger,
            progress=self.progress(0),
        )


def steps_of(members: Sequence[Member], data: TrainingData) -> int:
    """Return the optimizer steps of members, the unit of progress."""
    return sum(member_steps(m, data) for m in members)
