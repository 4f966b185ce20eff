"""The engine contract as tests: subclass `EngineContract` in a test module and give it an engine.

Five promises: together equals alone; strength acts; a diverged member harms nobody; stopped and continued equals
uninterrupted; gradients are right. Needs pytest.
"""

from wellfit.engines.contract.problems import assorted, finish, make_data, same
from wellfit.engines.contract.suite import EngineContract

__all__ = ["EngineContract", "assorted", "finish", "make_data", "same"]
