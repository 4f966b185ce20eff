"""What a search says and shows: its words, the figures, the section of the page."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from html_page import Page, only_own_scripts
from hypothesis import given
from hypothesis import strategies as st
from records_factory import HOSTILE, run_record

from wellfit import rng
from wellfit.messages import say
from wellfit.records import Corrected, Difference, Interval, Part, SearchRecord, Trial
from wellfit.report.figures.search import best_losses, search_figure, search_label, top_of, worth_figure
from wellfit.report.page import render
from wellfit.report.search_text import (
    best_trials,
    chosen_rung,
    note,
    rows,
    score_sentences,
    sentences,
    title,
    worth_notes,
    worth_rows,
    worth_sentences,
)

EPOCHS = (33, 99, 298)


def trial(number: int, *losses: float, **more) -> Trial:
    values = dict(source="portfolio" if number < 4 else "proposed", cocktail="l2=0.01 + dropout=0.2", network="64,32")
    return Trial(number=number, **(values | dict(learning_rate=0.003, batch_size=32, losses=losses) | more))


def apart(mean: float, half: float, word: str) -> Difference:
    return Difference(Interval(mean, mean - half, mean + half, "Difference"), word)  # type: ignore[arg-type]


def record(*trials: Trial, **more) -> SearchRecord:
    """A search with these trials, or with 40 of which the fourteenth is best."""
    if not trials:
        draw = rng.generator(5, rng.DATA)
        losses = 0.2 + 0.02 * np.abs(draw.standard_normal((40, 3))).cumsum(axis=1)
        reached = draw.integers(1, 4, 40)
        made = [trial(i, *losses[i, : reached[i]].tolist()) for i in range(40)]
        made[14] = trial(14, 0.21, 0.11, 0.15, cocktail="weight_decay=0.1 + dropout=0.3", seeds=3)
        trials = tuple(made)
    best = more.pop("winner", min((t for t in trials if chosen_rung_plain(t) < math.inf), key=chosen_rung_plain).number)
    values = dict(
        data="football",
        task="binary",
        metric="accuracy",
        higher_is_better=True,
        folds=5,
        seed=3,
        sampler="tpe",
        budget=2_000_000,
        spent=1_900_000,
        epochs=EPOCHS,
        trials=tuple(trials),
        winner=best,
        winner_epoch=99,
        parts=(Part(best, 99, 0.6), Part(trials[0].number, 298, 0.3), Part(best, 298, 0.1)),
        temperature=0.87,
        single_loss=0.112,
        ensemble_loss=0.104,
        single_score=0.941,
        ensemble_score=0.948,
        score=Corrected(Interval(0.93, 0.9, 0.95, "Expected accuracy on new rows, corrected."), 0.948, 0.018, 100),
        worth={
            "weight_decay": apart(0.05, 0.02, "worse"),
            "dropout": apart(-0.03, 0.01, "better"),
            "all": apart(0.01, 0.2, "undecided"),
        },
        rows=np.arange(9),
        out_of_fold=np.zeros((9, 1)),
    )
    return SearchRecord(**(values | more))


def chosen_rung_plain(t: Trial) -> float:
    sound = [loss for loss in (t.losses[1:] or t.losses) if math.isfinite(loss)]
    return min(sound, default=math.inf)


def page_of(search: SearchRecord | None, **more) -> str:
    return render(replace(run_record(features=3, cocktails=2), portraits=(), search=search, **more))


def test_cards_say_that_an_ensemble_stands_against_one_network() -> None:
    plain = run_record(features=3, cocktails=2).summary
    none = {**plain["none"], "learned": {"networks": 1, "rows": 500}}
    summary = {**plain, "learned": {"networks": 2, "rows": 60000}, "none": none}
    words = Page(page_of(record(), summary=summary)).words
    assert "The ensemble's accuracy on the test rows" in words
    assert "An average of 2 networks trained on 60000 rows." in words
    assert "One network trained on 500 rows." in words
    assert "told by 500 rows; the model was then trained on 60000 rows" in words
    assert "The two were not trained on the same rows" in words
    untested = {**summary, "test": {"score": None, "interval": None, "loss": None}}
    assert "The ensemble's accuracy in cross-validation" in Page(page_of(record(), summary=untested)).words


# Words ---------------------------------------------------------------------------------------------------------------


def test_sentences_of_a_search() -> None:
    found = record()
    assert title(found) == (
        "football: binary, search by a Bayesian sampler (TPE) over 5 folds; 40 trials (4 strong defaults, 36 "
        "proposed), 1,900,000 of 2,000,000 member-steps spent"
    )
    assert sentences(found) == [
        "The best single trial is number 14: weight_decay=0.1 + dropout=0.3, network 64,32, learning rate 0.003, batch "
        "32, at epoch 99.",
        "The model is an ensemble of 2 trials, 25 fold networks in all: 70% trial 14, 30% trial 0.",
        "Its validation loss is 0.104, that of the best single trial 0.112 (both not corrected for the choice). Its "
        "probabilities are calibrated: logits divided by 0.87.",
    ]
    assert score_sentences(found) == [
        "The model's accuracy is 0.930 (95% interval 0.900 to 0.950), corrected for having been chosen. Not corrected, "
        "on the rows it was chosen by, it is 0.948, which flatters it by 0.018.",
        "Expected accuracy on new rows, corrected.",
    ]
    assert "calibrated" not in sentences(replace(found, task="regression"))[2]
    alone = replace(found, parts=(Part(14, 99, 1.0),))
    assert "The model is trial 14 alone, the average of its 5 fold networks" in sentences(alone)[1]
    assert "bins" not in " ".join(sentences(found)) + note(found, 40)
    binned = replace(found, trials=tuple(replace(t, binned=True) for t in found.trials))
    assert "stand bins" in sentences(binned)[0]
    assert {row.inputs for row in rows(binned, binned.trials)} == {"bins"}
    assert "Inputs: bins" in note(binned, 40)


def test_many_parts_are_counted() -> None:
    many = tuple(Part(i, 99, 1 / 20 if i else 1 / 20 - 1e-9) for i in range(20))
    told = sentences(replace(record(), parts=many))[1]
    assert told.count("% trial") == 12
    assert told.endswith("and 8 more with smaller shares.")
    assert "<1% trial 1" in sentences(replace(record(), parts=(Part(0, 99, 0.999), Part(1, 99, 0.001))))[1]


def test_what_ingredients_are_worth_is_worded_the_right_way_round() -> None:
    assert worth_sentences(record()) == [
        "Without weight decay the loss is higher by 0.050 (95% interval +0.030 to +0.070): so it helps.",
        "Without dropout the loss is lower by 0.030 (95% interval −0.040 to −0.020): so it harms.",
        "Without any of them the loss is higher by 0.010 (95% interval −0.190 to +0.210): undecided.",
        say("search.worth_note"),
    ]
    part = replace(record(), worth={"dropout": apart(0.1, 0.05, "worse")})
    assert worth_notes(part)[1].endswith("the network diverges without it: weight decay.")
    empty = replace(record(), worth={})
    assert worth_sentences(empty) == [
        "Not measured, because the budget did not suffice or the network diverges without it: weight decay, dropout."
    ]
    plain = record(trial(0, 0.3, 0.2, cocktail="none"), worth={})
    assert worth_sentences(plain) == [say("search.worth_none")]
    broken = replace(record(), worth={"dropout": apart(math.nan, math.nan, "undecided")})
    assert worth_rows(broken) == []


def test_the_choice_leaves_out_the_first_rung() -> None:
    found = record(trial(0, 0.1), trial(1, 0.05, 0.3, 0.2), trial(2, 0.4, 0.15), trial(3, 0.5, math.nan), winner=2)
    assert [chosen_rung(found, t) for t in found.trials] == [0, 2, 1, None]
    assert [t.number for t in best_trials(found)] == [2, 1, 0, 3]
    told = rows(found, found.trials)
    assert [row.loss for row in told] == ["0.100", "0.200", "0.150", "diverged"]
    assert [row.epochs for row in told] == ["33", "298", "99", "99"]
    assert [row.share for row in told] == ["30%", "", "70%", ""]
    went_on = replace(found, winner=1, winner_epoch=99)
    assert rows(went_on, [went_on.trials[1]])[0].epochs == "99 of 298", "the record's word for the winner counts"
    assert rows(record(trial(0, 0.2, batch_size=None)), [trial(0, 0.2, batch_size=None)])[0].batch == "full"


@given(
    st.integers(1, 60), st.integers(0, 59), st.lists(st.integers(0, 59), min_size=1, max_size=20), st.integers(3, 12)
)
def test_shown_are_the_winner_the_parts_and_the_best(count: int, winner: int, inside: list[int], most: int) -> None:
    winner %= count
    trials = [trial(i, 0.3, 0.2 + 0.01 * ((i * 7) % count)) for i in range(count)]
    parts = tuple(Part(i % count, 99, 1 / len(inside)) for i in inside)
    found = record(*trials, winner=winner, parts=parts)
    shown = best_trials(found, most)
    assert shown[0].number == winner
    assert len({t.number for t in shown}) == len(shown) <= max(most, 13)
    assert len(shown) >= min(most, count)
    if len({p.trial for p in parts}) <= 12:
        assert {p.trial for p in parts} <= {t.number for t in shown}
    assert [t.losses[1] for t in shown[1:]] == sorted(t.losses[1] for t in shown[1:])


def test_no_interval_and_no_optimism_are_told_plainly() -> None:
    nothing = Corrected(Interval(0.93, math.nan, math.nan, "x"), 0.93, 0.0, 0)
    assert score_sentences(replace(record(), score=nothing))[0] == (
        "The model's accuracy is 0.930, corrected for having been chosen; no interval could be estimated. "
        "Not corrected, on the rows it was chosen by, it is 0.930."
    )
    lost = Corrected(Interval(math.nan, math.nan, math.nan, "x"), math.nan, math.nan, 0)
    assert "nan" not in " ".join(score_sentences(replace(record(), score=lost)))
    assert Page(page_of(replace(record(), score=lost, single_score=math.nan)))


# The figures ---------------------------------------------------------------------------------------------------------


def marks(figure, gid: str) -> list[tuple[float, float]]:
    (axes,) = figure.axes
    found = [line for line in axes.lines if line.get_gid() == gid]
    return [(float(x), float(y)) for line in found for x, y in zip(*line.get_data(), strict=True)]


def test_the_figure_holds_every_trial() -> None:
    found = record()
    figure = search_figure(found)
    inside, above = marks(figure, "trial"), marks(figure, "above")
    assert len(inside) + len(above) == 40
    losses = best_losses(found)
    for at, loss in inside:
        assert loss == losses[int(at)]
    assert marks(figure, "winner") == [(14.0, 0.11)]
    assert {at for at, _ in marks(figure, "part")} <= {0.0, 14.0}
    assert marks(figure, "ensemble")[0][1] == 0.104
    assert search_label(found).endswith("the best single trial 0.110 and the ensemble 0.104.")
    sizes = {line.get_markersize() for line in figure.axes[0].lines if line.get_gid() == "trial"}
    assert len(sizes) == 3, "the longer it trained, the larger"


def test_terrible_trials_do_not_squeeze_the_others() -> None:
    good = [trial(i, 0.2 + 0.001 * i, 0.19 + 0.001 * i) for i in range(20)]
    found = record(*good, trial(20, 1e9), trial(21, 3.0), trial(22, math.nan), ensemble_loss=0.18, single_loss=0.19)
    figure = search_figure(found)
    assert top_of(found)[1] < 0.3
    assert [at for at, _ in marks(figure, "above")] == [20, 21]
    assert [at for at, _ in marks(figure, "diverged")] == [22]
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert any(text.startswith("2 higher, up to ") and text.endswith("1 diverged") for text in texts)
    only = record(*good, trial(20, math.nan), ensemble_loss=0.18, single_loss=0.19)
    assert "1 diverged" in [t.get_text() for t in search_figure(only).axes[0].texts]


@pytest.mark.parametrize(
    "trials",
    [
        (trial(0, 0.2),),
        (trial(0, 0.0), trial(1, 0.0)),
        (trial(0, 1e-12), trial(1, 1e12), trial(2, 1e300)),
        tuple(trial(i, 0.2, 0.2, 0.2) for i in range(400)),
        (trial(0, 0.2), *(trial(i, math.nan) for i in range(1, 9))),
        (trial(0, 0.2), trial(1, 0.1, math.inf), trial(2, 0.3, 0.2, math.nan)),
    ],
)
def test_odd_searches_are_drawn(trials) -> None:
    found = record(*trials, ensemble_loss=math.nan, single_loss=math.nan, winner=0, winner_epoch=33)
    page = page_of(found)
    assert Page(page)
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


def test_the_forest_shows_what_is_worth_what() -> None:
    (axes,) = worth_figure(record()).axes
    texts = [t.get_text() for t in axes.texts]
    assert {"weight decay", "dropout", "all of them", "← harms", "helps →"} <= set(texts)
    assert {"helps", "harms", "undecided", "+0.050 (+0.030 to +0.070)"} <= set(texts)
    means = [line.get_xdata()[0] for line in axes.lines if str(line.get_gid()).startswith("mean")]
    np.testing.assert_allclose(means, [0.05, -0.03, 0.01])
    assert [line.get_gid() for line in axes.lines if str(line.get_gid()).startswith("cut")] == ["cut 2", "cut 2"]
    still = replace(record(), worth={"dropout": apart(0.0, 0.0, "undecided")})
    assert worth_figure(still).axes[0].get_xlim() == (-1.0, 1.0)


# The page ------------------------------------------------------------------------------------------------------------


def test_without_a_search_the_page_is_as_it_was() -> None:
    text = page_of(None)
    assert "search" not in text
    assert ".key.star" not in text
    assert "{%" not in text


def test_the_page_has_the_section() -> None:
    found = record()
    text = page_of(found, command="wellfit run football --budget=60s --quick")
    parsed = Page(text)
    names = [name for level, name in parsed.headings if level == 2]
    assert names.index("The search") == names.index(say("report.comparison")) + 1
    assert "#search" in [a["href"] for a in parsed.all("a")]
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for sentence in (*sentences(found), *worth_notes(found), note(found, 10)):
        assert sentence in parsed.words
    for heading in ("chosen", "worth_heading", "score_heading", "repeat_heading"):
        assert (3, say(f"search.{heading}")) in parsed.headings
    labels = [picture.get("aria-label") for picture in parsed.all("svg")]
    assert search_label(found) in labels
    assert any("dropout: −0.030 (−0.040 to −0.020), harms." in label for label in labels)
    for told in ("0.930", "95% interval 0.900 to 0.950", "which flatters it by 0.018", "0.941"):
        assert told in parsed.words
    assert "wellfit run --budget '2000000 steps' football --quick" in parsed.words
    assert 'the budget "2000000 steps" and seed 3' in parsed.words
    assert text == page_of(found, command="wellfit run football --budget=60s --quick")
    for picture in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", picture)
    assert all(th.get("scope") in ("col", "row") for th in parsed.all("th"))


def test_its_table_holds_the_best_trials() -> None:
    found = record()
    (heads, *body) = Page(page_of(found)).tables[1]
    assert heads == ["Trial", "Cocktail", "Loss", "Epochs", "Share", "Network", "Rate", "Batch", "Seeds"]
    assert body[0][:5] == ["14", "weight_decay=0.1 + dropout=0.3 best", "0.110", "99 of 298", "70%"]
    assert len(body) == 10
    assert [row[0] for row in body] == [str(t.number) for t in best_trials(found)]


@pytest.mark.parametrize("command", ["wellfit.run('football', seed=0, ...)", "", "wellfit 'open", "wellfit"])
def test_a_call_from_python_has_no_command_to_repeat(command: str) -> None:
    text = page_of(record(), command=command)
    assert text.count("<pre") == 1
    assert "budget &#34;2000000 steps&#34;" in text


def test_an_empty_worth_and_short_searches_have_their_words() -> None:
    text = Page(page_of(record(trial(0, 0.2, cocktail="none"), worth={}, epochs=(3,), winner_epoch=3))).words
    assert say("search.worth_none") in text
    assert say("search.worth_lead") not in text
    assert "It sufficed for 1 strong defaults and no proposals by a Bayesian sampler (TPE)." in text
    assert "after 3 epochs" in text
    assert "how training on changed it" not in text


def test_hostile_names_do_no_harm() -> None:
    trials = [trial(i, 0.3, 0.2 + 0.01 * i, cocktail=name, network=name, source=name) for i, name in enumerate(HOSTILE)]
    found = record(
        *trials,
        data=HOSTILE[0],
        metric=HOSTILE[3],
        sampler=HOSTILE[1],
        worth={name: apart(0.1, 0.05, "worse") for name in HOSTILE},
        score=Corrected(Interval(0.9, 0.8, 0.95, HOSTILE[0] + HOSTILE[5]), 0.9, 0.01, 9),
    )
    text = page_of(found, command="wellfit search '" + HOSTILE[0] + "'")
    parsed = Page(text)
    only_own_scripts(text)
    assert not parsed.all("b")[1:]
    assert "x" * 200 not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert "\x1b" not in title(replace(found, data="plain"))


def test_the_card_at_the_top_tells_of_the_search() -> None:
    """The scores beside it are the ensemble's, so the winner named must be the search's, not the comparison's."""
    from wellfit.report.answer import cards

    shown = replace(run_record(), search=record())
    assert shown.search is not None
    found = cards(shown)
    assert found["winner"] == shown.search.trials[shown.search.winner].cocktail
    assert str(len(shown.search.trials)) in str(found["winner_name"])
    assert any("corrected for the choice" in str(note) for note in found["winner_notes"])  # type: ignore[attr-defined]
