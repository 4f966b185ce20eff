"""Linear models, solved exactly: least squares, Lasso, Ridge, elastic net, logistic and multinomial regression."""

from wellfit.engines.convex.engine import ConvexEngine, penalty
from wellfit.engines.convex.prepared import Shown
from wellfit.engines.convex.solve import Problem, Solution, solve

__all__ = ["ConvexEngine", "Problem", "Shown", "Solution", "penalty", "solve"]
