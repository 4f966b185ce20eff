"""The one catalogue of every sentence a user sees, in every language.

A message has a key ``room.name``; its text stands in ``<language>/room.toml`` with ``{named}`` places. Rooms are read
when first needed, so that ``import wellfit`` stays cheap. What `say` returns is a plain string that remembers how it
was made, so that a page can show it in another language as well: see `translate` and docs/translating.md.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Literal

ENGLISH = "en"
VARIABLE = "WELLFIT_LANG"
_FOLDER = Path(__file__).parent
_chosen: ContextVar[str | None] = ContextVar("wellfit_language", default=None)
_PLAIN = (str, int, float, complex, type(None))


class Said(str):
    """A text that can be said again in another language: how it was made (a function and what it was given).

    It equals, sorts, hashes and is written like the plain string.
    """

    __slots__ = ("_given", "_make")

    _make: Callable[..., str]
    _given: tuple

    def __new__(cls, make: Callable[..., str], *given: object) -> Said:
        """Return what ``make`` makes of ``given`` in the current language."""
        text = super().__new__(cls, make(*given))
        text._make, text._given = make, given
        return text

    def again(self) -> Said:
        """Return the same in the language that is current now."""
        return Said(self._make, *map(again, self._given))

    def __str__(self) -> str:
        return self

    def __copy__(self) -> Said:
        return self

    def __deepcopy__(self, memo: object) -> Said:
        return self

    def __reduce__(self) -> tuple:
        """Pickle by how it was made and as what it was said, so that another process changes no language."""
        return _restored, (str.__str__(self), self._make, self._given)


def _restored(text: str, make: Callable[..., str], given: tuple) -> Said:
    found = str.__new__(Said, text)
    found._make, found._given = make, given
    return found


class _Shown:
    """A value that was no text and no number, as it looked when the sentence was made."""

    __slots__ = ("text", "written")

    def __init__(self, value: object) -> None:
        self.text, self.written = str(value), repr(value)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.written


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a folder here, English first.

    >>> languages()
    ('en', 'zh')
    """
    found = {path.parent.name for path in _FOLDER.glob("*/*.toml")}
    return (ENGLISH, *sorted(found - {ENGLISH}))


def known_language(name: object) -> str | None:
    """Return the language that a name such as ``zh``, ``zh-CN`` or ``zh_CN.UTF-8`` stands for, or None.

    >>> known_language("zh_CN.UTF-8"), known_language("EN"), known_language("xx")
    ('zh', 'en', None)
    """
    code = str(name).strip().lower().replace("_", "-").split("-")[0].split(".")[0]
    return code if code in languages() else None


def language() -> str:
    """Return the current language: that of the innermost `speaking`, else of ``WELLFIT_LANG``, else English."""
    chosen = _chosen.get()
    if chosen is None:
        asked = os.environ.get(VARIABLE)
        chosen = ENGLISH if asked is None else known_language(asked) or ENGLISH
    return chosen


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """While the block runs, what wellfit says is said in this language: ``"en"`` or ``"zh"``.

    Numbers, names, files' formats and the words that programs read do not change. Other threads keep their language;
    for a whole program set the environment variable ``WELLFIT_LANG``. Raises ``ValueError`` for an unknown language.

    >>> with speaking("zh"):
    ...     print(say("errors.missing_extra", package="torch", extra="torch"))
    此功能需要 torch 包：请运行 pip install 'wellfit[torch]' 安装。
    """
    found = known_language(name)
    if found is None:
        raise ValueError(say("errors.unknown_language", value=name, known=join(languages())))
    token = _chosen.set(found)
    try:
        yield
    finally:
        _chosen.reset(token)


@cache
def catalogue(room: str, language: str = ENGLISH) -> Mapping[str, str]:
    """Return the texts of one room as a mapping from name to template; a text not translated yet is the English one.

    Raises ``KeyError`` where the room has no file: a key that nobody wrote is a programming error, not a user's.
    """
    texts = {} if language == ENGLISH else dict(catalogue(room))
    path = _FOLDER / language / f"{room}.toml"
    if path.is_file():
        texts |= tomllib.loads(path.read_text(encoding="utf-8"))
    elif language == ENGLISH:
        raise KeyError(f"no message file for the room {room!r}")
    return texts


def say(key: str, /, **values: object) -> str:
    """Return the sentence ``key`` with its places filled, in the current language.

    >>> say("errors.missing_extra", package="torch", extra="torch")
    "This needs the package torch: install it with pip install 'wellfit[torch]'."
    """
    return Said(_filled, key, *((name, value if _lasts(value) else _Shown(value)) for name, value in values.items()))


def _lasts(value: object) -> bool:
    """Return whether a value will look the same later: NumPy's numbers are Python's or have a ``dtype``."""
    return isinstance(value, _PLAIN) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0)


def _filled(key: str, *values: tuple[str, object]) -> str:
    room, _, name = key.partition(".")
    return catalogue(room, language())[name].format(**dict(values))


Kind = Literal["list", "clauses", "sentences", "paragraphs", "pair"]


def join(parts: Iterable[str], kind: Kind = "list") -> str:
    """Return the parts as one text, with what the language sets between the items of a list, clauses or sentences.

    A ``pair`` is a name and its value. No part at all gives the empty string.

    >>> join(["l1", "l2"]), join(["Done.", "Twice."], "sentences")
    ('l1, l2', 'Done. Twice.')
    >>> with speaking("zh"):
    ...     print(join(["l1", "l2"]), join(["甲。", "乙。"], "sentences"))
    l1、l2 甲。乙。
    """
    return Said(_joined, kind, *parts)


def _joined(kind: str, *parts: str) -> str:
    return catalogue("words", language())[kind].format(first="", then="").join(parts)


def retold(make: Callable[..., str], text: str, *given: object) -> str:
    """Return ``make(text, *given)``: where ``text`` can be said in another language, so can the result.

    ``make`` must be a function of a module.

    >>> shout = retold(str.upper, say("words.list", first="a", then="b"))
    >>> shout, translate(shout, "zh")
    ('A, B', 'A、B')
    """
    return Said(make, text, *given) if isinstance(text, Said) else make(text, *given)


def again(value: object) -> object:
    """Return a text in the language that is current now; what did not come from the catalogue stays as it is."""
    if isinstance(value, Said):
        return value.again()
    return tuple(map(again, value)) if type(value) is tuple else value


def translate(text: str, language: str) -> str:
    """Return a text in another language, the texts in its places as well; a plain string stays as it is.

    >>> translate(say("words.list", first="l1", then="l2"), "zh"), translate("l1", "zh")
    ('l1、l2', 'l1')
    """
    with speaking(language):
        return str(again(text))


def standard(key: str, /, **values: object) -> str:
    """Return a text in English whatever the language: for what programs read, such as the columns of a CSV file."""
    return str.__str__(translate(say(key, **values), ENGLISH))
