"""A fitted model as a PyTorch module that gives the same outputs.

A module of the user's comes back as the user's own class: same names in ``state_dict``, and no wrapper. What stands
before and behind it (reading bytes, the link from logits to probabilities) are hooks of PyTorch's, which a call
``net(x)`` goes through and ``net.forward(x)`` does not. Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellfit.errors import SettingError, UnsupportedError
from wellfit.nets import surgery
from wellfit.nets.built import as_inputs
from wellfit.nets.ensemble import Ensemble
from wellfit.nets.fitted import Fitted, Predictor
from wellfit.nets.network import MLP
from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()
nn: Any = torch.nn

# Probabilities are clipped here before a temperature divides their logarithms, as in `apply_temperature`.
SMALLEST = float(np.finfo(np.float64).eps)


def to_torch(model: Predictor, *, logits: bool = False) -> Any:
    """Return a model as an ``nn.Module``, in evaluation mode, in the precision of its parameters.

    It takes what `Predictor.prepared` returns: prepared features (n, d); for images (n, channels, height, width) bytes,
    or numbers from -1 to 1; for an ensemble one array for each of its ``groups``. It returns probabilities
    (n, classes), or values (n, 1) in the target's unit. With ``logits`` it returns the network's (n, k), one for two
    classes; an ensemble's are the logarithms of its probabilities, or their difference. Raises `UnsupportedError` for
    the logits of a regression, which has none.

    Dropout layers are PyTorch's own, at the rates of the cocktail, so that ``train()`` goes on where training stopped
    (with the optimizer begun anew). Normalization is as trained; that of an MLP is folded into its weights.

    >>> import wellfit as wf
    >>> from wellfit.select.fitting import fit
    >>> table = wf.load("iris")
    >>> [(_, model)] = fit(table, np.arange(150), MLP((8,)), wf.Cocktail(), wf.Training(epochs=5), 0)
    >>> net = to_torch(model)
    >>> chances = net(*map(torch.as_tensor, model.prepared("iris")))
    >>> bool(np.allclose(chances.detach(), model.predict_proba("iris"), atol=1e-6))
    True
    """
    if logits and model.task == "regression":
        raise UnsupportedError("fitted.no_probabilities", target=model.target_name)
    if isinstance(model, Ensemble):
        return Average(model, logits=logits).train(False)
    assert isinstance(model, Fitted)
    net = _network(model)
    net.register_forward_pre_hook(Reading())
    net.register_forward_hook(Link(model, logits=logits))
    return net.train(False)


class Reading:
    """Makes of bytes, or of numbers in any precision, what the module reads."""

    def __call__(self, net: Any, given: tuple) -> tuple:
        """Return what is handed on to ``forward``."""
        dtype = next((p.dtype for p in net.parameters()), torch.get_default_dtype())
        return tuple(as_inputs(x, dtype) for x in given)


class Link:
    """Makes of what a module returns probabilities (n, classes), or values (n, 1); or leaves logits (n, k)."""

    def __init__(self, model: Fitted, *, logits: bool) -> None:
        self.task, self.outputs, self.logits = model.task, model.outputs, logits
        self.mean, self.scale = model.target_mean, model.target_scale

    def __call__(self, net: Any, given: tuple, out: Any) -> Any:
        """Return what the call returns."""
        del net, given
        out = surgery.logits(out, self.outputs)
        if self.task == "regression":
            return out * self.scale + self.mean
        if self.logits:
            return out
        # The first of two classes has the logit 0.
        return torch.softmax(nn.functional.pad(out, (1, 0)) if self.task == "binary" else out, 1)


class Average(nn.Module):
    """Networks whose probabilities, or values, are averaged, and calibrated by a temperature: see `Ensemble`.

    ``networks`` has those whose weight is not 0; each takes the array of its group.
    """

    def __init__(self, model: Ensemble, *, logits: bool) -> None:
        super().__init__()
        members = [(i, part, w) for i, group in enumerate(model.groups) for part, w in group if w]
        self.networks = nn.ModuleList(to_torch(part) for _, part, _ in members)
        self.group, self.weights = [i for i, _, _ in members], [w for _, _, w in members]
        self.groups = len(model.groups)
        self.task, self.temperature, self.logits = model.task, model.temperature, logits

    def forward(self, *prepared: Any) -> Any:
        """Return probabilities (n, classes), values (n, 1) or logits (n, k)."""
        if len(prepared) != self.groups:
            raise SettingError("fitted.wrong_arrays", given=len(prepared), wanted=self.groups)
        parts = zip(self.networks, self.group, self.weights, strict=True)
        total = sum(weight * net(prepared[i]) for net, i, weight in parts)
        if self.task == "regression" or (self.temperature == 1 and not self.logits):
            return total
        # Each class has its own probability here, so that the small ones keep their digits in float32.
        logs = torch.log(total.clamp(SMALLEST, 1.0)) / self.temperature
        if not self.logits:
            return torch.softmax(logs, 1)
        return logs[:, 1:] - logs[:, :1] if self.task == "binary" else logs


def _network(model: Fitted) -> Any:
    """Return a fitted model's network alone."""
    rates = model.network.strengths(model.cocktail).dropout
    net = model.built.released(model.parameters, rates)
    flat = isinstance(model.network, MLP) and len(model.inputs) > 1
    return nn.Sequential(nn.Flatten(), *net) if flat else net
