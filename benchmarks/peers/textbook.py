"""`wellfit.reference`: the textbook's NumPy, one member at a time, by gradient descent whatever the work asks for."""

from __future__ import annotations

import numpy as np

from peers.work import Work, draw_data, draw_parameters
from wellfit import reference


class Textbook:
    """One member after another in this process; half of them with dropout where the work says so."""

    def __init__(self, work: Work, _members: int, seed: int) -> None:
        x, y = draw_data(work)
        self.work, self.random = work, np.random.default_rng(seed)
        self.x, self.y = x[: work.rows].T.copy(), y[: work.rows].T.copy()
        start = draw_parameters(work, 1, seed)
        self.start = [(w[0].astype(float), b[0].astype(float)[:, None]) for w, b in start]
        self.keeps = sorted({1 - work.dropout, 1.0 if work.dropped < 1 else 1 - work.dropout})

    def run(self, steps: int) -> int:
        for keep in self.keeps:
            if self.work.batch is None:
                reference.train(
                    self.x,
                    self.y,
                    self.start,
                    learning_rate=self.work.learning_rate,
                    iterations=steps,
                    keep=keep,
                    every=steps,
                )
            else:
                self._by_batch(steps, keep)
        return steps * len(self.keeps)

    def _by_batch(self, steps: int, keep: float) -> None:
        work, parameters = self.work, self.start
        for step in range(steps):
            batch = step % work.batches
            if batch == 0:
                order = self.random.permutation(work.rows)
            chosen = order[batch * work.columns : (batch + 1) * work.columns]
            x, y = self.x[:, chosen], self.y[:, chosen]
            result = reference.forward_with_dropout(x, parameters, keep, self.random)
            parameters = reference.update(
                parameters, reference.backward(result, y, parameters), learning_rate=work.learning_rate
            )
