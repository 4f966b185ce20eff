"""Cocktails as values: the text form both ways, the laws of mixing, refusals with reasons."""

from __future__ import annotations

import math
import pickle

import pytest
from drawn_cocktails import LAYERED, ONE_EACH, STRONG, mixed, subsets
from hypothesis import given
from hypothesis import strategies as st

import wellfit as wf
from wellfit.cocktail import (
    EMA,
    INGREDIENTS,
    L1,
    L2,
    BatchNorm,
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
    as_cocktails,
)
from wellfit.errors import SettingError, WellfitError


def test_every_ingredient_is_tried_here():
    assert set(ONE_EACH) == set(INGREDIENTS)


# ---- the text form ------------------------------------------------------------------------------------------------


@given(subsets())
def test_text_reads_back_as_the_same_cocktail(parts):
    cocktail = mixed(parts)
    text = str(cocktail)
    assert Cocktail.parse(text) == cocktail
    assert str(Cocktail.parse(text)) == text
    assert as_cocktail(text) == cocktail
    assert pickle.loads(pickle.dumps(cocktail)) == cocktail


@given(st.lists(subsets(), min_size=1, max_size=4))
def test_lists_read_back(many):
    cocktails = [mixed(parts) for parts in many]
    unique = tuple(dict.fromkeys(cocktails))
    assert as_cocktails("; ".join(map(str, cocktails))) == unique
    assert as_cocktails(cocktails) == unique


@pytest.mark.parametrize(
    ("text", "cocktail", "prints"),
    [
        ("l2=1e-3 + dropout=0.2", L2(1e-3) + Dropout(0.2), "l2=0.001 + dropout=0.2"),
        ("dropout=0.2+l2=1e-3", L2(1e-3) + Dropout(0.2), "l2=0.001 + dropout=0.2"),
        ("  L2 = 1E-3  ", L2(1e-3) + Cocktail(), "l2=0.001"),
        ("l2=1e+3 + l1=2", L1(2) + L2(1000), "l1=2 + l2=1000"),
        ("l2=1.e+3+l1=2", L1(2) + L2(1000), "l1=2 + l2=1000"),
        ("l1=5e+1+l2=3+dropout=0", L1(50) + L2(3) + Dropout(0), "l1=50 + l2=3 + dropout=0"),
        ("dropout=(0, 0.3)", Dropout((0, 0.3)) + Cocktail(), "dropout=(0, 0.3)"),
        ("dropout=0, 0.3", Dropout((0, 0.3)) + Cocktail(), "dropout=(0, 0.3)"),
        ("l2=(1e-3,)", L2((1e-3,)) + Cocktail(), "l2=(0.001,)"),
        ("weight-decay=0.01", WeightDecay(0.01) + Cocktail(), "weight_decay=0.01"),
        ("elastic_net=1e-3", ElasticNet(1e-3) + Cocktail(), "elastic_net=0.001:l1_ratio=0.5"),
        ("elastic_net=1e-3:l1_ratio=0.9", ElasticNet(1e-3, 0.9) + Cocktail(), "elastic_net=0.001:l1_ratio=0.9"),
        ("early_stopping", EarlyStopping() + Cocktail(), "early_stopping=20"),
        ("early_stopping=7:min_delta=1e-4", EarlyStopping(7, 1e-4) + Cocktail(), "early_stopping=7:min_delta=0.0001"),
        ("early_stopping:on=score", EarlyStopping(on="score") + Cocktail(), "early_stopping=20:on=score"),
        (
            "early_stopping=9:on=score:min_delta=0.01",
            EarlyStopping(9, 0.01, on="score") + Cocktail(),
            "early_stopping=9:min_delta=0.01:on=score",
        ),
        ("early_stopping=9:on=loss", EarlyStopping(9) + Cocktail(), "early_stopping=9"),
        ("l2=0.001:schedule=cosine", L2(1e-3, schedule="cosine") + Cocktail(), "l2=0.001:schedule=cosine"),
        ("l2=0.001 : schedule = constant", L2(1e-3) + Cocktail(), "l2=0.001"),
        (
            "dropout=(0.1, 0.2):schedule=one_cycle",
            Dropout((0.1, 0.2), schedule="one_cycle") + Cocktail(),
            "dropout=(0.1, 0.2):schedule=one_cycle",
        ),
        (
            "elastic_net=1e-3:schedule=flat_cosine:l1_ratio=0.9",
            ElasticNet(1e-3, 0.9, schedule="flat_cosine") + Cocktail(),
            "elastic_net=0.001:l1_ratio=0.9:schedule=flat_cosine",
        ),
        ("max_norm=(3, inf)", MaxNorm((3, math.inf)) + Cocktail(), "max_norm=(3, inf)"),
        ("max-norm=inf + Batch-Norm", MaxNorm(math.inf) + BatchNorm(), "max_norm=inf + batch_norm"),
        ("gradient_clipping=1e+3+ema=0.99", GradientClipping(1000) + EMA(0.99), "gradient_clipping=1000 + ema=0.99"),
        (
            "mixup=0.2 + label_smoothing=1 + input_noise=0.1 + input_dropout=0.1 + group_lasso=0.01",
            GroupLasso(0.01) + InputDropout(0.1) + InputNoise(0.1) + LabelSmoothing(1) + Mixup(0.2),
            "group_lasso=0.01 + input_dropout=0.1 + input_noise=0.1 + label_smoothing=1 + mixup=0.2",
        ),
        ("None", Cocktail(), "none"),
    ],
)
def test_text_forms(text, cocktail, prints):
    assert Cocktail.parse(text) == cocktail
    assert str(cocktail) == prints


def test_values_of_many_kinds_become_cocktails():
    assert as_cocktail(None) == Cocktail() == as_cocktail("none")
    assert as_cocktail(L2(0.1)) == Cocktail((L2(0.1),)) == as_cocktail(Cocktail((L2(0.1),)))
    assert as_cocktails([None, L2(0.1), "l2=0.1", "dropout=0.1"]) == (
        Cocktail(),
        as_cocktail(L2(0.1)),
        as_cocktail(Dropout(0.1)),
    )
    assert as_cocktails("none; l2=0.1;") == (Cocktail(), as_cocktail("l2=0.1"))


def test_public_names_are_these():
    assert wf.L2 is L2
    assert str(wf.L2((2e-3, 2e-3, 0)) + wf.Dropout((0.0, 0.3))) == "l2=(0.002, 0.002, 0) + dropout=(0, 0.3)"
    assert str(wf.ElasticNet(1e-3, l1_ratio=0.5)) == "elastic_net=0.001:l1_ratio=0.5"


def test_ingredients_are_values():
    assert L2(0.1) != L2(0.1, schedule="cosine")
    assert BatchNorm() == BatchNorm()
    assert L2([0.1, 0.2]) == L2((0.1, 0.2))
    assert L2(1) == L2(1.0)
    assert L1(0.1) != L2(0.1)
    assert len({L2(0.1), L2(0.1), L1(0.1)}) == 2
    with pytest.raises(AttributeError):
        L2(0.1).strength = 3
    assert all(issubclass(kind, Ingredient) for kind in INGREDIENTS.values())


# ---- mixing -------------------------------------------------------------------------------------------------------


@given(subsets(), st.randoms())
def test_mixing_is_commutative_and_associative_with_none_as_neutral(parts, random):
    whole = mixed(parts)
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert mixed(shuffled) == whole
    assert hash(mixed(shuffled)) == hash(whole)
    assert str(mixed(shuffled)) == str(whole)
    at = len(parts) // 2
    assert mixed(parts[:at]) + mixed(parts[at:]) == whole
    assert mixed(parts[at:]) + mixed(parts[:at]) == whole
    assert whole + Cocktail() == Cocktail() + whole == whole
    for part in parts:
        assert whole.get(type(part)) is part


@given(st.permutations(list(ONE_EACH)), st.data())
def test_ingredients_mix_from_either_side(names, data):
    a, b = (data.draw(ONE_EACH[n]) for n in [n for n in names if n != "elastic_net"][:2])
    assert a + b == b + a == Cocktail((a,)) + b == a + Cocktail((b,))
    assert isinstance(a + b, Cocktail)


def test_ingredients_mix_with_nothing_else():
    with pytest.raises(TypeError):
        Cocktail() + 3
    with pytest.raises(SettingError):
        as_cocktail(3)


@given(subsets())
def test_an_ingredient_comes_once(parts):
    for part in parts:
        with pytest.raises(SettingError, match=f"{part.name} stands twice"):
            mixed(parts) + part


@pytest.mark.parametrize(("first", "second"), [(ElasticNet(1e-3), L1(1e-3)), (L2(1e-3), ElasticNet(1e-3))])
def test_elastic_net_holds_l1_and_l2_already(first, second):
    with pytest.raises(SettingError, match="elastic_net already holds"):
        first + second


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("l2", "l2 needs a strength"),
        ("l2=", "must be a number"),
        ("l2=abc", "must be a number"),
        ("l2=nan", "must be finite"),
        ("l1=inf", "must be finite"),
        ("l2=-0.1", "cannot be negative"),
        ("l2=(0.1, -0.1)", "cannot be negative"),
        ("l2=()", "must be a number"),
        ("l2=(0.1, , 0.2)", "must be a number"),
        ("dropout=1", "dropout must be below 1: 1.0 is too much"),
        ("dropout=(0.1, 1.5)", "1.5 is too much"),
        ("input_dropout=1", "is too much"),
        ("ema=1", "ema must be below 1: 1.0 is too much"),
        ("label_smoothing=-0.1", "cannot be negative"),
        ("input_noise=-1", "cannot be negative"),
        ("input_noise=inf", "must be finite"),
        ("group_lasso=-1", "cannot be negative"),
        ("mixup=-0.2", "cannot be negative"),
        ("mixup=0.0009", "mixup below 0.001 mixes nothing"),
        ("mixup=inf", "must be finite"),
        ("max_norm=0", "max_norm is an upper bound and must be above 0"),
        ("max_norm=(3, 0)", "must be above 0"),
        ("max_norm=-inf", "must be finite"),
        ("gradient_clipping=-1", "must be above 0"),
        ("gradient_clipping=nan", "must be finite"),
        ("batch_norm=1", "batch_norm is on or off and takes no value"),
        ("batch_norm=", "takes no value"),
        ("batch_norm:schedule=cosine", "has no option 'schedule'"),
        ("early_stopping=5:schedule=cosine", "has no option 'schedule'"),
        ("early_stopping=5:on=accuracy", "cannot watch 'accuracy'. Known: loss, score"),
        ("l2=0.1:schedule=linear", "Unknown schedule 'linear'. Known: constant, cosine, one_cycle, flat_cosine"),
        ("l2=0.1:schedule", "Unknown schedule ''"),
        ("l2=0.1:on=score", "has no option 'on'"),
        ("l2=0.1:strength=0.2", "has no option 'strength'"),
        ("dropout=-0.1", "cannot be negative"),
        ("l2=0.1:schedule=cosine:schedule=cosine", "stands twice"),
        ("label_smoothing=1.01", "at most 1"),
        ("elastic_net=1e-3:l1_ratio=1.5", "between 0"),
        ("elastic_net=1e-3:l1_ratio=x", "must be a number"),
        ("elastic_net=1e-3:ratio=0.5", "has no option 'ratio'"),
        ("l2=0.1:l1_ratio=0.5", "has no option 'l1_ratio'"),
        ("early_stopping=0", "at least 1"),
        ("early_stopping=2.5", "whole number"),
        ("early_stopping=5:min_delta=-1", "cannot be negative"),
        ("dropuot=0.2", "did you mean dropout"),
        ("l3=0.2", "did you mean l"),
        ("colour=0.2", "Known: l1, l2"),
        ("", "Unknown ingredient"),
        ("l2=0.1 + ", "Unknown ingredient"),
        ("l2=0.1 + none", "Unknown ingredient"),
        ("l2=0.1 + l2=0.2", "stands twice"),
        ("l2=0.1 dropout=0.2", "join those of one cocktail with +"),
        ("l2=0.1, dropout=0.2", "join those of one cocktail with +"),
        ("l2=0.1, batch-norm", "join those of one cocktail with +"),
        ("none, l2=0.1", "separate them with ;"),
        ("l2=0.1 0.2", "must be a number"),
    ],
)
def test_impossible_texts_are_refused_with_the_reason(text, words):
    with pytest.raises(SettingError, match=words) as caught:
        Cocktail.parse(text)
    assert "\n" not in str(caught.value)
    assert "{" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L1(-1),
        lambda: L2(float("nan")),
        lambda: L2(()),
        lambda: L2([0.1, "x"]),
        lambda: L2(None),
        lambda: Dropout(1.0),
        lambda: EarlyStopping(0),
        lambda: EarlyStopping("soon"),
        lambda: ElasticNet(0.1, 2),
        lambda: ElasticNet(0.1, None),
        lambda: L2(0.1, schedule="linear"),
        lambda: L2(0.1, schedule=None),
        lambda: EMA(1.0),
        lambda: MaxNorm(0),
        lambda: MaxNorm(()),
        lambda: MaxNorm(-math.inf),
        lambda: GradientClipping(None),
        lambda: LabelSmoothing(math.nextafter(1, 2)),
        lambda: Mixup(1e-4),
        lambda: EarlyStopping(on="accuracy"),
    ],
)
def test_impossible_values_are_refused(make):
    with pytest.raises(SettingError):
        make()


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        cocktail = Cocktail.parse(text)
    except WellfitError:
        return
    assert Cocktail.parse(str(cocktail)) == cocktail


@pytest.mark.parametrize("kind", [kind for kind in STRONG if kind not in LAYERED])
def test_some_ingredients_take_one_strength(kind):
    with pytest.raises(SettingError, match=f"{kind.name} takes one strength for the whole network"):
        kind((0.5, 0.5))
    with pytest.raises(SettingError, match="takes one strength"):
        Cocktail.parse(f"{kind.name}=(0.5, 0.5)")


@given(st.text("l12=+.e-()0,: dropuf_nstgbachmxiv", max_size=30))
def test_almost_right_texts_are_read_or_refused(text):
    test_any_text_is_read_or_refused.hypothesis.inner_test(text)
