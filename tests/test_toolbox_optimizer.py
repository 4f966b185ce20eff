"""`wf.torch.ProximalOptimizer` and the optimizer it wraps: one list of groups, one state, weights that come and go."""

from __future__ import annotations

import pytest
from peers import import_torch

import wellfit as wf

torch = import_torch()
nn = torch.nn


def zero_step(optimizer, *models):
    """One step with a gradient of 0: what moves was moved by the penalty."""
    for model in models:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()


@pytest.mark.parametrize("marked", [False, True])
def test_weights_of_a_group_that_was_added_are_shrunk(marked):
    """Also where the first groups say which of them holds weights and the new one does not."""
    first, second = nn.Linear(3, 2), nn.Linear(2, 2)
    given = wf.torch.parameter_groups(first, 0.0) if marked else first.parameters()
    optimizer = wf.torch.ProximalOptimizer(torch.optim.SGD(given, lr=0.1), l1=100.0)
    optimizer.add_param_group({"params": second.parameters()})
    bias = second.bias.detach().clone()
    zero_step(optimizer, first, second)
    assert not first.weight.any()
    assert not second.weight.any()
    assert torch.equal(second.bias, bias)
