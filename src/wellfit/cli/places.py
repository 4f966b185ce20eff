"""Where members train, as the command line says it: threads, a Ray cluster, or one share of the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wellfit.cli.program import Problem
from wellfit.cli.screen import answer, harmless
from wellfit.messages import say

if TYPE_CHECKING:
    from wellfit.executors import Executor
    from wellfit.job import Incomplete

EXECUTORS = ("threads", "ray")


@contextmanager
def placed(asked: dict[str, Any]) -> Iterator[Executor | None]:
    """Give the executor that was asked for, None for the usual one; what it started is ended after the block."""
    name = asked["executor"] or ("threads" if asked["address"] is None else "ray")
    if name not in EXECUTORS:
        raise Problem("cli.no_such_executor", value=name, known=", ".join(EXECUTORS))
    if name == "threads":
        if asked["address"] is not None:
            raise Problem("cli.address_of_ray")
        yield None
        return
    from wellfit.executors import Ray

    with Ray(asked["address"], asked["threads"]) as executor:
        yield executor


def tell_share(done: Incomplete, source: str, out: str | None) -> None:
    """Say what a share has trained and where, and what comes next."""
    from wellfit.job import Shard, default_folder

    shard = Shard.parse(str(done.values["shard"]))
    folder = out or default_folder(source, shard)
    key = "shares.done" if done.values["own"] else "shares.done_before"
    answer(say(key, **done.values, folder=folder))
    # Not wrapped, so that the command can be copied.
    print(harmless(say("shares.next", folder=folder)))
