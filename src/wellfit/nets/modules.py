"""Modules that come with wellfit, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wellfit.errors import SettingError
from wellfit.nets.torch_door import require_torch


def cnn(inputs: tuple[int, ...], outputs: int) -> Any:
    """Return the textbook's convolutional network: 32 and 64 kernels of 3 x 3, each halved; 128 hidden; dropout.

    Inputs are (channels, height, width) of at least 10 x 10. Convolutions are not padded, as in the tutorial's network
    for 28 x 28 images, whose dense layer then reads 64 x 5 x 5 values.
    """
    nn = require_torch().nn
    if isinstance(inputs, int) or len(inputs) != 3 or min(inputs[1:]) < 10:
        raise SettingError("module.images_only", name="cnn", inputs=inputs)
    channels, height, width = inputs
    high, wide = (((side - 2) // 2 - 2) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3),
        nn.MaxPool2d(2),  # before the ReLU, with which it commutes: a quarter of the values
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * high * wide, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, outputs),
    )


MODULES: dict[str, Callable[..., Any]] = {"cnn": cnn}
