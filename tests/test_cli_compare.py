"""What the command compare prints, where and how wide; options that reach the training; hostile names."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest
from command_line import BRIEF, ROWS, call, one_line, shell, table

from wellfit.cli.screen import harmless

# What compare prints


def test_compare_prints_a_table_that_can_be_read(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = call("compare", "iris", *BRIEF)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("iris: multiclass, network 4,")
    assert [line.split()[0] for line in lines if " [" in line] == ["none", "l2=0.01"]
    assert "accuracy: higher is better." in lines[-1]
    head = lines[: next(i for i, line in enumerate(lines) if "─" in line)]
    assert any("Difference to none" in line for line in head)
    assert any(line.split() == ["Cocktail", "Loss", "accuracy", "in", "accuracy", "Verdict"] for line in head)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_keeps_to_the_screen(width: int, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    result = call("compare", "iris", *BRIEF[:-1], "none; l2=0.01 + dropout=0.2; early_stopping=20:min_delta=0.001")
    body = result.stdout.splitlines()[1:-2]
    assert max(map(len, body)) <= width
    assert "…" not in result.stdout
    assert "\x1b" not in result.stdout
    for part in ("l2=0.01 +", "dropout=0.2", "Difference", "Verdict", "accuracy"):
        assert part in result.stdout


def test_a_long_metric_is_named_whole_on_a_narrow_screen(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = call("compare", "iris", *BRIEF, "--metric", "balanced-accuracy")
    assert "…" not in result.stdout


def test_json_is_all_that_stdout_holds_and_equals_the_file(tmp_path) -> None:
    out = tmp_path / "a"
    result = call("compare", "iris", *BRIEF, "--out", out, "--json")
    figures = json.loads(result.stdout)
    assert figures["winner"] in ("none", "l2=0.01")
    assert [r["cocktail"] for r in figures["results"]] == ["none", "l2=0.01"]
    assert (out / "comparison.json").read_text(encoding="utf-8") == result.stdout
    again = tmp_path / "b"
    call("compare", "iris", *BRIEF, "--out", again, "--threads", 1)
    assert (again / "comparison.json").read_bytes() == (out / "comparison.json").read_bytes()


def test_compare_without_out_writes_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("compare", "iris", *BRIEF).exit_code == 0
    assert os.listdir(tmp_path) == []


def test_options_reach_the_data(tmp_path) -> None:
    path = table(tmp_path / "t.csv", '"a,1",b,died')
    figures = json.loads(call("compare", path, *BRIEF, "--json", "--drop", '"a,1"', "--target", "died").stdout)
    assert figures["task"] == "binary"
    assert "there is no column" in one_line(call("compare", path, *BRIEF, "--drop", "a,1"))
    both = json.loads(call("compare", path, *BRIEF, "--json", "--categorical", "b", "--metric", "AUC").stdout)
    assert both["metric"] == "auc"
    assert both["results"][0]["loss"]["mean"] != figures["results"][0]["loss"]["mean"]


def test_training_options_reach_the_training() -> None:
    args = ["--optimizer", "sgd", "--learning-rate", "0.05", "--batch-size", "full", "--json"]
    figures = json.loads(call("compare", "iris", *BRIEF, *args).stdout)
    assert figures["training"] == "sgd lr 0.05 constant, full batch, 3 epochs"
    assert figures["network"] == "4"
    assert (figures["folds"], figures["seeds"]) == (2, 1)


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal is needed")
def test_on_a_terminal_a_bar_moves_on_stderr_and_stdout_stays_clean() -> None:
    import pty

    ours, theirs = pty.openpty()
    code = "from wellfit.cli import main; main()"
    args = ["compare", "iris", *BRIEF, "--json"]
    process = subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    # Reading a terminal whose other end is closed is an error on Linux, not an end of file.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            seen += piece
    os.close(ours)
    assert process.stdout is not None
    figures = json.loads(process.stdout.read())
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert figures["data"] == "iris"
    assert "Training" in seen.decode()
    assert "100%" in seen.decode() or "0%" in seen.decode()


# Hostile names

HOSTILE = ["[red]bold[/red]", "\x1b[31mred\x1b[0m", "back\rto start", "turn\u202eround", ":smile:", "{place}", "%s"]


def test_hostile_names_are_printed_harmlessly(tmp_path) -> None:
    path = tmp_path / "t\x1b[31m[red].csv"
    columns = {name: [float((i * (k + 3)) % 17) for i in range(ROWS)] for k, name in enumerate(HOSTILE)}
    lines = [",".join([*(f'"{name}"' for name in HOSTILE), "target"])]
    lines += [",".join([*(str(v[i]) for v in columns.values()), "yes" if i % 3 else "no"]) for i in range(ROWS)]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    result = call("compare", path, *BRIEF)
    assert result.exit_code == 0, result.output
    assert "[31m[red]" in result.stdout
    missing = call("compare", path, *BRIEF, "--target", "\x1b]0;title\x07")
    assert "]0;title" in one_line(missing)
    for text in (result.stdout, result.stderr, missing.stderr):
        assert not {"\x1b", "\r", "\u202e", "\x07"} & set(text)


def test_harmless_keeps_every_written_language() -> None:
    for text in ("naïve résumé", "年龄 (岁)", "می‌خواهم", "[red]", "a\\b", "👩‍⚕️"):
        assert harmless(text) == text
    assert harmless("a\nb\x9b31m\u2028c\ud800") == "a\\nb\\x9b31m\\u2028c\\ud800"


def test_a_stream_without_the_signs_shows_codes_instead_of_failing(tmp_path) -> None:
    path = table(tmp_path / "t.csv", "a,b,jähr")
    done = shell("compare", path, "--target", "yähr", PYTHONIOENCODING="ascii")
    assert r"y\xe4hr" in one_line(done)


# Limits


def test_folds_beyond_the_rows_and_rare_classes_are_told_before_training(tmp_path) -> None:
    rows = [f"{i % 7},{'abcd'[i % 4] if i < 8 else 'ab'[i % 2]}" for i in range(20)]
    path = tmp_path / "few.csv"
    path.write_text("x,y\n" + "\n".join(rows) + "\n", encoding="utf-8")
    for command in (
        ("compare", path, *BRIEF),
        ("path", path, "--over", "l2", "--points", 3, "--epochs", 1, "--seeds", 1),
        ("search", path, "--budget", "2000 steps"),
    ):
        told = call(*command, "--folds", 100).stderr
        assert "100 folds were asked for; the data allow 20." in told, command
        assert "2 of 4 classes have fewer than 5 rows to learn from (the rarest has 2)" in told, command
    assert "folds were asked for" not in call("compare", path, *BRIEF, "--folds", 3).stderr


def test_without_a_terminal_long_work_is_told_once_and_how_long_it_may_take(monkeypatch, capsys) -> None:
    from wellfit.cli import progress

    clock = iter([0.0, 5.0, 30.0, 60.0])
    monkeypatch.setattr(progress, "perf_counter", lambda: next(clock))
    with progress.Watch() as watch:
        for done in (0, 10, 25, 50):
            watch.progress(done, 100)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "25% of this part is done after 30 seconds; it may take 90 seconds more" in told[0]
