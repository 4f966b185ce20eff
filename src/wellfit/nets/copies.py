"""A module's parameters and buffers for the passes of a trial: copies, which show what a pass does to them.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wellfit.errors import UnsupportedError
from wellfit.nets.layout import WHOLE
from wellfit.nets.surgery import BATCHES
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()
nn: Any = torch.nn

# A tensor of a module: its name, the dictionary and the key where it hangs, itself and its copy.
Spot = tuple[str, dict[str, Any], str, Any, Any]


class Copies:
    """Puts copies where a module's parameters and buffers hang, as training does, for as long as a context lasts.

    A tensor that hangs in two places has one copy. The module's own tensors are never changed, and come back; buffers
    begin as they were each time.
    """

    def __init__(self, net: Any) -> None:
        self._parts = list(net.named_modules())
        self._recurrent = [part for _, part in self._parts if isinstance(part, nn.RNNBase)]
        self._kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._made: dict[int, Any] = {}
        self.parameters = [spot for place, part in self._parts for spot in self._spots(place, part._parameters)]
        self.buffers = [spot for place, part in self._parts for spot in self._spots(place, part._buffers)]

    def _spots(self, place: str, holder: dict[str, Any]) -> Iterator[Spot]:
        self._kept.append((holder, dict(holder)))
        for key, own in holder.items():
            if own is None:
                continue
            if id(own) not in self._made:
                self._made[id(own)] = own.detach().clone().requires_grad_(own.requires_grad)
            yield f"{place}.{key}".lstrip("."), holder, key, own, self._made[id(own)]

    def __enter__(self) -> Copies:
        for _, holder, key, _, copy in (*self.parameters, *self.buffers):
            holder[key] = copy
        self._renew()
        return self

    def __exit__(self, *failed: object) -> None:
        for holder, kept in self._kept:
            holder.clear()
            holder.update(kept)
        with torch.no_grad():
            for _, _, _, own, copy in self.buffers:
                copy.copy_(own)
        self._renew()

    def _renew(self) -> None:
        """Have recurrent layers read what hangs there now: they keep a list of it."""
        for part in self._recurrent:
            part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]

    @property
    def learned(self) -> list[Any]:
        """The copies of the parameters that ask for a gradient, each once."""
        return list({id(copy): copy for _, _, _, _, copy in self.parameters if copy.requires_grad}.values())

    def members_own(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield name, tensor and copy of what each member has its own of: parameters, and buffers of floats."""
        for name, _, _, own, copy in (*self.parameters, *self.buffers):
            if own.is_floating_point():
                yield name, own, copy

    def counters(self, name: str) -> list[str]:
        """Return the names of the buffers of whole numbers that the pass changed.

        Raises `UnsupportedError` for a parameter that it changed, and for a buffer that was not there before, has
        another shape now, or holds what floats cannot.
        """
        for parameter, holder, key, own, copy in self.parameters:
            hung: Any = holder.get(key)
            if hung is not copy or not same_bits(copy.detach(), own.detach()):
                raise UnsupportedError("trial.changes_weight", name=name, parameter=parameter)
        before: dict[tuple[int, str], Any] = {(id(holder), key): own for _, holder, key, own, _ in self.buffers}
        found = []
        for place, part in self._parts:
            for key, now in part._buffers.items():
                if now is None or (isinstance(part, nn.modules.batchnorm._BatchNorm) and key == BATCHES):
                    continue
                buffer, was = f"{place}.{key}".lstrip("."), before.get((id(part._buffers), key))
                fits = was is not None and now.shape == was.shape and now.dtype == was.dtype
                if fits and (now.is_floating_point() or torch.equal(now, was)):
                    continue
                if not fits or now.is_complex() or bool((now.long().abs() > WHOLE).any()):
                    raise UnsupportedError("module.odd_buffer", name=name, buffer=buffer, most=WHOLE)
                found.append(buffer)
        return found


def same_bits(a: Any, b: Any) -> bool:
    """Return whether two tensors of one shape hold the same numbers, where NaN equals NaN."""
    return torch.equal(a, b) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def numbers_of(net: Any) -> dict[str, float]:
    """Return the plain numbers that a module and its parts have as attributes."""
    parts = ((place, key, value) for place, part in net.named_modules() for key, value in vars(part).items())
    return {
        f"{place}.{key}".lstrip("."): v for place, key, v in parts if isinstance(v, int | float) and key != "training"
    }
