"""Where members run: `Threads` on this machine; any other place keeps `contract.ExecutorContract` too."""

from wellfit.executors.base import Executor, MemberError, member_steps
from wellfit.executors.threads import Threads

__all__ = ["Executor", "MemberError", "Threads", "member_steps"]
