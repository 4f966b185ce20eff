"""Ledgers: the contract suite, keys, durability, and files that are no ledger."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy_engine import NumpyEngine, make_data

from wellfit.cocktail import L2, Cocktail
from wellfit.engines.base import Member
from wellfit.errors import ModelFileError, SettingError
from wellfit.ledger import Ledger, MemoryLedger, member_key, places, schema
from wellfit.ledger.contract import LedgerContract, assert_same, assert_same_state, sample, sample_state
from wellfit.ledger.encoding import encode
from wellfit.ledger.lock import LOCK, held, holder
from wellfit.nets import MLP, Training

ROOT = Path(__file__).parents[1]


class TestMemoryLedger(LedgerContract):
    def ledger(self):
        return MemoryLedger()


class TestLedger(LedgerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder, self.opened = tmp_path, []
        yield
        for ledger in self.opened:
            ledger.close()

    def ledger(self):
        self.opened.append(Ledger(self.folder / f"{len(self.opened)}.sqlite"))
        return self.opened[-1]


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(0, 4), st.integers(1, 3)), elements=st.floats(width=64)))
def test_any_predictions_come_back(predictions):
    ledger = MemoryLedger()
    history = replace(sample(), predictions=predictions)
    ledger.put("k", history)
    assert_same(ledger.get("k"), history)


def test_results_are_there_when_opened_again(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.put("k", sample())
    with Ledger(path) as ledger:
        assert_same(ledger.get("k"), sample())
    assert [p.name for p in tmp_path.iterdir()] == ["l.sqlite"], "a closed ledger is one file"
    with sqlite3.connect(path) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert base.execute("PRAGMA user_version").fetchone() == (3,)
    base.close()


def test_a_killed_program_loses_nothing_recorded(tmp_path):
    path = tmp_path / "l.sqlite"
    code = (
        "import os, sys; from wellfit.ledger import Ledger; from wellfit.ledger.contract import sample\n"
        "ledger = Ledger(sys.argv[1])\n"
        "for i in range(5): ledger.put(str(i), sample(seed=i))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert done.returncode == -9
    with Ledger(path) as ledger:
        assert list(ledger.keys()) == list("01234")
        assert_same(ledger.get("4"), sample(seed=4))


def test_two_programs_may_share_a_ledger(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as one, Ledger(tmp_path / "l.sqlite") as other:
        one.put("a", sample(seed=1))
        other.put("b", sample(seed=2))
        assert list(one.keys()) == list(other.keys()) == ["a", "b"]


def _foreign(path):
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE people (name TEXT)")
    base.commit()
    base.close()


def _newer(path):
    Ledger(path).close()
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 4")
    base.close()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: p.write_bytes(b"\x00\x01junk" * 500), "is not a ledger of wellfit"),
        (lambda p: p.write_text("a,b\n1,2\n"), "is not a ledger of wellfit"),
        (_foreign, "database of another program"),
        (_newer, "format 4.*reads up to 3.*upgrade"),
        (lambda p: p.mkdir(), "is a folder"),
    ],
    ids=["junk", "csv", "foreign", "newer", "folder"],
)
def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path, make, text):
    path = tmp_path / "l.sqlite"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ModelFileError, match=text):
        Ledger(path)
    assert path.is_dir() or path.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"folder .*nowhere does not exist"):
        Ledger(tmp_path / "nowhere" / "l.sqlite")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_an_unwritable_folder_is_an_error():
    with pytest.raises(ModelFileError, match="cannot be opened"):
        Ledger("/proc/l.sqlite")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_an_error(tmp_path):
    path = tmp_path / "l.sqlite"
    Ledger(path).close()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ModelFileError, match=r"cannot be (opened|written)"), Ledger(path) as ledger:
            ledger.put("k", sample())
    finally:
        tmp_path.chmod(0o755)


def test_a_write_that_fails_is_an_error(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger._base.execute("PRAGMA query_only = 1")  # as on a disk that became read-only
        with pytest.raises(ModelFileError, match="cannot be written"):
            ledger.put("k", sample())


@pytest.mark.parametrize("digest_too", [False, True])
def test_a_damaged_record_is_an_error_that_names_it(tmp_path, digest_too):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        ledger.put("k", sample())
        (record,) = ledger._base.execute("SELECT record FROM results").fetchone()
        bad = record[:-20] if digest_too else record[:-1] + bytes([record[-1] ^ 1])
        ledger._base.execute("UPDATE results SET record = ?", (bad,))
        if digest_too:
            ledger._base.execute("UPDATE results SET digest = ?", (schema.digest("results", "k", bad),))
        with pytest.raises(ModelFileError, match="what stands under k cannot be read"):
            ledger.get("k")


def test_damaged_pages_are_an_error(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        for i in range(50):
            ledger.put(f"{i:064d}", sample(seed=i))
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * len(data[4096:])
    path.write_bytes(data)
    with pytest.raises(ModelFileError), Ledger(path) as ledger:
        list(ledger.keys())


def test_a_closed_ledger_says_so(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite")
    ledger.close()
    ledger.close()
    for use in (lambda: ledger.get("k"), lambda: ledger.put("k", sample()), ledger.keys):
        with pytest.raises(ModelFileError, match="is closed"):
            use()


def test_keys_tell_everything_apart_that_matters():
    data, engine = make_data(), NumpyEngine()
    member = Member(MLP((5,)), Cocktail(), Training(), 0, 0)
    other_engine = NumpyEngine()
    other_engine.version = "2"
    keys = [
        member_key(engine, data, member),
        member_key(other_engine, data, member),
        member_key(engine, make_data(seed=1), member),
        member_key(engine, data, replace(member, seed=1)),
        member_key(engine, data, replace(member, fold=1)),
        member_key(engine, data, replace(member, network=MLP((5,), "tanh"))),
        member_key(engine, data, replace(member, cocktail=Cocktail((L2(1e-3),)))),
        *(
            member_key(engine, data, replace(member, training=training))
            for training in (
                Training(learning_rate=1.0000001e-3),  # shown alike, yet another training
                Training(precision="float64"),
                Training(batch_size=None),
            )
        ),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == member_key(NumpyEngine(), make_data(), replace(member))
    assert len(keys[0]) == 64


def test_a_key_is_the_same_in_every_version_of_this_code():
    """Pinned: a change here would throw away every ledger that exists."""
    key = member_key(NumpyEngine(), make_data(), Member(MLP((5,)), Cocktail(), Training(), 0, 0))
    assert key.startswith("efd2a5efcd62e930")


def test_data_without_a_fingerprint_is_refused():
    with pytest.raises(SettingError, match="fingerprint is empty"):
        member_key(NumpyEngine(), replace(make_data(), fingerprint=""), Member(MLP((5,)), Cocktail(), Training(), 0, 0))


# The formats before the present one, as their versions of wellfit wrote them.
FORMAT_1 = "CREATE TABLE results (key TEXT PRIMARY KEY, record BLOB NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;"
FORMAT_2 = FORMAT_1 + "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;"


@pytest.mark.parametrize(("version", "tables"), [(1, FORMAT_1), (2, FORMAT_2)])
def test_an_older_file_is_brought_to_the_present_format(tmp_path, version, tables):
    path = tmp_path / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.executescript(f"PRAGMA application_id = 0x77666974; PRAGMA user_version = {version}; {tables}")
        for key, seed in (("a", 1), ("b", 2)):
            record = encode(sample(seed=seed))
            base.execute("INSERT INTO results VALUES (?, ?, ?)", (key, record, hashlib.sha256(record).digest()))
        base.execute("INSERT INTO results VALUES ('damaged', ?, ?)", (record[:-1], hashlib.sha256(record).digest()))
        if version == 2:
            base.execute("INSERT INTO notes VALUES ('budget', 'ü 7')")
        base.commit()
    for _ in range(2):
        with Ledger(path) as ledger:
            assert list(ledger.keys()) == ["a", "b"], "what is damaged is trained again"
            assert_same(ledger.get("a"), sample(seed=1))
            assert ledger.note("budget") == ("ü 7" if version == 2 else None)
            ledger.put_state("c", sample_state())
            assert_same_state(ledger.state("c"), sample_state())
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_a_move_to_the_present_format_that_fails_leaves_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.executescript(f"PRAGMA application_id = 0x77666974; PRAGMA user_version = 2; {FORMAT_2}")
        record = encode(sample())
        base.execute("INSERT INTO results VALUES ('a', ?, ?)", (record, hashlib.sha256(record).digest()))
        base.execute("INSERT INTO notes VALUES ('budget', '7')")
        base.commit()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "write", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Ledger(path)
    with Ledger(path) as ledger:
        assert ledger.note("budget") == "7"
        assert_same(ledger.get("a"), sample())


def test_a_row_moved_under_another_key_or_into_another_table_is_damage(tmp_path):
    """Else the result of ten epochs could pass for that of thirty: their keys differ in two letters."""
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.put("k@10", sample())
        ledger.put_note("n", "text")
        ledger._base.execute("UPDATE results SET key = 'k@30'")
        ledger._base.execute("INSERT INTO results SELECT * FROM notes")
        for key in ("k@30", "n"):
            with pytest.raises(ModelFileError, match="checksum does not match"):
                ledger.get(key)


def test_a_result_is_on_the_disk_before_put_returns(tmp_path):
    """Asked of SQLite: after each put the write-ahead file is synchronized (FULL), not only now and then."""
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger._base.execute("PRAGMA synchronous").fetchone() == (2,)
        assert not ledger._base.in_transaction
        ledger.put("k", sample())
        assert not ledger._base.in_transaction


# Network file systems ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_file_system_gets_a_rollback_journal(tmp_path, monkeypatch, kind):
    path = tmp_path / "far away" / "l.sqlite"
    path.parent.mkdir()
    with Ledger(path) as ledger:  # made on a disk, in WAL mode, and copied there
        ledger.put("k", sample())
    mounts = tmp_path / "mountinfo"
    place = str(path.parent.resolve()).replace(" ", "\\040")
    mounts.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/sda rw\n7 1 0:9 / {place} rw,relatime shared:4 - {kind} server:/x rw\n"
    )
    monkeypatch.setattr(places, "_MOUNTS", mounts)
    assert places.network_file_system(path) == kind
    assert places.network_file_system(tmp_path / "l.sqlite") is None
    with Ledger(path) as ledger, Ledger(path) as other:
        assert ledger._base.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        ledger.put("k2", sample(seed=2))
        other.put("k3", sample(seed=3))
        assert list(ledger.keys()) == ["k", "k2", "k3"]
        assert_same(other.get("k2"), sample(seed=2))


def test_where_mounts_are_not_listed_a_place_counts_as_local(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "_MOUNTS", tmp_path / "none")
    assert places.network_file_system(tmp_path) is None


# One run, one process ------------------------------------------------------------------------------------------------


def test_a_held_run_names_its_holder_until_it_is_let_go(tmp_path):
    assert holder(tmp_path) is None
    with held(tmp_path):
        with pytest.raises(ModelFileError, match=rf"in use by process {os.getpid()} on \S+, since 20"), held(tmp_path):
            pass
        assert f"process {os.getpid()}" in holder(tmp_path)
    assert holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == [], "nothing stays behind"
    with held(tmp_path):
        pass


def test_a_killed_process_holds_nothing_whatever_the_clock_says(tmp_path):
    code = "import os, sys; from pathlib import Path; from wellfit.ledger.lock import held\n" + (
        "with held(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.read(4) == b"held"
        with pytest.raises(ModelFileError, match=f"process {process.pid} on"), held(tmp_path):
            pass
        process.kill()
        process.wait()
    assert (tmp_path / LOCK).exists(), "a killed process cannot tidy up"
    assert holder(tmp_path) is None
    with held(tmp_path):
        assert f"process {os.getpid()}" in holder(tmp_path)


def test_a_lock_file_removed_while_it_was_opened_does_not_count(tmp_path, monkeypatch):
    """Else two processes could hold two files of one name."""
    from wellfit.ledger import lock

    real, gone = lock._lock, []

    def slow(handle):
        if not gone:  # between opening and locking, the holder before us removes its file
            gone.append(True)
            (tmp_path / LOCK).unlink()
        return real(handle)

    monkeypatch.setattr(lock, "_lock", slow)
    with held(tmp_path):
        assert (tmp_path / LOCK).exists()
        monkeypatch.setattr(lock, "_lock", real)
        assert holder(tmp_path) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff" * 99, b"null"])
def test_an_odd_lock_file_is_no_obstacle(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    assert holder(tmp_path) is None
    with held(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        assert holder(tmp_path) == "another process"
