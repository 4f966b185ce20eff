"""A module tried out: what passes of a few rows show of its layers, its operations and what it keeps.

Every pass is made on copies of parameters and buffers, in evaluation and in training mode, on two counts of rows; and
then all is repeated, to the same bits, since a member's result may depend on nothing else. Imports PyTorch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from wellfit.errors import SettingError, UnsupportedError, WellfitError
from wellfit.messages import say
from wellfit.nets.copies import Copies, numbers_of, same_bits
from wellfit.nets.samples import VALUES, kinds_of, tokens_like, values
from wellfit.nets.torch_door import out_of_memory, require_torch
from wellfit.nets.watch import Calls, Structure, Watch

torch: Any = require_torch()
nn: Any = torch.nn

EVALUATED, TRAINED = 2, 3  # rows of a pass
_ENDS = {"_softmax": "softmax", "sigmoid": "sigmoid"}  # of what should return logits


@dataclass
class Trial(Structure):
    """What passes of a few rows showed."""

    products: int = 1  # of a row
    kinds: tuple[str, ...] = (VALUES,)  # what the module takes
    activations: int = 0  # numbers that all operations gave back, a row
    heard: list[str] = field(default_factory=list)  # all operations of an evaluation and a training pass, in words
    counters: list[str] = field(default_factory=list)  # buffers of whole numbers that a pass changed
    ends: str = ""  # what gives probabilities, where that is the last operation of a pass
    two: bool = False  # whether two logits stand for one


@dataclass
class _Pass:
    """What one pass gave and left behind."""

    out: Any
    mode: str  # in words
    watch: Watch
    counters: list[str]
    numbers: dict[str, float]  # plain attributes, after a training pass


def try_out(net: Any, x: Any, outputs: int, name: str) -> Trial:
    """Run a few rows, made up in the shape and type of ``x``, through the module, and return what was seen.

    Raises `SettingError` where a pass fails or does not give (n, outputs). Raises `UnsupportedError` where a pass draws
    random numbers of its own; reads or changes what each member should have its own of and could not; keeps anything
    outside of parameters and buffers; or where no gradient reaches the parameters.
    """
    states = [_generators()]
    copies, trial, few, many = _begun(net, x, name)
    evaluated = _passed(net, few, name, copies)
    _refuse_shape(evaluated, few, outputs, name)
    trained = _passed(net, many, name, copies, trial)
    _refuse_shape(trained, many, outputs, name)
    states.append(_generators())
    copies = Copies(net)  # others, so that what was kept of the first is seen
    again = _passed(net, few, name, copies, repeated=True)
    trained_again = _passed(net, many, name, copies, trial, repeated=True)
    states.append(_generators())
    _refuse_draws(states, name)
    _refuse_counts(trained, trained_again, name)
    _refuse_unlike(evaluated, again, name)
    _refuse_unlike(trained, trained_again, name)
    both = (evaluated, trained)
    trial.products = max(1, trained.watch.flops // 2 // len(many))
    trial.activations = trained.watch.numbers // len(many)
    trial.heard = [words for seen in both for words in seen.watch.heard]
    trial.counters = list(dict.fromkeys(counter for seen in both for counter in seen.counters))
    trial.ends = next((_ENDS[seen.watch.last] for seen in both if seen.watch.last in _ENDS), "")
    trial.two = outputs == 1 and any(seen.out.ndim == 2 and seen.out.shape[1] == 2 for seen in both)
    return trial


def look(net: Any, x: Any, name: str) -> Structure:
    """Return what one training pass shows of the layers, without a word on what else the module does."""
    copies, trial, _, many = _begun(net, x, name)
    _passed(net, many, name, copies, trial)
    return trial


def settle(net: Any, x: Any, name: str) -> None:
    """Have lazy layers take their shapes, and draw their weights, by a pass of ``x``, or of tokens of its shape."""
    lazy = nn.parameter.UninitializedTensorMixin
    if not any(isinstance(tensor, lazy) for tensor in (*net.parameters(), *net.buffers())):
        return
    net.train(False)
    with told(name, x, say("trial.evaluating")), torch.no_grad():
        try:
            net(x)
        except Exception as first:
            try:
                net(tokens_like(x))
            except Exception:
                raise first from None


@contextmanager
def told(name: str, x: Any, mode: str) -> Iterator[None]:
    """Raise what a pass of inputs x fails with as a `SettingError` that says the shape; lost memory as it is."""
    try:
        yield
    except WellfitError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise SettingError(
            "trial.failed", name=name, mode=mode, given=tuple(x.shape), kind=type(error).__name__, error=error
        ) from error


def _begun(net: Any, x: Any, name: str) -> tuple[Copies, Trial, Any, Any]:
    """Return copies, an empty trial, and inputs of the kind that the module takes, for evaluation and for training."""
    for place, part in net.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise UnsupportedError("trial.scripted", name=name, place=place or type(part).__name__)
    copies = Copies(net)
    with copies:
        trial = Trial(kinds=kinds_of(net, x, name))
    many = values((TRAINED, *x.shape[1:])).to(x.dtype)
    many = many if VALUES in trial.kinds else tokens_like(many)
    return copies, trial, many[:EVALUATED], many


def _passed(
    net: Any, x: Any, name: str, copies: Copies, found: Structure | None = None, *, repeated: bool = False
) -> _Pass:
    """Make one pass, in training mode where there is a structure to be ``found``.

    A repeated training pass is given masks for all calls of dropout that were found, and goes back to the gradient.
    """
    training = found is not None
    mode = say("trial.training" if training else "trial.evaluating")
    with told(name, x, mode), copies, torch.set_grad_enabled(training):
        watch = Watch(copies, name, repeated=repeated)
        if found is None:
            with watch:
                out = net.train(False)(x)
        elif not repeated:
            with Calls(net, found, watch, len(x), name), watch:
                out = net.train()(x)
        else:
            with _fed(net, x, found):
                with watch:
                    out = net.train()(x)
                _refuse_lost_gradients(out, x, copies.learned, name)
        counters = copies.counters(name)
    return _Pass(out, mode, watch, counters, numbers_of(net) if training else {})


@contextmanager
def _fed(net: Any, x: Any, found: Structure) -> Iterator[None]:
    """Give dropout layers a mask of ones for each call that was found: it is applied, and one call more is an error."""
    sites = [net.get_submodule(place) for place in found.sites]
    for site in sites:
        site.fed = []
    for site, shape in zip(sites, found.masks, strict=True):
        site.fed.append((torch.ones((len(x), *shape)), torch.ones(())))
    try:
        yield
    finally:
        for site in sites:
            site.fed = None


def _generators() -> dict[str, object]:
    """Return the states of the generators that a module may draw from past PyTorch, by what they are called."""
    numpys = np.random.get_state(legacy=False)  # noqa: NPY002 (it is looked at only)
    parts = {**numpys, **numpys["state"]}
    told = {k: part.tobytes() if isinstance(part, np.ndarray) else part for k, part in parts.items() if k != "state"}
    return {"random": random.getstate(), "numpy.random": told}


def _refuse_shape(seen: _Pass, x: Any, outputs: int, name: str) -> None:
    """Raise `SettingError` for outputs that are not (n, k): (n,) and (n, 2) do for one."""
    out, rows = seen.out, len(x)
    shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    fine = [(rows, outputs)] + ([(rows,), (rows, 2)] if outputs == 1 else [])
    if shape not in fine:
        given = tuple(x.shape)
        raise SettingError("trial.wrong_output", name=name, mode=seen.mode, given=given, got=shape, wanted=fine[0])


def _refuse_draws(states: Sequence[dict[str, object]], name: str) -> None:
    """Raise `UnsupportedError` for a generator that moved each time: once may have been another thread."""
    for generator in states[0]:
        if all(before[generator] != after[generator] for before, after in pairwise(states)):
            raise UnsupportedError("trial.draws", name=name, generator=generator)


def _refuse_unlike(first: _Pass, again: _Pass, name: str) -> None:
    """Raise `UnsupportedError` where a pass and its repetition, on equal parameters and buffers, are not the same."""
    if first.watch.read != again.watch.read or not same_bits(first.out.detach(), again.out.detach()):
        raise UnsupportedError("trial.remembers", name=name, mode=first.mode)


def _refuse_counts(first: _Pass, again: _Pass, name: str) -> None:
    """Raise `UnsupportedError` where passes go on changing a number of the module's, which all members would share.

    What changes once, as a size that a pass notes, is no count.
    """
    for key, value in again.numbers.items():
        if key in first.numbers and repr(value) != repr(first.numbers[key]):
            raise UnsupportedError("trial.counts", name=name, attribute=key)


def _refuse_lost_gradients(out: Any, x: Any, learned: list[Any], name: str) -> None:
    """Raise `UnsupportedError` where no gradient of the outputs reaches what is learned."""
    if not learned:
        return
    reached = False
    if out.requires_grad:
        with told(name, x, say("trial.backward")):
            reached = any(g is not None for g in torch.autograd.grad(out.sum(), learned, allow_unused=True))
    if not reached:
        raise UnsupportedError("trial.no_gradient", name=name)


def units_axis(part: Any) -> int:
    """Return the axis of a layer's outputs on which its units, or channels, stand: kernels put them behind the rows."""
    kernels = isinstance(part, nn.modules.batchnorm._BatchNorm | nn.modules.conv._ConvNd)
    return 1 if kernels or any(p.ndim > 2 for p in part.parameters(recurse=False)) else -1


def before_activation(trial: Trial) -> tuple[str, ...]:
    """Return what the hidden units' values leave before any activation: weight layers, or the normalization behind."""
    return tuple(trial.follows.get(place, place) for place in trial.layers[:-1] if len(trial.shapes[place]) > 1)
