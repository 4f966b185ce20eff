"""Fixtures for all tests: where real data stands; Ctrl-C heard."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Test processes share the cores: see `wellfit.nets.torch_door`, which tests that import PyTorch first do not pass.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from browser import browser as browser
from browser import show as show
from hypothesis import settings

# A deadline for one example says more about the machine's other work than about the code.
settings.register_profile("wellfit", deadline=None)
settings.load_profile("wellfit")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts its background jobs deaf to Ctrl-C, and whatever they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data named by WELLFIT_DATA; without it such tests skip, with it a missing file fails."""
    folder = os.environ.get("WELLFIT_DATA")
    if not folder:
        pytest.skip("WELLFIT_DATA is not set: it names the folder of real data sets")
    path = Path(folder)
    assert path.is_dir(), f"WELLFIT_DATA names no folder: {path}"
    return path
