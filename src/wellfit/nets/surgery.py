"""What is changed in a module before it is trained: dropout that is drawn elsewhere, normalization on or off.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wellfit.errors import UnsupportedError
from wellfit.nets.layout import own_weights
from wellfit.nets.network import LEAK, MLP
from wellfit.nets.torch_door import require_torch

if TYPE_CHECKING:
    from wellfit.nets.watch import Structure

torch: Any = require_torch()
nn: Any = torch.nn

_BATCH_NORMS = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
BATCHES = "num_batches_tracked"  # that batch normalization counts: see `count_no_batches`


class Site(nn.Module):
    """A dropout layer whose masks come from outside, so that they depend on the member alone.

    ``fed`` holds (mask, scale) for each call to come: a mask of 0 and 1, (n, ...) like what passes, or (n, C, 1, ...)
    for whole channels. Where it is None nothing is dropped; a call for which no mask is left is an error. ``kind`` is
    the layer of PyTorch's that it stands for, and ``p`` and ``inplace`` are what that was made with, where a forward
    pass asks; ``owner`` is what errors call the module.
    """

    def __init__(self, kind: type = nn.Dropout, p: float = 0.5, *, inplace: bool = False, owner: str = "") -> None:
        super().__init__()
        self.kind, self.p, self.inplace, self.owner = kind, p, inplace, owner
        self.fed: list[tuple[Any, Any]] | None = None

    def forward(self, x: Any) -> Any:
        """Return what is kept, scaled. Raises `UnsupportedError` where no mask is left."""
        if self.fed is None:
            return x
        if not self.fed:
            raise UnsupportedError("trial.more_dropout", name=self.owner)
        mask, scale = self.fed.pop(0)
        return x if mask is None else x * mask.to(x.dtype) * scale.to(x.dtype)

    def mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a mask, without the rows, for what passes here, (n, ...)."""
        return (shape[1], *(1 for _ in shape[2:])) if self.kind is not nn.Dropout else tuple(shape[1:])


def prepare(net: Any, name: str, *, keep_norm: bool) -> Any:
    """Return the module with its dropout layers under control, and without batch normalization if so asked."""
    sites: dict[int, Site] = {}  # one object in two places is one layer
    for place, part in list(net.named_modules(remove_duplicate=False)):
        if isinstance(part, nn.AlphaDropout | nn.FeatureAlphaDropout):
            raise UnsupportedError("module.alpha_dropout", name=name, place=place)
        if kind := next((kind for kind in _DROPOUTS if isinstance(part, kind)), None):
            if type(part).forward is not kind.forward:
                raise UnsupportedError("module.dropout_of_own", name=name, place=place, kind=type(part).__name__)
            site = sites.setdefault(id(part), Site(kind, part.p, inplace=part.inplace, owner=name))
            net = _replaced(net, place, site)
        elif isinstance(part, nn.modules.batchnorm._BatchNorm):
            if part.momentum is None:
                raise UnsupportedError("module.no_momentum", name=name, place=place)
            if not keep_norm:
                net = _replaced(net, place, nn.Identity())
        elif isinstance(part, nn.MultiheadAttention | nn.RNNBase):
            part.dropout = 0.0  # inside a fused operation: it cannot be drawn elsewhere
    return net


def is_layer(part: Any) -> bool:
    """Return whether a part is a weight layer: it has weights of its own, and of a block none of the layers in it.

    Weights that PyTorch's parametrizations make are those of the layer.
    """
    if isinstance(part, nn.utils.parametrize.ParametrizationList):
        return False
    places = [place for place, within in part.named_modules() if own_weights(within)]
    return bool(places) and all(not place or place.startswith("parametrizations.") for place in places)


def insert(net: Any, found: Structure, name: str, *, batch_norm: bool, dropout: bool) -> None:
    """Put batch normalization behind hidden weight layers where there is none, and dropout in front of all but one.

    Layers stay what and where they are, since a forward pass may read their attributes: what is inserted hangs in them
    and is called by PyTorch's hooks. Dropout is put where values come in, and no dropout layer is in front already.
    Raises `UnsupportedError` for weights that are multiplied outside of a call of their layer.
    """
    batch_norm = batch_norm and not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in net.modules())
    if (batch_norm or dropout) and found.outside:
        raise UnsupportedError("module.outside", name=name, weight=found.outside[0])
    for i, place in enumerate(found.layers):
        layer, shape = net.get_submodule(place), found.shapes[place]
        if batch_norm and i < len(found.layers) - 1:
            affine = isinstance(layer, nn.Linear) and len(shape) == 2
            if not affine and not isinstance(layer, nn.modules.conv._ConvNd):
                raise UnsupportedError("module.no_batch_norm", name=name, place=place)
            layer.inserted_norm = getattr(nn, _BATCH_NORMS[len(shape)])(shape[1])
            layer.register_forward_hook(_normalized)
        if dropout and i and place in found.droppable:
            layer.inserted_dropout = Site(owner=name)
            layer.register_forward_pre_hook(_dropped, with_kwargs=True)


def _normalized(layer: Any, _: tuple, out: Any) -> Any:
    return layer.inserted_norm(out)


def _dropped(layer: Any, given: tuple, named: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Drop from the first argument of a call, by place or by name."""
    if given:
        return (layer.inserted_dropout(given[0]), *given[1:]), named
    first = next(iter(named))
    return given, {**named, first: layer.inserted_dropout(named[first])}


def count_no_batches(net: Any) -> None:
    """Have batch normalization count no batches: with a momentum the count has no use, and a stack cannot change it."""
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.num_batches_tracked = None


def release(net: Any, sites: Sequence[str], rates: Sequence[float]) -> Any:
    """Return the module with PyTorch's own dropout layers: those at ``sites`` have ``rates``, others are never met."""
    rate = dict(zip(sites, rates, strict=True))
    made: dict[int, Any] = {}  # by site: what hangs in two places has the rate of the first
    for place, part in list(net.named_modules(remove_duplicate=False)):
        if isinstance(part, Site):
            net = _replaced(net, place, made.setdefault(id(part), part.kind(rate.get(place, 0.0), part.inplace)))
        elif isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats:
            part.num_batches_tracked = torch.tensor(0)  # a checkpoint of the user's has it
    return net


def logits(out: Any, outputs: int) -> Any:
    """Return the outputs as (n, k): one logit for two classes, also where there are two or no second axis."""
    if out.ndim == 1:
        return out[:, None]
    return out[:, 1:] - out[:, :1] if outputs == 1 and out.shape[1] == 2 else out


def of_mlp(network: MLP, inputs: int, outputs: int, batch_norm: bool) -> Any:
    """Return a multilayer perceptron as a module, with the order of parameters of `MLP`."""
    kinds = {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "leaky_relu": lambda: nn.LeakyReLU(LEAK),
    }
    widths, parts = (inputs, *network.hidden), []
    for i, width in enumerate(network.hidden):
        parts += [nn.Linear(widths[i], width), *([nn.BatchNorm1d(width)] if batch_norm else [])]
        parts += [kinds[network.activation](), Site()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], outputs))


def _replaced(net: Any, place: str, part: Any) -> Any:
    """Put a part in a place, and return the module: another one where the place is the whole."""
    if not place:
        return part
    parent, _, key = place.rpartition(".")
    net.get_submodule(parent)._modules[key] = part
    return net
