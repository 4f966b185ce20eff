"""The switch between languages in a real browser: every text of the catalogue changes, and nothing else does."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from records_factory import HOSTILE, run_record

from wellfit.messages import catalogue, languages, speaking
from wellfit.report.page import render

CHINESE = re.compile("[\u4e00-\u9fff]")
# All that a reader sees or hears: text nodes outside scripts, and what screen readers are told.
SEEN = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const inside = walk.currentNode.parentElement;
    if (!inside.closest("script, style, #languages") && walk.currentNode.data.trim()) found.push(walk.currentNode.data);
  }
  for (const element of document.querySelectorAll("[aria-label]")) found.push(element.getAttribute("aria-label"));
  return found;
}"""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    record = run_record(grid=30)
    made = {}
    for language in languages():
        with speaking(language):
            made[language] = render(record)
    return made


def switch(opened, language: str) -> list[str]:
    opened.page.click(f"#languages button[lang={language}]")
    return opened.page.evaluate(SEEN)


def test_switching_gives_the_page_made_in_the_other_language(pages, show) -> None:
    """The independent check: text by text, the switched page equals the page rendered in that language."""
    seen = {language: show(html).page.evaluate(SEEN) for language, html in pages.items()}
    assert len(seen["en"]) > 200
    for first, other in (("en", "zh"), ("zh", "en")):
        opened = show(pages[first])
        assert opened.page.get_attribute("html", "lang") == first
        assert sorted(switch(opened, other)) == sorted(seen[other])
        assert opened.page.get_attribute("html", "lang") == other
        assert opened.page.evaluate(SEEN) != seen[first]
        assert switch(opened, first) == seen[first]
        opened.is_quiet()


def test_the_page_in_chinese_holds_no_english_sentence(pages, show) -> None:
    opened = show(pages["en"])
    told = switch(opened, "zh")
    english = {text for room in ("report", "path", "search") for text in catalogue(room).values() if " " in text}
    assert not english & set(told)
    assert sum(bool(CHINESE.search(text)) for text in told) > 100
    assert not any(CHINESE.search(text) for text in switch(opened, "en"))


def test_names_that_are_also_words_of_the_catalogue_stay(show) -> None:
    """A class called "train", a column called "loss", data called "better": the reader's names are not ours."""
    record = run_record(grid=30)
    portraits = tuple(
        replace(p, boundary=replace(p.boundary, names=("loss", "epoch"), classes=("train", "The weights")))
        for p in record.portraits
    )
    comparison = replace(record.comparison, data="better")
    opened = show(render(replace(record, comparison=comparison, portraits=portraits)))
    before = opened.page.evaluate("document.querySelector('#boundaries').innerText")
    switch(opened, "zh")
    after = opened.page.evaluate("document.querySelector('#boundaries').innerText")
    for name in ("train", "The weights"):
        assert name in before
        assert name in after
    drawn = opened.page.evaluate("[...document.querySelectorAll('#boundaries svg text')].map(t => t.textContent)")
    assert {"loss", "epoch"} <= set(drawn)
    assert opened.page.inner_text(".eyebrow bdi") == "better"
    assert opened.page.evaluate("document.querySelector('#curves-h').textContent") == "学习曲线"
    opened.is_quiet()


def test_hostile_names_run_nothing_in_either_language(show) -> None:
    names = [*HOSTILE, "</script><script>document.title='owned'</script>", "\ufdd05\ufdd1x\ufdd2", "<!--<script>"]
    record = run_record(hostile=True)
    for name in names:
        comparison = replace(record.comparison, data=name)
        opened = show(render(replace(record, comparison=comparison, portraits=(), findings=record.findings)))
        for language in ("zh", "en"):
            switch(opened, language)
            assert opened.page.evaluate("document.querySelectorAll('script').length") == 2
            assert opened.page.title() != "owned"
        opened.is_quiet()


def test_the_policy_stops_what_is_not_the_pages_own(pages, show) -> None:
    """A mutant: the same page with a foreign script in it. The policy must refuse it, and the browser says so."""
    html = pages["en"].replace("</body>", "<script>document.title = 'owned'</script></body>")
    opened = show(html)
    assert opened.page.title() != "owned"
    assert any("Content Security Policy" in text for text in opened.errors)


def test_scripts_of_the_page_can_ask_for_texts_and_hear_the_switch(pages, show) -> None:
    opened = show(pages["en"])
    hear = "e => { window.heard = [e.detail.language, wellfitWords.language] }"
    opened.page.evaluate(f"document.addEventListener('wellfit:language', {hear})")
    assert opened.page.evaluate("wellfitWords.say('Learning curves')") == "Learning curves"
    switch(opened, "zh")
    assert opened.page.evaluate("window.heard") == ["zh", "zh"]
    assert opened.page.evaluate("wellfitWords.say('Learning curves')") == "学习曲线"
    assert opened.page.evaluate("wellfitWords.say('not ours')") == "not ours"


def test_the_switch_works_with_the_keyboard_and_is_named(pages, show) -> None:
    opened = show(pages["en"])
    button = opened.page.get_by_role("button", name="中文")
    assert button.get_attribute("aria-pressed") == "false"
    button.focus()
    opened.page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.page.get_attribute("html", "lang") == "zh"
    assert opened.page.get_by_role("group", name="语言").count() == 1


@pytest.mark.parametrize("width", [1200, 360])
def test_nothing_overflows_in_chinese(pages, show, width: int) -> None:
    opened = show(pages["zh"], width=width)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_page_is_whole_and_offers_no_switch(pages, show) -> None:
    opened = show(pages["zh"], java_script_enabled=False)
    assert opened.page.inner_text("#curves-h") == "学习曲线"
    assert not opened.page.is_visible("#languages")


def test_labels_in_figures_do_not_overlap(pages, show) -> None:
    """Boxes of texts in one picture, in both languages: none lies on another."""
    boxes = """() => [...document.querySelectorAll("svg")].map(svg => [...svg.querySelectorAll("text")].map(t => {
      const b = t.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }))"""
    for html in pages.values():
        for drawn in show(html).page.evaluate(boxes):
            for i, a in enumerate(drawn):
                for b in drawn[:i]:
                    inside = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
                    assert not (inside > 3).all(), (a, b)
