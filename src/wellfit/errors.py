"""The errors wellfit raises on purpose: one small hierarchy whose messages come from the catalogue.

A message says what was wrong, where (row, column, member) and what to do. The command line prints it as one line and
exits with 2; Python users catch `WellfitError`, or ``ValueError`` where a value was at fault.
"""

from __future__ import annotations

from wellfit.messages import again, say


class WellfitError(Exception):
    """Base of all errors that a user can mend.

    ``key`` is the message's key in the catalogue and ``values`` what filled its places. The message is in the language
    of whoever reads it: an error may come from another thread or process.
    """

    def __init__(self, key: str, /, **values: object) -> None:
        self.key = key
        self.values = values
        super().__init__(say(key, **values))

    def __str__(self) -> str:
        values = {name: again(value) for name, value in self.values.items()}
        return str.__str__(say(self.key, **values))

    def __reduce__(self) -> tuple:
        """Pickle by key and values (a pool of processes sends errors home)."""
        return _rebuild, (type(self), self.key, self.values)


def _rebuild(kind: type[WellfitError], key: str, values: dict) -> WellfitError:
    return kind(key, **values)


class DataError(WellfitError, ValueError):
    """The data cannot be used as given; the message names the file, row or column."""


class SettingError(WellfitError, ValueError):
    """A setting, a cocktail, a network or a training is impossible; the message names the part and the reason."""


class UnsupportedError(SettingError):
    """No engine at hand can train this member; the message names the part and the engine that can."""


class ModelFileError(WellfitError, ValueError):
    """A model file, state or ledger cannot be read; the message says why."""


class MissingExtraError(WellfitError, ImportError):
    """An optional package is absent; the message names the extra to install."""

    def __init__(self, package: str, extra: str) -> None:
        WellfitError.__init__(self, "errors.missing_extra", package=package, extra=extra)

    def __reduce__(self) -> tuple:
        """Pickle by the two names this class is made from."""
        return MissingExtraError, (self.values["package"], self.values["extra"])
