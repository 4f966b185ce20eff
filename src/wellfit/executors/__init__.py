"""Where members run: `Threads` on this machine, `Ray` on a cluster; all keep `contract.ExecutorContract`."""

from wellfit.executors.base import Executor, MemberError, member_steps
from wellfit.executors.ray import Ray
from wellfit.executors.threads import Threads

__all__ = ["Executor", "MemberError", "Ray", "Threads", "member_steps"]
