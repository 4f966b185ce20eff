"""The engine contract as tests: subclass `EngineContract` in a test module and give it an engine.

Five promises: together equals alone; strength acts; a diverged member harms nobody; stopped and continued equals
uninterrupted; gradients are right. Needs pytest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from wellfit import rng
from wellfit.cocktail import L1, L2, Cocktail, Dropout, EarlyStopping, ElasticNet, Ingredient, WeightDecay, as_cocktail
from wellfit.engines import independent
from wellfit.engines.base import Engine, Member, State, history
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.errors import UnsupportedError
from wellfit.nets import MLP, Training
from wellfit.nets.network import ACTIVATIONS
from wellfit.nets.training import checkpoints
from wellfit.records import Array, Fold, FoldData, Task, TrainingData

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
OPTIMIZERS = {
    "gd": Training("gd", 0.1, 60, None),
    "sgd": Training("sgd", 0.02, 60, 16, momentum=0.9),
    "nesterov": Training("sgd", 0.02, 60, 16, momentum=0.9, nesterov=True),
    "adam": Training("adam", 0.01, 60, 16),
}
# Ingredient, three rising strengths, and what rises or falls with them.
STRENGTHS: dict[str, tuple[Callable[[float], Ingredient], tuple[float, ...], str]] = {
    "l1": (L1, (0.001, 0.01, 0.05), "zeros"),
    "l2": (L2, (0.003, 0.03, 0.3), "norm"),
    "elastic_net": (ElasticNet, (0.002, 0.02, 0.1), "zeros"),
    "weight_decay": (WeightDecay, (0.03, 0.3, 3.0), "norm"),
    "dropout": (Dropout, (0.1, 0.4, 0.8), "train_loss"),
    "early_stopping": (lambda patience: EarlyStopping(int(patience)), (16, 4, 1), "epochs"),
}


def make_data(task: Task, rows: int = 97, inputs: int = 5, seed: int = 0) -> TrainingData:
    """Return a small noisy problem with two folds, the second with stop rows."""
    draw = rng.generator(seed, rng.DATA)
    x = draw.normal(size=(rows, inputs))
    signal = x[:, 0] + x[:, 1] * x[:, 2] + draw.normal(size=rows) * 0.7
    if task == "binary":
        y = (signal > 0).astype(float)[:, None]
    elif task == "multiclass":
        y = np.eye(3)[np.digitize(signal, (-0.5, 0.5))]
    else:
        y = ((signal - signal.mean()) / signal.std())[:, None]
    order = draw.permutation(rows)
    none = order[:0]
    folds = (Fold(order[30:], none, order[:30]), Fold(order[45:], order[30:45], order[:30]))
    return TrainingData(task, y.shape[1], tuple(FoldData(x, y, f) for f in folds))


def assorted(task: Task) -> list[Member]:
    """Return members that differ in everything an engine lets differ."""
    cocktails = ["none", "l2=1e-2", "l1=1e-3", "dropout=0.3", "weight_decay=0.1 + dropout=(0.2, 0)", "elastic_net=1e-3"]
    networks = [MLP((8,)), MLP((7, 5), "tanh"), MLP((4, 6), "gelu"), MLP((33, 9), "silu"), MLP((12, 3)), MLP(())]
    trainings = [*OPTIMIZERS.values(), Training("adamw", 0.01, 20, 10, "cosine"), Training("gd", 0.1, 20, 25)]
    members = [
        Member(networks[i], as_cocktail(cocktails[i]), replace(trainings[i], epochs=20), seed=i * 2**33, fold=i % 2)
        for i in range(6)
    ]
    stopping = as_cocktail("l2=1e-3 + early_stopping=2")
    return [*members, Member(MLP((9,)), stopping, Training("adam", 0.05, 40, 16), seed=3, fold=1)]


def same(a: State, b: State, tolerance: float) -> bool:
    """Return whether two states agree: bit for bit where ``tolerance`` is 0."""
    pairs = [(getattr(a, n), getattr(b, n)) for n in ("parameters", "moments", "best_parameters", "curves")]
    plain = all(getattr(a, n) == getattr(b, n) for n in ("epoch", "step", "status", "best_epoch", "waited"))
    if tolerance == 0:
        return plain and all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)
    return plain and all(np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True) for x, y in pairs)


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


def finish(engine: Engine, members: list[Member], data: TrainingData) -> list[State]:
    """Train all members to their end."""
    return engine.advance(members, engine.init(members, data), [m.training.epochs for m in members], data)


def check_strength_acts(engine: Engine, ingredient: str, optimizer: str) -> None:
    """Assert that a rising strength moves what the ingredient promises, averaged over seeds."""
    make, strengths, promise = STRENGTHS[ingredient]
    data, training = make_data("binary"), OPTIMIZERS[optimizer]
    fold, measured = int(ingredient == "early_stopping"), []
    for strength in strengths:
        cocktail = as_cocktail(make(strength))
        members = [Member(MLP((16, 8)), cocktail, training, seed, fold) for seed in range(4)]
        histories = [history(m, s, data) for m, s in zip(members, finish(engine, members, data), strict=True)]
        measured.append(
            {
                "zeros": np.mean([h.zero_weights for h in histories]),
                "norm": -np.mean([np.linalg.norm(h.weight_norms) for h in histories]),
                "train_loss": np.mean([h.curves["train_loss"][-1] for h in histories]),
                "epochs": -np.mean([h.epochs for h in histories]),
            }[promise]
        )
    assert measured[0] < measured[1] < measured[2], (ingredient, optimizer, measured)


class EngineContract:
    """The suite. Override `engine`; ``tolerance`` 0 asks for equal bits; ``lanes`` is the engine's column padding."""

    tolerance = 0.0
    lanes = 16

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

    # strength acts

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize("ingredient", STRENGTHS)
    def test_strength_acts(self, engine: Engine, ingredient: str, optimizer: str) -> None:
        check_strength_acts(engine, ingredient, optimizer)

    @pytest.mark.parametrize("ingredient", STRENGTHS)
    def test_a_missing_ingredient_is_noticed(self, engine: Engine, ingredient: str) -> None:
        with pytest.raises(AssertionError):
            check_strength_acts(WithoutIngredients(engine), ingredient, "gd")

    def test_biases_are_never_penalized(self, engine: Engine) -> None:
        data = make_data("regression")
        shifted = TrainingData("regression", 1, tuple(replace(f, y=f.y + 3) for f in data.folds))
        for text in ("l1=50", "l2=9", "weight_decay=9"):
            member = Member(MLP((4,)), as_cocktail(text), Training("gd", 0.1, 300, None, precision="float64"), 0, 0)
            [state] = finish(engine, [member], shifted)
            *_, (weights, bias) = member.network.unpack(state.parameters, 5, 1)
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
        ):
            assert word in str(engine.supports(member, data))
            with pytest.raises(UnsupportedError, match=word):
                engine.init([base, member], data)

    # gradients are right

    @pytest.mark.parametrize("cocktail", ["none", "l2=0.05", "dropout=0.4", "l2=(0.1, 0, 0.02) + dropout=(0, 0.5)"])
    @pytest.mark.parametrize("task", TASKS)
    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_gradients_are_right(self, engine: Engine, activation: str, task: Task, cocktail: str) -> None:
        """One step of gradient descent with rate 1 is the gradient: against NumPy (1e-9) and differences (1e-6)."""
        data = make_data(task)
        training = Training("gd", 1.0, 1, None, precision="float64")
        member = Member(MLP((6, 5), activation), as_cocktail(cocktail), training, 4, 0)
        [state] = engine.init([member], data)
        start = state.parameters.copy()
        [after] = engine.advance([member], [state], [1], data)
        found = start - after.parameters
        fold = data.folds[0]
        x, y = fold.x[fold.rows.train], fold.y[fold.rows.train]
        masks = independent.masks_of(member, len(x), -(-len(x) // self.lanes) * self.lanes, 0, 0)

        def value(flat: Array) -> float:
            return independent.objective(member, task, member.network.unpack(flat, 5, data.outputs), x, y, masks)[0]

        layers = member.network.unpack(start, 5, data.outputs)
        expected = member.network.pack(independent.objective(member, task, layers, x, y, masks)[1])
        np.testing.assert_allclose(found, expected, atol=1e-9, rtol=1e-9)
        step, checked = 1e-6, 0
        for i in range(0, start.size, 7):
            bump = np.zeros_like(start)
            bump[i] = step
            middle, up, down = value(start), value(start + bump), value(start - bump)
            if abs((up - middle) - (middle - down)) > 1e-9:
                continue  # the two sides differ: a kink of ReLU lies between them
            assert abs((up - down) / (2 * step) - found[i]) < 1e-6
            checked += 1
        assert checked >= 10

    @pytest.mark.parametrize("task", TASKS)
    def test_whole_trainings_equal_the_independent_one(self, engine: Engine, task: Task) -> None:
        """Batches, shuffles, masks, schedules, every optimizer, prox and decay: float64, within 1e-9 of plain NumPy."""
        data = make_data(task)
        for member in assorted(task):
            double = replace(member, training=replace(member.training, precision="float64"), fold=0)
            if double.cocktail.get(EarlyStopping):
                continue
            [state] = engine.init([double], data)
            expected = independent.train(double, data, 6, state.parameters, self.lanes)
            [after] = engine.advance([double], [state], [6], data)
            np.testing.assert_allclose(after.parameters, expected, atol=1e-9, rtol=1e-9, err_msg=str(double))

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
            loss, _ = independent.loss_and_delta("binary", out, fold.y[rows])
            assert abs(record.curves[f"{name}_loss"][-1] - loss) < 1e-9
            assert abs(record.curves[f"{name}_accuracy"][-1] - np.mean((out > 0) == (fold.y[rows] > 0.5))) < 1e-12
        pairs = member.network.unpack(state.parameters, 5, 1)
        penalty = sum(0.01 * np.abs(w).sum() + 0.01 * (w**2).sum() for w, _ in pairs)
        assert abs(record.curves["penalty"][-1] - penalty) < 1e-9

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
        assert abs(independent.loss_and_delta("binary", out, fold.y[fold.rows.stop])[0] - stop.min()) < 1e-5
