"""Gradients are right: one step and whole trainings against plain NumPy and central differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wellfit import rng
from wellfit.cocktail import EarlyStopping, as_cocktail
from wellfit.engines import independent
from wellfit.engines.base import Engine, Member, mlp_of, training_weights
from wellfit.engines.choice import by_steps
from wellfit.engines.contract.problems import TASKS, assorted, make_data, weighted
from wellfit.engines.independent import Parts
from wellfit.nets import MLP, Training
from wellfit.nets.network import ACTIVATIONS
from wellfit.records import Array, Task, TrainingData

SMOOTH = (
    "none",
    "l2=0.05",
    "dropout=0.4",
    "l2=(0.1, 0, 0.02) + dropout=(0, 0.5)",
    "batch_norm",
    "batch_norm + l2=0.05",
    "batch_norm + dropout=0.4",
    "batch_norm + l2=0.05 + dropout=0.4",
    "mixup=0.5",
    "input_noise=0.5",
    "input_dropout=0.4",
)
LOSSES = ("squared", "absolute", "huber:0.5", "quantile:0.8")


class GradientContract:
    """``lanes`` is the engine's column padding: it fixes which draw a unit's mask gets."""

    lanes = 16

    @pytest.mark.parametrize("cocktail", SMOOTH)
    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_gradients_are_right(self, engine: Engine, activation: str, task: Task, cocktail: str) -> None:
        """One step of gradient descent with rate 1 is the gradient: against NumPy (1e-9) and differences (1e-6)."""
        training = Training("gd", 1.0, 1, None, precision="float64")
        member = Member(MLP((6, 5), activation), as_cocktail(cocktail), training, 4, 0)
        self._check_gradient(engine, member, make_data(task))

    @pytest.mark.parametrize("task", ["binary", "multiclass"])
    def test_gradients_of_smoothed_labels_are_right(self, engine: Engine, task: Task) -> None:
        training = Training("gd", 1.0, 1, None, precision="float64")
        member = Member(MLP((6, 5)), as_cocktail("label_smoothing=0.3 + mixup=0.5"), training, 4, 0)
        self._check_gradient(engine, member, make_data(task))

    @pytest.mark.parametrize("loss", LOSSES)
    def test_gradients_of_regression_losses_are_right(self, engine: Engine, loss: str) -> None:
        training = Training("gd", 1.0, 1, None, precision="float64", loss=loss)
        member = Member(MLP((6, 5), "tanh"), as_cocktail("l2=0.05"), training, 4, 0)
        self._check_gradient(engine, member, make_data("regression"))

    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("classes", [None, "balanced", "given"])
    def test_gradients_of_weighted_rows_are_right(self, engine: Engine, task: Task, classes: str | None) -> None:
        if classes and task == "regression":
            classes = None
        given = (1.0, 4.0, 0.5)[: 2 if task == "binary" else 3] if classes == "given" else classes
        training = Training("gd", 1.0, 1, None, precision="float64", class_weights=given)
        member = Member(MLP((6, 5), "tanh"), as_cocktail("mixup=0.5"), training, 4, 0)
        self._check_gradient(engine, member, weighted(make_data(task)))

    def _check_gradient(self, engine: Engine, member: Member, data: TrainingData) -> None:
        [state] = engine.init([member], data)
        # Biases other than 0: an example whose inputs are all dropped would stand on ReLU's kink.
        moved = state.parameters + 0.1 * rng.normal(9, rng.RESAMPLE, state.parameters.size)
        state = state.with_parameters(moved)
        [after] = engine.advance([member], [state], [1], data)
        fold, task = data.folds[0], data.task
        start = Parts.of(mlp_of(member), state.parameters, 5, data.outputs).flat()
        found = start - after.parameters[: start.size]
        rows, strengths = fold.rows.train, member.network.strengths(member.cocktail)
        columns = -(-len(rows) // self.lanes) * self.lanes
        weights = training_weights(member, fold, task)
        x, y, w = independent.disturbed(
            member, strengths, fold.x[rows], fold.y[rows], None if weights is None else weights[rows], columns, 0, 0
        )
        masks = independent.masks_of(member, len(x), columns, 0, 0)

        def value(flat: Array) -> float:
            units = np.zeros(state.parameters.size - start.size)
            parts = Parts.of(mlp_of(member), np.concatenate([flat, units]), 5, data.outputs)
            return independent.objective(member, task, parts, x, y, masks, w)[0]

        parts = Parts.of(mlp_of(member), state.parameters, 5, data.outputs)
        expected = independent.objective(member, task, parts, x, y, masks, w)[1].flat()
        np.testing.assert_allclose(found, expected, atol=1e-9, rtol=1e-9)
        step, checked = 1e-6, 0
        for i in range(0, start.size, 7):
            bump = np.zeros_like(start)
            bump[i] = step
            middle, up, down = value(start), value(start + bump), value(start - bump)
            if abs((up - middle) - (middle - down)) > 1e-9:
                continue  # the two sides differ: a kink lies between them
            assert abs((up - down) / (2 * step) - found[i]) < 1e-6
            checked += 1
        assert checked >= 10

    @pytest.mark.parametrize("task", TASKS)
    def test_whole_trainings_equal_the_independent_one(self, engine: Engine, task: Task) -> None:
        """Every ingredient, optimizer and schedule, batches and shuffles: float64, within 1e-9 of plain NumPy."""
        engine = by_steps(engine)
        for data in (make_data(task), weighted(make_data(task))):
            for member in assorted(task):
                kept = [i for i in member.cocktail.ingredients if not isinstance(i, EarlyStopping)]
                member = replace(
                    member,
                    cocktail=type(member.cocktail)(tuple(kept)),
                    training=replace(member.training, precision="float64"),
                    fold=0,
                )
                [state] = engine.init([member], data)
                expected, average = independent.train(member, data, 6, state.parameters, self.lanes)
                [after] = engine.advance([member], [state], [6], data)
                np.testing.assert_allclose(after.parameters, expected, atol=1e-9, rtol=1e-9, err_msg=str(member))
                if after.average.size:
                    np.testing.assert_allclose(after.average, average, atol=1e-9, rtol=1e-9, err_msg=str(member))
