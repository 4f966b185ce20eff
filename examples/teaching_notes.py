"""What tutorials advise on regularization, each piece of advice checked by a comparison.

    python examples/teaching_notes.py              # the advice, the comparisons behind it, the word for it (3 minutes)
    python examples/teaching_notes.py --json
    python examples/teaching_notes.py --quick      # fewer folds and tables, to see how it works

Every comparison is a paired one: two cocktails, the same network, folds and seeds; seeds are averaged inside each fold
and the interval is Nadeau & Bengio's (2003). Advice that names no condition claims to be right everywhere: it *holds*
where every comparison supports it, does *not hold* where any comparison speaks against it, and is *undecided* else.
Of many comparisons some look decided by luck, so all intervals of one piece of advice hold together with 95%
(Bonferroni). The measured results are in docs/teaching-notes.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import numpy as np

import wellfit
from wellfit import MLP, Cocktail, Training, load
from wellfit.data import folds as cut
from wellfit.data import prepare
from wellfit.evidence.intervals import fold_interval
from wellfit.evidence.metrics import as_metric
from wellfit.population import plan, train

TABLES = ("football", "breast-cancer", "digits", "diabetes")
SHALLOW, DEEP = MLP((64,)), MLP((32, 32, 32, 32))
LEARNING_RATE, BATCH, STEPS = 3e-3, 32, 2000
L2_ENDS, LAMBDA_ENDS, DROPOUT_ENDS = (0.01, 0.1), (0.01, 0.1), (0.1, 0.3)
NONE, L2, DROPOUT = "none", "l2=0.03", "dropout=0.2"
BOTH = "l2=0.03 + dropout=0.2"
MANY = "l1=0.001 + l2=0.03 + weight_decay=0.1 + dropout=0.2"
# A gain below this is none worth having: a share of the loss or of the RMSE, and a difference of accuracies.
MARGINS = {"loss": 0.05, "rmse": 0.05, "accuracy": 0.01}


@dataclass(frozen=True, eq=False)
class Measured:
    """One table: ``values[measure][network, cocktail]`` is (K,), one value per fold, the seeds averaged."""

    data: str
    score: str
    values: dict[str, dict[tuple[MLP, str], np.ndarray]]
    train_rows: np.ndarray
    test_rows: np.ndarray

    def lambda_(self, strength: float) -> str:
        """The cocktail of a textbook's lambda/(2m) sum W^2, m the training rows of a fold."""
        return f"l2={strength / round(self.train_rows.mean()):.4g}"


@dataclass(frozen=True)
class Compared:
    """One comparison: the gain of ``cocktail`` over ``reference``, positive is better, and what it says of the advice.

    ``word`` is supports, contradicts or undecided.
    """

    data: str
    network: str
    cocktail: str
    reference: str
    measure: str
    gain: float
    low: float
    high: float
    word: str


@dataclass(frozen=True)
class Claim:
    """A piece of advice, what it claims, and the comparisons asked: (table, network) -> [(cocktail, reference)].

    ``test`` is `helps` or `adds_nothing`; ``rule`` reads the words and gives holds, does not hold or undecided.
    """

    advice: str
    claim: str
    networks: tuple[MLP, ...]
    pairs: Callable[[Measured], Iterable[tuple[str, str]]]
    test: Callable[[float, float, float], str]
    rule: Callable[[list[str]], str]


def helps(low: float, high: float, margin: float) -> str:  # noqa: ARG001 (the same arguments as adds_nothing)
    """The cocktail is better than the reference."""
    return "supports" if low > 0 else "contradicts" if high < 0 else "undecided"


def adds_nothing(low: float, high: float, margin: float) -> str:
    """The cocktail is no better than the reference, but for a margin."""
    return "supports" if high < margin else "contradicts" if low > 0 else "undecided"


def everywhere(words: list[str]) -> str:
    """Advice without a condition: one clear counterexample is enough against it."""
    if "contradicts" in words:
        return "does not hold"
    return "holds" if set(words) == {"supports"} else "undecided"


def it_depends(words: list[str]) -> str:
    """Advice to look first: right if the same thing clearly helps here and clearly harms there."""
    if {"supports", "contradicts"} <= set(words):
        return "holds"
    return "does not hold" if set(words) == {"supports"} else "undecided"


def against_none(cocktails: Callable[[Measured], Iterable[str]]) -> Callable[[Measured], list[tuple[str, str]]]:
    return lambda table: [(cocktail, NONE) for cocktail in cocktails(table)]


def l2_ends(_: Measured) -> list[str]:
    return [f"l2={s}" for s in L2_ENDS]


def dropout_ends(_: Measured) -> list[str]:
    return [f"dropout={s}" for s in DROPOUT_ENDS]


def lambda_ends(table: Measured) -> list[str]:
    return [table.lambda_(s) for s in LAMBDA_ENDS]


CLAIMS = (
    Claim(
        "First train without regularization.",
        "Whether the advised strengths help depends on the data: somewhere they help, elsewhere they harm.",
        (SHALLOW, DEEP),
        against_none(lambda table: [*l2_ends(table), *dropout_ends(table)]),
        helps,
        it_depends,
    ),
    Claim(
        "Use L2 between .01 and .1 (wellfit's strength: l2/2 sum W^2 beside the mean loss).",
        "At either end it is better than none.",
        (SHALLOW, DEEP),
        against_none(l2_ends),
        helps,
        everywhere,
    ),
    Claim(
        "Use L2 between .01 and .1 (the textbook's lambda: lambda/(2m) sum W^2).",
        "At either end it is better than none.",
        (SHALLOW, DEEP),
        against_none(lambda_ends),
        helps,
        everywhere,
    ),
    Claim(
        "Use dropout that keeps .7 to .9.",
        "At either end it is better than none.",
        (SHALLOW, DEEP),
        against_none(dropout_ends),
        helps,
        everywhere,
    ),
    Claim(
        "Do not use too many at once.",
        f"{MANY} is no better than L2 alone.",
        (SHALLOW, DEEP),
        lambda _: [(MANY, L2)],
        adds_nothing,
        everywhere,
    ),
    Claim(
        "For a shallow network L2 is enough.",
        "With one hidden layer, L2 and dropout together are no better than L2 alone.",
        (SHALLOW,),
        lambda _: [(BOTH, L2)],
        adds_nothing,
        everywhere,
    ),
    Claim(
        "For a deep network use both.",
        "With four hidden layers, L2 and dropout together are better than either alone.",
        (DEEP,),
        lambda _: [(BOTH, L2), (BOTH, DROPOUT)],
        helps,
        everywhere,
    ),
)


def measure(name: str, folds: int, seeds: int, steps: int) -> Measured:
    """Train everything that the claims ask about on one table, as one population."""
    table = load(name)
    rows = np.arange(table.rows)
    if table.test_rows is not None:
        rows = np.setdiff1d(rows, table.test_rows)
    data = prepare(table, cut(table, rows, folds=folds, seed=0))
    parts = [fold.rows for fold in data.folds]
    metric = as_metric(None, table.task)
    empty = Measured(
        name, metric.name, {}, np.array([len(p.train) for p in parts]), np.array([len(p.score) for p in parts])
    )
    asked = {text for claim in CLAIMS for pair in claim.pairs(empty) for text in pair}
    cocktails = tuple(Cocktail.parse(text) for text in sorted(asked))
    epochs = max(1, steps * BATCH // int(empty.train_rows.mean()))
    training = Training("adam", LEARNING_RATE, epochs, batch_size=BATCH)
    members = plan(
        data,
        folds=folds,
        cocktails=cocktails,
        networks=(SHALLOW, DEEP),
        trainings=(training,),
        seeds=range(seeds),
    )
    found: dict[str, dict] = {"loss": {}, "score": {}}
    for member, history in zip(members, train(members, data), strict=True):
        key = member.network, str(member.cocktail)
        target = table.target[parts[member.fold].score]
        score = metric.function(table.task, target, history.predictions)
        found["loss"].setdefault(key, np.zeros(folds))[member.fold] += history.curves["score_loss"][-1] / seeds
        found["score"].setdefault(key, np.zeros(folds))[member.fold] += score / seeds
    return Measured(name, metric.name, found, empty.train_rows, empty.test_rows)


def check(claim: Claim, tables: list[Measured], measure_: str) -> list[Compared]:
    """Return the comparisons behind one claim, intervals widened so that they all hold together."""
    asked = [(t, net, *pair) for t in tables for net in claim.networks for pair in claim.pairs(t)]
    return [compared(claim, *question, measure_, len(asked)) for question in asked]


def compared(
    claim: Claim, table: Measured, network: MLP, cocktail: str, reference: str, measure_: str, together: int
) -> Compared:
    """Return one comparison, its interval one of ``together``."""
    from scipy.stats import t

    name = "loss" if measure_ == "loss" else table.score
    sign = 1 if name == "accuracy" else -1
    values = table.values[measure_]
    ours, theirs = (values[network, str(Cocktail.parse(text))] for text in (cocktail, reference))
    interval = fold_interval(
        sign * (ours - theirs), train_rows=table.train_rows, test_rows=table.test_rows, estimates="gain"
    )
    freedom = len(ours) - 1
    half = (interval.high - interval.low) / 2 * t.ppf(1 - 0.025 / together, freedom) / t.ppf(0.975, freedom)
    margin = MARGINS[name] * (1 if name == "accuracy" else theirs.mean())
    low, high = interval.mean - half, interval.mean + half
    word = "undecided" if half == 0 else claim.test(low, high, margin)
    return Compared(table.data, str(network), cocktail, reference, name, interval.mean, low, high, word)


def notes(tables: list[Measured]) -> list[dict]:
    """Return the advice with its comparisons and verdicts, in the loss and in the score."""
    found = []
    for claim in CLAIMS:
        by_measure = {m: check(claim, tables, m) for m in ("loss", "score")}
        found.append(
            {
                "advice": claim.advice,
                "claim": claim.claim,
                "verdict": {m: claim.rule([c.word for c in lines]) for m, lines in by_measure.items()},
                "comparisons": [asdict(c) for lines in by_measure.values() for c in lines],
            }
        )
    return found


def text(found: list[dict]) -> str:
    """Return the notes for people."""
    lines = []
    for number, note in enumerate(found, 1):
        lines += [f"{number}. {note['advice']}", f"   Claim: {note['claim']}"]
        for c in note["comparisons"]:
            what = f"{c['cocktail']} against {c['reference']}"
            gain, low, high = (f"{round(c[key], 9) + 0.0:+.3g}" for key in ("gain", "low", "high"))
            lines.append(
                f"   {c['data']:14}{c['network']:12} {what:76} {c['measure']:9}{gain:>9}  [{low}, {high}]  {c['word']}"
            )
        lines += [f"   In the loss: {note['verdict']['loss']}. In the score: {note['verdict']['score']}.", ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    parser.add_argument("--quick", action="store_true", help="one table, 3 folds, short training")
    options = parser.parse_args(arguments)
    names, folds, seeds, steps = (TABLES[:1], 3, 1, 300) if options.quick else (TABLES, 10, 2, STEPS)
    tables = []
    for name in names:
        print(f"training on {name} ...", file=sys.stderr, flush=True)
        tables.append(measure(name, folds, seeds, steps))
    found = notes(tables)
    settings = {"tables": names, "folds": folds, "seeds": seeds, "steps": steps, "version": wellfit.__version__}
    if options.json:
        print(json.dumps({"settings": settings, "notes": found}, indent=1))
        return 0
    print("Gains over the reference; positive is better. Intervals hold together with 95% for each piece of advice.\n")
    print(text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
