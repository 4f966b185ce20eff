"""The football example: its JSON, the published figures through it, its statistics, its pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

SCRIPT = Path(__file__).parents[1] / "examples" / "football.py"
# What the exercise prints: costs, train and test accuracy.
PUBLISHED = {
    "none": ((0.6557412523481002, 0.16329987525724207, 0.13851642423244898), 0.9478672985781991, 0.915),
    "l2": ((0.6974484493131264, 0.2684918873282238, 0.2680916337127301), 0.9383886255924171, 0.93),
    "dropout": ((0.6543912405149824, 0.0610169865749056, 0.0605824357985131), 0.9289099526066351, 0.95),
}


def example():
    spec = importlib.util.spec_from_file_location("football_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


football = example()


def printed(capsys, *arguments) -> dict:
    assert football.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_reference_json_is_the_published_one(capsys, data_folder):
    # A third of the exercise: the costs at 0 and 10,000. tests/test_reference.py goes on to the end.
    found = printed(capsys, "--data", data_folder / "football" / "data.mat", "--iterations", 10_001)
    for name, (costs, _, _) in PUBLISHED.items():
        assert list(found[name]) == ["train_accuracy", "test_accuracy", "cost"]
        assert list(found[name]["cost"]) == ["0", "10000"]
        assert found[name]["cost"]["0"] == pytest.approx(costs[0], abs=1e-9, rel=0)
        assert found[name]["cost"]["10000"] == pytest.approx(costs[1], abs=1e-9, rel=0)


def test_compiled_json_is_the_published_one_for_none_and_l2(capsys, data_folder):
    found = printed(capsys, "--data", data_folder / "football", "--engine", "compiled")
    assert list(found) == ["none", "l2", "dropout"]
    for name in ("none", "l2"):
        costs, train, test = PUBLISHED[name]
        assert found[name]["train_accuracy"] == train
        assert found[name]["test_accuracy"] == test
        assert list(found[name]["cost"]) == ["0", "10000", "20000"]
        assert list(found[name]["cost"].values()) == pytest.approx(costs, abs=1e-6, rel=0)
    # Fresh masks, and the cost of the whole network: near the exercise's, and not the same.
    assert found["dropout"]["cost"]["0"] == pytest.approx(PUBLISHED["none"][0][0], abs=1e-12)
    assert 0.9 <= found["dropout"]["test_accuracy"] <= 0.97


def test_both_engines_agree_on_the_look_alike(capsys, monkeypatch):
    monkeypatch.delenv("WELLFIT_DATA", raising=False)
    found = [printed(capsys, "--iterations", 500, "--engine", engine) for engine in ("reference", "compiled")]
    for name in ("none", "l2"):
        reference, compiled = (f[name] for f in found)
        assert compiled.pop("cost") == pytest.approx(reference.pop("cost"), abs=1e-9)
        assert compiled == reference
    assert found[0]["dropout"] != found[1]["dropout"]


def test_the_script_runs_by_itself(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "WELLFIT_DATA"}
    command = [sys.executable, "-W", "error", SCRIPT, "--iterations", "300", "--out", tmp_path / "pictures"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "look-alike" in done.stdout
    assert "cost at 0" in done.stdout
    assert "on the same 200 points" in done.stdout
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {"costs.png", "costs.svg", "maps.png", "maps.svg"}
    for name in ("costs", "maps"):
        assert (tmp_path / "pictures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "lambda 0.7" in (tmp_path / "pictures" / f"{name}.svg").read_text(encoding="utf-8")


def test_other_starts_are_told(monkeypatch):
    monkeypatch.delenv("WELLFIT_DATA", raising=False)
    text = football.other_starts(football.read_game(None), iterations=50, starts=3)
    assert "over 3 starting weights" in text
    assert text.count("against none") == 2


def test_the_environment_s_data_is_the_default(monkeypatch, data_folder):
    monkeypatch.setenv("WELLFIT_DATA", str(data_folder))
    assert football.read_game(None).X[0, 0] == football.read_game(data_folder).X[0, 0]
    monkeypatch.delenv("WELLFIT_DATA")
    assert "look-alike" in football.read_game(None).name


def test_the_default_is_the_whole_exercise():
    assert (football.ITERATIONS, football.LEARNING_RATE, football.LAMBDA, football.KEEP) == (30_000, 0.3, 0.7, 0.86)
    assert football.HIDDEN == (20, 3)


@pytest.mark.parametrize("content", ["", "x,y\n1,0\n2,1\n"])
def test_unusable_data_is_one_line_and_exit_code_2(capsys, tmp_path, content):
    path = tmp_path / "points.csv"
    path.write_text(content, encoding="utf-8")
    assert football.main(["--data", str(path), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1


# --- the statistics


def outcomes(won: int, lost: int, n: int = 200):
    ours, theirs = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    theirs[:won] = False
    ours[won : won + lost] = False
    return ours, theirs


def test_mcnemar_is_the_exact_binomial():
    assert football.paired_difference(*outcomes(9, 2))[3] == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert football.paired_difference(*outcomes(0, 0))[3] == 1


def test_paired_interval_is_the_one_of_the_literature():
    # Agresti's approval ratings: 1600 people twice, 150 changed one way, 86 the other; .04 within (.02, .06).
    difference, low, high, _ = football.paired_difference(*outcomes(150, 86, 1600))
    assert (difference, round(low, 2), round(high, 2)) == (0.04, 0.02, 0.06)


def test_paired_interval_turns_with_its_arguments():
    difference, low, high, p = football.paired_difference(*outcomes(9, 2))
    turned = football.paired_difference(*outcomes(2, 9))
    assert turned == pytest.approx((-difference, -high, -low, p))
    wider = football.paired_difference(*outcomes(9, 2), 0.975)
    assert wider[1] < low < high < wider[2]


@pytest.mark.parametrize(("won", "lost"), [(0.045, 0.01), (0.03, 0.03), (0.1, 0.05), (0.02, 0.005)])
def test_paired_interval_holds_the_truth_as_often_as_it_says(won, lost):
    # The exact coverage: every count of points won and lost with its probability.
    covered = total = 0.0
    for w in range(60):
        chance = binom.pmf(w, 200, won)
        if chance < 1e-6:
            continue
        for k in range(40):
            weight = chance * binom.pmf(k, 200 - w, lost / (1 - won))
            if weight < 1e-8:
                continue
            _, low, high, _ = football.paired_difference(*outcomes(w, k))
            covered, total = covered + weight * (low <= won - lost <= high), total + weight
    assert total > 0.999
    assert 0.94 < covered / total < 0.99


def test_wilson_s_interval_is_its_formula():
    z, n, k = 1.959963984540054, 200, 190
    centre, spread = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    assert football.wilson(np.arange(n) < k) == pytest.approx((centre - spread, centre + spread))


def trained(right, name):
    return football.Trained([], {0: 1.0}, 1.0, float(right.mean()), right)


@pytest.mark.parametrize(("won", "lost", "noise"), [(9, 2, True), (30, 2, False), (2, 30, False)])
def test_the_remark_follows_the_interval(won, lost, noise):
    ours, none = outcomes(won, lost)
    text = football.remark({"none": trained(none, "none"), "dropout": trained(ours, "d"), "l2": trained(none, "l2")})
    dropout, l2 = text.split("\n0.", 1)[0], text.split("\n0.", 1)[-1]
    assert f"{won} points won, {lost} lost" in dropout
    assert ("within noise" in dropout) == noise
    assert "within noise" in l2


def test_the_published_difference_is_within_noise():
    ours, none = outcomes(9, 2)  # .950 against .915: see the example's output on the course's data
    ours[-8:] = none[-8:] = False
    assert (ours.mean(), none.mean()) == (0.95, 0.915)
    text = football.remark({name: trained(ours if name == "dropout" else none, name) for name in football.TITLES})
    assert "95% interval -0.003 to +0.073" in text
    assert "McNemar's exact p = 0.065" in text
