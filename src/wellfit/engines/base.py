"""The engine contract: ``init`` and ``advance`` over lists of members, in the manner of an optimizer's init/update.

The five promises an engine keeps are tested by `wellfit.engines.contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail
from wellfit.errors import SettingError, UnsupportedError
from wellfit.messages import say
from wellfit.nets import MLP, Network, Training
from wellfit.nets.network import link
from wellfit.nets.training import checkpoints
from wellfit.records import Array, FoldData, History, TrainingData, hash_once

# The columns of State.curves.
CURVES = (
    "train_loss",
    "stop_loss",
    "score_loss",
    "penalty",
    "train_accuracy",
    "stop_accuracy",
    "score_accuracy",
)
UNIT_ROWS, UNIT_IMAGES = 256, 32  # training rows, about, on which a history looks at the hidden units
Status = Literal["running", "finished", "stopped", "diverged", "unbounded"]


@hash_once
@dataclass(frozen=True)
class Member:
    """One training: network x cocktail x training x seed x fold (an index into `TrainingData.folds`)."""

    network: Network
    cocktail: Cocktail
    training: Training
    seed: int
    fold: int

    def __str__(self) -> str:
        """Return it in one line."""
        return self._text(str(self.network))

    @property
    def key(self) -> str:
        """The canonical text that ledgers know it by: equal members have equal ones, and no others."""
        return self._text(self.network.key)

    def _text(self, network: str) -> str:
        return f"{network} | {self.cocktail} | {self.training!r} | seed {self.seed} | fold {self.fold}"


@dataclass(frozen=True, eq=False)
class State:
    """All there is of a training in progress: it can be saved, sent elsewhere and continued.

    ``parameters`` is (T,): weights and biases, then with batch normalization its scales, shifts and running statistics
    (see `MLP.initialize`). ``moments`` is (2, T) (momentum or Adam's two), ``average`` (T,) where the cocktail averages
    weights, else empty, ``best_parameters`` (T,) for early stopping, else empty, all in the training's precision;
    ``waited`` counts checkpoints without improvement; ``curves`` is (c, len(CURVES)) float64 with NaN for checkpoints
    not reached. ``epoch`` epochs are done, in ``step`` optimizer steps.
    """

    parameters: Array
    moments: Array
    best_parameters: Array
    curves: Array
    average: Array = field(default_factory=lambda: np.empty(0))
    epoch: int = 0
    step: int = 0
    status: Status = "running"
    best_epoch: int = 0
    best_loss: float = np.inf
    waited: int = 0

    @property
    def kept(self) -> Array:
        """The parameters that count, (T,): early stopping's best, else the average, else the present ones."""
        return next((a for a in (self.best_parameters, self.average) if a.size), self.parameters)

    def with_parameters(self, parameters: Array) -> State:
        """Return this state with other starting parameters, (T,): to begin from given weights."""
        given = np.asarray(parameters, dtype=self.parameters.dtype)
        return replace(self, parameters=given.copy(), average=given.copy() if self.average.size else self.average)


def initial_state(member: Member, data: TrainingData) -> State:
    """Return a member's state before training, of an engine that goes by steps."""
    strengths, inputs = member.network.strengths(member.cocktail), data.folds[member.fold].inputs
    drawn = member.network.initialize(member.seed, inputs, data.outputs, batch_norm=strengths.batch_norm)
    parameters = drawn.astype(member.training.stored)
    return State(
        parameters=parameters,
        moments=np.zeros((2, parameters.size), parameters.dtype),
        best_parameters=parameters.copy() if strengths.early_stopping else parameters[:0].copy(),
        curves=np.full((len(checkpoints(member.training.epochs)), len(CURVES)), np.nan),
        average=parameters.copy() if strengths.ema else parameters[:0].copy(),
    )


class Engine(Protocol):
    """What trains members. ``name`` and ``version`` go into a ledger's keys."""

    name: str
    version: str

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason why this engine cannot train the member."""

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before training. Raises `UnsupportedError` for a misfit, before any work."""

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at the absolute epochs ``until``; the given states are not modified.

        A state already there, or no longer running, comes back as it is.
        """


def mlp_of(member: Member) -> MLP:
    """Return the network of a member that is known to have a multilayer perceptron: others were refused before."""
    assert isinstance(member.network, MLP)
    return member.network


def groups(engine: Engine, members: Sequence[Member], data: TrainingData) -> list[list[int]]:
    """Return which members, by index, an engine wants in one call, in its order; by default each stands alone.

    An engine that gains by having members together (it starts one from another's solution) says so by a method of this
    name, ``groups(members, data)``.
    """
    asked = getattr(engine, "groups", None)
    return [[i] for i in range(len(members))] if asked is None else asked(members, data)


def engine_of(engine: Engine, member: Member, data: TrainingData) -> Engine:
    """Return the engine that does the work for a member: another one, where the given one only chooses (`Engines`)."""
    asked = getattr(engine, "of", None)
    return engine if asked is None else asked(member, data)


def advance_within(
    engine: Engine,
    members: Sequence[Member],
    states: Sequence[State],
    until: Sequence[int],
    data: TrainingData,
    seconds: float,
) -> list[State]:
    """Advance to the epochs ``until``, or for about so many seconds where an engine can stop inside an epoch.

    An engine with long epochs says so by a method ``advance_for(members, states, until, data, seconds)``; its states
    may then be between two epochs (``step`` says where), and go on from there like any other.
    """
    asked = getattr(engine, "advance_for", None)
    if asked is None:
        return engine.advance(members, states, until, data)
    return asked(members, states, until, data, seconds)


def stops_within_epochs(engine: Engine) -> bool:
    """Return whether an engine can hand a member back inside an epoch: see `advance_within`."""
    return hasattr(engine, "advance_for")


def in_step(engine: Engine) -> bool:
    """Return whether an engine trains the members of a group in step, and wants them advanced together."""
    return bool(getattr(engine, "lockstep", False))


def threads_of(engine: Engine, members: Sequence[Member], data: TrainingData) -> int:
    """Return how many threads a member's training takes, the most that any of the members does.

    An engine whose members take more than one says so by a method ``threads_for(member, data)``.
    """
    found = 1
    for member in members:
        asked = getattr(engine_of(engine, member, data), "threads_for", None)
        found = max(found, 1 if asked is None else asked(member, data))
    return found


def refuse_misfits(engine: Engine, members: Sequence[Member], data: TrainingData) -> None:
    """Raise `UnsupportedError`, with the engine's reason, for the first member that it cannot train."""
    for member in members:
        reason = engine.supports(member, data)
        if reason:
            raise UnsupportedError("engines.unsupported", member=member, reason=reason)


def misfit(member: Member, data: TrainingData) -> str | None:
    """Return why a member and data do not go together, whatever the engine; None where they do."""
    if not 0 <= member.fold < len(data.folds):
        return say("engines.no_such_fold", fold=member.fold, folds=len(data.folds))
    rows, training = data.folds[member.fold].rows, member.training
    if not rows.train.size:
        return say("engines.no_training_rows", fold=member.fold)
    weights = data.folds[member.fold].weights
    if weights is not None and not weights[rows.train].any():
        return say("engines.no_training_weight", fold=member.fold)
    try:
        strengths = member.network.strengths(member.cocktail)
        training.loss_and_parameter(data.task)
    except SettingError as error:
        return str(error)
    classes = {"binary": 2, "multiclass": data.outputs}.get(data.task, 0)
    given = training.class_weights
    if strengths.early_stopping and not (rows.stop.size if weights is None else weights[rows.stop].any()):
        return say("engines.no_stop_rows", fold=member.fold)
    if not classes and strengths.label_smoothing:
        return say("engines.classes_only", part="label_smoothing")
    if not classes and strengths.early_stopping and strengths.early_stopping.on == "score":
        return say("engines.classes_only", part="early_stopping:on=score")
    if not classes and given is not None:
        return say("engines.classes_only", part="class_weights")
    if isinstance(given, tuple) and len(given) != classes:
        return say("engines.wrong_class_weights", given=len(given), classes=classes)
    if strengths.augment and data.folds[member.fold].x.ndim != 4:
        return say("augment.images_only")
    if strengths.group_lasso and training.optimizer not in ("gd", "sgd"):
        return say("engines.euclidean_only", optimizer=training.optimizer)
    return None


# Curves on the training rows are measured on a fixed random sample of them: an eighth, but from 512 to 1,024.
LEAST_CURVE_ROWS, MOST_CURVE_ROWS = 512, 1024


def curve_rows(fold: FoldData) -> tuple[Array, Array, Array]:
    """Return the rows on which curves are measured: a sample of the training rows, the stop rows, the score rows."""
    train = fold.rows.train.astype(np.int64)
    # Rows without weight add nothing to a curve, and a sample of nothing else would have no loss.
    curve = train if fold.weights is None else train[fold.weights[train] > 0]
    most = min(max(train.size // 8, LEAST_CURVE_ROWS), MOST_CURVE_ROWS)
    if curve.size > most:
        curve = np.sort(rng.generator(0, rng.RESAMPLE).choice(curve, most, replace=False))
    return curve, fold.rows.stop, fold.rows.score


MOST_SEEN = 4_096  # numbers that a history keeps of what a network says of its training rows


def seen_rows(fold: FoldData, outputs: int) -> Array:
    """Return the training rows, with a weight, whose predictions a history keeps: all of them, or none of very many."""
    rows = fold.rows.train if fold.weights is None else fold.rows.train[fold.weights[fold.rows.train] > 0]
    return rows if rows.size * outputs <= MOST_SEEN else rows[:0]


def training_weights(member: Member, fold: FoldData, task: str) -> Array | None:
    """Return how much each row counts in training, (n,) with mean 1 over the training rows, or None for all alike.

    The row's own weight times that of its class; balanced classes weigh n / (k n_class) of the training rows.
    """
    given, rows = member.training.class_weights, fold.rows.train
    if given is None and fold.weights is None:
        return None
    weights = np.ones(len(fold.y)) if fold.weights is None else fold.weights.astype(float)
    if given is not None:
        codes = (fold.y[:, 0] > 0.5).astype(int) if task == "binary" else fold.y.argmax(axis=1)
        counts = np.bincount(codes[rows], minlength=2 if task == "binary" else fold.y.shape[1])
        by_class = 1 / np.maximum(counts, 1) if isinstance(given, str) else np.array(given)
        weights = weights * by_class[codes]
    mean = weights[rows].mean()
    return weights / mean if mean > 0 else weights


def histories(engine: Engine, members: Sequence[Member], states: Sequence[State], data: TrainingData) -> list[History]:
    """Return the `history` of each member.

    An engine that reads many members faster than one after another offers a method of this name,
    ``histories(members, states, data)``.
    """
    found: dict[int, History] = {}
    together: dict[int, list[int]] = {}
    engines = [engine_of(engine, member, data) for member in members]
    for i, own in enumerate(engines):
        together.setdefault(id(own), []).append(i)
    for places in together.values():
        asked = getattr(engines[places[0]], "histories", None)
        mine, theirs = [members[i] for i in places], [states[i] for i in places]
        records = map(history, mine, theirs, [data] * len(mine)) if asked is None else asked(mine, theirs, data)
        found |= zip(places, records, strict=True)
    return [found[i] for i in range(len(members))]


def reads_together(engine: Engine, member: Member, data: TrainingData) -> bool:
    """Whether the engine reads many members faster than one after another, so that states may wait for others."""
    return hasattr(engine_of(engine, member, data), "histories")


def history(member: Member, state: State, data: TrainingData) -> History:
    """Return the record of a member from its state: curves in the user's unit, predictions on its score rows."""
    fold, network = data.folds[member.fold], member.network
    reached = ~np.isnan(state.curves[:, CURVES.index("train_loss")])
    measured = state.curves[reached]
    curves = {name: measured[:, i].copy() for i, name in enumerate(CURVES)}
    linear = member.training.loss_and_parameter(data.task)[0] in ("absolute", "quantile")
    for name in ("train_loss", "stop_loss", "score_loss", "penalty"):
        curves[name] *= fold.target_scale if linear else fold.loss_unit
    # MLPs are looked at in float64 on tables; modules, which may make tensors of their own, in the trained precision.
    exact = isinstance(network, MLP) and fold.x.dtype == np.float64
    kept = state.kept.astype(np.float64) if exact else state.kept
    plain = network.fold(kept, fold.inputs, data.outputs)
    variant = {"batch_norm": network.strengths(member.cocktail).batch_norm}

    def predicted(rows: Array) -> Array:
        found = link(data.task, network.forward(plain, fold.x[rows], data.outputs, **variant))
        return found * fold.target_scale + fold.target_mean if data.task == "regression" else found

    weights = network.weights(kept, fold.inputs, data.outputs, **variant)
    most = UNIT_ROWS if fold.x.ndim == 2 else UNIT_IMAGES  # an image has many positions
    looked_at = fold.rows.train[:: max(1, len(fold.rows.train) // most)]
    return History(
        status="finished" if state.status == "running" else state.status,
        epochs=state.epoch,
        best_epoch=state.best_epoch if state.best_parameters.size else state.epoch,
        steps=state.step,
        checkpoints=checkpoints(member.training.epochs)[reached],
        curves=curves,
        predictions=predicted(fold.rows.score),
        weight_norms=tuple(float(np.linalg.norm(w)) for w in weights),
        zero_weights=sum(int((w == 0).sum()) for w in weights),
        weights=sum(w.size for w in weights),
        inputs_used=_inputs_used(weights, network.bound(fold.inputs, data.outputs).entry),
        units=network.unit_shares(plain, fold.x[looked_at], data.outputs, **variant),
        seen=predicted(seen_rows(fold, data.outputs)),
    )


def _inputs_used(weights: Sequence[Array], entry: int | None) -> int:
    """Return how many inputs, or channels, the first layer, (out, in, ...), has a weight for; 0 where unknown."""
    if entry is None or not weights:
        return 0
    first = weights[entry]
    rest = tuple(axis for axis in range(first.ndim) if axis != 1)
    return int((first != 0).any(axis=rest).sum())
