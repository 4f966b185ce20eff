"""The options the commands share, and how their values are read. All words come from the catalogue."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from typing import Any

import click

from wellfit.cli.language import option
from wellfit.messages import say


class Whole(click.ParamType):
    """A whole number of at least ``low``."""

    name = "number"

    def __init__(self, low: int = 1) -> None:
        self.low = low

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail with a sentence that names the option."""
        try:
            number = int(str(value))
        except ValueError:
            number = self.low - 1
        if not self.low <= number < 2**63:
            self.fail(say("cli.not_whole", option=_flag(param), value=value, low=self.low), param, ctx)
        return number


class Batch(Whole):
    """A whole number of at least 1, or ``full`` (None): all training rows at once."""

    name = "number or full"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or the word ``full``, which the command turns into None."""
        return "full" if str(value).strip().lower() == "full" else super().convert(value, param, ctx)


class Positive(click.ParamType):
    """A finite number above 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with a sentence that names the option."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            self.fail(say("cli.not_positive", option=_flag(param), value=value), param, ctx)
        return number


class Names(click.ParamType):
    """Column names, comma-separated; a name that holds a comma stands in double quotes."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in one value of the option."""
        if isinstance(value, tuple):
            return value
        try:
            rows = list(csv.reader([value], skipinitialspace=True, strict=True))
        except csv.Error:
            self.fail(say("cli.bad_names", option=_flag(param), value=value), param, ctx)
        return tuple(name.strip() for row in rows for name in row if name.strip())


class Turned(click.ParamType):
    """An ingredient that is turned up: its options count, and of its strength only proportions, (1, 0)."""

    name = "ingredient"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or fail where it holds a strength, which would change nothing."""
        head, colon, options = str(value).partition(":")
        name, equals, strength = head.partition("=")
        if equals and "," not in strength:
            shown = f"{name.strip()}{colon}{options}"
            self.fail(say("path.strength_given", option=_flag(param), value=value, name=shown), param, ctx)
        return str(value)


def _flag(param: click.Parameter | None) -> str:
    return param.opts[-1] if param is not None else ""


def _option(*flags: str, **settings: Any) -> Callable:
    """Return a click option whose help is the catalogue's ``cli.opt_<name>``."""
    name = flags[-1].removeprefix("--").replace("-", "_")
    return option(*flags, help=say(f"cli.opt_{name}"), **settings)


def _columns(flag: str) -> Callable:
    return _option(flag, metavar="COLS", multiple=True, type=Names())


DATA = (
    _option("--target", metavar="COL"),
    _option("--task", metavar="TASK"),
    _columns("--drop"),
    _option("--test", metavar="FILE"),
    _option("--group", metavar="COL"),
    _option("--time", metavar="COL"),
    _option("--weight", metavar="COL"),
    _columns("--categorical"),
    _columns("--numeric"),
    _option("--image-size", metavar="N|NxN"),
    _option("--skip-corrupt", is_flag=True),
)
NETWORK = (_option("--network", metavar="TEXT"),)
TRAINING = (
    *NETWORK,
    _option("--optimizer", metavar="NAME"),
    _option("--learning-rate", metavar="X", type=Positive()),
    _option("--epochs", metavar="N", type=Whole()),
    _option("--batch-size", metavar="N|full", type=Batch()),
    _option("--schedule", metavar="NAME"),
    _option("--loss", metavar="NAME"),
    _option("--class-weights", metavar="balanced|W,W"),
)
REPEAT = (
    _option("--seed", metavar="N", type=Whole(0), default=0),
    _option("--threads", metavar="N", type=Whole()),
)
PLACE = (
    _option("--executor", metavar="NAME"),
    _option("--address", metavar="ADDRESS"),
)
SHARE = (_option("--shard", metavar="I/N"),)
FOLDING = (
    _option("--metric", metavar="NAME"),
    _option("--folds", metavar="N", type=Whole(2)),
)
STUDY = (*FOLDING, _option("--seeds", metavar="N", type=Whole()), *REPEAT)
BUDGET = (_option("--budget", metavar="TIME|STEPS"),)
SAMPLER = (_option("--sampler", metavar="NAME"),)
SEARCH = (*BUDGET, *SAMPLER)
COCKTAIL = (_option("--cocktail", metavar="TEXT"),)
COCKTAILS = (_option("--cocktails", metavar="TEXTS"),)
QUICK = (_option("--quick", is_flag=True),)
JSON = (_option("as_json", "--json", is_flag=True),)
OUTPUT = (_option("--out", metavar="FOLDER"), *JSON)


def options(*groups: tuple[Callable, ...]) -> Callable:
    """Return a decorator that gives a command the options of ``groups``, in order."""

    def decorate(function: Callable) -> Callable:
        for give in reversed([each for group in groups for each in group]):
            function = give(function)
        return function

    return decorate


def load_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `wellfit.data.load` among those given, repeated column lists joined."""
    names = ("target", "task", "test", "group", "time", "weight", "image_size", "skip_corrupt")
    plain = {name: given[name] for name in names}
    return plain | {
        name: tuple(column for part in given[name] for column in part) for name in ("drop", "categorical", "numeric")
    }


def training_changes(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `Training` that were given, by name: what the default recipe is changed by."""
    names = ("optimizer", "learning_rate", "epochs", "batch_size", "schedule", "loss", "class_weights")
    changes = {name: given[name] for name in names if given[name] is not None}
    if changes.get("batch_size") == "full":
        changes["batch_size"] = None
    if changes.get("class_weights", "balanced") != "balanced":
        changes["class_weights"] = tuple(changes["class_weights"].split(","))
    return changes


def typed() -> tuple[str, ...]:
    """Return the arguments of the program as they were typed, for the report and for continuing a run."""
    return tuple(click.get_current_context().find_root().obj)
