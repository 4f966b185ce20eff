"""Common mistakes in a training script, found in its live objects before it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import Optimizer

from wellfit.torch.parts import parameters_of
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.data import data_rules, first_batch, inputs_of
from wellfit.torch.rules.decay import decay_rules
from wellfit.torch.rules.mode import watch
from wellfit.torch.rules.order import order_rules, trace_of
from wellfit.torch.rules.unchanged import same_draws_afterwards, same_model_afterwards


def lint(
    model: nn.Module,
    optimizer: Optimizer | None = None,
    loader: Iterable | None = None,
    *,
    validation: Iterable | None = None,
    loss: nn.Module | None = None,
    evaluate: Callable[[], object] | None = None,
) -> list[Advice]:
    """Return advice on the regularization of a training script, a list of `Advice`, empty where nothing is amiss.

    Call it once, before the loop, with what the script has: each object more lets more rules look (the table stands in
    ``docs/toolbox.md``). ``model`` and ``optimizer``: decay on biases or normalizations, ``weight_decay`` of an Adam
    that couples it, decay on weights right before a batch norm. ``loader``, the training batches: the real order of the
    layers, for dropout before batch norm, and with ``loss`` smoothing beside mixed targets. ``validation``, a loader or
    data set: items that differ each time they are read. ``evaluate``, a function without arguments that does one
    evaluation as the script does it: whether it goes without ``eval()``. For a script whose evaluation is no function
    there is `watch`.

    Nothing is changed: batches pass in evaluation mode without gradients, modes, weights, buffers and global random
    generators are put back. A data set with a random generator of its own is read a few times, and that generator
    moves on. Raises `SettingError` for a model without parameters.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    >>> [(advice.rule, advice.place) for advice in lint(model, optimizer)]
    [('decay_on_bias_or_norm', ('0.bias', '2.bias'))]
    """
    parameters_of(model)  # refuses a model that has none
    with same_draws_afterwards(), same_model_afterwards(model):
        batch = first_batch(loader)
        trace = trace_of(model, inputs_of(batch, model))
        found = [] if optimizer is None else list(decay_rules(model, optimizer, trace))
        found += order_rules(trace)
        found += data_rules(loader, batch, validation, loss)
        if evaluate is not None:
            found += _evaluated(model, evaluate)
    return found


def _evaluated(model: nn.Module, evaluate: Callable[[], object]) -> list[Advice]:
    """Let the script evaluate as it would after an epoch of training, and return what was seen."""
    model.train()
    with watch(model) as watching:
        evaluate()
    return watching.found(watching.passes)
