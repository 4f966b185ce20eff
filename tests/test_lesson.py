"""Lessons: every picture and every figure comes from the trained networks, and the notebook trains the same ones."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from string import Formatter

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from html_page import Page
from small_lessons import SHORT, small

import wellfit as wf
from wellfit.data import load
from wellfit.errors import SettingError
from wellfit.job import lesson as job
from wellfit.job.lesson_training import draws, teach, truth
from wellfit.messages import catalogue
from wellfit.population import plan, train
from wellfit.report.lesson_code import code
from wellfit.report.lesson_facts import facts, place, point_facts
from wellfit.report.lesson_formulas import formulas
from wellfit.report.lesson_notebook import notebook_text
from wellfit.report.lesson_page import knob_data, lesson_page, looks, paragraphs
from wellfit.report.lessons import LESSONS, find
from wellfit.report.text import digits, share
from wellfit.select.compare import cross_validation_data
from wellfit.select.path import path

NAMES = [lesson.name for lesson in LESSONS]


@pytest.fixture(scope="module")
def taught():
    return {name: (small(find(name)), teach(small(find(name)))) for name in NAMES}


def found_in(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="knob-data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_whole_and_loads_nothing(taught, name) -> None:
    lesson, result = taught[name]
    text = lesson_page(lesson, result, linked={"dropout"})
    page = Page(text)
    assert page.headings[0] == (1, lesson.title)
    assert [level for level, _ in page.headings] == [1, 2, 2, 2, 2, 2]
    outside = [
        value for _, a in page.tags for key, value in a.items() if key in ("src", "href", "action", "xlink:href")
    ]
    assert set(outside) <= {"data:,", "#text", "dropout.html"}
    assert "://" not in re.sub(r'xmlns="http://www.w3.org/1998/Math/MathML"|http://www.w3.org/2000/svg', "", text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 3
    pinned = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    sources = " ".join(f"'sha256-{each}'" for each in pinned)
    assert policy.startswith(f"default-src 'none'; script-src {sources};")
    assert code(lesson) in text.replace("&#34;", '"').replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<")
    assert len(text) < 1_000_000
    assert lesson_page(lesson, result, linked={"dropout"}) == text


@pytest.mark.parametrize("name", NAMES)
def test_formulas_stand_in_the_page_as_mathml(taught, name) -> None:
    text = lesson_page(*taught[name])
    found = re.findall(r"<math .*?</math>", text, re.DOTALL)
    assert len(found) == len(formulas(name)) >= 2
    arity = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
    for each, formula in zip(found, formulas(name), strict=True):
        for element in ET.fromstring(each).iter():
            tag = element.tag.rpartition("}")[2]
            assert len(element) == arity.get(tag, len(element)), tag
        assert "@" not in each + formula.latex
        assert formula.latex.count("{") == formula.latex.count("}")
        assert formula.latex.count("(") == formula.latex.count(")")


@pytest.mark.parametrize("name", NAMES)
def test_the_knob_holds_the_paths(taught, name) -> None:
    lesson, result = taught[name]
    shown = found_in(lesson_page(lesson, result))
    assert shown == json.loads(json.dumps(knob_data(lesson, result)))
    for each, path_, frame in zip(shown["knobs"], result.paths, result.frames, strict=True):
        np.testing.assert_allclose(each["loss"], path_.losses.mean(axis=(1, 2)), rtol=6e-4)
        np.testing.assert_allclose(each["train"], path_.train_losses.mean(axis=(1, 2)), rtol=6e-4)
        assert each["counts"] == frame.counts.tolist()
        assert len(each["labels"]) == len(each["told"]) == len(path_.strengths)
        assert bool(each["map"]) == (name != "bias-variance")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_told_is_a_trained_one(taught, name) -> None:
    """The texts hold no digits of their own but for years, formulas and shares that are none."""
    lesson, result = taught[name]
    plain = {key: text for key, text in catalogue("lesson").items() if key.startswith(lesson.key)}
    told = facts(lesson, result)
    for key, text in plain.items():
        if "_ask_" in key or key.endswith("_where"):
            continue
        own = re.findall(r"\d+\.\d+", re.sub(r"\{.*?\}", "", text))
        assert own == [], key
        places = {p for _, p, _, _ in Formatter().parse(text) if p}
        if "_look_" not in key:
            assert places <= set(told), key
    first, best = result.paths[0], result.paths[0].best
    means = first.losses.mean(axis=(1, 2))
    assert told["first_loss"] == digits(means[0])
    assert told["best_loss"] == digits(means.min())
    assert told["first_gap"] == digits(means[0] - first.train_losses[0].mean())
    assert told["best_drawn_zeros"] == share(result.frames[0].zeros[best])
    words = Page(lesson_page(lesson, result)).words
    for paragraph in paragraphs(lesson, result):
        assert paragraph in words
    for look, (turn, where) in zip(looks(lesson, result), lesson.looks, strict=True):
        path_ = result.paths[turn]
        assert look["point"] == place(path_, where)
        assert str(look["text"]) in words
        assert point_facts(result, path_, look["point"])["loss"] == digits(path_.losses[look["point"]].mean())


def test_every_text_of_a_lesson_has_a_lesson() -> None:
    parts = {"title", "lead", "one", "two", "three", "where"}
    parts |= {f"{kind}_{n}" for kind in ("look", "ask") for n in ("one", "two", "three")}
    keys = [lesson.key for lesson in LESSONS]
    known = {f"{key}_{part}" for key in keys for part in parts}
    assert known <= set(catalogue("lesson"))
    assert not [
        name for name in catalogue("lesson") if name.startswith(tuple(f"{k}_" for k in keys)) and name not in known
    ]


def test_every_common_text_is_used() -> None:
    """The test of all messages is content with the prefix of a room; this one is not."""
    package = Path(wf.__file__).parent
    files = [*package.rglob("*.py"), *(package / "report" / "templates").glob("*")]
    written = "".join(path.read_text(encoding="utf-8") for path in files)
    own = tuple(f"{lesson.key}_" for lesson in LESSONS)
    for name in catalogue("lesson"):
        if name.startswith(own) or name in ("rate_high", "rate_right", "rate_low"):
            continue
        used = f"@{name.removeprefix('word_')}@" if name.startswith("word_") else f"lesson.{name}"
        assert used in written or f"lesson.{name}" in written, name


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_valid_and_its_cells_run(taught, name, capsys) -> None:
    lesson, result = taught[name]
    book = json.loads(notebook_text(lesson, result))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    space: dict = {}
    mpl.use("Agg")
    for cell in book["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        needed = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert set(cell) == needed | {"execution_count", "outputs"}
            exec("".join(cell["source"]), space)
        else:
            assert set(cell) == needed
            assert cell["cell_type"] == "markdown"
    plt.close("all")
    same_networks(name, space, result)
    assert len(capsys.readouterr().out.splitlines()) >= 3
    assert f"$${formulas(name)[0].latex}$$" in "".join(book["cells"][1]["source"])
    assert len(code(lesson).splitlines()) <= 17


def same_networks(name: str, space: dict, result) -> None:
    """What the notebook's lines have trained is what the page shows."""
    if name == "bias-variance":
        strengths = result.paths[0].strengths.tolist()
        assert set(space["fits"]) <= set(strengths)
        for l2, fits in space["fits"].items():
            np.testing.assert_allclose(fits, result.samples.fits[strengths.index(l2)], rtol=1e-5, atol=1e-5)
    elif name == "learning-rate":
        rates, turned = result.paths
        curves = list(space["curves"].values())
        np.testing.assert_array_equal(curves, [*turned.curves["score_loss"], *rates.curves["score_loss"]])
    else:
        for ours, shown in zip(space.get("paths", [space["path"]]), result.paths, strict=True):
            np.testing.assert_array_equal(ours.losses, shown.losses)
            np.testing.assert_array_equal(ours.strengths, shown.strengths)


def test_bias_and_variance_are_those_of_the_fits(taught) -> None:
    """The parts add up to the loss that the members' own curves end with, and the draws are sin(2 pi x) and noise."""
    _, result = taught["bias-variance"]
    samples = result.samples
    by_hand = np.zeros(len(samples.bias))
    for p, point in enumerate(samples.fits):
        by_hand[p] = np.mean([(fit - samples.truth) ** 2 for fit in point])
    np.testing.assert_allclose(samples.bias + samples.variance, by_hand, rtol=1e-6)
    total = result.paths[0].losses.mean(axis=(1, 2))
    np.testing.assert_allclose(samples.bias + samples.variance + samples.noise, total, rtol=1e-4)
    np.testing.assert_allclose(result.paths[0].curves["score_loss"][:, -1], total, rtol=1e-4)
    x, y = draws(find("bias-variance").resampled)
    assert x.shape == (40, 30)
    assert 0 <= x.min() < 0.01 < 0.99 < x.max() <= 1
    assert abs((y - truth(x)).std() - 0.3) < 0.02
    assert np.corrcoef((y - truth(x)).ravel(), x.ravel())[0, 1] < 0.05


def test_learning_rates_are_trainings_of_their_own(taught) -> None:
    lesson, result = taught["learning-rate"]
    rates = result.paths[0]
    assert rates.strengths.tolist() == sorted(rates.strengths.tolist(), reverse=True)
    table = load("football")
    data, folds = cross_validation_data(
        table, np.setdiff1d(np.arange(table.rows), table.test_rows), 2, 0, False, wf.MLP()
    )
    training = replace(lesson.turns[0].training, learning_rate=float(rates.strengths[1]))
    mix = wf.Cocktail()
    members = plan(data, folds=folds, cocktails=(mix,), networks=(wf.MLP((6, 3)),), trainings=(training,), seeds=(0,))
    ends = [h.curves["score_loss"][-1] for h in train(members, data)]
    np.testing.assert_allclose(rates.losses[1, :, 0], ends)
    told = knob_data(lesson, result)["knobs"][0]
    assert told["labels"] == [f"{r:g}" for r in rates.strengths]
    assert told["rule"] is None
    assert all(digits(loss) in text for loss, text in zip(rates.losses.mean(axis=(1, 2)), told["told"], strict=True))


def test_the_same_lesson_on_one_thread(taught) -> None:
    from wellfit.executors import Threads

    for name in ("dropout", "bias-variance", "learning-rate"):
        lesson, result = taught[name]
        again = teach(lesson, executor=Threads(1))
        assert lesson_page(lesson, again) == lesson_page(lesson, result)


def test_progress_never_goes_back() -> None:
    seen: list[tuple[int, int]] = []
    teach(small(find("learning-rate")), progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert len({total for _, total in seen}) == 1
    assert done[-1] <= seen[0][1]


def test_zeros_are_told_where_there_are_any(taught) -> None:
    lesson, result = taught["l1-or-l2"]
    l1, l2 = knob_data(lesson, result)["knobs"]
    assert l1["zeros_told"] == [f"{share(z)} of them exactly zero" for z in result.frames[0].zeros]
    assert l2["zeros_told"] is None
    assert not result.frames[1].zeros[:-1].any()


def test_files_are_written_and_a_notebook_of_yours_is_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(job, "find", lambda name: small(find(name)))
    notices: list[str] = []
    page, book = wf.lesson("dropout", out=tmp_path / "new", notice=notices.append)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["dropout.html", "dropout.ipynb"]
    first = page.read_bytes(), book.read_bytes()
    wf.lesson("Dropout", out=tmp_path / "new", notice=notices.append)
    assert (page.read_bytes(), book.read_bytes()) == first
    assert notices == []
    book.write_text("mine")
    wf.lesson("dropout", out=tmp_path / "new", notice=notices.append)
    assert book.read_text() == "mine"
    assert notices == [f"{book} is there already and was left as it is. Delete it to get a new one."]
    other, _ = wf.lesson("early_stopping", out=tmp_path / "new")
    linked = {a["href"] for a in Page(other.read_text()).all("a")}
    assert linked == {"#text", "dropout.html"}


@pytest.mark.parametrize(
    ("name", "said"), [("dropuot", "Did you mean dropout?"), ("x", "The lessons are: overfitting,")]
)
def test_an_unknown_lesson_is_refused_by_name(name, said, tmp_path) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        wf.lesson(name, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_path_of_one_point_is_what_compare_trains() -> None:
    """The lines of the last lesson stand on this: points=[0] trains without the penalty, nothing else."""
    one = path("iris", "l2", points=[0], network="4", training=wf.Training(**SHORT), folds=2, seeds=1)
    same = wf.compare("iris", cocktails="none", network="4", training=wf.Training(**SHORT), folds=2, seeds=1)
    assert one.losses.mean() == pytest.approx(same.results[0].loss.mean)


def test_chinese_has_the_same_texts_and_places() -> None:
    def places(text: str) -> set[str]:
        return {place for _, place, _, _ in Formatter().parse(text) if place is not None}

    english, chinese = catalogue("lesson"), catalogue("lesson", "zh")
    assert list(english) == list(chinese)
    for key, text in chinese.items():
        assert places(text) == places(english[key]), key
        assert text != english[key], key
        assert not re.search(
            "[\u4e00-\u9fff][,;:?!.]|[,;:?!](?=[\u4e00-\u9fff])|  |[\u4e00-\u9fff] [\u4e00-\u9fff]", text
        ), key
