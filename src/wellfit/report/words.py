"""What a page says, in every language: the texts are marked while the page is written, and go with it.

A text of the catalogue is written between signs that no text may hold. When the page is whole, the element around each
gets its number (``data-say``; for an attribute ``data-say-label``), and the page carries the texts by these numbers in
each language: so only what the catalogue said is switched, never a name of the reader's that happens to be the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from wellfit.messages import Said, catalogue, language, languages, translate

if TYPE_CHECKING:
    from markupsafe import Markup

# Code points that stand for no character, and never will.
_OPEN, _THEN, _CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
_SIGNS = re.compile("[\ufdd0-\ufdd2]")
_MARKED = re.compile(f"{_OPEN}([0-9]+){_THEN}([^{_CLOSE}]*){_CLOSE}")
_TAG = re.compile(r"(<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>)", re.DOTALL)
_ATTRIBUTE = re.compile(rf'([a-z-]+)="{_OPEN}([0-9]+){_THEN}([^"{_CLOSE}]*){_CLOSE}"')
_ATTRIBUTES = {"aria-label": "data-say-label"}
_PLACE = "\ufdd0words\ufdd2"

_current: ContextVar[Words | None] = ContextVar("wellfit_words", default=None)


class Words:
    """The texts of one page, each once, by number: a tuple with one for each of `languages`."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[str, ...], int] = {}

    def number(self, text: Said) -> int:
        """Return the number of a text, a new one for a new text."""
        told = tuple(_SIGNS.sub("\ufffd", str.__str__(translate(text, each))) for each in languages())
        return self.numbers.setdefault(told, len(self.numbers))

    def settle(self, page: str) -> str:
        """Return the page with numbered elements in place of the signs, and with the texts in their place."""
        pieces = _TAG.split(page)
        for i in range(0, len(pieces), 2):
            text, tag = pieces[i], pieces[i - 1] if i else ""
            alone = _MARKED.fullmatch(text)
            if alone and re.match(r"<[a-z]", tag):
                pieces[i - 1] = f'{tag[:-1]} data-say="{alone[1]}">'
                pieces[i] = alone[2]
            else:
                pieces[i] = _MARKED.sub(r'<span data-say="\1">\2</span>', text)
        for i in range(1, len(pieces), 2):
            if not pieces[i].startswith(("<script", "<style")):
                pieces[i] = _MARKED.sub(r"\2", _ATTRIBUTE.sub(_attribute, pieces[i]))
        return "".join(pieces).replace(_PLACE, self.written())

    def written(self) -> str:
        """Return the texts as JSON that no reader of HTML can take for a tag."""
        every = languages()
        texts = {each: [told[i] for told in self.numbers] for i, each in enumerate(every)}
        names = [[each, catalogue("words", each)["language"]] for each in every]
        return script_json({"language": language(), "languages": names, "texts": texts})


def script_json(values: object) -> str:
    """Return values as JSON to stand in a ``<script type="application/json">``: no sign in it begins or ends a tag.

    >>> script_json({"a": "</script><!-- &"})
    '{"a":"\\\\u003c/script\\\\u003e\\\\u003c!-- \\\\u0026"}'
    """
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)


@contextmanager
def collecting() -> Iterator[Words]:
    """While the block runs, `mark` numbers texts for the page that is made in it."""
    words = Words()
    token = _current.set(words)
    try:
        yield words
    finally:
        _current.reset(token)


def mark(value: object) -> object:
    """Return a value as the template writes it: a text of the catalogue in the page's language, with its number.

    Outside of `collecting` a text stays unmarked.
    """
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    words = _current.get()
    if not isinstance(value, Said):
        return value if words is None else _SIGNS.sub("\ufffd", value)
    text = _SIGNS.sub("\ufffd", str.__str__(value.again()))
    return text if words is None else f"{_OPEN}{words.number(value)}{_THEN}{text}{_CLOSE}"


def heard(text: str) -> str:
    """Return a text that a script of the page will show, and let the page know it in every language.

    In the script ``wellfitWords.say(text)`` returns it in the language that the reader has chosen.
    """
    words = _current.get()
    if isinstance(text, Said):
        if words is not None:
            words.number(text)
        return str.__str__(text.again())
    return text


def place() -> Markup:
    """Return the sign that `Words.settle` replaces by the texts."""
    from markupsafe import Markup

    return Markup(_PLACE)


def _attribute(found: re.Match[str]) -> str:
    name, number, text = found[1], found[2], found[3]
    mark = _ATTRIBUTES.get(name)
    return f'{name}="{text}"' + (f' {mark}="{number}"' if mark else "")
