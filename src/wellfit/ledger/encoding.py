"""A history as bytes and back, to the last bit: arrays and JSON in the safetensors format, nothing executable."""

from __future__ import annotations

import json

import numpy as np

from wellfit.records import History

_CURVE = "curve:"


def encode(history: History) -> bytes:
    """Return a history as the bytes of a safetensors file.

    Numbers that may be NaN or infinite (the weight norms of a diverged member) stand among the arrays: JSON has no
    words for them.
    """
    from safetensors.numpy import save

    plain = {
        "status": history.status,
        "epochs": history.epochs,
        "best_epoch": history.best_epoch,
        "steps": history.steps,
        "zero_weights": history.zero_weights,
        "weights": history.weights,
        "inputs_used": history.inputs_used,
        "curves": list(history.curves),
    }
    arrays = {
        "checkpoints": history.checkpoints,
        "predictions": history.predictions,
        "seen": history.seen,
        "weight_norms": np.array(history.weight_norms, dtype=np.float64),
        "units": np.array(history.units, dtype=np.float64),
        **{_CURVE + name: curve for name, curve in history.curves.items()},
    }
    return save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, {"history": json.dumps(plain)})


def decode(record: bytes) -> History:
    """Return the history that `encode` wrote. Raises ``ValueError``, ``KeyError`` or ``TypeError`` where it did not."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(record)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    # safetensors keeps the metadata to itself when it reads bytes; its layout is length (8 bytes), JSON, arrays.
    length = int.from_bytes(record[:8], "little")
    plain = json.loads(json.loads(record[8 : 8 + length])["__metadata__"]["history"])
    curves = {name: arrays[_CURVE + name] for name in plain.pop("curves")}
    always_on, always_off, saturated = arrays["units"].tolist()
    return History(
        units=(always_on, always_off, saturated),
        checkpoints=arrays["checkpoints"],
        predictions=arrays["predictions"],
        seen=arrays.get("seen", np.empty((0, 1))),  # records of older versions have none
        weight_norms=tuple(arrays["weight_norms"].tolist()),
        curves=curves,
        **plain,
    )
