"""Members on Ray: the executor contract through processes, the same bits as threads, and workers that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_engine import NumpyEngine, make_data
from ray_engines import Deadly, Other, Seen, Sleeper, Together, Twofold
from threadpoolctl import threadpool_info

import wellfit as wf
from wellfit.cocktail import Cocktail
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.states import state_from_bytes, state_to_bytes
from wellfit.errors import MissingExtraError, SettingError
from wellfit.executors import MemberError, Ray, Threads
from wellfit.executors.contract import CountingEngine, ExecutorContract
from wellfit.executors.gathering import Gathering
from wellfit.executors.ray import room
from wellfit.executors.remote import Answer, Recipe, recipe_of, writable
from wellfit.executors.shards import Pace, Shards
from wellfit.ledger import MemoryLedger
from wellfit.nets import MLP, Training
from wellfit.select import comparison_text
from wellfit.select.watched import Watched

ray = pytest.importorskip("ray", reason="Ray is not installed (the extra wellfit[ray])")

SLOTS = 6  # workers of the one Ray that this module starts: logical ones, most of what they do is sleeping


@pytest.fixture(scope="module")
def started():
    """One Ray on this machine for the module, with all workers awake; they find this folder's engines."""
    with pytest.MonkeyPatch.context() as patch, Ray(workers=SLOTS) as executor:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path])))
        sleepy = [Member(MLP((2,)), Cocktail(), Training(epochs=60), seed, 0) for seed in range(1, 3 * SLOTS)]
        list(executor.run(Sleeper(), sleepy, ExecutorContract().data()))
        yield executor


class TestRay(ExecutorContract):
    """The contract. What it reads in the engine's own memory is read in files here."""

    slowness = 5

    @pytest.fixture(autouse=True)
    def _places(self, started, tmp_path):
        self.folder = str(tmp_path)

    def executor(self, workers):
        return Ray(workers=workers)

    def engine(self, seconds=0.0, bad_seed=None):
        return Seen(seconds, bad_seed, self.folder)

    def test_members_run_side_by_side(self):
        engine = self.engine(seconds=0.01)
        list(self.executor(3).run(engine, self.members(9), self.data()))
        assert engine.marks.most_at_once() == 3

    @pytest.mark.parametrize(("workers", "most"), [(None, SLOTS // 2), (SLOTS, SLOTS)])
    def test_a_member_on_two_threads_reserves_two_processors_where_there_is_room(self, workers, most):
        """Of workers that were asked for, each reserves its share."""
        engine = Twofold(0.02, None, self.folder)
        list(self.executor(workers).run(engine, self.members(24), self.data()))
        assert engine.marks.most_at_once() == most

    def test_members_that_are_wanted_together_come_in_one_call_and_in_order(self):
        data, members = self.data(), self.members(7)
        expected = self.alone(self.engine(), members, data)
        engine = Together(0.001, None, self.folder)
        got = dict(self.executor(2).run(engine, members, data))
        for i in range(7):
            np.testing.assert_array_equal(got[i].parameters, expected[i])
        calls = {text for word, text in engine.marks.lines() if word == "call"}
        wanted = {",".join(str(m.seed) for m in reversed(members) if m.fold == fold) for fold in (0, 1)}
        assert calls == wanted

    def test_a_failure_among_members_wanted_together_names_one_of_them(self):
        members = self.members(8)
        with pytest.raises(MemberError, match=f"fold {members[2].fold}"):
            list(self.executor(1).run(Together(0.0, members[2].seed, self.folder), members, self.data()))


@given(st.lists(st.integers(0, 64), max_size=6), st.integers(1, 8), st.none() | st.integers(1, 100))
def test_workers_have_room_on_the_nodes_there_are(nodes, threads, workers) -> None:
    at_once, reserved = room(nodes, threads, workers)
    assert 1 <= reserved <= max(threads, 1)
    assert reserved <= max([1, *nodes])
    assert workers is None or at_once == workers
    if workers is None and max(nodes, default=0) >= threads:
        assert reserved == threads
        assert at_once == sum(count // threads for count in nodes)


def same(a, b) -> None:
    assert (a.status, a.epoch, a.step, a.best_epoch, a.best_loss) == (
        b.status,
        b.epoch,
        b.step,
        b.best_epoch,
        b.best_loss,
    )
    for name in ("parameters", "moments", "best_parameters", "average", "curves"):
        one, other = getattr(a, name), getattr(b, name)
        assert one.dtype == other.dtype, name
        assert one.tobytes() == other.tobytes(), name


def varied(epochs: int = 30) -> list[Member]:
    cocktails = ["none", "l1=1e-3", "dropout=0.2 + l2=0.01", "ema=0.9 + mixup=0.2"]
    recipes = [Training(epochs=epochs, batch_size=16), Training("sgd", 0.05, epochs, 16, precision="float64")]
    return [
        Member(MLP((7,)), Cocktail.parse(text), recipe, seed, seed % 3)
        for text in cocktails
        for recipe in recipes
        for seed in range(3)
    ]


def test_the_same_bits_as_on_threads(started):
    data, members = make_data(), varied()
    here = dict(Threads(2).run(CompiledEngine(), members, data))
    there = dict(started.run(CompiledEngine(), members, data))
    for i in range(len(members)):
        same(here[i], there[i])
    run = started.run(CompiledEngine(), members, data)
    next(run)
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert set(pools) == {1}, "what is read off the states meanwhile has the same bits too"
    run.close()
    # and through a stop on the way, in two runs
    until = [4 + i % 5 for i in range(len(members))]
    half = dict(started.run(CompiledEngine(), members, data, until=until))
    whole = dict(started.run(CompiledEngine(), members, data, states=[half[i] for i in range(len(members))]))
    for i in range(len(members)):
        same(here[i], whole[i])


def test_a_long_member_is_handed_over_on_its_way_and_ends_the_same(started, monkeypatch, tmp_path):
    monkeypatch.setattr("wellfit.executors.shards.SLICE_SECONDS", 0.02)
    for module in ("shards", "gathering"):
        monkeypatch.setattr(f"wellfit.executors.{module}.LEAST_SECONDS", 0.02)
    data, members = make_data(), varied(epochs=20_000)[:2]
    here = dict(Threads(2).run(CompiledEngine(), members, data))
    seen = []
    there = dict(started.run(CompiledEngine(), members, data, progress=lambda done, total: seen.append(done)))
    assert len(set(seen)) > 3
    for i in range(len(members)):
        same(here[i], there[i])


def test_a_comparison_is_the_same_and_the_driver_alone_writes(started):
    asked = {"cocktails": "none; l2=0.01", "network": "6", "training": Training(epochs=8), "seeds": 2, "folds": 2}
    ledger = MemoryLedger()
    there = wf.compare("iris", executor=started, ledger=ledger, **asked)
    assert comparison_text(there) == comparison_text(wf.compare("iris", **asked))
    assert len(list(ledger.keys())) == 8


def test_a_worker_killed_in_the_middle_costs_nothing(started, tmp_path):
    engine = Seen(0.02, None, str(tmp_path))
    case = ExecutorContract()
    data, members = case.data(), case.members(10, epochs=30)
    killed: list[int] = []

    def kill(done: int, total: int) -> None:
        running = [pid for pid in engine.marks.running() if pid != os.getpid()]
        if running and len(killed) < 2 and done > total * (1 + len(killed)) / 4:
            os.kill(running[0], signal.SIGKILL)
            killed.append(running[0])

    got = list(Ray(workers=2).run(engine, members, data, progress=kill))
    assert len(killed) == 2
    assert sorted(i for i, _ in got) == list(range(10))
    expected = case.alone(CountingEngine(), members, data)
    for i, state in got:
        np.testing.assert_array_equal(state.parameters, expected[i])


def test_a_member_that_kills_its_workers_is_named(started, monkeypatch):
    monkeypatch.setattr("wellfit.executors.ray.LIVES", 2)
    case = ExecutorContract()
    members = case.members(6)
    with pytest.raises(MemberError, match=r"seed 4 \| fold 1.*lost 2 times in a row"):
        list(Ray(workers=2).run(Deadly(0.0, 4), members, case.data()))


def test_a_worker_with_another_version_is_an_error_that_says_so(started):
    case = ExecutorContract()
    with pytest.raises(SettingError, match=r"A worker has counting 1 where this program has counting 2"):
        list(started.run(Other("2"), case.members(2), case.data()))


def test_an_engine_that_keeps_what_it_sees_is_not_sent(started):
    """A path along epochs reads states out of its engine's memory: in another process it would find none."""
    data, members = make_data(), varied(epochs=9)[:3]
    assert recipe_of(CompiledEngine()) is not None
    watched = Watched(CompiledEngine(), [0, 3, 9])
    assert recipe_of(watched) is None
    ended = dict(started.run(watched, members, data, until=[9] * 3))
    assert [watched.taken(m, ended[i])[3].epoch for i, m in enumerate(members)] == [3, 3, 3]


def test_nothing_listens_beyond_this_machine(started):
    """Every socket that Ray's processes listen on is on the loopback device."""
    if not Path("/proc/net/tcp").exists():
        pytest.skip("no /proc to read sockets from")
    mine = family(os.getpid())
    inodes = {link_of(p) for pid in mine for p in safe_glob(Path(f"/proc/{pid}/fd"))}
    found = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "0000000000000000FFFF00000100007F")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                found.append(words[1].split(":")[0] in (loopback, "00000000000000000000000001000000"))
    assert len(found) > 3
    assert all(found)


def family(pid: int) -> set[int]:
    """All processes begun by this one, itself included."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(words[1]), []).append(int(status.parent.name))
    found, waiting = set(), [pid]
    while waiting:
        here = waiting.pop()
        found.add(here)
        waiting += parents.get(here, [])
    return found


def link_of(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed in the meantime
        return ""


def safe_glob(folder: Path) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if p.is_symlink()]
    except OSError:
        return []


def test_bad_settings_are_refused_by_name(monkeypatch):
    for value in (0, -1, True, 1.5):
        with pytest.raises(SettingError, match="number of workers"):
            Ray(workers=value)
    monkeypatch.setattr("wellfit.executors.ray.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"wellfit\[ray\]"):
        Ray()


def test_an_address_where_nothing_answers_is_an_error_at_once(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(SettingError, match=r"No Ray cluster answers at 127\.0\.0\.1:1: .*refused"):
        _ = Ray("127.0.0.1:1").threads


def test_the_name_is_there_without_importing_ray():
    code = "import sys, wellfit as wf; wf.executors.Ray(); wf.executors.Threads(1); print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_shards_are_as_long_as_sending_them_asks_for():
    pace = Pace()
    assert pace.seconds(8) == 0.25
    for _ in range(100):
        pace.shard_done(1.0, 0.5, 0.020)
    assert pace.seconds(8) == pytest.approx(1.0, rel=0.01), "a gap of 20 ms is 2% of a second"
    for _ in range(100):
        pace.driver_spent(0.002)
    assert pace.seconds(2000) == pytest.approx(8.0, rel=0.01), "2,000 shards of 2 ms each are half of 8 s"


def test_every_member_is_in_one_shard_and_the_last_ones_are_small():
    data = make_data()
    members = [Member(MLP((4,)), Cocktail(), Training(epochs=5 + i % 7, batch_size=8), i, i % 3) for i in range(300)]
    shards = Shards(NumpyEngine(), members, data, None, None)
    first = shards.take(2)
    assert (len(first.members), first.until, first.further) == (1, ((1,),), 11), (
        "while nothing is known one epoch is tried"
    )
    shards.give_back(first.pieces[0])
    shards.pace.shard_done(shards.epoch_cost[first.members[0]], 0.001, None)
    sizes, seen = [], []
    while (shard := shards.take(2)) is not None:
        sizes.append(len(shard.members))
        seen += shard.members
        assert all(end == members[i].training.epochs for i, (end,) in zip(shard.members, shard.until, strict=True))
    assert sorted(seen) == list(range(300))
    assert sizes[-1] < max(sizes) / 2
    assert shards.left == pytest.approx(0, abs=1e-6)


def test_a_member_goes_on_from_where_it_came_back():
    data, members, engine = make_data(), varied(epochs=9)[:1], NumpyEngine()
    work = Gathering(engine, members, data, None, None)
    recipe = Recipe(NumpyEngine, (), engine.name, engine.version)
    shard = work.take(1)
    assert work.order(shard, recipe, "data", "run").states == (None,)
    [half] = engine.advance(members, engine.init(members, data), [4], data)
    work.receive(shard, Answer(((0, state_to_bytes(half)),), 1.0, None))
    assert (list(work.deliver()), work.steps) == ([], 4 * work.shards.epoch_steps[0])
    again = work.order(work.take(1), recipe, "data", "run")
    same(state_from_bytes(again.states[0]), half)


def test_data_from_a_shared_store_becomes_the_workers_own():
    data = make_data()
    for fold in data.folds:
        for array in (fold.x, fold.y, fold.rows.train, fold.rows.score):
            array.flags.writeable = False
    own = writable(replace(data, fingerprint="kept"))
    assert own.fingerprint == "kept"
    assert own.folds[0].x.flags.writeable
    np.testing.assert_array_equal(own.folds[1].x, data.folds[1].x)
    assert own.folds[1].weights is data.folds[1].weights


NODES = """
import sys, threading, time
from pathlib import Path
import numpy as np
from ray.cluster_utils import Cluster
from wellfit.executors import Ray
from wellfit.executors.contract import CountingEngine, ExecutorContract
from ray_engines import Seen

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
second = cluster.add_node(num_cpus=2)
case = ExecutorContract()
data, members = case.data(), case.members(12, epochs=40)
engine, killed = Seen(0.02, None, sys.argv[1]), []

def kill(done, total):
    # As soon as members are under way on both nodes: one node is gone, with whatever it had.
    if not killed and len(engine.marks.running()) == 4:
        killed.append(engine.marks.running())
        cluster.remove_node(second, allow_graceful=False)

with Ray(cluster.address) as executor:
    got = dict(executor.run(engine, members, data, progress=kill))
left = len(cluster.list_all_nodes())
expected = case.alone(CountingEngine(), members, data)
same = all((got[i].parameters == expected[i]).all() for i in range(12))
print("killed", len(killed), "nodes left", left, "members", len(got), "same", same)
cluster.shutdown()
"""


def test_a_node_killed_in_the_middle_costs_nothing(tmp_path):
    """In a program of its own: a cluster of two nodes on this machine, of which one is lost."""
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", NODES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.stdout.strip().endswith("killed 1 nodes left 1 members 12 same True"), done.stdout + done.stderr[-3000:]
