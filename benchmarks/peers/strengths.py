"""The question of `benchmarks/selection.py`, and PyTorch stacked as its peer: members that differ in strength and fold.

Shapes: K members, B rows in a batch, d inputs, k outputs. Each member has its own fold's training rows, standardized by
them, and its own L2 strength, which goes into the gradient by one `addcmul_` a layer. One order of rows an epoch serves
all members of a stack, which is cheaper than one each. The short last batch is trained too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.optim.adamw import adamw

from peers.orders import Orders
from peers.stacked import Stack
from peers.work import draw_parameters

HIDDEN, FOLDS, SEEDS, EPOCHS = (64, 32), 5, 3, 100
LEARNING_RATE = 3e-3  # wellfit's default; for every contender
STRENGTHS = (0.0, *(float(f"{s:.3g}") for s in np.geomspace(1e-5, 1.0, 29)))


@dataclass(frozen=True)
class Question:
    """Thirty strengths of L2 on one data set: ``name`` is a loader of scikit-learn, ``rows`` those of a fold."""

    name: str
    batch: int
    rows: int
    inputs: int
    outputs: int  # 1 for two classes
    asked: float  # how many times scikit-learn's throughput at equal steps

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, the inputs included."""
        return (self.inputs, *HIDDEN, self.outputs)

    @property
    def batches(self) -> int:
        """Steps in an epoch, the short last batch included."""
        return -(-self.rows // self.batch)

    @property
    def members(self) -> int:
        """Trainings of the whole question."""
        return len(STRENGTHS) * FOLDS * SEEDS

    @property
    def steps(self) -> int:
        """Member-steps of the whole question."""
        return self.members * EPOCHS * self.batches


QUESTIONS = (
    Question("breast_cancer", 32, 455, 30, 1, 12.0),
    Question("digits", 64, 1437, 64, 10, 8.0),
)


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return x (n, d) and y (n,), as scikit-learn has them."""
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(return_X_y=True)


@cache
def _stacked_rows(question: Question) -> tuple[np.ndarray, np.ndarray]:
    """Return the standardized training rows of all folds, one fold after another, as many of each, and their y."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    x, y = read(question.name)
    parts = [train[: question.rows] for train, _ in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y)]
    scaled = [StandardScaler().fit_transform(x[part]) for part in parts]
    return np.concatenate(scaled).astype(np.float32), np.concatenate([y[part] for part in parts])


class _Strengths(Stack):
    """Members ``first``, ``first + 1``, ... of the question in one stack."""

    def __init__(self, question: Question, members: int, first: int, seed: int) -> None:
        self.question, self.members = question, members
        number = torch.arange(first, first + members)
        self.offsets = (number % FOLDS * question.rows)[:, None]
        self.l2 = torch.tensor(STRENGTHS)[number // FOLDS % len(STRENGTHS)][:, None, None]
        x, y = _stacked_rows(question)
        self.x_rows, self.y_rows = torch.from_numpy(x), self.targets(torch.from_numpy(y))
        self.orders = Orders(question.rows, members, seed, shared=True)
        self._lay_out(draw_parameters(question, members, seed))  # type: ignore[arg-type]  # it looks at sizes only
        self.moments = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.count = torch.zeros(())
        self.set_up()

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        """Return codes (n,) as the loss wants them."""
        return y.float() if self.question.outputs == 1 else y

    def _load(self, step: int) -> None:
        at, question = step % self.question.batches, self.question
        if at == 0:
            self.order = self.orders.draw() + self.offsets
        chosen = self.order[:, at * question.batch : (at + 1) * question.batch].reshape(-1)
        self.x = self.x_rows.index_select(0, chosen).view(self.members, -1, question.inputs)
        self.y = self.y_rows.index_select(0, chosen).view(self.members, self.x.shape[1], *self.y_rows.shape[1:])

    def _update(self) -> None:
        for weight, slope in zip(self.weights, self.weight_slopes, strict=True):
            slope.addcmul_(weight, self.l2)
        adamw(
            [self.flat],
            [self.slope],
            [self.moments[0]],
            [self.moments[1]],
            [],
            [self.count],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=LEARNING_RATE,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    @torch.no_grad()
    def run(self, steps: int) -> None:
        for step in range(steps):
            self._load(step)
            self.gradients()
            self._update()


class ByAutograd(_Strengths):
    """The forward pass with `baddbmm`, the gradient by autograd."""

    def set_up(self) -> None:
        for part in (*self.weights, *self.biases):
            part.requires_grad_()

    @torch.enable_grad()
    def gradients(self) -> None:
        hidden = self.x.mT
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(b, w, hidden)
            if layer < len(self.weights) - 1:
                hidden = hidden.relu()
        if self.question.outputs == 1:
            loss = binary_cross_entropy_with_logits(hidden[:, 0], self.y, reduction="sum")
        else:
            loss = cross_entropy(hidden, self.y, reduction="sum")
        slopes = torch.autograd.grad(loss / self.x.shape[1], (*self.weights, *self.biases))
        for slot, slope in zip((*self.weight_slopes, *self.bias_slopes), slopes, strict=True):
            slot.copy_(slope)


class ByHand(_Strengths):
    """The gradient written out with `bmm`, for this one network; every result goes into a tensor made beforehand."""

    def targets(self, y: torch.Tensor) -> torch.Tensor:
        """Return one column per output, (n, k), of 0 and 1."""
        return y.float()[:, None] if self.question.outputs == 1 else torch.nn.functional.one_hot(y).float()

    def set_up(self) -> None:
        rest = self.question.rows % self.question.batch
        outs = self.question.sizes[1:]
        self.kept = {}
        for columns in {self.question.batch, rest or self.question.batch}:
            z = [torch.empty(self.members, o, columns) for o in outs]
            self.kept[columns] = z, [torch.empty_like(part) for part in z[:-1]]

    def gradients(self) -> None:
        columns = self.x.shape[1]
        zs, errors = self.kept[columns]
        below = [self.x, *(z.mT for z in zs[:-1])]
        for layer, z in enumerate(zs):
            torch.baddbmm(self.biases[layer], self.weights[layer], below[layer].mT, out=z)
            if layer < len(zs) - 1:
                z.relu_()
        error = zs[-1].sigmoid_() if self.question.outputs == 1 else zs[-1].softmax(1)
        error.sub_(self.y.mT).div_(columns)
        for layer in range(len(zs) - 1, -1, -1):
            torch.sum(error, 2, keepdim=True, out=self.bias_slopes[layer])
            torch.bmm(error, below[layer], out=self.weight_slopes[layer])
            if layer:
                torch.bmm(self.weights[layer].mT, error, out=errors[layer - 1])
                out = errors[layer - 1]
                error = torch.ops.aten.threshold_backward.grad_input(out, zs[layer - 1], 0, grad_input=out)


WAYS = {"autograd": ByAutograd, "by hand": ByHand}


class Strengths:
    """The members of this process in stacks of at most ``together``, one stack after another."""

    def __init__(self, work: Question, members: int, seed: int, *, way: str, together: int, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        self.work, self.members = work, members
        firsts = range(0, members, together)
        self.stacks = [
            WAYS[way](work, min(together, members - first), seed * members + first, seed) for first in firsts
        ]

    def run(self, steps: int) -> int:
        for stack in self.stacks:
            stack.run(steps)
        return steps * self.members
