"""Rules on weight decay: what it acts on, and which kind it is."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.optim import Adam, AdamW, NAdam, Optimizer, RAdam

from wellfit.messages import say
from wellfit.torch.parts import parameters_of
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.order import Trace

ADAMS = (Adam, NAdam, RAdam)


def decay_rules(model: nn.Module, optimizer: Optimizer, trace: Trace) -> Iterator[Advice]:
    """Yield the advice on an optimizer's groups."""
    strengths = {id(p): group.get("weight_decay", 0) for group in optimizer.param_groups for p in group["params"]}
    decayed = [p for p in parameters_of(model) if strengths.get(id(p.tensor), 0)]
    most = max((strengths[id(p.tensor)] for p in decayed), default=0.0)
    unfit = tuple(p.name for p in decayed if p.kind in ("bias", "normalization"))
    if unfit:
        mend = say("toolbox.mend_groups", kind=_kind(optimizer), decay=f"{most:g}")
        yield Advice("decay_on_bias_or_norm", unfit, say("toolbox.decay_on_bias_or_norm", count=len(unfit)), mend)
    if decayed and _is_coupled_adam(optimizer):
        name = _kind(optimizer)
        yield Advice(
            "adam_weight_decay",
            (name,),
            say("toolbox.adam_weight_decay", name=name, decay=f"{most:g}"),
            say("toolbox.mend_adam", name=name, decay=f"{most:g}"),
        )
    before = {id(tensor) for tensor in trace.before_batch_norm}
    scaled = tuple(p.name for p in decayed if p.kind == "weight" and id(p.tensor) in before)
    if scaled:
        mend = say("toolbox.mend_before_batch_norm", decay=f"{most:g}", names=repr(list(scaled)))
        yield Advice("decay_before_batch_norm", scaled, say("toolbox.decay_before_batch_norm"), mend)


def _kind(optimizer: Optimizer) -> str:
    return type(getattr(optimizer, "optimizer", optimizer)).__name__


def _is_coupled_adam(optimizer: Optimizer) -> bool:
    inner = getattr(optimizer, "optimizer", optimizer)  # a ProximalOptimizer's
    decoupled = any(group.get("decoupled_weight_decay") for group in inner.param_groups)
    return isinstance(inner, ADAMS) and not isinstance(inner, AdamW) and not decoupled
