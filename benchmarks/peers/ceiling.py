"""The matrix products of a step and nothing else, by every BLAS at hand: what no trainer that multiplies can beat.

For each layer ``Z = W A`` and ``dW = D A^T``, and for each but the first ``dA = W^T D``; examples are columns. Nothing
else touches the operands between steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from peers.work import Work

_STACK = 8


class Products:
    """Operands and results of one member's products, as NumPy arrays."""

    def __init__(self, work: Work, _members: int, seed: int) -> None:
        import scipy.linalg.cython_blas  # noqa: F401 (Numba's products use it; unloaded, the limit misses it)

        threadpool_limits(limits=1)
        draw = np.random.default_rng(seed)
        m = work.columns

        def some(*shape: int) -> np.ndarray:
            return draw.standard_normal(shape).astype(np.float32)

        self.work = work
        self.w = tuple(some(o, n) for n, o in pairwise(work.sizes))
        self.a = tuple(some(n, m) for n in work.sizes[:-1])
        self.d = tuple(some(o, m) for o in work.sizes[1:])
        self.z = tuple(np.empty_like(d) for d in self.d)
        self.dw = tuple(np.empty_like(w) for w in self.w)
        self.da = tuple(np.empty_like(a) for a in self.a)
        self.set_up()

    def set_up(self) -> None:
        """Make what the subclass needs."""


class ByNumPy(Products):
    """NumPy's BLAS, called from Python."""

    def run(self, steps: int) -> int:
        for _ in range(steps):
            for layer, (w, a, d) in enumerate(zip(self.w, self.a, self.d, strict=True)):
                np.dot(w, a, out=self.z[layer])
                np.dot(d, a.T, out=self.dw[layer])
                if layer:
                    np.dot(w.T, d, out=self.da[layer])
        return steps


@cache
def _compiled_loop() -> Callable:
    from numba import njit

    @njit
    def loop(steps, w, a, d, z, dw, da):
        for _ in range(steps):
            for layer in range(len(w)):
                np.dot(w[layer], a[layer], z[layer])
                np.dot(d[layer], a[layer].T, dw[layer])
                if layer > 0:
                    np.dot(w[layer].T, d[layer], da[layer])

    return loop


class ByNumba(Products):
    """SciPy's BLAS, called from a compiled loop: no Python between the products."""

    def set_up(self) -> None:
        self.loop = _compiled_loop()

    def run(self, steps: int) -> int:
        self.loop(steps, self.w, self.a, self.d, self.z, self.dw, self.da)
        return steps


class ByTorch(Products):
    """PyTorch's BLAS, one product a call."""

    def set_up(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.product, self.stack = torch.mm, 1
        self._convert()

    def _convert(self) -> None:
        import torch

        def stacked(arrays: tuple[np.ndarray, ...]) -> list:
            tensors = [torch.from_numpy(array) for array in arrays]
            return tensors if self.stack == 1 else [t.expand(self.stack, -1, -1).contiguous() for t in tensors]

        w, a, d, z, dw, da = map(stacked, (self.w, self.a, self.d, self.z, self.dw, self.da))
        self.jobs = []
        for layer in range(len(w)):
            self.jobs += [(w[layer], a[layer], z[layer]), (d[layer], a[layer].mT, dw[layer])]
            if layer:
                self.jobs.append((w[layer].mT, d[layer], da[layer]))

    def run(self, steps: int) -> int:
        product, jobs = self.product, self.jobs
        for _ in range(steps):
            for left, right, out in jobs:
                product(left, right, out=out)
        return steps * self.stack


class ByTorchStacked(ByTorch):
    """PyTorch's BLAS, the products of several members a call."""

    def set_up(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.product, self.stack = torch.bmm, _STACK
        self._convert()


WAYS = {
    "NumPy": "peers.ceiling.ByNumPy",
    "SciPy's BLAS by Numba": "peers.ceiling.ByNumba",
    "PyTorch mm": "peers.ceiling.ByTorch",
    "PyTorch bmm": "peers.ceiling.ByTorchStacked",
}
