"""Where each tensor of a module stands in the flat vector that engines, ledgers and files know."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from wellfit.nets.orientation import Orientation, orientation_of

_ENDS_IN_NORM = re.compile(r"norm(\dd)?$")

WHOLE = 2**24  # up to here float32 holds every whole number


@dataclass(frozen=True)
class Slot:
    """One tensor: its name in the module, its shape, and where it begins and ends in the vector.

    ``whole`` is the type of whole numbers, such as ``int64``, that the vector holds as floats; empty for floats.
    ``orientation`` says how a weight lies in its layer, None where nobody knows.
    """

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int
    whole: str = field(default="", repr=False)  # ledgers know modules by a hash of what is shown
    orientation: Orientation | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Layout:
    """The vector (T,): learned parameters, then what no gradient changes: parameters that ask for none, and buffers:
    floats (running statistics), and last the whole numbers that a forward pass changes (counters).

    Within the learned ones first all that are no normalization's, in the module's order, then all scales of
    normalization layers, then all their shifts; buffers are ordered by what they are called, all means before all
    variances. Weights and biases so stand where they stand without normalization. A tensor that hangs in two places is
    there once. ``weights`` are the places, among the slots, of what penalties reach.
    """

    slots: tuple[Slot, ...]
    weights: tuple[int, ...]
    learned: int

    @property
    def count(self) -> int:
        """The number of learned tensors, which come first."""
        return next((i for i, slot in enumerate(self.slots) if slot.start >= self.learned), len(self.slots))

    @property
    def total(self) -> int:
        """The length T."""
        return self.slots[-1].stop if self.slots else 0

    @property
    def whole(self) -> int:
        """Where the whole numbers begin."""
        return next((slot.start for slot in self.slots if slot.whole), self.total)

    def weights_in(self, parameters: Any) -> list[Any]:
        """Return views of the weight matrices and kernels in a vector (T,), of NumPy or PyTorch."""
        chosen = [self.slots[i] for i in self.weights]
        return [parameters[slot.start : slot.stop].reshape(slot.shape) for slot in chosen]

    def tensors(self, vector: Any) -> dict[str, Any]:
        """Return the tensors by name, as views of a PyTorch vector (T,)."""
        return {slot.name: vector[slot.start : slot.stop].view(slot.shape) for slot in self.slots}


def layout_of(net: Any, counters: Collection[str] = ()) -> Layout:
    """Return the layout of an ``nn.Module``; ``counters`` names its buffers of whole numbers that change."""
    norms = {id(p) for m in net.modules() if is_norm(m) for p in m.parameters(recurse=False)}
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    frozen = [(name, p) for name, p in net.named_parameters() if not p.requires_grad]
    plain = [(name, p) for name, p in named if id(p) not in norms]
    scales = [(name, p) for name, p in named if id(p) in norms and not name.endswith("bias")]
    shifts = [(name, p) for name, p in named if id(p) in norms and name.endswith("bias")]
    buffers = [(name, b) for name, b in net.named_buffers() if b.is_floating_point()]
    buffers.sort(key=lambda pair: pair[0].rpartition(".")[2])  # stable: layers keep their order
    counted = [(name, b) for name, b in net.named_buffers() if name in counters]
    oriented = {id(p): orientation_of(m, key) for m in net.modules() for key, p in own_weights(m)}
    slots, at = [], 0
    for name, tensor in (*plain, *scales, *shifts, *frozen, *buffers, *counted):
        size = math.prod(tensor.shape)
        whole = "" if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
        slots.append(Slot(name, tuple(tensor.shape), at, at + size, whole, oriented.get(id(tensor))))
        at += size
    weights = tuple(i for i, (_, p) in enumerate(plain) if id(p) in oriented)
    learned = slots[len(named) - 1].stop if named else 0
    return Layout(tuple(slots), weights, learned)


def is_norm(module: Any) -> bool:
    """Return whether a module normalizes: its scale and shift are never penalized."""
    from torch import nn

    kinds = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
    return isinstance(module, kinds) or type(module).__name__ == "RMSNorm"


def normalizes(module: Any, name: str, parameter: Any) -> bool:
    """Return whether a module's own parameter scales or shifts what is normalized, so that penalties leave it out.

    That is all that a normalization has, PyTorch's or one whose class is called so (``LayerNorm2d``), what is as good
    as a vector in a class with "norm" in its name, and the lengths that weight normalization keeps apart from the
    directions (Salimans & Kingma 2016).

    >>> from torch import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)).parametrizations.weight
    >>> [normalizes(layer, name, p) for name, p in layer.named_parameters(recurse=False)]
    [True, False]
    """
    kind = type(module).__name__.lower()
    if is_norm(module) or _ENDS_IN_NORM.search(kind):
        return True
    if "norm" in kind and parameter.numel() == max(parameter.shape, default=1):
        return True
    if name.endswith("_g"):  # weight normalization as it was before parametrizations
        return f"{name[:-2]}_v" in module._parameters
    return name == "original0" and any(type(part).__name__ == "_WeightNorm" for part in module.children())


def own_weights(module: Any) -> list[tuple[str, Any]]:
    """Return a module's own weights, without those of its parts, with their names in it."""
    own = module.named_parameters(recurse=False)
    return [(name, p) for name, p in own if is_weight(name, p) and not normalizes(module, name, p)]


def is_weight(name: str, parameter: Any) -> bool:
    """Return whether a parameter that is no normalization's is a weight matrix or kernel, so that penalties reach it.

    >>> import torch
    >>> is_weight("conv.weight", torch.zeros(8, 1, 3, 3)), is_weight("conv.bias", torch.zeros(8))
    (True, False)
    """
    return parameter.ndim >= 2 and "bias" not in name.rpartition(".")[2]


Home = tuple[dict[str, Any], str]  # where a tensor hangs: a module's dictionary, and its key there


def homes_of(net: Any, layout: Layout) -> tuple[list[list[Home]], list[Home]]:
    """Return where each tensor of a layout hangs, a tied one in several places; and where all other buffers do."""
    held: dict[int, list[Home]] = {}
    for part in net.modules():
        for holder in (part._parameters, part._buffers):
            for key, tensor in holder.items():
                if tensor is not None:
                    held.setdefault(id(tensor), []).append((holder, key))
    own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    found = [held.pop(id(own[slot.name])) for slot in layout.slots]
    return found, [home for spots in held.values() for home in spots]


def on_device(device: Any, holder: dict[str, Any], key: str) -> tuple[Any, int]:
    """Return the tensor that hangs there, moved to the device, and how often it was changed so far."""
    if holder[key].device != device:
        holder[key] = holder[key].to(device)
    return holder[key], holder[key]._version


def difference(here: Layout, there: Layout) -> dict[str, object]:
    """Return the first tensor in which two layouts differ, in words."""
    pairs = zip((*here.slots, None), (*there.slots, None), strict=False)
    first, second = next((a, b) for a, b in pairs if a != b)
    return {
        "first": "-" if first is None else f"{first.name} {first.shape}",
        "second": "-" if second is None else f"{second.name} {second.shape}",
    }
