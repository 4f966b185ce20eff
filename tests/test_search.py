"""The search: proposals, the choice, and what is repeatable about it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from tables import made_table

from wellfit.cocktail import L2, Dropout, as_cocktail
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.errors import DataError, SettingError
from wellfit.evidence.metrics import log_loss
from wellfit.executors import Threads
from wellfit.nets import MLP, Training
from wellfit.records import Table
from wellfit.report.search_text import repeat_sentence
from wellfit.select.compare import cross_validation_data
from wellfit.select.halving import Runner, Track
from wellfit.select.pace import Question
from wellfit.select.proposals import ENOUGH, Proposals
from wellfit.select.search import search
from wellfit.select.space import Candidate, Space
from wellfit.select.worth import worth

FAST = Training(epochs=9, batch_size=32, learning_rate=0.01)
SMALL = 30_000  # member-steps


def track(table: Table, epochs=(1, 3, 9), ledger=None, engine=None, folds=3) -> Track:
    data, count = cross_validation_data(table, np.arange(table.rows), folds, 0, False, MLP())
    return Track(data, count, epochs, engine or CompiledEngine(), Threads(2), ledger)


def runner(cocktail="none", number=0, network=(8,), training=FAST, seed=0) -> Runner:
    return Runner(Candidate(MLP(network), as_cocktail(cocktail), training), seed, "portfolio", number=number)


# Proposals -----------------------------------------------------------------------------------------------------------


def space(task="binary") -> Space:
    return Space(task, Training(epochs=9, batch_size=32))


def test_proposals_are_a_function_of_seed_and_tellings():
    for sampler in ("tpe", "random"):
        one, two, other = (Proposals(space(), sampler, 3, seed) for seed in (5, 5, 6))
        first, same = ([c for c, _ in p.ask(6)] for p in (one, two))
        assert first == same
        assert first != [c for c, _ in other.ask(6)]
        assert first != [c for c, _ in one.ask(6)], "each batch is another"


def test_the_bayesian_sampler_learns_and_the_random_one_does_not():
    """Told that batch normalization is good and the rest bad, it proposes batch normalization."""

    def share(sampler: str) -> float:
        proposals = Proposals(space(), sampler, 1, 0)
        for _ in range(6):
            for candidate, trial in proposals.ask(10):
                good = "batch_norm" in str(candidate.cocktail)
                proposals.tell(0, trial, 0.1 if good else 1.0, 2.0)
        return float(np.mean(["batch_norm" in str(c.cocktail) for c, _ in proposals.ask(20)]))

    assert share("tpe") > 0.6
    assert share("random") < 0.5, "a quarter of the random networks is linear and has none"


def test_proposals_look_at_the_highest_rung_that_knows_enough():
    proposals = Proposals(space(), "tpe", 2, 0)
    for candidate, trial in proposals.ask(ENOUGH):
        good = candidate.network.activation == "silu"
        proposals.tell(0, trial, 0.1 if good else 1.0, 2.0)
        proposals.tell(1, trial, 1.0 if good else 0.1, 2.0)  # longer trainings say the opposite
    found = [c.network.activation for c, _ in proposals.ask(30) if c.network.hidden]
    assert np.mean([name == "silu" for name in found]) < 0.5


def test_optuna_keeps_quiet_and_its_settings_are_its_owners(capfd):
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Proposals(space(), "tpe", 1, 0).ask(2)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_proposal_can_be_trained(task):
    table = made_table(task, rows=80)
    data, _ = cross_validation_data(table, np.arange(80), 2, 0, False, MLP())
    engine = CompiledEngine()
    proposals = Proposals(replace(space(task), training=FAST), "random", 1, 1)
    for candidate in [*space(task).portfolio(), *[c for c, _ in proposals.ask(60)]]:
        member = Member(candidate.network, candidate.cocktail, candidate.training, 0, 0)
        assert engine.supports(member, data) is None, str(candidate)
        assert task != "regression" or "label_smoothing" not in str(candidate.cocktail)


def test_what_is_given_is_fixed():
    fixed = Space("binary", replace(FAST, schedule="constant"), MLP((16,), "tanh"), 0.01)
    candidates = [*fixed.portfolio(), *[c for c, _ in Proposals(fixed, "tpe", 1, 0).ask(10)]]
    assert {c.network for c in candidates} == {MLP((16,), "tanh")}
    assert {c.training.learning_rate for c in candidates} == {0.01}
    linear = Space("binary", FAST, MLP(()))
    assert not any("dropout=" in str(c.cocktail).replace("input_dropout", "") for c in linear.portfolio())
    assert len(set(linear.portfolio())) == len(linear.portfolio())


def test_wide_networks_wait_for_large_budgets():
    table = made_table(rows=400)
    data, folds = cross_validation_data(table, np.arange(400), 3, 0, False, MLP())

    def widest(total: int) -> int:
        return Question(data, folds, None, None, CompiledEngine(), Threads(1), 0.0).space(total).widest

    assert widest(10_000) == 32
    assert widest(10**9) == 256


# The answer ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return search(made_table(rows=200, noise=1.0), budget=120_000, folds=4)


def test_the_portfolio_goes_first_and_none_is_in_it(found):
    first = [t for t in found.record.trials if t.source == "portfolio"]
    assert [t.number for t in first] == list(range(len(first)))
    assert first[0].cocktail == "none"
    assert any(t.source == "proposed" for t in found.record.trials)


def test_the_winner_is_the_lowest_of_the_candidates_that_got_beyond_the_first_rung(found):
    record = found.record
    reached = [t for t in record.trials if len(t.losses) > 1 and t.seeds == 1]
    winner = record.trials[record.winner]
    if winner.seeds == 1:
        assert min(winner.losses[1:]) <= min(min(t.losses[1:]) for t in reached)
    assert found.winner == winner.cocktail
    assert record.winner_epoch in record.epochs


def test_out_of_fold_figures_are_those_of_the_predictions(found):
    record, table = found.record, made_table(rows=200, noise=1.0)
    assert record.ensemble_loss == pytest.approx(log_loss("binary", table.target[record.rows], record.out_of_fold))
    assert record.ensemble_loss <= record.single_loss + 1e-9
    assert sum(part.share for part in record.parts) == pytest.approx(1)
    assert record.score.naive == pytest.approx(record.ensemble_score)
    assert record.score.score.low < record.score.score.mean < record.score.score.high
    assert "proposed" in record.score.score.estimates


def test_the_model_is_the_average_of_the_fold_networks(found, tmp_path):
    table, model = made_table(rows=200, noise=1.0), found.model
    by_hand = sum(w * part.outputs_of(table.columns) for part, w in zip(model.parts, model.weights, strict=True))
    logit = np.log(by_hand / (1 - by_hand)) / model.temperature
    np.testing.assert_allclose(model.outputs_of(table.columns), 1 / (1 + np.exp(-logit)), rtol=1e-9)
    from wellfit import Fitted

    again = Fitted.load(model.save(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again.outputs_of(table.columns), model.outputs_of(table.columns))
    assert type(again).__name__ == "Ensemble"


def test_rows_outside_are_never_looked_at():
    """Other rows poisoned: with absurd values and flipped targets, and nothing of the answer moves."""
    table = made_table(rows=160)
    rows = np.arange(0, 160, 2)
    poisoned_columns = {}
    for name, values in table.columns.items():
        poisoned_columns[name] = np.where(np.isin(np.arange(160), rows), values, 1e12)
    flipped = np.where(np.isin(np.arange(160), rows), table.target, 1 - table.target)
    poisoned = replace(table, columns=poisoned_columns, target=flipped)
    one, two = (search(t, budget=SMALL, folds=2, rows=rows) for t in (table, poisoned))
    np.testing.assert_array_equal(one.record.out_of_fold, two.record.out_of_fold)
    assert one.record.parts == two.record.parts
    for a, b in zip(one.model.parts, two.model.parts, strict=True):
        np.testing.assert_array_equal(a.parameters, b.parameters)


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks(task):
    table = made_table(task, rows=150)
    found = search(table, budget=SMALL, folds=2)
    outputs = found.model.outputs_of(table.columns)
    assert outputs.shape == (150, 3 if task == "multiclass" else 1)
    assert np.isfinite(outputs).all()
    if task == "regression":
        assert found.record.temperature == 1
        assert np.corrcoef(outputs[:, 0], table.target)[0, 1] > 0.5
    else:
        np.testing.assert_allclose(outputs.sum(1), 1)


def test_leaving_out_what_does_nothing_is_worth_nothing_and_what_helps_is_worse():
    """A winner with an L2 that is needed (noise columns) and a dropout of nearly nothing."""
    table = made_table(rows=300, columns=40, noise=1.5)
    course = track(table, epochs=(150,), folds=5)
    training = Training(epochs=150, batch_size=16, learning_rate=0.01)
    winner = Runner(Candidate(MLP((32,)), L2(0.1) + Dropout(0.001), training), 0, "portfolio")
    course.advance([(winner, 0)])
    found = worth(winner, 0, course, [winner], table)
    assert list(found) == ["l2", "dropout", "all"]
    assert found["l2"].interval.mean > 0.1
    assert found["l2"].word == "worse"
    assert abs(found["dropout"].interval.mean) < 0.05
    by_hand = runner("dropout=0.001", network=(32,), training=training)
    course.advance([(by_hand, 0)])
    expected = by_hand.loss(0) - winner.loss(0)
    assert found["l2"].interval.mean == pytest.approx(expected)


def test_bad_settings_are_refused_before_any_work():
    table = made_table(rows=60)
    for settings, words in (
        ({"budget": "soon"}, "budget"),
        ({"sampler": "grid"}, "sampler"),
        ({"folds": 1}, "folds"),
        ({"seed": -1}, "seed"),
        ({"metric": "rmse"}, "rmse"),
    ):
        with pytest.raises(SettingError, match=words):
            search(table, **{"budget": SMALL, **settings})
    with pytest.raises(DataError):
        search(table, budget=SMALL, rows=np.array([0]))


def test_a_search_where_everything_diverges_says_so():
    table = made_table("regression", rows=80)
    with pytest.raises(SettingError, match="diverged"):
        search(table, budget=SMALL, folds=2, training=Training("gd", 1e9, epochs=9, batch_size=None))


def test_a_budget_too_small_for_one_candidate_is_that_candidates_and_repeats_it():
    table = made_table(rows=80)
    tiny = search(table, budget=1, folds=2).record
    assert (len(tiny.trials), tiny.spent) == (1, tiny.budget)
    again = search(table, budget=tiny.repeat, folds=2).record
    assert (again.budget, again.spent, again.ensemble_loss) == (tiny.budget, tiny.spent, tiny.ensemble_loss)
    assert "nothing was searched. Give a larger --budget." in repeat_sentence(tiny)
    assert "nothing was searched" not in repeat_sentence(search(table, budget=SMALL, folds=2).record)


def test_progress_counts_the_budget():
    calls: list[tuple[int, int]] = []
    search(made_table(rows=80), budget=SMALL, folds=2, progress=lambda done, total: calls.append((done, total)))
    assert {total for _, total in calls} == {SMALL}
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (SMALL, SMALL)


def test_the_single_model_is_the_winners_fold_networks(found):
    record, table = found.record, made_table(rows=200, noise=1.0)
    winner = record.trials[record.winner]
    assert {str(part.cocktail) for part in found.single.parts} == {winner.cocktail}
    assert len(found.single.parts) == record.folds * winner.seeds or len(found.single.parts) == record.folds
    assert np.isfinite(found.single.outputs_of(table.columns)).all()
    assert len(found.single.parts) <= len(found.model.parts) + record.folds * winner.seeds
