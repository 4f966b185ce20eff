"""Cocktails as values: the text form both ways, refusals with reasons, the laws of mixing, strengths per layer."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellfit as wf
from wellfit.cocktail import (
    L1,
    L2,
    Cocktail,
    Dropout,
    EarlyStopping,
    ElasticNet,
    Ingredient,
    WeightDecay,
    as_cocktail,
    as_cocktails,
)
from wellfit.cocktail.ingredients import INGREDIENTS
from wellfit.errors import SettingError, WellfitError

NUMBERS = st.floats(0, 1e300) | st.integers(0, 10**9)
RATES = st.floats(0, 1, exclude_max=True)


def per_layer(one):
    return one | st.lists(one, min_size=1, max_size=4).map(tuple)


ONE_EACH = {
    "l1": st.builds(L1, per_layer(NUMBERS)),
    "l2": st.builds(L2, per_layer(NUMBERS)),
    "elastic_net": st.builds(ElasticNet, per_layer(NUMBERS), st.floats(0, 1)),
    "weight_decay": st.builds(WeightDecay, per_layer(NUMBERS)),
    "dropout": st.builds(Dropout, per_layer(RATES)),
    "early_stopping": st.builds(EarlyStopping, st.integers(1, 10**6), st.floats(0, 1e6)),
}


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
        ("dropout=1", "would drop everything"),
        ("dropout=(0.1, 1.5)", "would drop everything"),
        ("dropout=-0.1", "cannot be negative"),
        ("elastic_net=1e-3:l1_ratio=1.5", "between 0"),
        ("elastic_net=1e-3:l1_ratio=x", "must be a number"),
        ("elastic_net=1e-3:ratio=0.5", "has no option 'ratio'"),
        ("l2=0.1:l1_ratio=0.5", "has no option 'l1_ratio'"),
        ("early_stopping=0", "at least 1"),
        ("early_stopping=2.5", "whole number"),
        ("early_stopping=5:min_delta=-1", "cannot be negative"),
        ("dropuot=0.2", "did you mean dropout"),
        ("l3=0.2", "did you mean l"),
        ("mixup=0.2", "Known: l1, l2"),
        ("", "Unknown ingredient"),
        ("l2=0.1 + ", "Unknown ingredient"),
        ("l2=0.1 + none", "Unknown ingredient"),
        ("l2=0.1 + l2=0.2", "stands twice"),
        ("l2=0.1 dropout=0.2", "must be a number"),
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


@given(st.text("l12=+.e-()0,: dropuf_nstg", max_size=30))
def test_almost_right_texts_are_read_or_refused(text):
    test_any_text_is_read_or_refused.hypothesis.inner_test(text)


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


@pytest.mark.parametrize("kind", [L1, L2, WeightDecay, ElasticNet])
def test_a_wrong_count_of_strengths_is_refused(kind):
    with pytest.raises(SettingError, match="2 values, but this network has 3 places"):
        as_cocktail(kind((0.1, 0.2))).resolve(3)


def test_dropout_counts_hidden_layers():
    with pytest.raises(SettingError, match="3 values, but this network has 2 places"):
        as_cocktail(Dropout((0.1, 0.2, 0.3))).resolve(3)


def test_ingredients_are_values():
    assert L2([0.1, 0.2]) == L2((0.1, 0.2))
    assert L2(1) == L2(1.0)
    assert L1(0.1) != L2(0.1)
    assert len({L2(0.1), L2(0.1), L1(0.1)}) == 2
    with pytest.raises(AttributeError):
        L2(0.1).strength = 3
    assert all(issubclass(kind, Ingredient) for kind in INGREDIENTS.values())
