"""The knob in a real browser: the slider moves every picture, the keyboard does too, and no name runs."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from records_factory import HOSTILE, run_record

from wellfit.data import load
from wellfit.messages import speaking, translate
from wellfit.nets import MLP, Training
from wellfit.records import Finding
from wellfit.report.knob import knob
from wellfit.report.page import render
from wellfit.select.frames import frames
from wellfit.select.path import path

SHORT = Training(epochs=60, batch_size=None, learning_rate=0.02)
OPENS_WITHIN = 2.0  # seconds


@pytest.fixture(scope="module")
def record():
    table = load("football")
    rows = np.arange(table.rows)
    paths = tuple(
        path(table, over, points=6, rows=rows[:300], network=MLP((8,)), training=SHORT, folds=2, seeds=1)
        for over in ("l2", "dropout", "early_stopping")
    )
    shown = tuple(frames(table, rows[:300], rows[300:], each, MLP((8,)), SHORT) for each in paths)
    return replace(run_record(), paths=paths, frames=shown)


def picture(page) -> dict:
    """What can be seen: the map's pixels, the curves, the bars, the marks on the errors, the words."""
    return page.evaluate(
        """() => {
          const part = (name) => document.querySelector(`#knob [data-part="${name}"]`);
          const canvas = part("map").querySelector("canvas");
          return {
            map: canvas.toDataURL(),
            curves: [...part("curves").querySelectorAll(".line")].map((e) => e.getAttribute("d")).join(),
            weights: [...part("weights").querySelectorAll(".bar")].map((e) => e.getAttribute("height")).join(),
            errors: [...part("errors").querySelectorAll(".dot")].map((e) => e.getAttribute("cy")).join(),
            told: part("told").textContent,
            word: part("word").textContent,
          };
        }"""
    )


def until(page, holds) -> None:
    """Wait until something holds; a busy machine takes its time."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(50)
    assert holds()


def turn(page, place: int) -> None:
    """Turn the first ingredient to a place."""
    page.locator("#knob .tabs label").first.click()
    page.locator("#knob input[type=range]").fill(str(place))


def test_the_slider_moves_every_picture(record, show):
    opened = show(render(record))
    page = opened.page
    seen = []
    for place in range(6):
        turn(page, place)
        seen.append(picture(page))
    for part in ("map", "curves", "weights", "errors", "told"):
        assert len({one[part] for one in seen}) >= 5, part
    given = knob(record.paths, record.frames, "binary")["knobs"][0]
    assert [one["told"] for one in seen] == given["told"]
    turn(page, 2)
    assert picture(page) == seen[2], "the same place shows the same"
    opened.is_quiet()


def test_every_ingredient_can_be_turned_and_begins_at_its_best(record, show):
    opened = show(render(record))
    page = opened.page
    labels = page.locator("#knob .tabs label")
    assert labels.count() == 3
    most = min(range(3), key=lambda i: record.paths[i].losses[record.paths[i].best].mean())
    assert labels.nth(most).locator("input").is_checked(), "the one that helps most comes first"
    for i, found in enumerate(record.paths):
        labels.nth(i).click()
        assert page.locator("#knob input[type=range]").input_value() == str(found.best)
        assert page.locator("#knob [data-part=axis]").text_content()
    # Along epochs the whole training stands behind, pale, and what was trained so far is drawn over it.
    assert page.locator("#knob .ghost").count() == 2
    opened.is_quiet()


def test_the_keyboard_and_the_picture_itself_turn_it_too(record, show):
    opened = show(render(record))
    page = opened.page
    page.locator("#knob .tabs label").first.click()
    slider = page.locator("#knob input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.input_value() == "0"
    page.keyboard.press("ArrowRight")
    assert slider.input_value() == "1"
    assert slider.get_attribute("aria-valuetext") == page.locator("#knob [data-part=told]").text_content()
    box = page.locator("#knob [data-part=errors] svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
    assert slider.input_value() == "5"
    page.keyboard.press("Tab")
    opened.is_quiet()


def test_the_sweep_runs_to_the_end_and_stops(record, show):
    opened = show(render(record))
    page = opened.page
    turn(page, 3)
    button = page.locator("#knob [data-part=play]")
    button.click()
    until(page, lambda: page.locator("#knob input[type=range]").input_value() == "5")
    until(page, lambda: button.text_content() == "Sweep")
    opened.is_quiet()


@pytest.mark.parametrize("width", [1200, 390])
def test_it_fits_and_follows_the_scheme(record, show, width):
    opened = show(render(record), width=width, color_scheme="dark")
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    dark = picture(page)["map"]
    page.emulate_media(color_scheme="light")
    until(page, lambda: picture(page)["map"] != dark)
    page.set_viewport_size({"width": 700, "height": 900})
    until(page, lambda: page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
    opened.is_quiet()


def test_it_speaks_the_other_language(record, show):
    opened = show(render(record))
    page = opened.page
    turn(page, 0)
    page.locator("#languages button[lang=zh]").click()
    told = knob(record.paths, record.frames, "binary")["knobs"][0]["told"]
    assert page.locator("#knob [data-part=told]").text_content() == translate(told[0], "zh")
    turn(page, 4)
    assert page.locator("#knob [data-part=told]").text_content() == translate(told[4], "zh") != told[4]
    with speaking("zh"):
        assert str(translate(told[4], "zh")) in render(record)
    opened.is_quiet()


def test_no_name_runs(record, show):
    names, classes = (HOSTILE[0], HOSTILE[1]), (HOSTILE[2], HOSTILE[3])
    named = [
        replace(frame, boundaries=tuple(replace(b, names=names, classes=classes) for b in frame.boundaries))
        for frame in record.frames
    ]
    hostile = replace(run_record(hostile=True), paths=record.paths, frames=tuple(named))
    opened = show(render(hostile))
    page = opened.page
    for place in range(6):
        turn(page, place)
    page.locator("#languages button[lang=zh]").click()
    assert page.evaluate("document.querySelectorAll('script:not([type])').length") == 2
    assert page.evaluate("typeof window.pwned") == "undefined"
    assert page.evaluate("document.querySelectorAll('#knob img, #knob b, #knob iframe').length") == 0
    opened.is_quiet()


def test_a_large_run_opens_soon(record, show):
    many = tuple(Finding("leak", f"finding number {i}.", (f"c{i}",), 1) for i in range(200))
    large = replace(run_record(cocktails=40, features=200), paths=record.paths, frames=record.frames, findings=many)
    members = replace(large.comparison, results=tuple(replace(r, members=250) for r in large.comparison.results))
    html = render(replace(large, comparison=members))
    assert len(html.encode()) < 3_000_000
    took = []
    for _ in range(6):  # the quickest: others may be at work on this machine
        began = time.perf_counter()
        opened = show(html)
        assert opened.page.locator("#knob [data-part=told]").text_content()
        took.append(time.perf_counter() - began)
        opened.is_quiet()
        if took[-1] < OPENS_WITHIN / 2:
            break
    assert min(took) < OPENS_WITHIN, took


def test_on_paper_and_without_scripts_the_page_stands(record, show):
    opened = show(render(record))
    opened.page.emulate_media(media="print")
    assert not opened.page.locator("#turn").is_visible()
    assert opened.page.locator("#comparison").is_visible()
    bare = show(render(record), java_script_enabled=False)
    assert bare.page.locator("#turn noscript p, #turn > p.aside").first.is_visible()
    assert not bare.page.locator("#knob").is_visible()
