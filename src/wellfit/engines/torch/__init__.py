"""The torch engine: any PyTorch module, and MLPs too, on a CPU or stacked on a GPU; imports PyTorch when it trains."""

from wellfit.engines.torch.engine import TorchEngine

__all__ = ["TorchEngine"]
