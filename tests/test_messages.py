"""Every sentence comes from the one catalogue: no key without a text, no text without a use, no place unfilled.

And in every language: the same keys, the same places, nothing left in English.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from string import Formatter

import pytest

from wellfit.messages import ENGLISH, catalogue, languages, say

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
        if f"{room}.{name}" not in found
        # What joins texts is asked for by its name alone: join(parts, "clauses").
        and not (room == "words" and name in found)
        and not any(f"{room}.{name}".startswith(p) for p in prefixes)
    ]
    assert not unused


@pytest.mark.parametrize("room", ROOMS)
def test_every_text_is_a_sentence_with_named_places(room: str) -> None:
    for name, text in catalogue(room).items():
        assert isinstance(text, str), name
        assert text.strip(), name
        for _, place, _, _ in Formatter().parse(text):
            assert place is None or re.match(r"^[a-z][a-z0-9_]*$", place), (name, place)


# Words that are the same in every language: formulas, abbreviations, what is typed, and what only joins places.
SAME = {
    "diagnose.line",
    "diagnose.step_free",
    "knob.rule",
    "report.library_keras",
    "report.library_sklearn",
    "report.library_torch",
    "cli.table_reference",
    "path.mark_rule",
    "path.name_l1",
    "path.name_l2",
    "path.name_mixup",
    "path.none",
    "report.metric_auc",
    "report.metric_rmse",
    "report.metric_r2",
    "words.pair",
    "words.paragraphs",
}
OTHERS = [each for each in languages() if each != ENGLISH]


def written(language: str, room: str) -> dict[str, str]:
    """The texts that stand in a language's own file: `catalogue` would fill gaps with English."""
    path = PACKAGE / "messages" / language / f"{room}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def places(text: str) -> set[str]:
    return {place for _, place, _, _ in Formatter().parse(text) if place is not None}


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_and_none_left_over(language: str) -> None:
    lacking = [f"{room}.{name}" for room in ROOMS for name in catalogue(room) if name not in written(language, room)]
    assert not lacking, f"add these to src/wellfit/messages/{language} (docs/translating.md)"
    rooms = {path.stem for path in (PACKAGE / "messages" / language).glob("*.toml")}
    surplus = [
        f"{room}.{name}" for room in rooms for name in set(written(language, room)) - set(written(ENGLISH, room))
    ]
    assert not surplus, "no English text has these keys any more"


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_has_the_places_of_its_original(language: str) -> None:
    for room in ROOMS:
        for name, text in written(language, room).items():
            assert places(text) == places(catalogue(room)[name]), (room, name)


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_a_copy_of_the_english(language: str) -> None:
    copied = {
        f"{room}.{name}"
        for room in ROOMS
        for name, text in written(language, room).items()
        if text == catalogue(room)[name]
    }
    assert copied == SAME


def test_chinese_is_set_with_its_own_marks() -> None:
    """Commas, stops and colons after a Chinese sign are Chinese ones; brackets may belong to code."""
    for room in ROOMS:
        for name, text in written("zh", room).items():
            assert not re.search("[\u4e00-\u9fff][,;:?!.]|[,;:?!](?=[\u4e00-\u9fff])", text.replace("行数,", "")), (
                room,
                name,
            )
            assert not re.search("  |[\u4e00-\u9fff] [\u4e00-\u9fff]", text.replace("{word}  ", "")), (room, name)


def test_values_are_not_read_as_templates() -> None:
    assert "{x}" in say("errors.missing_extra", package="{x}", extra="{0}")


def test_an_unknown_key_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        say("nowhere.nothing")
    with pytest.raises(KeyError):
        say("errors.nothing")
