"""What a path says and shows: its words, the figure, the section of the page."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from html_page import Page, only_own_scripts
from hypothesis import given
from hypothesis import strategies as st
from records_factory import HOSTILE, run_record

import wellfit as wf
from wellfit.messages import say
from wellfit.nets import Training
from wellfit.records import Interval, Path
from wellfit.report.figures.path import path_figure, path_label, path_svg, places, spread
from wellfit.report.page import render
from wellfit.report.path_text import (
    kind_of,
    name_of,
    right_sentence,
    rows,
    sentences,
    shown,
    strength,
    title,
    value,
    words,
)
from wellfit.report.theme import LIGHT
from wellfit.select.axes import AXES

ADAM = Training(learning_rate=0.03, epochs=40, batch_size=32)
SGD = replace(ADAM, optimizer="sgd", learning_rate=0.1)
ON_TABLES = [name for name in AXES if name != "augment"]  # that one is for images


@lru_cache
def path(over: str, points: int = 8, **more) -> Path:
    training = SGD if over == "group_lasso" else ADAM
    return wf.path("football", over, points=points, network="8", training=training, seeds=1, folds=3, **more)


def told(losses, strengths, *, over="l2", error=0.05, diverged=()) -> Path:
    """A path with these mean losses, one a point."""
    base = path("l2")
    count = len(losses)
    values = np.asarray(losses, dtype=float)
    values[list(diverged)] = np.nan
    best = int(np.nanargmin(values))
    right = values <= values[best] + error
    intervals = tuple(None if np.isnan(v) else Interval(v, v - 0.1, v + 0.1, "") for v in values)
    spreaded = np.repeat(values[:, None, None], 3, axis=1)
    lost = np.isin(np.arange(count), diverged).astype(int) * 3
    return replace(
        base,
        over=over,
        strengths=np.asarray(strengths, dtype=float),
        cocktails=("none",) * count,
        losses=spreaded,
        train_losses=spreaded / 2,
        scores=spreaded,
        loss=intervals,
        train_loss=intervals,
        score=intervals,
        standard_error=error,
        best=best,
        one_standard_error=int(np.flatnonzero(right)[-1]),
        right=right,
        diverged=lost,
        weight_norms=np.linspace(3, 1, count)[:, None],
        zeros=np.zeros(count),
        inputs_used=np.full(count, 2.0),
        units=np.zeros((count, 3)),
    )


UP, DOWN, EPOCHS = [0, 0.1, 1, 10], [math.inf, 3, 2, 1], [50, 9, 3, 0]


# Words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "over", "strengths", "sentence"),
    [
        ([3, 1, 1.01, 3], "l2", UP, "Too weak below 0.1, right from 0.1 to 1, too strong above 1."),
        ([3, 1, 1.01, 3], "max_norm", DOWN, "Too weak above 3, right from 3 down to 2, too strong below 2."),
        (
            [3, 1, 1.01, 3],
            "early_stopping",
            EPOCHS,
            "Too weak with more than 9 epochs, right from 9 down to 3, too strong with fewer than 3.",
        ),
        ([3, 1, 2, 3], "l2", UP, "Too weak below 0.1, right at 0.1, too strong above 0.1."),
        ([1, 1.01, 2, 3], "l2", UP, "Right from none to 0.1, too strong above 0.1: the data do not tell"),
        ([1, 1.01, 2, 3], "max_norm", DOWN, "Right from no bound down to 3, too strong below 3"),
        ([1, 1.01, 2, 3], "early_stopping", EPOCHS, "Right from all 50 epochs down to 9, too strong with fewer than 9"),
        ([1, 2, 2, 3], "l2", UP, "Right with none only: all the rest is too strong."),
        ([1, 2, 2, 3], "early_stopping", EPOCHS, "Right with all 50 epochs only: all the rest is too strong."),
        ([3, 2, 1.01, 1], "l2", UP, "Too weak below 1, right from 1 to the end at 10: nothing on this path"),
        ([3, 2, 1.01, 1], "early_stopping", EPOCHS, "Too weak with more than 3 epochs, right from 3 down to the end"),
        ([1, 1, 1, 1], "l2", UP, "Everything on this path is right, from one end to the other"),
        ([1, 2, 1, 3], "l2", UP, "In between, the loss leaves that range at 1 points"),
    ],
)
def test_what_is_right_is_worded_the_right_way_round(losses, over, strengths, sentence) -> None:
    assert sentence in right_sentence(told(losses, strengths, over=over))


def test_every_kind_of_path_has_every_sentence() -> None:
    for kind in ("up", "bound", "epochs"):
        for shape in ("inside", "one", "start", "none", "end"):
            assert "{" not in say(f"path.right_{shape}_{kind}", first="1", last="2")
    for name in AXES:
        assert say(f"path.name_{name}")
        assert say(f"path.axis_{name}")


def test_words_follow_the_best_point() -> None:
    found = told([3, 1, 1.01, 9, 3], [0, 1, 2, 3, 4], diverged=(3,))
    assert words(found) == ["weak", "right", "right", "diverged", "strong"]
    assert [row.word_text for row in rows(found, range(5))] == [
        "too weak", "right", "right", "3 of 3 diverged", "too strong",
    ]  # fmt: skip
    assert rows(found, [3])[0].loss == "–"
    assert rows(found, [3])[0].loss_range == ""


@pytest.mark.parametrize("over", ON_TABLES)
def test_sentences_of_a_real_path(over: str) -> None:
    found = path(over)
    said = sentences(found)
    assert len(said) == 4
    assert said[0].startswith(f"Best is {strength(found, found.best)}: validation loss ")
    assert "one standard error" in said[1]
    assert said[3] == found.end
    text = " ".join([title(found), *said])
    assert not re.search(r"\bnan\b|\binf\b|\{|None", text)
    assert f"along {over}," in text
    rise = over in ("max_norm", "early_stopping")
    assert kind_of(found) == {"max_norm": "bound", "early_stopping": "epochs"}.get(over, "up")
    if not found.right.all():
        assert (" down to " in said[2] or "fewer" in said[2] or "bound" in said[2] or "only" in said[2]) == rise or (
            "right at" in said[2] or "only" in said[2]
        )
    assert strength(found, 0) == ("all 40 epochs" if over == "early_stopping" else "none")
    assert value(found, 1) == f"{found.strengths[1]:g}"


def test_warm_starts_and_what_diverged_are_told() -> None:
    warm = wf.path("football", "l2", points=[0.01], network="8", training=ADAM, seeds=1, folds=3, warm=True)
    assert sentences(warm)[-1] == warm.warm.sentence
    lost = told([3, 1, 2, 9, 9, 9, 9, 9], range(8), diverged=(3, 4, 5, 6, 7))
    assert sentences(lost)[-1] == (
        "Of the 8 points 5 have diverged members (15 of 24) and are never chosen: l2=3, l2=4, l2=5, l2=6, and 1 more."
    )
    first = told([9, 1, 2, 3], UP, diverged=(0,))
    assert "against diverged for none" in sentences(first)[0]


def test_one_fold_alone_has_no_interval() -> None:
    found = told([3, 1, 2, 3], UP)
    alone = replace(found, loss=tuple(replace(i, low=math.nan, high=math.nan) for i in found.loss))
    assert sentences(alone)[0].startswith("Best is l2=0.1: validation loss 1.000, against 3.000 for none;")
    assert rows(alone, [1])[0].loss_range == ""
    start = replace(told([1, 2, 3, 4], UP), loss=alone.loss)
    assert "nothing further on lowers it" in sentences(start)[0]


@given(st.integers(1, 200), st.integers(0, 199), st.integers(0, 199), st.integers(4, 30))
def test_thinned_points_hold_the_ones_that_matter(count: int, best: int, more: int, most: int) -> None:
    best = best % count
    rule = min(count - 1, best + more)
    found = replace(path("l2"), strengths=np.arange(count, dtype=float), best=best, one_standard_error=rule)
    points = shown(found, most)
    assert len(points) <= max(most, 4)
    assert {0, best, rule, count - 1} <= set(points)
    assert points == sorted(set(points))
    if count <= most:
        assert points == list(range(count))
    elif most >= 12:
        assert len(points) >= most - 5
        assert max(b - a for a, b in itertools.pairwise(points)) <= math.ceil((count - 1) / (most - 5))


def test_columns_that_never_change_are_empty() -> None:
    sparse, dense = rows(path("l1"), range(8)), rows(path("l2"), range(8))
    assert sparse[0].zeros == "0%"
    assert sparse[-1].zeros == "100%"
    assert sparse[-1].inputs == "0"
    assert not any(row.zeros or row.inputs for row in dense)
    assert [row.best for row in dense].index(True) == path("l2").best
    assert [row.rule for row in dense].index(True) == path("l2").one_standard_error


# The figure ----------------------------------------------------------------------------------------------------------


def line(figure, gid: str):
    return next(found for axes in figure.axes for found in axes.lines if found.get_gid() == gid)


@pytest.mark.parametrize("over", ON_TABLES)
def test_the_figure_holds_the_path(over: str) -> None:
    found = path(over)
    figure, x = path_figure(found), places(found)
    assert (np.diff(x) > 0).all(), "the weak end is at the left"
    apart = AXES[over].spacing in ("log", "bound")
    for gid, values in (("validation", found.losses), ("train", found.train_losses)):
        drawn = line(figure, gid)
        np.testing.assert_allclose(drawn.get_ydata(), found.mean(values)[int(apart) :])
        np.testing.assert_array_equal(drawn.get_xdata(), x[int(apart) :])
    assert line(figure, "chance").get_ydata()[0] == found.chance
    chosen = [f.get_xdata()[0] for f in figure.axes[0].lines if f.get_gid() == "chosen"]
    assert chosen == [x[p] for p in dict.fromkeys((found.best, found.one_standard_error))]
    limits = {axes.get_xlim() for axes in figure.axes}
    assert len(limits) == 1
    ticks = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert len(ticks) >= 3
    assert (ticks[0] == "none") == apart
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == []
    labels = [t.get_text() for axes in figure.axes for t in axes.texts]
    assert say(f"path.axis_{over}") in labels
    assert {"train", "validation", "predicting the mean", "right"} <= set(labels)


def test_only_what_changes_has_a_panel() -> None:
    def legends(over: str) -> list[str]:
        return [t.get_text() for axes in path_figure(path(over)).axes[1:] for t in axes.get_legend().get_texts()]

    assert {"layer 1", "layer 2", "zero weights", "features used"} <= set(legends("l1"))
    assert "zero weights" not in legends("l2")
    still = told([3, 1, 2, 3], UP)
    assert len(path_figure(replace(still, weight_norms=np.ones((4, 2)))).axes) == 1
    deep = replace(still, weight_norms=np.linspace(9, 1, 24).reshape(4, 6))
    assert [t.get_text() for t in path_figure(deep).axes[1].get_legend().get_texts()] == ["layer 1", "layer 6"]


def test_the_right_part_is_tinted_between_its_neighbours() -> None:
    found = told([3, 1, 1.01, 3], [0, 1, 2, 3])
    figure, x = path_figure(found), places(found)
    for axes in figure.axes:
        (patch,) = [p for p in axes.patches if p.get_gid() == "right"]
        assert patch.get_x() == pytest.approx((x[0] + x[1]) / 2)
        assert patch.get_x() + patch.get_width() == pytest.approx((x[2] + x[3]) / 2)
    heads = {t.get_text() for t in figure.axes[0].texts}
    assert {"too weak", "right", "too strong", "best 1", "1-SE 2"} <= heads
    all_right = {t.get_text() for t in path_figure(told([1, 1, 1, 1], UP)).axes[0].texts}
    assert "too weak" not in all_right
    assert "too strong" not in all_right
    alone = {t.get_text() for t in path_figure(told([3, 1, 2, 3], UP)).axes[0].texts}
    assert "best, 1-SE 0.1" in alone


def test_diverged_points_are_crosses() -> None:
    found = told([3, 1, 2, 9], UP, diverged=(3,))
    assert line(path_figure(found), "diverged").get_xdata().tolist() == [places(found)[3]]
    assert "nan" not in path_label(found)
    early = told([9, 1, 2, 3], UP, diverged=(0,))
    assert "–" not in path_label(early)


@given(
    st.lists(st.tuples(st.floats(-50, 450), st.floats(5, 80)), min_size=1, max_size=4).map(
        lambda pairs: sorted(pairs, key=lambda pair: pair[0])
    )
)
def test_labels_never_overlap(pairs) -> None:
    middles, widths = [m for m, _ in pairs], [w for _, w in pairs]
    found = spread(middles, widths, 0, 400)
    edges = [(m - w / 2, m + w / 2) for m, w in zip(found, widths, strict=True)]
    assert edges[-1][1] <= 400 + 1e-9
    assert edges[0][0] >= -1e-9
    assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize(
    ("losses", "strengths", "over"),
    [
        ([1.0], [0], "l2"),
        ([1.0, 2.0], [0, 0.1], "l2"),
        ([2.0, 1.0, 2.0], [0, 1e-9, 1e9], "l2"),
        ([2.0, 1.0], [math.inf, 1e-3], "max_norm"),
        ([1.0, 1.0, 1.0], [1, 1, 0], "early_stopping"),
        ([1.0, 2.0], [1, 0], "early_stopping"),
        ([5e5, 1e-3, 4e5], [30000, 60, 0], "early_stopping"),
        ([0.0, 0.0, 0.0], [0, 0.5, 1], "dropout"),
    ],
)
def test_odd_paths_are_drawn(losses, strengths, over) -> None:
    found = told(losses, strengths, over=over)
    assert Page(path_svg(found)).all("svg")
    assert sentences(replace(found, chance=math.nan))
    assert path_figure(replace(found, chance=math.nan, units=np.full((len(losses), 3), np.nan)))


def test_the_file_stands_alone_and_follows_the_scheme() -> None:
    text = path_svg(path("l2"))
    assert text == path_svg(path("l2"))
    assert text.startswith("<svg ")
    assert 'xmlns="http://www.w3.org/2000/svg"' in text.partition(">")[0]
    assert "prefers-color-scheme:dark" in text
    body = text.partition("</style>")[2]
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", body)
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= set(LIGHT)
    assert 'role="img"' in text
    (picture,) = Page(text).all("svg")
    assert picture["aria-label"] == path_label(path("l2"))
    from xml.etree import ElementTree as ET

    assert ET.fromstring(text).tag.endswith("svg")


# The page ------------------------------------------------------------------------------------------------------------


def test_without_paths_the_page_is_as_it_was() -> None:
    text = render(small())
    assert 'class="path"' not in text
    assert ".path" not in text
    assert "{%" not in text


def small(*paths: Path):
    return replace(run_record(features=3, cocktails=2), portraits=(), paths=paths)


@pytest.fixture(scope="module")
def page() -> tuple[tuple[Path, ...], str]:
    paths = (path("l2", 20), path("l1"), path("early_stopping"), path("l2", cocktail="dropout=0.2"))
    return paths, render(small(*paths))


def test_each_path_has_a_section(page) -> None:
    paths, text = page
    parsed = Page(text)
    names = [name for level, name in parsed.headings if level == 2]
    wanted = ["Along L2", "Along L1", "Along early stopping", "Along L2"]
    at = names.index(wanted[0])
    assert names[at : at + 4] == wanted
    assert names[at - 1] == say("report.comparison")
    assert names[at + 4] == say("report.curves")
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in parsed.all("a")]
    assert {"#path0", "#path1", "#path2", "#path3"} <= set(links)
    for found in paths:
        for sentence in sentences(found):
            assert sentence in parsed.words
        assert path_label(found) in [p.get("aria-label") for p in parsed.all("svg")]
    assert "This path runs on top of dropout=0.2." in parsed.words
    assert len(parsed.all("figure")) == len(parsed.all("figcaption")) == len(parsed.all("svg"))
    assert all(th.get("scope") in ("col", "row") for th in parsed.all("th"))
    assert not re.findall(r"url\((?!#)", text)
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", picture)


def test_its_table_holds_its_points(page) -> None:
    paths, text = page
    tables = Page(text).tables[1:]
    assert len(tables) == 4
    for found, (heads, *body) in zip(paths, tables, strict=True):
        points = shown(found)
        assert len(body) == len(points) <= 15
        assert heads[1:5] == ["Train loss", "Validation loss", "95% interval", "accuracy"]
        assert ("Zeros" in heads) == (found.over == "l1")
        for p, cells in zip(points, body, strict=True):
            marks = " best" * (p == found.best) + " 1-SE" * (p == found.one_standard_error)
            assert cells[0] == value(found, p) + marks
            assert float(cells[2]) == pytest.approx(found.mean(found.losses)[p], abs=5e-4)
            assert float(cells[4]) == pytest.approx(found.mean(found.scores)[p], abs=5e-4)
            assert cells[-1] == ("right" if found.right[p] else "too weak" if p < found.best else "too strong")
    assert "Shown are" in Page(text).words


def test_hostile_names_do_no_harm() -> None:
    found = replace(path("l2"), data=HOSTILE[0], base=HOSTILE[1], metric=HOSTILE[3], end=HOSTILE[2] + HOSTILE[5])
    text = render(small(found))
    parsed = Page(text)
    only_own_scripts(text)
    assert not parsed.all("b")[1:]
    assert "x" * 200 not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    unknown = replace(found, over="some_new_thing")
    assert name_of(unknown) == "some_new_thing"
    assert Page(path_svg(unknown))
