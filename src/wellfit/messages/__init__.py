"""The one catalogue of every sentence a user sees.

A message has a key ``room.name``; its English text stands in ``en/room.toml`` with ``{named}`` places. Rooms are read
when first needed, so that ``import wellfit`` stays cheap. Another language is another folder beside ``en``.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def catalogue(room: str, language: str = "en") -> dict[str, str]:
    """Return the texts of one room as a mapping from name to template.

    Raises ``KeyError`` where the room has no file: a key that nobody wrote is a programming error, not a user's.
    """
    path = _FOLDER / language / f"{room}.toml"
    if not path.is_file():
        raise KeyError(f"no message file for the room {room!r}")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def say(key: str, /, **values: object) -> str:
    """Return the sentence ``key`` with its places filled.

    >>> say("errors.missing_extra", package="torch", extra="torch")
    "This needs the package torch: install it with pip install 'wellfit[torch]'."
    """
    room, _, name = key.partition(".")
    return catalogue(room)[name].format(**values)
