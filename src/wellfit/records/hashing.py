"""Hashes of frozen values that are asked for again and again."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")
_PLACE = "_hash"


def hash_once(cls: type[T]) -> type[T]:
    """Make a frozen dataclass keep its hash once it was asked for: a population looks each member up many times.

    The hash does not travel with a pickled or copied value: texts hash differently in every process.

    >>> from dataclasses import dataclass
    >>> @hash_once
    ... @dataclass(frozen=True)
    ... class Name:
    ...     text: str
    >>> hash(Name("a")) == hash(Name("a")), Name("a") == Name("a"), Name("a") == Name("b")
    (True, True, False)
    """
    computed = cls.__hash__

    def __hash__(self: T) -> int:
        kept = self.__dict__.get(_PLACE)
        if kept is None:
            kept = self.__dict__[_PLACE] = computed(self)
        return kept

    def __getstate__(self: T) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != _PLACE}

    cls.__hash__, cls.__getstate__ = __hash__, __getstate__  # type: ignore[assignment]  # methods both
    return cls
