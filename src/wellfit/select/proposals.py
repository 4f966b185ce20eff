"""Who proposes candidates: a Bayesian sampler that learns from what it is told, or random draws. Optuna's door."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wellfit.errors import SettingError
from wellfit.select.space import Candidate, Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SAMPLERS = ("tpe", "random")
# Trials of a rung from which on the sampler looks at that rung alone: longer trainings tell more, if they are many.
ENOUGH = 16
START = 10  # random proposals before the Bayesian ones


def check_sampler(sampler: object) -> None:
    """Raise `SettingError` for an unknown sampler."""
    if sampler not in SAMPLERS:
        raise SettingError("search.unknown_sampler", value=sampler, known=", ".join(SAMPLERS))


class Proposals:
    """Asks and tells. One study a rung: what a candidate reached after few epochs is not compared with many.

    Batches are drawn from the highest rung that has been told of `ENOUGH` candidates (Falkner, Klein & Hutter 2018,
    BOHB), by the tree-structured Parzen estimator (Bergstra et al. 2011), or at random; always the same ones for the
    same seed and the same tellings.
    """

    def __init__(self, space: Space, sampler: str, rungs: int, seed: int) -> None:
        check_sampler(sampler)
        self.space, self.sampler, self.seed = space, sampler, seed
        self.told: list[list[tuple[object, float]]] = [[] for _ in range(rungs)]
        self.asked = 0

    def ask(self, count: int) -> list[tuple[Candidate, object]]:
        """Return ``count`` candidates, each with what is to be told with its loss."""
        import optuna

        self.asked += 1
        rung = max((r for r, trials in enumerate(self.told) if len(trials) >= ENOUGH), default=0)
        with _silent(optuna):
            study = optuna.create_study(sampler=self._sampler())
            for trial, loss in self.told[rung]:
                study.add_trial(
                    optuna.trial.create_trial(
                        params=trial.params,  # type: ignore[attr-defined]  # a trial of Optuna's
                        distributions=trial.distributions,  # type: ignore[attr-defined]  # likewise
                        value=loss,
                    )
                )
            asked = [study.ask() for _ in range(count)]
            return [(self.space.suggest(trial), trial) for trial in asked]

    def _sampler(self) -> BaseSampler:
        from optuna import samplers

        # Each batch has a sampler of its own, so that a search that goes on later draws the same.
        seed = (self.seed * 1_000_003 + self.asked) % 2**31
        if self.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=START)

    def tell(self, rung: int, trial: object, loss: float, worst: float) -> None:
        """Tell what a proposed candidate reached at a rung; one that diverged counts as ``worst``."""
        self.told[rung].append((trial, min(loss, worst) if math.isfinite(loss) else worst))


@contextmanager
def _silent(optuna: object) -> Iterator[None]:
    """Keep Optuna from talking, and leave its settings as they were."""
    import warnings

    logging = optuna.logging  # type: ignore[attr-defined]  # the module
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
