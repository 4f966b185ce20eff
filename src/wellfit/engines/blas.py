"""One BLAS thread while members train side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_users = 0
_limit = None


@cache
def _controller() -> Any:
    """The pools of the BLAS that kernels call. Looking for them takes a millisecond, so it is done once."""
    import scipy.linalg.cython_blas  # noqa: F401 (unloaded, its pool would be missed)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold every BLAS pool at one thread; the last of several nested or concurrent users restores the old size.

    A plain limit per thread would be undone by whichever thread leaves first, and products could then be summed in
    another order.
    """
    global _users, _limit
    with _lock:
        if _users == 0:
            _limit = _controller().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limit is not None:
                _limit.restore_original_limits()
                _limit = None
