"""The exercise's closing question: how does regularization differ from lowering the learning rate?

    python examples/learning_rate_or_regularization.py              # a table and three sentences
    python examples/learning_rate_or_regularization.py --json       # the figures alone
    python examples/learning_rate_or_regularization.py --quick      # a tenth of the epochs, two starts: seconds

The network and data are those of examples/football.py: layers 2-20-3-1, gradient descent on all points at once. From
each of several starting weights it is trained at the exercise's learning rate (30,000 epochs), at a tenth of it for as
many epochs, at a tenth for ten times as many (the same rate x epochs), with the exercise's L2 at either rate, and with
early stopping. The sentences are put together from what these trainings did: other data give other sentences.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # the other example is a neighbour, not a package
from football import HIDDEN, ITERATIONS, LEARNING_RATE, Game, read_game

from wellfit import L2, MLP, Cocktail, EarlyStopping, Training, WellfitError, reference
from wellfit.engines.base import Member, State
from wellfit.engines.compiled import CompiledEngine
from wellfit.executors import Threads
from wellfit.records import Fold, FoldData, TrainingData

SLOWER, STARTS, STOP_PARTS, PATIENCE = 10, 5, 5, 20
TITLES = {
    "none": "learning rate {rate}, {epochs:,} epochs",
    "none_early": "  the same after {early:,} epochs",
    "slow": "learning rate {slow}, {epochs:,} epochs",
    "slow_long": "learning rate {slow}, {long:,} epochs",
    "l2": "L2, learning rate {rate}, {epochs:,} epochs",
    "l2_slow_long": "L2, learning rate {slow}, {long:,} epochs",
    "early_stopping": "early stopping, learning rate {rate}",
}


@dataclass(frozen=True, eq=False)
class Ended:
    """Where a recipe ended from each of S starts: losses, accuracy, weight norm, (S,) each; chances are (S, points)."""

    train_loss: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    norm: np.ndarray
    epoch: np.ndarray
    chances: np.ndarray


def population(game: Game, epochs: int, starts: int) -> tuple[TrainingData, dict[str, list[Member]]]:
    """Return the data (all points; and with stop points among them) and the members of each recipe."""
    count = game.X.shape[1]
    points = np.arange(count + game.X_test.shape[1])
    train, test = points[:count], points[count:]
    stop = train[::STOP_PARTS]
    x, y = np.hstack([game.X, game.X_test]).T, np.hstack([game.Y, game.Y_test]).T
    folds = (
        FoldData(x, y, Fold(train, train[:0], test)),
        FoldData(x, y, Fold(np.setdiff1d(train, stop), stop, test)),
    )

    def of(cocktail: Cocktail, rate: float, length: int, fold: int = 0) -> list[Member]:
        training = Training("gd", rate, length, batch_size=None, precision="float64")
        return [Member(MLP(HIDDEN), cocktail, training, seed, fold) for seed in range(starts)]

    none, l2, slow, long = Cocktail(), Cocktail() + L2(game.l2), LEARNING_RATE / SLOWER, SLOWER * epochs
    return TrainingData("binary", 1, folds), {
        "none": of(none, LEARNING_RATE, epochs),
        "slow": of(none, slow, epochs),
        "slow_long": of(none, slow, long),
        "l2": of(l2, LEARNING_RATE, epochs),
        "l2_slow_long": of(l2, slow, long),
        "early_stopping": of(none + EarlyStopping(PATIENCE), LEARNING_RATE, epochs, fold=1),
    }


def train(game: Game, epochs: int, starts: int) -> dict[str, Ended]:
    """Train everything from the same starting weights (the exercise's seed 3, then 4, 5, ...)."""
    data, recipes = population(game, epochs, starts)
    engine = CompiledEngine()
    members = [member for some in recipes.values() for member in some]
    begun = [
        state.with_parameters(reference.flat(game.start(3 + member.seed)))
        for member, state in zip(members, engine.init(members, data), strict=True)
    ]
    states = dict(Threads().run(engine, members, data, states=begun))
    found, at = {}, 0
    for name, some in recipes.items():
        found[name] = judge(game, [states[i] for i in range(at, at + len(some))])
        at += len(some)
    early = dict(
        Threads().run(engine, members[:starts], data, states=begun[:starts], until=[epochs // SLOWER] * starts)
    )
    found["none_early"] = judge(game, [early[i] for i in range(starts)])
    return {name: found[name] for name in TITLES}


def judge(game: Game, states: list[State]) -> Ended:
    """Measure where trainings ended, on the test points."""
    every = [reference.unflatten(state.kept, game.sizes) for state in states]
    logits = [reference.forward(game.X_test, p).logits for p in every]
    return Ended(
        train_loss=np.array([reference.cost(reference.forward(game.X, p).logits, game.Y) for p in every]),
        test_loss=np.array([reference.cost(z, game.Y_test) for z in logits]),
        test_accuracy=np.array([((z > 0) == game.Y_test).mean() for z in logits]),
        norm=np.array([np.sqrt(sum((W**2).sum() for W, _ in p)) for p in every]),
        epoch=np.array([s.best_epoch if s.best_parameters.size else s.epoch for s in states]),
        chances=np.array([reference.sigmoid(z)[0] for z in logits]),
    )


def apart(one: Ended, other: Ended) -> float:
    """Return how far two recipes' predictions end from each other: root mean square over test points and starts."""
    return float(np.sqrt(((one.chances - other.chances) ** 2).mean()))


def distances(ended: Mapping[str, Ended]) -> dict[str, float]:
    """Return the distances that the answer rests on."""
    pairs = {
        "slow_to_none_early": ("slow", "none_early"),
        "slow_to_none": ("slow", "none"),
        "slow_long_to_none": ("slow_long", "none"),
        "l2_to_none": ("l2", "none"),
        "l2_slow_long_to_l2": ("l2_slow_long", "l2"),
    }
    return {name: apart(ended[a], ended[b]) for name, (a, b) in pairs.items()}


def saved(ended: Mapping[str, Ended], name: str, other: str = "none") -> tuple[float, float, float]:
    """Return how much lower a recipe's test loss is than another's, start by start, and its 95% t interval."""
    from scipy.special import stdtrit

    gains = ended[other].test_loss - ended[name].test_loss
    half = float(stdtrit(len(gains) - 1, 0.975) * gains.std(ddof=1) / np.sqrt(len(gains)))
    return float(gains.mean()), float(gains.mean()) - half, float(gains.mean()) + half


def alike(ended: Mapping[str, Ended], name: str, other: str) -> bool:
    """Return whether two recipes' test losses differ by no more than the luck of the starts."""
    _, low, high = saved(ended, name, other)
    return low <= 0 <= high


# --- the answer


def answer(ended: Mapping[str, Ended], epochs: int) -> list[str]:
    """Return three sentences; each says what was measured, and its verb is chosen by it."""
    far = {name: f"{value:.2g}" for name, value in distances(ended).items()}
    loss = {name: f"{e.test_loss.mean():.3f}" for name, e in ended.items()}
    norm = {name: f"{e.norm.mean():.1f}" for name, e in ended.items()}
    stopped = f"{np.median(ended['early_stopping'].epoch):,.0f}"
    word = "only breaks the training off sooner" if alike(ended, "slow", "none_early") else "does more than stop sooner"
    first = (
        f"At the same {epochs:,} epochs a tenth of the learning rate {word}: it ends at test loss {loss['slow']} and "
        f"weight norm {norm['slow']}, the full rate had {loss['none_early']} and {norm['none_early']} after "
        f"{epochs // SLOWER:,} epochs and has {loss['none']} and {norm['none']} at its end."
    )
    same = alike(ended, "slow_long", "none")
    meaning = "the rate sets how fast a training goes, not where to" if same else "so the rate matters beyond pace"
    second = (
        f"Given ten times the epochs it ends at test loss {loss['slow_long']} and weight norm {norm['slow_long']}, "
        f"{'within' if same else 'beyond'} the luck of the starts of the full rate's: {meaning} (though the functions "
        f"that the two find are {far['slow_long_to_none']} apart in prediction, root mean square)."
    )
    moved = not alike(ended, "l2", "none") and ended["l2"].norm.mean() < ended["none"].norm.mean()
    word = "changes where it goes" if moved else "does not change the test loss here"
    third = (
        f"L2 {word}: at the two rates the weights end at norm {norm['l2']} and {norm['l2_slow_long']} (without it "
        f"{norm['none']} and {norm['slow_long']}), predictions {far['l2_slow_long_to_l2']} apart, and the test "
        f"loss {_goes(ended, 'l2')} (at the tenth of the rate: {loss['l2_slow_long']}); with early stopping, at the "
        f"full rate, it {_goes(ended, 'early_stopping')} (median epoch {stopped})."
    )
    return [first, second, third]


def _goes(ended: Mapping[str, Ended], name: str) -> str:
    """Return what becomes of the test loss, and whether that is beyond the luck of the starts."""
    mean, low, high = saved(ended, name)
    before, after = ended["none"].test_loss.mean(), ended[name].test_loss.mean()
    if low <= 0 <= high:
        return f"is {after:.3f} against {before:.3f}, within the luck of the starts"
    return f"{'falls' if mean > 0 else 'rises'} from {before:.3f} to {after:.3f}"


def figures(ended: Mapping[str, Ended], epochs: int) -> dict[str, object]:
    """Return what ``--json`` prints."""
    names = ("train_loss", "test_loss", "test_accuracy", "norm", "epoch")
    return {
        "epochs": epochs,
        "starts": len(ended["none"].test_loss),
        "recipes": {n: {what: float(getattr(e, what).mean()) for what in names} for n, e in ended.items()},
        "saved": {n: dict(zip(("mean", "low", "high"), saved(ended, n), strict=True)) for n in ended if n != "none"},
        "distances": distances(ended),
        "answer": answer(ended, epochs),
    }


def table(ended: Mapping[str, Ended], epochs: int) -> str:
    """Return the table: means over starts."""
    settings = {"rate": LEARNING_RATE, "slow": LEARNING_RATE / SLOWER, "epochs": epochs}
    settings |= {"long": SLOWER * epochs, "early": epochs // SLOWER}
    lines = [f"{'':44}{'train loss':>11}{'test loss':>11}{'test accuracy':>15}{'weight norm':>13}"]
    for name, e in ended.items():
        numbers = f"{e.train_loss.mean():11.3f}{e.test_loss.mean():11.3f}{e.test_accuracy.mean():15.3f}"
        lines.append(f"{TITLES[name].format(**settings):44}{numbers}{e.norm.mean():13.1f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a .mat file (X, y, Xval, yval), or the folder that holds data.mat")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--epochs", type=int, default=ITERATIONS, help="gradient steps (default %(default)s)")
    parser.add_argument("--starts", type=int, default=STARTS, help="starting weights (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs, two starts")
    options = parser.parse_args(arguments)
    epochs, starts = (options.epochs // 10, 2) if options.quick else (options.epochs, options.starts)
    if epochs < SLOWER or starts < 2:
        parser.error(f"--epochs must be at least {SLOWER} (with --quick {10 * SLOWER}), --starts at least 2")
    try:
        game = read_game(options.data)
    except (WellfitError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    ended = train(game, epochs, starts)
    if options.json:
        print(json.dumps(figures(ended, epochs), indent=1))
        return 0
    print(f"Data: {game.name}; means over {starts} starting weights.\n")
    print(table(ended, epochs), *answer(ended, epochs), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
