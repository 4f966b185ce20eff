"""Members of one architecture that train in step, from their states and back. Imports PyTorch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from wellfit.engines.base import Member, State
from wellfit.engines.torch import curves
from wellfit.engines.torch.batches import Batch, Batches, Held, mask
from wellfit.engines.torch.losses import row_losses
from wellfit.engines.torch.pooling import quick_pools, quicken
from wellfit.engines.torch.updates import Present, Vectors, descend, rates
from wellfit.nets.built import Built, build, channels_last
from wellfit.nets.torch_door import require_torch
from wellfit.nets.training import batches, checkpoints
from wellfit.records import TrainingData

torch: Any = require_torch()


class Stack:
    """Members that share network, normalization, optimizer, precision and counts of rows, at the same step.

    Strengths, rates, folds and seeds are their own. One member alone is trained by plain automatic differentiation,
    several by `torch.func.vmap`. The given states are not touched.
    """

    def __init__(self, members: Sequence[Member], states: Sequence[State], data: TrainingData, held: Held) -> None:
        self.data, self.held, self.device = data, held, held.device
        self.members, self.states = list(members), list(states)
        first, fold = self.members[0], data.folds[members[0].fold]
        self.built = built_for(first, data)
        quicken(self.built.net)
        self.dtype = getattr(torch, first.training.stored)
        self.loss = first.training.loss_and_parameter(data.task)
        self.steps, _ = batches(len(fold.rows.train), first.training.batch_size)
        self.usual = len(fold.rows.train) if self.steps == 1 else int(first.training.batch_size or 0)
        self.step, self.epoch = states[0].step, states[0].epoch
        self.places = list(range(len(self.members)))  # of those that still train, among the states
        self._take_in()

    def _take_in(self) -> None:
        """Take the running members' numbers to the device."""
        mine = [self.states[i] for i in self.places]
        averages = [s.average if s.average.size else s.parameters for s in mine]
        self.vectors = Vectors(
            parameters=self._tensor([s.parameters for s in mine]),
            first=self._tensor([s.moments[0] for s in mine]),
            second=self._tensor([s.moments[1] for s in mine]),
            average=self._tensor(averages) if any(s.average.size for s in mine) else None,
        )
        self._choose()

    def _choose(self) -> None:
        """Set up what goes with the members that still train."""
        own = [self.members[i] for i in self.places]
        self.own = own
        self.strengths = [m.network.strengths(m.cocktail) for m in own]
        self.batches = Batches(own, self.strengths, self.data, self.held, self.dtype)

    def _tensor(self, arrays: Sequence[np.ndarray]) -> Any:
        return torch.tensor(np.stack(arrays), dtype=self.dtype, device=self.device)

    def run(self, until: Sequence[int], deadline: float) -> list[State]:
        """Train each member until its epoch, or all until the deadline, and return the states of all."""
        ends, made = list(until), False
        if any(np.isnan(self.states[i].curves[0, 0]) for i in self.places):
            self._look()
        self._let_go(ends)
        while self.places:
            while self.step < (self.epoch + 1) * self.steps:
                if made and time.perf_counter() > deadline:
                    self._hand_back(self.places)
                    return self.states
                self._train_step()
                self.step, made = self.step + 1, True
            self.epoch += 1
            self._look()
            self._let_go(ends)
        return self.states

    def _train_step(self) -> None:
        done = self.step
        progress = [done / (m.training.epochs * self.steps) for m in self.own]
        present = Present(self.strengths, progress, self.vectors.parameters)
        at = done - self.epoch * self.steps
        batch = self.batches.take(present, self.epoch, at, self.steps, self.usual)
        feed = self._feed(present, batch.x.shape[1], at)
        gradient, buffers = self._gradient(batch, feed)
        size = self.built.layout.learned
        if buffers.shape[1]:
            self.vectors.parameters[:, size:] = buffers
        lr = rates([m.training for m in self.own], progress, self.vectors.parameters)
        descend(self.vectors, gradient, self.built, [m.training for m in self.own], present, lr, done)

    def _feed(self, present: Present, count: int, at: int) -> list[tuple[Any, Any]]:
        """Return a mask (M, n, ...) and a scale (M,) for each call of a dropout layer."""
        dropout, found = present.of("dropout"), []
        for place, (shape, rate) in enumerate(zip(self.built.masks, self.built.rate_of, strict=True)):
            if dropout is None or not bool((dropout[:, rate] > 0).any()):
                found.append((None, None))
                continue
            units = int(np.prod(shape))
            keep, scale = mask(self.batches.keys, place, dropout[:, rate], units, count, self.epoch, at)
            found.append((keep.reshape(len(self.own), count, *shape), scale.to(self.dtype)))
        return found

    def _gradient(self, batch: Batch, feed: list[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Return the gradient of each member's mean loss, (M, P), and the buffers after the pass, (M, B)."""
        size, vectors = self.built.layout.learned, self.vectors.parameters
        if len(self.own) == 1:
            learned = vectors[0, :size].clone().requires_grad_()
            own = [(None if m is None else m[0], None if s is None else s[0]) for m, s in feed]
            value, buffers = self._objective(
                learned,
                vectors[0, size:],
                batch.x[0],
                batch.y[0],
                None if batch.weights is None else batch.weights[0],
                own,
            )
            (gradient,) = torch.autograd.grad(value, learned)
            gradient, buffers = gradient[None], buffers.detach()[None]
        else:
            in_feed = [(None if m is None else 0, None if s is None else 0) for m, s in feed]
            made = torch.func.grad(self._objective, has_aux=True)
            dims = (0, 0, 0, 0, None if batch.weights is None else 0, in_feed)
            gradient, buffers = torch.func.vmap(made, in_dims=dims)(
                vectors[:, :size], vectors[:, size:], batch.x, batch.y, batch.weights, feed
            )
        for slot in self.built.unfelt:
            gradient[:, slot.start : slot.stop] = 0
        return gradient, buffers

    def _objective(self, learned: Any, buffers: Any, x: Any, y: Any, weights: Any, feed: list) -> tuple[Any, Any]:
        """Return one member's mean loss on a batch, and the buffers afterwards."""
        with self.passes(), self.built.passing(x, training=True, stacked=len(self.own) > 1):
            out, after = self.built.call(learned, buffers, self._in_memory_order(x), feed, training=True)
        each = row_losses(self.data.task, *self.loss, out.to(self.dtype), y)
        return (each if weights is None else each * weights).mean(), after

    def _in_memory_order(self, x: Any) -> Any:
        """Return one member's inputs as its device likes them."""
        return channels_last(x) if self.device.type == "cpu" and len(self.own) == 1 else x

    @contextmanager
    def passes(self) -> Iterator[None]:
        """Be the context of passes through the layers: in bfloat16 where the training says so."""
        if self.own[0].training.precision != "bfloat16":
            yield
            return
        alone = self.device.type == "cpu" and len(self.own) == 1
        with torch.autocast(self.device.type, torch.bfloat16), quick_pools() if alone else nullcontext():
            yield

    def evaluate(self, vectors: Any, x: Any) -> Any:
        """Return the outputs (M, n, k) in evaluation mode, of vectors (M, T) and inputs (M, n, ...)."""
        stacked = len(vectors) > 1
        with torch.no_grad(), self.passes(), self.built.passing(x[0], training=False, stacked=stacked):
            if not stacked:
                out = self.built.evaluate(vectors[0], self._in_memory_order(x[0]))[None]
            else:
                out = torch.func.vmap(self.built.evaluate)(vectors, x)
        return out.to(self.dtype)

    def _look(self) -> None:
        """At a checkpoint measure the curves; mark those that diverged, stopped or are done."""
        size = self.built.layout.learned
        finite = torch.isfinite(self.vectors.parameters[:, :size].abs().sum(1)).tolist()
        due = [p for p, m in enumerate(self.own) if finite[p] and self.epoch in checkpoints(m.training.epochs)]
        measured = curves.measure(self, due) if due else {}
        for p, place in enumerate(self.places):
            state = replace(self.states[place], epoch=self.epoch, step=self.step)
            if p in measured:
                state = curves.record(self, p, state, measured[p])
            if not finite[p]:
                state = replace(state, status="diverged")
            if state.status == "running" and self.epoch >= self.own[p].training.epochs:
                state = replace(state, status="finished")
            self.states[place] = state

    def _let_go(self, ends: Sequence[int]) -> None:
        """Hand back those that ended or reached their epoch; the others go on without them."""
        gone = [i for i in self.places if self.states[i].status != "running" or self.epoch >= ends[i]]
        if not gone:
            return
        self._hand_back(gone)
        stay = [p for p, i in enumerate(self.places) if i not in set(gone)]
        self.places = [self.places[p] for p in stay]
        if not self.places:
            return
        self.vectors = self.vectors.of(torch.tensor(stay, device=self.device))
        self._choose()

    def _hand_back(self, places: Sequence[int]) -> None:
        """Write the members' numbers into their states."""
        vectors = self.vectors
        for p, i in enumerate(self.places):
            if i not in places:
                continue
            state = self.states[i]
            self.states[i] = replace(
                state,
                parameters=_array(vectors.parameters[p]),
                moments=np.stack([_array(vectors.first[p]), _array(vectors.second[p])]),
                average=_array(vectors.average[p]) if state.average.size else state.average,
                epoch=self.epoch,
                step=self.step,
            )


def built_for(member: Member, data: TrainingData) -> Built:
    """Return the module of a member as built for its fold, on this thread."""
    strengths = member.network.strengths(member.cocktail)
    return build(member.network, data.folds[member.fold].inputs, data.outputs, strengths.batch_norm)


def _array(vector: Any) -> np.ndarray:
    return vector.detach().cpu().numpy().copy()
