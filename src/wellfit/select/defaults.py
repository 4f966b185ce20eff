"""What is compared where nothing was asked for: network, training, seeds and cocktails.

The rules look at the size of the table only, never at scores, and always assume the default list of cocktails, so that
adding a cocktail changes no other's result. What they were measured on stands in ``docs/defaults.md``.
"""

from __future__ import annotations

from wellfit.cocktail import Cocktail, Dropout, as_cocktails
from wellfit.nets import MLP, Training
from wellfit.nets.training import batches
from wellfit.records import Array, Table
from wellfit.select.budget import step_seconds

FOLDS = 5
LEARNING_RATE = 3e-3
# (rows, batch size): the batch of the first line whose count of rows is not reached.
BATCHES = ((2_000, 32), (5_000, 64), (20_000, 128), (200_000, 256))
LARGEST_BATCH = 1024
# Steps after which an unregularized network has long overfitted a small table.
STEPS, QUICK_STEPS = 2_000, 1_500
# Training of all members, in seconds of two cores as they were when this was measured.
SECONDS, QUICK_SECONDS = 45.0, 7.0
LEAST_EPOCHS, MOST_EPOCHS = 2, 400

_FULL = """
none; l2=1e-3; l2=1e-2; l2=3e-2; l1=1e-3; elastic_net=1e-2; weight_decay=0.3; weight_decay=1; dropout=0.1; dropout=0.3;
early_stopping=10; l2=1e-2 + dropout=0.1; l1=1e-3 + dropout=0.2; l2=1e-3 + early_stopping=10
"""
_QUICK = """
none; l2=1e-3; l2=1e-2; l1=1e-3; weight_decay=1; dropout=0.2; early_stopping=10; l1=1e-3 + dropout=0.2
"""


def default_cocktails(*, quick: bool = False, network: MLP | None = None) -> tuple[Cocktail, ...]:
    """Return the cocktails to compare, "none" first; without dropout where the network has no hidden layer.

    >>> len(default_cocktails()), len(default_cocktails(quick=True))
    (14, 8)
    """
    mixes = as_cocktails(_QUICK if quick else _FULL)
    if network is not None and network.linear:
        mixes = tuple(mix for mix in mixes if mix.get(Dropout) is None)
    return mixes


def default_network(table: Table) -> MLP:  # noqa: ARG001 (one network serves all tables so far)
    """Return the network to train: two hidden layers of 64 and 32 units."""
    return MLP((64, 32))


def default_seeds(rows: Array, *, quick: bool = False) -> int:
    """Return how many seeds a member is trained with: chance matters less, and costs more, the more ``rows``."""
    few, many = (2, 1) if quick else (3, 2)
    if len(rows) < BATCHES[0][0]:
        return few
    return many if len(rows) < BATCHES[2][0] else 1


def batch_size_for(rows: int) -> int:
    """Return the batch size for so many rows to learn from.

    >>> batch_size_for(500), batch_size_for(30_000)
    (32, 256)
    """
    return next((batch for most, batch in BATCHES if rows < most), LARGEST_BATCH)


def default_training(
    table: Table,
    rows: Array,
    *,
    quick: bool = False,
    network: MLP | None = None,
    members: int | None = None,
    seconds: float | None = None,
) -> Training:
    """Return a training long enough for an unregularized network to overfit a small table, yet bounded in time.

    Adam at a constant rate, so that nothing but the cocktail regularizes. The batch grows with the rows. The epochs
    come from a budget of steps, or of time where the table is large: a population of ``members``, by default that of
    the default comparison, then trains for about ``seconds`` on two cores, by default `SECONDS` (`QUICK_SECONDS`).
    """
    from wellfit.data import Preprocessor

    net = default_network(table) if network is None else network
    inputs = max(1, len(Preprocessor.fit(table, rows, bent=False).feature_names))
    outputs = len(table.classes) if table.task == "multiclass" else 1
    train_rows = max(1, len(rows) * (FOLDS - 1) // FOLDS)
    asked = batch_size_for(len(rows))
    steps_an_epoch, batch = batches(train_rows, asked)
    if members is None:
        members = len(default_cocktails(quick=quick)) * FOLDS * default_seeds(rows, quick=quick)
    seconds = (QUICK_SECONDS if quick else SECONDS) if seconds is None else seconds
    step = step_seconds(net, inputs, outputs, batch)
    steps = min(QUICK_STEPS if quick else STEPS, int(2 * seconds / members / step))
    epochs = min(max(steps // steps_an_epoch, LEAST_EPOCHS), MOST_EPOCHS)
    return Training(optimizer="adam", learning_rate=LEARNING_RATE, epochs=epochs, batch_size=asked)
