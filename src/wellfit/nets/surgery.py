"""What is changed in a module before it is trained: dropout that is drawn elsewhere, normalization on or off.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets.layout import WHOLE, is_norm, is_weight
from wellfit.nets.network import LEAK, MLP
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()
nn: Any = torch.nn
from torch.utils.flop_counter import flop_registry  # noqa: E402 (behind the door)

_BATCH_NORMS = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}
_BATCHES = "num_batches_tracked"  # that batch normalization counts: see `count_no_batches`
_ENDS = {"_softmax": "softmax", "sigmoid": "sigmoid"}  # of what should return logits


class Site(nn.Module):
    """A dropout layer whose masks come from outside, so that they depend on the member alone.

    ``fed`` holds (mask, scale) for each call to come: a mask of 0 and 1, (n, ...) like what passes, or (n, C, 1, ...)
    for whole channels. Nothing is dropped where it is empty. ``kind`` is the layer of PyTorch's that it stands for.
    """

    def __init__(self, kind: type = nn.Dropout) -> None:
        super().__init__()
        self.kind = kind
        self.fed: list[tuple[Any, Any]] = []

    def forward(self, x: Any) -> Any:
        """Return what is kept, scaled."""
        if not self.fed:
            return x
        mask, scale = self.fed.pop(0)
        return x if mask is None else x * mask.to(x.dtype) * scale.to(x.dtype)

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a mask, without the rows, for what passes here, (n, ...)."""
        return (shape[1], *(1 for _ in shape[2:])) if self.kind is not nn.Dropout else tuple(shape[1:])


@dataclass
class Trial:
    """What a forward pass of a few rows showed: names in the order of calls, with the shapes that left each layer."""

    products: int = 0
    layers: list[str] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    masks: list[tuple[int, ...]] = field(default_factory=list)  # of each call of a site, without the rows
    follows: dict[str, str] = field(default_factory=dict)  # a batch normalization by the layer in front of it
    tokens: bool = False
    activations: int = 0  # numbers that all operations gave back, a row
    heard: list[str] = field(default_factory=list)  # all operations of both passes, in words
    counters: list[str] = field(default_factory=list)  # buffers of whole numbers that a pass changed


def prepare(net: Any, name: str, *, keep_norm: bool) -> Any:
    """Return the module with its dropout layers under control, and without batch normalization if so asked."""
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
    sites: dict[int, Site] = {}  # one object in two places is one layer
    for place, part in list(net.named_modules(remove_duplicate=False)):
        if isinstance(part, nn.AlphaDropout | nn.FeatureAlphaDropout):
            raise UnsupportedError("module.alpha_dropout", name=name, place=place)
        if isinstance(part, kinds):
            site = sites.setdefault(id(part), Site(next(kind for kind in kinds if isinstance(part, kind))))
            net = _replaced(net, place, site)
        elif isinstance(part, nn.modules.batchnorm._BatchNorm):
            if part.momentum is None:
                raise UnsupportedError("module.no_momentum", name=name, place=place)
            if not keep_norm:
                net = _replaced(net, place, nn.Identity())
        elif isinstance(part, nn.MultiheadAttention | nn.RNNBase):
            part.dropout = 0.0  # inside a fused operation: it cannot be drawn elsewhere
    return net


def try_out(net: Any, x: Any, outputs: int, name: str) -> Trial:
    """Run a few rows through, in evaluation and in training mode, and return what was seen.

    Raises `SettingError` where the forward pass fails or does not give (n, outputs), or gives probabilities;
    `UnsupportedError` where it draws random numbers of its own, or changes a buffer that no vector can hold.
    """
    trial, watch, buffers, numbers = Trial(), _Watch(), _Buffers(net), _numbers(net)
    hooks = _hooks(net, trial)
    try:
        with torch.no_grad(), watch:
            net.train(False)
            out, trial.tokens = _forward(net, x, name)
        trial.products = max(1, watch.flops // 2 // len(x))
        trial.activations = watch.numbers // len(x)
        for hook in hooks:
            hook.remove()
        with torch.no_grad(), watch:
            net.train()
            given = torch.zeros_like(x, dtype=torch.long) if trial.tokens else x
            net(given)
        trial.heard = watch.heard
        trial.counters = buffers.counters(name)
        for hook in hooks:
            hook.remove()
        _refuse_counts(net, given, numbers, name)
    finally:
        for hook in hooks:
            hook.remove()
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
                if now is None or (isinstance(part, nn.modules.batchnorm._BatchNorm) and key == _BATCHES):
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


def _forward(net: Any, x: Any, name: str) -> tuple[Any, bool]:
    """Return the outputs, and whether the module takes whole numbers (tokens) and not values."""
    may_read = any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in net.modules())
    try:
        return net(x), False
    except Exception as error:
        if may_read:
            with suppress(Exception):
                return net(torch.zeros_like(x, dtype=torch.long)), True
        raise SettingError(
            "module.forward_failed", name=name, given=tuple(x.shape), kind=type(error).__name__, error=error
        ) from error


def _hooks(net: Any, trial: Trial) -> list[Any]:
    left: dict[str, Any] = {}  # what each layer gave

    def met(place: str, part: Any) -> Any:
        def hook(_: Any, given: tuple, out: Any) -> None:
            if isinstance(part, Site):
                trial.sites.append(place)
                trial.masks.append(part.mask_shape(tuple(given[0].shape)))
            elif isinstance(part, nn.modules.batchnorm._BatchNorm):
                before = next((name for name, gave in left.items() if gave is given[0]), None)
                if before is not None:
                    trial.follows.setdefault(before, place)
            elif place not in trial.layers:
                left[place] = out
                trial.layers.append(place)
                trial.shapes[place] = tuple(out.shape) if hasattr(out, "shape") else ()

        return hook

    found = []
    for place, part in net.named_modules():
        own = [is_weight(n, p) for n, p in part.named_parameters(recurse=False)]
        # Of a block with weights of its own only the layers in it count: it is done after them.
        inner = any(is_weight(n, p) for child in part.children() for n, p in child.named_parameters())
        weighs = any(own) and not inner and not is_norm(part)
        if weighs or isinstance(part, Site | nn.modules.batchnorm._BatchNorm):
            found.append(part.register_forward_hook(met(place, part)))
    return found


class _Watch(torch.utils._python_dispatch.TorchDispatchMode):
    """Hears every operation: the last one, the first that draws random numbers, and how much work there is."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.random, self.numbers, self.flops = "", "", 0, 0
        self.heard: list[str] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: yes makes PyTorch import its compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Note the operation and go on."""
        kwargs = kwargs or {}
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
        return out


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, torch.Tensor) for item in value)


def has_columns(layer: Any) -> bool:
    """Return whether a layer's weights are (out, in, ...), one column for each input."""
    if isinstance(layer, nn.Linear):
        return True
    return isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.groups == 1


def _without_effect(func: Any, args: tuple, kwargs: dict) -> bool:
    """Return whether an operation that may draw does not: attention with a dropout of 0, dropout in evaluation."""
    told = func._schema.arguments  # what equals its default is not handed over
    given = {a.name: a.default_value for a in told if a.has_default_value()}
    given |= dict(zip((a.name for a in told), args, strict=False)) | kwargs
    if given.get("train") is False:
        return True
    rates = [given[name] for name in ("dropout_p", "p", "dropout") if name in given]
    return bool(rates) and not any(rates)


def insert(net: Any, trial: Trial, name: str, *, batch_norm: bool, dropout: bool) -> None:
    """Put batch normalization behind hidden weight layers where there is none, and dropout in front of all but one."""
    has_norm = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in net.modules())
    for i, place in enumerate(trial.layers):
        layer, shape = net.get_submodule(place), trial.shapes[place]
        parts = [layer]
        if batch_norm and not has_norm and i < len(trial.layers) - 1:
            affine = isinstance(layer, nn.Linear) and len(shape) == 2
            if not affine and not isinstance(layer, nn.modules.conv._ConvNd):
                raise UnsupportedError("module.no_batch_norm", name=name, place=place)
            parts.append(getattr(nn, _BATCH_NORMS[len(shape)])(shape[1]))
        if dropout and i:
            parts.insert(0, Site())
        if len(parts) > 1:
            _replaced(net, place, nn.Sequential(*parts))


def count_no_batches(net: Any) -> None:
    """Have batch normalization count no batches: with a momentum the count has no use, and a stack cannot change it."""
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.num_batches_tracked = None


def release(net: Any, sites: Sequence[str], rates: Sequence[float]) -> Any:
    """Return the module with PyTorch's own dropout layers: those at ``sites`` have ``rates``, others are never met."""
    rate = dict(zip(sites, rates, strict=True))
    for place, part in list(net.named_modules()):
        if isinstance(part, Site):
            net = _replaced(net, place, part.kind(rate.get(place, 0.0)))
        elif isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats:
            part.num_batches_tracked = torch.tensor(0)  # a checkpoint of the user's has it
    return net


def before_activation(trial: Trial) -> tuple[str, ...]:
    """Return what the hidden units' values leave before any activation: weight layers, or the normalization behind."""
    return tuple(trial.follows.get(place, place) for place in trial.layers[:-1] if len(trial.shapes[place]) > 1)


def logits(out: Any, outputs: int) -> Any:
    """Return the outputs as (n, k): one logit for two classes, also where there are two or no second axis."""
    if out.ndim == 1:
        return out[:, None]
    return out[:, 1:] - out[:, :1] if outputs == 1 and out.shape[1] == 2 else out


def of_mlp(network: MLP, inputs: int, outputs: int, batch_norm: bool) -> Any:
    """Return a multilayer perceptron as a module, with the order of parameters of `MLP`."""
    kinds = {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "leaky_relu": lambda: nn.LeakyReLU(LEAK),
    }
    widths, parts = (inputs, *network.hidden), []
    for i, width in enumerate(network.hidden):
        parts += [nn.Linear(widths[i], width), *([nn.BatchNorm1d(width)] if batch_norm else [])]
        parts += [kinds[network.activation](), Site()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], outputs))


def _replaced(net: Any, place: str, part: Any) -> Any:
    """Put a part in a place, and return the module: another one where the place is the whole."""
    if not place:
        return part
    parent, _, key = place.rpartition(".")
    net.get_submodule(parent)._modules[key] = part
    return net
