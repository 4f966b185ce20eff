"""How kernels are compiled and where their machine code is kept.

Numba's own cache notices a changed file, but not a changed kernel that a cached caller in another file imports. So the
cache folder is keyed by a hash of all kernel sources, of the versions and of the processor: an edit anywhere is a new
folder.

Kernels are compiled in a process of their own and then loaded: in a process that has just compiled, calls that were
not inlined are linked to the first code made for them, not to the code in the cache, so that its results would differ
in the last bits from those of every later process.

Flags: no ``nnan`` and no ``ninf``, for those make ``isfinite(nan)`` true and hide divergence.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba import njit
from numba.core.compiler_lock import global_compiler_lock

FLAGS = {"reassoc", "contract", "arcp", "nsz"}
_UNUSED_AFTER = 30 * 24 * 3600.0
_compiling = threading.Lock()
_compiled_here: set[str] = set()


def kernel(function: Callable) -> Any:
    """Compile a kernel that is called from other kernels only: see `entry_kernel`.

    It is compiled quickly, without optimization: LLVM inlines it into the entry kernel and optimizes it there. Numba
    would optimize each level of calls again, which took three times as long for the same machine code.
    """
    compiled = njit(nogil=True, fastmath=FLAGS, error_model="numpy")(function)
    compile_fully = compiled.compile

    def compile_quickly(signature: object) -> object:
        with global_compiler_lock:
            before = numba.config.OPT
            numba.config.OPT = type(before)(0)
            try:
                return compile_fully(signature)
            finally:
                numba.config.OPT = before

    compiled.compile = compile_quickly
    return compiled


def entry_kernel(function: Callable) -> Any:
    """Compile a kernel that Python calls: no interpreter lock, no bounds checks, code kept in `cache_folder`."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        return njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before


def sources_hash(folder: Path) -> str:
    """Return a hash of every kernel source in ``folder`` and of what else fixes the machine code."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        # Numba's index also goes by the file's path and time.
        digest.update(f"{path.resolve()} {path.stat().st_mtime_ns}\0".encode() + path.read_bytes())
    host = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    for part in (numba.__version__, llvmlite.__version__, np.__version__, *host):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Return the folder of compiled kernels for these sources, made if need be.

    It stands in the user's cache folder; where that cannot be written, in the system's temporary folder.
    """
    from platformdirs import user_cache_dir

    name = sources_hash(Path(__file__).parent)
    private = Path(tempfile.gettempdir()) / f"wellfit-kernels-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    for root in (Path(user_cache_dir("wellfit")) / "kernels", private):
        try:
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            os.utime(root / name)
        except OSError:
            continue
        if os.access(root / name, os.W_OK):
            _remove_unused(root, name)
            return root / name
    return Path(tempfile.mkdtemp(prefix="wellfit-kernels-"))


def _remove_unused(root: Path, keep: str) -> None:
    """Remove folders of other sources that nothing has used for a month."""
    for folder in root.iterdir():
        if folder.name != keep and time.time() - folder.stat().st_mtime > _UNUSED_AFTER:
            shutil.rmtree(folder, ignore_errors=True)


def is_warm(precision: str = "float32") -> bool:
    """Return whether compiled kernels are at hand, so that a first call will not have to compile."""
    return (cache_folder() / f"ready-{precision}").exists()


def ensure_compiled(precision: str) -> None:
    """Compile the kernels for this precision in a process of its own, unless that was done before.

    Where no process can be started, the caller's first call compiles.
    """
    with _compiling:
        if is_warm(precision) or precision in _compiled_here:
            return
        program = f"from wellfit.engines.compiled.engine import compile_now; compile_now({precision!r})"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            made = subprocess.run(
                [sys.executable, "-c", program],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            ).returncode
        except OSError:
            made = 1
        if made == -signal.SIGINT:
            raise KeyboardInterrupt
        if made == 0:
            (cache_folder() / f"ready-{precision}").touch()
        _compiled_here.add(precision)
