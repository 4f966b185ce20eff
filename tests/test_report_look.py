"""What a report chooses to show, how it writes names and numbers, and whether its colours can be told apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
from records_factory import HOSTILE, comparison, interval, run_record

from wellfit.report.answer import score_of
from wellfit.report.sections import MAX_CURVES, distinct, notable
from wellfit.report.table import best_first
from wellfit.report.text import amount, clean, number, printable, short
from wellfit.report.theme import DARK, LIGHT, ROLES

# Choices


def test_best_comes_first_and_diverged_last() -> None:
    for task, sign in (("binary", 1), ("regression", -1)):
        told = comparison(task)
        means = [r.score.mean for r in best_first(told) if r.score]
        assert means == sorted(means, key=lambda v: -sign * v)
        assert best_first(told)[-1].diverged


def test_notable_cocktails_hold_what_a_reader_looks_for() -> None:
    record = run_record(cocktails=40)
    chosen = [r.cocktail for r in notable(record.comparison, record.portraits)]
    ranked = [r for r in best_first(record.comparison) if r.score]
    assert len(chosen) == MAX_CURVES
    assert {"none", record.comparison.winner, ranked[-1].cocktail, *(p.cocktail for p in record.portraits)} <= set(
        chosen
    )
    few = comparison(cocktails=4)
    assert notable(few, ()) == best_first(few)


def test_a_cocktail_is_portrayed_once_in_the_order_given() -> None:
    record = run_record()
    assert [p.role for p in record.portraits] == ["none", "l2", "dropout", "winner"]
    assert [p.role for p in distinct(record.portraits)] == ["none", "l2", "dropout"]


def test_scores_are_read_in_whatever_form_they_come() -> None:
    assert score_of({"score": 1, "interval": [0, 2]}) == (1, 0, 2)
    assert score_of({"score": 1, "interval": {"low": 0, "high": 2}}) == (1, 0, 2)
    assert score_of({"score": 1, "interval": interval(1, 1)}) == (1, 0, 2)
    assert score_of({"score": math.nan, "interval": None}) == (None, None, None)
    assert score_of(None) == (None, None, None)


# Text


def test_numbers() -> None:
    assert number(-2.7e-17, 3, signed=True) == "0.000"
    assert number(math.inf, 3) == "–"
    assert number(4e12, 2) == "4.00·10¹²"
    assert number(-3e-12, 8, signed=True) == "−3.00·10⁻¹²"
    assert short(2.5e-7) == "2.5·10⁻⁷"
    assert amount(-1e-9, 3) == "0.000"
    assert number(-0.0004, 3) == "0.000"


def test_clean_leaves_one_short_harmless_line() -> None:
    for name in HOSTILE:
        line = clean(name, 40)
        assert len(line) <= 40
        assert "\n" not in line
        line.encode("utf-8")
    assert clean("a" * 10_000_000) == clean("a" * 500)
    assert clean("first_" + "m" * 100 + "_last").endswith("_last")
    assert printable("run 'a\u202eb'") == "run 'a\\u202eb'"
    assert printable("\ud800") == "\\ud800"


# Colours


def luminance(colour: str) -> float:
    """WCAG 2.1 relative luminance."""
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def linear(colour: str) -> np.ndarray:
    s = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira & Fernandes 2009, severity 1.0: protanopia, deuteranopia, tritanopia.
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(scheme: dict[str, str]) -> None:
    for name in ("ink", "muted", "winner", "better", "worse", "train"):
        for ground in ("paper", "panel"):
            assert contrast(scheme[name], scheme[ground]) >= 4.5, (name, ground)
    for name in ("undecided", "validation", *ROLES, "class0", "class1"):
        assert contrast(scheme[name], scheme["paper"]) >= 3, name


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("kind", sorted(BLIND))
def test_colours_differ_for_colour_blind_readers(kind: str, scheme: dict[str, str]) -> None:
    for a, b in (("train", "validation"), ("class0", "class1"), ("class1", "class2"), ("better", "worse")):
        seen = [lab(np.array(BLIND[kind]) @ linear(scheme[name])) for name in (a, b)]
        assert np.linalg.norm(seen[0] - seen[1]) > 15, (a, b)


def test_each_colour_is_one_of_its_own() -> None:
    for scheme in (LIGHT, DARK):
        assert len(set(scheme.values())) == len(scheme)
    assert LIGHT.keys() == DARK.keys()
