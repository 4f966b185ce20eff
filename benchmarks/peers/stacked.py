"""PyTorch, many nets at once: three ways to get the gradients of stacked members, one optimizer step for all.

Shapes: K members, B rows in a batch, d inputs, o outputs of a layer, n its inputs. Weights are (K, o, n), examples are
columns. All parameters lie in one tensor, weights first, so that the optimizer is one fused call. Dropout is PyTorch's
own in "autograd"; elsewhere it draws 16 bits a unit as whole words, five times as fast on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, dropout
from torch.optim.adamw import adamw

from peers.orders import Orders
from peers.work import Work, draw_data, draw_parameters

_HALF_WORDS = 65536
_LOWEST_WORD = -(2**63)


class Masks:
    """Dropout masks of one layer, (K, o, B) of 0 and 1 as floats, refilled in place."""

    def __init__(self, shape: tuple[int, int, int], keep: float) -> None:
        count = math.prod(shape)
        self.words = torch.empty(-(-count // 4), dtype=torch.int64)
        self.halves = self.words.view(torch.int16)[:count].view(shape)
        self.mask = torch.empty(shape)
        self.threshold = round(keep * _HALF_WORDS) - _HALF_WORDS // 2

    def draw(self) -> torch.Tensor:
        self.words.random_(_LOWEST_WORD, None)
        return torch.lt(self.halves, self.threshold, out=self.mask)


class Stack:
    """Members that differ in their start, order and masks, trained at once. Subclasses get the gradients."""

    def __init__(self, work: Work, members: int, seed: int, rate: float, shared: bool) -> None:
        x, y = draw_data(work)
        self.work, self.members, self.keep = work, members, 1 - rate
        self.x_rows = torch.from_numpy(x[: work.rows]).float()
        self.y_rows = torch.from_numpy(y[: work.rows, 0]).float()
        self.orders = Orders(work.rows, members, seed, shared)
        self._lay_out(draw_parameters(work, members, seed))
        self.masks = [Masks((members, o, work.columns), self.keep) for o in work.sizes[1:-1]] if rate else []
        self.moments = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.count = torch.zeros(())
        if work.batch is None:
            self.x, self.y = self.x_rows, self.y_rows.expand(members, -1).contiguous()
        else:
            self.x_flat = torch.empty(members * work.columns, work.sizes[0])
            self.y_flat = torch.empty(members * work.columns)
            self.x = self.x_flat.view(members, work.columns, -1)
            self.y = self.y_flat.view(members, -1)
        self.set_up()

    def _lay_out(self, start: list) -> None:
        """Make one tensor of all parameters and one of all gradients, and views of both, by layer."""
        parts = [torch.from_numpy(w) for w, _ in start] + [torch.from_numpy(b)[:, :, None] for _, b in start]
        self.flat = torch.cat([part.reshape(-1) for part in parts])
        self.slope = torch.zeros_like(self.flat)
        self.weights_end = sum(part.numel() for part in parts[: len(start)])
        sizes = [part.numel() for part in parts]
        views = [
            [piece.view(part.shape) for piece, part in zip(flat.split(sizes), parts, strict=True)]
            for flat in (self.flat, self.slope)
        ]
        (self.weights, self.biases), (self.weight_slopes, self.bias_slopes) = (
            (v[: len(start)], v[len(start) :]) for v in views
        )

    def set_up(self) -> None:
        """Make what the subclass needs."""

    def gradients(self) -> None:
        """Fill ``slope`` from the batch in ``x`` (K, B, d), or (n, d) for full batches, and ``y`` (K, B)."""
        raise NotImplementedError

    def _load(self, step: int) -> None:
        work = self.work
        batch = step % work.batches
        if batch == 0:
            self.order = self.orders.draw()
        chosen = self.order[:, batch * work.columns : (batch + 1) * work.columns].reshape(-1)
        torch.index_select(self.x_rows, 0, chosen, out=self.x_flat)
        torch.index_select(self.y_rows, 0, chosen, out=self.y_flat)

    def _update(self) -> None:
        work = self.work
        if work.optimizer == "gd":
            self.flat.add_(self.slope, alpha=-work.learning_rate)
            return
        self.flat[: self.weights_end].mul_(1 - work.learning_rate * work.decay)
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
            lr=work.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    @torch.no_grad()
    def run(self, steps: int) -> None:
        for step in range(steps):
            if self.work.batch is not None:
                self._load(step)
            self.gradients()
            self._update()


class ByHand(Stack):
    """The gradient written out with `bmm` and without autograd; every result goes into a tensor made beforehand."""

    def set_up(self) -> None:
        members, columns = self.members, self.work.columns
        self.z = [torch.empty(members, o, columns) for o in self.work.sizes[1:]]
        self.errors = [torch.empty_like(z) for z in self.z[:-1]]
        self.scale = 1 / self.keep
        self.inputs = [self.x.mT, *self.z[:-1]]

    def _first(self) -> None:
        """Z of the first layer; one product where all members see the same rows."""
        w, b, z = self.weights[0], self.biases[0], self.z[0]
        if self.work.batch is None:
            torch.addmm(b.view(-1, 1), w.flatten(0, 1), self.x.t(), out=z.view(-1, self.work.columns))
        else:
            torch.baddbmm(b, w, self.inputs[0], out=z)

    def gradients(self) -> None:
        # Kept units are not scaled where they stand: the factor goes into the products that use them, for nothing.
        last = len(self.z) - 1
        for layer, z in enumerate(self.z):
            if layer == 0:
                self._first()
            else:
                torch.baddbmm(self.biases[layer], self.weights[layer], self.z[layer - 1], alpha=self.scale, out=z)
            if layer < last:
                z.relu_()
                if self.masks:
                    z.mul_(self.masks[layer].draw())
        error = self.z[last]
        torch.sub(error.sigmoid_(), self.y[:, None], out=error).div_(self.work.columns)
        for layer in range(last, -1, -1):
            torch.sum(error, 2, keepdim=True, out=self.bias_slopes[layer])
            slope = self.weight_slopes[layer]
            if layer == 0:
                self._first_slope(error, slope)
                return
            below, out = self.z[layer - 1], self.errors[layer - 1]
            torch.baddbmm(slope, error, below.mT, beta=0, alpha=self.scale, out=slope)
            torch.baddbmm(out, self.weights[layer].mT, error, beta=0, alpha=self.scale, out=out)
            # A unit is above 0 where it was kept and its ReLU let it through.
            error = torch.ops.aten.threshold_backward.grad_input(out, below, 0, grad_input=out)

    def _first_slope(self, error: torch.Tensor, slope: torch.Tensor) -> None:
        if self.work.batch is None:
            torch.mm(error.view(-1, self.work.columns), self.x, out=slope.view(-1, self.work.sizes[0]))
        else:
            torch.bmm(error, self.x, out=slope)


class ByAutograd(Stack):
    """The forward pass with `baddbmm`, the gradient by autograd."""

    def set_up(self) -> None:
        for part in (*self.weights, *self.biases):
            part.requires_grad_()

    @torch.enable_grad()
    def gradients(self) -> None:
        x = self.x if self.x.dim() == 3 else self.x.expand(self.members, -1, -1)
        hidden = x.mT
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(b, w, hidden)
            if layer < len(self.weights) - 1:
                hidden = hidden.relu()
                if self.masks:
                    hidden = self.drop(hidden, layer)
        loss = binary_cross_entropy_with_logits(hidden[:, 0], self.y, reduction="sum") / self.work.columns
        slopes = torch.autograd.grad(loss, (*self.weights, *self.biases))
        for slot, slope in zip((*self.weight_slopes, *self.bias_slopes), slopes, strict=True):
            slot.copy_(slope)

    def drop(self, hidden: torch.Tensor, layer: int) -> torch.Tensor:  # noqa: ARG002 (masks are PyTorch's)
        """PyTorch's own dropout."""
        return dropout(hidden, 1 - self.keep)


class ByTunedAutograd(ByAutograd):
    """The same with dropout that draws 16 bits a unit."""

    def drop(self, hidden: torch.Tensor, layer: int) -> torch.Tensor:
        return hidden * self.masks[layer].draw().mul_(1 / self.keep)


class ByFunc(Stack):
    """`torch.func`: the gradient of one member's loss, mapped over members."""

    def set_up(self) -> None:
        def loss(
            weights: list[torch.Tensor], biases: list[torch.Tensor], masks: list, x: torch.Tensor, y: torch.Tensor
        ) -> torch.Tensor:
            hidden = x.mT
            for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
                hidden = w @ hidden + b
                if layer < len(weights) - 1:
                    hidden = hidden.relu()
                    if masks:
                        hidden = hidden * masks[layer]
            return binary_cross_entropy_with_logits(hidden[0], y)

        rows = 0 if self.work.batch is not None else None
        self.slopes_of = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(0, 0, 0, rows, 0))

    def gradients(self) -> None:
        masks = [mask.draw().mul_(1 / self.keep) for mask in self.masks]
        weights, biases = self.slopes_of(self.weights, self.biases, masks, self.x, self.y)
        for slot, slope in zip((*self.weight_slopes, *self.bias_slopes), (*weights, *biases), strict=True):
            slot.copy_(slope)


WAYS = {"by hand": ByHand, "autograd": ByAutograd, "tuned autograd": ByTunedAutograd, "torch.func": ByFunc}


class Stacked:
    """All members of this process, in stacks of at most ``together``, one stack after another.

    Members with and without dropout stand in stacks of their own. Small stacks stay in the processor's cache.
    """

    def __init__(
        self, work: Work, members: int, seed: int, *, way: str, together: int, threads: int, shared: bool = False
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(seed)
        self.work, self.members = work, members
        with_dropout = round(members * work.dropped) if work.dropout else 0
        self.stacks: list[Stack] = []
        for count, rate in ((with_dropout, work.dropout), (members - with_dropout, 0.0)):
            for begin in range(0, count, together):
                size = min(together, count - begin)
                stack = WAYS[way](work, size, seed * members + len(self.stacks), rate, shared)
                self.stacks.append(stack)

    def run(self, steps: int) -> int:
        for stack in self.stacks:
            stack.run(steps)
        return steps * self.members
