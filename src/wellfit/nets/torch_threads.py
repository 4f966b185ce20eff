"""One PyTorch thread while members train side by side. Imports PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wellfit.nets.torch_door import require_torch

torch: Any = require_torch()

_lock = threading.Lock()
_users, _usual = 0, 1


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Hold PyTorch's operations at one thread in the calling thread: how many share a sum can change its last bit.

    PyTorch keeps one number for the process, which threads take over when they begin, and one for each thread. The
    first of several users notes it, and each puts it back when leaving.
    """
    global _users, _usual
    with _lock:
        if _users == 0:
            _usual = torch.get_num_threads()
        _users += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            torch.set_num_threads(_usual)
