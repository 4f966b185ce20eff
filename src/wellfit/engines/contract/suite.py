"""The suite itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from wellfit.cocktail import Cocktail, as_cocktail
from wellfit.engines import independent
from wellfit.engines.base import Engine, Member, history, mlp_of
from wellfit.engines.contract.gradients import GradientContract
from wellfit.engines.contract.problems import OPTIMIZERS, TASKS, assorted, finish, make_data, same, weighted
from wellfit.engines.contract.strengths import StrengthContract
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.errors import UnsupportedError
from wellfit.nets import MLP, Training
from wellfit.nets.training import checkpoints
from wellfit.records import Task, TrainingData


class EngineContract(GradientContract, StrengthContract):
    """The suite. Override `engine`; ``tolerance`` 0 asks for equal bits; ``lanes`` is the engine's column padding."""

    tolerance = 0.0

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    # together equals alone

    @pytest.mark.parametrize("task", TASKS)
    def test_together_equals_alone_on_any_number_of_threads(self, engine: Engine, task: Task) -> None:
        data, members = make_data(task), assorted(task)
        together = finish(engine, members, data)
        alone = [finish(engine, [m], data)[0] for m in members]
        with ThreadPoolExecutor(4) as pool:
            threaded = list(pool.map(lambda m: finish(engine, [m], data)[0], reversed(members)))[::-1]
        for member, a, b, c in zip(members, together, alone, threaded, strict=True):
            assert same(a, b, self.tolerance), member
            assert same(a, c, self.tolerance), member

    def test_inputs_are_not_modified(self, engine: Engine) -> None:
        data, members = make_data("binary"), assorted("binary")
        states = engine.init(members, data)
        copies = [state_from_bytes(state_to_bytes(s)) for s in states]
        engine.advance(members, states, [5] * len(members), data)
        assert all(same(a, b, 0) for a, b in zip(states, copies, strict=True))

    def test_seed_fold_and_cocktail_matter(self, engine: Engine) -> None:
        data = make_data("binary")
        base = Member(MLP((8,)), as_cocktail("dropout=0.2"), OPTIMIZERS["adam"], seed=0, fold=0)
        others = [replace(base, seed=1), replace(base, fold=1), replace(base, cocktail=as_cocktail("dropout=0.25"))]
        first, *rest = finish(engine, [base, *others], data)
        assert not any(np.allclose(first.parameters, s.parameters) for s in rest)

    def test_biases_are_never_penalized(self, engine: Engine) -> None:
        data = make_data("regression")
        shifted = TrainingData("regression", 1, tuple(replace(f, y=f.y + 3) for f in data.folds))
        for text in ("l1=50", "l2=9", "weight_decay=9"):
            member = Member(MLP((4,)), as_cocktail(text), Training("gd", 0.1, 300, None, precision="float64"), 0, 0)
            [state] = finish(engine, [member], shifted)
            *_, (weights, bias) = mlp_of(member).unpack(state.parameters, 5, 1)
            target = shifted.folds[0].y[shifted.folds[0].rows.train].mean()
            assert np.abs(weights).max() < 1e-6
            assert abs(bias[0] - target) < 1e-6

    # a diverged member harms nobody

    def test_a_diverged_member_is_frozen_and_harms_nobody(self, engine: Engine) -> None:
        data, healthy = make_data("regression"), assorted("regression")
        bad = Member(MLP((8,)), Cocktail(), Training("gd", 1e4, 50, None), seed=0, fold=0)
        states = finish(engine, [bad, *healthy], data)
        assert states[0].status == "diverged"
        assert 0 < states[0].epoch < 50
        assert engine.advance([bad], states[:1], [50], data)[0] is states[0] or same(
            engine.advance([bad], states[:1], [50], data)[0], states[0], 0
        )
        for a, b in zip(states[1:], finish(engine, healthy, data), strict=True):
            assert same(a, b, self.tolerance)
            assert a.status in ("finished", "stopped")
        assert history(bad, states[0], data).status == "diverged"

    def test_nan_behind_a_relu_is_noticed(self, engine: Engine) -> None:
        data = make_data("binary")
        member = Member(MLP((8,)), Cocktail(), Training("gd", 0.1, 5, None), 0, 0)
        [state] = engine.init([member], data)
        parameters = state.parameters.copy()
        parameters[0] = np.nan
        [after] = engine.advance([member], [state.with_parameters(parameters)], [5], data)
        assert after.status == "diverged"

    # stopped and continued equals uninterrupted

    @pytest.mark.parametrize("task", TASKS)
    def test_stopped_and_continued_equals_uninterrupted(self, engine: Engine, task: Task) -> None:
        data, members = make_data(task), assorted(task)
        straight = engine.advance(members, engine.init(members, data), [10] * len(members), data)
        half = engine.advance(members, engine.init(members, data), [5] * len(members), data)
        half = [state_from_bytes(state_to_bytes(s)) for s in half]
        continued = engine.advance(members, half, [10] * len(members), data)
        repeated = engine.advance(members, continued, [10] * len(members), data)
        for a, b, c in zip(straight, continued, repeated, strict=True):
            assert same(a, b, self.tolerance)
            assert same(b, c, 0)

    def test_an_unknown_fold_or_missing_stop_rows_are_refused_by_name(self, engine: Engine) -> None:
        data = make_data("binary")
        base = Member(MLP((4,)), Cocktail(), OPTIMIZERS["gd"], 0, 0)
        for member, word in (
            (replace(base, fold=7), "fold 7"),
            (replace(base, cocktail=as_cocktail("early_stopping=3")), "stop rows"),
            (replace(base, cocktail=as_cocktail("dropout=(0.1, 0.2)")), "dropout"),
            (replace(base, cocktail=as_cocktail("group_lasso=1"), training=OPTIMIZERS["adam"]), "not adam"),
            (replace(base, training=replace(base.training, loss="huber")), "cross_entropy"),
            (replace(base, training=replace(base.training, class_weights=(1.0, 2.0, 3.0))), "2 classes"),
        ):
            assert word in str(engine.supports(member, data))
            with pytest.raises(UnsupportedError, match=word):
                engine.init([base, member], data)
        numbers = make_data("regression")
        for text, classes in (("label_smoothing=0.1", None), ("early_stopping=2:on=score", None), ("none", "balanced")):
            training = replace(OPTIMIZERS["gd"], class_weights=classes)
            member = Member(MLP((4,)), as_cocktail(text), training, 0, 1)
            assert "the target is a number" in str(engine.supports(member, numbers))

    # curves on one footing

    def test_curves_are_measured_in_evaluation_mode(self, engine: Engine) -> None:
        data = make_data("binary")
        cocktail = as_cocktail("l1=0.01 + l2=0.02 + dropout=0.5")
        member = Member(MLP((8,)), cocktail, Training("adam", 0.01, 7, 16, precision="float64"), 0, 1)
        [state] = finish(engine, [member], data)
        record = history(member, state, data)
        assert record.checkpoints.tolist() == checkpoints(7).tolist()
        fold = data.folds[1]
        for name, rows in (("train", fold.rows.train), ("stop", fold.rows.stop), ("score", fold.rows.score)):
            out = member.network.forward(state.parameters, fold.x[rows], 1)
            loss = independent.loss_and_delta("binary", out, fold.y[rows])[0].mean()
            assert abs(record.curves[f"{name}_loss"][-1] - loss) < 1e-9
            assert abs(record.curves[f"{name}_accuracy"][-1] - np.mean((out > 0) == (fold.y[rows] > 0.5))) < 1e-12
        pairs = mlp_of(member).unpack(state.parameters, 5, 1)
        penalty = sum(0.01 * np.abs(w).sum() + 0.01 * (w**2).sum() for w, _ in pairs)
        assert abs(record.curves["penalty"][-1] - penalty) < 1e-9

    @pytest.mark.parametrize("loss", ["squared", "absolute", "huber:0.5", "quantile:0.8"])
    def test_curves_weigh_rows_and_average_and_normalize_as_in_evaluation(self, engine: Engine, loss: str) -> None:
        """Batch norm by running statistics, average weights, weighted rows, losses in the user's unit."""
        data = weighted(make_data("regression"))
        fold = replace(data.folds[0], loss_unit=9.0, target_mean=2.0, target_scale=3.0)
        data = replace(data, folds=(fold,))
        training = Training("adam", 0.01, 7, 16, precision="float64", loss=loss)
        member = Member(MLP((8, 4)), as_cocktail("batch_norm + ema=0.9 + group_lasso=0"), training, 0, 0)
        [state] = finish(engine, [member], data)
        record = history(member, state, data)
        flat, x, at = state.average, fold.x, 0
        size = member.network.size(5, 1)
        scales, shifts, means, variances = flat[size:].reshape(4, 12)
        *hidden, (last, bias) = mlp_of(member).unpack(flat, 5, 1)
        for w, b in hidden:
            here = slice(at, at := at + len(b))
            z = scales[here] * (x @ w.T + b - means[here]) / np.sqrt(variances[here] + 1e-5) + shifts[here]
            x = np.maximum(z, 0)
        out = x @ last.T + bias
        name, parameter = training.loss_and_parameter("regression")
        unit = 3.0 if name in ("absolute", "quantile") else 9.0
        each, _ = independent.loss_and_delta("regression", out, fold.y, name, parameter)
        for part, rows in (("train", fold.rows.train), ("score", fold.rows.score)):
            assert fold.weights is not None
            expected = unit * np.average(each[rows], weights=fold.weights[rows])
            assert abs(record.curves[f"{part}_loss"][-1] - expected) < 1e-9
        np.testing.assert_allclose(record.predictions, out[fold.rows.score] * 3 + 2, rtol=1e-9)

    def test_early_stopping_keeps_the_best_weights(self, engine: Engine) -> None:
        data = make_data("binary")
        member = Member(MLP((32,)), as_cocktail("early_stopping=5"), Training("adam", 0.05, 200, 16), 0, 1)
        [state] = finish(engine, [member], data)
        record = history(member, state, data)
        stop = record.curves["stop_loss"]
        assert record.status == "stopped"
        assert record.best_epoch == int(np.argmin(stop))
        assert record.epochs == record.best_epoch + 5
        fold = data.folds[1]
        out = member.network.forward(state.kept.astype(float), fold.x[fold.rows.stop], 1)
        assert abs(independent.loss_and_delta("binary", out, fold.y[fold.rows.stop])[0].mean() - stop.min()) < 1e-5

    @pytest.mark.parametrize("delta", [0.0, 0.02])
    def test_early_stopping_on_the_score(self, engine: Engine, delta: float) -> None:
        """The score is better the higher; an improvement below ``min_delta`` is none, whatever the sign."""
        data = make_data("binary", rows=397)
        fold = replace(data.folds[1], rows=replace(data.folds[1].rows, stop=data.folds[1].rows.score))
        data = replace(data, folds=(data.folds[0], fold))
        text = f"early_stopping=6:min_delta={delta}:on=score"
        member = Member(MLP((32,)), as_cocktail(text), Training("adam", 0.02, 200, 16), 0, 1)
        [state] = finish(engine, [member], data)
        record = history(member, state, data)
        best, chosen = -np.inf, 0
        for epoch, score in enumerate(record.curves["stop_accuracy"]):
            if score > best + delta:
                best, chosen = score, epoch
        assert (record.status, record.best_epoch) == ("stopped", chosen)
        assert record.epochs == chosen + 6
        assert chosen > 0
