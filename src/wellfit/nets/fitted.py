"""A fitted network: predict, save, load, hand over to PyTorch and ONNX, and its code in other libraries."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.cocktail import BatchNorm, Cocktail
from wellfit.errors import DataError, UnsupportedError
from wellfit.nets.network import MLP, Inputs, Network, NetworkLike, link
from wellfit.nets.training import Training
from wellfit.records import Array, Kind, Scale, Table, Task

if TYPE_CHECKING:
    from wellfit.data import Preprocessor
    from wellfit.data.images import Pictures
    from wellfit.nets.built import Built
    from wellfit.nets.ensemble import Ensemble

# Numbers that are made ready for a network at once: bounds the memory of a prediction on a wide or long table.
_CHUNK_CELLS = 8_000_000
# Rows of a table: columns by name, (n,) each, or inputs such as images, (n, ...).
Rows = Mapping[str, Array] | Array


class Predictor:
    """What predicts: from a table's columns, or images, to labels, probabilities or values: `Fitted` and `Ensemble`."""

    task: Task
    target_name: str
    kinds: Mapping[str, Kind]
    classes: tuple[str, ...]
    inputs: tuple[int, ...]
    scale: Scale
    resized: bool

    @property
    def groups(self) -> list[list[tuple[Fitted, float]]]:
        """The networks with their weights, in groups of the same preprocessing, in order of appearance."""
        raise NotImplementedError

    def outputs_of(self, rows: Rows) -> Array:
        """Return probabilities (n, k) (k is 1 for two classes: that of the second) or values (n, 1).

        ``rows`` are as in `Table`: columns by name, (n,) each, of this model's kinds, or inputs (n, ...).
        """
        raise NotImplementedError

    def outputs_on(self, table: Table, rows: Array) -> Array:
        """Return what `outputs_of` returns, for some ``rows``, (m,) indices, of a table like the one trained on."""
        if table.inputs is not None:
            return self.outputs_of(table.inputs[rows])
        return self.outputs_of({name: table.columns[name][rows] for name in self.kinds})

    def predict(self, source: object, *, skip_corrupt: bool = False) -> Array:
        """Return the predictions, (n,): class labels (text) or values in the target's unit.

        ``source`` is a path, a DataFrame or a mapping of columns by name, whose other columns are ignored; for a model
        of images one or several of them: the path of an image, a folder, an ``.npz`` or an IDX file, or an array
        (n, channels, height, width) or (n, height, width). Image files are resized where those that the model learned
        from were (``resized``); with ``skip_corrupt`` those that cannot be read have no prediction (`pictures` tells
        which have one). Raises `DataError` where the source cannot be read, lacks columns, naming them, or holds images
        of another shape.
        """
        return self.read_outputs(self.outputs_of(self.read(source, skip_corrupt=skip_corrupt)))[0]

    def predict_proba(self, source: object, *, skip_corrupt: bool = False) -> Array:
        """Return the probability of each class, (n, classes), in the order of ``classes``.

        Raises `UnsupportedError` for a regression, and what `predict` raises.
        """
        if self.task == "regression":
            raise UnsupportedError("fitted.no_probabilities", target=self.target_name)
        return self.read_outputs(self.outputs_of(self.read(source, skip_corrupt=skip_corrupt)))[1]

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

    def read(self, source: object, *, skip_corrupt: bool = False) -> Rows:
        """Return the rows of a source as `outputs_of` takes them. ``source`` and errors are those of `predict`."""
        from wellfit.data import read_features

        if self.inputs:
            return self.pictures(source, skip_corrupt=skip_corrupt).inputs
        if skip_corrupt:
            raise DataError("images.no_folder", label=self.target_name)
        return read_features(source, self.kinds)

    def pictures(self, source: object, *, skip_corrupt: bool = False) -> Pictures:
        """Return the images of a source for a model of images, with the names of their files, where it has files.

        ``source`` and errors are those of `predict`.
        """
        from wellfit.data.images import read_pictures

        return read_pictures(source, self.inputs, self.scale, resize=self.resized, skip_corrupt=skip_corrupt)

    def prepared(self, source: object) -> tuple[Array, ...]:
        """Return what the networks take for the rows of a source: one array for each preprocessing.

        It is what the module of `to_torch` and the graph of `to_onnx` are given: the design matrix (n, d) float64 of
        the columns, for an ensemble one for each different preprocessing (networks of several folds), in order; or the
        images (n, channels, height, width). ``source`` and errors are those of `predict`.
        """
        rows = self.read(source)
        return tuple(group[0][0].design(rows) for group in self.groups)

    def to_torch(self, *, logits: bool = False) -> Any:
        """Return the model as a ``torch.nn.Module``: see `wellfit.nets.torch_export`. Needs the extra ``torch``."""
        from wellfit.nets.torch_export import to_torch

        return to_torch(self, logits=logits)

    def to_onnx(self, path: str | Path, *, logits: bool = False) -> Path:
        """Write the model as an ONNX graph, and return its path: see `wellfit.nets.onnx_export`.

        Needs the extra ``onnx``, and ``torch`` for a PyTorch module.
        """
        from wellfit.nets.onnx_export import to_onnx

        return to_onnx(self, Path(path), logits=logits)

    def save(self, path: str | Path) -> Path:
        """Write the model into one safetensors file (no pickle), all at once, and return its path.

        Equal models give equal files. Raises ``OSError`` where the place cannot be written.
        """
        from wellfit.nets.storage import write

        return write(self, Path(path))

    @staticmethod
    def load(path: str | Path, *, network: NetworkLike | None = None) -> Fitted | Ensemble:
        """Read a model from its file, or from the folder of a run: one network, or an ensemble.

        A file holds numbers, never code. Modules that come with wellfit are found by their names; for a module of your
        own give it: ``Fitted.load(path, network=wf.module("my-net", factory))``. Its layers, and its outputs for a
        trial input, must be those that the file speaks of. Raises `ModelFileError` where they are not, and where the
        file is missing, damaged, foreign or made by a newer version.
        """
        from wellfit.nets.storage import read

        return read(Path(path), network)


@dataclass(frozen=True, eq=False)
class Fitted(Predictor):
    """A trained network with everything that a prediction needs: from a table's columns, or images, to its outputs.

    ``parameters`` is flat, (P,), float32 or float64, in the layout of `MLP`, or (T,) in that of a module (`Layout`).
    ``kinds`` names the columns it reads and what each is. Where the table had inputs in place of columns, there is no
    ``preprocessor``, and ``inputs`` is the shape of one of them, (channels, height, width), with the `Table`'s
    ``scale`` and ``resized``. ``target_mean`` and ``target_scale`` turn outputs back into the target's unit
    (regression). ``rows`` is the number of rows it was trained on, ``stop_rows`` that of the rows early stopping looked
    at, ``seed`` its member's. ``notes`` says where it comes from: ``engine``, ``version``, ``data``, text by name.
    """

    network: Network
    cocktail: Cocktail
    training: Training
    preprocessor: Preprocessor | None
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
    inputs: tuple[int, ...] = ()
    scale: Scale = "bytes"
    resized: bool = False

    @property
    def groups(self) -> list[list[tuple[Fitted, float]]]:
        """This network alone, of weight 1."""
        return [[(self, 1.0)]]

    @property
    def outputs(self) -> int:
        """Number of outputs k: the classes where there are more than two, else 1."""
        return len(self.classes) if self.task == "multiclass" else 1

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the prepared features, d of them; none where inputs stand in place of columns."""
        return () if self.preprocessor is None else self.preprocessor.feature_names

    @property
    def takes(self) -> Inputs:
        """What the network takes of each row: d numbers, or a shape such as (channels, height, width)."""
        if self.preprocessor is not None:
            return len(self.feature_names)
        flat = isinstance(self.network, MLP) or len(self.inputs) == 1
        return math.prod(self.inputs) if flat else self.inputs

    @property
    def weights(self) -> list[Array]:
        """The weight matrices and kernels, as views, in order."""
        return self.network.weights(self.parameters, self.takes, self.outputs, batch_norm=self._normalized)

    @property
    def layers(self) -> list[tuple[Array, Array]]:
        """The weights and biases, [(W of shape (out, in), b of shape (out,)), ...], as views.

        Raises `UnsupportedError` for a module, whose layers are of many kinds: see ``weights`` and `to_torch`.
        """
        return self._plain("layers").unpack(self.parameters, self.takes, self.outputs)

    def outputs_of(self, rows: Rows) -> Array:
        """Return probabilities (n, k) (k is 1 for two classes: that of the second) or values (n, 1).

        ``rows`` are as in `Table`: columns by name, (n,) each, of this model's kinds, or inputs (n, ...).
        """
        parts = [np.empty((0, self.outputs))]
        parts += [self.outputs_at(self.design(chunk)) for chunk in self.chunks(rows)]
        return np.concatenate(parts)

    def chunks(self, rows: Rows) -> Iterator[Rows]:
        """Yield the rows, of the columns that this model reads, in runs whose design matrix is not too large."""
        step = max(1, _CHUNK_CELLS // max(1, int(np.prod(self.takes))))
        if not isinstance(rows, Mapping):
            for start in range(0, len(rows), step):
                yield rows[start : start + step]
            return
        names = list(self.kinds)
        for start in range(0, len(rows[names[0]]), step):
            yield {name: rows[name][start : start + step] for name in names}

    def design(self, rows: Rows) -> Array:
        """Return what `outputs_at` takes: the design matrix (n, d) of columns, inputs (n, ...) as they are."""
        if isinstance(rows, Mapping):
            assert self.preprocessor is not None
            return self.preprocessor.transform(rows)
        return rows

    def outputs_at(self, x: Array) -> Array:
        """Return what `outputs_of` returns, for what `design` gives: (n, d), or inputs (n, ...).

        An MLP computes in float64, a module in the precision of its parameters.
        """
        from wellfit.data.prepare import flattened

        parameters = self.parameters
        if isinstance(self.network, MLP):
            parameters = parameters.astype(np.float64)
            x = flattened(x) if self.preprocessor is None else x
        raw = self.network.forward(parameters, x, self.outputs, batch_norm=self._normalized)
        outputs = link(self.task, raw)
        return outputs * self.target_scale + self.target_mean if self.task == "regression" else outputs

    @property
    def built(self) -> Built:
        """The network as a PyTorch module made ready: see `wellfit.nets.built`. Needs the extra ``torch``."""
        from wellfit.nets.built import build

        return build(self.network, self.takes, self.outputs, self._normalized)

    @property
    def _normalized(self) -> bool:
        """Whether the network normalizes; an MLP's normalization is folded into its weights."""
        return not isinstance(self.network, MLP) and self.cocktail.get(BatchNorm) is not None

    def code(self, dialect: str) -> str:
        """Return a script that builds and trains this network in another library: ``keras``, ``torch``, ``sklearn``.

        It expects prepared features; what the library cannot do the same way stands in its comments. Raises
        `SettingError` for an unknown library, `UnsupportedError` for a module, whose code is the user's own.
        """
        from wellfit.nets.code import code

        network = self._plain("code")
        together = self.rows + self.stop_rows
        share = {"stop_share": self.stop_rows / together} if self.stop_rows else {}
        return code(
            network,
            self.cocktail,
            self.training,
            inputs=int(np.prod(self.takes)),
            outputs=self.outputs,
            task=self.task,
            rows=self.rows,
            dialect=dialect,
            seed=self.seed,
            **share,
        )

    def _plain(self, wanted: str) -> MLP:
        """Return the network where it is an MLP. Raises `UnsupportedError`, which says what was wanted of a module."""
        if not isinstance(self.network, MLP):
            raise UnsupportedError("fitted.module_only", name=self.network.name, wanted=wanted)
        return self.network
