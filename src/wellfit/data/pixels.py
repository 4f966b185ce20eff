"""Arrays of images: which axis holds the channels, and on what scale the numbers are.

An image is (channels, height, width) with 1 channel (grey) or 3 (red, green, blue), kept as bytes wherever the numbers
of its source are bytes, or bytes divided by 255. Networks read a byte x as x / 127.5 - 1, from -1 to 1: a fixed rule,
so that nothing is learned from any row and nothing can leak.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from wellfit.data.raw import Column, Numbers, Raw, Words, brief, listing
from wellfit.errors import DataError
from wellfit.messages import say
from wellfit.records import Array, Finding, Scale

CHANNELS = (1, 3)
TARGET = "label"
# An image whose brightest byte is below this was hardly meant to be that dark.
_DIM = 64


def image_table(
    x: Array,
    y: Column,
    label: str,
    title: str,
    *,
    target: str = TARGET,
    task: str | None = None,
    names: tuple[str, ...] = (),
) -> Raw:
    """Return images (n, h, w), (n, h, w, c) or (n, c, h, w) and their target as a raw table.

    ``names`` are those of the classes that the target codes as 0, 1, ... Raises `DataError` for another shape, for
    counts that disagree and for a code without a name.
    """
    if len(x) != len(y):
        raise DataError("data.lengths_differ", rows=len(x), targets=len(y))
    if x.size == 0:
        raise DataError("data.empty_table", label=label)
    x, findings = channels_first(x, label)
    raw = Raw(label, title, {target: y}, len(x), target=target, task=task, inputs=x, findings=findings)
    return with_class_names(raw, names) if names else raw


def channels_first(x: Array, label: str) -> tuple[Array, tuple[Finding, ...]]:
    """Return images as (n, channels, height, width), a view where possible, and what was assumed about the axes.

    The axis of 1 or 3 holds the channels; where both ends could, the first is taken.

    >>> channels_first(np.zeros((2, 8, 9)), "X")[0].shape, channels_first(np.zeros((2, 8, 9, 3)), "X")[0].shape
    ((2, 1, 8, 9), (2, 3, 8, 9))
    """
    if x.ndim == 3:
        return x[:, None], ()
    if x.ndim != 4:
        raise DataError("images.dimensions", label=label, shape=x.shape)
    first, last = x.shape[1] in CHANNELS, x.shape[3] in CHANNELS
    if first and last:
        text = say("images.found_channels", label=label, shape=x.shape)
        return x, (Finding("assumed_channels", text),)
    if not first and not last:
        raise DataError("images.channels", label=label, shape=x.shape)
    return (x if first else np.moveaxis(x, 3, 1)), ()


def with_class_names(raw: Raw, names: tuple[str, ...]) -> Raw:
    """Return the table with these names for the classes 0, 1, ... of its target. Raises what `named_classes` does."""
    assert raw.target is not None
    column = named_classes(raw.columns[raw.target], names, raw.label)
    return replace(raw, columns={**raw.columns, raw.target: column}, class_names=names)


def named_classes(y: Column, names: tuple[str, ...], label: str) -> Words:
    """Return codes 0, 1, ..., or words that are among the names, as classes with names.

    Raises `DataError` for two equal names, for a code or a word without a name.
    """
    refuse_equal(names, label)
    if isinstance(y, Numbers):
        codes = np.where(np.isin(y.values, np.arange(len(names))), y.values, -1)
    else:
        # Words were stripped when they were read.
        places = {name.strip(): i for i, name in enumerate(names)} | {name: i for i, name in enumerate(names)}
        codes = np.array([places.get(word, -1) for word in y.words])[y.codes]
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        value = f"{y.values[row]:g}" if isinstance(y, Numbers) else brief(y.words[y.codes[row]])
        shown = {"names": listing(names), "last": len(names) - 1}
        raise DataError("images.code_without_name", label=label, value=value, **shown)
    words = Words(codes.astype(np.int64), names, categorical=True, literal=True)
    return words.take(np.arange(len(codes)))  # a class that no row has is none


def refuse_equal(names: tuple[str, ...], label: str) -> None:
    """Raise `DataError` where two classes have the same name."""
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DataError("pictures.equal_names", label=label, name=brief(twice), count=names.count(twice))


def coded_alike(test: Raw, train: Raw) -> Raw:
    """Return test rows without names of classes whose whole numbers are codes of the names that ``train`` has."""
    column = test.columns.get(test.target or "")
    names = train.class_names
    if not names or test.class_names or not isinstance(column, Numbers):
        return test
    return with_class_names(test, names) if np.isin(column.values, np.arange(len(names))).all() else test


def settle_inputs(raw: Raw, findings: list[Finding], like: Raw | None = None) -> Raw:
    """Return the table with inputs as networks get them, and their scale; ``like`` is the settled training table.

    Bytes, whole numbers from 0 to 255 and bytes divided by 255 become bytes; other fractions from 0 to 1 become
    float32 as networks read bytes; other numbers are float32 as given, which a finding says. Raises `DataError` for
    whole numbers that are no bytes, for a number that is not finite, and where ``like`` has another shape or scale.
    """
    assert raw.inputs is not None
    if raw.scale is None:
        x, found = _on_scale(raw, None if like is None else like.scale)
        raw = replace(raw, inputs=x, scale=found)
    assert raw.inputs is not None
    if raw.scale == "given" and raw.inputs.ndim == 4 and like is None:
        key = "pictures.found_unit" if _in_unit(raw.inputs) else "images.found_given"
        findings.append(Finding("assumed_scale", say(key, label=raw.label, **_range(raw.inputs))))
    if like is not None:
        return _fitted(raw, like)
    if raw.inputs.dtype == np.uint8 and (top := int(raw.inputs.max())) < _DIM:
        findings.append(Finding("dim", say("images.found_dim", label=raw.label, top=top)))
    return raw


def _on_scale(raw: Raw, wanted: Scale | None) -> tuple[Array, Scale]:
    """Return inputs as bytes or float32, and which scale that is; ``wanted`` leaves no choice."""
    x: Array = np.asarray(raw.inputs)
    if x.dtype == bool:
        x = x * np.uint8(255)
    if x.dtype.kind not in "iuf":
        raise DataError("images.not_numbers", label=raw.label, type=x.dtype)
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        place = raw.place(int(np.argmin(np.isfinite(x).reshape(len(x), -1).all(axis=1))))
        raise DataError("images.not_finite", label=raw.label, place=place)
    if wanted == "tokens" and x.dtype.kind in "iu":
        return _own(x, np.int64), "tokens"
    if wanted == "given" and x.dtype != np.uint8:
        return _own(x, np.float32), "given"
    low, high = x.min(), x.max()
    if x.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise DataError("images.no_bytes", label=raw.label, **_range(x))
        return _own(x, np.uint8), "bytes"
    if low >= 0 and high <= 1:
        near = np.rint(x * x.dtype.type(255))
        exact = np.abs(x * x.dtype.type(255) - near).max() <= min(1e-3, 1024 * float(np.finfo(x.dtype).eps))
        return (_own(near, np.uint8), "bytes") if exact else (_own(x * 2 - 1, np.float32), "bytes")
    if low >= 0 and high <= 255 and (x == np.rint(x)).all():
        return _own(x, np.uint8), "bytes"
    if wanted == "bytes":
        raise DataError("images.other_scale", label=raw.label, **_range(x))
    return _own(x, np.float32), "given"


def _range(x: Any) -> dict[str, str]:
    return {"low": f"{x.min():g}", "high": f"{x.max():g}"}


def _own(x: Array, kind: type) -> Array:
    """Return a contiguous array that may be written to: PyTorch takes no other."""
    return np.require(x, kind, ["C", "W"])


def _fitted(raw: Raw, like: Raw) -> Raw:
    """Return a settled test table shaped as ``like``, whose three channels grey images fill."""
    x, y = raw.inputs, like.inputs
    assert x is not None
    assert y is not None
    if x.ndim == 4 and y.ndim == 4 and x.shape[1] == 1 and y.shape[1] == 3:
        x = np.repeat(x, 3, axis=1)
    if x.shape[1:] != y.shape[1:]:
        raise DataError("images.other_shape", label=raw.label, shape=x.shape[1:], expected=y.shape[1:])
    if raw.scale != like.scale:  # bytes, where those to learn from were prepared in a way that nobody told
        raise DataError("images.other_scale", label=raw.label, **_range(x))
    return replace(raw, inputs=x)


def extremes(x: Array) -> Array:
    """Return the least and the largest number of each channel of each image (n, C, H, W), as (n, 2, C)."""
    return np.stack([x.min(axis=(2, 3)), x.max(axis=(2, 3))], axis=1)


def tones(found: Array) -> Array:
    """Return what is black and what white to images with these `extremes`, (n, 2, C), by channel: (2, C).

    Fractions from 0 to 1 have black at 0 and white at 1; other numbers at the least and the largest of each channel.

    >>> tones(np.array([[[0.1], [0.9]], [[0.2], [0.8]]])).tolist(), tones(np.array([[[-2.0], [2.2]]])).tolist()
    ([[0.0], [1.0]], [[-2.0], [2.2]])
    """
    black, white = found[:, 0].min(axis=0), found[:, 1].max(axis=0)
    if _in_unit(found):
        black, white = np.zeros_like(black), np.ones_like(white)
    return np.stack([black, white])


def _in_unit(x: Array) -> bool:
    return bool(x.min() >= 0 and x.max() <= 1)


def joined(parts: list[Array]) -> Array:
    """Return inputs of the same shape and scale as one array; bytes beside fractions become what networks read."""
    if len(parts) == 1:
        return parts[0]
    if len({part.dtype for part in parts}) > 1:
        parts = [as_read(part, np.float32) if part.dtype == np.uint8 else part for part in parts]
    return np.concatenate(parts)


def as_read(x: Array, kind: type = np.float64) -> Array:
    """Return bytes as networks read them, from -1 to 1; other numbers as they are.

    >>> as_read(np.array([0, 255], dtype=np.uint8)).tolist()
    [-1.0, 1.0]
    """
    return x.astype(kind) / kind(127.5) - kind(1) if x.dtype == np.uint8 else x.astype(kind)
