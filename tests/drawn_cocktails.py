"""Cocktails drawn by Hypothesis: every ingredient with all of its strengths and options, and what may be mixed."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from wellfit.cocktail import (
    EMA,
    INGREDIENTS,
    L1,
    L2,
    Augment,
    BatchNorm,
    Cocktail,
    Dropout,
    EarlyStopping,
    ElasticNet,
    GradientClipping,
    GroupLasso,
    InputDropout,
    InputNoise,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Strong,
    WeightDecay,
)
from wellfit.cocktail.schedules import SCHEDULES

NUMBERS = st.floats(0, 1e300) | st.integers(0, 10**9)
RATES = st.floats(0, 1, exclude_max=True)
BOUNDS = st.floats(0, math.inf, exclude_min=True) | st.integers(1, 10**9)
WHEN = st.sampled_from(SCHEDULES)


def per_layer(one):
    return one | st.lists(one, min_size=1, max_size=4).map(tuple)


def strong(kind, strength, *options):
    return st.builds(kind, strength, *options, schedule=WHEN)


ONE_EACH = {
    "l1": strong(L1, per_layer(NUMBERS)),
    "l2": strong(L2, per_layer(NUMBERS)),
    "elastic_net": strong(ElasticNet, per_layer(NUMBERS), st.floats(0, 1)),
    "group_lasso": strong(GroupLasso, NUMBERS),
    "weight_decay": strong(WeightDecay, per_layer(NUMBERS)),
    "max_norm": strong(MaxNorm, per_layer(BOUNDS)),
    "batch_norm": st.just(BatchNorm()),
    "dropout": strong(Dropout, per_layer(RATES)),
    "input_dropout": strong(InputDropout, RATES),
    "input_noise": strong(InputNoise, NUMBERS),
    "label_smoothing": strong(LabelSmoothing, st.floats(0, 1)),
    "mixup": strong(Mixup, st.just(0.0) | st.floats(1e-3, 1e300)),
    "augment": st.builds(
        Augment,
        st.floats(0, 1),
        schedule=WHEN,
        rotation=st.none() | st.floats(1e-9, 180),
        noise=st.none() | NUMBERS.filter(bool),
        erasing=st.none() | st.floats(1e-9, 1),
    ),
    "gradient_clipping": strong(GradientClipping, BOUNDS),
    "ema": strong(EMA, RATES),
    "early_stopping": st.builds(
        EarlyStopping, st.integers(1, 10**6), st.floats(0, 1e6), on=st.sampled_from(("loss", "score"))
    ),
}
LAYERED = {L1, L2, ElasticNet, WeightDecay, MaxNorm, Dropout}
STRONG = [kind for kind in INGREDIENTS.values() if issubclass(kind, Strong)]


@st.composite
def subsets(draw):
    """Ingredients that may be mixed, in any order: no kind twice, elastic net without l1 and l2."""
    names = draw(st.permutations(list(ONE_EACH)))
    names = names[: draw(st.integers(0, len(names)))]
    if "elastic_net" in names:
        names = [n for n in names if n not in ("l1", "l2")]
    return [draw(ONE_EACH[n]) for n in names]


def mixed(parts):
    whole = Cocktail()
    for part in parts:
        whole = whole + part
    return whole
