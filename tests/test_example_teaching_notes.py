"""The teaching notes: the words follow the intervals, the intervals follow the folds, and the script runs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from wellfit import MLP

SCRIPT = Path(__file__).parents[1] / "examples" / "teaching_notes.py"


def example():
    spec = importlib.util.spec_from_file_location("teaching_notes_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


notes = example()
NETWORK = MLP((64,))


@pytest.mark.parametrize(
    ("low", "high", "helps", "adds_nothing"),
    [
        (0.01, 0.02, "supports", "supports"),  # sure, and below the margin of .05
        (0.01, 0.2, "supports", "contradicts"),
        (-0.1, 0.02, "undecided", "supports"),
        (-0.1, 0.2, "undecided", "undecided"),
        (-0.2, -0.1, "contradicts", "supports"),
    ],
)
def test_words_follow_the_interval(low, high, helps, adds_nothing):
    assert notes.helps(low, high, 0.05) == helps
    assert notes.adds_nothing(low, high, 0.05) == adds_nothing


@pytest.mark.parametrize(
    ("words", "everywhere", "it_depends"),
    [
        (["supports", "supports"], "holds", "does not hold"),
        (["supports", "undecided"], "undecided", "undecided"),
        (["supports", "contradicts"], "does not hold", "holds"),
        (["undecided", "contradicts"], "does not hold", "undecided"),
        (["undecided"], "undecided", "undecided"),
    ],
)
def test_verdicts_follow_the_words(words, everywhere, it_depends):
    assert notes.everywhere(words) == everywhere
    assert notes.it_depends(words) == it_depends


def made(gains, score="accuracy", train=90, test=10):
    """Return a table on which every cocktail has the value 1 and the given gain over none."""
    folds = len(next(iter(gains.values())))
    sign = 1 if score == "accuracy" else -1
    values = {(NETWORK, c): 1 + sign * np.array(g) for c, g in {"none": np.zeros(folds), **gains}.items()}
    rows = np.full(folds, train), np.full(folds, test)
    return notes.Measured("made", score, {"score": values}, *rows)


def claim(cocktails, test=notes.helps, rule=notes.everywhere):
    return notes.Claim("", "", (NETWORK,), lambda _: [(c, "none") for c in cocktails], test, rule)


@pytest.mark.parametrize("together", [1, 3])
def test_the_interval_is_nadeau_s_and_bengio_s_at_bonferroni_s_level(together):
    gains = [0.1, 0.3, 0.2, 0.4]
    names = [f"l2={i + 1}" for i in range(together)]
    found = notes.check(claim(names), [made(dict.fromkeys(names, gains))], "score")
    half = t.ppf(1 - 0.05 / 2 / together, 3) * np.sqrt(1 / 4 + 10 / 90) * np.std(gains, ddof=1)
    assert len(found) == together
    for line in found:
        assert (line.gain, line.low, line.high) == pytest.approx((0.25, 0.25 - half, 0.25 + half))


@pytest.mark.parametrize("score", ["accuracy", "rmse"])
def test_a_gain_is_positive_where_it_is_better(score):
    table = made({"l2=1": [0.2, 0.21, 0.2, 0.22]}, score)
    (line,) = notes.check(claim(["l2=1"]), [table], "score")
    assert line.gain == pytest.approx(0.2075)
    assert line.word == "supports"


def test_equal_differences_decide_nothing():
    (line,) = notes.check(claim(["l2=1"]), [made({"l2=1": [0.25] * 4})], "score")
    assert line.word == "undecided"


def test_a_textbook_lambda_is_divided_by_the_rows_of_the_fold():
    assert made({"l2=1": [0.0]}, train=200).lambda_(0.1) == "l2=0.0005"


def test_the_script_runs(capsys):
    assert notes.main(["--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["tables"] == ["football"]
    assert len(found["notes"]) == len(notes.CLAIMS)
    for note in found["notes"]:
        assert set(note["verdict"]) == {"loss", "score"}
        assert {*note["verdict"].values()} <= {"holds", "does not hold", "undecided"}
        for line in note["comparisons"]:
            assert line["low"] <= line["gain"] <= line["high"]
    text = notes.text(found["notes"])
    assert text.count("In the loss:") == len(notes.CLAIMS)
