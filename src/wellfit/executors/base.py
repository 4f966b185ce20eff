"""The executor contract: members in, final states out as each ends. `wellfit.executors.contract` tests it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol

from wellfit.engines.base import Engine, Member, State
from wellfit.errors import SettingError, WellfitError
from wellfit.nets.training import batches
from wellfit.records import TrainingData

Progress = Callable[[int, int], None]
Keep = Callable[[int, State], None]
KEEP_SECONDS = 5.0  # of a member's training, between one state that is kept and the next


class Executor(Protocol):
    """Where members run. No answer may depend on which executor is used.

    ``keep_seconds`` is how much training lies between two states of a member that are kept, `KEEP_SECONDS` at first.
    """

    keep_seconds: float

    def run(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        *,
        states: Sequence[State | None] | None = None,
        until: Sequence[int] | None = None,
        progress: Progress | None = None,
        keep: Keep | None = None,
    ) -> Generator[tuple[int, State], None, None]:
        """Yield (index into ``members``, final state) as each member ends, in no particular order.

        ``states`` continues from given states, None for a member that begins; ``until`` are absolute epochs,
        (members,), at which to hand the members over instead of at their ends. ``progress(done, total)`` is called in
        the calling thread, in member-steps (optimizer steps; those a stopped member did not need count as done). On
        ``KeyboardInterrupt`` the members that have ended are still yielded, and then it is raised again. Raises
        `MemberError`, likewise after yielding what has ended, where a member's training fails. Where the memory does
        not suffice for a member, the others are trained to their ends first.

        ``keep(index, state)`` is called in the calling thread with the state of a member that goes on, after about
        ``keep_seconds`` of its training and each time that long again: never for shorter members. It is called once
        more for those under way where the run ends by an interrupt or a failure, and for none once its end was yielded.
        """


class MemberError(WellfitError, RuntimeError):
    """The training of one member failed; the message names the member, ``__cause__`` is what happened."""


def member_steps(member: Member, data: TrainingData, epochs: int | None = None) -> int:
    """Return the optimizer steps of ``epochs`` of a member, by default of all: the unit of budgets and progress."""
    steps, _ = batches(len(data.folds[member.fold].rows.train), member.training.batch_size)
    return steps * (member.training.epochs if epochs is None else epochs)


def step_cost(member: Member, data: TrainingData) -> int:
    """Return the multiplications of one optimizer step, about: for the sizes and the order of work only."""
    fold = data.folds[member.fold]
    _, batch = batches(len(fold.rows.train), member.training.batch_size)
    return batch * member.network.products(fold.inputs, data.outputs)


def epoch_work(members: Sequence[Member], data: TrainingData) -> list[tuple[int, int]]:
    """Return each member's `member_steps` of one epoch and its `step_cost`; members alike are looked at once."""
    known: dict[tuple[int, int, int], tuple[int, int]] = {}
    found = []
    for member in members:
        kind = id(member.network), id(member.training), member.fold  # to compare the values would take longer
        if kind not in known:
            known[kind] = member_steps(member, data, 1), step_cost(member, data)
        found.append(known[kind])
    return found


def check_lengths(
    members: Sequence[Member], states: Sequence[State | None] | None, until: Sequence[int] | None
) -> None:
    """Raise `SettingError` where there are not as many states or epochs as members."""
    if states is not None and len(states) != len(members):
        raise SettingError("executors.wrong_states", states=len(states), members=len(members))
    if until is not None and len(until) != len(members):
        raise SettingError("executors.wrong_until", given=len(until), members=len(members))
