"""How kernels are compiled and where their machine code is kept.

Numba's own cache notices a changed file, but not a changed kernel that a cached caller in another file imports. So the
cache folder is keyed by a hash of all kernel sources, of the versions and of the processor: an edit anywhere is a new
folder.

Kernels are compiled in a process of their own and then loaded: it can be interrupted at once, and what Numba keeps of
a compilation (some 200 MB) goes with it.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import binding as llvm
from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext

FLAGS = {"reassoc", "contract", "arcp", "nsz"}
_UNUSED_AFTER = 30 * 24 * 3600.0
_compiling = threading.Lock()
_ready: set[str] = set()  # precisions whose kernels are compiled, or will be by the first call


def inlined(function: Callable) -> Any:
    """Compile a kernel that becomes part of its caller: for those that take named tuples, which a call would copy."""
    return kernel(function, forceinline=True)


def kernel(function: Callable, *, forceinline: bool = False) -> Any:
    """Compile a kernel that is called from other kernels only: see `entry_kernel`.

    It is kept as unoptimized LLVM code: LLVM inlines it into the entry kernel, and optimizes it and makes machine code
    of it there. Numba would do both again at each level of calls, which took five times as long for the same machine
    code of the entry kernel. Called from Python, it raises an error.
    """
    compiled = njit(
        nogil=True,
        fastmath=FLAGS,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        forceinline=forceinline,
    )(function)
    compile_fully = compiled.compile

    def compile_quickly(signature: object) -> object:
        with global_compiler_lock, _no_machine_code():
            return compile_fully(signature)

    compiled.compile = compile_quickly
    return compiled


_STEPS = ("_finalize_final_module", "_optimize_final_module")


@contextmanager
def _no_machine_code() -> Iterator[None]:
    """Make Numba stop at LLVM code. The three methods are internal to Numba: a test says when they have moved."""
    before = numba.config.OPT, CPUContext.get_executable, *(getattr(JITCodeLibrary, name) for name in _STEPS)
    numba.config.OPT = type(before[0])(0)
    CPUContext.get_executable = _make_stand_in
    JITCodeLibrary._finalize_final_module, JITCodeLibrary._optimize_final_module = _stay_llvm_code, _nothing
    try:
        yield
    finally:
        numba.config.OPT, CPUContext.get_executable = before[:2]
        JITCodeLibrary._finalize_final_module, JITCodeLibrary._optimize_final_module = before[2:]


def _nothing(library: Any) -> None:
    """Leave all optimization to the entry kernel."""


def _stay_llvm_code(library: Any) -> None:
    library._finalized = True


def _make_stand_in(_: object, library: Any, description: Any, __: object) -> object:
    """Return what Numba takes for the kernel's machine code: a built-in function, another object for each kernel."""
    library._ensure_finalized()
    return [description.qualname].index


def entry_kernel(function: Callable) -> Any:
    """Compile a kernel that Python calls: no interpreter lock, no bounds checks, code kept in `cache_folder`."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        return njit(cache=True, nogil=True, fastmath=FLAGS, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before


def sources_hash(folder: Path, *others: Path) -> str:
    """Return a hash of every kernel source in ``folder``, of ``others``, and of what else fixes the machine code."""
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob("*.py")), *others):
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

    here = Path(__file__).parent
    # These hold constants that kernels take in.
    name = sources_hash(here, *(here.parents[1] / p for p in ("rng.py", "nets/network.py", "cocktail/schedules.py")))
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
    if precision in _ready:  # asked before every slice of a training
        return
    with _compiling:
        if is_warm(precision):
            _ready.add(precision)
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
        _ready.add(precision)
