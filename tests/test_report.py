"""The report: figures against their records, and the page as a parser, a colour-blind reader and an attacker see it."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from records_factory import HOSTILE, boundary, comparison, interval, run_record

from wellfit import messages
from wellfit.messages import catalogue, say
from wellfit.records import Boundary, Comparison, Difference, Finding, RunRecord
from wellfit.report import figures
from wellfit.report.answer import metric_name, score_of
from wellfit.report.figures.boundary import MAX_POINTS
from wellfit.report.figures.panels import scale_of
from wellfit.report.page import render
from wellfit.report.sections import MAX_CURVES, distinct, notable
from wellfit.report.svg import inline_svg
from wellfit.report.table import best_first
from wellfit.report.text import amount, clean, number, printable, sentence, short
from wellfit.report.theme import CLASSES, DARK, LIGHT, ROLES

TASKS = ("binary", "multiclass", "regression")
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """What a parser finds in a page; a tag that does not close where it should is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if self.open and re.fullmatch("h[1-6]", next((t for t in reversed(self.open) if t != "bdi"), "")):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def football() -> tuple[RunRecord, str]:
    record = run_record(grid=160)
    return record, render(record)


@pytest.fixture(scope="module")
def hostile() -> tuple[RunRecord, str]:
    record = run_record(hostile=True)
    return record, render(record)


def lines(figure, gid: str) -> list:
    return [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts]


# The page


@pytest.mark.parametrize("name", [*TASKS, "many cocktails", "crowd"])
def test_page_is_well_formed(name: str, gallery) -> None:
    page = Page(gallery[0][name])
    assert page.all("html")[0]["lang"] == "en"
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        if "href" in attributes and attributes["href"] != "data:,":
            assert attributes["href"][1:] in ids, attributes
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
        for value in attributes.values():
            for target in re.findall(r"url\(#([^)]*)\)", value):
                assert target in ids
    assert page.all("a")[0] == {"class": "skip", "href": "#answer"}
    assert all(scope in ("col", "row") for scope in (th.get("scope") for th in page.all("th")))


@pytest.mark.parametrize("which", ["football", "hostile"])
def test_no_request_leaves_the_page_and_nothing_runs(which: str, request: pytest.FixtureRequest) -> None:
    _, text = request.getfixturevalue(which)
    page = Page(text)
    used = {tag for tag, _ in page.tags}
    assert not used & {"script", "iframe", "object", "embed", "img", "image", "form", "base", "foreignobject", "b2"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith("#") or value == "data:,", (tag, attributes)
    assert not re.findall(r"url\((?!#)", text)
    assert "@import" not in text
    assert not re.findall(r"(?:https?|ftp|wss?|file|javascript|blob):", text)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_hostile_names_are_shown_as_text(hostile: tuple[RunRecord, str]) -> None:
    record, text = hostile
    page = Page(text)
    text.encode("utf-8")
    assert "<script>alert(1)</script>" in page.words
    assert "<script" not in text
    assert "\"quoted\" 'both' & <b>bold</b>" in page.words
    assert not page.all("b")[1:]  # only the page's own
    assert "x" * 200 not in text
    assert "🦊 price in $x_1^2$ {0} {name} %s \\frac{" in page.words
    assert "שלום עולם مرحبا" in page.words
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert record.command in page.words


def test_the_page_is_small(football: tuple[RunRecord, str], gallery) -> None:
    assert len(football[1].encode()) < 500_000
    big = gallery[0]["many cocktails"]
    assert len(big.encode()) < 500_000
    assert big.count("<svg") == 2 + MAX_CURVES + 3 + 3


def test_equal_records_give_equal_pages(football: tuple[RunRecord, str]) -> None:
    assert render(run_record(grid=160)) == football[1]


def test_equal_pages_in_another_process(hostile: tuple[RunRecord, str]) -> None:
    """Another process has other hashes of strings and other addresses; and it never loads pyplot."""
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); from records_factory import run_record;"
        "from wellfit.report.page import render;"
        "print(hashlib.sha256(render(run_record(hostile=True)).encode()).hexdigest());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(Path(__file__).parent)]
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    other = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout.strip()
    assert other == hashlib.sha256(hostile[1].encode()).hexdigest()


@pytest.mark.parametrize("task", TASKS)
def test_every_figure_tells_what_it_shows(task: str, gallery) -> None:
    page = Page(gallery[0][task])
    pictures = page.all("svg")
    assert len(pictures) == 2 + 9 + 3 * 3
    for picture in pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-label"]) > 30
        assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", picture["viewbox"])
    assert len({p["aria-label"] for p in pictures}) == len(pictures)
    assert len(page.all("figure")) == len(page.all("figcaption")) == len(pictures)


def test_colours_in_figures_follow_the_scheme(football: tuple[RunRecord, str]) -> None:
    pictures = re.findall(r"<svg.*?</svg>", football[1], re.DOTALL)
    assert pictures
    for picture in pictures:
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", picture)
        assert "DejaVu" not in picture
        assert set(re.findall(r"var\(--(\w+)\)", picture)) <= set(LIGHT)
        assert "var(--" in picture
    style = re.search(r"<style>(.*?)</style>", football[1], re.DOTALL)
    assert style
    assert set(re.findall(r"var\(--(\w+)\)", football[1])) - {"c"} <= set(LIGHT)
    for name, colour in {**LIGHT, **DARK}.items():
        assert f"--{name}:{colour}" in style[1]


def test_the_answer_stands_on_top(football: tuple[RunRecord, str]) -> None:
    record, text = football
    page = Page(text)
    assert page.headings[0][1] == "Without regularization the network overfits."
    head = text[: text.index("<nav")]
    test = record.summary["test"]
    for value in (record.comparison.winner, f"{test['score']:.3f}", *(f"{v:.3f}" for v in test["interval"])):
        assert value in head
    assert f"{record.summary['none']['test']['score']:.3f}" in head
    assert say("report.answer_overlap") in head
    assert "at the end of training" in head.lower()
    names = [name for level, name in page.headings if level == 2]
    keys = ("comparison", "curves", "costs", "weights", "boundaries", "findings", "how")
    assert names == [say(f"report.{key}") for key in keys]


def test_a_verdict_of_one_sentence_is_the_headline_whole() -> None:
    record = replace(run_record(features=3, cocktails=2), portraits=())
    for verdict in ("Undecided.", "One thing: no list of signs.", "w" * 400):
        page = Page(render(replace(record, verdict=verdict)))
        assert page.headings[0][1] == sentence(verdict)
        assert say("report.evidence") not in page.words


def test_the_table_holds_the_record(football: tuple[RunRecord, str]) -> None:
    record, text = football
    (rows,) = Page(text).tables
    results = {r.cocktail: r for r in record.comparison.results}
    assert [row[0].removesuffix(" winner") for row in rows[1:]] == [r.cocktail for r in best_first(record.comparison)]
    for row in rows[1:]:
        result = results[row[0].removesuffix(" winner")]
        if result.diverged:
            assert row[1:] == ["–", "–", "–", "", "–", "", f"diverged ({result.diverged} of {result.members})"]
            continue
        seen = [float(cell.replace("−", "-")) for cell in row[1:4]]
        assert seen == pytest.approx([result.train_loss.mean, result.loss.mean, result.score.mean], abs=5e-4)
        low, high = (float(v) for v in row[4].split(" to "))
        assert (low, high) == pytest.approx((result.score.low, result.score.high), abs=5e-4)
        assert row[7] == result.score_difference.word
        if row[7] == "reference":
            assert row[5:7] == ["–", ""]
        else:
            change = result.score_difference.interval
            assert float(row[5].replace("−", "-")) == pytest.approx(change.mean, abs=5e-4)
            low, high = (float(v.replace("−", "-")) for v in row[6].split(" to "))
            assert (low, high) == pytest.approx((change.low, change.high), abs=5e-4)


def test_how_it_was_done_can_be_repeated(football: tuple[RunRecord, str]) -> None:
    record, text = football
    words = Page(text).words
    for value in (*record.rules, record.command, record.comparison.network, record.comparison.training):
        assert value in words
    for name, version in record.versions.items():
        assert f"{name} {version}" in words
    assert record.comparison.results[0].score.estimates in words


def test_findings_are_shown_up_to_a_limit(gallery) -> None:
    words = Page(gallery[0]["crowd"]).words
    assert "finding number 39." in words
    assert "finding number 40." not in words
    assert "and 80 more" in words
    assert say("report.findings_none") in Page(gallery[0]["nothing around"]).words


# Records at the edge


def edges() -> dict[str, RunRecord]:
    record = run_record(features=3, cocktails=5)
    record = replace(record, portraits=record.portraits[:2])
    told = record.comparison
    none, *others = told.results
    gone = replace(none, diverged=25, train_loss=None, loss=None, score=None)
    nan = interval(math.nan, math.nan)
    unmeasured = [replace(r, loss=nan, score=nan, score_difference=None, loss_difference=None) for r in others]
    cold = [replace(r, score_difference=None, loss_difference=None) for r in told.results]
    nothing = {"score": None, "interval": None, "loss": None}
    blank = {**record.summary, "test": nothing, "none": {"test": nothing, "validation": nothing}}

    def with_(results, winner=told.winner, summary=record.summary) -> RunRecord:
        return replace(record, comparison=replace(told, results=tuple(results), winner=winner), summary=summary)

    return {
        "none won": with_(told.results, "none"),
        "one cocktail": with_([none], "none"),
        "none diverged": with_([gone, *cold[1:]]),
        "all diverged": with_([gone, *(replace(gone, cocktail=r.cocktail) for r in others)], "none", blank),
        "not a number": with_([none, *unmeasured], others[0].cocktail),
        "one unmeasured": with_([none, *others[:-1], replace(others[0], cocktail="l2=7", score_difference=None)]),
        "no reference": with_(cold[1:], cold[1].cocktail),
        "no curves": with_([replace(r, curves={}, checkpoints=np.empty(0, np.int64)) for r in told.results]),
        "no summary": replace(record, summary={}),
        "no portraits": replace(record, portraits=()),
        "nothing around": replace(record, findings=(), rules=(), versions={}, command="", verdict=""),
    }


@pytest.fixture(scope="module")
def gallery() -> tuple[dict[str, str], set[str]]:
    """Pages of many kinds, and the names of all texts that were said to make them."""
    said: set[str] = set()

    class Listening(dict):
        def __getitem__(self, key):
            said.add(key)
            return super().__getitem__(key)

    wide = run_record("multiclass", grid=20)
    crowd = tuple(many_points(p, 12) for p in wide.portraits[:1])
    burst = replace(wide.portraits[0], history=replace(wide.portraits[0].history, status="diverged"))
    many = tuple(Finding("leak", f"finding number {i}.", (f"c{i}",), 1) for i in range(120))
    records = {
        **edges(),
        **{task: run_record(task, grid=40) for task in TASKS},
        "many cocktails": run_record(cocktails=40, features=200),
        "worse": with_word("worse"),
        "undecided": with_word("undecided"),
        "crowd": replace(wide, portraits=crowd, findings=many),
        "burst": replace(wide, portraits=(burst,)),
    }
    with pytest.MonkeyPatch.context() as patch:
        texts_ = Listening(catalogue("report"))
        patch.setattr(messages, "catalogue", lambda room, language="en": texts_)
        return {name: render(record) for name, record in records.items()}, said


@pytest.mark.parametrize("name", sorted(edges()))
def test_records_at_the_edge_still_give_a_page(name: str, gallery) -> None:
    page = Page(gallery[0][name])
    assert "nan" not in page.words.lower().split()
    assert "None" not in page.words
    assert page.tables[0][1:]


def test_diverged_is_said_in_words(gallery) -> None:
    page = Page(gallery[0]["all diverged"])
    assert sum("diverged (25 of 25)" in row for row in page.tables[0]) == 5


def test_every_text_of_the_catalogue_is_said_by_some_page(gallery) -> None:
    metrics = {name for name in catalogue("report") if name.startswith("metric_")}
    assert set(catalogue("report")) - gallery[1] - metrics == set()
    for name in ("accuracy", "balanced-accuracy", "auc", "log-loss", "rmse", "r2"):
        assert metric_name(name) == say(f"report.metric_{name.replace('-', '_')}")
    assert metric_name("of_my_own") == "of_my_own"


def with_word(word: str) -> RunRecord:
    record = run_record(features=3, cocktails=4)
    told = record.comparison
    changed = Difference(interval(0.001, 0.02), word)  # type: ignore[arg-type]
    results = [replace(r, score_difference=changed) if r.cocktail == told.winner else r for r in told.results]
    return replace(record, comparison=replace(told, results=tuple(results)))


def many_points(portrait, classes: int):
    """The portrait with a map of many classes and more points than are drawn."""
    count = 5000
    at = np.linspace(0, 1, count)
    map_ = Boundary(
        xs=np.linspace(0, 1, 20),
        ys=np.linspace(0, 1, 20),
        z=np.add.outer(np.arange(20), np.arange(20)) % classes * 1.0,
        points=np.stack([at, at], 1),
        labels=np.arange(count) % classes,
        held_out=np.arange(count) >= 4000,
        names=("a", "b"),
        classes=tuple(f"class {i}" for i in range(classes)),
    )
    return replace(portrait, boundary=map_)


# Figures


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


def test_the_page_says_that_points_and_classes_are_left_out(gallery) -> None:
    words = Page(gallery[0]["crowd"]).words
    assert say("report.boundaries_some", most=MAX_POINTS) in words
    assert say("report.more_classes", count=12 - CLASSES) in words


def test_portraits_without_a_map_are_left_out(gallery) -> None:
    assert figures.boundary_figure(run_record(features=3).portraits, "binary").axes == []
    assert say("report.boundaries") not in [name for _, name in Page(gallery[0]["many cocktails"]).headings]


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


def test_metric_comes_by_its_name() -> None:
    told: Comparison = replace(comparison(), metric="my<metric>")
    page = Page(render(replace(run_record(features=3), comparison=told)))
    assert "my<metric>" in page.tables[0][0]
