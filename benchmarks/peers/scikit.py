"""scikit-learn's MLPClassifier: the same steps, without dropout and without decoupled decay, which it lacks."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from peers.work import Work, draw_data


class Scikit:
    """One member at a time."""

    def __init__(self, work: Work, _members: int, seed: int) -> None:
        x, y = draw_data(work)
        self.work, self.seed = work, seed
        self.x, self.y = x[: work.rows].astype(np.float32), y[: work.rows, 0].astype(np.int64)
        self.recipe = {"solver": "adam"} if work.optimizer == "adamw" else {"solver": "sgd", "momentum": 0.0}

    def run(self, steps: int) -> int:
        epochs = -(-steps // self.work.batches)
        model = MLPClassifier(
            self.work.sizes[1:-1],
            **self.recipe,
            alpha=0.0,
            batch_size=self.work.columns,
            learning_rate_init=self.work.learning_rate,
            max_iter=epochs,
            shuffle=self.work.batch is not None,
            random_state=self.seed,
            tol=0.0,
            n_iter_no_change=10**9,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self.x, self.y)
        return model.n_iter_ * self.work.batches
