"""Rules on what loaders yield: augmentation on validation, smoothing hidden in mixup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from wellfit.messages import say
from wellfit.torch.rules.advice import Advice

ITEMS, READS = 8, 8  # items of the validation data, and how often each is read
ROWS = 16  # rows of the batch that is looked at
_RANDOM = ("random", "jitter", "augment", "augmix", "erasing", "cutout", "mixup", "cutmix", "noise", "dropout")
_MIXES = ("mixup", "cutmix")
_CLOSE = 1e-6
# Where a data set keeps its transforms, and where one wraps another.
_TRANSFORMS = ("transform", "transforms", "target_transform", "augmentation", "augment")
_WRAPPED = ("dataset", "datasets")


def data_rules(loader: object, batch: object, validation: object, loss: object) -> Iterator[Advice]:
    """Yield the advice on the training loader and its first batch, the validation data and the loss."""
    if validation is not None and (found := _changing(validation)):
        index, names = found
        text = say("toolbox.augmented_validation", index=index)
        if names:
            text = say("toolbox.augmented_by", text=text, names=", ".join(names))
        yield Advice("augmented_validation", names or ("validation",), text, say("toolbox.mend_augmented_validation"))
    yield from smoothing_rule(*_targets(loader, batch), loss)


def smoothing_rule(mixed: bool, smoothed: bool, loss: object) -> Iterator[Advice]:
    """Yield the advice on targets that are mixed, and smoothed too: by themselves or by the loss."""
    smoothing = float(getattr(loss, "label_smoothing", 0.0) or 0.0)
    if mixed and (smoothing or smoothed):
        key = "toolbox.smoothed_mixup" if smoothing else "toolbox.smoothed_mixup_in_targets"
        text = say(key, smoothing=f"{smoothing:g}")
        place = "loss" if smoothing else "loader"
        yield Advice("smoothed_mixup", (place,), text, say("toolbox.mend_smoothed_mixup"))


def first_batch(loader: object) -> object | None:
    """Return the first few rows of a loader as a batch, or None where looking would use it up, as of a stream."""
    if loader is None:
        return None
    if isinstance(loader, DataLoader) and not _indexed(loader.dataset):
        return None
    if isinstance(loader, DataLoader) and loader.batch_size is not None:
        rows = min(ROWS, len(loader.dataset))  # type: ignore[arg-type]  # it is indexed
        count = max(rows - rows % 2, min(rows, 1))  # mixing in pairs wants an even count
        keys = _keys(loader, range(count))
        return loader.collate_fn([loader.dataset[key] for key in keys]) if keys else None
    batches = iter(loader)  # type: ignore[call-overload]  # whatever yields batches
    return None if batches is loader else next(batches, None)


def _keys(data: Any, places: Sequence[int]) -> list[Any]:
    """Return what the items at some places go by: the places, or where there is no such item, the sampler's first keys.

    A data set of named items without a loader has none.
    """
    dataset = data.dataset if isinstance(data, DataLoader) else data
    if not places:
        return []
    try:
        dataset[places[0]]
    except Exception:  # whatever a data set raises for a key that it does not have
        if not isinstance(data, DataLoader):
            return []
        batches = data.batch_sampler
        keys = data.sampler if batches is None else chain.from_iterable(batches)
        return list(islice(keys, len(places)))
    return list(places)


def inputs_of(batch: object, model: nn.Module) -> tuple | dict | None:
    """Return what a batch gives the model: its parts but the last, or all of a mapping, on the model's device."""
    at = next(model.parameters()).device
    if isinstance(batch, Mapping):
        return {name: part.to(at) if isinstance(part, torch.Tensor) else part for name, part in batch.items()}
    if batch is None:
        return None
    parts = tuple(batch[:-1]) if isinstance(batch, tuple | list) and len(batch) > 1 else (batch,)
    return tuple(part.to(at) if isinstance(part, torch.Tensor) else part for part in parts)


def tensors_in(value: object) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested tuples, lists, mappings and dataclasses."""
    parts: Iterable[Any] = ()
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, tuple | list):
        parts = value
    elif is_dataclass(value):
        parts = [getattr(value, each.name) for each in fields(value)]
    for part in parts:
        yield from tensors_in(part)


# --- augmentation on validation


def _indexed(dataset: object) -> bool:
    by_index = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    return by_index and not isinstance(dataset, IterableDataset)


def _changing(validation: object) -> tuple[Any, tuple[str, ...]] | None:
    """Return the key of an item that differs from one reading to the next, and what changes it by name; or None."""
    dataset = validation.dataset if isinstance(validation, DataLoader) else validation
    if not _indexed(dataset):
        return None
    count = len(dataset)  # type: ignore[arg-type]  # it is indexed
    places = sorted({int(i) for i in np.linspace(0, count - 1, min(ITEMS, count))})
    for key in _keys(validation, places):
        first = dataset[key]  # type: ignore[index]  # it is indexed
        if not all(same(first, dataset[key]) for _ in range(READS - 1)):  # type: ignore[index]  # it is indexed
            return key, tuple(dict.fromkeys(_random_parts(dataset)))
    return None


def same(a: Any, b: Any) -> bool:
    """Return whether two readings of an item hold the same numbers; what cannot be compared counts as the same."""
    if a is b:
        return True
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and bool(torch.all((a == b) | ((a != a) & (b != b))))
    if isinstance(a, np.ndarray | np.generic) or hasattr(a, "__array_interface__"):  # arrays, and pictures of Pillow
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and bool(np.all((a == b) | ((a != a) & (b != b))))
    if isinstance(a, int | float | str | bytes):
        return a == b or (a != a and b != b)
    return True


def _random_parts(dataset: Any, depth: int = 4) -> Iterator[str]:
    """Yield the class names of transforms that look random, through data sets that wrap others."""
    for attribute in _TRANSFORMS:
        yield from _random_names(getattr(dataset, attribute, None), depth)
    for attribute in _WRAPPED if depth else ():
        inner = getattr(dataset, attribute, None)
        for each in inner if isinstance(inner, tuple | list) else (inner,):
            if each is not None:
                yield from _random_parts(each, depth - 1)


def _random_names(transform: Any, depth: int) -> Iterator[str]:
    if transform is None or depth < 0:
        return
    parts = transform if isinstance(transform, tuple | list) else getattr(transform, "transforms", None)
    if isinstance(parts, tuple | list):
        for part in parts:
            yield from _random_names(part, depth - 1)
        return
    name = _name(transform)
    if any(word in name.lower() for word in _RANDOM):
        yield name


def _name(part: object) -> str:
    return getattr(part, "__name__", type(part).__name__)


# --- smoothing in mixup


def _targets(loader: object, batch: object) -> tuple[bool, bool]:
    """Return whether a loader mixes its targets, and whether it smooths them too, by a batch of them or by name."""
    collate = getattr(loader, "collate_fn", None)
    mixed = any(word in _name(collate).lower() for word in _MIXES)
    target = batch[-1] if isinstance(batch, tuple | list) and len(batch) > 1 else None
    by_numbers, smoothed = mixes(target)
    return mixed or by_numbers, smoothed or bool(getattr(collate, "label_smoothing", 0.0) and mixed)


def mixes(target: object) -> tuple[bool, bool]:
    """Return whether class probabilities (n, k) are mixed, and whether smoothed as well.

    Mixing two hard labels leaves at most two classes above 0 in each row; smoothing lifts all classes from 0, in all
    rows alike. Other probabilities, such as a teacher's, are neither. With two classes a smoothed row and a mixed one
    look alike, but where some rows are hard, nothing was smoothed.

    >>> mixes(torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0]])), mixes(torch.tensor([[0.66, 0.28, 0.06]]))
    ((True, False), (True, True))
    >>> mixes(torch.tensor([[0.9, 0.05, 0.05]])), mixes(torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.2, 0.1]]))
    ((False, True), (False, False))
    """
    if not isinstance(target, torch.Tensor) or not target.is_floating_point() or target.ndim != 2:
        return False, False
    rows, classes = target.shape
    sums = target.sum(dim=1)
    if not rows or classes < 2 or bool(((sums - 1).abs() > 1e-3).any()) or bool((target < -_CLOSE).any()):
        return False, False  # no probabilities: several labels at once, or values
    if classes == 2:
        hard = target.max(dim=1).values > 1 - _CLOSE
        return bool(hard.any() and not hard.all()), False
    floor = target.min(dim=1, keepdim=True).values
    above = (target > floor + _CLOSE).sum(dim=1)
    if bool((above > 2).any()) or bool((floor.max() - floor.min()) > _CLOSE):
        return False, False
    return bool((above > 1).any()), bool((floor > _CLOSE).any())
