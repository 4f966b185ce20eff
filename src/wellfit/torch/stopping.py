"""Early stopping that gives the best weights back."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any, Literal

import torch
from torch import nn

from wellfit import cocktail
from wellfit.errors import SettingError
from wellfit.messages import say
from wellfit.torch.parts import modules_of

MODES = ("min", "max")


class EarlyStopping:
    """Stop where a watched value has not improved for ``patience`` looks, and give the model its best weights back.

    Call it once a look, as a rule once an epoch, with a value measured on rows that do not train: it returns whether to
    stop, and has then restored the best weights. A loop may also run out first: call `restore` after it, which does
    nothing twice. Means what the ingredient ``wf.EarlyStopping`` means: the first look always counts as the best so
    far, a later one where it is better by more than ``min_delta``, an absolute difference (Prechelt 1998). NaN is no
    improvement, with a warning.

    Parameters and all buffers (the running averages of batch normalization too) are kept in memory, on their device, as
    copies: one more model's worth. ``best_epoch`` numbers looks from 0, as ``for epoch in range(...)`` does;
    ``best_value`` is NaN before the first. ``mode`` is ``min`` or ``max``.

    Raises `SettingError` for a patience below 1, a negative ``min_delta``, an unknown mode.

    >>> import torch
    >>> model = torch.nn.Linear(1, 1)
    >>> stop = EarlyStopping(model, patience=2)
    >>> for epoch, value in enumerate([0.9, 0.5, 0.6, 0.7, 0.1]):
    ...     _ = model.weight.data.fill_(epoch)  # "trains"
    ...     if stop(value):
    ...         break
    >>> epoch, stop.best_epoch, stop.best_value, model.weight.item()
    (3, 1, 0.5, 1.0)
    """

    def __init__(
        self, model: nn.Module, patience: int = 20, min_delta: float = 0.0, mode: Literal["min", "max"] = "min"
    ) -> None:
        asked = cocktail.EarlyStopping(patience, min_delta)  # the ingredient checks them
        if mode not in MODES:
            raise SettingError("toolbox.bad_mode", value=mode)
        self.model, self.patience, self.min_delta, self.mode = model, asked.patience, asked.min_delta, mode
        self.best_value, self.best_epoch = math.nan, -1
        self.looks, self.waited = 0, 0
        self._best: dict[str, Any] | None = None
        self._warned = False

    def __call__(self, value: float | torch.Tensor) -> bool:
        """Take a look at a value, a number or a tensor of one; return whether to stop, the best weights restored."""
        number = float(value.detach() if isinstance(value, torch.Tensor) else value)
        if self._improves(number):
            self.best_value, self.best_epoch, self.waited = number, self.looks, 0
            self._best = snapshot(self.model)
        else:
            self.waited += 1
        self.looks += 1
        if self.waited < self.patience:
            return False
        if self._best is not None:
            self.restore()
        return True

    def _improves(self, number: float) -> bool:
        if math.isnan(number):
            if not self._warned:
                warnings.warn(say("toolbox.nan_watched", epoch=self.looks), stacklevel=3)
                self._warned = True
            return False
        if self._best is None:
            return True
        if self.mode == "min":
            return number < self.best_value - self.min_delta
        return number > self.best_value + self.min_delta

    def restore(self) -> None:
        """Give the model its best weights and buffers. Raises `SettingError` where no look had a number yet."""
        if self._best is None:
            raise SettingError("toolbox.nothing_to_restore")
        put_back(self.model, self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on; the best weights are in it."""
        names = ("best_value", "best_epoch", "looks", "waited")
        return {name: getattr(self, name) for name in names} | {"best": copy.deepcopy(self._best)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.best_value, self.best_epoch = state["best_value"], state["best_epoch"]
        self.looks, self.waited, self._best = state["looks"], state["waited"], copy.deepcopy(state["best"])


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Return copies of all parameters and buffers of a model, those that its ``state_dict`` leaves out as well."""
    state = model.state_dict()
    beside = {name: buffer.detach() for name, buffer in _buffers(model).items() if name not in state}
    return copy.deepcopy({"state": state, "beside": beside})


def put_back(model: nn.Module, kept: dict[str, Any]) -> None:
    """Write what `snapshot` kept into the model, in place: optimizers go on with the same tensors."""
    model.load_state_dict(kept["state"])
    buffers = _buffers(model)
    with torch.no_grad():
        for name, value in kept["beside"].items():
            buffers[name].copy_(value)


def _buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    for _ in modules_of(model):  # refuses what is no module
        break
    return dict(model.named_buffers(remove_duplicate=False))
