"""Plan a population, run it through an executor, gather histories."""

from wellfit.population.divergence import advise, diverged_findings, largest_safe_rate
from wellfit.population.plan import check, plan, plan_fold
from wellfit.population.resuming import begun, keeping, recalled
from wellfit.population.share import Incomplete, Shard, Share
from wellfit.population.train import train, train_each

__all__ = [
    "Incomplete",
    "Shard",
    "Share",
    "advise",
    "begun",
    "check",
    "diverged_findings",
    "keeping",
    "largest_safe_rate",
    "plan",
    "plan_fold",
    "recalled",
    "train",
    "train_each",
]
