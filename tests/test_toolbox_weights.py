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
