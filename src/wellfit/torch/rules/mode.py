"""The rule on a missing ``eval()``: a watch over the forward passes that a script makes."""

from __future__ import annotations

from typing import Any

from torch import nn

from wellfit.messages import say
from wellfit.torch.keras_layers import is_keras
from wellfit.torch.parts import dropout_rate, is_batch_norm, modules_of
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.data import mixes, same, smoothing_rule, tensors_in


class watch:
    """Watch a script's forward passes: ``advice`` says what they show that no object shows by itself.

    A pass in training mode of which no gradient is ever taken (under ``no_grad``, or left without ``backward``) was an
    evaluation without ``eval()``: dropout was dropping, and batch normalization took its means from the batch and moved
    its running averages. Models in which the mode changes nothing are let be. With ``loss``, a loss module that smooths
    labels is noticed where it meets mixed targets, in either form: probabilities, or two losses of the same outputs.

    The watch changes no result. Raises `SettingError` for what is no ``nn.Module``.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    >>> with watch(model) as watching, torch.no_grad():
    ...     _ = model(torch.ones(1, 2))
    >>> [advice.rule for advice in watching.advice]
    ['missing_eval']
    """

    def __init__(self, model: nn.Module, loss: nn.Module | None = None) -> None:
        self._matters = [name for name, m in modules_of(model) if is_batch_norm(m) or dropout_rate(m) > 0]
        self._model, self._loss = model, loss
        self._hooks: list[Any] = []
        self._last: tuple[Any, Any] = (None, None)
        self._mixed = self._smoothed = False
        self.passes: list[dict[str, bool]] = []  # one for each pass in training mode: whether a gradient came back

    def __enter__(self) -> watch:
        """Begin to watch."""
        self._hooks = [self._model.register_forward_hook(self._passed, with_kwargs=True)]
        if self._loss is not None:
            self._hooks.append(self._loss.register_forward_hook(self._lost, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        """End the watch; what was seen stays."""
        for hook in self._hooks:
            hook.remove()
        self._last = (None, None)

    def _passed(self, module: nn.Module, given: tuple, named: dict, output: Any) -> None:  # noqa: ARG002 (a hook's)
        # A layer of Keras takes its mode as an argument, and is in evaluation without it.
        if not (named.get("training") is True if is_keras(module) else module.training):
            return
        seen = {"back": False}
        self.passes.append(seen)
        tensor = next(tensors_in(output), None)
        if tensor is not None and tensor.requires_grad:
            tensor.register_hook(lambda _: seen.update(back=True))

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
        return self.found(sum(not seen["back"] for seen in self.passes))

    def found(self, evaluations: int) -> list[Advice]:
        """Return the advice where so many passes in training mode were evaluations."""
        found = []
        if evaluations and self._matters:
            text = say("toolbox.missing_eval", count=evaluations, name=self._matters[0])
            found.append(Advice("missing_eval", tuple(self._matters), text, say("toolbox.mend_missing_eval")))
        return [*found, *smoothing_rule(self._mixed, self._smoothed, self._loss)]
