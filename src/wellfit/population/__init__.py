"""Plan a population, run it through an executor, gather histories."""

from wellfit.population.divergence import diverged_findings
from wellfit.population.plan import check, plan, plan_fold
from wellfit.population.train import train

__all__ = ["check", "diverged_findings", "plan", "plan_fold", "train"]
