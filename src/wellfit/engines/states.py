"""States as bytes: to save, send to another machine and continue. Arrays as safetensors, the rest as JSON; no code."""

from __future__ import annotations

import json
from typing import Any

from wellfit.engines.base import State
from wellfit.errors import ModelFileError

_ARRAYS = ("parameters", "moments", "best_parameters", "curves", "average")
_PLAIN = ("epoch", "step", "status", "best_epoch", "best_loss", "waited")


def state_to_bytes(state: State) -> bytes:
    """Return the state as bytes that `state_from_bytes` reads back exactly."""
    from safetensors.numpy import save

    plain = {name: getattr(state, name) for name in _PLAIN}
    plain["best_loss"] = float(state.best_loss).hex()  # JSON has no infinity
    return save({name: getattr(state, name) for name in _ARRAYS}, metadata={"wellfit_state": json.dumps(plain)})


def state_from_bytes(data: bytes) -> State:
    """Return the state that `state_to_bytes` wrote. Raises `ModelFileError` where the bytes are not one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        size = int.from_bytes(data[:8], "little")
        plain = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["wellfit_state"])
        arrays = {name: array.copy() for name, array in load(data).items() if name in _ARRAYS}
        plain["best_loss"] = float.fromhex(plain["best_loss"])
        fields: dict[str, Any] = {**arrays, **{name: plain[name] for name in _PLAIN}}
        return State(**fields)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise ModelFileError("engines.bad_state", reason=error) from None
