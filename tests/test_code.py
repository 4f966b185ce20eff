"""What `code` prints for any library: Python of our own words, no ingredient dropped in silence; refusals."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest
from code_scripts import TRAININGS, text_for
from hypothesis import example, given, settings
from hypothesis import strategies as st
from peers import TASKS

from wellfit.cocktail import INGREDIENTS, L1, L2, Cocktail, Dropout, EarlyStopping, WeightDecay, as_cocktail
from wellfit.cocktail.dialects import to_dialect
from wellfit.cocktail.schedules import SCHEDULES
from wellfit.errors import SettingError
from wellfit.nets import MLP, Training
from wellfit.nets.code import LIBRARIES, code

STRENGTHS = st.one_of(st.floats(1e-6, 1.0), st.tuples(*[st.floats(0, 1.0)] * 3))


NEW = ("group_lasso=0.1", "max_norm=(1, inf, 2)", "batch_norm", "input_dropout=0.1", "input_noise=0.1", "mixup=0.2",
       "label_smoothing=0.1", "gradient_clipping=1", "ema=0.9", "augment=0.5")  # fmt: skip


OLD = {"l1", "l2", "elastic_net", "weight_decay", "dropout", "early_stopping"}


def test_every_ingredient_is_written():
    assert {text.partition("=")[0] for text in NEW} | OLD == set(INGREDIENTS)


@settings(max_examples=60)
@example(  # a call of the optimizer that does not fit into a line
    new=[("gradient_clipping=1", "constant")], loss="auto", weighted=False, activation="relu", l1=None, l2=None,
    decay=0.7244676760187252, drop=None, stop=None, task="binary", how="nesterov cosine", batch=None,
)  # fmt: skip
@given(
    new=st.lists(st.tuples(st.sampled_from(NEW), st.sampled_from(SCHEDULES)), max_size=9, unique_by=lambda n: n[0]),
    loss=st.sampled_from(("auto", "absolute", "huber:2", "quantile:0.1")),
    weighted=st.booleans(),
    activation=st.sampled_from(("relu", "leaky_relu", "gelu")),
    l1=st.none() | STRENGTHS,
    l2=st.none() | STRENGTHS,
    decay=st.none() | STRENGTHS,
    drop=st.none() | st.floats(0, 0.99),
    stop=st.none() | st.integers(1, 99),
    task=st.sampled_from(TASKS),
    how=st.sampled_from(list(TRAININGS)),
    batch=st.none() | st.integers(1, 100),
)
def test_every_script_is_python_of_our_own_words(
    new, loss, weighted, activation, l1, l2, decay, drop, stop, task, how, batch
):
    kinds = ((L1, l1), (L2, l2), (WeightDecay, decay), (Dropout, drop), (EarlyStopping, stop))
    cocktail = Cocktail(tuple(kind(value) for kind, value in kinds if value is not None))
    classes, plain = task != "regression", TRAININGS[how]["optimizer"] in ("gd", "sgd")
    for text, schedule in new:
        if (classes or "smoothing" not in text) and (plain or "lasso" not in text):
            cocktail += as_cocktail(text + (f":schedule={schedule}" if "=" in text else ""))
    weights = ("balanced" if classes else None) if weighted else None
    training = Training(**TRAININGS[how], batch_size=batch, loss="auto" if classes else loss, class_weights=weights)
    network = MLP((6, 4), activation)
    for dialect in LIBRARIES:
        if dialect == "sklearn" and training.loss != "auto":
            continue
        text = text_for(network, cocktail, training, task, dialect)
        ast.parse(text)
        assert text.isascii()
        assert max(map(len, text.splitlines())) <= 120
        assert text == text_for(network, cocktail, training, task, dialect)
        for item in cocktail.ingredients:  # none is dropped in silence, nor in PyTorch its schedule
            without = Cocktail(tuple(i for i in cocktail.ingredients if i != item))
            others = [without] if item.name not in OLD else []
            # What is left out as a whole is left out with its schedule.
            if dialect == "torch" and item.name != "augment" and getattr(item, "schedule", "constant") != "constant":
                others.append(without + replace(item, schedule="constant"))
            for other in others:
                assert body(text) != body(text_for(network, other, training, task, dialect)), item
        for change in ({"class_weights": None}, {"loss": "auto"}, {"schedule": "constant"}):
            other = replace(training, **change)
            if other != training:
                assert body(text) != body(text_for(network, cocktail, other, task, dialect)), change


def body(text):
    """A script below its title, which names the cocktail and the training."""
    return text.partition("# X: ")[2]


def test_strengths_come_from_the_dialects():
    told = to_dialect(L2(0.03), "keras").arguments["l2"]
    assert f"keras.regularizers.L2({told!r})" in text_for(MLP((4,)), L2(0.03), Training(), "binary", "keras")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dialect": "jax"}, "no code for 'jax'"),
        ({"task": "ranking"}, "Unknown task"),
        ({"outputs": 2}, "one output a class"),
        ({"inputs": 0}, "at least 1"),
        ({"rows": 1.5}, "whole number"),
        ({"seed": -1}, "at least 0"),
        ({"stop_share": 1.0}, "between 0 and 1"),
        ({"cocktail": Cocktail((L2((0.1, 0.2, 0.3)),))}, "3 values"),
        ({"cocktail": as_cocktail("group_lasso=0.1")}, "gd and sgd, not adam"),
        ({"cocktail": as_cocktail("label_smoothing=0.1"), "task": "regression"}, "label_smoothing is for classes"),
        ({"cocktail": as_cocktail("early_stopping:on=score"), "task": "regression"}, "on=score is for classes"),
        ({"training": Training(class_weights="balanced"), "task": "regression"}, "class_weights is for classes"),
        ({"training": Training(class_weights=(1, 2, 3))}, "3 numbers for 2 classes"),
        ({"training": Training(loss="huber")}, "loss huber is for regression"),
        (
            {"training": Training(loss="huber"), "task": "regression", "dialect": "sklearn"},
            "no code for the loss huber",
        ),
    ],
)
def test_wrong_use_is_refused(change, word):
    right = {"network": MLP((4,)), "cocktail": Cocktail(), "training": Training(), "inputs": 2, "outputs": 1,
             "task": "binary", "rows": 9, "dialect": "torch"}  # fmt: skip
    values = {**right, **change}
    with pytest.raises(SettingError, match=word):
        code(values.pop("network"), values.pop("cocktail"), values.pop("training"), **values)
