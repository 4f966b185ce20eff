"""PyTorch, one net at a time: modules, autograd, and its fused optimizer."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from peers.orders import Orders
from peers.work import Work, draw_data, draw_parameters


class Alone:
    """One member after another; half of them with dropout where the work says so."""

    def __init__(self, work: Work, members: int, seed: int, *, shared: bool = False) -> None:
        torch.set_flush_denormal(True)
        x, y = draw_data(work)
        self.work = work
        self.x = torch.from_numpy(x[: work.rows]).float()
        self.y = torch.from_numpy(y[: work.rows, 0]).float()
        self.orders = Orders(work.rows, 1, seed, shared)
        start = draw_parameters(work, members, seed)
        rates = {work.dropout, 0.0 if work.dropped < 1 else work.dropout}
        self.nets = [self._net(start, member, rate) for member, rate in enumerate(sorted(rates))]

    def _net(self, start: list, member: int, rate: float) -> tuple[nn.Sequential, torch.optim.Optimizer]:
        layers: list[nn.Module] = []
        for at, (fan_in, out) in enumerate(pairwise(self.work.sizes)):
            linear = nn.Linear(fan_in, out)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(start[at][0][member]))
                linear.bias.copy_(torch.from_numpy(start[at][1][member]))
            layers.append(linear)
            if at < len(start) - 1:
                layers += [nn.ReLU(), nn.Dropout(rate)] if rate else [nn.ReLU()]
        net = nn.Sequential(*layers)
        if self.work.optimizer == "gd":
            return net, torch.optim.SGD(net.parameters(), lr=self.work.learning_rate, fused=True)
        weights = [p for p in net.parameters() if p.dim() == 2]
        biases = [p for p in net.parameters() if p.dim() == 1]
        groups = [{"params": weights, "weight_decay": self.work.decay}, {"params": biases, "weight_decay": 0.0}]
        return net, torch.optim.AdamW(groups, lr=self.work.learning_rate, fused=True)

    def run(self, steps: int) -> int:
        for net, optimizer in self.nets:
            self._train(net, optimizer, steps)
        return steps * len(self.nets)

    def _train(self, net: nn.Sequential, optimizer: torch.optim.Optimizer, steps: int) -> None:
        work, x, y = self.work, self.x, self.y
        for step in range(steps):
            if work.batch is not None:
                batch = step % work.batches
                if batch == 0:
                    order = self.orders.draw()[0]
                chosen = order[batch * work.columns : (batch + 1) * work.columns]
                x, y = self.x[chosen], self.y[chosen]
            loss = nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
