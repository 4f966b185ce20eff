"""Read a decomposition off the histories of its population. Axes: R resamples, S seeds, n rows scored, k outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wellfit.evidence import decomposition as arithmetic
from wellfit.evidence.decomposition import Estimate
from wellfit.messages import say
from wellfit.records import Decomposition, History, Interval
from wellfit.records.decomposition import Loss
from wellfit.select.bias_variance_data import Resamples


def read_parts(
    histories: Sequence[History], resamples: int, seeds: int, given: Resamples, exact: bool, seed: int
) -> dict[Loss, Decomposition]:
    """Return the decomposition of each loss. ``histories`` are of one strength: resamples, then seeds; none diverged.

    In regression the loss is the squared error; in classification the log-loss, the Brier score and the 0-1 loss.
    ``exact`` says that seeds make no difference, ``seed`` draws the replicates of the 0-1 loss.
    """
    predictions = np.stack([h.predictions for h in histories])
    predictions = predictions.reshape(resamples, seeds, *predictions.shape[1:])
    rows = {"weights": given.weights, "groups": given.groups}
    found: dict[Loss, Mapping[str, Estimate]] = {}
    if given.table.task == "regression":
        truth = None if given.truth is None else given.truth[:, None]
        found["squared"] = arithmetic.estimates(
            arithmetic.squared(predictions, given.target[:, None].astype(np.float64), truth), **rows
        )
        return {loss: _decomposition(loss, parts, given, exact) for loss, parts in found.items()}
    classes = len(given.table.classes)
    chances = arithmetic.both_classes(predictions)
    found["log-loss"] = arithmetic.estimates(arithmetic.log_loss(chances, given.target, given.truth), **rows)
    brier = arithmetic.squared(chances, np.eye(classes)[given.target], given.truth)
    if given.truth is not None:  # the noise is known, and need not be measured by the labels drawn
        noise = 1 - (given.truth**2).sum(axis=1)
        brier["total"] = brier["total"] - brier["noise"] + noise
        brier["noise"] = np.broadcast_to(noise, brier["noise"].shape)
    found["brier"] = arithmetic.estimates(brier, **rows)
    labels = (predictions[..., 0] > 0.5).astype(np.int64) if predictions.shape[-1] == 1 else chances.argmax(axis=-1)
    found["0-1"] = arithmetic.zero_one(labels, given.target, classes, given.truth, seed).estimates(**rows)
    return {loss: _decomposition(loss, parts, given, exact) for loss, parts in found.items()}


def _decomposition(loss: Loss, parts: Mapping[str, Estimate], given: Resamples, exact: bool) -> Decomposition:
    known = given.truth is not None
    rows = {"rows": given.train_rows, "scored": len(given.target)}

    def interval(name: str) -> Interval | None:
        if name not in parts:
            return None
        what = say(f"bias_variance.what_{_WORDS[loss].get(name, name)}")
        if name == "bias" and not known:
            what = say("bias_variance.what_bias_noise", bias=what)
        return parts[name].interval(
            say("bias_variance.fresh" if known else "bias_variance.bootstrap", what=what, **rows)
        )

    data, seed = interval("data"), interval("seed")
    if exact and loss != "0-1":
        data = interval("variance")
        seed = Interval(0.0, 0.0, 0.0, say("bias_variance.exact_seed"))
    total, bias, variance = interval("total"), interval("bias"), interval("variance")
    assert total is not None
    assert bias is not None
    assert variance is not None
    unbiased, biased = interval("unbiased"), interval("biased")
    return Decomposition(loss, total, bias, variance, interval("noise"), data, seed, unbiased, biased)


_WORDS: Mapping[Loss, Mapping[str, str]] = {
    "squared": {"bias": "bias_squared"},
    "brier": {"bias": "bias_squared"},
    "log-loss": {"bias": "bias_log"},
    "0-1": {"bias": "bias_main", "variance": "net_variance"},
}


def lowest(parts: Sequence[Decomposition | None]) -> int:
    """Return where the total is lowest, the first of equals; -1 where nothing is known."""
    totals = np.array([np.nan if part is None else part.total.mean for part in parts])
    return -1 if np.isnan(totals).all() else int(np.nanargmin(totals))


def diverged(histories: Sequence[History]) -> int:
    """Return how many members diverged."""
    return sum(h.status == "diverged" for h in histories)
