"""Figures hold what their records hold, whatever the user's settings and the names in the data."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from html_page import Page
from records_edges import many_points
from records_factory import HOSTILE, boundary, comparison, interval, run_record

from wellfit.messages import say
from wellfit.records import Difference
from wellfit.report import figures
from wellfit.report.figures.boundary import MAX_POINTS
from wellfit.report.figures.panels import scale_of
from wellfit.report.svg import inline_svg
from wellfit.report.text import clean
from wellfit.report.theme import LIGHT

TASKS = ("binary", "multiclass", "regression")


def lines(figure, gid: str) -> list:
    return [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts]


@pytest.mark.parametrize("measure", ["score", "loss"])
def test_forest_holds_the_differences(measure: str) -> None:
    told = comparison()
    figure = figures.comparison_figure(told, measure=measure)  # type: ignore[arg-type]
    rows = [r for r in told.results if r.cocktail != "none"]
    for i, result in enumerate(rows):
        difference = result.score_difference if measure == "score" else result.loss_difference
        if difference is None:
            assert not lines(figure, f"mean {i}")
            assert say("report.diverged_row") in texts(figure)
            continue
        (bar,), (mark,) = lines(figure, f"interval {i}"), lines(figure, f"mean {i}")
        assert list(bar.get_xdata()) == [difference.interval.low, difference.interval.high]
        assert list(mark.get_xdata()) == [difference.interval.mean]
        assert bar.get_color() == LIGHT[difference.word]
        open_ = mark.get_markerfacecolor() == LIGHT["paper"]
        assert open_ == (difference.word == "undecided")
    names = [t for t in texts(figure) if any(t == r.cocktail for r in told.results)]
    assert names == [r.cocktail for r in rows]
    left, right = (say(f"report.side_{s}") for s in ("worse_left", "better_right"))
    assert (left in texts(figure)) == (right in texts(figure)) == (measure == "score")
    low = replace(told, higher_is_better=False)
    assert left not in texts(figures.comparison_figure(low, measure="score"))
    name = {"score": "Change in accuracy against none", "loss": "Change in validation loss against none"}[measure]
    assert figure.axes[0].get_xlabel() == name


def test_one_wide_interval_does_not_hide_the_others() -> None:
    told = comparison(cocktails=6, diverged=False)
    wide = Difference(interval(3.0, 40.0), "undecided")
    results = (*told.results[:-1], replace(told.results[-1], score_difference=wide))
    figure = figures.comparison_figure(replace(told, results=results))
    reach = figure.axes[0].get_xlim()[1]
    assert 0.03 < reach < 0.6
    assert len(lines(figure, "cut 4")) == 2
    assert not lines(figure, "cut 3")


def test_curves_are_those_of_the_record_on_one_scale() -> None:
    told = comparison(cocktails=6)
    figure = figures.curves_figure(told.results)
    assert len(figure.axes) == 6
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    train, score = lines(figure, "train"), lines(figure, "validation")
    for i, result in enumerate(told.results):
        np.testing.assert_array_equal(train[i].get_xdata(), result.checkpoints)
        np.testing.assert_array_equal(train[i].get_ydata(), result.curves["train_loss"])
        np.testing.assert_array_equal(score[i].get_ydata(), result.curves["score_loss"])
    assert train[0].get_linestyle() != score[0].get_linestyle()
    sound = [r.curves["score_loss"].max() for r in told.results if not r.diverged]
    assert figure.axes[0].get_ylim()[1] == pytest.approx(max(sound), rel=0.15)
    assert say("report.diverged_panel") in texts(figure)


def test_kept_epoch_is_marked_where_it_is_not_the_last() -> None:
    told = comparison()
    early = next(r for r in told.results if "early" in r.cocktail)
    (mark,) = lines(figures.curves_figure([early]), "kept")
    assert mark.get_xdata()[0] == early.best_epoch
    assert not lines(figures.curves_figure(told.results[:1]), "kept")


def test_scale_is_logarithmic_where_curves_span_far() -> None:
    t = np.linspace(0, 1, 50)
    assert not scale_of([0.7 * np.exp(-2 * t)]).log
    falling = scale_of([np.exp(-12 * t)])
    assert falling.log
    assert falling.low < math.exp(-12) < 1 < falling.high
    assert scale_of([np.array([0.5, 0.6, np.nan, np.inf])]).high < 0.7
    one_explosion = np.r_[np.full(99, 0.5), 1e6]
    assert scale_of([one_explosion]).high < 10
    flat = scale_of([np.full(5, 2.0)])
    assert flat.low < 2 < flat.high
    assert scale_of([]).low < scale_of([]).high
    assert scale_of([np.array([-3.0, -1.0])]).low < -3


def test_cost_is_loss_plus_penalty() -> None:
    record = run_record("regression")
    figure = figures.cost_figure(record.portraits)
    drawn = lines(figure, "cost")
    assert len(drawn) == len(record.portraits) == 4
    for line, portrait in zip(drawn, record.portraits, strict=True):
        curves = portrait.history.curves
        np.testing.assert_allclose(line.get_ydata(), curves["train_loss"] + curves["penalty"], rtol=1e-12)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_weights_are_counted_on_one_axis() -> None:
    portraits = run_record().portraits
    figure = figures.weights_figure(portraits)
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    for axes, portrait in zip(figure.axes, portraits, strict=True):
        (steps,) = [p for p in axes.patches if p.get_gid() == "shares"]
        data = steps.get_data()
        weights = np.concatenate(portrait.weights)
        middle = [i for i in range(1, len(data.values) - 1)]
        for i in middle:
            inside = (weights >= data.edges[i]) & (weights < data.edges[i + 1])
            assert data.values[i] == pytest.approx(inside.mean(), abs=1e-12)
        assert data.values.sum() == pytest.approx(1)
        assert data.values[-1] == pytest.approx((weights >= data.edges[-2]).mean())


def test_weights_all_zero_or_not_finite_are_drawn() -> None:
    portrait = run_record().portraits[0]
    zero = replace(portrait, weights=(np.zeros(9),))
    gone = replace(portrait, weights=(np.full(9, np.nan),))
    figure = figures.weights_figure([zero, gone])
    assert say("report.diverged_panel") in texts(figure)
    assert inline_svg(figure, "weights", "w-")
    assert inline_svg(figures.weights_figure([gone]), "weights", "w-")


def test_boundary_shows_every_point_once_in_its_class_and_set() -> None:
    portraits = run_record(grid=40).portraits[:2]
    figure = figures.boundary_figure(portraits, "binary")
    assert len(figure.axes) == 2
    map_ = portraits[0].boundary
    for gid, held in (("train", False), ("test", True)):
        marks = [line for line in figure.axes[0].lines if line.get_gid() == gid]
        assert len(marks) == 2
        for k, line in enumerate(marks):
            chosen = (map_.held_out == held) & (map_.labels == k)
            np.testing.assert_array_equal(np.stack(line.get_data(), 1), map_.points[chosen])
            assert LIGHT[f"class{k}"] in (line.get_markerfacecolor(), line.get_markeredgecolor())
    shapes = {line.get_gid(): line.get_marker() for line in figure.axes[0].lines}
    assert shapes["train"] != shapes["test"]


def test_boundary_line_stands_where_the_probability_is_one_half() -> None:
    portrait = run_record(grid=80).portraits[1]
    figure = figures.boundary_figure([portrait], "binary")
    contours = [c for c in figure.axes[0].collections if not c.filled]
    (line,) = contours
    assert list(line.levels) == [0.5]
    map_ = portrait.boundary
    for x, y in line.get_paths()[0].vertices[::20]:
        j, i = np.searchsorted(map_.xs, x) - 1, np.searchsorted(map_.ys, y) - 1
        corner = map_.z[max(i - 1, 0) : i + 3, max(j - 1, 0) : j + 3]
        assert corner.min() <= 0.5 <= corner.max()


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.nan])
@pytest.mark.parametrize("task", TASKS)
def test_a_map_of_one_value_is_drawn(task: str, value: float) -> None:
    portrait = run_record(task, grid=12).portraits[0]
    flat = replace(portrait.boundary, z=np.full((12, 12), value))
    figure = figures.boundary_figure([replace(portrait, boundary=flat)], task)  # type: ignore[arg-type]
    assert inline_svg(figure, "map", "m-")


def test_more_points_than_can_be_seen_are_thinned_out() -> None:
    portrait = many_points(run_record("multiclass", grid=12).portraits[0], 12)
    figure = figures.boundary_figure([portrait], "multiclass")
    for gid in ("train", "test"):
        assert sum(len(line.get_xdata()) for line in lines(figure, gid)) == MAX_POINTS


def test_portraits_without_a_map_are_left_out() -> None:
    assert figures.boundary_figure(run_record(features=3).portraits, "binary").axes == []


def test_names_are_not_read_as_mathematics() -> None:
    """A lone dollar, an underscore, a brace: Matplotlib would refuse or typeset them."""
    for name in ("a$b", "$\\frac{$", "x_1^2 {0}", HOSTILE[3]):
        map_ = boundary(0.3, grid=12, names=(name, HOSTILE[5]))
        portrait = replace(run_record(grid=12).portraits[0], boundary=map_, cocktail=name)
        figure = figures.boundary_figure([portrait], "binary")
        assert clean(name, 44) in texts(figure)
        text = Page(inline_svg(figure, "map", "m-")).words
        assert clean(name, 38) in text


def test_settings_of_the_user_neither_matter_nor_change() -> None:
    plain = inline_svg(figures.comparison_figure(comparison()), "x", "f-")
    with mpl.rc_context({"text.usetex": True, "font.size": 33, "svg.fonttype": "path", "axes.grid": True}):
        before = dict(mpl.rcParams)
        assert inline_svg(figures.comparison_figure(comparison()), "x", "f-") == plain
        assert dict(mpl.rcParams) == before


def test_a_figure_can_be_saved_by_its_owner(tmp_path) -> None:
    figures.curves_figure(comparison().results).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_two_pictures_share_no_id() -> None:
    figure = figures.boundary_figure(run_record(grid=12).portraits, "binary")
    one, two = (Page(inline_svg(figure, "map", prefix)) for prefix in ("a-", "b-"))
    ids = [[t["id"] for _, t in page.tags if "id" in t] for page in (one, two)]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])


def test_svg_draws_what_matplotlib_drew() -> None:
    """The numbers of a curve, read back from the page's path, are the record's."""
    result = comparison(cocktails=1, diverged=False).results[0]
    figure = figures.curves_figure([result], titled=False)
    axes = figure.axes[0]
    paths = [t for tag, t in Page(inline_svg(figure, "x", "f-")).tags if tag == "path"]
    (path,) = [p for p in paths if "stroke:var(--validation)" in p.get("style", "")]
    points = np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", path["d"])[1:]])
    height = figure.get_figheight() * 72
    x, y = axes.transData.inverted().transform(np.stack([points[:, 0], height - points[:, 1]], 1) * figure.dpi / 72).T
    pixel = np.ptp(axes.get_ylim()) / axes.bbox.height * figure.dpi / 72
    drawn = np.interp(result.checkpoints, x, y)
    assert np.abs(drawn - result.curves["score_loss"])[1:].max() < 0.4 * pixel
    assert x.min() == pytest.approx(0, abs=10)
    assert x.max() == pytest.approx(result.checkpoints[-1], abs=10)
