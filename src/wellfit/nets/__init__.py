"""Networks and trainings as values, and fitted networks: predict, save, load, export."""

from wellfit.nets.module import Module
from wellfit.nets.network import MLP, Linear, Network, NetworkLike, as_network
from wellfit.nets.training import Training

__all__ = ["MLP", "Linear", "Module", "Network", "NetworkLike", "Training", "as_network"]
