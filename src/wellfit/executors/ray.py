"""Members on a Ray cluster: shards of the population go to any machine, this process alone gathers what ends.

Ray itself is imported when something runs. What is promised is `wellfit.executors.contract`'s, as everywhere.
"""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter
from types import TracebackType
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np

from wellfit.engines.base import Engine, Member, State, threads_of
from wellfit.engines.blas import one_blas_thread
from wellfit.errors import MissingExtraError, SettingError
from wellfit.executors.base import KEEP_SECONDS, Keep, Progress, check_lengths
from wellfit.executors.gathering import Gathering
from wellfit.executors.remote import Answer, Order, Recipe, recipe_of, serve
from wellfit.executors.threads import Threads, usable_cores
from wellfit.records import TrainingData

LOOK_SECONDS = 0.1  # how often the calling thread looks at the clock
COUNT_SECONDS = 5.0  # how often the cluster's processors are counted: nodes come and go
GRACE_SECONDS = 1.0  # for workers to end a shard early after Ctrl-C, before they are killed
REACH_SECONDS = 10.0  # for the cluster's address to answer
LIVES = 5  # workers that may be lost with the same members before these are blamed


class Ray:
    """Run members on the Ray cluster at ``address``, ``workers`` at once (by default as many as its processors allow).

    A worker reserves a processor for each thread that its engine trains a member on, as far as a node has them; where
    more ``workers`` are asked for than there is room for, each reserves its share.

    ``address`` is what ``ray.init`` takes: ``"auto"`` is the cluster that this machine belongs to, ``"host:6379"``
    another one. None takes the environment's ``RAY_ADDRESS``, else starts Ray on this machine alone, out of reach of
    others and without usage statistics, and `close` ends it again. Where the program is connected to Ray already, that
    connection is used and left alone.

    Data is put into the cluster's store once, so that each node fetches it once; each worker process keeps its own copy
    and the engine. Shards are made so long that sending them costs less than a fiftieth of a worker's time. A shard
    whose worker or node is lost is trained again elsewhere. Engines that keep something in this process's memory (see
    `wellfit.executors.remote.recipe_of`) run here, on threads.

    Raises `MissingExtraError` where Ray is not installed, `SettingError` for fewer than one worker and where no cluster
    answers.

    >>> Ray("auto", workers=8).workers  # doctest: +SKIP
    8
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        bad = isinstance(workers, bool) or not isinstance(workers, int | np.integer | None)
        if bad or (workers is not None and workers < 1):
            raise SettingError("executors.bad_workers", value=workers)
        if find_spec("ray") is None:
            raise MissingExtraError("ray", "ray")
        self.address, self.workers = address, None if workers is None else int(workers)
        self.keep_seconds = KEEP_SECONDS
        self._started = False
        self._session: object = None
        self._stored: WeakKeyDictionary[TrainingData, tuple[str, Any]] = WeakKeyDictionary()

    @property
    def threads(self) -> int:
        """How many members run side by side now. Connects."""
        return self.workers or max(1, sum(_processors(self._connected())))

    def run(
        self,
        engine: Engine,
        members: Sequence[Member],
        data: TrainingData,
        *,
        states: Sequence[State | None] | None = None,
        until: Sequence[int] | None = None,
        progress: Progress | None = None,
        keep: Keep | None = None,
    ) -> Generator[tuple[int, State], None, None]:
        """Yield (index, final state) as each member ends: see `wellfit.executors.base.Executor.run`.

        Raises `SettingError` besides where a worker cannot do its work at all, such as with another version.
        """
        check_lengths(members, states, until)
        recipe = recipe_of(engine)
        if recipe is None:
            here = Threads()
            here.keep_seconds = self.keep_seconds
            yield from here.run(engine, members, data, states=states, until=until, progress=progress, keep=keep)
            return
        work = Gathering(engine, members, data, states, until)
        work.keep_within(None if keep is None else self.keep_seconds)
        # What is read off the states while this runs must have the same bits as beside threads, which hold it too.
        with one_blas_thread():
            job = _Job(self, recipe, work)
            try:
                while not work.over:
                    job.send()
                    job.look()
                    if progress is not None:
                        progress(work.steps, work.total)
                    work.keep_states(keep)
                    yield from work.deliver()
            except KeyboardInterrupt:
                job.halt()
                work.keep_states(keep, all_under_way=True)
                yield from work.deliver()
                raise
            finally:
                job.halt()
            work.keep_states(keep, all_under_way=True)
            yield from work.deliver()
        work.raise_failure()
        if progress is not None and members:
            progress(work.total, work.total)

    def close(self) -> None:
        """End the Ray that this executor started; one that was there before stays. A second time does nothing."""
        if self._started:
            self._started = False
            self._session = None
            self._stored.clear()
            with _quiet():
                import ray

                ray.shutdown()

    def __enter__(self) -> Ray:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _connected(self) -> Any:
        """Return the package ray, connected. Raises `SettingError` where no cluster answers."""
        with _quiet():
            ray = _imported()
            if not ray.is_initialized():
                self._start(ray)
        session = ray.get_runtime_context().get_job_id(), ray.get_runtime_context().gcs_address
        if session != self._session:  # what an earlier connection stored is gone
            self._session = session
            self._stored.clear()
        return ray

    def _start(self, ray: Any) -> None:
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == "local":
            settings |= {"include_dashboard": False, "num_cpus": self.workers or usable_cores()}
        try:
            _reach(address)
            with _alone(address == "local"):
                ray.init(address=address, **settings)
        except (OSError, RuntimeError, ValueError) as error:
            raise SettingError("executors.no_cluster", address=address, reason=_line(error, 0)) from error
        self._started = True

    def _kept(self, ray: Any, data: TrainingData) -> tuple[str, Any]:
        """Return the data's name and its place in the cluster's store, put there now if it is new."""
        found = self._stored.get(data)
        if found is None:
            found = self._stored[data] = (uuid4().hex, ray.put(data))
        return found


class _Job:
    """One run: the shards that are out, and how they come back. Used from the calling thread."""

    def __init__(self, executor: Ray, recipe: Recipe, work: Gathering) -> None:
        self.executor, self.recipe, self.work = executor, recipe, work
        self.name = uuid4().hex
        self.out: dict[Any, Any] = {}  # future -> (shard, reference)
        self.arrived: list[Any] = []
        self.seen = 0
        self.wake = threading.Event()
        self.halted = False
        if not work.over:
            self.ray = executor._connected()
            self.data = executor._kept(self.ray, work.data)
            self.threads = threads_of(work.engine, work.members, work.data)
            self.task = self.ray.remote(max_retries=0)(_task)
            self.count()

    def count(self) -> None:
        """See what the cluster has now, and so how many workers there are and what each reserves."""
        self.workers, self.reserved = room(_processors(self.ray), self.threads, self.executor.workers)
        self.counted = perf_counter()

    def send(self) -> None:
        """Send shards until every worker has one and, where nothing bounds their number, another in reserve."""
        if perf_counter() - self.counted > COUNT_SECONDS:
            self.count()
        most = self.workers if self.executor.workers else 2 * self.workers
        while len(self.out) < most and not self.work.over:
            began = perf_counter()
            shard = self.work.take(self.workers)
            if shard is None:
                return
            order = self.work.order(shard, self.recipe, self.data[0], self.name)
            reference = self.task.options(num_cpus=self.reserved).remote(order, [self.data[1]])
            future = reference.future()
            self.out[future] = (shard, reference)
            # Called in a thread of Ray's: it only notes that something came.
            future.add_done_callback(self._note)
            self.work.pace.driver_spent(perf_counter() - began + self.work.taking)

    def _note(self, future: Any) -> None:
        self.arrived.append(future)
        self.wake.set()

    def look(self) -> None:
        """Wait until a shard comes back, or for a moment, and take what came."""
        self.wake.wait(LOOK_SECONDS)
        self.wake.clear()
        self.collect()

    def collect(self) -> None:
        """Take what came. An interrupt may come between any two steps: what was taken in part is taken again."""
        while self.seen < len(self.arrived):
            future = self.arrived[self.seen]
            if future in self.out:
                self._take(future, self.out[future][0])
            self.arrived[self.seen] = None
            self.seen += 1
            self.out.pop(future, None)

    def _take(self, future: Any, shard: Any) -> None:
        error = future.exception()
        if error is None:
            answer: Answer = future.result()
            self.work.receive(shard, answer)
        elif self.halted:
            return
        elif _is_loss(self.ray, error):
            self.work.crashed(shard, LIVES, error)
        else:
            cause = getattr(error, "cause", None) or error
            self.work.stop(SettingError("executors.worker_failed", reason=_line(cause, -1)), cause)

    def halt(self) -> None:
        """End what is out: first by an interrupt, that workers answer with what they have, then by force."""
        if self.halted and not self.out:
            return
        self.halted = True
        for force in (False, True):
            for _, reference in list(self.out.values()):
                self.ray.cancel(reference, force=force)
            until = perf_counter() + GRACE_SECONDS
            while self.out and perf_counter() < until:
                self.look()
        self.out.clear()


def _task(order: Order, data: list[Any]) -> Answer:
    """Train a shard. Runs in a worker process; the data's place comes in a list, so that Ray does not fetch it here."""
    import ray

    return serve(order, lambda: ray.get(data[0]))


def _is_loss(ray: Any, error: BaseException) -> bool:
    """Whether a worker, a node or what they held was lost, so that the same shard may well succeed elsewhere."""
    lost = ray.exceptions
    if isinstance(error, lost.RayTaskError):  # raised by what ran there: only the data may have been lost on the way
        return isinstance(error.cause, lost.ObjectLostError)
    kinds = (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.ObjectLostError)
    return isinstance(error, (*kinds, lost.LocalRayletDiedError, lost.OutOfDiskError))


def _reach(address: str) -> None:
    """Raise ``OSError`` where nothing listens at host:port: Ray itself would try for many minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "//" not in address and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()


def _line(error: BaseException, which: int) -> str:
    """Return one line of an error's text, without its full stop, or its kind where it has no text."""
    lines = str(error).strip().splitlines()
    return lines[which].strip().rstrip(".") if lines else type(error).__name__


def _processors(ray: Any) -> list[int]:
    """Return the processors of each node that is there now."""
    return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]


def room(nodes: Sequence[int], threads: int, workers: int | None) -> tuple[int, int]:
    """Return how many workers there are at once, and how many processors each reserves.

    ``nodes`` are the processors of each node: no worker can have more than those of one. ``threads`` is what a worker
    trains on, ``workers`` how many were asked for, if any were: they share what there is.

    >>> room([8, 5], 2, None), room([1, 1], 2, None), room([4], 2, 3), room([4], 2, 2)
    ((6, 2), (2, 1), (3, 1), (2, 2))
    """
    share = threads if workers is None else sum(nodes) // workers
    reserved = max(1, min(threads, share, max(nodes, default=1)))
    return workers or max(1, sum(count // reserved for count in nodes)), reserved


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's own warnings, meant for its programmers, from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _imported() -> Any:
    """Return the package ray: its one door."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    return ray


# Read by Ray where it starts a cluster: whether machines other than this one may belong to it. Its name says Windows
# and macOS, for which "no" is the default; with "no" all its sockets are on the loopback device.
_ONE_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def _alone(local: bool) -> Iterator[None]:
    """While a cluster of this machine alone is started: say so to Ray, which reads the environment and a constant."""
    if not local:
        yield
        return
    from ray._private import ray_constants

    before = {name: os.environ.get(name) for name in _ONE_MACHINE}
    several = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    os.environ.update(_ONE_MACHINE)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = several
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
