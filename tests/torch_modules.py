"""Modules for the tests: small, of every kind that the torch engine must know."""

from __future__ import annotations

import torch
from torch import nn


class Convolutional(nn.Module):
    """Two convolutions, functional activations and pooling, dropout and batch normalization of its own."""

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 6, 3)
        self.drop = nn.Dropout(rate)
        self.channels = nn.Dropout2d(rate)
        self.dense = nn.Linear(6 * 2 * 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return three logits for images of 8 x 8."""
        x = torch.relu(self.norm(self.first(x)))
        x = self.channels(nn.functional.max_pool2d(x, 2))
        x = torch.tanh(self.second(x))
        return self.dense(self.drop(x.flatten(1)))


class Plain(nn.Module):
    """No dropout and no normalization: what may be inserted."""

    def __init__(self, inputs: int | tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.body = nn.Linear(inputs, 7)  # type: ignore[arg-type]  # a number of features
        self.head = nn.Linear(7, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        return self.head(torch.relu(self.body(x)))


class Calls(nn.Module):
    """Calls dropout as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one logit."""
        return self.dense(nn.functional.dropout(x, 0.5, self.training))


class Recurrent(nn.Module):
    """An LSTM over five steps of one feature, with layer normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 6, num_layers=2, dropout=0.5, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.dense = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one logit."""
        out, _ = self.lstm(x[:, :, None])
        return self.dense(self.norm(out[:, -1]))


class Attentive(nn.Module):
    """A transformer's layer over five tokens of one feature: dropout in front, inside and in the attention."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Linear(1, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, 0.3, batch_first=True)
        self.dense = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one logit."""
        return self.dense(self.layer(self.lift(x[:, :, None])).mean(1))


class Tokens(nn.Module):
    """Reads whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(10, 6)
        self.dense = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return two logits for two classes."""
        return self.dense(self.embed(x))
