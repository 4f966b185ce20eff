"""PyTorch's own sources: a ``Dataset`` or ``DataLoader`` of items (input, target). PyTorch is never imported here:
who hands over a dataset has done so.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from wellfit.data.frames import read_table, to_target
from wellfit.data.image_files import pixels_of
from wellfit.data.pixels import TARGET, with_class_names
from wellfit.data.raw import Column, Raw, brief
from wellfit.data.torch_samplers import items_of
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding, Scale

# An item is read so often, with other random numbers each time, to see whether it is always the same.
_PROBED, _TIMES = 6, 4
_SOURCES = ("Dataset", "DataLoader")


def is_torch(value: object, *names: str) -> bool:
    """Tell whether a value is a dataset or data loader of PyTorch (or one of those of its classes that are named)."""
    torch = sys.modules.get("torch")
    data = None if torch is None else getattr(torch.utils, "data", None)
    return data is not None and isinstance(value, tuple(getattr(data, name) for name in names or _SOURCES))


def read_torch(source: Any) -> Raw:
    """Return the items (input, target) of a dataset, read once in their order, as a raw table.

    Of a data loader its dataset is read, those items that it can give: no batches, no shuffling. Whole numbers
    and words as targets are classes, named by the dataset's ``classes`` where it has them; of other numbers
    `wellfit.data.target.understand` decides. Inputs are taken as they come: rows of fractions or bytes (d,) become
    columns, whole numbers tokens, bytes images. No global generator of random numbers is left changed. Raises
    `DataError` naming the first item that is no pair, that has another shape or an impossible target, that cannot be
    read, or that is not the same when it is read again.
    """
    dataset, rows, findings = _rows_of(source)
    if len(rows) == 0:
        raise DataError("data.empty_table", label=_label())
    if type(dataset) is sys.modules["torch"].utils.data.TensorDataset:
        if len(dataset.tensors) != 2:
            raise DataError("images.tensors", count=len(dataset.tensors))
        inputs, targets = (_array(tensor)[rows] for tensor in dataset.tensors)
    else:
        with kept_generators():
            _refuse_random(dataset, rows)
            inputs, targets = _walk(dataset, rows)
    title = type(dataset).__name__
    names = _class_names(dataset)
    _, column = to_target(targets, len(rows), TARGET)
    if inputs.ndim == 1 or (inputs.ndim == 2 and inputs.dtype.kind != "i"):
        raw = _columns(inputs, column, title)
    else:
        raw = _inputs(inputs, column, title)
    task = None if targets.dtype.kind == "f" else "classification"
    raw = replace(raw, label=_label(), target=TARGET, task=task, findings=findings)
    return with_class_names(raw, names) if names and targets.dtype.kind in "iu" else raw


def _label() -> str:
    return say("images.label_torch")


def _columns(x: Array, y: Column, title: str) -> Raw:
    raw = read_table(x, title)
    return replace(raw, columns={**raw.columns, TARGET: y})


def _inputs(x: Array, y: Column, title: str) -> Raw:
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        item = int(np.argmin(np.isfinite(x).reshape(len(x), -1).all(axis=1)))
        raise DataError("images.item_not_finite", item=item)
    scale: Scale = "bytes" if x.dtype == np.uint8 else "tokens" if x.dtype.kind == "i" else "given"
    return Raw(_label(), title, {TARGET: y}, len(x), target=TARGET, inputs=x, scale=scale)


def _rows_of(source: Any) -> tuple[Any, Array, tuple[Finding, ...]]:
    """Return the dataset behind a source, the items of it that count, and what was assumed."""
    loader = source if is_torch(source, "DataLoader") else None
    dataset = source if loader is None else loader.dataset
    try:
        count = len(dataset)
    except TypeError:
        raise DataError("images.no_length", type=type(dataset).__name__) from None
    if is_torch(dataset, "IterableDataset"):
        raise DataError("images.no_length", type=type(dataset).__name__)
    return (dataset, np.arange(count), ()) if loader is None else (dataset, *items_of(loader, count))


@contextmanager
def kept_generators() -> Iterator[None]:
    """While the block runs, the global generators of Python, NumPy and PyTorch start from a fixed seed; afterwards
    they are as they were.
    """
    torch = sys.modules["torch"]
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # this is about the global generator
    # The processor's generator alone: items are made there, and asking a GPU for its state would start it.
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002  # the global one
            torch.default_generator.manual_seed(0)
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002  # the global one


def _item(dataset: Any, index: int) -> tuple[Array, Any]:
    """Return the input and the target of an item. Raises `DataError` where it is no pair of them."""
    try:
        item = dataset[index]
    except Exception as error:  # the dataset's own code
        reason = brief(f"{type(error).__name__}: {error}", 200)
        raise DataError("images.item_failed", item=index, reason=reason) from error
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError("images.no_pair", item=index, type=type(item).__name__)
    return _array(item[0], index), item[1]


def _array(value: Any, index: int = 0) -> Array:
    """Return an input as float32, int64 or uint8. Raises `DataError` where it is no array of numbers."""
    torch = sys.modules["torch"]
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(value, pillow.Image):
        pixels = pixels_of(value, say("pictures.label_item", item=index), form=value.format)
        return np.moveaxis(pixels, 2, 0) if pixels.ndim == 3 else pixels[None]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "iufb":
        raise DataError("images.no_numbers", item=index, type=type(value).__name__)
    if array.dtype == np.uint8:
        return array
    return array.astype(np.float32 if array.dtype.kind in "fb" else np.int64)


def _walk(dataset: Any, rows: Array) -> tuple[Array, Array]:
    """Return all inputs (n, ...) and targets (n,), each item read once and in order."""
    first, _ = _item(dataset, int(rows[0]))
    inputs = np.empty((len(rows), *first.shape), dtype=first.dtype)
    targets = []
    for place, index in enumerate(rows.tolist()):
        x, y = _item(dataset, index)
        if x.shape != first.shape or x.dtype != first.dtype:
            kinds = {"shape": _kind(x), "expected": _kind(first)}
            raise DataError("images.item_shape", item=index, **kinds)
        inputs[place] = x
        targets.append(_target(y, index))
    return inputs, np.array(targets)


def _kind(x: Array) -> str:
    return f"{x.shape} {x.dtype}"


def _target(value: Any, index: int) -> Any:
    """Return a target as one number or word. Raises `DataError` for anything else."""
    if isinstance(value, str):
        return value
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        array = np.empty(0)
    if array.size != 1 or array.dtype.kind not in "iufbU":
        raise DataError("images.item_target", item=index, shape=array.shape)
    return array.reshape(-1)[0].item()


def _refuse_random(dataset: Any, rows: Array) -> None:
    """Raise `DataError` where an item is another one each time: augmentation would reach validation rows, frozen."""
    for index in np.unique(rows[np.linspace(0, len(rows) - 1, _PROBED).astype(np.int64)]).tolist():
        first, _ = _item(dataset, index)
        for _ in range(_TIMES - 1):
            again, _ = _item(dataset, index)
            if again.shape != first.shape or not np.array_equal(again, first, equal_nan=first.dtype.kind == "f"):
                raise DataError("images.random_items", item=index)


def _class_names(dataset: Any) -> tuple[str, ...]:
    """Return the names of the classes where a dataset, or the one that it is a subset of, states them."""
    while is_torch(dataset, "Subset"):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", None)
    return tuple(map(str, names)) if isinstance(names, Sequence) and not isinstance(names, str) else ()
