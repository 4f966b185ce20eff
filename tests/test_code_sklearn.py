"""The scikit-learn scripts that `code` prints take our steps or reach our minimum, and say what it lacks."""

from __future__ import annotations

import numpy as np
import pytest
from code_scripts import Whole, check_predictions, cut, run, text_for
from peers import STEPS, TASKS, Trainer, apart

from wellfit.cocktail import L1, L2, Dropout, EarlyStopping, WeightDecay, as_cocktail
from wellfit.nets import MLP, Training


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize("cocktail", ["none", "l2=0.05", "weight_decay=0.1 + l2=0.05"])
def test_sklearn_script_takes_our_steps(task, batch_size, cocktail):
    network = MLP((6, 4), "tanh")
    training = Training("gd", 0.05, STEPS, batch_size, precision="float64")
    head, tail = cut(text_for(network, cocktail, training, task, "sklearn"), "with warnings")
    assert "LEFT OUT" not in head
    space = run(head, task)
    model = space["model"].set_params(shuffle=False)
    x, y = space["X_train"], space["y_train"]
    classes = {} if task == "regression" else {"classes": np.unique(y)}
    model.partial_fit(x, y, **classes)
    s = as_cocktail(cocktail).resolve(3)
    l2 = tuple(a + b for a, b in zip(s.l2, s.weight_decay, strict=True))
    trainer = Trainer(task, _sklearn_pairs(model), activation="tanh", lr=0.05, l2=l2)
    size = batch_size or 40
    factor = 2 if task == "regression" else 1
    assert factor * 0.5 * model.alpha * sum((w**2).sum() for w, _ in trainer.weights) / size == pytest.approx(
        trainer.penalty(), rel=1e-12
    )
    for _ in range(STEPS):
        model.partial_fit(x, y, **classes)
        for first in range(0, 40, size):
            trainer.step(x[first : first + size], y[first : first + size])
    assert apart(trainer, _sklearn_pairs(model)) < 1e-9
    run(tail, task, space=space)
    check_predictions(space, task)


def _sklearn_pairs(model):
    return [(w.T.copy(), b.copy()) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]


@pytest.mark.parametrize("task", TASKS)
def test_sklearn_script_says_what_it_leaves_out(task):
    cocktail = L1(1e-3) + L2((1e-2, 0.0, 1e-3)) + WeightDecay(1e-3) + Dropout(0.1) + EarlyStopping(4)
    training = Training("adam", 0.02, 15, 32, "cosine")
    text = text_for(MLP((16, 8), "gelu"), cocktail, training, task, "sklearn", rows=97)
    plain = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for words in (
        "l2 differs",
        "no L1 penalty",
        "no decoupled",
        "no dropout",
        "no cosine",
        "no gelu",
        "watches the score",
    ):
        assert words in plain, words
    space = run(text, task, rows=97)
    model = space["model"]
    assert model.early_stopping
    assert model.n_iter_no_change == 3
    assert model.alpha == 0
    assert [w.shape for w in model.coefs_] == [(5, 16), (16, 8), (8, 3 if task == "multiclass" else 1)]
    check_predictions(space, task, rows=97)


def test_sklearn_script_says_that_it_lacks_every_new_ingredient():
    lacking = ("group_lasso=0.1", "max_norm=3", "batch_norm", "input_dropout=0.1", "input_noise=0.1", "mixup=0.2",
               "label_smoothing=0.1", "gradient_clipping=1", "ema=0.9", "augment=0.5")  # fmt: skip
    for text in lacking:
        script = text_for(MLP((4,)), text, Training("gd", 0.1), "binary", "sklearn")
        assert f"LEFT OUT: scikit-learn's models have no {as_cocktail(text).ingredients[0].name}." in script
        idle = {"max_norm=3": "max_norm=inf", "gradient_clipping=1": "gradient_clipping=inf"}.get(text)
        idle = idle or (text.partition("=")[0] + "=0" if "=" in text else "none")
        assert "LEFT OUT" not in text_for(MLP((4,)), idle, Training("gd", 0.1), "binary", "sklearn")
    scheduled = text_for(MLP((4,)), "l2=0.1:schedule=cosine", Training(schedule="one_cycle"), "binary", "sklearn")
    assert "LEFT OUT: scikit-learn has no schedule for the strength of l2" in scheduled
    assert "LEFT OUT: scikit-learn has no one_cycle schedule" in scheduled
    on_score = text_for(MLP((4,)), "early_stopping=5:on=score", Training(), "binary", "sklearn").replace("\n# ", " ")
    assert "splits off rows of its own" in on_score
    linear = text_for(MLP(()), "l2=0.1 + mixup=0.2", Training(), "binary", "sklearn")
    assert "neural_network" in linear, "mixup makes the best solution another"
    run(linear, "binary")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("weights", ["balanced", "given"])
def test_sklearn_script_weighs_classes(task, weights):
    given = "balanced" if weights == "balanced" else (1.0, 3.0, 0.5)[: 2 if task == "binary" else 3]
    training = Training("gd", 0.05, STEPS, None, precision="float64", class_weights=given)
    # A linear network: the solution is where our weighted gradient is 0.
    space = run(text_for(MLP(()), "l2=0.05", training, task, "sklearn", rows=80), task, rows=80)
    model, x, y = space["model"], space["X_train"], space["y_train"]
    pair = (np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_))
    ours = Whole(task, [pair], as_cocktail("l2=0.05").resolve(1), training, "tanh")
    k = len(pair[1])
    found = ours.all_gradients(x, np.eye(k)[y] if k > 1 else y[:, None], ours.row_weights(y))
    assert np.abs(found[0, "w"] + 0.05 * pair[0]).max() < 1e-5
    assert np.abs(found[0, "b"]).max() < 1e-5
    # The multilayer perceptron, full batch: our steps.
    head, tail = cut(text_for(MLP((6, 4), "tanh"), "l2=0.05", training, task, "sklearn"), "with warnings")
    space = run(head, task)
    model, x, y = space["model"].set_params(shuffle=False), space["X_train"], space["y_train"]
    classes, weighted = {"classes": np.unique(y)}, {"sample_weight": space["row_weights"]}
    model.partial_fit(x, y, **classes, **weighted)
    ours = Whole(task, _sklearn_pairs(model), as_cocktail("l2=0.05").resolve(3), training, "tanh")
    for _ in range(STEPS):
        model.partial_fit(x, y, **classes, **weighted)
    assert apart(ours.run(x, y), _sklearn_pairs(model)) < 1e-9
    run(tail, task, space=space)
    check_predictions(space, task)


def test_sklearn_script_with_a_short_last_batch_keeps_the_strength_and_says_so():
    text = text_for(MLP((4,)), L2(0.05), Training(batch_size=16), "binary", "sklearn")
    assert "alpha=0.8," in text
    assert "LEFT OUT: 40 rows in batches of 16 leave a last batch of 8" in text.replace("\n# ", " ")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "cocktail", ["none", "l2=0.05", "l1=0.05", "l1=0.03 + l2=0.05", "elastic_net=0.1:l1_ratio=0.5"]
)
def test_sklearn_script_of_a_linear_network_minimizes_our_objective(task, cocktail):
    # Without a penalty classes must overlap for a minimum to exist: more rows make them.
    rows = 400 if cocktail == "none" else 80
    text = text_for(MLP(()), cocktail, Training(), task, "sklearn", rows=rows)
    space = run(text, task, rows=rows)
    assert "neural_network" not in text
    model, x, y = space["model"], space["X_train"], space["y_train"]
    s = as_cocktail(cocktail).resolve(1)
    coef = np.atleast_2d(model.coef_)
    [(dw, db)] = Trainer(task, [(coef, np.atleast_1d(model.intercept_))], l2=s.l2).gradients(x, y)
    assert np.abs(db).max() < 1e-5
    moved = coef != 0
    assert np.abs(dw[moved] + s.l1[0] * np.sign(coef[moved])).max() < 1e-5
    assert (np.abs(dw[~moved]) <= s.l1[0] + 1e-5).all()
    assert moved.all() or s.l1[0]
    check_predictions(space, task, rows=rows)


def test_sklearn_script_of_a_linear_network_that_stops_early_is_trained():
    text = text_for(MLP(()), EarlyStopping(3), Training(epochs=30), "binary", "sklearn")
    assert "hidden_layer_sizes=()" in text
    check_predictions(run(text, "binary"), "binary")
