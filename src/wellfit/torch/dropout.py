"""Turning dropout up or down in a model that is there already."""

from __future__ import annotations

from torch import nn

from wellfit.cocktail import Cocktail, Dropout
from wellfit.errors import SettingError
from wellfit.torch.keras_layers import is_keras
from wellfit.torch.parts import dropout_attribute, modules_of


def set_dropout(model: nn.Module, rate: float | tuple[float, ...]) -> int:
    """Set the dropout rate of a model, one for all places or one per place in the model's order; return how many.

    Places are all layers of PyTorch's dropout family (``Dropout``, ``Dropout1d`` to ``3d``, ``AlphaDropout``), the
    attention dropout of ``MultiheadAttention`` (and so of transformer layers), the dropout between the layers of an
    ``RNN``, ``LSTM`` or ``GRU`` that has several, and Keras's ``Dropout``, ``SpatialDropout``, ``AlphaDropout`` and
    ``GaussianDropout``, with the ``dropout`` of its recurrent layers, which drops their inputs; ``recurrent_dropout``
    is left as it is. The rate of ``F.dropout`` written into a ``forward`` cannot be seen from outside.

    Raises `SettingError` for a rate outside [0, 1), a wrong count of rates, a model without a place for dropout, and
    for a Keras layer that was made with rate 0, which has no random generator to drop with.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))
    >>> set_dropout(model, 0.1), model[1].p
    (1, 0.1)
    """
    places = [
        (name, module, attribute) for name, module in modules_of(model) if (attribute := dropout_attribute(module))
    ]
    if not places:
        raise SettingError("toolbox.no_dropout", kind=type(model).__name__)
    rates = Cocktail((Dropout(rate),)).resolve(len(places) + 1).dropout
    for (name, module, _), new in zip(places, rates, strict=True):
        if new and is_keras(module) and not hasattr(module, "seed_generator"):
            raise SettingError("toolbox.keras_without_generator", name=name)
    for (_, module, attribute), new in zip(places, rates, strict=True):
        setattr(module, attribute, new)
    return len(places)
