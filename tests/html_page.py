"""A page as a strict parser finds it: tags, headings, tables, words."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

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
        self.scripts: list[tuple[dict[str, str], str]] = []
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
        if tag == "script":
            self.scripts.append((self.tags[-1][1], ""))
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
        if "script" in self.open:
            attributes, body = self.scripts[-1]
            self.scripts[-1] = attributes, body + data
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


def only_own_scripts(text: str) -> None:
    """Nothing runs but the page's own scripts, which its policy names by their hashes; all else is data."""
    page = Page(text)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    allowed = re.search(r"script-src ([^;]*);", policy)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.endswith("; style-src 'unsafe-inline'; img-src data:")
    assert allowed
    hashes = []
    for attributes, body in page.scripts:
        if attributes:
            assert attributes == {"type": "application/json", "id": attributes["id"]}
            json.loads(body)
            assert not re.search("[<>&]", body)
        else:
            digest = hashlib.sha256(body.encode("utf-8")).digest()
            hashes.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    assert hashes == allowed[1].split()
    assert len(re.findall("<script", text)) == len(page.scripts) == text.count("</script")
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


class Marked(HTMLParser):
    """The texts and labels of a page, each with whether the page's switch of languages knows it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, bool]] = []
        self.found: list[tuple[str, bool]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "aria-label" in given:
            self.found.append((given["aria-label"], "data-say-label" in given))
        if tag not in VOID:
            self.open.append((tag, "data-say" in given))

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        if data.strip() and self.open[-1][0] not in ("style", "script"):
            self.found.append((data, self.open[-1][1]))
