"""Small PyTorch modules, images and trained models that tests of modules share."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from wellfit.cocktail import Cocktail
from wellfit.data import load, prepare
from wellfit.engines.base import Member
from wellfit.engines.torch import TorchEngine
from wellfit.nets import MLP, Network, Training
from wellfit.nets.fitted import Fitted
from wellfit.records import Table
from wellfit.select.fitting import everything, fitted

FILE = """
from torch import nn

class Mine(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0] * inputs[1] * inputs[2], outputs))

    def forward(self, x):
        return self.body(x)
"""


class Plain(nn.Module):
    """A convolution, normalization, dropout, a dense layer."""

    channels = 4

    def __init__(self, inputs: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        channels, height, width = inputs
        self.conv = nn.Conv2d(channels, self.channels, 3)
        self.norm = nn.BatchNorm2d(self.channels)
        self.drop = nn.Dropout2d(0.9)
        self.dense = nn.Linear(self.channels * (height - 2) * (width - 2), outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))


def image_table(*, rows: int = 60, side: int = 6, channels: int = 1, classes: int = 3) -> Table:
    """Images whose brightness tells their class, mostly."""
    draw = np.random.default_rng(7)
    labels = np.arange(rows) % classes
    x = draw.integers(0, 120, (rows, side, side, channels)) + (labels * 60)[:, None, None, None]
    return load((x.astype(np.uint8), np.array([f"kind {label}" for label in labels])))


def trained(table: Table, network: Network, cocktail: str, *, seed: int = 3, **changes: object) -> Fitted:
    """Return what the torch engine makes of all rows in a few epochs."""
    training = Training(**{"epochs": 4, "batch_size": 16, "learning_rate": 0.01, **changes})
    data = prepare(table, [everything(np.arange(table.rows))], flat=isinstance(network, MLP))
    network = network.bound(data.folds[0].inputs, data.outputs)
    member, engine = Member(network, Cocktail.parse(cocktail), training, seed, 0), TorchEngine("cpu")
    [state] = engine.advance([member], engine.init([member], data), [training.epochs], data)
    return fitted(table, member, state.kept, data.folds[0], engine, training.epochs)
