"""The page, as a parser, a reader and an attacker see it."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from html_page import Page, only_own_scripts
from records_edges import edges, many_points, with_word
from records_factory import comparison, run_record

from wellfit import messages
from wellfit.messages import catalogue, say
from wellfit.records import Comparison, Finding, RunRecord
from wellfit.report.figures.boundary import MAX_POINTS
from wellfit.report.page import render
from wellfit.report.sections import MAX_CURVES
from wellfit.report.table import best_first
from wellfit.report.text import metric_name, sentence
from wellfit.report.theme import CLASSES, DARK, LIGHT

TASKS = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def football() -> tuple[RunRecord, str]:
    record = run_record(grid=160)
    return record, render(record)


@pytest.fixture(scope="module")
def hostile() -> tuple[RunRecord, str]:
    record = run_record(hostile=True)
    return record, render(record)


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
        heard = messages.catalogue
        patch.setattr(messages, "catalogue", lambda room, told="en": texts_ if room == "report" else heard(room, told))
        return {name: render(record) for name, record in records.items()}, said


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
    assert page.all("a")[0].items() >= {"class": "skip", "href": "#answer"}.items()
    assert all(scope in ("col", "row") for scope in (th.get("scope") for th in page.all("th")))


@pytest.mark.parametrize("which", ["football", "hostile"])
def test_no_request_leaves_the_page_and_only_its_own_scripts_run(which: str, request: pytest.FixtureRequest) -> None:
    _, text = request.getfixturevalue(which)
    page = Page(text)
    used = {tag for tag, _ in page.tags}
    assert not used & {"iframe", "object", "embed", "img", "image", "form", "base", "foreignobject", "b2"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            value = attributes.get(name, "#")
            assert value.startswith("#") or value == "data:,", (tag, attributes)
    assert not re.findall(r"url\((?!#)", text)
    assert "@import" not in text
    assert not re.findall(r"\b(?:https?|ftp|wss?|file|javascript|blob):", text)
    only_own_scripts(text)


def test_hostile_names_are_shown_as_text(hostile: tuple[RunRecord, str]) -> None:
    record, text = hostile
    page = Page(text)
    text.encode("utf-8")
    assert "<script>alert(1)</script>" in page.words
    only_own_scripts(text)
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
        page = Page(render(replace(record, verdict=verdict, headline="", signs=())))
        assert page.headings[0][1] == sentence(verdict)
        assert say("report.evidence") not in page.words


def test_the_table_holds_the_record(football: tuple[RunRecord, str]) -> None:
    record, text = football
    (rows,) = Page(text).tables
    results = {r.cocktail: r for r in record.comparison.results}
    assert [row[0].removesuffix(" best here") for row in rows[1:]] == [
        r.cocktail for r in best_first(record.comparison)
    ]
    for row in rows[1:]:
        result = results[row[0].removesuffix(" best here")]
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
    # In tests/test_report_answer.py and tests/test_report_search.py.
    elsewhere = {n for n in catalogue("report") if n.startswith("told_") or n.endswith("_search")}
    assert set(catalogue("report")) - gallery[1] - metrics - elsewhere == set()
    for name in ("accuracy", "balanced-accuracy", "auc", "log-loss", "rmse", "r2"):
        assert metric_name(name) == say(f"report.metric_{name.replace('-', '_')}")
    assert metric_name("of_my_own") == "of_my_own"


def test_the_page_says_that_points_and_classes_are_left_out(gallery) -> None:
    words = Page(gallery[0]["crowd"]).words
    assert say("report.boundaries_some", most=MAX_POINTS) in words
    assert say("report.more_classes", count=12 - CLASSES) in words


def test_without_maps_there_is_no_section_of_them(gallery) -> None:
    assert say("report.boundaries") not in [name for _, name in Page(gallery[0]["many cocktails"]).headings]


def test_metric_comes_by_its_name() -> None:
    told: Comparison = replace(comparison(), metric="my<metric>")
    page = Page(render(replace(run_record(features=3), comparison=told)))
    assert "my<metric>" in page.tables[0][0]
