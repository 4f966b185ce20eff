"""The toolbox for one's own loop against the compiled engine: the same steps from the same weights, in float64.

A plain PyTorch loop, its model a copy of a member's first weights, must end where the engine ends.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from peers import import_torch

import wellfit as wf
from wellfit.cocktail import as_cocktail
from wellfit.cocktail.schedules import schedule_factor
from wellfit.engines.base import CURVES, Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.contract.problems import make_data
from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets import MLP, Training
from wellfit.nets.layout import layout_of

torch = import_torch()
nn = torch.nn

NETWORK, STEPS, RATE = MLP((7, 4), "tanh"), 20, 0.05
KINDS = {
    "gd": (Training("gd", RATE, STEPS, None, precision="float64"), lambda p: torch.optim.SGD(p, lr=RATE)),
    "momentum": (
        Training("sgd", RATE, STEPS, None, momentum=0.9, precision="float64"),
        lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9),
    ),
    "nesterov": (
        Training("sgd", RATE, STEPS, None, momentum=0.8, nesterov=True, precision="float64"),
        lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.8, nesterov=True),
    ),
    "adam": (Training("adam", RATE, STEPS, None, precision="float64"), lambda p: torch.optim.Adam(p, lr=RATE)),
    "adamw": (
        Training("adamw", RATE, STEPS, None, precision="float64"),
        lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.0),
    ),
}
DATA = make_data("binary", rows=60)


def network_of(parameters, network=NETWORK):
    """An nn.Module with a member's parameters."""
    layers = []
    for w, b in network.unpack(parameters, DATA.folds[0].x.shape[1], DATA.outputs):
        layer = nn.Linear(*w.shape[::-1], dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def flat(model):
    return np.concatenate([p.detach().numpy().ravel() for layer in model[::2] for p in (layer.weight, layer.bias)])


def member_of(cocktail, kind):
    return Member(NETWORK, as_cocktail(cocktail), KINDS[kind][0], seed=5, fold=0)


def by_engine(cocktail, kind):
    """A member's first and last parameters, and its recorded penalty."""
    member, engine = member_of(cocktail, kind), CompiledEngine()
    states = engine.init([member], DATA)
    [end] = engine.advance([member], states, [STEPS], DATA)
    return states[0].parameters, end.parameters, end.curves[:, CURVES.index("penalty")]


def train(model, optimizer, term=None, scheduler=None):
    fold = DATA.folds[0]
    x, y = torch.tensor(fold.x[fold.rows.train]), torch.tensor(fold.y[fold.rows.train])
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
        (loss if term is None else loss + term(step)).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return flat(model)


def assert_same(ours, engine, start):
    assert np.abs(ours - engine).max() < 1e-9
    assert np.array_equal(ours == 0, engine == 0)
    assert np.abs(ours - start).max() > 1e-2  # it has moved


# ---- against the engine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cocktail", ["l2=0.05", "l2=(0.05, 0, 0.2)", "l2=0.1:schedule=cosine"])
def test_penalty_in_the_loss_takes_the_engine_s_steps(kind, cocktail):
    start, end, _ = by_engine(cocktail, kind)
    model = network_of(start)
    term = lambda step: wf.torch.penalty(model, cocktail, progress=step / STEPS)  # noqa: E731 (closes over the model)
    assert_same(train(model, KINDS[kind][1](model.parameters()), term), end, start)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [0.3, (0.3, 0.0, 0.3), (0.3, 0.3, 1.0)])
def test_decay_by_groups_takes_the_engine_s_steps(kind, decay):
    """AdamW's decay is decoupled, that of the others is L2."""
    cocktail = wf.WeightDecay(decay) if kind == "adamw" else wf.L2(decay)
    start, end, _ = by_engine(cocktail, kind)
    model = network_of(start)
    assert_same(train(model, KINDS[kind][1](wf.torch.parameter_groups(model, decay))), end, start)


@pytest.mark.parametrize("given", ["groups", "parameters", "model"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("l1", [0.04, (0.08, 0.0, 0.02)])
def test_proximal_steps_are_the_engine_s(kind, l1, given):
    start, end, _ = by_engine(wf.L1(l1), kind)
    model = network_of(start)
    what = wf.torch.parameter_groups(model, 0.0) if given == "groups" else model.parameters()
    inner = KINDS[kind][1](what)
    optimizer = wf.torch.ProximalOptimizer(inner, l1=l1, model=model if given == "model" else None)
    assert_same(train(model, optimizer), end, start)
    assert 0 < (end == 0).sum() < 67  # of the weights


@pytest.mark.parametrize("kind", KINDS)
def test_elastic_net_is_a_smooth_part_and_a_proximal_one(kind):
    cocktail = wf.ElasticNet(0.04, l1_ratio=0.5)
    start, end, _ = by_engine(cocktail, kind)
    model = network_of(start)
    optimizer = wf.torch.ProximalOptimizer(KINDS[kind][1](model.parameters()), l1=0.02)
    term = lambda step: wf.torch.penalty(model, cocktail, smooth=True)  # noqa: E731 (closes over the model)
    assert_same(train(model, optimizer, term), end, start)


@pytest.mark.parametrize("kind", KINDS)
def test_decay_l1_and_max_norm_together(kind):
    decay = "weight_decay" if kind == "adamw" else "l2"
    start, end, _ = by_engine(f"{decay}=0.1 + l1=0.01 + max_norm=(0.9, inf, 0.5)", kind)
    model = network_of(start)
    inner = KINDS[kind][1](wf.torch.parameter_groups(model, 0.1))
    optimizer = wf.torch.ProximalOptimizer(inner, l1=0.01, max_norm=(0.9, math.inf, 0.5), model=model)
    assert_same(train(model, optimizer), end, start)
    assert torch.linalg.vector_norm(model[4].weight, dim=1).max() <= 0.5 + 1e-12


@pytest.mark.parametrize(("kind", "strength"), [("gd", 1.5), ("momentum", 0.2), ("nesterov", 0.3)])
def test_group_lasso_takes_the_engine_s_steps(kind, strength):
    start, end, _ = by_engine(f"group_lasso={strength} + l1=0.005", kind)
    model = network_of(start)
    inner = KINDS[kind][1](model.parameters())
    optimizer = wf.torch.ProximalOptimizer(inner, l1=0.005, group_lasso=strength, model=model)
    assert_same(train(model, optimizer), end, start)
    assert (model[0].weight == 0).all(dim=0).any()  # an input has left


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_a_scheduler_sees_one_optimizer(kind):
    """The rate falls by a cosine, as the engine's does; so does the threshold."""
    from dataclasses import replace

    member = member_of("l1=0.02", kind)
    member = replace(member, training=replace(member.training, schedule="cosine"))
    engine = CompiledEngine()
    states = engine.init([member], DATA)
    [end] = engine.advance([member], states, [STEPS], DATA)
    model = network_of(states[0].parameters)
    optimizer = wf.torch.ProximalOptimizer(KINDS[kind][1](model.parameters()), l1=0.02)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: schedule_factor("cosine", t / STEPS))
    assert_same(train(model, optimizer, scheduler=scheduler), end.parameters, states[0].parameters)


def test_with_dampening_a_weight_settles_where_l1_outweighs_its_gradient():
    for l1, zero in ((0.9, False), (1.1, True)):  # the data pull by 1
        weight = nn.Parameter(torch.full((1, 1), 0.2, dtype=torch.float64))
        inner = torch.optim.SGD([weight], lr=0.01, momentum=0.9, dampening=0.5)
        optimizer = wf.torch.ProximalOptimizer(inner, l1=l1)
        for _ in range(300):
            optimizer.zero_grad()
            (-weight).sum().backward()
            optimizer.step()
        assert (weight.item() == 0) is zero


@pytest.mark.parametrize("amsgrad", [True, False])
def test_amsgrad_s_threshold_is_made_with_its_own_second_moment(amsgrad):
    """The formula of Reddi et al. (2018), by hand, for a gradient that was large once."""
    weight = nn.Parameter(torch.tensor([[3.0]], dtype=torch.float64))
    inner = torch.optim.Adam([weight], lr=0.1, betas=(0.5, 0.9), amsgrad=amsgrad)
    optimizer = wf.torch.ProximalOptimizer(inner, l1=0.3)
    w, m, v, most = 3.0, 0.0, 0.0, 0.0
    for t, gradient in enumerate([20.0, 1.0, 1.0, 1.0], 1):
        optimizer.zero_grad()
        (gradient * weight).sum().backward()
        optimizer.step()
        m, v = 0.5 * m + 0.5 * gradient, 0.9 * v + 0.1 * gradient**2
        most = max(most, v)
        eta = 0.1 / (math.sqrt((most if amsgrad else v) / (1 - 0.9**t)) + 1e-8)
        w = max(w - eta * m / (1 - 0.5**t) - 0.3 * eta, 0.0)
        assert weight.item() == pytest.approx(w, abs=1e-12)
    assert w > 0


# ---- penalty ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cocktail", ["l1=0.3 + l2=(0.1, 0, 0.2)", "elastic_net=0.2:l1_ratio=0.3", "group_lasso=0.4 + l2=1", "none"]
)
def test_penalty_is_the_engine_s_and_its_gradient_is_right(cocktail):
    start, _, curve = by_engine(cocktail, "gd")
    model = network_of(start)
    value = wf.torch.penalty(model, cocktail)
    assert value.item() == pytest.approx(curve[0], abs=1e-12)
    if cocktail == "none":
        return
    value.backward()
    h = 1e-6
    for layer, at in ((0, (2, 1)), (2, (3, 5)), (4, (0, 2))):
        weight, values = model[layer].weight, []
        for sign in (1, -1):
            with torch.no_grad():
                weight[at] += sign * h
                values.append(wf.torch.penalty(model, cocktail).item())
                weight[at] -= sign * h
        assert weight.grad[at].item() == pytest.approx((values[0] - values[1]) / (2 * h), abs=1e-7)
        assert model[layer].bias.grad is None


def test_the_smooth_part_and_the_rest_add_up():
    model = network_of(by_engine("none", "gd")[0])
    whole, smooth = (wf.torch.penalty(model, "l1=0.3 + l2=0.1", smooth=s).item() for s in (False, True))
    assert smooth == pytest.approx(wf.torch.penalty(model, "l2=0.1").item())
    assert whole - smooth == pytest.approx(wf.torch.penalty(model, "l1=0.3").item())


def test_penalty_refuses_what_it_would_not_do():
    model = network_of(by_engine("none", "gd")[0])
    with pytest.raises(SettingError, match="parameter_groups"):
        wf.torch.penalty(model, "weight_decay=0.1 + dropout=0.2")
    # Beside a penalty they are part of the cocktail, and no term of the objective.
    assert wf.torch.penalty(model, "l2=0.1 + dropout=(0.1, 0.2)") == wf.torch.penalty(model, wf.L2(0.1))
    with pytest.raises(SettingError, match="this network has 3 places"):
        wf.torch.penalty(model, wf.L2((0.1, 0.2)))
    for progress in (None, -0.1, 2):
        with pytest.raises(SettingError, match="progress="):
            wf.torch.penalty(model, "l2=0.1:schedule=cosine", progress=progress)
    with pytest.raises(SettingError, match=r"nn\.Module, not list"):
        wf.torch.penalty([nn.Linear(1, 1)], "l2=1")
    with pytest.raises(SettingError, match=r"2\.weight has no shape"):
        wf.torch.penalty(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.LazyLinear(2)), "l2=1")
    with pytest.raises(SettingError, match="has no columns"):
        wf.torch.penalty(nn.ConvTranspose2d(1, 2, 3), "group_lasso=1")


# ---- groups -----------------------------------------------------------------------------------------------------


class Everything(nn.Module):
    """Every kind of layer with parameters that a network may have, and a normalization that PyTorch does not know."""

    class MyNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 2, 3)
        self.image_norm, self.group_norm = nn.LayerNorm((2, 5)), nn.GroupNorm(2, 4)
        self.embedding = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 3, num_layers=1)
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.mine, self.act = self.MyNorm(), nn.PReLU()
        self.head = nn.Linear(4, 10)
        self.tied = nn.Linear(4, 10, bias=False)
        self.tied.weight = self.head.weight
        self.register_buffer("seen", torch.zeros(2, 2))


def test_weights_are_told_from_biases_and_normalizations():
    model = Everything()
    names = {id(p): name for name, p in model.named_parameters()}
    weights, rest = wf.torch.parameter_groups(model, 0.1)
    assert [names[id(p)] for p in weights["params"]] == [
        "conv.weight",
        "up.weight",
        "embedding.weight",
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "head.weight",
    ]
    layout = layout_of(model)  # what penalties reach in the engine that trains modules
    assert [layout.slots[i].name for i in layout.weights] == [names[id(p)] for p in weights["params"]]
    assert rest["weight_decay"] == 0
    every = [id(p) for group in (weights, rest) for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in model.parameters())
    assert "image_norm.weight" in {names[id(p)] for p in rest["params"]}  # two axes, and no weight


def test_named_parameters_can_be_left_undecayed():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    groups = wf.torch.parameter_groups(model, 0.1, undecayed=["0.weight"])
    assert [(g["weight_decay"], len(g["params"])) for g in groups] == [(0.0, 1), (0.1, 1), (0.0, 2)]
    with pytest.raises(SettingError, match=r"'0.weigth'.*0.weight"):
        wf.torch.parameter_groups(model, 0.1, undecayed=["0.weigth"])
    for bad in (-1, "much", (0.1,)):
        with pytest.raises(SettingError):
            wf.torch.parameter_groups(model, bad)
    with pytest.raises(SettingError, match="no parameters"):
        wf.torch.parameter_groups(nn.ReLU(), 0.1)


# ---- the proximal optimizer as an optimizer ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_goes_on_as_if_it_had_not_stopped(kind):
    start = by_engine("none", kind)[0]
    whole, first = network_of(start), network_of(start)
    optimizers = [wf.torch.ProximalOptimizer(KINDS[kind][1](m.parameters()), l1=0.02) for m in (whole, first)]
    train(whole, optimizers[0])
    train(first, optimizers[1])
    saved = copy.deepcopy((first.state_dict(), optimizers[1].state_dict()))
    second = network_of(start)
    second.load_state_dict(saved[0])
    again = wf.torch.ProximalOptimizer(KINDS[kind][1](second.parameters()), l1=0.02)
    again.load_state_dict(saved[1])
    assert again.state is again.optimizer.state
    assert again.param_groups is again.optimizer.param_groups
    assert np.array_equal(train(second, again), train(whole, optimizers[0]))
    # A copy of model and optimizer together goes on as well.
    twin, of_twin = copy.deepcopy((first, optimizers[1]))
    assert np.array_equal(train(twin, of_twin), flat(second))


def test_it_is_an_optimizer():
    model = network_of(by_engine("none", "gd")[0])
    inner = torch.optim.SGD(model[0].parameters(), lr=0.1)
    optimizer = wf.torch.ProximalOptimizer(inner, l1=100.0)
    assert isinstance(optimizer, torch.optim.Optimizer)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(model[0].weight.abs().max().item()))
    optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.01})
    assert inner.param_groups[1]["lr"] == 0.01

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 5, dtype=torch.float64)).square().mean()
        loss.backward()
        return loss

    last = model[4].weight.clone()
    assert optimizer.step(closure).item() > 0
    assert not model[0].weight.any()
    assert not model[2].weight.any()
    assert seen == [0.0]  # hooks see the weights after the proximal step
    assert torch.equal(model[4].weight, last)
    optimizer.zero_grad()
    assert model[0].weight.grad is None


def test_a_gradient_scaler_takes_it_and_may_skip_a_step():
    ends = []
    for scaled in (False, True):
        weight = nn.Parameter(torch.tensor([[0.5, -0.02]]))
        optimizer = wf.torch.ProximalOptimizer(torch.optim.SGD([weight], lr=0.1), l1=0.5)
        scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=8.0)
        for factor in (1.0, math.inf if scaled else 0.0):  # the second gradient overflows: no step, and no shrinking
            optimizer.zero_grad()
            scaler.scale((weight * torch.tensor([[0.3, 0.0]])).sum() * factor).backward()
            if factor:
                scaler.step(optimizer)
                scaler.update()
        ends.append(weight.detach())
    assert torch.equal(*ends)
    assert ends[0][0, 1] == 0


def test_a_weight_without_a_gradient_stays():
    used, unused = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = wf.torch.ProximalOptimizer(torch.optim.Adam([used, unused], lr=0.1), l1=1.0)
    used.sum().backward()
    optimizer.step()
    assert (used < 0.9).all()
    assert (unused == 1).all()


def test_transposed_layers_are_bounded_by_their_units():
    model = nn.ConvTranspose1d(2, 3, 4, bias=False)
    optimizer = wf.torch.ProximalOptimizer(torch.optim.SGD(model.parameters(), lr=1e-9), max_norm=0.1, model=model)
    model(torch.ones(1, 2, 5)).sum().backward()
    optimizer.step()
    norms = torch.linalg.vector_norm(model.weight, dim=(0, 2))
    assert torch.allclose(norms, torch.full((3,), 0.1))


def test_what_it_cannot_do_it_refuses():
    model = nn.Linear(2, 2)
    with pytest.raises(UnsupportedError, match="SGD, Adam, AdamW, and not that of RMSprop"):
        wf.torch.ProximalOptimizer(torch.optim.RMSprop(model.parameters()), l1=0.1)
    with pytest.raises(UnsupportedError, match="Group lasso"):
        wf.torch.ProximalOptimizer(torch.optim.Adam(model.parameters()), group_lasso=0.1, model=model)
    for options in ({"max_norm": 1.0}, {"group_lasso": 1.0}):
        with pytest.raises(SettingError, match=f"{next(iter(options))} has to know"):
            wf.torch.ProximalOptimizer(torch.optim.SGD(model.parameters(), lr=1), **options)
    for options in ({"l1": -1}, {"l1": (0.1, 0.1)}, {"max_norm": 0, "model": model}):
        with pytest.raises(SettingError):
            wf.torch.ProximalOptimizer(torch.optim.SGD(model.parameters(), lr=1), **options)
