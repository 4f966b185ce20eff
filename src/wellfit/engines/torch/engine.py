"""The torch engine behind the engine contract. Imports PyTorch only when it trains."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.engines.base import Member, State, initial_state, misfit, refuse_misfits
from wellfit.engines.blas import one_blas_thread
from wellfit.errors import SettingError, WellfitError
from wellfit.messages import say
from wellfit.nets import Module
from wellfit.nets.module import Inputs
from wellfit.nets.torch_door import has_torch, out_of_memory, require_torch
from wellfit.nets.training import batches
from wellfit.records import TrainingData

if TYPE_CHECKING:
    from wellfit.engines.torch.batches import Held

DEVICES = ("auto", "cpu", "cuda")
# The share of a GPU's free memory that one stack may take, by an estimate that errs to the high side.
SHARE = 0.6


class TorchEngine:
    """Trains any PyTorch module (`wellfit.module`), and MLPs, by the formulas of ``docs/objective.md``.

    On a CPU members train one at a time, images with their channels last. How many threads one has depends on how much
    work its steps are, and not on the machine, so that results do not either: two (an executor then has one member side
    by side for each two cores), or one where a step is small. With a GPU members of
    one architecture are stacked (`torch.func`) as far as its memory goes, and where it does not suffice a stack is
    halved and training goes on; ``notice`` hears of it (by default a warning).
    ``device`` is ``cpu``, ``cuda``, or ``auto``: the GPU where there is one. ``stacked`` asks for stacks on a CPU too.
    Draws are those of `wellfit.rng`, so masks depend on the member alone and are the same on every device.
    Raises `SettingError` for an unknown device, or a GPU that is not there.
    """

    name = "torch"
    version = "1"

    def __init__(
        self, device: str = "auto", *, stacked: bool | None = None, notice: Callable[[str], None] | None = None
    ) -> None:
        if device not in DEVICES:
            raise SettingError("torch.bad_device", value=device, known=", ".join(DEVICES))
        self._asked, self._stacked, self.notice = device, stacked, notice
        self._held: Held | None = None
        self._lock = threading.Lock()  # stacks share a GPU's memory, so one trains at a time

    def __reduce__(self) -> tuple:
        """Travel as the settings: a worker elsewhere finds its own device."""
        return _again, (self._asked, self._stacked)

    @property
    def device(self) -> Any:
        """The device, once PyTorch is there."""
        torch = require_torch()
        there = torch.cuda.is_available()
        if self._asked == "cuda" and not there:
            raise SettingError("torch.no_gpu")
        return torch.device("cuda" if there and self._asked != "cpu" else "cpu")

    @property
    def lockstep(self) -> bool:
        """Whether members are to be handed over together, to be trained in step."""
        return self._stacked if self._stacked is not None else self.device.type == "cuda"

    def supports(self, member: Member, data: TrainingData) -> str | None:
        """Return None, or the reason why this engine cannot train the member."""
        if not has_torch():
            return say("errors.missing_extra", package="torch", extra="torch")
        if isinstance(member.network, Module) and member.network.inputs is None:
            return say("module.unbound", name=member.network.name)
        reason = misfit(member, data)
        if reason:
            return reason
        from wellfit.engines.torch.stack import built_for

        try:
            built = built_for(member, data)
        except WellfitError as error:
            return str(error)
        if not built.layout.learned:
            return say("torch.nothing_to_learn", network=member.network)
        if isinstance(member.network, Module) and (reason := built.misfit(data.task)):
            return reason
        kind = data.folds[member.fold].x.dtype
        tokens = np.issubdtype(kind, np.integer) and kind != np.uint8
        if ("tokens" if tokens else "values") not in built.kinds and isinstance(member.network, Module):
            return say("torch.wants_values" if tokens else "torch.wants_tokens", network=member.network)
        strengths = member.network.strengths(member.cocktail)
        if tokens and any((strengths.input_noise, strengths.input_dropout, strengths.mixup)):
            return say("torch.tokens")
        return None

    def threads_for(self, member: Member, data: TrainingData) -> int:
        """Return how many threads a member trains on: a function of the work of one step, on every machine."""
        from wellfit.engines.torch.stack import built_for
        from wellfit.nets.torch_threads import SHARED, TRAINING

        fold = data.folds[member.fold]
        _, batch = batches(len(fold.rows.train), member.training.batch_size)
        return TRAINING if built_for(member, data).products * batch >= SHARED else 1

    def groups(self, members: Sequence[Member], data: TrainingData) -> list[list[int]]:
        """Return which members, by index, may be stacked; each stands alone where nothing is."""
        if not self.lockstep:
            return [[i] for i in range(len(members))]
        return list(_alike(members, [None] * len(members), data).values())

    def init(self, members: Sequence[Member], data: TrainingData) -> list[State]:
        """Return the states before training. Raises `UnsupportedError` for a misfit, before any work."""
        refuse_misfits(self, members, data)
        return [initial_state(member, data) for member in members]

    def advance(
        self, members: Sequence[Member], states: Sequence[State], until: Sequence[int], data: TrainingData
    ) -> list[State]:
        """Return the states at the absolute epochs ``until``; the given states are not modified."""
        return self.advance_for(members, states, until, data, math.inf)

    def advance_for(
        self,
        members: Sequence[Member],
        states: Sequence[State],
        until: Sequence[int],
        data: TrainingData,
        seconds: float,
    ) -> list[State]:
        """Return the states at the epochs ``until``, or after about so many seconds, in the middle of an epoch maybe.

        Each stack makes at least one step, so that repeating the call comes to an end.
        """
        found, deadline = list(states), time.perf_counter() + seconds
        ends = [min(u, m.training.epochs) for u, m in zip(until, members, strict=True)]
        open_ = [
            i for i, s in enumerate(states) if s.status == "running" and (s.epoch < ends[i] or np.isnan(s.curves[0, 0]))
        ]
        if not open_:
            return found
        with one_blas_thread(), self._lock if self.lockstep else nullcontext():
            for places in self._stacks([members[i] for i in open_], [states[i] for i in open_], data):
                chosen = [open_[p] for p in places]
                self._train(chosen, members, found, ends, data, deadline)
        return found

    def _stacks(self, members: Sequence[Member], states: Sequence[State], data: TrainingData) -> list[list[int]]:
        if not self.lockstep:
            return [[i] for i in range(len(members))]
        found = []
        for places in _alike(members, states, data).values():
            most = self._most(members[places[0]], data)
            found += [places[i : i + most] for i in range(0, len(places), most)]
        return found

    def _most(self, member: Member, data: TrainingData) -> int:
        """Return how many members fit into the memory, about."""
        if self.device.type != "cuda":
            return 1 << 30
        from wellfit.engines.torch.stack import built_for

        free, _ = require_torch().cuda.mem_get_info()
        batch = member.training.batch_size or len(data.folds[member.fold].rows.train)
        return max(1, int(SHARE * free / built_for(member, data).bytes_for(batch)))

    def _train(
        self,
        chosen: Sequence[int],
        members: Sequence[Member],
        found: list[State],
        ends: Sequence[int],
        data: TrainingData,
        deadline: float,
    ) -> None:
        """Train the chosen members as one stack, or as two where the memory does not suffice."""
        from wellfit.engines.torch.stack import Stack
        from wellfit.nets.torch_threads import fixed_threads

        try:
            with fixed_threads(self.threads_for(members[chosen[0]], data)):
                stack = Stack([members[i] for i in chosen], [found[i] for i in chosen], data, self._hold())
                ended = stack.run([ends[i] for i in chosen], deadline)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(chosen) == 1:
                raise MemoryError(str(error)) from error
        else:
            for i, state in zip(chosen, ended, strict=True):
                found[i] = state
            return
        self._say(say("torch.halved", members=len(chosen)))
        if self.device.type == "cuda":
            require_torch().cuda.empty_cache()
        half = len(chosen) // 2
        for part in (chosen[:half], chosen[half:]):
            self._train(part, members, found, ends, data, deadline)

    def _say(self, sentence: str) -> None:
        if self.notice is not None:
            self.notice(sentence)
        else:
            warnings.warn(sentence, stacklevel=2)

    def _hold(self) -> Held:
        if self._held is None:
            from wellfit.engines.torch.batches import Held

            self._held = Held(self.device)
        return self._held


def best_precision(network: Module, inputs: Inputs, outputs: int) -> str:
    """Return the precision that trains a module fastest here without harm: bfloat16 or float32.

    The rule was measured (docs/modules.md): convolutions on a processor with bfloat16 instructions take a third of the
    time, and the accuracy is the same within its noise; dense layers of the sizes usual here gain nothing.
    """
    torch = require_torch()
    built = network.built(inputs, outputs, batch_norm=False)
    convolves = any(isinstance(part, torch.nn.modules.conv._ConvNd) for part in built.net.modules())
    if torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported()
    else:
        has = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if convolves and has else "float32"


def _again(device: str, stacked: bool | None) -> TorchEngine:
    return TorchEngine(device, stacked=stacked)


def _alike(members: Sequence[Member], states: Sequence[State | None], data: TrainingData) -> dict[tuple, list[int]]:
    """Return the places of members that can be stacked, by what they have in common."""
    from wellfit.engines.torch.stack import built_for

    found: dict[tuple, list[int]] = {}
    for i, (member, state) in enumerate(zip(members, states, strict=True)):
        training, fold = member.training, data.folds[member.fold]
        batch = training.batch_size
        key = (
            member.network,
            member.network.strengths(member.cocktail).batch_norm,
            (training.optimizer, training.nesterov, training.precision, training.loss, batch),
            (len(fold.rows.train), fold.inputs),
            None if state is None else (state.step, state.epoch, bool(np.isnan(state.curves[0, 0]))),
            None if built_for(member, data).stacks else i,
        )
        found.setdefault(key, []).append(i)
    return found
