"""The textbook's habit before any regularization: check with dropout off that the network can learn at all.

The four checks are those of Karpathy's recipe for training neural networks (2019) and of the Stanford course CS231n
("sanity checks", "checking the gradients"): the loss at initialization, a small batch overfitted, a cost that falls,
and gradients that neither vanish nor explode (Glorot & Bengio 2010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wellfit import rng
from wellfit.cocktail import Cocktail
from wellfit.engines.base import Engine, Member, State, history
from wellfit.engines.choice import by_steps, default_engine
from wellfit.errors import SettingError
from wellfit.executors import Executor, Threads
from wellfit.executors.base import Progress
from wellfit.messages import join, say
from wellfit.nets import MLP, NetworkLike, Training
from wellfit.population import check, train
from wellfit.records import Array, Fold, History, Table, Task, TrainingData
from wellfit.select.compare import seeds_of
from wellfit.select.source import chosen_network, development_rows, only_mlp, question, read_source

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

MAX_ROWS = 2_000  # of a large table, for a check that stays short
RATES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
AROUND = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)  # times the learning rate of a given plain gradient descent
STEPS, REAL_FALL, ROUNDING, RUNAWAY = 100, 0.01, 1e-9, 10.0
BATCH, BATCH_STEPS, BATCH_RATES, BATCH_STARTS, UNEXPLAINED = 16, 2_000, (1e-2, 1e-3), 3, 0.01
STARTS = 20  # random initializations
RATIO, SMALL, LARGE = 1e-3, 1e-2, 1e3
LEAST, MOST = 0.5, 3.0  # loss before training, in units of chance


@dataclass(frozen=True, eq=False)
class SanityCheck:
    """One check: its ``name`` for programs, whether all is as it should be, the sentence, and the numbers behind it.

    ``values`` are plain numbers, texts and lists; losses are in the user's unit.
    """

    name: str
    ok: bool
    text: str
    values: Mapping[str, object]


@dataclass(frozen=True, eq=False)
class Sanity:
    """What `sanity` found: checks ``falls``, ``memorizes``, ``gradients`` and ``start``, in this order.

    ``rows`` is how many rows were trained on. ``ok`` is whether every check is.
    """

    data: str
    task: Task
    network: str
    rows: int
    seed: int
    checks: tuple[SanityCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing needs a look."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        """Return one line a check, ``ok`` or ``look`` in front."""
        return "\n".join(say("sanity.line", word=word(check), sentence=check.text) for check in self.checks)


def word(found: SanityCheck) -> str:
    """Return the word for a check: ok, or look."""
    return say("sanity.ok" if found.ok else "sanity.look")


@question
def sanity(
    network: NetworkLike | None,
    source: Table | str | PathLike | pd.DataFrame | tuple,
    *,
    training: Training | None = None,
    seed: int = 0,
    rows: Array | None = None,
    engine: Engine | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Sanity:
    """Check in a few seconds, with no regularization, that ``network`` can learn the table at all.

    ``network`` is a network, its text, or None for the default; ``source`` and ``options`` are as in
    `wellfit.compare`. ``training`` gives the loss and class weights; where it is gradient descent, learning rates
    around its own are tried. ``rows`` are the rows to work on, (m,) indices, by default all that are not test rows;
    of more than 2,000, 2,000 are drawn, and rows without weight are left out. All in float64:

    - ``falls``: 100 steps of full-batch gradient descent at six learning rates. All is well where the training loss
      falls at every step at one of them, by 1% of chance or more. The largest such rate is named.
    - ``memorizes``: 2,000 full-batch Adam steps on 16 rows spread over the targets, at two learning rates from three
      starts. All is well where one of these gets every row right, or the squared error below 1% of the variance of the
      16 targets. Rows with equal inputs and different targets cannot be memorized by any network, and are counted.
    - ``gradients``: a step of gradient descent with rate 1 is the gradient; its norm in every layer, the median over 20
      random starts, regression targets in units of their standard deviation. Vanishing is a first layer below 1e-3 of
      the last or below 0.01, exploding one above 1e3 times the last or a layer above 1e3. The norms alone count beside
      the ratio, because sum(W * dJ/dW) is the same in every layer of a bias-free ReLU network, so that its gradients
      vanish and explode in all layers at once. Healthy networks have norms of 0.1 to 5 in all layers.
    - ``start``: the loss before training, mean of the 20 starts, beside chance, the loss of outputs that are all 0: log
      k for k classes, the variance of the target for the squared loss. Outputs of a random network have a mean
      square of about 1 where the inputs have, which makes the squared loss about 2 times chance and cross-entropy
      1 to 1.5 times; 0.5 to 3 times is accepted. More means inputs or initial weights that are scaled badly.

    Raises `DataError` for the data, `SettingError` for settings and `UnsupportedError` where the engine cannot train
    the network.

    >>> found = sanity("8", "iris")
    >>> found.ok, [check.name for check in found.checks]
    (True, ['falls', 'memorizes', 'gradients', 'start'])
    """
    seeds = seeds_of(seed, STARTS)
    if training is not None and not isinstance(training, Training):
        raise SettingError("sanity.bad_training", value=training)
    table = read_source(source, options)
    rows = development_rows(table, rows)
    if table.weights is not None:
        rows = rows[table.weights[rows] > 0]
    net = only_mlp(chosen_network(table, rows, network), table, "sanity")
    data = _data(table, rows, seed)
    engine = by_steps(default_engine() if engine is None else engine)
    executor = Threads() if executor is None else executor
    plain = _plain(training)
    falling = [Member(net, Cocktail(), each, seeds[0], 0) for each in _rates(plain, training)]
    learning = [Member(net, Cocktail(), each, s, 1) for each in _memorizing() for s in seeds[:BATCH_STARTS]]
    starting = [Member(net, Cocktail(), replace(plain, epochs=1), s, 0) for s in seeds]
    check([*falling, *learning, *starting], data, engine)
    histories = train([*falling, *learning], data, engine=engine, executor=executor, progress=progress)
    chance, starts = _starts(starting, data, engine, executor)
    checks = (
        _falls(falling, histories[: len(falling)], chance),
        _memorizes(data, histories[len(falling) :]),
        _gradients(net, data, [gradient for gradient, _ in starts]),
        _start(chance, [loss for _, loss in starts]),
    )
    return Sanity(table.name, table.task, str(net), len(data.folds[0].rows.train), seed, checks)


def _plain(training: Training | None) -> Training:
    """Return one step of full-batch gradient descent in float64, with the loss and weights of the given training."""
    given = Training() if training is None else training
    return Training("gd", 1.0, STEPS, None, precision="float64", loss=given.loss, class_weights=given.class_weights)


def _rates(plain: Training, training: Training | None) -> list[Training]:
    rates: Sequence[float] = RATES
    if training is not None and training.optimizer in ("gd", "sgd"):
        own = training.learning_rate / (1 - training.momentum)  # momentum multiplies the way a rate leads
        rates = [float(f"{own * factor:.2g}") for factor in AROUND]
    return [replace(plain, learning_rate=rate) for rate in rates]


def _memorizing() -> list[Training]:
    return [Training("adam", rate, BATCH_STEPS, None, precision="float64") for rate in BATCH_RATES]


def _data(table: Table, rows: Array, seed: int) -> TrainingData:
    """Return two folds on one preprocessing: all rows (at most `MAX_ROWS`), and a small batch of them."""
    from wellfit.data import prepare

    none = rows[:0]
    data = prepare(table, [Fold(rows, none, none)])
    many = _spread(table, rows, MAX_ROWS, seed)
    few = _spread(table, rows, BATCH, seed)
    parts = tuple(replace(data.folds[0], rows=Fold(part, none, none)) for part in (many, few))
    return replace(data, folds=parts)


def _spread(table: Table, rows: Array, count: int, seed: int) -> Array:
    """Return ``count`` of ``rows`` (or all, where there are fewer), spread evenly over classes or target values."""
    if len(rows) <= count:
        return rows
    order = rng.generator(seed, rng.RESAMPLE).permutation(len(rows))
    target = table.target[rows][order]
    ranked = rows[order[np.argsort(target, kind="stable")]]
    if table.task == "regression":
        return np.sort(ranked[np.linspace(0, len(rows) - 1, count).round().astype(int)])
    # Turn by turn one row of each class, so that a rare class is in the batch too.
    codes = table.target[ranked]
    turn = np.arange(len(ranked)) - np.searchsorted(codes, codes)
    return np.sort(ranked[np.lexsort((codes, turn))[:count]])


# The checks ----------------------------------------------------------------------------------------------------------


def _falls(members: Sequence[Member], histories: Sequence[History], chance: float) -> SanityCheck:
    """Read off at which learning rates the training loss falls at every step."""
    rates = [member.training.learning_rate for member in members]
    curves = [_curve(past, "train_loss") for past in histories]
    steady, wild = [], []
    for rate, curve, past in zip(rates, curves, histories, strict=True):
        if past.status == "diverged" or not curve[-1] <= RUNAWAY * curve[0]:
            wild.append(rate)
        elif (np.diff(curve) <= ROUNDING * chance).all() and curve[0] - curve[-1] >= REAL_FALL * chance:
            steady.append(rate)
    values: dict[str, object] = {
        "learning_rates": rates,
        "largest_falling_rate": max(steady, default=None),
        "diverging_rates": wild,
        "first_losses": [float(curve[0]) for curve in curves],
        "last_losses": [float(curve[-1]) for curve in curves],
    }
    diverged = [say("sanity.diverged", rates=join(f"{rate:g}" for rate in sorted(wild)))] if wild else []
    if not steady:
        sound = [float(c[-1]) for c, rate in zip(curves, rates, strict=True) if rate not in wild]
        key = "sanity.never_falls" if sound else "sanity.all_wild"
        figures = {"start": _shown(curves[0][0]), "end": _shown(min(sound, default=np.nan))}
        text = say(key, steps=STEPS, low=f"{min(rates):g}", high=f"{max(rates):g}", **figures)
        return SanityCheck("falls", False, join([text, *(diverged if sound else [])], "sentences"), values)
    best = curves[rates.index(max(steady))]
    text = say("sanity.falls", rate=f"{max(steady):g}", start=_shown(best[0]), end=_shown(best[-1]), steps=STEPS)
    return SanityCheck("falls", True, join([text, *diverged], "sentences"), values)


def _memorizes(data: TrainingData, histories: Sequence[History]) -> SanityCheck:
    """Read off whether the small batch was learned by heart."""
    fold = data.folds[1]
    x, y = fold.x[fold.rows.train], fold.y[fold.rows.train]
    conflicting, unavoidable = _conflicts(x, y, data.task)
    rows = len(x)
    values: dict[str, object] = {"rows": rows, "conflicting_rows": conflicting}
    if data.task == "regression":
        scale = float(y.var()) or 1.0  # a constant target: in units of the whole table's
        left = min(float(np.fmin.reduce(_curve(h, "train_loss"))) for h in histories) / fold.loss_unit / scale
        values["unexplained"] = left
        ok, possible = left < UNEXPLAINED, left < UNEXPLAINED + unavoidable / scale
        kind, figure = "values", f"{left:.2%}"
    else:
        right = max(float(np.fmax.reduce(_curve(h, "train_accuracy"))) for h in histories)
        values["accuracy"] = right
        ok, possible = right == 1, right > 1 - unavoidable - ROUNDING
        kind, figure = "classes", str(round(np.nan_to_num(right) * rows))
    if ok:
        return SanityCheck("memorizes", True, say(f"sanity.memorizes_{kind}", rows=rows, figure=figure), values)
    parts = [say(f"sanity.forgets_{kind}", rows=rows, steps=f"{BATCH_STEPS:,}", starts=BATCH_STARTS, figure=figure)]
    if conflicting:
        parts.append(say("sanity.conflicts", count=conflicting))
    parts.append(say("sanity.forgets_targets" if possible else "sanity.forgets_network"))
    return SanityCheck("memorizes", False, join(parts, "sentences"), values)


def _curve(past: History, name: str) -> Array:
    """Return a curve, or a NaN where the loss was none from the beginning."""
    curve = past.curves[name]
    return curve if len(curve) else np.array([np.nan])


def _conflicts(x: Array, y: Array, task: Task) -> tuple[int, float]:
    """Return how many rows share their inputs with a row of another target, and the error that this forces.

    ``x`` is (n, d), ``y`` (n, k). The error is a share of wrong rows, or a mean squared error in ``y``'s unit.
    """
    _, group = np.unique(x, axis=0, return_inverse=True)
    count, error = 0, 0.0
    for g in range(int(group.max()) + 1):
        mine = y[group.ravel() == g]
        if (mine == mine[0]).all():
            continue
        count += len(mine)
        if task == "regression":
            error += float(((mine - mine.mean(0)) ** 2).sum())
        else:
            error += len(mine) - np.unique(mine, axis=0, return_counts=True)[1].max()
    return count, error / len(x)


def _starts(
    members: Sequence[Member], data: TrainingData, engine: Engine, executor: Executor
) -> tuple[float, list[tuple[Array, float]]]:
    """Return chance, and of each member the gradient, (P,), and the loss before training.

    Chance is what the engine finds for a network of zeros, so that it holds for every loss and weighting.
    """
    states = engine.init(members, data)
    zero = states[0].with_parameters(np.zeros_like(states[0].parameters))
    before, who = [zero, *states], [members[0], *members]
    after: list[State] = list(before)
    for index, state in executor.run(engine, who, data, states=before):
        after[index] = state
    with np.errstate(all="ignore"):  # what overflows is what is looked for
        losses = [float(_curve(history(m, s, data), "train_loss")[0]) for m, s in zip(who, after, strict=True)]
        # With rate 1 the way of one step is the gradient.
        steps = [b.parameters - a.parameters for b, a in zip(before, after, strict=True)]
    return losses[0], list(zip(steps[1:], losses[1:], strict=True))


def _gradients(net: MLP, data: TrainingData, gradients: Sequence[Array]) -> SanityCheck:
    """Compare the gradient's norm in the first layer with the last."""
    inputs = data.folds[0].x.shape[1]
    layers = [net.unpack(gradient, inputs, data.outputs) for gradient in gradients]
    norms = np.array([[np.linalg.norm(np.append(w, b)) for w, b in each] for each in layers])
    finite = bool(np.isfinite(norms).all())
    middle = np.median(norms, axis=0) if finite else np.full(net.layers, np.inf)
    first, last = float(middle[0]), float(middle[-1])
    if not finite or middle.max() > LARGE or first > last / RATIO:
        key = "explode"
    elif first < SMALL or first < RATIO * last:
        key = "vanish"
    else:
        key = "steady" if not net.linear else "steady_linear"
    text = say(f"sanity.{key}", first=f"{first:.2g}", last=f"{last:.2g}", most=f"{middle.max():.2g}")
    values = {"norms": [float(n) for n in middle], "starts": len(gradients)}
    return SanityCheck("gradients", key.startswith("steady"), text, values)


def _start(chance: float, losses: Sequence[float]) -> SanityCheck:
    """Compare the loss before training with chance."""
    mean = float(np.mean(losses))
    ratio = mean / chance if chance > 0 else np.inf
    key = "start_low" if ratio < LEAST else "start_ok" if ratio <= MOST else "start_high"  # NaN is high
    text = say(f"sanity.{key}", loss=_shown(mean), chance=_shown(chance), ratio=f"{ratio:.2g}")
    return SanityCheck("start", key == "start_ok", text, {"loss": mean, "chance": chance, "starts": len(losses)})


def _shown(loss: float) -> str:
    return f"{loss:,.0f}" if 1e3 <= loss < 1e9 else f"{loss:.4g}"
