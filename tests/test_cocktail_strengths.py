"""What a cocktail comes to in a network: strengths per layer, and the schedules that they follow."""

from __future__ import annotations

import itertools
import math

import pytest
from drawn_cocktails import LAYERED, ONE_EACH, STRONG, WHEN, mixed, subsets
from hypothesis import given
from hypothesis import strategies as st
from peers import import_torch

from wellfit.cocktail import (
    EMA,
    L1,
    L2,
    Augment,
    BatchNorm,
    Cocktail,
    Dropout,
    EarlyStopping,
    ElasticNet,
    GradientClipping,
    LabelSmoothing,
    MaxNorm,
    Mixup,
    Strong,
    WeightDecay,
    as_cocktail,
)
from wellfit.cocktail.schedules import SCHEDULES, schedule_factor
from wellfit.errors import SettingError

# ---- strengths per layer ------------------------------------------------------------------------------------------


def test_resolve_spreads_one_number_over_all_layers():
    s = (L1(0.1) + L2(0.2) + WeightDecay(0.3) + Dropout(0.4) + EarlyStopping(5)).resolve(3)
    assert s.l1 == (0.1,) * 3
    assert s.l2 == (0.2,) * 3
    assert s.weight_decay == (0.3,) * 3
    assert s.dropout == (0.4,) * 2
    assert s.early_stopping == EarlyStopping(5)


def test_resolve_keeps_one_per_layer():
    s = (L1((0.1, 0, 0.3)) + L2((1, 2, 3)) + WeightDecay((0, 0, 1)) + Dropout((0.4, 0))).resolve(3)
    assert s.l1 == (0.1, 0, 0.3)
    assert s.l2 == (1, 2, 3)
    assert s.weight_decay == (0, 0, 1)
    assert s.dropout == (0.4, 0)
    assert s.early_stopping is None


def test_resolve_of_none_and_of_a_linear_network():
    s = Cocktail().resolve(1)
    assert (s.l1, s.l2, s.weight_decay, s.dropout, s.early_stopping) == ((0,), (0,), (0,), (), None)
    assert as_cocktail(L2(0.1)).resolve(1).l2 == (0.1,)
    with pytest.raises(SettingError, match="a linear network has none"):
        as_cocktail(Dropout(0.1)).resolve(1)


@given(st.floats(0, 1e6), st.floats(0, 1), st.integers(1, 5))
def test_elastic_net_is_l1_and_l2(strength, ratio, layers):
    s = as_cocktail(ElasticNet(strength, ratio)).resolve(layers)
    assert s.l1 == (strength * ratio,) * layers
    assert s.l2 == (strength * (1 - ratio),) * layers
    many = as_cocktail(ElasticNet((strength, 0.0), ratio)).resolve(2)
    assert many.l1 == (strength * ratio, 0)
    assert many.l2 == (strength * (1 - ratio), 0)


@pytest.mark.parametrize("kind", [L1, L2, WeightDecay, ElasticNet, MaxNorm])
def test_a_wrong_count_of_strengths_is_refused(kind):
    with pytest.raises(SettingError, match="2 values, but this network has 3 places"):
        as_cocktail(kind((0.1, 0.2))).resolve(3)


def test_dropout_counts_hidden_layers():
    with pytest.raises(SettingError, match="3 values, but this network has 2 places"):
        as_cocktail(Dropout((0.1, 0.2, 0.3))).resolve(3)


@given(subsets())
def test_resolve_gives_every_strength_its_field(parts):
    parts = [p for p in parts if not isinstance(getattr(p, "strength", None), tuple)]
    s = mixed(parts).resolve(3)
    for part in parts:
        if type(part) in LAYERED - {ElasticNet}:
            assert getattr(s, part.name) == (part.strength,) * (2 if isinstance(part, Dropout) else 3)
        elif isinstance(part, Augment):
            assert s.augment == (part if part.strength else None)
        elif isinstance(part, Strong) and not isinstance(part, ElasticNet):
            assert getattr(s, part.name) == part.strength
    names = {p.name for p in parts}
    assert s.batch_norm == ("batch_norm" in names)
    assert (s.early_stopping is not None) == ("early_stopping" in names)
    told = {p.name: p.schedule for p in parts if isinstance(p, Strong) and p.schedule != "constant"}
    if "elastic_net" in told:
        told["l1"] = told["l2"] = told.pop("elastic_net")
    assert s.schedules == told
    assert all(hasattr(s, name) for name in s.schedules)


def test_resolve_of_none_does_nothing():
    s = Cocktail().resolve(2)
    assert s.max_norm == (math.inf,) * 2
    assert s.gradient_clipping == math.inf
    assert (s.group_lasso, s.input_dropout, s.input_noise, s.label_smoothing, s.mixup, s.ema) == (0,) * 6
    assert s.batch_norm is False
    assert s.schedules == {}


def test_bounds_and_schedules_per_layer():
    s = (MaxNorm((3, math.inf), schedule="cosine") + L1(0.1) + EMA(0.9, schedule="one_cycle")).resolve(2)
    assert s.max_norm == (3, math.inf)
    assert s.schedules == {"max_norm": "cosine", "ema": "one_cycle"}
    net = as_cocktail(ElasticNet(0.1, 0.3, schedule="flat_cosine")).resolve(2)
    assert net.schedules == {"l1": "flat_cosine", "l2": "flat_cosine"}


@pytest.mark.parametrize("item", [BatchNorm(), Dropout(0.1)])
def test_hidden_layers_are_needed(item):
    with pytest.raises(SettingError, match=f"{item.name} acts on hidden layers, and a linear network has none"):
        as_cocktail(item).resolve(1)


@given(st.data())
def test_an_ingredient_acts_unless_its_strength_is_none(data):
    for kind in STRONG:
        item = data.draw(ONE_EACH[kind.name])
        strengths = item.strength if isinstance(item.strength, tuple) else (item.strength,)
        none = math.inf if kind in (MaxNorm, GradientClipping) else 0
        assert item.acts == any(s != none for s in strengths)
    assert BatchNorm().acts
    assert EarlyStopping().acts


def test_strengths_at_the_edge_are_allowed():
    assert LabelSmoothing(1).strength == 1
    assert Mixup(0.001).strength == 0.001
    assert not Mixup(0).acts
    assert not MaxNorm(math.inf).acts
    assert MaxNorm((math.inf, 3)).acts


# ---- schedules ----------------------------------------------------------------------------------------------------


@given(WHEN, st.floats(0, 1), st.floats(0, 1))
def test_schedules_stay_between_0_and_1(schedule, a, b):
    early, late = sorted((a, b))
    for progress in (early, late):
        assert 0 <= schedule_factor(schedule, progress) <= 1
    if schedule != "one_cycle" or early >= 0.3:  # else it may still rise
        assert schedule_factor(schedule, late) <= schedule_factor(schedule, early) + 1e-15


def test_schedules_begin_and_end():
    ends = {name: (schedule_factor(name, 0.0), schedule_factor(name, 1.0)) for name in SCHEDULES}
    assert ends["constant"] == (1, 1)
    assert ends["cosine"] == (1, 0)
    assert ends["flat_cosine"] == (1, 0)
    assert ends["one_cycle"] == pytest.approx((1 / 25, 1 / 250_000), rel=1e-12)
    assert schedule_factor("one_cycle", 0.3) == 1
    assert {schedule_factor("flat_cosine", p / 10) for p in range(6)} == {1}
    # Without jumps: a step of 1/10,000 moves no schedule by more than 1/1,000.
    for name in SCHEDULES:
        values = [schedule_factor(name, p / 10_000) for p in range(10_001)]
        assert max(abs(x - y) for x, y in itertools.pairwise(values)) < 1e-3


def torch_rates(scheduler, steps):
    """The learning rates that a PyTorch scheduler gives to steps 0, 1, ..., relative to 1."""
    torch = import_torch()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))], lr=1.0)
    schedule, rates = scheduler(torch.optim.lr_scheduler, optimizer), []
    for i in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if i < steps - 1:
            schedule.step()
    return rates


def test_cosine_is_that_of_pytorch():
    theirs = torch_rates(lambda kinds, opt: kinds.CosineAnnealingLR(opt, T_max=50), 50)
    assert [schedule_factor("cosine", i / 50) for i in range(50)] == pytest.approx(theirs, abs=1e-12)
    flat = torch_rates(
        lambda kinds, opt: kinds.SequentialLR(
            opt, [kinds.ConstantLR(opt, 1.0), kinds.CosineAnnealingLR(opt, T_max=25)], [25]
        ),
        50,
    )
    assert [schedule_factor("flat_cosine", i / 50) for i in range(50)] == pytest.approx(flat, abs=1e-12)


def test_one_cycle_is_that_of_pytorch():
    """PyTorch's top lies one step early, at 0.3 total - 1, and its end at the last step: so its progress is ours."""
    total = 100
    theirs = torch_rates(lambda kinds, opt: kinds.OneCycleLR(opt, max_lr=1.0, total_steps=total), total)
    top = 0.3 * total - 1
    progress = [0.3 * i / top if i <= top else 0.3 + 0.7 * (i - top) / (total - 1 - top) for i in range(total)]
    assert [schedule_factor("one_cycle", p) for p in progress] == pytest.approx(theirs, abs=1e-12)
