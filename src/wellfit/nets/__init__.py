"""Networks and trainings as values, and fitted networks: predict, save, load, export."""

from wellfit.nets.network import MLP, Linear, as_network
from wellfit.nets.training import Training

__all__ = ["MLP", "Linear", "Training", "as_network"]
