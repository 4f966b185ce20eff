"""One BLAS thread while members train side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_users = 0
_limit = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold every BLAS pool at one thread; the last of several nested or concurrent users restores the old size.

    A plain limit per thread would be undone by whichever thread leaves first, and products could then be summed in
    another order.
    """
    global _users, _limit
    with _lock:
        if _users == 0:
            import scipy.linalg.cython_blas  # noqa: F401 (the BLAS that kernels call; unloaded, the limit misses it)
            from threadpoolctl import threadpool_limits

            _limit = threadpool_limits(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limit is not None:
                _limit.restore_original_limits()
                _limit = None
