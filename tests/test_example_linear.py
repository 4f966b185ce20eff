"""The linear examples: steps reach the exact solution, figures equal scikit-learn's, pictures and words are there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from wellfit.cocktail import as_cocktail
from wellfit.data import load

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"{name}_example", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


lasso_ridge, logistic, by_steps = map(example, ("lasso_ridge", "logistic", "linear_by_steps"))


# --- one-layer networks by steps


@pytest.fixture(scope="module")
def reached():
    return {name: by_steps.reach(name) for name in by_steps.COCKTAILS}


@pytest.mark.parametrize("name", ["diabetes", "breast-cancer"])
def test_steps_reach_the_exact_solution(name, reached) -> None:
    found = reached[name]
    assert {(r.cocktail, r.optimizer) for r in found} == {
        (text, title) for text in by_steps.COCKTAILS[name] for title in by_steps.RECIPES[name]
    }
    for r in found:
        assert abs(r.gap) < 1e-6, r
        assert r.same, r
        assert r.farthest < 3e-5, r
        assert r.zeros == r.exact_zeros
        assert (r.exact_zeros > 0) == r.cocktail.startswith("l1")


@pytest.mark.parametrize(
    ("name", "text", "peer"),
    [
        ("diabetes", "l1=0.05", Lasso(alpha=0.025, tol=1e-14, max_iter=10**6)),
        ("diabetes", "l2=0.05", Ridge(alpha=0.05 * 442 / 2)),
        ("breast-cancer", "l1=0.02", LogisticRegression(C=1 / (0.02 * 569), l1_ratio=1, solver="saga", tol=1e-9)),
        ("breast-cancer", "l2=0.02", LogisticRegression(C=1 / (0.02 * 569), solver="newton-cholesky", tol=1e-12)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_exact_objective_is_scikit_learn_s(name, text, peer, reached) -> None:
    table = load(name)
    x = StandardScaler().fit_transform(np.stack(list(table.columns.values()), axis=1))
    regression = table.task == "regression"
    y = (table.target - table.target.mean()) / table.target.std() if regression else table.target
    peer.set_params(max_iter=100_000).fit(x, y)
    weights, z = peer.coef_.ravel(), x @ peer.coef_.ravel() + np.ravel(peer.intercept_)
    strengths = as_cocktail(text).resolve(1)
    loss = ((z - y) ** 2).mean() if regression else np.logaddexp(0, np.where(y == 1, -z, z)).mean()
    theirs = loss + strengths.l1[0] * np.abs(weights).sum() + strengths.l2[0] / 2 * weights @ weights
    ours = next(r for r in reached[name] if r.cocktail == text)
    assert ours.exact == pytest.approx(theirs, rel=1e-8)
    assert ours.exact_zeros == int((np.abs(weights) < 1e-6).sum())


def test_too_few_steps_are_told_from_enough() -> None:
    """The measure can fail: on the way the objective is higher, and other weights are 0."""
    some = by_steps.reach("breast-cancer", epochs=100)
    assert all(r.gap > 1e-6 for r in some)
    assert not all(r.same for r in some)


def test_the_table_of_steps_is_printed(capsys, monkeypatch) -> None:
    monkeypatch.setattr(by_steps, "COCKTAILS", {"diabetes": ("l1=0.05",)})
    assert by_steps.main(["--quick"]) == 0
    text = capsys.readouterr().out
    assert text.count("l1=0.05") == 3
    assert "3 of 10" in text
    assert by_steps.main(["--quick", "--json"]) == 0
    assert [r["steps"] for r in json.loads(capsys.readouterr().out)] == [by_steps.QUICK] * 3


# --- Lasso and Ridge


def test_the_tutorial_s_data_is_what_is_said() -> None:
    x, y = lasso_ridge.points()
    draws = np.random.RandomState(0)
    assert np.array_equal(x, draws.rand(100, 1))
    assert np.array_equal(y, 3 * x[:, 0] + draws.normal(0, 0.3, 100))


def test_the_three_lines_equal_scikit_learn_s() -> None:
    x, y = lasso_ridge.points()
    found = lasso_ridge.lines(x, y)
    peers = {"least_squares": LinearRegression(), "lasso": Lasso(alpha=0.2, tol=1e-14), "ridge": Ridge(alpha=1.0)}
    assert list(found) == list(peers)
    for name, peer in peers.items():
        peer.fit(x, y)
        assert found[name].coef == pytest.approx(peer.coef_[0], abs=1e-6)
        assert found[name].intercept == pytest.approx(peer.intercept_, abs=1e-6)


def test_lasso_finds_the_five_and_ridge_does_not(capsys, tmp_path) -> None:
    assert lasso_ridge.main(["--json", "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"least_squares", "lasso", "ridge", "hundred_features"}
    assert all(set(printed[name]) == {"coef", "intercept"} for name in lasso_ridge.TITLES)
    assert {type(v) for name in lasso_ridge.TITLES for v in printed[name].values()} == {float}
    many = printed["hundred_features"]
    assert many["lasso"]["found"] == 5
    assert many["lasso"]["false"] <= 5
    assert (many["ridge"]["found"], many["ridge"]["false"]) == (5, 95)
    assert many["lasso"]["error"] < many["ridge"]["error"] < many["least_squares"]["error"]
    # The path's coefficients are those of scikit-learn's Lasso on standardized columns, at the strength it names.
    x, y = lasso_ridge.rows(100, 0)
    scale = StandardScaler().fit(x)
    peer = Lasso(alpha=many["lasso"]["strength"] / 2, tol=1e-14, max_iter=10**6)
    peer.fit(scale.transform(x), (y - y.mean()) / y.std())
    own = peer.coef_ * y.std() / scale.scale_
    assert (own != 0).sum() == many["lasso"]["features"]
    assert many["lasso"]["coefficients"] == pytest.approx(own[lasso_ridge.MATTER], abs=1e-6)
    names = {f"{name}.{suffix}" for name in ("lasso", "ridge", "features") for suffix in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_tables_of_lasso_and_ridge_say_what_was_found() -> None:
    line = lasso_ridge.first_part({"lasso": lasso_ridge.Line(0.5, 1.25)})
    assert "Lasso, alpha 0.2          0.500000    1.250000" in line
    made = lasso_ridge.Many(0.1, 7, 4, 3, (1.0, -1.0, 1.0, -1.0, 0.0), 0.25, 1.5)
    text = lasso_ridge.second_part({"lasso": made, "ridge": made})
    assert "Lasso uses 7 features, 4 of the 5 that matter" in text
    assert "+1.00  -1.00  +1.00  -1.00  +0.00" in text


# --- logistic regression


def test_the_logistic_example_says_how_to_get_its_data(tmp_path, capsys) -> None:
    assert logistic.main(["--data", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert str(tmp_path / "tabular" / "sonar.csv.gz") in told.err
    assert "WELLFIT_DATA=FOLDER" in told.err
    assert "datamicroarray" in told.err


def test_accuracy_and_weights_along_the_path(data_folder, tmp_path, capsys) -> None:
    arguments = ["--data", str(data_folder), "--points", "6", "--json", "--out", str(tmp_path)]
    assert logistic.main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["sonar", "alon-colon"]
    for name, columns in (("sonar", 60), ("alon-colon", 2000)):
        l1, l2 = printed[name]["l1"], printed[name]["l2"]
        assert l1["of"] == l2["of"] == columns
        assert l1["exists"] == l2["exists"] == [False] + [True] * 5
        assert set(l2["weights"]) == {columns}
        assert l1["weights"][-1] == 0
        assert max(l1["weights"][1:]) <= min(columns, load(data_folder / "tabular" / f"{name}.csv.gz").rows)
        assert 0 < l1["weights"][l1["one_standard_error"]] <= l1["weights"][l1["best"]]
        assert min(l1["accuracy"][l1["best"]], l2["accuracy"][l2["best"]]) > 0.7
    # One point against scikit-learn: the same count of weights, on all rows.
    table = load(data_folder / "tabular" / "sonar.csv.gz")
    x = StandardScaler().fit_transform(np.stack(list(table.columns.values()), axis=1))
    strength = printed["sonar"]["l1"]["strengths"][4]
    peer = LogisticRegression(C=1 / (strength * len(x)), l1_ratio=1, solver="saga", tol=1e-5, max_iter=20_000)
    peer.fit(x, table.target)
    assert (np.abs(peer.coef_) > 1e-4).sum() == printed["sonar"]["l1"]["weights"][4]
    assert {path.name for path in tmp_path.iterdir()} == {"logistic.png", "logistic.svg"}
    assert "mathdefault" not in (tmp_path / "logistic.svg").read_text(encoding="utf-8")


def test_impossible_points_are_refused_in_words(data_folder, capsys) -> None:
    assert logistic.main(["--data", str(data_folder), "--points", "1"]) == 2
    assert capsys.readouterr().err
