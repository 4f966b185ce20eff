"""How many threads PyTorch's operations use. Imports PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()

# Of a member's training, on every machine: how many threads share a sum changes its last bit. Two finish a network in
# 0.6 of the time of one, about as much as two networks side by side would gain; more would share too little work each.
# Steps of fewer multiplications than `SHARED`, forward, are over before two threads have found together.
TRAINING, SHARED = 2, 10_000_000
_lock = threading.Lock()
_users, _usual = 0, 1
_mine = threading.local()


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Have PyTorch's operations in the calling thread use ``count`` threads, whatever the machine has.

    PyTorch keeps one number for the process, which threads take over when they begin, and one for each thread. The
    first of several users notes it, and whoever leaves last in its thread puts it back.
    """
    global _users, _usual
    held = _mine.__dict__.setdefault("held", [])
    with _lock:
        if _users == 0:
            _usual = torch.get_num_threads()
        _users += 1
        held.append(count)
        torch.set_num_threads(count)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            held.pop()
            torch.set_num_threads(held[-1] if held else _usual)


def alone() -> Any:
    """Return the context of small work outside of training: one thread.

    OpenMP's threads wait for each other in a slower way once there are more of them than cores, and each thread of ours
    that computes on several brings some: the main thread shall have none where workers train.
    """
    return fixed_threads(1)
