"""What is compared where nothing was asked for: network, training, seeds and cocktails.

The rules look at the size of the table only, never at scores, and always assume the default list of cocktails, so that
adding a cocktail changes no other's result. What they were measured on stands in ``docs/defaults.md``.
"""

from __future__ import annotations

from dataclasses import replace

from wellfit.cocktail import Augment, BatchNorm, Cocktail, Dropout, InputDropout, InputNoise, Mixup, as_cocktails
from wellfit.errors import SettingError
from wellfit.nets import MLP, Module, Network, Training
from wellfit.nets.module import Inputs, module
from wellfit.nets.modules import LEAST_SIDE
from wellfit.nets.training import batches
from wellfit.records import Array, Table, inputs_of
from wellfit.select.budget import step_seconds

FOLDS = 5
LEARNING_RATE = 3e-3
# Of PyTorch modules: Adam's usual rate, and the smallest and largest batch.
MODULE_RATE, MODULE_BATCHES = 1e-3, (64, 128)
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


_MODULES = """
none; l2=1e-3; l2=1e-2; weight_decay=0.1; weight_decay=1; dropout=0.2; dropout=0.5; early_stopping=3; batch_norm;
augment; batch_norm + augment; dropout=0.5 + augment
"""
_QUICK_MODULES = """
none; l2=1e-3; dropout=0.5; early_stopping=3; batch_norm; augment
"""


def default_cocktails(*, quick: bool = False, network: Network | None = None) -> tuple[Cocktail, ...]:
    """Return the cocktails to compare, "none" first; of a module those that it can have.

    Linear networks have no dropout, modules without such layers neither, and augmentation is for images.

    >>> len(default_cocktails()), len(default_cocktails(quick=True))
    (14, 8)
    """
    if isinstance(network, Module):
        mixes = as_cocktails(_QUICK_MODULES if quick else _MODULES)
    else:
        mixes = as_cocktails(_QUICK if quick else _FULL)
    return mixes if network is None else tuple(mix for mix in mixes if can_have(network, mix))


def can_have(network: Network, cocktail: Cocktail) -> bool:
    """Return whether a network goes with a cocktail; of a bound module see its layers and its inputs."""
    if not isinstance(network, Module):
        return not network.linear or (cocktail.get(Dropout) is None and cocktail.get(BatchNorm) is None)
    if cocktail.get(Augment) is not None and not takes_images(network):
        return False
    if network.tokens and any(cocktail.get(kind) is not None for kind in (InputNoise, InputDropout, Mixup)):
        return False
    network.strengths(Cocktail())  # a module that cannot be made is no matter of the cocktail
    try:
        network.strengths(cocktail)
    except SettingError:
        return False
    return True


def takes_images(network: Network | None) -> bool:
    """Return whether a network is a bound module for images, (channels, height, width)."""
    return isinstance(network, Module) and isinstance(network.inputs, tuple) and len(network.inputs) == 3


def default_network(table: Table) -> Network:
    """Return the network to train: hidden layers of 64 and 32 units, and for images the textbook's convolutions.

    Images too small for these convolutions go through the hidden layers.
    """
    x = table.inputs
    if x is not None and x.ndim == 4 and min(x.shape[2:]) >= LEAST_SIDE:
        return module("cnn")
    return MLP((64, 32))


def default_seeds(rows: Array, *, quick: bool = False, network: Network | None = None) -> int:
    """Return how many seeds a member is trained with: chance matters less, and costs more, the more ``rows``.

    A module, which is costly, gets one: longer trainings tell more.
    """
    if isinstance(network, Module):
        return 1
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
    network: Network | None = None,
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
    if table.inputs is not None:
        inputs: Inputs = inputs_of(table.inputs)
    else:
        inputs = max(1, len(Preprocessor.fit(table, rows, bent=False).feature_names))
    outputs = len(table.classes) if table.task == "multiclass" else 1
    net = net.bound(inputs, outputs)
    train_rows = max(1, len(rows) * (FOLDS - 1) // FOLDS)
    if members is None:
        seeds = default_seeds(rows, quick=quick, network=net)
        members = len(default_cocktails(quick=quick, network=net)) * FOLDS * seeds
    seconds = (QUICK_SECONDS if quick else SECONDS) if seconds is None else seconds
    recipe = usual(net, inputs, outputs, len(rows))
    steps_an_epoch, batch = batches(train_rows, recipe.batch_size)
    step = step_seconds(net, inputs, outputs, batch, halved=recipe.precision == "bfloat16")
    steps = min(QUICK_STEPS if quick else STEPS, int(2 * seconds / members / step))
    epochs = min(max(steps // steps_an_epoch, LEAST_EPOCHS), MOST_EPOCHS)
    return replace(recipe, epochs=epochs)


def usual(network: Network, inputs: Inputs, outputs: int, rows: int) -> Training:
    """Return the usual recipe for a network that learns from so many rows, but for its epochs."""
    batch = batch_size_for(rows)
    if not isinstance(network, Module):
        return Training(optimizer="adam", learning_rate=LEARNING_RATE, batch_size=batch)
    from wellfit.engines.torch.engine import best_precision

    precision = best_precision(network, inputs, outputs)
    return Training(
        optimizer="adam",
        learning_rate=MODULE_RATE,
        batch_size=min(max(batch, MODULE_BATCHES[0]), MODULE_BATCHES[1]),
        precision=precision,
    )
