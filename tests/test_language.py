"""What is said follows the language; what was found does not."""

from __future__ import annotations

import copy
import json
import pickle
import re
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from html_page import Marked, Page
from hypothesis import given
from hypothesis import strategies as st

import wellfit as wf
from wellfit.cli import main
from wellfit.cli.language import asked_language
from wellfit.cli.wrapping import _pieces, cells, wrapped
from wellfit.errors import DataError, SettingError
from wellfit.messages import (
    VARIABLE,
    Said,
    join,
    language,
    languages,
    retold,
    say,
    speaking,
    standard,
    translate,
)
from wellfit.report.text import clean, sentence

CHINESE = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(autouse=True)
def no_variable(monkeypatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


# Texts


def test_a_said_text_is_a_plain_string_to_everyone_else() -> None:
    text = say("errors.missing_extra", package="torch", extra="torch")
    plain = "This needs the package torch: install it with pip install 'wellfit[torch]'."
    assert text == plain
    assert {text: 1}[plain] == 1
    assert json.dumps(text) == json.dumps(plain)
    assert f"{text}" == plain
    assert type(text.upper()) is str
    assert sorted([text, "A"]) == ["A", plain]


@pytest.mark.parametrize("carry", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_and_pickles_can_still_be_said_in_another_language(carry) -> None:
    for text in (
        say("job.note", sentence=say("select.loss")),
        join([say("select.loss"), "b"]),
        clean(say("select.loss")),
    ):
        again = carry(text)
        assert again == text
        assert translate(again, "zh") == translate(text, "zh") != text


def test_a_pickle_keeps_the_language_it_was_said_in() -> None:
    text = pickle.dumps(say("select.loss"))
    with speaking("zh"):
        assert pickle.loads(text) == "Mean validation loss"


def test_texts_inside_texts_are_translated_and_names_are_not() -> None:
    inner = join([say("select.loss"), "select.loss", say("select.train_loss")], "clauses")
    told = say("job.warning", sentence=say("job.more_warnings", count=inner))
    assert translate(told, "zh") == "警告：另有 平均验证损失；select.loss；平均训练损失 条警告，见报告。"
    assert translate(translate(told, "zh"), "en") == told


@given(st.text(max_size=40))
def test_any_value_goes_there_and_back(value: str) -> None:
    told = sentence(clean(say("job.note", sentence=value)))
    assert translate(translate(told, "zh"), "en") == told
    assert str.__str__(told) == sentence(clean(f"Note: {value}"))


def test_values_are_kept_as_they_were_when_it_was_said() -> None:
    value = [1]
    told = say("cocktail.not_a_cocktail", value=value)
    value.append(2)
    assert "[1]" in translate(told, "zh")
    assert "[1, 2]" not in translate(told, "zh")


def test_what_is_made_of_a_text_follows_it() -> None:
    long = say("report.curves_lead")
    assert len(clean(long, 30)) == 30
    assert CHINESE.search(translate(clean(long, 30), "zh"))
    assert isinstance(retold(str.upper, long), Said)
    assert not isinstance(retold(str.upper, "a"), Said)
    # A Chinese sentence has no spaces, and is not taken for one long word.
    assert translate(sentence(long), "zh") == translate(long, "zh")


# Which language


def test_the_language_is_english_unless_asked_otherwise(monkeypatch) -> None:
    for name in ("LANG", "LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(name, "zh_CN.UTF-8")
    assert language() == "en"
    monkeypatch.setenv(VARIABLE, "zh_CN.UTF-8")
    assert language() == "zh"
    assert say("select.loss") == "平均验证损失"
    with wf.speaking("en"):
        assert language() == "en"
        with wf.speaking("zh"):
            assert language() == "zh"
        assert language() == "en"
    monkeypatch.setenv(VARIABLE, "klingon")
    assert language() == "en"


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'fr'.*en, zh"), wf.speaking("fr"):
        pass
    assert language() == "en"


def test_each_thread_has_its_own_language() -> None:
    met = threading.Barrier(2)
    said = {}

    def speak(name: str) -> None:
        with speaking(name):
            met.wait()
            said[name] = str(say("select.loss"))
            met.wait()

    threads = [threading.Thread(target=speak, args=(name,)) for name in languages()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {"en": "Mean validation loss", "zh": "平均验证损失"}
    assert language() == "en"


def test_an_error_is_told_in_the_language_of_whoever_reads_it() -> None:
    error = pickle.loads(pickle.dumps(SettingError("job.no_path", ingredient="l1", reason=say("select.loss"))))
    assert str(error).startswith("The path along l1")
    with speaking("zh"):
        assert str(error) == "无法得到沿 l1 的路径：平均验证损失"


def test_an_error_of_a_worker_thread_is_told_in_the_callers_language() -> None:
    """A thread has no language of its own; its error is put into words where it is read."""
    caught = []

    def work() -> None:
        try:
            wf.L2(-1)
        except SettingError as error:
            caught.append(error)

    with speaking("zh"):
        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        assert str(caught[0]) == "l2 不能为负：-1.0。"
    assert str(caught[0]) == "l2 cannot be negative: -1.0."


# What is found is the same


def outcome(folder: Path, name: str) -> dict[str, bytes]:
    with speaking(name):
        wf.run(
            "iris",
            network="4",
            training={"epochs": 6},
            folds=2,
            seeds=1,
            cocktails="none; l2=0.01",
            out=folder,
            command="wellfit run iris",
        )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_sentences(value: object) -> object:
    """JSON without its sentences (and the seconds it took): numbers, names and the words that programs read."""
    if isinstance(value, dict):
        return {k: without_sentences(v) for k, v in value.items() if k not in ("verdict", "estimates", "seconds")}
    return [without_sentences(v) for v in value] if isinstance(value, list) else value


def test_a_run_in_chinese_finds_the_same_to_the_bit(tmp_path) -> None:
    first, second = (outcome(tmp_path / name, name) for name in languages())
    assert set(first) == set(second)
    for name in ("out_of_fold.csv", "model.safetensors"):
        assert first[name] == second[name], name
    for name in ("summary.json", "comparison.json"):
        ours, theirs = (json.loads(files[name]) for files in (first, second))
        assert without_sentences(ours) == without_sentences(theirs), name
        assert ours != theirs, "the sentences differ"
    assert b'<html lang="en">' in first["report.html"]
    assert b'<html lang="zh">' in second["report.html"]


def test_a_ledger_written_in_one_language_is_read_in_the_other(tmp_path, monkeypatch) -> None:
    """No key of a recorded training depends on the language: a second run in Chinese trains nothing again."""
    from wellfit.engines.compiled.engine import CompiledEngine

    trained: set[tuple[str, int]] = set()
    advance = CompiledEngine.advance

    def noted(self, members, states, until, data):
        trained.update((str(member.cocktail), member.fold) for member in members)
        return advance(self, members, states, until, data)

    monkeypatch.setattr(CompiledEngine, "advance", noted)
    found = {}
    for run_number, name in enumerate(("en", "zh", "en")):
        trained.clear()
        outcome(tmp_path, name)
        found[run_number] = set(trained)
    assert {fold for _, fold in found[0]} == {0, 1}
    # Refits on all rows (one fold, number 0) are not kept; those of the cross-validation are.
    assert {fold for _, fold in found[1]} == {0}
    assert found[1] == found[2]


def test_columns_of_files_are_the_same_in_every_language() -> None:
    with speaking("zh"):
        assert standard("job.column_prediction") == "prediction"
        assert type(standard("job.column_prediction")) is str


# The page of a real run


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, str]:
    """Reports of whole runs (comparison, paths, search, linear model), made in each language."""
    made = {}
    for name in languages():
        folder = tmp_path_factory.mktemp(name)
        with speaking(name):
            wf.run("iris", network="4", training={"epochs": 12}, folds=2, quick=True, budget="400 steps", out=folder)
        made[name] = (folder / "report.html").read_text(encoding="utf-8")
    return made


def texts_of(report: str) -> dict[str, list[str]]:
    found = next(body for attributes, body in Page(report).scripts if attributes.get("id") == "words")
    return json.loads(found)["texts"]


def test_every_chinese_text_of_a_report_can_be_switched(reports) -> None:
    found = Marked(reports["zh"]).found
    assert not [text for text, known in found if CHINESE.search(text) and not known]
    assert sum(known for _, known in found) > 200


def test_a_report_holds_every_text_in_both_languages(reports) -> None:
    english, chinese = texts_of(reports["en"]), texts_of(reports["zh"])
    assert len(english["en"]) > 150
    for texts in (english, chinese):
        assert not [text for text in texts["en"] if CHINESE.search(text)]
        # Runs of English words that are no name: the settings of a training are typed so.
        assert not [text for text in texts["zh"] if re.search("[a-z]{3,} [a-z]{2,} [a-z]{2,}", text)]

    # The seconds a run took are in none of its other sentences.
    def timeless(texts: list[str]) -> set[str]:
        return {text for text in texts if not re.fullmatch(r"[\d.]+ (s|秒)", text)}

    for name in languages():
        assert timeless(english[name]) == timeless(chinese[name])


# The command line


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(main, list(arguments), prog_name="wellfit")
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--lang", "zh", "sanity", "iris", "--network", "4"),
        ("sanity", "--lang", "zh", "iris", "--network", "4"),
        ("sanity", "iris", "--network", "4", "--lang=zh"),
        ("sanity", "iris", "--network", "4", "--lang", "zh_CN.UTF-8"),
    ],
)
def test_lang_stands_before_or_after_the_command(arguments) -> None:
    out, _ = run(*arguments)
    assert out.startswith("iris：")
    assert "正常" in out
    assert language() == "en"


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        below = (*path, name)
        found += commands(command, below) if isinstance(command, click.Group) else [below]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
@pytest.mark.parametrize("before", [True, False])
def test_all_help_is_in_the_language(path, before) -> None:
    out, _ = run(*(("--lang", "zh", *path, "--help") if before else (*path, "--help", "--lang", "zh")))
    assert out.startswith("用法：")
    assert "--lang en|zh" in out
    described = [line for line in out.splitlines() if re.match(r"  (-|[a-z]+  )", line)]
    assert described
    for line in described:
        beside = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        assert len(beside) == 1 or CHINESE.search(beside[1]), line
    assert max(map(cells, out.splitlines())) <= 80
    english, _ = run(*path, "--help")
    assert english.startswith("Usage:")
    assert not CHINESE.search(english)


def test_a_language_alone_shows_the_help() -> None:
    for typed in (("--lang", "zh"), ("runs", "--lang=zh")):
        assert run(*typed)[0].startswith("用法：wellfit")


def test_errors_are_in_the_language() -> None:
    for arguments in (
        ("rum",),
        ("run",),
        ("run", "nowhere.csv"),
        ("run", "iris", "--folds", "x"),
        ("run", "iris", "--nonsense"),
        ("run", "iris", "more"),
        ("run", "iris", "--seed"),
        ("compare", "iris", "--cocktails", "l3=1"),
        ("compare", "iris", "--metric", "foo"),
    ):
        _, told = (
            run(*arguments, "--lang", "zh", code=2)
            if arguments[-1] != "--seed"
            else run("--lang", "zh", *arguments, code=2)
        )
        assert told.startswith("错误："), arguments
        assert CHINESE.search(told.removeprefix("错误：")), arguments


def test_an_unknown_language_is_an_error_with_exit_code_2(monkeypatch) -> None:
    _, told = run("run", "iris", "--lang", "fr", code=2)
    assert "'fr'" in told
    assert "en, zh" in told
    monkeypatch.setenv(VARIABLE, "fr")
    _, told = run("run", "iris", code=2)
    assert VARIABLE in told


def test_a_run_is_resumed_in_its_language_unless_another_is_asked_for(tmp_path) -> None:
    small = ("iris", "--network", "2", "--epochs", "2", "--folds", "2", "--seeds", "1", "--cocktails", "none")
    run("--lang", "zh", "compare", *small, "--out", str(tmp_path))
    assert "最优组合是" in run("resume", str(tmp_path))[0]
    assert "The winner is" in run("resume", str(tmp_path), "--lang", "en")[0]
    assert language() == "en"


def test_what_is_typed_is_remembered_with_the_command_first() -> None:
    from wellfit.cli.language import typed_order

    for typed in (("--lang", "zh", "run", "iris"), ("--lang=zh", "run", "iris")):
        assert typed_order(typed)[0] == "run"
        assert asked_language(typed_order(typed)) == "zh"
    assert asked_language(("predict", "--", "--lang", "zh")) == "en"


@given(st.text(alphabet="ab 过拟合，。（）", max_size=60), st.integers(8, 40))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    lines = wrapped(text, width).split("\n")
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        # What must not be broken stays whole, however long.
        assert cells(line) <= width or len(list(_pieces(line))) == 1


def test_a_chinese_error_names_the_column() -> None:
    with speaking("zh"), pytest.raises(DataError, match="没有列 nope"):
        wf.load("iris", target="nope")
