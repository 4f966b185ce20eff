"""Every sentence comes from the one catalogue: no key without a text, no text without a use, no place unfilled."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from wellfit.messages import catalogue, say

PACKAGE = Path(__file__).parents[1] / "src" / "wellfit"
ROOMS = sorted(p.stem for p in (PACKAGE / "messages" / "en").glob("*.toml"))
KEY = re.compile(r"^([a-z_]+)\.([a-z0-9_]+)$")


def strings() -> dict[str, str]:
    """All string constants of the package (and of its templates) that look like keys, with a file that holds each."""
    found: dict[str, str] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.setdefault(node.value, str(path.relative_to(PACKAGE)))
    for path in (PACKAGE / "report" / "templates").glob("*"):
        for text in re.findall(r"""["']([a-z_]+\.[a-z0-9_]+)["']""", path.read_text(encoding="utf-8")):
            found.setdefault(text, str(path.relative_to(PACKAGE)))
    return found


def known(room: str, name: str) -> bool:
    """Whether the room has this text, or texts that begin with it where it is a prefix ("word_")."""
    return room in ROOMS and any(
        text == name or (name.endswith("_") and text.startswith(name)) for text in catalogue(room)
    )


def said() -> set[str]:
    """All keys that stand as the first argument of ``say(...)`` or of an error of ours."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if (name == "say" or name.endswith("Error")) and KEY.match(str(node.args[0].value)):
                    found.add(str(node.args[0].value))
    return found


def test_every_key_in_the_code_has_a_text() -> None:
    keys = said() | {text for text in strings() if text.startswith("report.") and "html" not in text}
    assert len(keys) > 100
    missing = {key for key in keys if (match := KEY.match(key)) and not known(match[1], match[2])}
    assert not missing


@pytest.mark.parametrize("room", ROOMS)
def test_every_text_is_used(room: str) -> None:
    """A key stands in the code whole, or is put together from a prefix that stands there ("report.word_")."""
    found = strings()
    prefixes = [k for k in found if k.startswith(f"{room}.") and k.endswith(("_", "."))]
    unused = [
        name
        for name in catalogue(room)
        if f"{room}.{name}" not in found and not any(f"{room}.{name}".startswith(p) for p in prefixes)
    ]
    assert not unused


@pytest.mark.parametrize("room", ROOMS)
def test_every_text_is_a_sentence_with_named_places(room: str) -> None:
    for name, text in catalogue(room).items():
        assert isinstance(text, str), name
        assert text.strip(), name
        for _, place, _, _ in Formatter().parse(text):
            assert place is None or re.match(r"^[a-z_]+$", place), (name, place)


def test_values_are_not_read_as_templates() -> None:
    assert "{x}" in say("errors.missing_extra", package="{x}", extra="{0}")


def test_an_unknown_key_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        say("nowhere.nothing")
    with pytest.raises(KeyError):
        say("errors.nothing")
