"""A fitted network: predict, save, load, and its code in other libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wellfit.cocktail import Cocktail
from wellfit.errors import UnsupportedError
from wellfit.nets.network import MLP, link
from wellfit.nets.training import Training
from wellfit.records import Array, Kind, Task

if TYPE_CHECKING:
    from wellfit.data import Preprocessor
    from wellfit.nets.ensemble import Ensemble

# Rows that are turned into numbers at once: bounds the memory of a prediction on a wide or long table.
_CHUNK_CELLS = 8_000_000


class Predictor:
    """What predicts: from a table's columns to labels, probabilities or values. `Fitted` and `Ensemble` are such."""

    task: Task
    target_name: str
    kinds: Mapping[str, Kind]
    classes: tuple[str, ...]

    def outputs_of(self, columns: Mapping[str, Array]) -> Array:
        """Return probabilities (n, k) (k is 1 for two classes: that of the second) or values (n, 1).

        ``columns`` are as in `Table`: by name, (n,) each, of this model's kinds.
        """
        raise NotImplementedError

    def predict(self, source: object) -> Array:
        """Return the predictions, (n,): class labels (text) or values in the target's unit.

        ``source`` is a path, a DataFrame or a mapping of columns by name. Other columns are ignored. Raises
        `DataError` where the table cannot be read or lacks columns, naming them.
        """
        return self.read_outputs(self.outputs_of(self._read(source)))[0]

    def predict_proba(self, source: object) -> Array:
        """Return the probability of each class, (n, classes), in the order of ``classes``.

        Raises `UnsupportedError` for a regression, and what `predict` raises.
        """
        if self.task == "regression":
            raise UnsupportedError("fitted.no_probabilities", target=self.target_name)
        return self.read_outputs(self.outputs_of(self._read(source)))[1]

    def read_outputs(self, outputs: Array) -> tuple[Array, Array]:
        """Return (predictions (n,), probabilities (n, classes)) for outputs (n, k) as of `outputs_of`.

        The prediction is the likeliest class, the first in a tie and None where the outputs are NaN; for a regression
        it is the value, and there are no probabilities: (n, 0).
        """
        if self.task == "regression":
            return outputs[:, 0], outputs[:, :0]
        chances = np.hstack([1 - outputs, outputs]) if self.task == "binary" else outputs
        labels = np.array(self.classes, dtype=object)[np.argmax(chances, axis=1)]
        labels[np.isnan(chances).any(1)] = None
        return labels, chances

    def _read(self, source: object) -> dict[str, Array]:
        from wellfit.data import read_features

        return read_features(source, self.kinds)

    def save(self, path: str | Path) -> Path:
        """Write the model into one safetensors file (no pickle), all at once, and return its path.

        Equal models give equal files. Raises ``OSError`` where the place cannot be written.
        """
        from wellfit.nets.storage import write

        return write(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> Fitted | Ensemble:
        """Read a model from its file, or from the folder of a run: one network, or an ensemble.

        Raises `ModelFileError` where the file is missing, damaged, foreign or made by a newer version.
        """
        from wellfit.nets.storage import read

        return read(Path(path))


@dataclass(frozen=True, eq=False)
class Fitted(Predictor):
    """A trained network with everything that a prediction needs: from a table's columns to labels or values.

    ``parameters`` is flat, (P,), float32 or float64, in the layout of `MLP`. ``kinds`` names the columns it reads and
    what each is. ``target_mean`` and ``target_scale`` turn outputs back into the target's unit (regression).
    ``rows`` is the number of rows it was trained on, ``stop_rows`` that of the rows early stopping looked at, ``seed``
    its member's. ``notes`` says where it comes from: ``engine``, ``version``, ``data``, plain text by name.
    """

    network: MLP
    cocktail: Cocktail
    training: Training
    preprocessor: Preprocessor
    parameters: Array
    task: Task
    target_name: str
    kinds: Mapping[str, Kind]
    classes: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_scale: float = 1.0
    rows: int = 0
    stop_rows: int = 0
    seed: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """Number of outputs k: the classes where there are more than two, else 1."""
        return len(self.classes) if self.task == "multiclass" else 1

    @property
    def layers(self) -> list[tuple[Array, Array]]:
        """The weights and biases, [(W of shape (out, in), b of shape (out,)), ...], as views."""
        return self.network.unpack(self.parameters, len(self.preprocessor.feature_names), self.outputs)

    def outputs_of(self, columns: Mapping[str, Array]) -> Array:
        """Return probabilities (n, k) (k is 1 for two classes: that of the second) or values (n, 1).

        ``columns`` are as in `Table`: by name, (n,) each, of this model's kinds.
        """
        parts = [np.empty((0, self.outputs))]
        parts += [self.outputs_at(self.preprocessor.transform(chunk)) for chunk in self.chunks(columns)]
        return np.concatenate(parts)

    def chunks(self, columns: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """Yield the columns that this model reads in runs of rows whose design matrix is not too large."""
        names = list(self.kinds)
        step = max(1, _CHUNK_CELLS // max(1, len(self.preprocessor.feature_names)))
        for start in range(0, len(columns[names[0]]), step):
            yield {name: columns[name][start : start + step] for name in names}

    def outputs_at(self, x: Array) -> Array:
        """Return what `outputs_of` returns, for a design matrix of this model's preprocessor, (n, d)."""
        outputs = link(self.task, self.network.forward(self.parameters.astype(np.float64), x, self.outputs))
        return outputs * self.target_scale + self.target_mean if self.task == "regression" else outputs

    def code(self, dialect: str) -> str:
        """Return a script that builds and trains this network in another library: ``keras``, ``torch``, ``sklearn``.

        It expects prepared features; what the library cannot do the same way stands in its comments. Raises
        `SettingError` for an unknown library.
        """
        from wellfit.nets.code import code

        together = self.rows + self.stop_rows
        share = {"stop_share": self.stop_rows / together} if self.stop_rows else {}
        return code(
            self.network,
            self.cocktail,
            self.training,
            inputs=len(self.preprocessor.feature_names),
            outputs=self.outputs,
            task=self.task,
            rows=self.rows,
            dialect=dialect,
            seed=self.seed,
            **share,
        )
