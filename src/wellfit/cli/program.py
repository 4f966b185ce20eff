"""The program around the commands: one clear line for every error, an exit code, and no traceback for a user's slip.

Exit codes: 0 done; 2 something a user can mend; 130 interrupted (Ctrl-C); 141 the reader of a pipe left.
"""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from wellfit.cli.interrupt import INTERRUPTED, twice_leaves
from wellfit.cli.language import Worded, asked_language, only_language, typed_order
from wellfit.cli.screen import settle_streams, tell
from wellfit.errors import WellfitError
from wellfit.messages import ENGLISH, VARIABLE, join, known_language, languages, say, speaking

MENDABLE, PIPE_CLOSED = 2, 141


class Stopped(Exception):
    """The user pressed Ctrl-C; the text says what is kept."""


class _PipeClosed(Exception):
    """Nobody reads stdout any more."""


class Problem(click.UsageError):
    """A usage error whose sentence comes from the catalogue."""

    def __init__(self, key: str, /, **values: object) -> None:
        super().__init__(say(key, **values))


HELP = ["-h", "--help"]


class Command(Worded):
    """A command that names a surplus argument in the catalogue's words."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {"allow_extra_args": True, "help_option_names": HELP}
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; an error learns which command it belongs to, which click does not always tell it."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run the command, unless an argument is left over."""
        if ctx.args:
            raise Problem("cli.extra_argument", value=ctx.args[0], command=ctx.command_path)
        return super().invoke(ctx)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return ``--help`` with the catalogue's words."""
        return _worded(super().get_help_option(ctx))


class Program(Worded, click.Group):
    """The group of commands, and the one place where errors become lines and exit codes."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {"help_option_names": HELP}
        super().__init__(*args, **kwargs)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return ``--help`` with the catalogue's words."""
        return _worded(super().get_help_option(ctx))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Keep the arguments as they were typed: the report shows the command that repeats it."""
        return super().make_context(info_name, args, parent, **extra, obj=typed_order(args))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the group's own arguments; without a command its help is shown."""
        return super().parse_args(ctx, [] if only_language(args) else args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        """Find the command, or say which one is near."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name.lower(), known, 1)
            if near:
                raise Problem("cli.no_such_command_near", value=name, near=near[0])
            if os.path.exists(name):
                raise Problem("cli.command_is_file", value=name)
            raise Problem("cli.no_such_command", value=name, known=", ".join(known))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the asked command; click's own handling of Ctrl-C and closed pipes prints and exits differently."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt as error:
            raise Stopped(say("cli.interrupted")) from error
        except BrokenPipeError as error:
            raise _PipeClosed from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the program and exit: the entry point of ``wellfit``."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        with speaking(asked_language(sys.argv[1:] if args is None else args)):
            return self._main(args, complete_var, **extra)

    def _main(self, args: Sequence[str] | None, complete_var: str | None, **extra: Any) -> NoReturn:
        settle_streams()
        unknown = os.environ.get(VARIABLE, ENGLISH)
        if known_language(unknown) is None:
            _fail(say("cli.bad_language_variable", name=VARIABLE, value=unknown, known=join(languages())))
        if args is None and not sys.warnoptions:
            # Libraries' warnings are for programmers; what a user should know is said as a finding.
            warnings.simplefilter("ignore")
        try:
            with twice_leaves():
                super().main(args, "wellfit", complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help())
        except click.ClickException as error:
            _fail(_sentence(error))
        except WellfitError as error:
            _fail(str(error))
        except Stopped as error:
            tell(error)
            sys.exit(INTERRUPTED)
        except _PipeClosed:
            # Python flushes stdout once more at exit; let that find an open door.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(PIPE_CLOSED)
        except OSError as error:
            _fail(_file_sentence(error))
        except MemoryError:
            _fail(say("cli.no_memory"))
        sys.exit(0)


def _worded(option: click.Option | None) -> click.Option | None:
    if option is not None:
        option.help = say("cli.help_help")
    return option


def _fail(sentence: str) -> NoReturn:
    tell(say("cli.error", sentence=sentence))
    sys.exit(MENDABLE)


def _sentence(error: click.ClickException) -> str:
    """Return the catalogue's sentence for an error of click's."""
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "wellfit"
    if isinstance(error, click.NoSuchOption):
        if error.possibilities:
            return say("cli.no_such_option_near", option=error.option_name, near=error.possibilities[0])
        return say("cli.no_such_option", option=error.option_name, command=command)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return say("cli.missing", what=error.param.human_readable_name.upper(), command=command)
    if isinstance(error, click.BadOptionUsage):
        return say("cli.needs_value", option=error.option_name, command=command)
    return error.message


def _file_sentence(error: OSError) -> str:
    place = error.filename if error.filename is not None else say("cli.some_file")
    return say("cli.os_error", path=place, reason=error.strerror or str(error))
