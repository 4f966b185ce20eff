"""The option --lang: in which language everything is said, help and errors too.

It may stand before or after the command's name, and acts before anything is read: so it is looked for in the
arguments as they were typed. The words of commands and options are said when they are shown, not when they are made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import click

from wellfit.cli.wrapping import Pages
from wellfit.messages import again, join, known_language, language, languages, say

FLAG = "--lang"


class Option(click.Option):
    """An option whose help is in the current language."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._said: str | None = settings.get("help")
        super().__init__(*args, **settings)

    @property
    def help(self) -> str | None:
        """The help, cleaned as click does."""
        return None if self._said is None else inspect.cleandoc(str(again(self._said)))

    @help.setter
    def help(self, text: str | None) -> None:
        if self._said is None:
            self._said = text


class _Words:
    """An attribute that holds a text, and gives it in the current language."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.place = f"_{name}_said"

    def __get__(self, command: click.Command, owner: type) -> Any:
        return again(getattr(command, self.place))

    def __set__(self, command: click.Command, text: str | None) -> None:
        setattr(command, self.place, text)


class Worded(click.Command):
    """A command that takes ``--lang``, and whose help is in the current language."""

    help = _Words()  # in place of click's plain attributes
    short_help = _Words()
    epilog = _Words()

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.append(language_option())

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, its lines broken by the width that signs take on a screen."""
        ctx.formatter_class = Pages
        return super().get_help(ctx)


def language_option() -> Option:
    """Return ``--lang``: what it does is done by `asked_language`, before the command reads its arguments."""
    return Option([FLAG], metavar="|".join(languages()), help=say("cli.opt_lang"), expose_value=False, type=Language())


class Language(click.ParamType):
    """One of the languages, or an error that names them."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the language's short name."""
        found = known_language(value)
        if found is None:
            self.fail(say("errors.unknown_language", value=value, known=join(languages())), param, ctx)
        return found


def asked_language(arguments: Sequence[str]) -> str:
    """Return the language that ``--lang`` among the arguments asks for: the last known one, or else the current.

    >>> asked_language(["run", "football", "--lang", "zh"]), asked_language(["--lang=zh_CN", "run"])
    ('zh', 'zh')
    """
    found = language()
    for i, word in enumerate(arguments):
        if word == "--":
            break
        given = arguments[i + 1] if word == FLAG and i + 1 < len(arguments) else word.removeprefix(f"{FLAG}=")
        if word == FLAG or word.startswith(f"{FLAG}="):
            found = known_language(given) or found
    return found


def only_language(arguments: Sequence[str]) -> bool:
    """Return whether nothing but ``--lang`` was typed: then a group shows its help, as it does for nothing at all.

    >>> only_language(["--lang", "zh"]), only_language(["--lang=zh", "run"])
    (True, False)
    """
    order = typed_order(arguments)
    return bool(order) and order[0].startswith(FLAG)


def typed_order(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments with the command's name first: a ``--lang`` before it goes behind it.

    >>> typed_order(["--lang", "zh", "run", "football"]), typed_order(["run", "football"])
    (('run', '--lang', 'zh', 'football'), ('run', 'football'))
    """
    words = list(arguments)
    before: list[str] = []
    while words and (words[0] == FLAG or words[0].startswith(f"{FLAG}=")):
        count = 2 if words[0] == FLAG else 1
        before, words = before + words[:count], words[count:]
    return (*words[:1], *before, *words[1:])


def option(*flags: str, **settings: Any) -> Callable:
    """Return click's decorator for an option whose ``help`` came from the catalogue."""
    return click.option(*flags, cls=Option, **settings)
