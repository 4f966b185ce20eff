"""What hears a module's passes in a trial: its operations, what they read, and the calls of its layers.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wellfit.errors import UnsupportedError
from wellfit.nets.copies import Copies
from wellfit.nets.layout import own_weights
from wellfit.nets.surgery import Site, is_layer
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()
nn: Any = torch.nn
from torch.utils.flop_counter import flop_registry  # noqa: E402 (behind the door)

# Fused operations that multiply by several weights.
_FUSED = ("_native_multi_head_attention", "_transformer_encoder_layer_fwd")
_VIEWS = ("detach", "view", "squeeze", "_unsafe_view", "alias")  # what is no last operation


class NoDraws(torch.utils._python_dispatch.TorchDispatchMode):
    """Raises `UnsupportedError` for an operation that draws random numbers, before it is done."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: yes makes PyTorch import its compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Do the operation if it draws nothing."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and not _without_effect(func, args, kwargs):
            raise UnsupportedError("module.own_dropout", name=self._name, operation=_named(func))
        return func(*args, **kwargs)


class Watch(NoDraws):
    """Hears every operation: what is read, and the first time the last one, all in words, and how much work there is.

    Raises `UnsupportedError` as well for one that reads what training would not see: a parameter by another reference,
    or one that is not the module's.
    """

    def __init__(self, copies: Copies, name: str, *, repeated: bool) -> None:
        super().__init__(name)
        self._away, self._repeated = False, repeated
        self.last, self.numbers, self.flops = "", 0, 0
        self.heard: list[str] = []
        self.read: set[str] = set()  # names of parameters and buffers
        self._theirs = {_address(own): tensor for tensor, own, _ in copies.members_own() if own.numel()}
        self._copies = {_address(copy): tensor for tensor, _, copy in copies.members_own() if copy.numel()}
        self._made: set[int] = set()  # by the pass itself
        self.listener: Any = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Hear nothing for a while: what is done is the trial's own."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Note the operation and go on."""
        kwargs = kwargs or {}
        if self._away:
            return func(*args, **kwargs)
        given = list(_tensors((*args, *kwargs.values())))
        self._read(given)
        out = super().__torch_dispatch__(func, types, args, kwargs)
        self._made |= {_address(tensor) for tensor in _tensors((out,))}
        if not self._repeated:
            self._note(func, args, kwargs, given, out)
        return out

    def _note(self, func: Any, args: tuple, kwargs: dict, given: list[Any], out: Any) -> None:
        named, values = _named(func), (*args, *kwargs.values())
        if named not in _VIEWS:
            self.last = named
        self.numbers += out.numel() if isinstance(out, torch.Tensor) else 0
        plain = [a for a in values if isinstance(a, int | float | bool | str | list | tuple)]
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else ""
        self.heard.append(f"{named} {[a for a in plain if next(_tensors((a,)), None) is None]} {shape}")
        # PyTorch's own mode for this takes seconds to begin; its formulas are there for the asking.
        count = flop_registry.get(func.overloadpacket)
        self.flops += count(*args, **kwargs, out_val=out) if count else 0
        if self.listener is not None:
            self.listener.note(count is not None or named in _FUSED, given, out)

    def _read(self, given: list[Any]) -> None:
        for tensor in given:
            at = _address(tensor)
            if at in self._copies:
                self.read.add(self._copies[at])
            elif at in self._theirs:
                raise UnsupportedError("trial.other_reference", name=self._name, tensor=self._theirs[at])
            elif at not in self._made and tensor.is_leaf and tensor.requires_grad and torch.is_grad_enabled():
                raise UnsupportedError("trial.unregistered", name=self._name, shape=tuple(tensor.shape))


def _named(func: Any) -> str:
    return func._schema.name.partition("::")[2]


def _address(tensor: Any) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(values: tuple) -> Iterator[Any]:
    """Yield the tensors among values, and in lists of them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from (item for item in value if isinstance(item, torch.Tensor))


def _without_effect(func: Any, args: tuple, kwargs: dict) -> bool:
    """Return whether an operation that may draw does not: attention with a dropout of 0, dropout in evaluation."""
    told = func._schema.arguments  # what equals its default is not handed over
    given = {a.name: a.default_value for a in told if a.has_default_value()}
    given |= dict(zip((a.name for a in told), args, strict=False)) | kwargs
    if given.get("train") is False:
        return True
    rates = [given[name] for name in ("dropout_p", "p", "dropout") if name in given]
    return bool(rates) and not any(rates)


@dataclass
class Structure:
    """What a training pass shows of a module's layers: names in the order of calls, and shapes that left them."""

    layers: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    masks: list[tuple[int, ...]] = field(default_factory=list)  # of each call of a site, without the rows
    follows: dict[str, str] = field(default_factory=dict)  # a batch normalization by the layer in front of it
    droppable: set[str] = field(default_factory=set)  # layers that are given values, and not by a dropout layer
    outside: list[str] = field(default_factory=list)  # weights that are multiplied outside of a call of their layer
    early: bool = False  # whether one is before any layer is called


class Calls:
    """Tells a structure of layers as they are called, and of weights that are multiplied elsewhere."""

    def __init__(self, net: Any, found: Structure, watch: Watch, rows: int, name: str) -> None:
        self.found, self.watch, self.rows, self.name = found, watch, rows, name
        self._inside: list[str] = []  # layers that are being called
        self._called = False  # any layer, yet
        self._left: dict[str, Any] = {}  # what each layer gave
        self._dropped: list[Any] = []  # what dropout layers gave
        self._hooks: list[Any] = []
        self._owners: dict[int, tuple[str, set[str]]] = {}  # weights by address: a name, and the layers that have it
        self._reshaped: list[Any] = []  # copies of weights, kept, so that no other tensor gets the address
        watch.listener = self
        for place, part in net.named_modules():
            for key, tensor in own_weights(part):
                own = f"{place}.{key}".lstrip(".")
                self._owners.setdefault(_address(tensor), (own, set()))[1].add(place)
            if isinstance(part, Site):
                self._hooks.append(part.register_forward_hook(partial(self._drop, place)))
            elif isinstance(part, nn.modules.batchnorm._BatchNorm):
                self._hooks.append(part.register_forward_hook(partial(self._norm, place)))
            elif is_layer(part):
                self._hooks.append(part.register_forward_pre_hook(partial(self._enter, place), with_kwargs=True))
                # Before what was inserted behind the layer.
                self._hooks.append(part.register_forward_hook(partial(self._leave, place), prepend=True))

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *failed: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def note(self, multiplies: bool, given: list[Any], out: Any) -> None:
        """Take note of an operation: of a product, or of what may be a weight's copy in another shape or type."""
        mine = [self._owners[at] for at in map(_address, given) if at in self._owners]
        self._called = self._called or bool(self._inside)
        if multiplies:
            self.found.early = self.found.early or bool(mine and not self._called)
            called = any(places & set(self._inside) for _, places in mine)
            new = [name for name, _ in mine if name not in self.found.outside]
            self.found.outside += [] if called else new
        elif len(given) == 1 and mine and isinstance(out, torch.Tensor):
            self._owners.setdefault(_address(out), mine[0])
            self._reshaped.append(out)

    def _drop(self, place: str, part: Site, given: tuple, out: Any) -> Any:
        shape = tuple(given[0].shape)
        if not shape or shape[0] != self.rows:
            raise UnsupportedError("trial.dropout_rows", name=self.name, place=place, given=shape, rows=self.rows)
        self.found.sites.append(place)
        self.found.masks.append(part.mask_shape(shape))
        with self.watch.away():
            out = out.clone()  # to be told from what came in, which may go elsewhere too
        self._dropped.append(out)
        return out

    def _norm(self, place: str, _: Any, given: tuple, __: Any) -> None:
        before = next((name for name, gave in self._left.items() if gave is given[0]), None)
        if before is not None:
            self.found.follows.setdefault(before, place)

    def _enter(self, place: str, _: Any, given: tuple, named: dict[str, Any]) -> None:
        self._inside.append(place)
        x = next(iter((*given, *named.values())), None)
        values = isinstance(x, torch.Tensor) and x.is_floating_point()
        if values and not any(_address(x) == _address(out) for out in self._dropped):
            self.found.droppable.add(place)

    def _leave(self, place: str, _: Any, __: tuple, out: Any) -> None:
        self._inside.remove(place)
        if place not in self.found.layers:
            self._left[place] = out
            self.found.layers.append(place)
            self.found.shapes[place] = tuple(out.shape) if hasattr(out, "shape") else ()
