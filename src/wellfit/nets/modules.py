"""Modules that come with wellfit, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wellfit.errors import SettingError
from wellfit.nets.torch_door import require_torch

LEAST_SIDE = 10  # of images, in pixels


def cnn(inputs: tuple[int, ...], outputs: int) -> Any:
    """Return the textbook's convolutional network: 32 and 64 kernels of 3 x 3, each halved; 128 hidden; dropout.

    Inputs are (channels, height, width) of at least 10 x 10. Convolutions are not padded, as in the tutorial's network
    for 28 x 28 images, whose dense layer then reads 64 x 5 x 5 values. Batch normalization stands behind the halving,
    where there is a quarter of the values to normalize.
    """
    nn = require_torch().nn
    channels, height, width = _images("cnn", inputs)
    high, wide = (((side - 2) // 2 - 2) // 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3),
        nn.MaxPool2d(2),  # before the ReLU, with which it commutes: a quarter of the values
        nn.BatchNorm2d(32),  # left out without batch_norm
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * high * wide, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, outputs),
    )


def deep_cnn(inputs: tuple[int, ...], outputs: int) -> Any:
    """Return a deeper convolutional network: 32, then twice 64, then twice 128 kernels, halved after each; 128 hidden.

    After Simonyan & Zisserman (2015), narrower. Convolutions are padded. Inputs are (channels, height, width)
    of at least 10 x 10.
    """
    nn = require_torch().nn
    channels, height, width = _images("deep-cnn", inputs)

    def block(before: int, after: int) -> list[Any]:
        return [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]

    return nn.Sequential(
        *block(channels, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        *block(64, 64),
        nn.MaxPool2d(2),
        *block(64, 128),
        *block(128, 128),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(128 * (height // 8) * (width // 8), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, outputs),
    )


def _images(name: str, inputs: Any) -> tuple[int, int, int]:
    """Return the shape of images. Raises `SettingError` for other inputs, and for images that are too small."""
    if isinstance(inputs, int) or len(inputs) != 3 or min(inputs[1:]) < LEAST_SIDE:
        raise SettingError("module.images_only", name=name, inputs=inputs, least=LEAST_SIDE)
    channels, height, width = inputs
    return channels, height, width


MODULES: dict[str, Callable[..., Any]] = {"cnn": cnn, "deep-cnn": deep_cnn}
