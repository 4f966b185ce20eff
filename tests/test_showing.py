"""Results show themselves: a figure each, and HTML for notebooks in which no name becomes markup."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from html_page import Page
from matplotlib.figure import Figure
from records_factory import HOSTILE, comparison, run_record
from test_report_search import record as search_record

import wellfit as wf
from wellfit.data import load
from wellfit.nets import MLP, Training
from wellfit.records import Diagnosis, Difference, Evidence, Interval, LearningCurve, NextStep, Simplest, Table
from wellfit.report.showing import figure_of, html_of
from wellfit.select.fitting import fit

SHORT = Training(epochs=30, learning_rate=0.01, batch_size=None)


@pytest.fixture(scope="module")
def results():
    table = load("iris")
    [(history, _)] = fit(table, np.arange(150), MLP((4,)), wf.Cocktail.parse("early_stopping=5"), SHORT, 0)
    along = {"network": MLP((4,)), "training": SHORT, "folds": 2, "seeds": 1, "points": 4}
    return {
        "comparison": comparison("binary"),
        "path": wf.path(table, "l2", **along),
        "linear path": wf.path("football", "l1", network="linear", points=4, folds=2),
        "search": search_record(),
        "history": history,
        "diagnosis": diagnosis(),
        "bias": wf.bias_variance(
            "football", over="l2", points=[0.1], network="3", training=SHORT, resamples=4, seeds=2
        ),
        "workings": wf.workings("football", "l2", network="4", training=SHORT, folds=2, points=[0.1]),
        "diverged": replace(history, status="diverged"),
    }


def diagnosis():
    sizes = np.array([50, 100, 200])
    losses = (0.2 + 6 * sizes**-0.8)[:, None] + np.array([[-0.02, 0.0, 0.02]])
    return Diagnosis(
        verdict="overfits",
        sentence="Overfits & <b>how</b>.",
        evidence=(Evidence("gap", "The gap is <i>wide</i>."),),
        next_steps=(NextStep("more", "Get more rows."),),
        learning_curve=LearningCurve(sizes, losses / 3, losses, (0.2, 6.0, 0.8)),
        curves={"train_loss": np.array([1.0, 0.5, 0.1]), "score_loss": np.array([1.0, 0.7, 0.9])},
        checkpoints=np.array([0, 10, 20]),
    )


@pytest.mark.parametrize(
    "name", ["comparison", "path", "linear path", "search", "history", "diverged", "diagnosis", "workings", "bias"]
)
def test_each_result_has_a_figure_and_html(results, name):
    found = results[name]
    figure = found.plot()
    assert isinstance(figure, Figure)
    assert figure.axes
    html = found._repr_html_()
    page = Page(html)
    tags = [tag for tag, _ in page.tags]
    assert "svg" in tags
    assert "script" not in tags
    assert "http" not in html.replace("http://www.w3.org", "")
    assert html == found._repr_html_(), "equal records give equal pictures"


def test_a_comparison_shows_its_table_and_a_path_its_sentences(results):
    told = results["comparison"]
    [table] = Page(told._repr_html_()).tables
    assert len(table) == 1 + len(told.results)
    assert {row[0] for row in table[1:]} == {r.cocktail for r in told.results}
    assert "one-standard-error" in " ".join(Page(results["path"]._repr_html_()).text)
    assert "coefficients" in results["linear path"]._repr_html_()
    assert len(results["linear path"].plot(coefficients=True).axes) > 0
    assert results["comparison"].plot(measure="loss") is not None


def test_curves_without_score_rows_are_those_of_the_stop_rows(results):
    history = results["history"]
    assert np.isnan(history.curves["score_loss"]).all()
    [axes] = history.plot().axes
    lines = {line.get_gid(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(lines["validation"], history.curves["stop_loss"])


def test_a_diagnosis_draws_what_was_measured():
    found = diagnosis()
    rows, epochs = found.plot().axes
    lines = {line.get_gid(): line.get_xydata() for line in rows.lines}
    np.testing.assert_allclose(lines["validation"][:, 1], found.learning_curve.losses.mean(axis=1))
    np.testing.assert_allclose(lines["law"][:, 1], 0.2 + 6 * lines["law"][:, 0] ** -0.8)
    assert lines["law"][-1, 0] == pytest.approx(400)
    assert {line.get_gid() for line in epochs.lines} == {"train", "validation"}
    text = " ".join(Page(found._repr_html_()).text)
    assert "The gap is <i>wide</i>." in text
    assert "Get more rows." in text
    assert "b" in {tag for tag, _ in Page(found._repr_html_()).tags}, "the headings alone are bold"
    bare = replace(found, learning_curve=None, curves={}, evidence=(), next_steps=())
    assert len(bare.plot().axes) == 1
    assert "<ul>" not in bare._repr_html_()


def test_a_run_shows_its_answer_and_a_simple_answer_its_sentence():
    found = run_record()
    words = " ".join(Page(found._repr_html_()).text)
    assert found.comparison.winner in words
    assert isinstance(found.plot(measure="loss"), Figure)
    none = Interval(0.9, 0.8, 1.0, "")
    undecided = Difference(none, "undecided")
    answer = Simplest("accuracy", "l2=1", "8", "none", none, none, undecided, undecided, "A & B.")
    assert "A & B." in " ".join(Page(answer._repr_html_()).text)
    with pytest.raises(TypeError, match="Simplest"):
        answer.plot()


def test_results_print_as_text_and_have_a_repr_of_one_line(results, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # wide enough that no name is folded
    for name, found in {**results, "run": run_record()}.items():
        text, line = str(found), repr(found)
        assert 20 < len(text) < 12_000, name
        assert "array(" not in text + line, name
        assert "Interval(" not in text, name
        assert line.startswith(f"<{type(found).__name__} "), name
        assert "\n" not in line, name
        assert len(line) < 250, name
    told = str(results["comparison"])
    assert all(result.cocktail in told for result in results["comparison"].results)
    assert "95% intervals" in " ".join(told.split())
    assert "Overfits" in str(results["diagnosis"])
    assert results["path"].over in repr(results["path"])


def test_what_is_printed_is_what_the_command_line_prints(tmp_path):
    from command_line import BRIEF, call, table

    data = table(tmp_path / "t.csv")
    shown = call("compare", data, *BRIEF).stdout
    training = Training(epochs=3)
    found = wf.compare(data, network="4", training=training, seeds=1, folds=2, cocktails="none; l2=0.01")
    # The command takes the table's own recipe with 3 epochs, so figures may differ, but not the shape.
    ours, theirs = str(found).splitlines(), shown.splitlines()
    assert len(ours) == len(theirs)
    assert ours[2].split() == theirs[2].split()
    assert ours[-1].startswith("accuracy: higher is better.")


def test_no_name_in_a_printed_result_commands_the_terminal():
    told = replace(comparison("binary", data="a\x1b[31mb"), winner="x\u202ey")
    assert "\x1b" not in str(told) + repr(told)
    assert "\u202e" not in str(told) + repr(told)


def test_no_name_becomes_markup():
    told = comparison("binary", data=HOSTILE[0])
    hostile = replace(
        told, results=tuple(replace(r, cocktail=HOSTILE[i % len(HOSTILE)]) for i, r in enumerate(told.results))
    )
    tags = {tag for tag, _ in Page(hostile._repr_html_()).tags}
    assert "script" not in tags
    assert "img" not in tags
    assert "b" not in tags


def test_what_has_no_figure_says_so():
    table = load("iris")
    assert isinstance(table, Table)
    with pytest.raises(TypeError, match="Table"):
        figure_of(table)
    with pytest.raises(TypeError, match="Table"):
        html_of(table)


def test_records_are_imported_without_the_report():
    code = "import sys, wellfit.records; assert 'matplotlib' not in sys.modules and 'wellfit.report' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
