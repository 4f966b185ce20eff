"""Strength acts: under every optimizer, a rising strength moves what its ingredient promises to move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from wellfit.cocktail import (
    EMA,
    L1,
    L2,
    Cocktail,
    Dropout,
    EarlyStopping,
    ElasticNet,
    GradientClipping,
    GroupLasso,
    Ingredient,
    InputDropout,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    WeightDecay,
    as_cocktail,
)
from wellfit.engines.base import Engine, Member, State, history, mlp_of
from wellfit.engines.contract.problems import OPTIMIZERS, finish, make_data
from wellfit.nets import MLP
from wellfit.records import TrainingData


@dataclass(frozen=True)
class Promise:
    """An ingredient, three rising strengths, what rises with them, and the optimizers it goes with."""

    make: Callable[[float], Ingredient]
    strengths: tuple[float, float, float]
    rises: str
    optimizers: tuple[str, ...] = tuple(OPTIMIZERS)
    # Adam divides by the gradient's own size, so that only a bound near its epsilon is felt.
    under_adam: tuple[float, float, float] | None = None


PROMISES = {
    "l1": Promise(L1, (0.001, 0.01, 0.05), "zeros"),
    "l2": Promise(L2, (0.003, 0.03, 0.3), "smallness"),
    "elastic_net": Promise(ElasticNet, (0.002, 0.02, 0.1), "zeros"),
    "group_lasso": Promise(GroupLasso, (0.003, 0.03, 0.3), "smallness of the first layer", ("gd", "sgd", "nesterov")),
    "weight_decay": Promise(WeightDecay, (0.03, 0.3, 3.0), "smallness"),
    "max_norm": Promise(MaxNorm, (2.0, 1.0, 0.3), "smallness"),
    "dropout": Promise(Dropout, (0.1, 0.4, 0.8), "train_loss"),
    "input_dropout": Promise(InputDropout, (0.1, 0.4, 0.8), "train_loss"),
    "input_noise": Promise(InputNoise, (0.3, 1.0, 3.0), "train_loss"),
    "label_smoothing": Promise(LabelSmoothing, (0.1, 0.4, 0.8), "train_loss"),
    "mixup": Promise(Mixup, (0.05, 0.3, 3.0), "train_loss"),
    "gradient_clipping": Promise(
        GradientClipping, (0.2, 0.1, 0.01), "nearness to the start", under_adam=(1e-7, 1e-8, 1e-9)
    ),
    "ema": Promise(EMA, (0.3, 0.6, 0.85), "nearness to the start"),
    "early_stopping": Promise(lambda patience: EarlyStopping(int(patience)), (16, 4, 1), "shortness"),
}


class WithoutIngredients:
    """A mutant engine that trains every member without its cocktail: the contract must catch it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name, self.version = engine, engine.name, engine.version

    def _strip(self, members: Sequence[Member]) -> list[Member]:
        return [replace(m, cocktail=Cocktail()) for m in members]

    def supports(self, member: Member, data: TrainingData) -> str | None:
        return self.engine.supports(member, data)

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        return self.engine.init(self._strip(members), data)

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        return self.engine.advance(self._strip(members), states, until, data)


def check_strength_acts(engine: Engine, ingredient: str, optimizer: str) -> None:
    """Assert that a rising strength moves what the ingredient promises, averaged over seeds."""
    promise, training = PROMISES[ingredient], OPTIMIZERS[optimizer]
    data = make_data("binary")
    fold, measured = int(ingredient == "early_stopping"), []
    strengths = promise.under_adam if optimizer == "adam" and promise.under_adam else promise.strengths
    for strength in strengths:
        cocktail = as_cocktail(promise.make(strength))
        members = [Member(MLP((16, 8)), cocktail, training, seed, fold) for seed in range(4)]
        starts, ends = engine.init(members, data), finish(engine, members, data)
        found = [_measure(*of, data)[promise.rises] for of in zip(members, starts, ends, strict=True)]
        measured.append(float(np.mean(found)))
    assert measured[0] < measured[1] < measured[2], (ingredient, optimizer, measured)


def _measure(member: Member, start: State, end: State, data: TrainingData) -> dict[str, float]:
    record = history(member, end, data)
    first, _ = mlp_of(member).unpack(end.kept, data.folds[0].x.shape[1], data.outputs)[0]
    return {
        "zeros": record.zero_weights,
        "smallness": -float(np.linalg.norm(record.weight_norms)),
        "smallness of the first layer": -float(np.linalg.norm(first)),
        "train_loss": record.curves["train_loss"][-1],
        "nearness to the start": -float(np.linalg.norm(end.kept - start.parameters)),
        "shortness": -record.epochs,
    }


class StrengthContract:
    """Strength acts, and what is not to be touched stays."""

    @pytest.mark.parametrize(
        ("ingredient", "optimizer"), [(name, optimizer) for name, p in PROMISES.items() for optimizer in p.optimizers]
    )
    def test_strength_acts(self, engine: Engine, ingredient: str, optimizer: str) -> None:
        check_strength_acts(engine, ingredient, optimizer)

    @pytest.mark.parametrize("ingredient", PROMISES)
    def test_a_missing_ingredient_is_noticed(self, engine: Engine, ingredient: str) -> None:
        with pytest.raises(AssertionError):
            check_strength_acts(WithoutIngredients(engine), ingredient, "gd")

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_batch_norm_makes_the_scale_of_weights_without_effect(self, engine: Engine, optimizer: str) -> None:
        """And without it, which is the mutant, the scale is felt."""
        data = make_data("binary")
        # One batch: its first step is the gradient at the start, which a hidden layer's scale then leaves alone.
        training = replace(OPTIMIZERS[optimizer], epochs=1, batch_size=None, precision="float64")
        ends = []
        for text in ("batch_norm", "none"):
            member = Member(MLP((16, 8)), as_cocktail(text), training, 0, 0)
            [state] = engine.init([member], data)
            for scale in (1, 3):
                scaled = state.parameters.copy()
                for w, _ in mlp_of(member).unpack(scaled, 5, 1)[:-1]:
                    w *= scale
                [end] = engine.advance([member], [state.with_parameters(scaled)], [1], data)
                ends.append(mlp_of(member).unpack(end.parameters, 5, 1)[-1][0])
        np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)
        assert not np.allclose(ends[2], ends[3], rtol=1e-2)
