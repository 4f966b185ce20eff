"""What the toolbox takes for a weight, and how it lies: frozen ones, normalizations' own, kernels of all layers."""

from __future__ import annotations

import pytest
from peers import import_keras, import_torch, keras_floats

import wellfit as wf
from wellfit.errors import SettingError
from wellfit.nets.layout import layout_of

torch = import_torch()
nn = torch.nn


def names_of(model):
    from wellfit.torch.parts import weights_of

    return [weight.name for weight in weights_of(model)]


def engine_names_of(model):
    layout = layout_of(model)
    return [layout.slots[i].name for i in layout.weights]


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    with keras_floats(import_keras(tmp_path_factory.mktemp("keras")), "float32") as module:
        yield module


def frozen_first():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def test_frozen_parameters_are_let_be():
    model = frozen_first()
    assert names_of(model) == engine_names_of(model) == ["2.weight"]
    l2 = 0.5 * model[2].weight.square().sum()
    assert torch.isclose(wf.torch.penalty(model, "l2=1"), l2)
    assert torch.isclose(wf.torch.penalty(model, wf.L2((1.0,))), l2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)  # which skips what has no gradient
    [advice] = wf.torch.lint(model, optimizer)
    assert advice.place == ("2.bias",)
    given = [id(p) for group in wf.torch.parameter_groups(model, 0.1) for p in group["params"]]
    assert given == [id(model[2].weight), id(model[2].bias)]


def test_of_a_model_that_is_frozen_as_a_whole_nothing_is_penalized_and_no_groups_are_made():
    model = nn.Linear(3, 2).requires_grad_(False)
    assert wf.torch.penalty(model, "l2=1 + l1=1") == 0
    with pytest.raises(SettingError, match="frozen"):
        wf.torch.parameter_groups(model, 0.1)


def test_a_layer_of_keras_that_is_not_trained_is_let_be(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    model.layers[0].trainable = False
    assert names_of(model) == [model.layers[1].kernel.path]


class Own(nn.Module):
    """A module with matrices that are called as Keras calls its normalizations' vectors."""

    def __init__(self):
        super().__init__()
        self.gamma, self.beta, self.w = (nn.Parameter(torch.ones(3, 4)) for _ in range(3))


def test_matrices_called_gamma_and_beta_are_weights_as_in_the_engine():
    assert names_of(Own()) == engine_names_of(Own()) == ["gamma", "beta", "w"]


class Backwards(nn.Module):
    """Registers the last layer first."""

    def __init__(self):
        super().__init__()
        self.head, self.body = nn.Linear(4, 2), nn.Linear(3, 4)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


def test_group_lasso_asks_for_the_first_layer_where_only_forward_knows_it():
    from wellfit.nets import Module

    model = Backwards()
    with pytest.raises(SettingError, match=r"entry=.*head\.weight, body\.weight"):
        wf.torch.penalty(model, "group_lasso=1")
    value = wf.torch.penalty(model, "group_lasso=1", entry="body.weight")
    assert torch.isclose(value, model.body.weight.norm(dim=0).sum())
    assert engine_names_of(model)[Module("backwards", lambda: Backwards()).bound(3, 2).entry] == "body.weight"
    with pytest.raises(SettingError, match=r"'body\.wieght'.*body\.weight"):
        wf.torch.penalty(model, "group_lasso=1", entry="body.wieght")
    for entry in ("body.weight", "head.weight"):
        twin = Backwards()
        optimizer = wf.torch.ProximalOptimizer(
            torch.optim.SGD(twin.parameters(), lr=0.1), group_lasso=100.0, model=twin, entry=entry
        )
        twin(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        assert bool(twin.body.weight.any()) is (entry == "head.weight")
        assert bool(twin.head.weight.any()) is (entry == "body.weight")
    with pytest.raises(SettingError, match="entry="):
        wf.torch.ProximalOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), group_lasso=1.0, model=model)


def test_layers_that_are_called_in_order_show_their_first():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.ReLU(), nn.Linear(3, 4)), Backwards())
    value = wf.torch.penalty(model, "group_lasso=1")
    assert torch.isclose(value, model[1][1].weight.norm(dim=0).sum())
    model[1][1].requires_grad_(False)  # the first layer does not learn: the second is not the first
    with pytest.raises(SettingError, match="entry="):
        wf.torch.penalty(model, "group_lasso=1")


def test_group_lasso_takes_convolutions_by_their_channels():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    norms = torch.stack([model[0].weight[:, channel].norm() for channel in range(3)])
    assert torch.isclose(wf.torch.penalty(model, "group_lasso=0.4"), 0.4 * norms.sum())
    with torch.no_grad():
        model[0].weight[:, 1] *= 1e-3
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight.detach().clone()
    optimizer = wf.torch.ProximalOptimizer(inner, group_lasso=0.1, model=model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    norms = torch.linalg.vector_norm(before, dim=(0, 2, 3))
    after = torch.linalg.vector_norm(model[0].weight, dim=(0, 2, 3))
    assert torch.allclose(after, (norms - 0.01).clamp(min=0))
    assert after[1] == 0


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 4, 1, groups=2), nn.ConvTranspose1d(2, 3, 1), nn.Embedding(5, 2)])
def test_a_first_layer_without_columns_is_refused_as_in_the_engine(layer):
    with pytest.raises(SettingError, match=r"0\.weight"):
        wf.torch.penalty(nn.Sequential(layer, nn.Linear(3, 2)), "group_lasso=1")


def test_the_first_layer_of_a_keras_model(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    kernel = model.layers[0].kernel.value
    norms = torch.linalg.vector_norm(kernel, dim=(0, 1, 3))
    assert torch.isclose(wf.torch.penalty(model, "group_lasso=1"), norms.sum())
    inputs = keras.Input((3,))
    functional = keras.Model(inputs, layers.Dense(2)(layers.Dense(4)(inputs)))
    with pytest.raises(SettingError, match="entry="):
        wf.torch.penalty(functional, "group_lasso=1")
    kernel = functional.layers[1].kernel
    value = wf.torch.penalty(functional, "group_lasso=1", entry=kernel.path)
    assert torch.isclose(value, kernel.value.norm(dim=1).sum())


def norms_of_units(output, weight, axis):
    """The norm of what enters each output, (outputs,): an output's gradient is 0 but at its own weights."""
    found = []
    for one in output.movedim(axis, 0):
        [gradient] = torch.autograd.grad(one.sum(), weight, retain_graph=True)
        found.append(torch.where(gradient != 0, weight.detach(), 0).norm())
    return torch.stack(found)


def bounded(model, weight, *, bound=0.3):
    optimizer = wf.torch.ProximalOptimizer(torch.optim.SGD([weight], lr=0.1), max_norm=bound, model=model)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()


LAYERS = {
    "linear": (lambda: nn.Linear(3, 4, bias=False), (2, 3)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), (1, 4, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, bias=False), (1, 4, 5, 5)),
    "transposed and grouped": (lambda: nn.ConvTranspose2d(4, 6, 1, groups=2, bias=False), (1, 4, 5, 5)),
    "transposed in one dimension": (lambda: nn.ConvTranspose1d(6, 6, 3, groups=3, bias=False), (1, 6, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_what_enters_a_unit_is_bounded_whatever_the_layer(name):
    make, shape = LAYERS[name]
    layer = make()
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.5
    with torch.no_grad():
        layer.weight.add_(0.2)
    before = norms_of_units(layer(x), layer.weight, 1)
    bound = before.median().item()
    bounded(layer, layer.weight, bound=bound)
    assert torch.allclose(norms_of_units(layer(x), layer.weight, 1), before.clamp(max=bound))
    assert (before > bound).any()
    assert (before < bound).any()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda k: k.Dense(4, use_bias=False), (3,)),
        (lambda k: k.Conv2D(6, 2, groups=3, use_bias=False), (5, 5, 3)),
        (lambda k: k.Conv1DTranspose(4, 2, use_bias=False), (5, 3)),
        (lambda k: k.Conv2DTranspose(3, 1, use_bias=False), (4, 4, 2)),
        (lambda k: k.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), (4, 4, 2)),
        (lambda k: k.EinsumDense("abc,cd->abd", output_shape=(None, 6)), (5, 3)),
    ],
)
def test_what_enters_a_unit_of_keras_is_bounded(keras, make, shape):
    layer = make(keras.layers)
    model = keras.Sequential([keras.Input(shape), layer])
    kernel = layer.kernel.value
    with torch.no_grad():
        kernel.copy_(torch.rand(kernel.shape, generator=torch.Generator().manual_seed(1)) + 0.1)
    x = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0)) + 0.5
    before = norms_of_units(model(x), kernel, -1)
    bound = before.median().item()
    bounded(model, kernel, bound=bound)
    assert torch.allclose(norms_of_units(model(x), kernel, -1), before.clamp(max=bound))
    assert (before > bound).any()


def test_keras_s_other_kernels_stand_as_pytorch_s(keras):
    """Rows of an embedding, gates of a recurrent cell, both kernels of a separable convolution."""
    from wellfit.torch.parts import weights_of

    layers = keras.layers
    words = keras.Sequential([keras.Input((5,)), layers.Embedding(7, 4), layers.LSTM(3)])
    found = {w.tensor.shape: w.orientation.units for w in weights_of(words)}
    assert found == {(7, 4): (0,), (4, 12): (1,), (3, 12): (1,)}
    images = keras.Sequential([keras.Input((4, 4, 2)), layers.SeparableConv2D(5, 3)])
    assert {w.tensor.shape: w.orientation.units for w in weights_of(images)} == {
        (3, 3, 2, 1): (2, 3),
        (1, 1, 2, 5): (3,),
    }


def test_where_nobody_knows_the_units_a_bound_is_refused_and_others_stay():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.head = nn.Parameter(torch.ones(3, 4)), nn.Linear(4, 2)

    model = Mine()
    with pytest.raises(SettingError, match=r"units of w stand.*inf"):
        wf.torch.ProximalOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), max_norm=1.0, model=model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = wf.torch.ProximalOptimizer(optimizer, l1=100.0, max_norm=(float("inf"), 1.0), model=model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert not model.w.any()
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))  # its length is not that of its direction
    with pytest.raises(SettingError, match="parametrizations"):
        wf.torch.ProximalOptimizer(torch.optim.SGD(normed.parameters(), lr=0.1), max_norm=1.0, model=normed)


def test_a_model_without_weights_is_refused_by_name_where_group_lasso_should_act():
    norm = nn.LayerNorm(3)
    with pytest.raises(SettingError, match="no weight"):
        wf.torch.penalty(norm, "group_lasso=0.1")
    with pytest.raises(SettingError, match="no weight"):
        wf.torch.ProximalOptimizer(torch.optim.SGD(norm.parameters(), lr=0.1), group_lasso=0.1, model=norm)
    assert wf.torch.penalty(norm, "l2=0.1") == 0


class MyLayerNorm2d(nn.Module):
    """A normalization of one's own whose scale has two axes."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(4, 5)), nn.Parameter(torch.zeros(4, 5))


class NormedLinear(nn.Module):
    """Has a matrix, and a scale for each row."""

    def __init__(self):
        super().__init__()
        self.matrix, self.scale = nn.Parameter(torch.ones(4, 5)), nn.Parameter(torch.ones(4, 1))


def weight_normed():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 2, 2)), nn.Flatten(), nn.LazyLinear(2))


def weight_normed_as_it_was():
    with pytest.warns(FutureWarning):
        return nn.Sequential(nn.utils.weight_norm(nn.Conv1d(3, 2, 2)), nn.Flatten(), nn.LazyLinear(2))


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), MyLayerNorm2d()), ["0.weight"]),
        (NormedLinear, ["matrix"]),
        (weight_normed, ["0.parametrizations.weight.original1", "2.weight"]),
        (weight_normed_as_it_was, ["0.weight_v", "2.weight"]),
    ],
)
def test_scales_with_two_axes_are_no_weights_in_toolbox_and_engine(make, left):
    model = make()
    if isinstance(model, nn.Sequential) and isinstance(model[-1], nn.LazyLinear):
        model(torch.ones(1, 3, 4))
    assert sorted(names_of(model)) == sorted(engine_names_of(model)) == sorted(left)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    [advice] = wf.torch.lint(model, optimizer)
    assert not set(left) & set(advice.place)
    assert {"scale", "1.scale", "0.parametrizations.weight.original0", "0.weight_g"} & set(advice.place)


def test_what_keras_never_trains_is_no_weight(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.SpectralNormalization(layers.Dense(3)), layers.Dense(2)])
    assert [tuple(p.shape) for group in wf.torch.parameter_groups(model, 0.1) for p in group["params"]] == [
        (4, 3),
        (3, 2),
        (3,),
        (2,),
    ]


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_dropout_of_keras_s_recurrent_layers_is_set_drops_and_is_seen(keras, kind):
    layer = getattr(keras.layers, kind)(3, dropout=0.2, seed=1)
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, layer(inputs))
    x = torch.rand(64, 5, 4)
    assert torch.equal(model(x, training=False), model(x, training=False))
    with wf.torch.watch(model) as watching, torch.no_grad():
        model(x)
        assert watching.advice == []
        model(x, training=True)
    assert [advice.rule for advice in watching.advice] == ["missing_eval"]
    assert wf.torch.set_dropout(model, 0.9) == 1
    # An example all of whose inputs are dropped is read as zeros.
    zeros = model(torch.zeros(1, 5, 4), training=False)
    read = model(x, training=True)
    assert (
        torch.isclose(read, zeros, atol=1e-6).all(1).double().mean() > 0.3
    )  # .9^4 is .66, for the mask of an LSTM's gates alike
    assert wf.torch.set_dropout(model, 0.0) == 1
    assert torch.equal(model(x, training=True), model(x, training=False))
