"""Shares of a population on machines that do not talk, and the merge of their ledgers."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy_engine import NumpyEngine, make_data

from wellfit import job
from wellfit.cli import main
from wellfit.cocktail import Cocktail
from wellfit.engines.base import CURVES, Member, State
from wellfit.errors import ModelFileError, SettingError
from wellfit.executors import Threads
from wellfit.job.merging import merge
from wellfit.ledger import Ledger, MemoryLedger, member_key
from wellfit.ledger.contract import assert_same, sample
from wellfit.nets import MLP, Training
from wellfit.population import Incomplete, Shard, Share, plan, train

BRIEF = ["--network", "6", "--epochs", "6", "--seeds", "2", "--folds", "2"]
COMPARE = ["compare", "iris", "--cocktails", "none; l2=0.01; dropout=0.1", *BRIEF]
PATH = ["path", "iris", "--over", "l2", "--points", "4", *BRIEF]


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


def one_line(result: Result) -> str:
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (line,) = [text for text in result.stderr.splitlines() if not text.startswith(("Warning: ", "Compiling"))]
    return line.removeprefix("Error: ")


def keys(folder: Path) -> set[str]:
    with Ledger(folder / "ledger.sqlite") as ledger:
        return set(ledger.keys())


def population() -> list[Member]:
    mixes = [Cocktail.parse(text) for text in ("none", "l2=0.1", "l1=0.01")]
    return plan(make_data(), folds=3, cocktails=mixes, networks=[MLP((3,))], trainings=[Training("gd", 0.1, 4)])


def trained(share: Shard, ledger: MemoryLedger) -> tuple[int, int]:
    with pytest.raises(Incomplete) as told:
        train(population(), make_data(), engine=NumpyEngine(), executor=Share(Threads(2), share), ledger=ledger)
    return told.value.values["own"], told.value.values["others"]


def test_shares_are_a_partition_that_follows_from_the_keys():
    data, members = make_data(), population()
    here = {member_key(NumpyEngine(), data, member) for member in members}
    found: list[str] = []
    for index in (1, 2, 3):
        share, ledger = Shard(index, 3), MemoryLedger()
        own, others = trained(share, ledger)
        assert own + others == len(members)
        assert set(ledger.keys()) == {key for key in here if int(key, 16) % 3 == index - 1}
        assert trained(share, ledger)[0] == 0, "what a share has trained it does not train again"
        found += ledger.keys()
    assert sorted(found) == sorted(here)


def test_what_others_depend_on_is_trained_whole():
    data, members = make_data(), population()[3:]  # without the reference
    share = Share(Threads(2), Shard(1, 4), Cocktail())
    ended = dict(share.run(NumpyEngine(), members, data))
    assert sorted(ended) == list(range(len(members)))
    assert (share.own, share.others) == (0, 0)
    with pytest.raises(Incomplete):
        list(share.run(NumpyEngine(), population(), data))
    until = dict(share.run(NumpyEngine(), population(), data, until=[2] * 9))
    assert [until[i].epoch for i in range(9)] == [2] * 9


def test_an_interrupt_goes_through_a_share_and_loses_nothing():
    class Three:
        keep_seconds = 1.0

        def run(self, engine, members, data, **_):
            try:
                yield 0, "first"
            except KeyboardInterrupt:
                yield 1, "second"
                raise

    share = Share(Three(), Shard(1, 2))
    data, members = make_data(), population()
    mine = [i for i, m in enumerate(members) if Shard(1, 2).holds(member_key(NumpyEngine(), data, m))]
    run = share.run(NumpyEngine(), members, data)
    assert next(run) == (mine[0], "first")
    assert run.throw(KeyboardInterrupt()) == (mine[1], "second")
    with pytest.raises(KeyboardInterrupt):
        next(run)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "a/b", "1/2/3", "-1/2", "1.5/2", ""])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(SettingError, match="A share is written as i/n"):
        Shard.parse(text)


@pytest.mark.parametrize("command", [COMPARE, PATH], ids=["compare", "path"])
def test_shares_merged_give_the_same_answer_without_training(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = call(*command, "--json")
    for i in (1, 2, 3):
        done = call(*command, "--shard", f"{i}/3")
        assert done.exit_code == 0, done.stderr
        assert f"Share {i}/3: its " in done.stdout
        assert f"wellfit merge FOLDER runs/iris-share-{i}-of-3" in done.stdout
    shares = [tmp_path / f"runs/iris-share-{i}-of-3" for i in (1, 2, 3)]
    merged = call("merge", "all", *shares)
    assert merged.exit_code == 0, merged.stderr
    before = keys(tmp_path / "all")
    assert before == set().union(*map(keys, shares))
    assert f"Merged: {len(before)} trainings from 3 ledgers are in all" in merged.stdout
    assert "differ" not in merged.stdout
    monkeypatch.setattr("wellfit.executors.threads.Threads.run", None)  # nothing is left to train
    again = call(*command, "--out", "all", "--json")
    assert again.exit_code == 0, (again.stderr, again.exception)
    assert json.loads(again.stdout) == json.loads(whole.stdout)


def test_a_run_is_divided_into_comparison_and_paths(tmp_path):
    asked = {"network": "4", "training": {"epochs": 3}, "quick": True, "folds": 2, "seeds": 1, "budget": "1000 steps"}
    seen = []
    for i in (1, 2):
        with pytest.raises(Incomplete):
            job.run("iris", **asked, shard=f"{i}/2", out=tmp_path / str(i))
        seen.append(keys(tmp_path / str(i)))
        assert not (tmp_path / str(i) / "report.html").exists()
    merge(tmp_path / "all", [tmp_path / "1", tmp_path / "2"])
    job.run("iris", **asked, out=tmp_path / "whole")
    whole = keys(tmp_path / "whole")
    # All but the search's is there; the paths of both shares end at the same place.
    assert keys(tmp_path / "all") <= whole
    assert len(seen[0] & seen[1]) < len(seen[0] | seen[1]) / 2
    job.run("iris", **asked, out=tmp_path / "all")
    assert keys(tmp_path / "all") == whole
    assert (tmp_path / "all" / "report.html").exists()


def test_a_search_cannot_be_divided_and_says_why():
    assert one_line(call("search", "iris", "--shard", "1/2")).startswith("A search cannot be divided into shares")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["compare", "iris", "--shard", "3/2"], "A share is written as i/n"),
        (["compare", "iris", "--executor", "cloud"], "There is no executor 'cloud': there are threads, ray."),
        (["compare", "iris", "--executor", "threads", "--address", "auto"], "An address is for --executor ray"),
        (["merge", "all"], "LEDGERS is missing (see wellfit merge --help)."),
        (["merge", "all", "nothing"], "There is no ledger at nothing"),
    ],
)
def test_a_slip_gets_one_line_that_says_what_to_do(args, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert expected in one_line(call(*args))
    assert list(tmp_path.iterdir()) == []


def ledger_at(folder: Path, **records) -> Path:
    folder.mkdir()
    with Ledger(folder / "ledger.sqlite") as ledger:
        for key, history in records.items():
            ledger.put(key, history)
    return folder


def state() -> State:
    return State(np.ones(3), np.zeros((2, 3)), np.empty(0), np.full((2, len(CURVES)), np.nan), epoch=1)


def test_merging_keeps_everything_and_of_two_the_first(tmp_path):
    a = ledger_at(tmp_path / "a", both=sample(seed=1), alike=sample(seed=5), one=sample(seed=2))
    b = ledger_at(tmp_path / "b", both=sample(seed=3), alike=sample(seed=5), two=sample(seed=4))
    with Ledger(a / "ledger.sqlite") as ledger:
        ledger.put_note("budget", "100")
        ledger.put_state("two", state())  # unfinished here, finished there
        ledger.put_state("three", state())
    with Ledger(b / "ledger.sqlite") as ledger:
        ledger.put_note("budget", "200")
        ledger.put_note("pace", "7")
    done = merge(tmp_path / "all", [a, b / "ledger.sqlite"])
    assert (done.results, done.ledgers) == (4, 2)
    assert len(done.sentences()) == 3
    assert "1 of them stand in two ledgers with different results" in done.sentences()[1]
    with Ledger(tmp_path / "all" / "ledger.sqlite") as ledger:
        for key, seed in (("both", 1), ("alike", 5), ("one", 2), ("two", 4)):
            found = ledger.get(key)
            assert found is not None
            assert_same(found, sample(seed=seed))
        assert (ledger.note("budget"), ledger.note("pace")) == ("100", "7")
        assert list(ledger.states()) == ["three"]
    again = merge(tmp_path / "all", [b])
    assert (again.results, again.ledgers) == (4, 2), "what the folder held comes first"
    assert again.conflicts["results"] == 1


def test_a_damaged_ledger_leaves_the_folder_as_it_was(tmp_path):
    a, b = ledger_at(tmp_path / "a", one=sample(seed=1)), ledger_at(tmp_path / "b", two=sample(seed=2))
    merge(tmp_path / "all", [a])
    base = sqlite3.connect(b / "ledger.sqlite")
    base.execute("UPDATE results SET record = zeroblob(100)")
    base.commit()
    base.close()
    with pytest.raises(ModelFileError, match=r"b.ledger\.sqlite is damaged"):
        merge(tmp_path / "all", [b])
    assert keys(tmp_path / "all") == {"one"}
    assert [p.name for p in (tmp_path / "all").iterdir()] == ["ledger.sqlite"]


def test_a_share_that_still_trains_is_not_merged(tmp_path):
    from wellfit.ledger.lock import held

    a = ledger_at(tmp_path / "a", one=sample(seed=1))
    with held(a), pytest.raises(ModelFileError, match="still in use by process"):
        merge(tmp_path / "all", [a])
