"""Losses of the outputs, row by row. Imports PyTorch."""

from __future__ import annotations

from typing import Any

from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()


def row_losses(task: str, loss: str, parameter: float, out: Any, y: Any) -> Any:
    """Return the loss of each row, (..., n), of outputs and targets (..., n, k): see `wellfit.nets.Training`.

    Cross-entropy is taken from logits: softplus(z) - y z, and -sum y log softmax(z).
    """
    if task == "binary":
        return (torch.nn.functional.softplus(out) - y * out)[..., 0]
    if task == "multiclass":
        return -(y * torch.log_softmax(out, dim=-1)).sum(-1)
    residual = out - y
    if loss == "absolute":
        values = residual.abs()
    elif loss == "huber":
        size = residual.abs()
        values = torch.where(size <= parameter, size * size / 2, parameter * (size - parameter / 2))
    elif loss == "quantile":
        values = torch.where(residual > 0, (1 - parameter) * residual, -parameter * residual)
    else:
        values = residual * residual
    return values.sum(-1)


def right(task: str, out: Any, y: Any) -> Any:
    """Return whether each row is classified right, (..., n) bool; never in a regression."""
    if task == "binary":
        return (out[..., 0] > 0) == (y[..., 0] > 0.5)
    if task == "multiclass":
        return out.argmax(-1) == y.argmax(-1)
    return torch.zeros(out.shape[:-1], dtype=torch.bool, device=out.device)
