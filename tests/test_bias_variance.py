"""Bias and variance of real populations: against closed-form ridge regression, and what a table allows."""

from __future__ import annotations

import numpy as np
import pytest

import wellfit as wf
from wellfit.errors import DataError, SettingError
from wellfit.messages import catalogue
from wellfit.records import Table
from wellfit.report.bias_variance_text import columns, sentences, title
from wellfit.report.figures.decomposition import decomposition_label, decomposition_svg
from wellfit.select.bias_variance_data import Generator, bootstrapped, drawn

ROWS, SIGMA = 40, 1.5
BRIEF = wf.Training(epochs=8, batch_size=16, learning_rate=0.01)


class FixedDesign:
    """Linear truth plus noise; training sets share their x, so that ridge regression is known in closed form."""

    beta = np.array([1.0, -2.0, 0.5, 0.0])

    def __init__(self) -> None:
        draw = np.random.default_rng(11)
        self.x = draw.normal(size=(ROWS, 4)) @ (np.eye(4) + 0.6)

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = self.x if rows == ROWS else rng.normal(size=(rows, 4)) @ (np.eye(4) + 0.6)
        return x, self.truth(x) + SIGMA * rng.normal(size=rows)

    def truth(self, x: np.ndarray) -> np.ndarray:
        return 3 + x @ self.beta

    def closed_form(self, strength: float, rows: int = 200_000) -> dict[str, float]:
        """Bias^2, variance and noise over x: ridge is linear in y (docs/linear.md: alpha = l2 n / 2)."""
        mean, scale = self.x.mean(0), self.x.std(0)
        z = (self.x - mean) / scale
        hat = np.linalg.solve(z.T @ z + strength * ROWS / 2 * np.eye(4), z.T)
        x = np.random.default_rng(12).normal(size=(rows, 4)) @ (np.eye(4) + 0.6)
        h = 1 / ROWS + ((x - mean) / scale) @ hat @ (np.eye(ROWS) - 1 / ROWS)
        bias = (self.truth(x) - h @ self.truth(self.x)) ** 2
        return {"bias": bias.mean(), "variance": SIGMA**2 * (h**2).sum(1).mean(), "noise": SIGMA**2}


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("seed", [3, 4])
def test_closed_form_ridge_within_three_standard_errors(strength: float, seed: int) -> None:
    source = FixedDesign()
    cocktail = f"l2={strength}" if strength else None
    found = wf.bias_variance(
        generator=source,
        network="linear",
        cocktail=cocktail,
        resamples=150,
        train_rows=ROWS,
        score_rows=1500,
        seed=seed,
    )
    [parts] = found.parts["squared"]
    truth = source.closed_form(strength)
    truth["total"] = sum(truth.values())
    for name, value in truth.items():
        interval = getattr(parts, name)
        error = (interval.high - interval.mean) / 1.96  # a little more than one standard error
        assert abs(interval.mean - value) < 3 * error, name
        assert error < 0.25 * truth["total"], name
    assert found.known
    assert found.exact
    assert parts.seed.mean == 0
    assert parts.data == parts.variance or parts.data.mean == parts.variance.mean


def test_along_the_strength_bias_rises_and_variance_falls() -> None:
    found = wf.bias_variance(
        generator=FixedDesign(), over="l2", points=(0.01, 0.1, 0.5, 2, 10), network="linear", resamples=60,
        train_rows=ROWS, score_rows=400,
    )  # fmt: skip
    parts = found.parts["squared"]
    bias, variance = [p.bias.mean for p in parts], [p.variance.mean for p in parts]
    assert bias == sorted(bias)
    assert variance == sorted(variance, reverse=True)
    totals = [p.total.mean for p in parts]
    assert found.best == int(np.argmin(totals))
    for p in parts:
        assert p.total.mean == pytest.approx(p.bias.mean + p.variance.mean + p.noise.mean)
    assert found.strengths.tolist() == [0, 0.01, 0.1, 0.5, 2, 10]
    svg = decomposition_svg(found)
    assert svg.startswith("<svg")
    assert "lowest total" in svg
    assert "Noise" in svg
    assert decomposition_label(found) in svg
    assert svg == decomposition_svg(found)


class Chances:
    """Two or three classes with known chances."""

    def __init__(self, classes: int) -> None:
        self.weights = np.linspace(-1.5, 1.5, classes)

    def truth(self, x: np.ndarray) -> np.ndarray:
        raw = np.exp(x[:, :1] * self.weights)
        return raw / raw.sum(1, keepdims=True)

    def draw(self, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(rows, 2))
        return x, (rng.random(rows)[:, None] > self.truth(x).cumsum(1)[:, :-1]).sum(1)


@pytest.mark.parametrize("classes", [2, 3])
def test_known_chances_have_noise_in_every_loss(classes: int) -> None:
    source = Chances(classes)
    assert isinstance(source, Generator)
    found = wf.bias_variance(
        generator=source, network="6", training=BRIEF, resamples=6, seeds=3, train_rows=60, score_rows=300
    )
    x = np.random.default_rng(0).normal(size=(100_000, 2))
    truth = source.truth(x)
    noise = {"log-loss": -(truth * np.log(truth)).sum(1), "brier": 1 - (truth**2).sum(1)}
    assert list(found.parts) == ["log-loss", "brier", "0-1"]
    for loss, [parts] in found.parts.items():
        whole = parts.noise.mean + parts.bias.mean + parts.variance.mean
        assert parts.total.mean == pytest.approx(whole)
        if loss in noise:
            assert abs(parts.noise.mean - noise[loss].mean()) < 2 * (parts.noise.high - parts.noise.mean)
            assert parts.data.mean + parts.seed.mean == pytest.approx(parts.variance.mean)
            assert parts.seed.mean > 0
    best = 1 - truth.max(1).mean()
    assert found.parts["0-1"][0].total.low > best - 0.1


def test_the_same_question_has_the_same_answer_on_any_number_of_threads() -> None:
    from wellfit.executors import Threads
    from wellfit.select.bias_variance_output import bias_variance_text

    asked = {"network": "8", "training": BRIEF, "resamples": 5, "seeds": 2, "over": "dropout", "points": 3}
    texts = {bias_variance_text(wf.bias_variance("football", **asked, executor=Threads(n))) for n in (1, 4)}
    assert len(texts) == 1
    assert bias_variance_text(wf.bias_variance("football", **asked, seed=1)) not in texts


def table(**changes: object) -> Table:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(90, 2)), draw.integers(0, 2, 90)
    columns = {"a": x[:, 0] + y, "b": x[:, 1]}
    settings = {"name": "t", "kinds": {"a": "numeric", "b": "numeric"}, "target": y, "target_name": "y"}
    return Table(**{**settings, "columns": columns, "task": "binary", "classes": ("n", "y"), **changes})


def test_resamples_never_hold_a_scored_row_nor_a_test_row() -> None:
    held_out = np.arange(60, 90)
    found = bootstrapped(table(test_rows=held_out), np.arange(60), 30, 5, stops=True, bent=True, flat=True)
    assert found.train_rows == 40
    for fold in found.data.folds:
        rows = fold.rows
        assert len(rows.train) == 40
        assert len(rows.score) == 20
        assert len(np.unique(rows.train)) < 40, "rows repeat"
        parts = [set(rows.train), set(rows.stop), set(rows.score), set(held_out)]
        assert len(set().union(*parts)) == sum(map(len, parts)), "disjoint"
        assert set(rows.train) | set(rows.stop) == set(range(60)) - set(rows.score)
    assert len({tuple(f.rows.train) for f in found.data.folds}) == 30
    # 1 - (1 - 1/40)^40 of the rows are different.
    share = np.mean([len(np.unique(f.rows.train)) for f in found.data.folds]) / 40
    assert abs(share - 0.637) < 0.03


def test_a_resample_depends_on_its_number_alone() -> None:
    rows = np.arange(50)
    few = bootstrapped(table(), rows, 2, 0, stops=False, bent=True, flat=True).data.folds
    many = bootstrapped(table(), rows, 9, 0, stops=False, bent=True, flat=True).data.folds
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a.rows.train, b.rows.train)


def test_whole_groups_are_drawn_and_held_out() -> None:
    groups = np.arange(90) // 6
    found = bootstrapped(table(groups=groups), np.arange(90), 20, 0, stops=False, bent=True, flat=True)
    scored = set(groups[found.data.folds[0].rows.score])
    np.testing.assert_array_equal(
        found.groups, np.unique(groups, return_inverse=True)[1][found.data.folds[0].rows.score]
    )
    for fold in found.data.folds:
        assert not set(groups[fold.rows.train]) & scored
        values, counts = np.unique(fold.rows.train, return_counts=True)
        for group in set(groups[values]):
            assert len(set(counts[groups[values] == group])) == 1, "all rows of a group equally often"
    assert drawn(np.arange(6), 0, 0, np.array([0, 0, 1, 1, 2, 2])).size == 6


def test_early_stopping_weights_and_several_classes_are_honoured() -> None:
    brief = {"network": "8", "training": BRIEF, "resamples": 4, "seeds": 2}
    found = wf.bias_variance("iris", cocktail="early_stopping=3", **brief)
    assert found.base == "early_stopping=3"
    assert set(found.parts) == {"log-loss", "brier", "0-1"}
    weights = np.where(np.arange(90) % 2, 1.0, 0.0)
    plain, weighted = (wf.bias_variance(t, **brief) for t in (table(), table(weights=weights)))
    assert weighted.parts["0-1"][0].total.mean != plain.parts["0-1"][0].total.mean


def test_one_seed_has_no_split_of_the_variance() -> None:
    found = wf.bias_variance("diabetes", network="8", training=BRIEF, resamples=4, seeds=1)
    [parts] = found.parts["squared"]
    assert parts.seed is parts.data is None
    assert parts.noise is None
    assert "Bias² + noise" in [c.name for c in columns(found, "squared")]


def test_a_strength_at_which_members_diverge_is_left_out_and_told() -> None:
    training = wf.Training(optimizer="sgd", learning_rate=0.5, epochs=30, batch_size=None, momentum=0.0)
    found = wf.bias_variance(
        "diabetes", network="8:tanh", training=training, over="l2", points=(0.01, 50.0), resamples=3, seeds=2
    )
    assert found.diverged.tolist()[-1] == 6
    assert found.parts["squared"][-1] is None
    assert any("diverged at 1 points" in s for s in sentences(found))
    assert columns(found, "squared")[1].cells[-1] == "diverged"
    assert decomposition_svg(found).startswith("<svg")
    with pytest.raises(SettingError, match="diverged at every strength"):
        wf.bias_variance("diabetes", network="8", cocktail="l2=50", training=training, resamples=2, seeds=1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "give data, or a generator"),
        ({"source": "iris", "generator": FixedDesign()}, "give one of them"),
        ({"source": "iris", "resamples": 1}, "resamples is a whole number from 2"),
        ({"source": "iris", "seeds": 0}, "seeds is a whole number from 1"),
        ({"source": "iris", "seed": -1}, "seed is a whole number of at least 0"),
        ({"source": "iris", "over": "early_stopping"}, "turn up another ingredient"),
        ({"source": "iris", "over": "l2", "points": 2}, "from 3 to 200"),
        ({"source": "iris", "over": "l2", "cocktail": "l2=1"}, "l2"),
        ({"generator": FixedDesign(), "train_rows": 1}, "train_rows is a whole number from 2"),
    ],
)
def test_impossible_settings_are_refused_by_name(asked: dict, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        wf.bias_variance(asked.pop("source", None), **asked)


def broken(x: object, y: object, truth: object) -> object:
    class Broken:
        def draw(self, rows: int, rng: np.random.Generator) -> tuple:
            return np.zeros(x(rows)), np.full(y(rows), 2)

        def truth(self, x: np.ndarray) -> np.ndarray:
            return np.full(truth(len(x)), 0.5)

    return Broken()


@pytest.mark.parametrize(
    ("generator", "said"),
    [
        (broken(lambda n: (n,), lambda n: n, lambda n: n), r"draw\(.*\) must return x of shape"),
        (broken(lambda n: (n, 2), lambda n: n - 1, lambda n: n), "must return x of shape"),
        (broken(lambda n: (n, 2), lambda n: n, lambda n: n + 1), r"truth\(x\) must return"),
        (broken(lambda n: (n, 2), lambda n: n, lambda n: (n, 1)), r"truth\(x\) must return"),
        (broken(lambda n: (n, 2), lambda n: n, lambda n: (n, 2)), "whole numbers from 0 to 1"),
    ],
)
def test_a_generator_that_breaks_its_word_is_told_which(generator: object, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        wf.bias_variance(generator=generator, network="linear", resamples=2)


def test_too_few_rows_are_the_datas_fault() -> None:
    with pytest.raises(DataError):
        wf.bias_variance(table(), rows=np.array([0]), network="linear", resamples=2)


def test_every_number_says_what_it_estimates() -> None:
    found = wf.bias_variance("football", network="linear", resamples=4)
    for loss, [parts] in found.parts.items():
        for name in ("total", "bias", "variance"):
            text = getattr(parts, name).estimates
            assert "at bootstrap sample size" in text
            assert text.endswith("held out.")
        assert "noise" in parts.bias.estimates
        assert loss in ("log-loss", "brier", "0-1")
    assert "at bootstrap sample size" in title(found)
    assert any("63%" in s for s in sentences(found))


def test_no_sentence_lacks_its_words() -> None:
    """Every key that the code puts together stands in the catalogue."""
    texts = catalogue("bias_variance")
    for name in ("total", "bias", "variance", "noise", "data", "seed", "unbiased", "biased"):
        assert {f"what_{name}", f"word_{name}"} <= set(texts)
    for loss in ("squared", "log_loss", "brier", "0_1"):
        assert f"loss_{loss}" in texts
