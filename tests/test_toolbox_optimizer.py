"""`wf.torch.ProximalOptimizer` and the optimizer it wraps: one list of groups, one state, weights that come and go."""

from __future__ import annotations

import copy

import pytest
from peers import import_torch

import wellfit as wf
from wellfit.errors import SettingError

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


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_the_wrapped_optimizer_may_load_a_state_of_its_own(kind):
    """As frameworks do that keep checkpoints of the optimizer they were given."""
    models = [nn.Linear(3, 2) for _ in range(2)]
    inner = [kind(model.parameters(), lr=0.1) for model in models]
    saved = copy.deepcopy(inner[0].state_dict())
    models[1].load_state_dict(models[0].state_dict())
    saved["param_groups"][0]["lr"] = 0.05
    optimizers = [wf.torch.ProximalOptimizer(each, l1=0.1) for each in inner]
    inner[0].load_state_dict(saved)
    optimizers[1].load_state_dict(saved)  # the way through the wrapper
    for optimizer, model in zip(optimizers, models, strict=True):
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            scheduler.step()
    assert inner[0].param_groups[0]["lr"] == optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05 * 0.1**3)
    assert optimizers[0].state is inner[0].state
    assert torch.equal(models[0].weight, models[1].weight)


def test_groups_and_state_that_are_put_anew_are_the_wrapped_optimizer_s():
    model = nn.Linear(3, 2)
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = wf.torch.ProximalOptimizer(inner, l1=0.1)
    groups, state = [{**inner.param_groups[0], "lr": 0.3}], {}
    optimizer.param_groups, optimizer.state = groups, state
    assert inner.param_groups is groups
    assert inner.state is state


def test_a_weight_that_is_thawed_is_shrunk_from_then_on():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    for given in (None, model):
        twin = copy.deepcopy(model)
        optimizer = wf.torch.ProximalOptimizer(
            torch.optim.SGD(twin.parameters(), lr=0.1), l1=100.0, model=None if given is None else twin
        )
        zero_step(optimizer, twin)
        assert twin[0].weight.any()
        assert not twin[1].weight.any()
        twin[0].requires_grad_(True)
        zero_step(optimizer, twin)
        assert not twin[0].weight.any()


def test_one_cocktail_fits_engine_and_toolbox_where_a_layer_is_frozen():
    """A strength for each weight that learns."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    optimizer = wf.torch.ProximalOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), l1=(100.0,), model=model)
    zero_step(optimizer, model)
    assert not model[1].weight.any()


@pytest.mark.parametrize("acts", [{"l1": 0.1}, {"max_norm": 1.0}, {"group_lasso": 0.1}])
def test_a_model_that_the_optimizer_does_not_train_is_refused(acts):
    ours, other = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(SettingError, match="never act"):
        wf.torch.ProximalOptimizer(torch.optim.SGD(ours.parameters(), lr=0.1), **acts, model=other)
    with pytest.raises(SettingError, match="never act"):
        wf.torch.ProximalOptimizer(torch.optim.SGD([ours.bias], lr=0.1), **acts, model=ours)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    if "group_lasso" not in acts:
        with pytest.raises(SettingError, match="never act"):
            wf.torch.ProximalOptimizer(torch.optim.SGD(frozen.parameters(), lr=0.1), **acts, model=frozen)


def test_an_optimizer_without_weights_is_refused_where_l1_should_act():
    norm = nn.LayerNorm(3)
    with pytest.raises(SettingError, match="never act"):
        wf.torch.ProximalOptimizer(torch.optim.SGD(norm.parameters(), lr=0.1), l1=0.1)
    assert wf.torch.ProximalOptimizer(torch.optim.SGD(norm.parameters(), lr=0.1)).param_groups


def test_group_lasso_on_a_layer_that_is_not_trained_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    inner = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with pytest.raises(SettingError, match="never act"):
        wf.torch.ProximalOptimizer(inner, l1=0.1, group_lasso=0.1, model=model)
