"""A module tried out: what a few rows show of its layers, its operations and what it keeps. Imports PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from wellfit.errors import SettingError, UnsupportedError, WellfitError
from wellfit.nets.layout import WHOLE, own_weights
from wellfit.nets.samples import VALUES, kinds_of, tokens_like
from wellfit.nets.surgery import BATCHES, Site, is_layer
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()
nn: Any = torch.nn
from torch.utils.flop_counter import flop_registry  # noqa: E402 (behind the door)

# Fused operations that multiply by several weights.
_FUSED = ("_native_multi_head_attention", "_transformer_encoder_layer_fwd")
_ENDS = {"_softmax": "softmax", "sigmoid": "sigmoid"}  # of what should return logits


@dataclass
class Trial:
    """What a forward pass of a few rows showed: names in the order of calls, with the shapes that left each layer."""

    products: int = 0
    layers: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    masks: list[tuple[int, ...]] = field(default_factory=list)  # of each call of a site, without the rows
    follows: dict[str, str] = field(default_factory=dict)  # a batch normalization by the layer in front of it
    kinds: tuple[str, ...] = (VALUES,)  # what the module takes
    activations: int = 0  # numbers that all operations gave back, a row
    heard: list[str] = field(default_factory=list)  # all operations of both passes, in words
    counters: list[str] = field(default_factory=list)  # buffers of whole numbers that a pass changed
    droppable: set[str] = field(default_factory=set)  # layers that are given values, and not by a dropout layer
    outside: list[str] = field(default_factory=list)  # weights that are multiplied outside of a call of their layer
    early: bool = False  # whether one is before any layer is called


def try_out(net: Any, x: Any, outputs: int, name: str) -> Trial:
    """Run a few rows through, in evaluation and in training mode, and return what was seen.

    Raises `SettingError` where the forward pass fails or does not give (n, outputs), or gives probabilities;
    `UnsupportedError` where it draws random numbers of its own, or changes a buffer that no vector can hold.
    """
    watch, buffers, numbers = _Watch(net), _Buffers(net), _numbers(net)
    trial = Trial(kinds=kinds_of(net, x, name))
    given = x if VALUES in trial.kinds else tokens_like(x)
    calls = _Calls(net, trial, watch)
    try:
        with torch.no_grad(), watch:
            out = net.train(False)(given)
        trial.products = max(1, watch.flops // 2 // len(x))
        trial.activations = watch.numbers // len(x)
        trial.outside = list(dict.fromkeys(watch.weights.outside))
        trial.early = watch.weights.early
        calls.forget()
        with torch.no_grad(), watch:
            net.train()(given)
        trial.heard = watch.heard
        trial.counters = buffers.counters(name)
        _refuse_counts(net, given, numbers, name)
    except WellfitError:
        raise
    except Exception as error:
        raise SettingError(
            "module.forward_failed", name=name, given=tuple(x.shape), kind=type(error).__name__, error=error
        ) from error
    finally:
        calls.forget()
        buffers.put_back()
    if watch.random:
        raise UnsupportedError("module.own_dropout", name=name, operation=watch.random)
    if watch.last in _ENDS:
        raise SettingError("module.probabilities", name=name, end=_ENDS[watch.last])
    shape = tuple(out.shape) if hasattr(out, "shape") else type(out).__name__
    fine = [(len(x), outputs)] + ([(len(x),), (len(x), 2)] if outputs == 1 else [])
    if shape not in fine:
        raise SettingError("module.wrong_output", name=name, given=tuple(x.shape), got=shape, wanted=fine[0])
    return trial


def _numbers(net: Any) -> dict[str, float]:
    """Return the plain numbers that a module and its parts have as attributes."""
    parts = ((place, key, value) for place, part in net.named_modules() for key, value in vars(part).items())
    return {
        f"{place}.{key}".lstrip("."): v for place, key, v in parts if isinstance(v, int | float) and key != "training"
    }


def _refuse_counts(net: Any, x: Any, before: dict[str, float], name: str) -> None:
    """Raise `UnsupportedError` where passes change a number of the module's, which all members would share.

    What changes once, as a size that a pass notes, is no count.
    """
    once = _numbers(net)
    changed = [key for key in before if once.get(key) != before[key]]
    if not changed:
        return
    with torch.no_grad():
        net(x)
    twice = _numbers(net)
    for key in changed:
        if twice.get(key) != once.get(key):
            raise UnsupportedError("module.counts", name=name, attribute=key)


class _Buffers:
    """A module's buffers as they were: to see which a pass changes, in place or by another tensor, and to put back."""

    def __init__(self, net: Any) -> None:
        self._parts = [(place, part, dict(part._buffers)) for place, part in net.named_modules()]
        self._values = {id(b): b.clone() for *_, held in self._parts for b in held.values() if b is not None}

    def counters(self, name: str) -> list[str]:
        """Return the names of those that hold whole numbers and changed.

        Raises `UnsupportedError` for one that was not there before, has another shape now, or holds what floats cannot.
        """
        found = []
        for place, part, held in self._parts:
            for key, now in part._buffers.items():
                if now is None or (isinstance(part, nn.modules.batchnorm._BatchNorm) and key == BATCHES):
                    continue
                own, before = f"{place}.{key}".lstrip("."), held.get(key)
                fits = before is not None and now.shape == before.shape and now.dtype == before.dtype
                if fits and (now.is_floating_point() or torch.equal(now, self._values[id(before)])):
                    continue
                if not fits or now.is_complex() or bool((now.long().abs() > WHOLE).any()):
                    raise UnsupportedError("module.odd_buffer", name=name, buffer=own, most=WHOLE)
                found.append(own)
        return found

    def put_back(self) -> None:
        """Undo what passes did."""
        for _, part, held in self._parts:
            part._buffers.clear()
            part._buffers.update(held)
            for buffer in filter(lambda b: b is not None, held.values()):
                with torch.no_grad():
                    buffer.copy_(self._values[id(buffer)])


class _Calls:
    """Tells a trial of layers as they are called."""

    def __init__(self, net: Any, trial: Trial, watch: _Watch) -> None:
        self.trial, self.watch, self.inside = trial, watch, watch.weights.inside
        self._left: dict[str, Any] = {}  # what each layer gave
        self._dropped: list[Any] = []  # what dropout layers gave
        self._hooks: list[Any] = []
        for place, part in net.named_modules():
            if isinstance(part, Site):
                self._hooks.append(part.register_forward_hook(partial(self._drop, place)))
            elif isinstance(part, nn.modules.batchnorm._BatchNorm):
                self._hooks.append(part.register_forward_hook(partial(self._norm, place)))
            elif is_layer(part):
                self._hooks.append(part.register_forward_pre_hook(partial(self._enter, place), with_kwargs=True))
                # Before what was inserted behind the layer.
                self._hooks.append(part.register_forward_hook(partial(self._leave, place), prepend=True))

    def forget(self) -> None:
        """Hear no more."""
        for hook in self._hooks:
            hook.remove()

    def _drop(self, place: str, part: Site, given: tuple, out: Any) -> Any:
        self.trial.sites.append(place)
        self.trial.masks.append(part.mask_shape(tuple(given[0].shape)))
        with self.watch.away():
            out = out.clone()  # to be told from what came in, which may go elsewhere too
        self._dropped.append(out)
        return out

    def _norm(self, place: str, _: Any, given: tuple, __: Any) -> None:
        before = next((name for name, gave in self._left.items() if gave is given[0]), None)
        if before is not None:
            self.trial.follows.setdefault(before, place)

    def _enter(self, place: str, _: Any, given: tuple, named: dict[str, Any]) -> None:
        self.inside.append(place)
        x = next(iter((*given, *named.values())), None)
        values = isinstance(x, torch.Tensor) and x.is_floating_point()
        if values and not any(_same_memory(x, out) for out in self._dropped):
            self.trial.droppable.add(place)

    def _leave(self, place: str, _: Any, __: tuple, out: Any) -> None:
        self.inside.remove(place)
        if place not in self.trial.layers:
            self._left[place] = out
            self.trial.layers.append(place)
            self.trial.shapes[place] = tuple(out.shape) if hasattr(out, "shape") else ()


def _same_memory(a: Any, b: Any) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


class _Weights:
    """Follows weights through operations, to see which are multiplied outside of a call of their layer."""

    def __init__(self, net: Any) -> None:
        self.inside: list[str] = []  # layers that are being called
        self.outside: list[str] = []
        self.early = False
        self._called = False  # any layer, yet
        self._owners: dict[int, tuple[str, set[str]]] = {}  # by address: a name, and the layers that have it
        self._copies: list[Any] = []  # kept, so that no other tensor gets the address
        for place, part in net.named_modules():
            for key, tensor in own_weights(part):
                name = f"{place}.{key}".lstrip(".")
                self._owners.setdefault(tensor.untyped_storage().data_ptr(), (name, set()))[1].add(place)

    def note(self, multiplies: bool, args: tuple, out: Any) -> None:
        """Take note of an operation: of a product, or of what may be a weight's copy in another shape or type."""
        given = [a for a in args if isinstance(a, torch.Tensor)]
        pointers = [tensor.untyped_storage().data_ptr() for tensor in given]
        mine = [self._owners[pointer] for pointer in pointers if pointer in self._owners]
        self._called = self._called or bool(self.inside)
        if multiplies:
            self.early = self.early or bool(mine and not self._called)
            called = any(places & set(self.inside) for _, places in mine)
            self.outside += [] if called else [name for name, _ in mine]
        elif len(given) == 1 and mine and isinstance(out, torch.Tensor):
            self._owners.setdefault(out.untyped_storage().data_ptr(), mine[0])
            self._copies.append(out)


class _Watch(torch.utils._python_dispatch.TorchDispatchMode):
    """Hears every operation: the last one, the first that draws random numbers, and how much work there is."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.weights = _Weights(net)
        self._away = False
        self.last, self.random, self.numbers, self.flops = "", "", 0, 0
        self.heard: list[str] = []

    @contextmanager
    def away(self) -> Iterator[None]:
        """Hear nothing for a while: what is done is the trial's own."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: yes makes PyTorch import its compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Note the operation and go on."""
        kwargs = kwargs or {}
        if self._away:
            return func(*args, **kwargs)
        named = func._schema.name.partition("::")[2]
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if draws and not self.random and not _without_effect(func, args, kwargs):
            self.random = named
        if named not in ("detach", "view", "squeeze", "_unsafe_view", "alias"):
            self.last = named
        out = func(*args, **kwargs)
        self.numbers += out.numel() if isinstance(out, torch.Tensor) else 0
        plain = [a for a in (*args, *kwargs.values()) if isinstance(a, int | float | bool | str | list | tuple)]
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else ""
        self.heard.append(f"{named} {[a for a in plain if not _holds_tensors(a)]} {shape}")
        # PyTorch's own mode for this takes seconds to begin; its formulas are there for the asking.
        count = flop_registry.get(func.overloadpacket)
        self.flops += count(*args, **kwargs, out_val=out) if count else 0
        self.weights.note(count is not None or named in _FUSED, (*args, *kwargs.values()), out)
        return out


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor) for item in value)


def units_axis(part: Any) -> int:
    """Return the axis of a layer's outputs on which its units, or channels, stand: kernels put them behind the rows."""
    kernels = isinstance(part, nn.modules.batchnorm._BatchNorm | nn.modules.conv._ConvNd)
    return 1 if kernels or any(p.ndim > 2 for p in part.parameters(recurse=False)) else -1


def _without_effect(func: Any, args: tuple, kwargs: dict) -> bool:
    """Return whether an operation that may draw does not: attention with a dropout of 0, dropout in evaluation."""
    told = func._schema.arguments  # what equals its default is not handed over
    given = {a.name: a.default_value for a in told if a.has_default_value()}
    given |= dict(zip((a.name for a in told), args, strict=False)) | kwargs
    if given.get("train") is False:
        return True
    rates = [given[name] for name in ("dropout_p", "p", "dropout") if name in given]
    return bool(rates) and not any(rates)


def before_activation(trial: Trial) -> tuple[str, ...]:
    """Return what the hidden units' values leave before any activation: weight layers, or the normalization behind."""
    return tuple(trial.follows.get(place, place) for place in trial.layers[:-1] if len(trial.shapes[place]) > 1)
