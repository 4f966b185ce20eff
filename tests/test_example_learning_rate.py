"""The example on learning rate and regularization: its recipes, its figures, and sentences that follow from them."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wellfit import reference

SCRIPT = Path(__file__).parents[1] / "examples" / "learning_rate_or_regularization.py"


def example():
    spec = importlib.util.spec_from_file_location("learning_rate_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


rates = example()


@pytest.fixture(scope="module")
def game():
    return rates.read_game(None)


@pytest.fixture(scope="module")
def ended(game):
    return rates.train(game, 400, 3)


def test_the_recipes_differ_in_what_they_say(game) -> None:
    data, recipes = rates.population(game, 1000, 2)
    by = {name: some[0].training for name, some in recipes.items()}
    assert by["slow"].learning_rate * 10 == pytest.approx(by["none"].learning_rate)
    assert by["slow"].epochs == by["none"].epochs == 1000
    assert by["slow_long"].learning_rate * by["slow_long"].epochs == pytest.approx(0.3 * 1000)
    assert str(recipes["l2"][0].cocktail) == f"l2={game.l2:g}" or "l2=" in str(recipes["l2"][0].cocktail)
    count = game.X.shape[1]
    for fold in data.folds:
        parts = [set(part.tolist()) for part in (fold.rows.train, fold.rows.stop, fold.rows.score)]
        assert not parts[0] & parts[1]
        assert parts[0] | parts[1] == set(range(count))
        assert parts[2] == set(range(count, count + game.X_test.shape[1]))


def test_none_and_l2_are_those_of_the_textbook_in_plain_numpy(game, ended) -> None:
    for name, l2 in (("none", 0.0), ("l2", game.l2)):
        parameters, _ = reference.train(
            game.X, game.Y, game.start(3), learning_rate=rates.LEARNING_RATE, iterations=400, l2=l2
        )
        logits = reference.forward(game.X_test, parameters).logits
        assert ended[name].test_loss[0] == pytest.approx(reference.cost(logits, game.Y_test), rel=1e-9)
        norm = np.sqrt(sum((W**2).sum() for W, _ in parameters))
        assert ended[name].norm[0] == pytest.approx(norm, rel=1e-9)


def test_a_tenth_of_the_rate_goes_a_tenth_of_the_way(ended) -> None:
    """To first order gradient descent follows one curve, and rate x steps is how far it goes on it."""
    assert rates.apart(ended["slow"], ended["none_early"]) < 0.2 * rates.apart(ended["slow"], ended["none"])
    assert np.allclose(ended["slow"].norm, ended["none_early"].norm, rtol=0.05)
    assert (ended["early_stopping"].epoch <= 400).all()


def test_the_sentences_follow_the_figures(ended) -> None:
    def told(**losses: np.ndarray) -> list[str]:
        return rates.answer({n: replace(e, test_loss=losses.get(n, e.test_loss)) for n, e in ended.items()}, 400)

    base = np.array([0.5, 0.51, 0.52])
    first, second, third = told(
        none=base, slow_long=base + np.array([0.01, -0.02, 0.01]), l2=base - 0.2, slow=base, none_early=base
    )
    assert "only breaks the training off sooner" in first
    assert "not where to" in second
    assert "changes where it goes" in third
    assert "falls from 0.510 to 0.310" in third
    first, second, third = told(none=base, slow_long=base - 0.3, l2=base, slow=base - 0.1, none_early=base)
    assert "does more than stop sooner" in first
    assert "so the rate matters" in second
    assert "does not change the test loss here" in third
    assert "within the luck of the starts" in third


def test_json_and_quick(capsys, data_folder) -> None:
    arguments = ["--data", str(data_folder / "football" / "data.mat"), "--quick", "--epochs", "1000"]
    assert rates.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["epochs"] == 100
    assert found["starts"] == 2
    assert set(found["recipes"]) == set(rates.TITLES)
    assert len(found["answer"]) == 3
    assert found["recipes"]["slow_long"]["epoch"] == 1000
    assert found["recipes"]["none_early"]["epoch"] == 10
    assert rates.main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(sentence in printed for sentence in found["answer"])
    for name in ("none", "l2"):
        assert f"{found['recipes'][name]['test_loss']:.3f}" in printed


def test_slips_are_named(capsys, tmp_path) -> None:
    assert rates.main(["--data", str(tmp_path / "no.mat")]) == 2
    assert "no.mat" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        rates.main(["--starts", "1"])
