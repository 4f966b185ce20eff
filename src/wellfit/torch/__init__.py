"""The toolbox for one's own PyTorch loop: each tool is a line or two in a training script that is there already.

Public as ``wf.torch``. It means what the engines mean (``docs/objective.md``), and is held against them in the tests.
Keras 3 models on the torch backend are taken as they come. See ``docs/toolbox.md``.

Raises `MissingExtraError` on import where PyTorch is not installed.
"""

from wellfit.nets.torch_door import require_torch

require_torch()

from wellfit.torch.dropout import set_dropout
from wellfit.torch.groups import parameter_groups
from wellfit.torch.linting import lint
from wellfit.torch.penalties import penalty
from wellfit.torch.proximal import ProximalOptimizer
from wellfit.torch.rules.advice import Advice
from wellfit.torch.rules.mode import watch
from wellfit.torch.stopping import EarlyStopping

__all__ = [
    "Advice",
    "EarlyStopping",
    "ProximalOptimizer",
    "lint",
    "parameter_groups",
    "penalty",
    "set_dropout",
    "watch",
]
