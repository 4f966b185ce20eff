"""The dialects table as a whole: what judges its rows, the textbook's row, arguments both ways, refusals, the page.

Libraries' rows stand in `test_dialects_torch`, `test_dialects_keras` and `test_dialects_sklearn`. Each is held against
the library itself in float64. Training: from equal initial weights, 20 steps of the library and of our objective in
plain NumPy (`peers.Trainer`). Convex models: our optimality condition at their solution, and their solver at our own
minimum.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import STEPS, TASKS, Trainer, apart, sample, start

from wellfit.cocktail import INGREDIENTS, Cocktail, Dropout, LabelSmoothing
from wellfit.cocktail.dialects import DIALECTS, Equivalent, NoEquivalent, from_dialect, to_dialect
from wellfit.errors import SettingError
from wellfit.nets import MLP

NETWORK = MLP((7, 4), "tanh")


def ours(cocktail: Cocktail, weights, task, **how) -> Trainer:
    """Our objective for a cocktail that came out of `from_dialect`."""
    assert isinstance(cocktail, Cocktail), cocktail
    s = cocktail.resolve(len(weights))
    return Trainer(task, weights, l1=s.l1, l2=s.l2, weight_decay=s.weight_decay, **how)


# ---- the judge itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu"])
def test_trainer_gradients_agree_with_central_differences(task, activation):
    x, y, k = sample(task)
    network = MLP((7, 4), activation)
    trainer = Trainer(task, start(network, 5, k), activation=activation, l2=(0.3, 0.2, 0.1))
    grads = trainer.gradients(x, y)
    h, base = 1e-6, [(w.copy(), b.copy()) for w, b in trainer.weights]
    for layer, part, at in [(0, 0, (2, 1)), (1, 0, (3, 5)), (2, 0, (0, 2)), (0, 1, (1,)), (2, 1, (0,))]:
        values = []
        for sign in (1, -1):
            trainer.weights = [(w.copy(), b.copy()) for w, b in base]
            trainer.weights[layer][part][at] += sign * h
            values.append(trainer.loss(x, y) + trainer.penalty())
        assert grads[layer][part][at] == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-7)


# ---- textbook -----------------------------------------------------------------------------------------------------


def test_textbook_exercise_takes_our_steps():
    # The course's backward pass: dW = 1/m dZ A^T + lambda/m W, one sigmoid output, ReLU layers, full batch.
    x, y, _ = sample("binary", rows=211, inputs=2)
    lambda_, m, rate = 0.7, 211, 0.3
    network = MLP((20, 3))
    weights = start(network, 2, 1)
    trainer = ours(from_dialect("textbook", lambda_=lambda_, rows=m), weights, "binary", lr=rate)
    (w1, b1), (w2, b2), (w3, b3) = [(w.copy(), b.copy()[:, None]) for w, b in weights]
    for _ in range(STEPS):
        a1 = np.maximum(0, w1 @ x.T + b1)
        a2 = np.maximum(0, w2 @ a1 + b2)
        a3 = 1 / (1 + np.exp(-(w3 @ a2 + b3)))
        cross_entropy = -np.sum(y * np.log(a3) + (1 - y) * np.log(1 - a3)) / m
        l2_cost = lambda_ / (2 * m) * sum(np.sum(np.square(w)) for w in (w1, w2, w3))
        assert trainer.loss(x, y) + trainer.penalty() == pytest.approx(cross_entropy + l2_cost, abs=1e-9)
        dz3 = a3 - y
        dz2 = w3.T @ dz3 * (a2 > 0)
        dz1 = w2.T @ dz2 * (a1 > 0)
        steps = [(dz @ a.T / m + lambda_ / m * w, dz.sum(1, keepdims=True) / m)
                 for dz, a, w in ((dz1, x.T, w1), (dz2, a1, w2), (dz3, a2, w3))]  # fmt: skip
        (w1, b1), (w2, b2), (w3, b3) = [
            (w - rate * dw, b - rate * db)
            for (w, b), (dw, db) in zip(((w1, b1), (w2, b2), (w3, b3)), steps, strict=True)
        ]
        trainer.step(x, y)
    assert apart(trainer, [(w1, b1[:, 0]), (w2, b2[:, 0]), (w3, b3[:, 0])]) < 1e-9


def test_textbook_tells_dropout_as_the_share_kept():
    assert from_dialect("textbook", lambda_=0, keep_prob=0.86, rows=211) == Cocktail((Dropout(0.14),))
    assert to_dialect(Dropout((0.14, 0.0)), "textbook", rows=211).arguments == {"lambda_": 0, "keep_prob": (0.86, 1.0)}


# ---- both ways, refusals, documentation ---------------------------------------------------------------------------

POSITIVE = st.floats(1e-8, 1e3)


@given(value=POSITIVE, ratio=st.floats(0.01, 0.99), rows=st.integers(1, 10**6), task=st.sampled_from(TASKS))
def test_every_argument_comes_back(value, ratio, rows, task):
    given_arguments = {
        "textbook": {"lambda_": value},
        "torch-sgd": {"weight_decay": value},
        "torch-adam": {"weight_decay": (value, 0.0)},
        "torch-adamw": {"weight_decay": value},
        "keras": {"l1": (0.0, value), "l2": value, "weight_decay": 2 * value},
        "sklearn-mlp": {"alpha": value},
        "sklearn-ridge": {"alpha": value},
        "sklearn-lasso": {"alpha": value},
        "sklearn-elastic-net": {"alpha": value, "l1_ratio": ratio},
        "sklearn-logistic": {"C": value, "l1_ratio": ratio},
    }
    assert set(given_arguments) == set(DIALECTS)
    for name, arguments in given_arguments.items():
        cocktail = from_dialect(name, rows=rows, task=task, **arguments)
        right = "binary" if name == "sklearn-logistic" else "regression" if name != "sklearn-mlp" else task
        told = to_dialect(cocktail, name, rows=rows, task=right)
        assert isinstance(told, Equivalent), told
        for key, wanted in arguments.items():
            assert told.arguments[key] == pytest.approx(wanted, rel=1e-12), (name, key)


def test_no_penalty_is_said_everywhere():
    facts = {"rows": 50, "task": "regression"}
    for name in DIALECTS:
        told = to_dialect("none", name, rows=50, task="binary" if name == "sklearn-logistic" else "regression")
        assert isinstance(told, Equivalent), told
        back = {k: v for k, v in told.arguments.items() if k in DIALECTS[name].arguments}
        assert from_dialect(name, **{**facts, **back}) == Cocktail()
    assert to_dialect(None, "sklearn-logistic", rows=50).arguments["C"] == math.inf


@pytest.mark.parametrize(
    ("cocktail", "dialect", "facts", "word"),
    [
        ("l1=0.1", "textbook", {"rows": 9}, "no L1"),
        ("weight_decay=0.1", "textbook", {"rows": 9}, "plain gradient"),
        ("early_stopping=5", "textbook", {"rows": 9}, "early stopping"),
        ("l2=(0.1, 0.2)", "textbook", {"rows": 9}, "differs between"),
        ("l1=0.1", "torch-adam", {}, "proximal"),
        ("dropout=0.1", "sklearn-mlp", {"rows": 9, "task": "binary"}, "no dropout"),
        ("l1=0.1", "sklearn-mlp", {"rows": 9, "task": "binary"}, "no L1"),
        ("early_stopping=5", "sklearn-mlp", {"rows": 9, "task": "binary"}, "score"),
        ("l2=(0.1, 0.2)", "sklearn-mlp", {"rows": 9, "task": "binary"}, "differs between"),
        ("weight_decay=0.1", "sklearn-mlp", {"rows": 9, "task": "binary", "optimizer": "adam"}, "plain gradient"),
        ("l1=0.1", "sklearn-ridge", {"rows": 9}, "no L1"),
        ("l2=0.1", "sklearn-lasso", {}, "no L2"),
        ("early_stopping=5", "sklearn-lasso", {}, "exact minimum"),
        ("l2=0.1", "sklearn-ridge", {"rows": 9, "task": "binary"}, "regression"),
        ("l2=0.1", "sklearn-logistic", {"rows": 9, "task": "regression"}, "classification"),
        ("l2=0.1", "sklearn-ridge", {"rows": 9, "layers": 2}, "linear"),
        ("batch_norm", "keras", {}, "running variance"),
        ("ema=0.9", "keras", {}, "no warm-up"),
        ("mixup=0.2", "keras", {}, "one coefficient for each example"),
        ("group_lasso=0.1", "keras", {}, "Keras has no group_lasso"),
        ("label_smoothing=0.1", "keras", {"task": "regression"}, "for classes"),
        ("l2=0.1:schedule=cosine", "keras", {}, "no schedule for the strength of l2"),
        ("label_smoothing=0.1", "torch-sgd", {"task": "binary"}, "BCEWithLogitsLoss"),
        ("label_smoothing=0.1", "torch-sgd", {"task": "regression"}, "for classes"),
        ("max_norm=3", "torch-adam", {}, "no max_norm; code"),
        ("augment=0.2", "torch-sgd", {}, "no augmentation of its own"),
        ("augment=0.2", "keras", {}, "RandomFlip"),
        ("mixup=0.2 + ema=0.9", "torch-adamw", {}, "no mixup; code"),
        ("dropout=0.2:schedule=one_cycle", "torch-adam", {}, "no schedule for the strength of dropout"),
        ("early_stopping=5:on=score", "sklearn-mlp", {"rows": 9, "task": "binary"}, "rows of its own"),
        ("mixup=0.2", "sklearn-logistic", {"rows": 9}, "no mixup"),
        ("ema=0.9", "textbook", {"rows": 9}, "no word for ema"),
    ],
)
def test_no_equivalent_says_why(cocktail, dialect, facts, word):
    answer = to_dialect(cocktail, dialect, **facts)
    assert isinstance(answer, NoEquivalent)
    assert word in str(answer)


def test_every_ingredient_is_told_or_refused_by_name():
    values = {"max_norm": "3", "batch_norm": None, "early_stopping": "5", "mixup": "0.2"}
    for kind in INGREDIENTS:
        value = values.get(kind, "0.1")
        text = kind if value is None else f"{kind}={value}"
        for name in DIALECTS:
            task = "regression" if name in ("sklearn-ridge", "sklearn-lasso", "sklearn-elastic-net") else "multiclass"
            answer = to_dialect(text, name, rows=40, task=task, layers=None)
            plain = to_dialect("none", name, rows=40, task=task)
            if answer:
                assert answer.arguments != plain.arguments, (kind, name)
            else:
                assert answer.reasons, (kind, name)


def test_what_does_nothing_is_no_reason():
    idle = "mixup=0:schedule=cosine + ema=0 + max_norm=inf + gradient_clipping=inf + label_smoothing=0 + input_noise=0"
    for name in DIALECTS:
        told = to_dialect(idle, name, rows=40, task="binary" if name == "sklearn-logistic" else "regression")
        assert isinstance(told, Equivalent), told
    assert from_dialect("keras", **to_dialect(idle, "keras").arguments) == Cocktail()


def test_label_smoothing_in_torch_needs_the_task():
    with pytest.raises(SettingError, match="needs task"):
        to_dialect(LabelSmoothing(0.1), "torch-sgd")


def test_all_reasons_are_given():
    answer = to_dialect("l1=0.1 + dropout=0.2 + early_stopping=3", "sklearn-mlp", rows=40, task="binary")
    assert len(answer.reasons) == 3


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: to_dialect("l2=0.1", "sklearn-rigde", rows=9), "did you mean sklearn-ridge"),
        (lambda: to_dialect("l2=0.1", "???"), "Known: textbook"),
        (lambda: to_dialect("l2=0.1", "textbook"), "needs rows"),
        (lambda: to_dialect("l2=0.1", "sklearn-mlp", rows=9), "needs task"),
        (lambda: to_dialect("l2=(0.1, 0.2)", "keras", layers=3), "2 values"),
        (lambda: to_dialect("l2=(0.1, 0.2) + weight_decay=(1, 2, 3)", "torch-sgd", optimizer="gd"), "equally many"),
        (lambda: from_dialect("sklearn-ridge", rows=9), "needs alpha"),
        (lambda: from_dialect("sklearn-ridge", alpha=1.0), "needs rows"),
        (lambda: from_dialect("sklearn-ridge", alpha=1.0, rows=0), "at least 1"),
        (lambda: from_dialect("sklearn-ridge", alpha=1.0, rows=2.5), "at least 1"),
        (lambda: from_dialect("sklearn-ridge", alpha=-1.0, rows=9), "negative"),
        (lambda: from_dialect("sklearn-ridge", alpha=(1.0, 2.0), rows=9), "one number"),
        (lambda: from_dialect("sklearn-ridge", beta=1.0, rows=9), "no argument 'beta'"),
        (lambda: from_dialect("sklearn-logistic", C=0.0, rows=9), "above 0"),
        (lambda: from_dialect("sklearn-logistic", C=math.nan, rows=9), "above 0"),
        (lambda: from_dialect("sklearn-mlp", alpha=1.0, rows=9, task="ranking"), "Unknown task"),
        (lambda: from_dialect("textbook", lambda_=0.7, rows=9, keep_prob=0.0), "keep_prob"),
        (lambda: from_dialect("keras", patience=3, monitor="val_mse"), "not 'val_mse'"),
        (lambda: from_dialect("keras", max_norm=0), "above 0"),
        (lambda: from_dialect("torch-sgd", weight_decay=0.0, label_smoothing=2.0), "at most 1"),
    ],
)
def test_wrong_use_is_refused(call, word):
    with pytest.raises(SettingError, match=word.replace("?", r"\?")):
        call()


def test_documentation_names_every_dialect_and_argument():
    page = (Path(__file__).parent.parent / "docs" / "dialects.md").read_text(encoding="utf-8")
    for name, dialect in DIALECTS.items():
        assert f"`{name}`" in page
        for argument in dialect.arguments:
            assert f"`{argument}`" in page, (name, argument)
