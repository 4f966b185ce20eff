"""The engine contract: ``init`` and ``advance`` over lists of members, in the manner of an optimizer's init/update.

The five promises an engine keeps are tested by `wellfit.engines.contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.nets import MLP, Training
from wellfit.nets.network import link
from wellfit.records import Array, History, TrainingData

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
Status = Literal["running", "finished", "stopped", "diverged"]


@dataclass(frozen=True)
class Member:
    """One training: network x cocktail x training x seed x fold (an index into `TrainingData.folds`)."""

    network: MLP
    cocktail: Cocktail
    training: Training
    seed: int
    fold: int

    def __str__(self) -> str:
        """Return the canonical text: equal members have equal texts. Ledgers key by it."""
        return f"{self.network} | {self.cocktail} | {self.training!r} | seed {self.seed} | fold {self.fold}"


@dataclass(frozen=True, eq=False)
class State:
    """All there is of a training in progress: it can be saved, sent elsewhere and continued.

    ``parameters`` is (P,), ``moments`` (2, P) (momentum or Adam's two), in the training's precision;
    ``best_parameters`` is (P,) for early stopping, else empty; ``waited`` counts checkpoints without improvement;
    ``curves`` is (c, len(CURVES)) float64 with NaN for checkpoints not reached. ``epoch`` epochs are done, in
    ``step`` optimizer steps.
    """

    parameters: Array
    moments: Array
    best_parameters: Array
    curves: Array
    epoch: int = 0
    step: int = 0
    status: Status = "running"
    best_epoch: int = 0
    best_loss: float = np.inf
    waited: int = 0

    @property
    def kept(self) -> Array:
        """The parameters that count, (P,): early stopping's best, else the present ones."""
        return self.best_parameters if self.best_parameters.size else self.parameters

    def with_parameters(self, parameters: Array) -> State:
        """Return this state with other starting parameters, (P,): to begin from given weights."""
        return replace(self, parameters=np.asarray(parameters, dtype=self.parameters.dtype).copy())


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


def history(member: Member, state: State, data: TrainingData) -> History:
    """Return the record of a member from its state: curves in the user's unit, predictions on its score rows."""
    from wellfit.nets.training import checkpoints

    fold = data.folds[member.fold]
    reached = ~np.isnan(state.curves[:, CURVES.index("train_loss")])
    curves = {name: state.curves[reached, i].copy() for i, name in enumerate(CURVES)}
    for name in ("train_loss", "stop_loss", "score_loss", "penalty"):
        curves[name] *= fold.loss_unit
    kept = state.kept.astype(np.float64)
    raw = member.network.forward(kept, fold.x[fold.rows.score], data.outputs)
    predictions = link(data.task, raw)
    if data.task == "regression":
        predictions = predictions * fold.target_scale + fold.target_mean
    pairs = member.network.unpack(kept, fold.x.shape[1], data.outputs)
    return History(
        status="finished" if state.status == "running" else state.status,
        epochs=state.epoch,
        best_epoch=state.best_epoch if state.best_parameters.size else state.epoch,
        steps=state.step,
        checkpoints=checkpoints(member.training.epochs)[reached],
        curves=curves,
        predictions=predictions,
        weight_norms=tuple(float(np.linalg.norm(w)) for w, _ in pairs),
        zero_weights=sum(int((w == 0).sum()) for w, _ in pairs),
        weights=sum(w.size for w, _ in pairs),
    )
