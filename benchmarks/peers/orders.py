"""The order of the rows in each epoch, for the PyTorch peers."""

from __future__ import annotations

import torch


class Orders:
    """One permutation of the rows for each member and epoch; ``shared``: the same for all, to compare trainers."""

    def __init__(self, rows: int, members: int, seed: int, shared: bool) -> None:
        self.rows, self.members, self.shared = rows, members, shared
        self.source = torch.Generator().manual_seed(0 if shared else seed)

    def draw(self) -> torch.Tensor:
        """Return the next epoch's orders, (members, rows)."""
        if self.shared:
            return torch.randperm(self.rows, generator=self.source).expand(self.members, -1).contiguous()
        return torch.stack([torch.randperm(self.rows, generator=self.source) for _ in range(self.members)])
