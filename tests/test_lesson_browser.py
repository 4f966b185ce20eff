"""Lessons in a real browser: the slider moves every picture, buttons and tabs turn it, no request leaves the page."""

from __future__ import annotations

import pytest
from small_lessons import small

from wellfit.job.lesson_training import teach
from wellfit.report.lesson_page import knob_data, lesson_page
from wellfit.report.lessons import LESSONS, find

SEEN = """() => [...document.querySelectorAll("#knob [data-part] svg")].map((svg) => svg.innerHTML).concat(
  [...document.querySelectorAll("#knob canvas")].map((canvas) => canvas.toDataURL()))"""


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", [lesson.name for lesson in LESSONS])
def test_the_slider_moves_the_pictures(browser, tmp_path, name, width) -> None:
    lesson = small(find(name))
    taught = teach(lesson)
    place = tmp_path / f"{name}.html"
    place.write_text(lesson_page(lesson, taught), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    trouble: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(place.as_uri())
    knobs = knob_data(lesson, taught)["knobs"]
    slider, told = page.locator("[data-part=slider]"), page.locator("[data-part=told]")
    slider.focus()
    page.keyboard.press("Home")
    assert told.inner_text() == knobs[0]["told"][0]
    seen = {str(page.evaluate(SEEN))}
    for text in knobs[0]["told"][1:]:
        page.keyboard.press("ArrowRight")
        assert told.inner_text() == text
        seen.add(str(page.evaluate(SEEN)))
    assert len(seen) == len(knobs[0]["told"])
    assert len(page.evaluate(SEEN)) >= 4
    buttons = page.locator(".looks button")
    assert buttons.count() == 3
    page.locator(f".looks button[data-tab='{len(knobs) - 1}']").last.click()
    turn, point = lesson.looks[-1][0], int(buttons.last.get_attribute("data-place"))
    assert told.inner_text() == knobs[turn]["told"][point]
    tabs = page.locator("[data-part=tabs] input")
    assert tabs.count() == len(knobs)
    assert page.locator("fieldset").is_visible() == (len(knobs) > 1)
    assert tabs.nth(turn).is_checked()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("[...document.querySelectorAll('math')].every((m) => m.getBoundingClientRect().height > 10)")
    assert trouble == []
    assert asked == [place.as_uri()]
    page.close()
