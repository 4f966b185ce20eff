"""What a linear path says and shows of its coefficients: the words, the figure, the section of the page."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from html_page import Page, only_own_scripts
from hypothesis import given, settings
from hypothesis import strategies as st
from records_factory import HOSTILE, run_record

import wellfit as wf
from wellfit import rng
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.records import Coefficients, Interval, Path
from wellfit.report.figures.coefficients import (
    MOST_LINES,
    MOST_NAMED,
    MOST_PANELS,
    coefficients_figure,
    coefficients_label,
    coefficients_svg,
)
from wellfit.report.figures.path import places
from wellfit.report.page import render
from wellfit.report.path_text import linear_sentences, rows, sentences, strongest, title, units_of, value, weights
from wellfit.report.theme import LIGHT


@lru_cache
def path(data: str = "diabetes", over: str = "l1", points: int = 8) -> Path:
    return wf.path(data, over, points=points, network="linear", folds=3)


def made(standardized, *, best: int, rule: int, names=None, outputs=("y",), exists=None, task="regression") -> Path:
    """A path with these standardized coefficients, (P, k, d); the columns' own units are ten times smaller."""
    weights_ = np.asarray(standardized, dtype=float)
    count, k, d = weights_.shape
    linear = Coefficients(
        names=tuple(names or (f"x{j}" for j in range(d))),
        outputs=tuple(outputs),
        standardized=weights_,
        coefficients=weights_ * 10,
        intercepts=np.full((count, k), 7.0),
        freedom=np.linspace(d, 0, count),
        exists=np.ones(count, dtype=bool) if exists is None else np.asarray(exists),
    )
    strengths = np.append(0.0, np.geomspace(1e-3, 1.0, count - 1))
    losses, intervals, whole = np.ones((count, 3, 1)), (Interval(1.0, 0.9, 1.1, ""),) * count, np.zeros(count)
    return replace(
        path(), task=task, strengths=strengths, cocktails=("none",) * count, best=best, one_standard_error=rule,
        right=np.arange(count) == best, losses=losses, train_losses=losses, scores=losses, loss=intervals,
        train_loss=intervals, score=intervals, diverged=whole, zeros=whole, inputs_used=whole,
        units=np.full((count, 3), np.nan), weight_norms=np.ones((count, 1)), linear=linear,
    )  # fmt: skip


def funnel(count: int = 6, d: int = 3, k: int = 1) -> np.ndarray:
    """Coefficients that shrink to 0 along the path, feature j of size j + 1."""
    return np.linspace(1, 0, count)[:, None, None] * np.arange(1.0, d + 1) * np.ones((1, k, 1))


def drawn(figure, gid: str, panel: int = 0):
    return [found for found in figure.axes[panel].lines if found.get_gid() == gid]


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts]


# The figure ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", ["l1", "l2", "elastic_net"])
def test_each_named_feature_is_a_line_along_the_strengths(over: str) -> None:
    found = path(over=over)
    figure, x = coefficients_figure(found), places(found)
    for j in range(len(found.linear.names)):
        (line,) = drawn(figure, f"feature {j}")
        y, wanted = np.asarray(line.get_ydata()), found.linear.standardized[1:, 0, j]
        np.testing.assert_array_equal(line.get_xdata(), x[1:])
        np.testing.assert_allclose(np.nan_to_num(y), wanted)
        assert (np.isfinite(y) | (wanted == 0)).all(), "only zeros are left out"
    chosen = [line.get_xdata()[0] for line in drawn(figure, "chosen")]
    assert chosen == [x[p] for p in dict.fromkeys((found.best, found.one_standard_error))]
    said = texts(figure)
    assert {*found.linear.names, "standardized coefficient", "degrees of freedom", say(f"path.axis_{over}")} <= set(
        said
    )
    assert f"best {value(found, found.best)}" in said
    assert f"1-SE {value(found, found.one_standard_error)}" in said
    ticks = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert ticks[0] == "none"
    assert len(ticks) >= 3


def test_degrees_of_freedom_stand_above_their_strengths() -> None:
    found = path()
    figure, x = coefficients_figure(found), places(found)
    axes = figure.axes[0]
    left, width = axes.get_position().x0 * 360, axes.get_position().width * 360
    low, high = axes.get_xlim()
    freedom = {round((x[p] - low) / (high - low) * width, 3): f"{found.linear.freedom[p]:g}" for p in range(len(x))}
    numbers = {round(t.xyann[0], 3): t.get_text() for t in axes.texts if re.fullmatch(r"[\d.]+", t.get_text())}
    assert len(numbers) >= 4
    assert numbers.items() <= freedom.items()
    assert freedom[round((x[found.best] - low) / (high - low) * width, 3)] in numbers.values()
    assert left > 0


def test_the_strongest_are_named_and_the_others_grey() -> None:
    d = MOST_NAMED + 30
    found = made(funnel(d=d), best=1, rule=2)
    figure = coefficients_figure(found)
    named = {t for t in texts(figure) if re.fullmatch(r"x\d+", t)}
    assert named == {f"x{j}" for j in range(d - MOST_NAMED, d)}
    (others,) = drawn(figure, "others")
    y = np.asarray(others.get_ydata())
    gaps = np.isnan(y)
    assert np.nanmax(y) == d - MOST_NAMED, "the largest grey line is the one after the named"
    assert gaps.sum() == 30
    assert others.get_color() == LIGHT["undecided"]
    assert not figure.axes[0].collections
    many = coefficients_figure(made(funnel(d=MOST_LINES + 50), best=1, rule=2))
    (band,) = many.axes[0].collections
    assert band.get_gid() == "band"


def test_strongest_means_at_the_best_strength_first() -> None:
    values = np.zeros((4, 1, 4))
    values[:, 0, 0] = [9, 9, 0, 0]  # large, but not used at the best
    values[:, 0, 1] = [1, 1, 1, 0]
    values[:, 0, 2] = [2, 2, -2, 0]
    found = made(values, best=2, rule=2)
    assert strongest(found, 9) == [2, 1, 0], "x3 is never used"
    assert strongest(found, 2) == [2, 1]


def test_names_never_overlap() -> None:
    for values in (np.ones((6, 1, 12)), funnel(d=12), -funnel(d=12), funnel(d=12) * np.resize([1, -1], 12)):
        figure = coefficients_figure(made(values, best=1, rule=2))
        axes = figure.axes[0]
        low, high = axes.get_ylim()
        tall = axes.get_position().height * figure.get_size_inches()[1] * 72
        at = sorted((t.xy[1] - low) / (high - low) * tall for t in axes.texts if (t.get_gid() or "").startswith("name"))
        assert len(at) == 12
        assert min(b - a for a, b in itertools.pairwise(at)) >= 11
        assert at[0] >= 0
        assert at[-1] <= tall


def test_names_stand_at_the_right_where_lines_join_late() -> None:
    late = np.zeros((8, 1, 5))
    late[4:7, 0] = [[1, 2, 3, 4, 5]] * 3
    for values, side in ((late, "left"), (funnel(8, 5), "right")):
        axes = coefficients_figure(made(values, best=5, rule=6)).axes[0]
        (alignment,) = {t.get_ha() for t in axes.texts if (t.get_gid() or "").startswith("name")}
        assert alignment == side, "text at the right of the axes starts at the left"
    (marks,) = {len(drawn(coefficients_figure(made(late, best=5, rule=6)), "anchor"))}
    assert marks == 5


def test_what_explodes_does_not_flatten_what_is_right() -> None:
    values = funnel(8, 3)
    values[0] *= 1e6
    values[1] *= 1e3
    found = made(values, best=4, rule=5)
    low, high = coefficients_figure(found).axes[0].get_ylim()
    assert values[4].max() < high < 10 * values[4].max()
    assert high - low < 1e2


def test_where_none_has_no_solution_lines_begin_with_the_first_penalty() -> None:
    found = made(funnel(), best=2, rule=3, exists=[False, *[True] * 5])
    figure = coefficients_figure(found)
    assert "none" not in [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert figure.axes[0].get_xlim()[0] > places(found)[0]
    chosen = coefficients_figure(replace(found, best=0, one_standard_error=0))
    assert chosen.axes[-1].get_xticklabels()[0].get_text() == "none", "what was chosen is drawn"


def test_each_class_has_a_panel_and_those_left_out_are_told() -> None:
    outputs = [f"class {i}" for i in range(9)]
    figure = coefficients_figure(made(funnel(k=9), best=1, rule=2, outputs=outputs, task="multiclass"))
    assert len(figure.axes) == MOST_PANELS
    said = texts(figure)
    assert set(outputs[:MOST_PANELS]) <= set(said)
    assert "Left out: 3 more classes (class 6, class 7, class 8)." in said
    assert len({axes.get_ylim() for axes in figure.axes}) == 1, "classes can be compared"
    three = coefficients_figure(path("iris"))
    assert len(three.axes) == 3
    assert not [t for t in texts(three) if t.startswith("Left out")]
    (line,) = drawn(three, "feature 2", 2)
    np.testing.assert_allclose(np.nan_to_num(line.get_ydata()), path("iris").linear.standardized[1:, 2, 2])


@settings(max_examples=15)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32), st.sampled_from((0.1, 0.6, 1)))
def test_odd_paths_are_drawn(count: int, d: int, k: int, seed: int, share: float) -> None:
    draw = rng.generator(seed, rng.DATA)
    values = draw.standard_cauchy((count, k, d)) * (draw.random((count, k, d)) < share)
    best = int(draw.integers(count))
    rule = int(draw.integers(best, count))
    exists = np.append(draw.random() < 0.5, np.ones(count - 1, dtype=bool))
    found = made(values, best=best, rule=rule, outputs=("a", "b", "c")[:k], exists=exists)
    found = replace(found, linear=replace(found.linear, freedom=np.full(count, np.nan)))
    assert Page(coefficients_svg(found)).all("svg")
    assert linear_sentences(found)
    assert weights(found, 3)


def test_two_thousand_features_are_drawn_in_time() -> None:
    count, d = 100, 2000
    draw = rng.generator(1, rng.DATA)
    shrink = 1 / (1 + np.linspace(0, 30, count)[:, None] * draw.random(d))
    found = made((draw.standard_normal(d) * shrink)[:, None, :], best=50, rule=60)
    coefficients_svg(path())  # matplotlib itself is loaded once
    begin = time.process_time()
    text = coefficients_svg(found)
    assert time.process_time() - begin < 2
    assert len(text) < 400_000


def test_the_file_stands_alone_and_follows_the_scheme() -> None:
    text = coefficients_svg(path())
    assert text == coefficients_svg(path())
    assert 'xmlns="http://www.w3.org/2000/svg"' in text.partition(">")[0]
    assert "prefers-color-scheme:dark" in text
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", text.partition("</style>")[2])
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= set(LIGHT)
    (picture,) = Page(text).all("svg")
    assert picture["aria-label"] == coefficients_label(path())
    label = coefficients_label(path())
    assert "Standardized coefficients of 10 features along L1." in label
    assert "(the one-standard-error rule)" in label


def test_a_trained_path_has_no_coefficients() -> None:
    with pytest.raises(SettingError, match='ask for network="linear"'):
        coefficients_svg(replace(path(), linear=None, network="8"))


# Words ---------------------------------------------------------------------------------------------------------------


def test_it_says_which_features_are_used() -> None:
    values = funnel(d=12)
    values[3:, 0, :9] = 0
    found = made(values, best=1, rule=3)
    (told,) = linear_sentences(found)
    rule = f"{found.strengths[3]:g}"
    assert told.startswith(f"With l1={rule} the model uses 3 of 12 features (4.8 degrees of freedom): x11, x10, x9. ")
    assert told.endswith(f"With the best, l1={found.strengths[1]:g}, it uses all 12 (9.6 degrees of freedom).")
    assert "it predicts the mean" in linear_sentences(replace(found, best=5, one_standard_error=5))[0]
    assert "uses all 12 features" in linear_sentences(replace(found, best=2, one_standard_error=2))[0]
    many = linear_sentences(made(funnel(d=40), best=1, rule=1))
    assert "uses all 40" in many[0]
    values = funnel(d=40)
    values[1, 0, 0] = 0
    assert ", and 29 more." in linear_sentences(made(values, best=1, rule=1))[0]


def test_a_linear_path_is_told_as_a_model_without_training() -> None:
    for over in ("l1", "l2"):
        found = path(over=over)
        said = " ".join([title(found), *sentences(found)])
        assert "network" not in said
        assert "lr" not in title(found).split()
        assert "solved exactly" in title(found)
        assert not re.search(r"\bnan\b|\binf\b|\{|None", said)
    assert "on top of l2=0.1" in title(replace(path(), base="l2=0.1"))
    assert [row.freedom for row in rows(path(), range(8))][-1] == "0"


def test_separable_classes_have_no_solution_without_a_penalty() -> None:
    x = np.r_[np.linspace(-3, -1, 30), np.linspace(1, 3, 30)]
    found = wf.path((x[:, None], (x > 0).astype(int)), "l2", points=4, network="linear", folds=3)
    assert not found.linear.exists[0]
    last = linear_sentences(found)[-1]
    assert last.startswith("Without a penalty no solution exists")
    assert "the solution at l2 = 1e-6" in last
    assert len(linear_sentences(path("diabetes"))) == 1


def test_weights_are_in_the_units_of_the_data() -> None:
    found = path()
    point = found.one_standard_error
    intercept, *lines = weights(found, 99)
    assert intercept.name == "intercept"
    assert float(intercept.own[0]) == pytest.approx(found.linear.intercepts[point, 0], rel=1e-3)
    assert tuple(line.name for line in lines) == found.linear.used(point)
    for line in lines:
        j = found.linear.names.index(line.name)
        assert float(line.own[0].replace("−", "-")) == pytest.approx(found.linear.coefficients[point, 0, j], rel=5e-3)
        later = found.linear.standardized[point:, 0, j] != 0
        assert float(line.until) == pytest.approx(found.strengths[point:][later][-1], rel=1e-5)
    assert len(weights(found, 2)) == 3
    assert units_of(found) == "in units of progression per unit of the column"
    assert "log odds" in units_of(replace(found, task="binary"))
    assert weights(path(over="l2"), 1)[1].until == "the end"


# The page ------------------------------------------------------------------------------------------------------------


def page(*paths: Path) -> str:
    return render(replace(run_record(features=3, cocktails=2), portraits=(), paths=paths))


def test_a_linear_path_has_a_section_of_coefficients() -> None:
    found, trained = path(), replace(path(), linear=None)
    parsed = Page(page(found, trained, path("iris")))
    names = [name for level, name in parsed.headings if level == 2]
    assert names.count("Coefficients along L1") == 2
    assert names.index("Coefficients along L1") == names.index("Along L1") + 1
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "#path0-coefficients" in [a["href"] for a in parsed.all("a")]
    assert coefficients_label(found) in [p.get("aria-label") for p in parsed.all("svg")]
    for told in linear_sentences(found):
        assert parsed.words.count(told) == 1
    heads, *body = next(table for table in parsed.tables if table[0][0] == "Feature")
    assert heads == ["Feature", "Coefficient", "Standardized", "Used up to"]
    assert [line[0] for line in body] == ["intercept", *found.linear.used(found.one_standard_error)]
    iris = [table for table in parsed.tables if table[0][0] == "Feature"][1]
    assert iris[0] == ["Feature", "setosa", "versicolor", "virginica", "Used up to"]
    assert all(len(line) == 5 for line in iris)
    assert "in units of progression per unit of the column" in parsed.words
    assert "a network is free" not in Page(page(found)).words


def test_hostile_names_do_no_harm() -> None:
    names = (*HOSTILE, "漢" * 80, "W" * 80, "", "𝔘")
    found = made(funnel(d=10), best=1, rule=1, names=names, outputs=(HOSTILE[0],))
    classes = made(funnel(d=10, k=6), best=1, rule=1, names=names, outputs=HOSTILE, task="multiclass")
    for each in (found, classes):
        text = page(each)
        parsed = Page(text)
        only_own_scripts(text)
        assert not parsed.all("b")[1:]
        assert "x" * 200 not in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
        figure = coefficients_figure(each)
        for label in figure.axes[0].texts:
            if (label.get_gid() or "").startswith("name"):
                assert len(label.get_text()) <= 25
