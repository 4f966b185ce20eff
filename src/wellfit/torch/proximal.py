"""Exact zeros in one's own loop: the proximal step after the optimizer's own."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from wellfit.cocktail import L1, Cocktail, GroupLasso, MaxNorm
from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets.orientation import bound_units
from wellfit.torch.entry import columns, entry_of
from wellfit.torch.groups import HOLDS_WEIGHTS
from wellfit.torch.parts import Parameter, weights_of

Eta = Any  # a number, or a tensor of the weight's shape


def _sgd_step(group: dict, state: dict) -> Eta:  # noqa: ARG001 (one signature for all)
    """Return how far a constant gradient moves a weight in the long run: lr/(1 - momentum)."""
    momentum = group["momentum"]
    return group["lr"] * (1 - group["dampening"]) / (1 - momentum) if momentum else group["lr"]


def _adam_step(group: dict, state: dict) -> Eta:
    """Return lr/(sqrt(v_hat) + eps), by coordinate, with the second moment that the step was made with."""
    second = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]
    correction = 1 - group["betas"][1] ** float(state["step"])
    return group["lr"] / ((second / correction).sqrt() + group["eps"])


# Each optimizer whose own step is known, and how long it is: these types exactly, since a subclass may step otherwise.
STEPS: dict[type[Optimizer], Callable[[dict, dict], Eta]] = {SGD: _sgd_step, Adam: _adam_step, AdamW: _adam_step}


@dataclass(frozen=True, eq=False)
class _Acts:
    """What happens to one weight after a step."""

    l1: float
    bound: float
    weight: Parameter
    columns: float = 0.0


class ProximalOptimizer(Optimizer):
    """An optimizer followed by L1's proximal step, so that weights become exactly 0 and stay there.

    Wrap ``SGD`` (momentum, Nesterov), ``Adam`` or ``AdamW`` and use the result in its place: ``step``, ``zero_grad``,
    ``state_dict``, learning-rate schedulers and gradient scalers see one optimizer, whose groups and state are those of
    the wrapped one. After its step each weight moves towards 0 by ``l1`` times the optimizer's own step for it, and
    stops at 0: lr for gradient descent, lr/(1 - momentum) with momentum, lr/(sqrt(v_hat) + eps) for Adam. With plain
    ``lr * l1`` momentum and Adam would reach the solution of another strength (``docs/objective.md``; Parikh & Boyd
    2014). A parameter without a gradient made no step, and stays. Frozen weights are none, until they are thawed.

    ``l1`` is one number or one per weight. ``max_norm`` bounds the norm of each unit's incoming weights, last of all;
    ``group_lasso`` (SGD alone) shortens the first layer's columns. Both need ``model``, which says how weights lie, and
    group lasso ``entry`` where `penalty` does. L1 acts on the weights of ``model``. Without it, on the groups that
    `parameter_groups` made of weights, and in groups of other origin, those that are added later too, on parameters
    with two axes or more. Keep L1 out of the loss: ``penalty(model, cocktail, smooth=True)`` is the rest.

    Raises `UnsupportedError` for other optimizers and for group lasso with Adam, `SettingError` for impossible
    strengths or a wrong count of them, for a bound on a weight whose units nobody knows (a parameter of one's own, a
    parametrized layer), and where nothing would be acted on: a ``model`` that the optimizer does not train.

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.tensor([[0.5, -0.04]]))
    >>> optimizer = ProximalOptimizer(torch.optim.SGD([weight], lr=0.1), l1=0.5)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> weight.data
    tensor([[ 0.3500, -0.0900]])
    """

    _begun = False

    def __init__(
        self,
        optimizer: Optimizer,
        l1: float | tuple[float, ...] = 0.0,
        *,
        max_norm: float | tuple[float, ...] = math.inf,
        group_lasso: float = 0.0,
        model: nn.Module | None = None,
        entry: str | None = None,
    ) -> None:
        if type(optimizer) not in STEPS:
            known = ", ".join(kind.__name__ for kind in STEPS)
            raise UnsupportedError("toolbox.unknown_optimizer", name=type(optimizer).__name__, known=known)
        self._given = (l1, max_norm, group_lasso, model, entry)
        self.optimizer = optimizer
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self._begun = True
        self._acts, self._seen = self._resolve(), self._training()
        self._refuse_idleness()

    def __reduce__(self) -> tuple:
        """Copy and pickle as what it was made of; the state travels with the wrapped optimizer."""
        return _rebuilt, (self.optimizer, *self._given)

    # There is one list of groups and one state, the wrapped optimizer's, which puts new ones there when it loads. What
    # the base class sets at its own start is nobody's.
    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The wrapped optimizer's groups."""
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        if self._begun:
            self.optimizer.param_groups = groups

    @property
    def state(self) -> defaultdict[torch.Tensor, Any]:
        """The wrapped optimizer's state."""
        return self.optimizer.state

    @state.setter
    def state(self, state: defaultdict[torch.Tensor, Any]) -> None:
        if self._begun:
            self.optimizer.state = state

    def _resolve(self) -> dict[torch.Tensor, _Acts]:
        l1, max_norm, group_lasso, model, entry = self._given
        cocktail = Cocktail((L1(l1), MaxNorm(max_norm), GroupLasso(group_lasso)))
        weights = weights_of(model) if model is not None else self._guessed()
        strengths = cocktail.resolve(len(weights))
        bounded = any(map(math.isfinite, strengths.max_norm))
        if model is None and (bounded or strengths.group_lasso):
            raise SettingError("toolbox.needs_model", name="max_norm" if bounded else "group_lasso")
        for weight, bound in zip(weights, strengths.max_norm, strict=True):
            if math.isfinite(bound) and weight.orientation is None:
                raise SettingError("toolbox.no_units", name=weight.name)
        first = None
        if model is not None and strengths.group_lasso:
            if type(self.optimizer) is not SGD:
                raise UnsupportedError("toolbox.euclidean_only", name=type(self.optimizer).__name__)
            first = entry_of(model, weights, entry)
        return {
            w.tensor: _Acts(one, bound, w, strengths.group_lasso if w is first else 0.0)
            for w, one, bound in zip(weights, strengths.l1, strengths.max_norm, strict=True)
        }

    def _refuse_idleness(self) -> None:
        """Raise `SettingError` where something should act and nothing that is trained is acted on."""
        l1, max_norm, group_lasso, model, _ = self._given
        held = {p for group in self.param_groups for p in group["params"]}
        acts = [acts for tensor, acts in self._acts.items() if tensor in held]
        idle = not any(a.l1 or a.columns or math.isfinite(a.bound) for a in acts)
        asked = any(item.acts for item in Cocktail((L1(l1), MaxNorm(max_norm), GroupLasso(group_lasso))).ingredients)
        if (asked and idle) or (group_lasso and not any(a.columns for a in acts)):
            raise SettingError("toolbox.never_acts" if model is None else "toolbox.never_acts_on_model")

    def _guessed(self) -> list[Parameter]:
        """Return the weights as far as the groups show them."""
        return [
            Parameter("", tensor, "weight")
            for group in self.param_groups
            for tensor in group["params"]
            if group.get(HOLDS_WEIGHTS, tensor.ndim > 1) and tensor.requires_grad
        ]

    def _training(self) -> list[int]:
        """Return which parameters are trained, by what tells whether that has changed."""
        model = self._given[3]
        held = [p for group in self.param_groups for p in group["params"]]
        return [id(p) for p in (*held, *(model.parameters() if model is not None else ())) if p.requires_grad]

    def _look(self) -> None:
        """Find the weights anew where some were frozen, thawed or added since."""
        if (seen := self._training()) != self._seen:
            self._acts, self._seen = self._resolve(), seen

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do the optimizer's step, then the proximal one, then the bound; return what the optimizer returned."""
        self._look()
        result = self.optimizer.step(closure)
        length = STEPS[type(self.optimizer)]
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    acts = self._acts.get(weight)
                    if acts is not None and weight.grad is not None:
                        _shrink(weight, acts, length(group, self.state[weight]))
        return result

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the wrapped optimizer; its weights get their proximal step too."""
        if self._begun:  # else the base class adds the groups that are there
            self.optimizer.add_param_group(param_group)
            self._look()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state saved by this or by the wrapped optimizer: they are the same."""
        self.optimizer.load_state_dict(state_dict)


def _rebuilt(
    optimizer: Optimizer, l1: Any, max_norm: Any, group_lasso: float, model: Any, entry: str | None
) -> ProximalOptimizer:
    return ProximalOptimizer(optimizer, l1, max_norm=max_norm, group_lasso=group_lasso, model=model, entry=entry)


def _shrink(weight: torch.Tensor, acts: _Acts, eta: Eta) -> None:
    """Do what comes after a step to one weight, in place: soft threshold, columns, units."""
    if acts.l1:
        weight.copy_(weight.sign() * (weight.abs() - acts.l1 * eta).clamp(min=0))
    if acts.columns:
        norms = columns(acts.weight)
        shorter = (norms - acts.columns * eta).clamp(min=0)
        weight.mul_(torch.where(norms > 0, shorter / norms, 0))
    if math.isfinite(acts.bound) and acts.weight.orientation is not None:  # others were refused
        bound_units(weight, acts.weight.orientation, acts.bound)
