"""The rule on a missing ``eval()``: a watch over the forward passes that a script makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from wellfit.messages import say
from wellfit.torch.keras_layers import is_keras
from wellfit.torch.parts import dropout_attribute, dropout_rate, is_batch_norm, modules_of
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.data import mixes, same, smoothing_rule, tensors_in


@dataclass
class Pass:
    """A pass in which some layers acted as in training, by name, and whether a gradient came back; None: unknown."""

    names: tuple[str, ...]
    back: bool | None


class watch:
    """Watch a script's forward passes: ``advice`` says what they show that no object shows by itself.

    A pass in training mode of which no gradient is ever taken (under ``no_grad``, or left without ``backward``) was an
    evaluation without ``eval()``: dropout was dropping, or batch normalization took its means from the batch and moved
    its running averages. The layers that do so are asked for their mode, and not the model as a whole; gradients are
    looked for in all tensors of the output, in tuples, lists, mappings and dataclasses. With ``loss``, a loss module
    that smooths labels is noticed where it meets mixed targets, in either form: probabilities, or two losses of the
    same outputs.

    The watch changes no result. Raises `SettingError` for what is no ``nn.Module``.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    >>> with watch(model) as watching, torch.no_grad():
    ...     _ = model(torch.ones(1, 2))
    >>> [advice.rule for advice in watching.advice]
    ['missing_eval']
    """

    def __init__(self, model: nn.Module, loss: nn.Module | None = None) -> None:
        self._parts = [(name, m) for name, m in modules_of(model) if is_batch_norm(m) or dropout_attribute(m)]
        self._model, self._loss = model, loss
        self._hooks: list[Any] = []
        self._last: tuple[Any, Any] = (None, None)
        self._mixed = self._smoothed = False
        self._training: list[str] = []  # layers of Keras's that were called in training, in the pass that goes on
        self.passes: list[Pass] = []

    def __enter__(self) -> watch:
        """Begin to watch."""
        self._hooks = [
            self._model.register_forward_pre_hook(lambda *_: self._training.clear()),
            self._model.register_forward_hook(self._passed, with_kwargs=True),
        ]
        # A recurrent layer of Keras's may do without calling its cell.
        caller = {id(module.cell): module for _, module in modules_of(self._model) if is_keras(module, "RNN")}
        for name, part in self._parts:
            if is_keras(part):
                hook = partial(self._called, name)
                self._hooks.append(caller.get(id(part), part).register_forward_pre_hook(hook, with_kwargs=True))
        if self._loss is not None:
            self._hooks.append(self._loss.register_forward_hook(self._lost, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        """End the watch; what was seen stays."""
        for hook in self._hooks:
            hook.remove()
        self._last = (None, None)

    def _called(self, name: str, part: Any, given: tuple, named: dict) -> None:  # noqa: ARG002 (a hook's)
        # A layer of Keras's takes its mode as an argument, and is in evaluation without it.
        if named.get("training") is True and (part.trainable or not is_batch_norm(part)):
            self._training.append(name)

    def _passed(self, module: nn.Module, given: tuple, named: dict, output: Any) -> None:  # noqa: ARG002 (a hook's)
        acting = {name for name, part in self._parts if not is_keras(part) and part.training} | set(self._training)
        names = tuple(n for n, part in self._parts if n in acting and (is_batch_norm(part) or dropout_rate(part) > 0))
        if not names:
            return
        tensors = list(tensors_in(output))
        # Where no tensor is found in what comes out, nobody knows of gradients.
        seen = Pass(names, back=None if torch.is_grad_enabled() and not tensors else False)
        self.passes.append(seen)
        for tensor in tensors:
            if tensor.requires_grad:
                tensor.register_hook(lambda _: setattr(seen, "back", True))

    def _lost(self, module: nn.Module, given: tuple, named: dict, output: Any) -> None:  # noqa: ARG002 (a hook's)
        both = [*given, *(named[name] for name in ("input", "target") if name in named)]
        if len(both) < 2:  # a loss of another form
            return
        outputs, target = both[:2]
        again = outputs is self._last[0] and not same(target, self._last[1])
        mixed, smoothed = mixes(target)
        self._mixed = self._mixed or again or mixed
        self._smoothed = self._smoothed or (mixed and smoothed)
        self._last = (outputs, target)

    @property
    def advice(self) -> list[Advice]:
        """What was seen so far, as a list of `Advice`."""
        return self.found([seen for seen in self.passes if seen.back is False])

    def found(self, evaluations: Sequence[Pass]) -> list[Advice]:
        """Return the advice where these passes were evaluations."""
        found = []
        if evaluations:
            acting = {name for seen in evaluations for name in seen.names}
            places = tuple(name for name, _ in self._parts if name in acting)
            text = say("toolbox.missing_eval", count=len(evaluations), name=places[0])
            found.append(Advice("missing_eval", places, text, say("toolbox.mend_missing_eval")))
        return [*found, *smoothing_rule(self._mixed, self._smoothed, self._loss)]
