"""A network as an ``nn.Module`` made ready for the torch engine: what stands where, what is dropped, what it costs.

Imports PyTorch: only what needs it imports this.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Any

import numpy as np

from wellfit import rng
from wellfit.errors import SettingError, UnsupportedError, WellfitError
from wellfit.messages import say
from wellfit.nets import surgery
from wellfit.nets.identity import identity
from wellfit.nets.layout import Layout, Slot, difference, homes_of, layout_of, on_device
from wellfit.nets.module import Inputs, Module
from wellfit.nets.network import MLP
from wellfit.nets.samples import TOKENS, VALUES, tokens_like, values
from wellfit.nets.torch_door import require_torch
from wellfit.nets.torch_threads import alone
from wellfit.nets.trial import Trial, before_activation, look, settle, told, try_out, units_axis
from wellfit.nets.watch import NoDraws, Structure
from wellfit.records import Array

torch: Any = require_torch()

SAMPLE, CHUNK = 4, 128  # rows of the trial input; rows evaluated at once
KEPT = 8  # modules kept for each thread
NOTHING = {torch.float64: 1e-10, torch.float32: 1e-5}  # of the largest gradient
_drawing = threading.RLock()  # a factory may make another module
_mine = threading.local()


class Built:
    """A module of one network, for inputs of one shape, with or without batch normalization.

    ``net`` is one thread's: a forward pass changes what its layers hold. ``layout`` says where its tensors stand in the
    flat vector (T,). ``masks`` are the shapes of dropout masks, without the rows, one for each call of a dropout layer,
    in order; ``rate_of`` names the ``places`` whose rate each takes. ``products`` are the multiplications of one row,
    ``unfelt`` the biases that have no effect; ``kinds`` are what it takes, values, tokens (whole numbers) or either;
    ``heard`` are the operations of its passes, in words.
    """

    def __init__(self, network: Module | MLP, inputs: Inputs, outputs: int, batch_norm: bool) -> None:
        self.network, self.inputs, self.outputs, self.batch_norm = network, inputs, outputs, batch_norm
        self._tried: Structure | None = None
        self.kinds: tuple[str, ...] = (VALUES,)
        net = self._made(0)
        trial = try_out(net, self.example(), outputs, self.name)
        self.net: Any = net
        self.kinds, self.heard, self._ends, self._two = trial.kinds, trial.heard, trial.ends, trial.two
        self._counters = trial.counters
        self.layout: Layout = layout_of(net, self._counters)
        self.products, self.masks, self.activations = trial.products, trial.masks, trial.activations
        self._order = list(dict.fromkeys(trial.sites))
        self.rate_of = tuple(self._order.index(site) for site in trial.sites)
        self.places = len(self._order)
        self._sites = [net.get_submodule(site) for site in trial.sites]
        self._dropouts = [part for part in net.modules() if isinstance(part, surgery.Site)]  # called or not
        # Where each tensor hangs. Ours stay there until the next call: the module is nobody else's.
        self._homes, self._constants = homes_of(net, self.layout)
        self._passed: set[tuple[bool, int]] = set()  # in training or not, and rows
        self._recurrent = [part for part in net.modules() if isinstance(part, torch.nn.RNNBase)]
        self.unfelt = self._unfelt(trial)
        self.entry = self._entry(trial)
        self._watched = before_activation(trial)
        self.normalized = any(isinstance(part, torch.nn.modules.batchnorm._BatchNorm) for part in net.modules())

    @property
    def name(self) -> str:
        """What errors call it."""
        return str(self.network)

    @property
    def tokens(self) -> bool:
        """Whether it takes whole numbers, such as tokens."""
        return TOKENS in self.kinds

    def misfit(self, task: str) -> str | None:
        """Return why its outputs do not go with a task: probabilities, or two values for one; None where they do."""
        if task != "regression":
            return say("module.probabilities", name=self.name, end=self._ends) if self._ends else None
        return say("trial.two_values", name=self.name) if self._two else None

    @cached_property
    def identity(self) -> str:
        """See `wellfit.nets.identity.identity`."""
        return identity(self)

    @cached_property
    def signature(self) -> str:
        """A short hash of what the module is and does, with and without batch normalization; an edited one has another.

        Where one of the two cannot be made the other one speaks for both.
        """
        found = []
        for batch_norm in (False, True):
            with suppress(WellfitError):
                found.append(build(self.network, self.inputs, self.outputs, batch_norm).identity)
        return hashlib.sha256("\n\n".join(found).encode()).hexdigest()[:8]

    def example(self, dtype: Any = None) -> Any:
        """Return a batch of inputs, (SAMPLE, ...), to try the module on: numbers between -1 and 1, or tokens."""
        shape = (self.inputs,) if isinstance(self.inputs, int) else self.inputs
        x = values((SAMPLE, *shape)).to(dtype or torch.get_default_dtype())
        return x if VALUES in self.kinds else tokens_like(x)

    def slopes(self, vector: Any, feed: list | None = None) -> tuple[Any, Any, Any]:
        """Return outputs (n, k), buffers (B,) and the gradient (P,) of a fixed sum of the outputs, in training mode.

        ``vector`` is (T,), in whose precision all is computed, on the example.
        """
        size = self.layout.learned
        learned = vector[:size].clone().requires_grad_()
        out, buffers = self.call(learned, vector[size:], self.example(vector.dtype), feed, training=True)
        total = (out * values(out.shape).to(out.dtype)).sum() + 0 * learned.sum()  # nothing may be learned
        (gradient,) = torch.autograd.grad(total, learned)
        return out.detach(), buffers.detach(), gradient

    def _unfelt(self, trial: Trial) -> tuple[Slot, ...]:
        """Return the biases without effect: what stands in front of a batch normalization and goes nowhere else.

        Their gradient is rounding, of which Adam makes steps; here it is found to be that, in float64 where the module
        runs in it.
        """
        asked = {f"{place}.bias" for place in trial.follows}
        slots = [slot for slot in self.layout.slots[: self.layout.count] if slot.name in asked]
        if not slots:
            return ()
        start = torch.tensor(self.pack(self.net))
        for dtype, nothing in NOTHING.items():
            with suppress(Exception):  # training meets it, and says of what member
                sizes = self.slopes(start.to(dtype))[2].abs()
                return tuple(s for s in slots if sizes[s.start : s.stop].max() < nothing * sizes.max())
        return ()

    def _entry(self, trial: Trial) -> int | None:
        """Return the place, among the weights, of the layer that an input meets first.

        Its weights are (out, in, ...), so that columns belong to inputs: a linear layer or a plain convolution that
        learns. None where it is another kind, and where a weight is multiplied before.
        """
        if trial.early or not trial.layers:
            return None
        first = f"{trial.layers[0]}.weight".lstrip(".")
        for place, i in enumerate(self.layout.weights):
            slot = self.layout.slots[i]
            if slot.name == first and slot.orientation is not None and slot.orientation.inputs is not None:
                return place
        return None

    @cached_property
    def stacks(self) -> bool:
        """Whether `torch.func.vmap` can train several at once: no recurrent layers, no branch that values decide."""
        if self._recurrent:
            return False
        learned, buffers = torch.zeros(2, self.layout.learned), torch.zeros(2, self.layout.total - self.layout.learned)
        x = torch.stack([self.example()] * 2)

        def trained(learned: Any, buffers: Any, x: Any) -> Any:
            return self.call(learned, buffers, x, training=True)[0].sum()

        try:
            with alone(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of operations that PyTorch stacks by a loop
                torch.func.vmap(torch.func.grad(trained))(learned, buffers, x)
        except RuntimeError:
            return False
        return True

    def bytes_for(self, batch: int) -> int:
        """Return the memory that one member of a stack needs in training, in bytes, about; rather more than less."""
        vectors = 6 * self.layout.total  # parameters, two moments, average, gradient and a spare
        return 4 * (vectors + 3 * batch * self.activations)

    def initialize(self, seed: int) -> Array:
        """Return the starting parameters, (T,) float64, that a module's factory draws with this seed.

        Raises `UnsupportedError` where its layers are other ones than before.
        """
        assert isinstance(self.network, Module)  # an MLP draws its own: see `MLP.initialize`
        with alone():
            net = self._made(seed, self._tried)
        there = layout_of(net, self._counters)
        if there != self.layout:
            raise UnsupportedError("module.layers_differ", name=self.name, **difference(self.layout, there))
        return self.pack(net)

    def pack(self, net: Any) -> Array:
        """Return a module's parameters and buffers as the flat vector, (T,) float64."""
        held = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        parts = [held[slot.name].detach().double().reshape(-1) for slot in self.layout.slots]
        return torch.cat(parts).numpy() if parts else np.empty(0)

    def released(self, parameters: Array, rates: Sequence[float]) -> Any:
        """Return a plain module of its own in the parameters' (T,) precision, its dropout ``rates``, one a place."""
        net = surgery.release(self._made(0, self._tried), self._order, rates)
        vector = torch.tensor(np.ascontiguousarray(parameters))
        held = {**dict(net.to(vector.dtype).named_parameters()), **dict(net.named_buffers())}
        with torch.no_grad():
            for name, tensor in self.layout.tensors(vector).items():
                held[name].copy_(tensor)
        return net

    def call(self, learned: Any, buffers: Any, x: Any, feed: list | None = None, *, training: bool = False) -> Any:
        """Return the outputs (n, k) for inputs x, and the buffers (B,) afterwards.

        ``learned`` is (P,) and ``buffers`` (B,); ``feed`` holds a mask and a scale for each call of a dropout layer,
        None for no dropout. Differentiable by ``learned``, and made for `torch.func.vmap`.
        """
        slots = self.layout.slots
        sizes = [slot.stop - slot.start for slot in slots]
        count = self.layout.count
        # One split gives the gradient as one concatenation. A pass may change buffers in place: they are copies.
        pieces = torch.split(learned, sizes[:count])
        own = [piece.clone() for piece in torch.split(buffers, sizes[count:])]
        for homes, slot, part in zip(self._homes, slots, (*pieces, *own), strict=True):
            tensor = part.view(slot.shape)
            for holder, key in homes:
                holder[key] = tensor.to(getattr(torch, slot.whole)) if slot.whole else tensor
        for part in self._recurrent:
            part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]
        for site in self._dropouts:
            site.fed = None if feed is None else []
        for site, given in zip(self._sites, feed or (), strict=False):
            site.fed.append(given)
        if self.net.training != training:
            self.net.train(training)
        constants = [on_device(learned.device, *spot) for spot in self._constants]
        out = self.net(x)
        for (holder, key), (tensor, version) in zip(self._constants, constants, strict=True):
            if holder[key] is not tensor or tensor._version != version:
                raise UnsupportedError("module.late_buffer", name=self.name, buffer=key)
        # Read where they hang: a pass may have put another tensor there.
        ended = [holder[key].reshape(-1).to(buffers.dtype) for (holder, key), *_ in self._homes[count:]]
        return surgery.logits(out, self.outputs), torch.cat(ended) if ended else buffers

    def evaluate(self, vector: Any, x: Any) -> Any:
        """Return the outputs (n, k) in evaluation mode, of a vector (T,)."""
        return self.call(vector[: self.layout.learned], vector[self.layout.learned :], x)[0]

    @contextmanager
    def passing(self, x: Any, *, training: bool, stacked: bool = False) -> Iterator[None]:
        """Be the context of a pass of inputs x, (n, ...), so that a module that fails is told of with their shape.

        At the first pass of so many rows a draw of the module's own is refused, as the trial refuses it for a few rows;
        of members that are ``stacked`` PyTorch does so itself. Raises `SettingError` and `UnsupportedError`.
        """
        mode, kind = say("trial.training" if training else "trial.evaluating"), (training, len(x))
        heard = stacked or kind in self._passed
        self._passed.add(kind)
        with told(self.name, x, mode), nullcontext() if heard else NoDraws(self.name):
            yield

    def forward(self, parameters: Array, x: Array) -> Array:
        """Return the outputs (n, k) float64 in evaluation mode, in the parameters' precision, on this thread."""
        vector = torch.tensor(parameters)
        found = np.empty((len(x), self.outputs))
        with torch.no_grad(), alone():
            for start in range(0, len(x), CHUNK):
                rows = as_inputs(torch.tensor(x[start : start + CHUNK]), vector.dtype)
                with self.passing(rows, training=False):
                    found[start : start + CHUNK] = self.evaluate(vector, channels_last(rows)).double().numpy()
        return found

    def unit_shares(self, parameters: Array, x: Array) -> tuple[float, float, float]:
        """See `Module.unit_shares`."""
        if not self._watched or not len(x):
            return (float("nan"),) * 3
        seen: dict[str, list[Any]] = {name: [] for name in self._watched}
        hooks = [
            self.net.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: seen[name].append(out.detach())
            )
            for name in self._watched
        ]
        try:
            self.forward(parameters, x)
        finally:
            for hook in hooks:
                hook.remove()
        on, off = [], []
        for place, outs in seen.items():
            axis = units_axis(self.net.get_submodule(place))
            by_unit = [out.movedim(axis, 0).flatten(1) for out in outs]
            least = torch.stack([out.amin(1) for out in by_unit]).amin(0)
            most = torch.stack([out.amax(1) for out in by_unit]).amax(0)
            on.append(least > 0)
            off.append(most <= 0)
        shares = [float(torch.cat(part).double().mean()) for part in (on, off)]
        return shares[0], shares[1], float("nan")

    def _made(self, seed: int, tried: Structure | None = None) -> Any:
        """Return a module of this kind, ready to be trained; ``tried`` is what trying it showed, before insertions."""
        if isinstance(self.network, MLP):
            net = surgery.of_mlp(self.network, int(np.prod(self.inputs)), self.outputs, self.batch_norm)
        else:
            net = surgery.prepare(self._drawn(seed), self.name, keep_norm=self.batch_norm)
        dropout = isinstance(self.network, Module) and self.network.insert_dropout
        if isinstance(self.network, Module) and (self.batch_norm or dropout):
            tried = tried or look(net, self.example(), self.name)
            surgery.insert(net, tried, self.name, batch_norm=self.batch_norm, dropout=dropout)
            self._tried = tried
        surgery.count_no_batches(net)
        return net

    def _drawn(self, seed: int) -> Any:
        """Return what the factory makes with PyTorch's generator seeded."""
        assert isinstance(self.network, Module)
        try:
            with drawing(seed) as state:
                net = self.network.make(self.inputs, self.outputs)
                if isinstance(net, torch.nn.Module):
                    settle(net, self.example(), self.name)
                seeded = torch.default_generator.initial_seed() != state
        except WellfitError:
            raise
        except Exception as error:
            raise SettingError(
                "module.factory_failed", name=self.name, kind=type(error).__name__, error=error
            ) from error
        if seeded:
            raise SettingError("module.seeds_itself", name=self.name)
        if not isinstance(net, torch.nn.Module):
            raise SettingError("module.not_a_module", name=self.name, kind=type(net).__name__)
        return net


def as_inputs(x: Any, dtype: Any) -> Any:
    """Return a batch as a module reads it: bytes as -1 to 1, whole numbers (tokens) as they are, else as ``dtype``."""
    if x.dtype == torch.uint8:
        return x.to(dtype) / 127.5 - 1
    if not x.is_floating_point():
        return x.long()
    return x.to(dtype)


def channels_last(x: Any) -> Any:
    """Return images, (n, C, H, W), with their channels last in memory, which convolutions on a CPU like best.

    Of one channel too: there both orders are the same bytes, and PyTorch goes by the strides.
    """
    if x.ndim != 4:
        return x
    _, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    strides = (channels * height * width, 1, width * channels, channels)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def build(network: Module | MLP, inputs: Inputs, outputs: int, batch_norm: bool) -> Built:
    """Return the module as built for a shape, made once for each thread.

    Raises `SettingError` and `UnsupportedError` for modules that cannot be trained; where the shape is another one than
    the module is bound to, as of a fold of a table with fewer columns, the error says so.
    """
    kept: OrderedDict[tuple, Built] = _mine.__dict__.setdefault("kept", OrderedDict())
    key = (network, inputs, outputs, batch_norm)
    if key not in kept:
        with alone():
            try:
                kept[key] = Built(network, inputs, outputs, batch_norm)
            except SettingError as error:
                bound = network.inputs if isinstance(network, Module) else None
                if bound is None or bound == inputs:
                    raise
                raise SettingError(
                    "module.other_inputs", name=network, bound=bound, given=inputs, reason=str(error).rstrip(".。")
                ) from error
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]


@contextmanager
def drawing(seed: int) -> Iterator[int]:
    """Have PyTorch's default generator draw as a function of ``seed``, and put it back as it was.

    Yields what it was seeded with.
    """
    words = rng.words(seed, rng.INIT, 2)
    state = (int(words[0]) << 31) ^ int(words[1])
    with _drawing:
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(state)
        try:
            yield state
        finally:
            torch.set_rng_state(before)
