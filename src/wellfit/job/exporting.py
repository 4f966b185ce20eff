"""A saved model as a file that other programs run: an ONNX graph, or a program of PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wellfit.errors import SettingError
from wellfit.job.runs import model_of
from wellfit.messages import join, say
from wellfit.nets import NetworkLike
from wellfit.nets.fitted import Fitted, Predictor
from wellfit.nets.onnx_graph import input_names, input_type

FORMATS = ("onnx", "torch")


@dataclass(frozen=True)
class Exported:
    """What was written where."""

    path: Path
    model: Predictor

    def sentences(self) -> list[str]:
        """Return what the file takes and returns, and how its inputs are made."""
        model, kind = self.model, input_type(self.model).__name__
        shapes = [model.inputs or (len(group[0][0].feature_names),) for group in model.groups]
        arrays = [
            f"{name} ({', '.join(['n', *map(str, shape)])}) {kind}"
            for name, shape in zip(input_names(model), shapes, strict=True)
        ]
        gives = (
            say("export.values", target=model.target_name)
            if model.task == "regression"
            else say("export.probabilities", count=len(model.classes), classes=join(model.classes, "list"))
        )
        found = [say("export.written", path=self.path, takes=join(arrays, "list"), gives=gives)]
        return found if model.inputs else [*found, say("export.prepared")]


def export(model: str | Path, out: str | Path, *, format: str = "onnx", network: NetworkLike | None = None) -> Exported:
    """Write a saved model, a file or the folder of a run, to ``out``: an ONNX graph, or a program of PyTorch's.

    See `wellfit.nets.onnx_export.to_onnx` and `wellfit.nets.torch_program.write_program`. ``network`` is its module
    where that is the user's own. Raises `SettingError` for an unknown format, `ModelFileError` for the model,
    `UnsupportedError` where PyTorch cannot trace the module, `MissingExtraError`, and ``OSError``.
    """
    if format not in FORMATS:
        raise SettingError("export.bad_format", value=format, known=", ".join(FORMATS))
    fitted = Fitted.load(model_of(model), network=network)
    if format == "onnx":
        return Exported(fitted.to_onnx(out), fitted)
    from wellfit.nets.torch_program import write_program

    return Exported(write_program(fitted, Path(out)), fitted)
