"""Ledgers that were cut off, changed or crafted: what can be read is saved, nothing wrong is ever believed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from test_fitted import mutate

from wellfit import rng
from wellfit.errors import ModelFileError
from wellfit.ledger import Ledger, schema, sqlite
from wellfit.ledger.contract import assert_same, assert_same_state, sample, sample_state
from wellfit.ledger.salvage import mend

RESULTS = 12
MUTANTS = int(os.environ.get("WELLFIT_MUTANTS", "200"))  # a thousand take half a minute


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A ledger of some hundred pages: small rows, rows with overflow pages, states and notes."""
    path = tmp_path_factory.mktemp("whole") / "l.sqlite"
    with Ledger(path) as ledger:
        for i in range(RESULTS):
            ledger.put(name(i), made(i))
            ledger.put_state(f"state {i:02d}", sample_state(i))
        ledger.put_note("budget", "1234 steps")
    return path.read_bytes()


def name(i: int) -> str:
    return f"{i * 7919 % 997:064x}@{i}"


def made(i: int):
    return sample(points=5 + 40 * (i % 3), rows=40 * (i % 5), seed=i)


def check_or_refuse(path: Path) -> int | None:
    """Open the ledger as a run does; return how many results are there and right, or None where it is refused."""
    sentence = ""
    try:
        mend(path)
        ledger = Ledger(path)
    except ModelFileError as error:
        sentence = str(error)
    if sentence:
        assert "\n" not in sentence
        return None
    with ledger:
        keys = list(ledger.keys())
        for key in keys:
            assert_same(ledger.get(key), made([name(i) for i in range(RESULTS)].index(key)))
        for key in ledger.states():
            assert_same_state(ledger.state(key), sample_state(int(key.split()[1])))
        assert ledger.note("budget") in ("1234 steps", None)
        # It can be worked with: something that is missing is recorded again.
        missing = next((i for i in range(RESULTS) if name(i) not in keys), 0)
        ledger.put(name(missing), made(missing))
        assert len(list(ledger.keys())) == min(len(keys) + 1, RESULTS)
    return len(keys)


def test_a_sound_ledger_is_left_alone(tmp_path, whole):
    path = tmp_path / "l.sqlite"
    assert mend(path) is None, "none is there"
    path.write_bytes(whole)
    before = path.stat().st_mtime_ns
    assert mend(path) is None
    assert path.stat().st_mtime_ns == before
    assert check_or_refuse(path) == RESULTS


def test_cut_off_anywhere_the_readable_part_is_saved(tmp_path, whole):
    draw, saved = rng.generator(0, rng.DATA), []
    cuts = [0, 1, 15, 16, 71, 72, 99, 100, 4095, 4096, 4097, len(whole) - 1]
    for cut in [*cuts, *(int(c) for c in draw.integers(0, len(whole), 30))]:
        path = tmp_path / f"{cut}.sqlite"
        path.write_bytes(whole[:cut])
        found = check_or_refuse(path)
        assert found is not None, f"cut at {cut}: a ledger of ours is never refused for being short"
        saved.append(found)
        if cut and found < RESULTS:
            assert path.with_name(path.name + ".damaged").read_bytes()[:cut] == whole[:cut], "the damaged file stays"
    assert max(saved) >= RESULTS - 1


def test_half_a_file_holds_about_half_of_the_results(tmp_path):
    """The beginning of the tree is what SQLite needs to find anything; pages are read without it."""
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        for i in range(150):
            ledger.put(f"{i * 7919 % 997:064x}", sample(rows=300, seed=i))
    raw = path.read_bytes()
    for kept in (raw[: len(raw) // 2], raw[: 4096 * 2] + b"\xff" * 4096 + raw[4096 * 3 :]):
        path.write_bytes(kept)
        mended = mend(path)
        assert mended is not None
        assert mended.results >= 50
        with Ledger(path) as ledger:
            keys = list(ledger.keys())
            for key in keys:
                i = next(i for i in range(150) if f"{i * 7919 % 997:064x}" == key)
                assert_same(ledger.get(key), sample(rows=300, seed=i))


def test_what_was_saved_is_counted(tmp_path, whole):
    path = tmp_path / "l.sqlite"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    mended = mend(path)
    assert mended is not None
    with Ledger(path) as ledger:
        assert mended.results == len(list(ledger.keys()))
        assert mended.states == len(list(ledger.states()))
        assert mended.notes == (ledger.note("budget") is not None)
    assert mended.copy.name == "l.sqlite.damaged"
    assert mend(path) is None, "once is enough"


def test_one_bad_byte_costs_one_row(tmp_path, whole):
    """A byte within a record's own bytes: SQLite cannot see it, the checksum does."""
    path = tmp_path / "l.sqlite"
    for i in (4, 8, 9):
        record = made(i).predictions.tobytes()
        at = whole.index(record[:64]) + 20
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        assert check_or_refuse(path) == RESULTS - 1


def test_mutated_ledgers_are_right_or_refused(tmp_path, whole, monkeypatch):
    # Waiting for the disk a thousand times would be most of the test.
    monkeypatch.setattr(sqlite, "_journal", lambda base, path: base.execute("PRAGMA synchronous = OFF"))
    draw, path = rng.generator(1, rng.DATA), tmp_path / "l.sqlite"
    found = []
    for _ in range(MUTANTS):
        path.write_bytes(mutate(whole, draw))
        found.append(check_or_refuse(path))
        for other in tmp_path.iterdir():
            other.unlink()
    refused = found.count(None)
    assert refused < 0.15 * MUTANTS, "only those whose first page no longer says that they are ours"
    assert sum(f for f in found if f is not None) / (MUTANTS - refused) > RESULTS / 5


def test_deleted_and_replaced_rows_do_not_come_back_in_place_of_present_ones(tmp_path):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        for i in range(RESULTS):
            ledger.put_state(name(i), sample_state(i))
        for i in range(RESULTS):
            ledger.put(name(i), made(i))
        for text in ("old", "older", "1234 steps"):
            ledger.put_note("budget", text)
    raw = bytearray(path.read_bytes())
    at = raw.index(made(4).predictions.tobytes()[:64])
    raw[at] ^= 1
    path.write_bytes(raw)
    mended = mend(path)
    assert (mended.results, mended.notes) == (RESULTS - 1, 1)
    with Ledger(path) as ledger:
        assert ledger.note("budget") == "1234 steps"
        assert set(ledger.states()) <= {name(4)}, "a state may come back where its result is lost, nowhere else"


def crafted_trigger(base):
    base.execute("CREATE TRIGGER evil AFTER INSERT ON results BEGIN DELETE FROM notes; END")


def crafted_view(base):
    base.execute("ALTER TABLE results RENAME TO r")
    base.execute("CREATE VIEW results AS SELECT key, record, load_extension('/tmp/x.so') AS digest FROM r")


def crafted_generated(base):
    base.execute("DROP TABLE states")
    base.execute("CREATE TABLE states (key TEXT PRIMARY KEY, record BLOB, digest BLOB AS (zeroblob(2000000000)))")


def crafted_types(base):
    record = "text, not bytes"
    base.execute("INSERT INTO notes VALUES ('n', ?, ?)", (record, schema.digest("notes", "n", record.encode())))


@pytest.mark.parametrize("craft", [crafted_trigger, crafted_view, crafted_generated, crafted_types])
def test_a_crafted_ledger_brings_nothing_but_rows(tmp_path, whole, craft):
    path = tmp_path / "l.sqlite"
    path.write_bytes(whole)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as base:
        craft(base)
    if craft is not crafted_types:
        with pytest.raises(ModelFileError, match="its tables are not those that wellfit makes"):
            Ledger(path)
    assert mend(path) is not None
    assert check_or_refuse(path) == RESULTS


def test_a_record_with_a_right_checksum_and_wrong_content_is_an_error_or_a_plain_value(tmp_path):
    """Who can write the file can write any result; it is still read as data only."""
    crafted = [b"", b"\x80\x04\x95cposix\nsystem\n", b"\xff" * 100, (2**62).to_bytes(8, "little") + b"{}", b"{}" * 50]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        for record in crafted:
            for table, get in (("results", ledger.get), ("states", ledger.state)):
                schema.write(ledger._base, table, "k", record)
                with pytest.raises(ModelFileError):
                    get("k")


def test_what_is_not_a_ledger_is_not_mended(tmp_path):
    path = tmp_path / "l.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE people (name TEXT)")
        base.commit()
    for content in (path.read_bytes(), path.read_bytes()[:3000], b"a,b\n1,2\n", b"\0" * 5000):
        path.write_bytes(content)
        assert mend(path) is None
        assert path.read_bytes() == content
        with pytest.raises(ModelFileError):
            Ledger(path)
