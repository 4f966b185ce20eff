"""The textbook's football exercise: where should the goalkeeper kick, and does regularization help?

    python examples/football.py                    # table, curves, maps, and what 200 test points can tell
    python examples/football.py --data data.mat    # the course's own file: the published numbers
    python examples/football.py --json             # the figures alone
    python examples/football.py --engine compiled  # trained by the compiled engine instead of plain NumPy

Each point is a place where the ball came down after the goalkeeper's kick: class 1 where a player of the own team
headed it, class 0 where the other team did. The exercise trains one network of layers 2-20-3-1 three times (nothing,
L2, dropout) and shows how the map changes. Without ``--data`` it reads ``football/data.mat`` in the folder that the
environment variable WELLFIT_DATA names, else a generated look-alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wellfit import L2, MLP, Cocktail, Dropout, Training, WellfitError, load, reference
from wellfit.engines.base import Member
from wellfit.records import Fold, FoldData, TrainingData

HIDDEN = (20, 3)
LEARNING_RATE = 0.3
ITERATIONS = 30_000
LAMBDA, KEEP = 0.7, 0.86
COSTS, EVERY = (0, 10_000, 20_000), 250
TITLES = {"none": "none", "l2": f"L2, lambda {LAMBDA}", "dropout": f"dropout, keep {KEEP}"}


@dataclass(frozen=True, eq=False)
class Game:
    """The points, with examples in columns: X (2, m), Y (1, m), and the same for the test points."""

    name: str
    X: np.ndarray
    Y: np.ndarray
    X_test: np.ndarray
    Y_test: np.ndarray

    @property
    def sizes(self) -> tuple[int, ...]:
        return (len(self.X), *HIDDEN, 1)

    def start(self, seed: int = 3) -> reference.Parameters:
        """The exercise's own starting weights: NumPy's older generator, seed 3."""
        return reference.initialize_parameters(self.sizes, np.random.RandomState(seed))

    @property
    def l2(self) -> float:
        """The exercise's lambda/(2m) sum W^2 in wellfit's words: l2/2 sum W^2."""
        return LAMBDA / self.X.shape[1]


@dataclass(frozen=True, eq=False)
class Trained:
    """One trained network: its parameters, its cost by iteration, and which test points it gets right."""

    parameters: reference.Parameters
    costs: Mapping[int, float]
    train_accuracy: float
    test_accuracy: float
    right: np.ndarray = field(repr=False)


def read_game(path: Path | None) -> Game:
    """Read the points. Raises `WellfitError` or ``ValueError`` where the file cannot be used."""
    if path is None and os.environ.get("WELLFIT_DATA"):
        path = Path(os.environ["WELLFIT_DATA"]) / "football" / "data.mat"
        path = path if path.is_file() else None
    if path is not None and path.is_dir():
        path = next((p for p in (path / "data.mat", path / "football" / "data.mat") if p.is_file()), path)
    table = load("football" if path is None else path, task="binary")
    if table.test_rows is None:
        raise ValueError(f"{path}: this example needs test points beside the training points (keys Xval and yval).")
    test = np.zeros(table.rows, dtype=bool)
    test[table.test_rows] = True
    X, Y = np.stack(list(table.columns.values())), table.target[None].astype(float)
    name = "a generated look-alike of the course's data" if path is None else str(path)
    return Game(name, X[:, ~test], Y[:, ~test], X[:, test], Y[:, test])


# --- training, in plain NumPy or by the compiled engine


def with_reference(game: Game, iterations: int) -> dict[str, Trained]:
    """Train the three networks with `wellfit.reference`, dropout's masks redrawn from seed 1 at every pass."""
    recipes = {"none": {}, "l2": {"l2": game.l2}, "dropout": {"keep": KEEP, "masks": reference.redraw_from(1)}}
    return {
        name: judge(
            game,
            *reference.train(
                game.X, game.Y, game.start(), learning_rate=LEARNING_RATE, iterations=iterations, every=EVERY, **options
            ),
        )
        for name, options in recipes.items()
    }


def population(game: Game, iterations: int, starts: int = 1) -> tuple[TrainingData, list[Member]]:
    """Return the same three trainings as members for an engine, each with seeds 0 to ``starts - 1``, in float64."""
    points = np.arange(game.X.shape[1] + game.X_test.shape[1])
    rows = Fold(train=points[: game.X.shape[1]], stop=points[:0], score=points[game.X.shape[1] :])
    x, y = np.hstack([game.X, game.X_test]).T, np.hstack([game.Y, game.Y_test]).T
    training = Training("gd", LEARNING_RATE, iterations, batch_size=None, precision="float64")
    mixes = (Cocktail(), Cocktail() + L2(game.l2), Cocktail() + Dropout(1 - KEEP))
    members = [Member(MLP(HIDDEN), mix, training, seed, fold=0) for mix in mixes for seed in range(starts)]
    return TrainingData("binary", 1, (FoldData(x, y, rows),)), members


def with_compiled(game: Game, iterations: int) -> dict[str, Trained]:
    """Train the same three with the compiled engine in float64, from the same starting weights.

    The costs are computed from the weights with no unit dropped, and dropout draws fresh masks at every step; so
    "none" and "l2" are the reference's own figures, and "dropout" is another, better kept promise of the same name.
    """
    from wellfit.engines.compiled import CompiledEngine

    data, members = population(game, iterations)
    engine = CompiledEngine()
    states = [s.with_parameters(reference.flat(game.start())) for s in engine.init(members, data)]
    costs: dict[str, dict[int, float]] = {name: {} for name in TITLES}
    for epoch in sorted({*range(0, iterations, EVERY), iterations - 1, iterations}):
        states = engine.advance(members, states, [epoch] * len(members), data)
        for name, state in zip(TITLES, states, strict=True):
            parameters = reference.unflatten(state.parameters, game.sizes)
            if epoch < iterations:
                logits = reference.forward(game.X, parameters).logits
                costs[name][epoch] = reference.cost(logits, game.Y, parameters, l2=game.l2 if name == "l2" else 0.0)
    return {
        name: judge(game, reference.unflatten(state.parameters, game.sizes), costs[name])
        for name, state in zip(TITLES, states, strict=True)
    }


def judge(game: Game, parameters: reference.Parameters, costs: Mapping[int, float]) -> Trained:
    """Measure a trained network on both sets of points."""
    right = (reference.predict(game.X_test, parameters) == game.Y_test)[0]
    train = reference.accuracy(game.X, game.Y, parameters)
    return Trained(parameters, costs, train, float(right.mean()), right)


def figures(trained: Mapping[str, Trained]) -> dict[str, dict]:
    """Return what ``--json`` prints."""
    return {
        name: {
            "train_accuracy": result.train_accuracy,
            "test_accuracy": result.test_accuracy,
            "cost": {str(i): result.costs[i] for i in COSTS if i in result.costs},
        }
        for name, result in trained.items()
    }


# --- what 200 test points can tell


def paired_difference(ours: np.ndarray, theirs: np.ndarray, level: float = 0.95) -> tuple[float, float, float, float]:
    """Return the difference of two accuracies on the same points, its interval, and McNemar's exact p value.

    ``ours`` and ``theirs`` are (n,), True where right. Only the points that one has right and the other wrong tell
    anything. The interval is Wald's with half a point added to each of the four cells (Agresti & Min 2005), the p
    value that of a fair coin over the points on which the two differ (McNemar 1947).
    """
    from scipy.stats import binomtest, norm

    n, won, lost = len(ours), int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    p = binomtest(won, won + lost).pvalue if won + lost else 1.0
    total, difference = n + 2, (won - lost) / (n + 2)
    error = np.sqrt(((won + lost + 1) / total - difference**2) / total)
    half = norm.ppf((1 + level) / 2) * error
    return (won - lost) / n, difference - half, difference + half, p


def wilson(right: np.ndarray) -> tuple[float, float]:
    """Return the 95% interval of one accuracy (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="wilson")
    return interval.low, interval.high


def remark(trained: Mapping[str, Trained]) -> str:
    """Return what the test points can tell about dropout, and about L2, against none.

    The better of two comparisons looks good by luck more often than one alone, so each interval is a 97.5% one: both
    hold together with 95% (Bonferroni).
    """
    none, others, lines = trained["none"], ("dropout", "l2"), []
    for name in others:
        ours = trained[name]
        difference, low, high, p = paired_difference(ours.right, none.right, 1 - 0.05 / len(others))
        won, lost = (ours.right & ~none.right).sum(), (none.right & ~ours.right).sum()
        told = (
            "This is within noise."
            if low <= 0 <= high
            else "For these two networks this is more than the luck of the test points."
        )
        lines.append(
            f"{ours.test_accuracy:.3f} ({TITLES[name]}) against {none.test_accuracy:.3f} (none), on the same "
            f"{len(ours.right)} points: {won} points won, {lost} lost.\n"
            f"  Difference {difference:+.3f}, 95% interval {low:+.3f} to {high:+.3f} (for both comparisons together); "
            f"McNemar's exact p = {p:.2g}.\n  {told}"
        )
    lines.append(
        "This speaks of new points, for these three networks. Other starting weights give other networks: --starts 20\n"
        "shows how far they differ, and `wellfit compare` what each ingredient does on average."
    )
    return "\n".join(lines)


def other_starts(game: Game, iterations: int, starts: int) -> str:
    """Train each recipe from as many starting weights (seeds 3, 4, ...) and say what becomes of the difference."""
    from scipy.stats import t

    from wellfit.engines.compiled import CompiledEngine
    from wellfit.executors import Threads

    data, members = population(game, iterations, starts)
    engine, accuracies = CompiledEngine(), np.empty(len(members))
    weights = [reference.flat(game.start(3 + member.seed)) for member in members]
    states = [s.with_parameters(w) for s, w in zip(engine.init(members, data), weights, strict=True)]
    for i, state in Threads().run(engine, members, data, states=states):
        right = reference.predict(game.X_test, reference.unflatten(state.parameters, game.sizes)) == game.Y_test
        accuracies[i] = right.mean()
    by_recipe = dict(zip(TITLES, accuracies.reshape(len(TITLES), starts), strict=True))
    lines = [f"Test accuracy over {starts} starting weights (compiled engine, fresh dropout masks at every step):"]
    for name, values in by_recipe.items():
        line = f"  {TITLES[name]:20}mean {values.mean():.3f}, from {values.min():.3f} to {values.max():.3f}"
        if name != "none":
            gains = values - by_recipe["none"]
            half = t.ppf(0.9875, starts - 1) * gains.std(ddof=1) / np.sqrt(starts)
            line += f"\n{'':22}against none {gains.mean():+.3f}, 95% interval {gains.mean() - half:+.3f} to "
            line += f"{gains.mean() + half:+.3f} (starts vary, points do not; both together)"
        lines.append(line)
    return "\n".join(lines)


# --- text and pictures


def table(trained: Mapping[str, Trained]) -> str:
    """Return the table: cost, accuracy and the interval of the test accuracy."""
    shown = [i for i in COSTS if i in trained["none"].costs]
    head = f"{'':20}" + "".join(f"{f'cost at {i}':>15}" for i in shown) + f"{'train':>8}{'test':>8}   95% interval"
    lines = [head]
    for name, result in trained.items():
        low, high = wilson(result.right)
        costs = "".join(f"{result.costs[i]:15.6f}" for i in shown)
        scores = f"{result.train_accuracy:8.3f}{result.test_accuracy:8.3f}   {low:.3f} to {high:.3f}"
        lines.append(f"{TITLES[name]:20}{costs}{scores}")
    return "\n".join(lines)


def draw(game: Game, trained: Mapping[str, Trained], folder: Path) -> list[Path]:
    """Write the cost curves and the maps as PNG and SVG; return their paths."""
    from wellfit.report.theme import drawing

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with drawing():
        for name, figure in (("costs", cost_curves(trained)), ("maps", maps(game, trained))):
            for suffix in ("png", "svg"):
                paths.append(folder / f"{name}.{suffix}")
                figure.savefig(paths[-1], dpi=160, metadata={"Date": None} if suffix == "svg" else None)
    return paths


def cost_curves(trained: Mapping[str, Trained]):
    """Draw the cost that each training descended, one panel each."""
    from matplotlib.figure import Figure

    from wellfit.report.theme import role_colour

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (name, result) in zip(figure.subplots(1, 3, sharey=True), trained.items(), strict=True):
        axes.plot(list(result.costs), list(result.costs.values()), color=role_colour(name))
        axes.set(title=TITLES[name], xlabel="iteration")
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[0].set_ylabel("cost, penalty included")
    return figure


def maps(game: Game, trained: Mapping[str, Trained]):
    """Draw where the goalkeeper should kick: tinted by the class each network expects, with both sets of points."""
    from matplotlib.figure import Figure

    from wellfit.report.theme import LIGHT, class_colour

    everything = np.hstack([game.X, game.X_test])
    low, high = everything.min(axis=1), everything.max(axis=1)
    edges = [np.linspace(a - 0.06 * (b - a), b + 0.06 * (b - a), 300) for a, b in zip(low, high, strict=True)]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*edges)])
    figure = Figure(figsize=(9.5, 4.9), layout="constrained")
    for axes, (name, result) in zip(figure.subplots(1, 3, sharex=True, sharey=True), trained.items(), strict=True):
        chance = reference.sigmoid(reference.forward(grid, result.parameters).logits).reshape(300, 300)
        colours = [class_colour(0), class_colour(1)]
        axes.contourf(*edges, chance, levels=[0, 0.5, 1], colors=colours, alpha=0.22)
        if chance.min() < 0.5 < chance.max():
            axes.contour(*edges, chance, levels=[0.5], colors=[LIGHT["ink"]], linewidths=[1.2])
        for label, colour in enumerate(colours):
            x, y = game.X[:, game.Y[0] == label]
            axes.plot(x, y, "o", color=colour, markeredgecolor=LIGHT["paper"], markersize=4.5)
            x, y = game.X_test[:, game.Y_test[0] == label]
            axes.plot(x, y, "D", markerfacecolor="none", markeredgecolor=colour, markersize=3.5)
        axes.set(title=f"{TITLES[name]}: test {result.test_accuracy:.3f}", aspect="equal")
        axes.label_outer(remove_inner_ticks=True)
    figure.supxlabel("kick to the orange side: there the own team heads the ball (open marks: test points)")
    return figure


def say_what(game: Game, engine: str) -> str:
    """Return the opening lines: the data, the recipe, and what the dropout figures are."""
    masks = (
        "Dropout draws fresh masks at every step; its cost is that of the whole network, no unit dropped."
        if engine == "compiled"
        else "Dropout redraws its masks from seed 1 at every pass, as the exercise does: the same units are\n"
        "dropped of the same points each time. Its cost is that of the thinned network being trained."
    )
    return (
        f"Data: {game.name}; {game.X.shape[1]} training and {game.X_test.shape[1]} test points.\n"
        f"Network {'-'.join(map(str, game.sizes))}, gradient descent at learning rate {LEARNING_RATE}, all points at "
        f"once; engine: {engine}.\n{masks}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a .mat file (X, y, Xval, yval), or the folder that holds data.mat")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--engine", choices=("reference", "compiled"), default="reference")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="gradient steps (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/football-example"), help="folder for the pictures")
    parser.add_argument("--starts", type=int, default=0, help="also train from this many starting weights")
    options = parser.parse_args(arguments)
    if options.iterations < 1 or options.starts < 0 or options.starts == 1:
        parser.error("--iterations must be at least 1, and --starts at least 2 (or 0 for none)")
    try:
        game = read_game(options.data)
    except (WellfitError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not options.json:
        print(say_what(game, options.engine), end="\n\n", flush=True)
    trained = (with_compiled if options.engine == "compiled" else with_reference)(game, options.iterations)
    if options.json:
        print(json.dumps(figures(trained), indent=1))
        return 0
    print(table(trained), remark(trained), sep="\n\n", end="\n\n")
    if options.starts:
        print(other_starts(game, options.iterations, options.starts), end="\n\n")
    print("Pictures:", *draw(game, trained, options.out), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
