"""Plan a population, run it through an executor, gather histories."""

from wellfit.population.divergence import advise, diverged_findings, largest_safe_rate
from wellfit.population.plan import check, plan, plan_fold
from wellfit.population.train import train

__all__ = ["advise", "check", "diverged_findings", "largest_safe_rate", "plan", "plan_fold", "train"]
