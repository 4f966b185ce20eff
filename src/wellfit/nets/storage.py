"""A fitted network in one safetensors file: the parameters as an array, all else as JSON in the header's metadata.

Nothing is executed on reading, no size is believed, and a checksum over the whole content tells damage from data.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.errors import MissingExtraError, ModelFileError, WellfitError
from wellfit.nets.module import Module
from wellfit.nets.network import MLP, Network, NetworkLike, as_network
from wellfit.nets.training import Training
from wellfit.records import Array, Kind, Scale, Task

if TYPE_CHECKING:
    from wellfit.nets.ensemble import Ensemble
    from wellfit.nets.fitted import Fitted, Predictor

FORMAT = "wellfit-model"
# 1: one network. 2: an ensemble; its parameters stand one network behind the other. 3: either, where a network is a
# module or takes inputs, such as images, in place of columns. Each model has the lowest that can say it.
VERSIONS = ("1", "2", "3")
FILE_NAME = "model.safetensors"
_DTYPES = {"float32": "F32", "float64": "F64"}
# The safetensors library's own bound for a header, and more than any network here can have in parameters.
_MAX_HEADER, _MAX_FILE = 100_000_000, 16 * 2**30


def write(model: Predictor, path: Path) -> Path:
    """Write ``model``, a `Fitted` or an `Ensemble`, to ``path``, all at once, and return the path."""
    from wellfit.nets.ensemble import Ensemble

    parts: tuple[Any, ...] = model.parts if isinstance(model, Ensemble) else (model,)
    plain = all(isinstance(part.network, MLP) and part.preprocessor is not None for part in parts)
    values = _ensemble_content(model) if isinstance(model, Ensemble) else _content(parts[0])
    content = json.dumps(values, sort_keys=True, separators=(",", ":"))
    parameters = np.ascontiguousarray(np.concatenate([part.parameters for part in parts]))
    metadata = {
        "format": FORMAT,
        "format_version": VERSIONS[isinstance(model, Ensemble) if plain else 2],
        "content": content,
        "sha256": _checksum(content, parameters),
    }
    write_whole(path, _pack(parameters, metadata))
    return path


def _pack(parameters: Array, metadata: dict[str, str]) -> bytes:
    """Return a safetensors file: the header's length, the header in JSON, the array's bytes, little-endian.

    The library's own writer orders the metadata at random, so that equal models would give unequal files.
    """
    little = parameters.astype(parameters.dtype.newbyteorder("<"))
    entry = {"dtype": _DTYPES[parameters.dtype.name], "shape": list(little.shape), "data_offsets": [0, little.nbytes]}
    header = json.dumps({"__metadata__": metadata, "parameters": entry}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + little.tobytes()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file all at once: a reader finds the old content or the new, never a half. Raises ``OSError``."""
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        raise OSError(error.errno, error.strerror, str(path)) from error  # the user knows nothing of the other name
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def read(path: Path, network: NetworkLike | None = None) -> Fitted | Ensemble:
    """Return the model in ``path`` (a file, or a folder that holds one), whose module is ``network`` if it is given.

    Raises `ModelFileError`.
    """
    place = path / FILE_NAME if path.is_dir() else path
    if not place.is_file():
        raise ModelFileError("fitted.missing", path=place)
    try:
        with place.open("rb") as file:
            metadata = _metadata(file.read(8), file, place)
            file.seek(0)
            raw = file.read()
    except OSError as error:
        raise ModelFileError("fitted.unreadable", path=place, reason=error.strerror or error) from error
    content, parameters = metadata["content"], _parameters(raw, place)
    if metadata.get("sha256") != _checksum(content, parameters):
        raise ModelFileError("fitted.damaged", path=place)
    given = None if network is None else as_network(network)
    try:
        values = json.loads(content)
        rebuild = _rebuild_ensemble if "parts" in values else _rebuild
        return rebuild(values, parameters, _Modules(place, given))
    except (ModelFileError, MissingExtraError):
        raise
    except (WellfitError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ModelFileError("fitted.inconsistent", path=place) from error


@dataclass(frozen=True)
class _Modules:
    """Where networks come from that a file only names: the one the user gave, or those that come with wellfit."""

    place: Path
    given: Network | None

    def network(self, said: dict[str, Any], parameters: Array) -> Network:
        """Return the network that a file describes. Raises `ModelFileError` and what `_rebuild` is caught for."""
        if "module" in said and (self.given is None or isinstance(self.given, Module)):
            from wellfit.nets.stored_module import found

            return found(said, parameters, self.given, self.place)
        if self.given is not None:
            kind = said.get("module", "MLP")
            raise ModelFileError("fitted.other_kind", path=self.place, kind=kind, given=str(self.given))
        return MLP(tuple(said["hidden"]), said["activation"])


def _metadata(first: bytes, file: Any, place: Path) -> dict[str, str]:
    """Return the header's metadata once it is known to be a model of ours that this version can read."""
    length = int.from_bytes(first, "little")
    size = os.fstat(file.fileno()).st_size
    if len(first) < 8 or length > min(_MAX_HEADER, size - 8) or size > _MAX_FILE:
        raise ModelFileError("fitted.foreign", path=place)
    try:
        metadata = json.loads(file.read(length))["__metadata__"]
        version = metadata["format_version"]
        ours = metadata["format"] == FORMAT and version.isdecimal() and isinstance(metadata["content"], str)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFileError("fitted.foreign", path=place) from error
    if not ours:
        raise ModelFileError("fitted.foreign", path=place)
    if version not in VERSIONS:
        raise ModelFileError("fitted.newer", path=place, version=version[:20], known=VERSIONS[-1])
    return metadata


def _parameters(raw: bytes, place: Path) -> Array:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(raw)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError("fitted.damaged", path=place) from error
    array = arrays.get("parameters")
    if len(arrays) != 1 or array is None or array.ndim != 1 or array.dtype not in (np.float32, np.float64):
        raise ModelFileError("fitted.damaged", path=place)
    return array


def _checksum(content: str, parameters: Array) -> str:
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass"))
    digest.update(f"\0{parameters.dtype.name}\0{parameters.size}\0".encode())
    digest.update(parameters.tobytes())
    return digest.hexdigest()


def _content(model: Fitted) -> dict[str, Any]:
    return {
        "network": _network(model),
        "cocktail": str(model.cocktail),
        "training": asdict(model.training),
        **_reading(model),
        "task": model.task,
        "target_name": model.target_name,
        "kinds": list(map(list, model.kinds.items())),
        "classes": list(model.classes),
        "target_mean": float(model.target_mean),
        "target_scale": float(model.target_scale),
        "rows": int(model.rows),
        "stop_rows": int(model.stop_rows),
        "seed": int(model.seed),
        "notes": {str(name): str(value) for name, value in model.notes.items()},
    }


def _network(model: Fitted) -> dict[str, Any]:
    if isinstance(model.network, MLP):
        return {"hidden": list(model.network.hidden), "activation": model.network.activation}
    from wellfit.nets.stored_module import described

    return described(model)


def _reading(model: Fitted) -> dict[str, Any]:
    """Return how rows become what the network takes: a preprocessor, or the shape and scale of inputs."""
    if model.preprocessor is not None:
        return {"preprocessor": model.preprocessor.to_dict()}
    resized = {"resized": True} if model.resized else {}
    return {"preprocessor": None, "inputs": list(model.inputs), "scale": model.scale, **resized}


def _ensemble_content(model: Ensemble) -> dict[str, Any]:
    """Return an ensemble's content; each preprocessing stands there once, however many networks share it."""
    preprocessors = list(dict.fromkeys(p.preprocessor for p in model.parts if p.preprocessor is not None))
    place: dict[Any, int | None] = {preprocessor: i for i, preprocessor in enumerate(preprocessors)}
    place[None] = None
    return {
        "preprocessors": [preprocessor.to_dict() for preprocessor in preprocessors],
        "parts": [{**_content(part), "preprocessor": place[part.preprocessor]} for part in model.parts],
        "sizes": [part.parameters.size for part in model.parts],
        "weights": [float(w) for w in model.weights],
        "temperature": float(model.temperature),
    }


def _rebuild_ensemble(content: dict[str, Any], parameters: Array, modules: _Modules) -> Ensemble:
    from wellfit.nets.ensemble import Ensemble

    sizes = [int(size) for size in content["sizes"]]
    if min(sizes) < 0 or sum(sizes) != parameters.size or len(sizes) != len(content["parts"]):
        raise ValueError("the parts of the model do not fit together")
    pieces = np.split(parameters, np.cumsum(sizes)[:-1])
    shared = content["preprocessors"]
    parts = tuple(
        _rebuild({**part, "preprocessor": _shared(shared, part["preprocessor"])}, piece, modules)
        for part, piece in zip(content["parts"], pieces, strict=True)
    )
    return Ensemble(parts, np.array(content["weights"], dtype=np.float64), float(content["temperature"]))


def _shared(preprocessors: list, place: Any) -> Any:
    return None if place is None else preprocessors[int(place)]


def _rebuild(content: dict[str, Any], parameters: Array, modules: _Modules) -> Fitted:
    """Return the model from its content, every part checked by the class that it belongs to."""
    from wellfit.data import Preprocessor
    from wellfit.nets.fitted import Fitted

    plan = content["preprocessor"]
    model = Fitted(
        network=modules.network(content["network"], parameters),
        cocktail=Cocktail.parse(content["cocktail"]),
        training=Training(**content["training"]),
        preprocessor=None if plan is None else Preprocessor.from_dict(plan),
        parameters=parameters,
        task=_known(content["task"], Task),
        target_name=str(content["target_name"]),
        kinds={str(name): _known(kind, Kind) for name, kind in content["kinds"]},
        classes=tuple(map(str, content["classes"])),
        target_mean=float(content["target_mean"]),
        target_scale=float(content["target_scale"]),
        rows=int(content["rows"]),
        stop_rows=int(content["stop_rows"]),
        seed=int(content["seed"]),
        notes={str(name): str(value) for name, value in content["notes"].items()},
        inputs=() if plan is not None else tuple(map(int, content["inputs"])),
        scale="bytes" if plan is not None else _known(content["scale"], Scale),
        resized=plan is None and content.get("resized") is True,
    )
    _check(model)
    with np.errstate(all="ignore"):
        model.outputs_of(_trial_row(model))
    return model


def _check(model: Fitted) -> None:
    """Raise ``ValueError`` where the parts of a model do not fit together."""
    if isinstance(model.network, MLP):
        fits = model.parameters.size == model.network.size(int(np.prod(model.takes)), model.outputs)
    else:
        fits = (model.network.inputs, model.network.outputs) == (model.takes, model.outputs)
    reads = (model.preprocessor is None, not model.kinds, bool(model.inputs), min(model.inputs, default=1) > 0)
    if not fits or reads not in ((True, True, True, True), (False, False, False, True)):
        raise ValueError("the parts of the model do not fit together")
    if (model.task == "binary") != (len(model.classes) == 2):
        raise ValueError("the classes do not fit the task")
    if not np.isfinite([model.target_mean, model.target_scale]).all():
        raise ValueError("the target's scale is not finite")


def _trial_row(model: Fitted) -> Any:
    """Return a row that goes through every part of a prediction: nothing but missing values, or an input of zeros."""
    if model.inputs:
        return np.zeros((1, *model.inputs), dtype={"bytes": np.uint8, "tokens": np.int64}.get(model.scale, np.float32))
    return {name: np.array([None if kind == "categorical" else np.nan]) for name, kind in model.kinds.items()}


def _known(value: Any, choices: Any) -> Any:
    if value not in get_args(choices):
        raise ValueError(value)
    return value
