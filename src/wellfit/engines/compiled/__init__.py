"""The compiled engine (Numba): MLPs on a CPU at hardware speed."""

from wellfit.engines.compiled.engine import CompiledEngine
from wellfit.engines.compiled.jit import is_warm

__all__ = ["CompiledEngine", "is_warm"]
