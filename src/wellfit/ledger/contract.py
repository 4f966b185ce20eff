"""What every ledger promises, as an importable suite: subclass it in a test and return your ledger."""

from __future__ import annotations

import numpy as np

from wellfit.engines.base import CURVES, State
from wellfit.ledger.base import LedgerLike
from wellfit.records import History


def sample(points: int = 5, rows: int = 7, outputs: int = 3, seed: int = 0, status: str = "finished") -> History:
    """Return a history full of numbers that a text would not keep: NaN, infinities, -0.0, subnormals."""
    draw = np.random.default_rng(seed)
    curves = {name: draw.normal(size=points) * 10.0 ** draw.integers(-300, 300, points) for name in CURVES}
    curves["stop_loss"][:] = np.nan
    for i, odd in enumerate((np.inf, -0.0, 5e-324)[:points]):
        curves["train_loss"][i] = odd
    return History(
        status=status,  # type: ignore[arg-type]  # one of its words
        epochs=2**40 + seed,
        best_epoch=3,
        steps=99,
        checkpoints=np.arange(points, dtype=np.int64) * 2**33,
        curves=curves,
        predictions=draw.random((rows, outputs)),
        seen=draw.random((rows + 1, outputs)),
        weight_norms=(0.1, float("nan"), float("inf")),
        zero_weights=4,
        weights=1000,
        inputs_used=7,
        units=(0.25, 0.5, float("nan")),
    )


def sample_state(seed: int = 0) -> State:
    """Return a state full of odd numbers."""
    draw = np.random.default_rng(seed)
    curves = np.full((4, len(CURVES)), np.nan)
    curves[0] = draw.normal(size=len(CURVES)) * 1e300
    parameters = np.array([np.inf, -0.0, 1e-45, *draw.normal(size=3)], np.float32)
    return State(parameters, np.stack([parameters, -parameters]), parameters[:0], curves, epoch=7 + seed, step=2**40)


def assert_same_state(a: State | None, b: State) -> None:
    """Assert equality to the last bit, of types and shapes too."""
    assert a is not None
    for name, value in vars(b).items():
        got = getattr(a, name)
        assert type(got) is type(value), name
        if isinstance(value, np.ndarray):
            assert (got.dtype, got.shape, got.tobytes()) == (value.dtype, value.shape, value.tobytes()), name
        else:
            assert got == value, name


def assert_same(a: History, b: History) -> None:
    """Assert equality to the last bit, of types and shapes too."""
    for name in ("status", "epochs", "best_epoch", "steps", "zero_weights", "weights", "inputs_used"):
        assert getattr(a, name) == getattr(b, name), name
        assert type(getattr(a, name)) is type(getattr(b, name)), name
    assert list(a.curves) == list(b.curves)
    pairs = [(a.checkpoints, b.checkpoints), (a.predictions, b.predictions)]
    pairs += [(np.array(a.weight_norms), np.array(b.weight_norms)), (np.array(a.units), np.array(b.units))]
    pairs += [(a.curves[name], b.curves[name]) for name in a.curves]
    for one, other in pairs:
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


class LedgerContract:
    """The suite. A subclass implements `ledger`: an empty one, new at each call."""

    def ledger(self) -> LedgerLike:
        """Return an empty ledger."""
        raise NotImplementedError

    def test_an_unknown_key_is_none(self) -> None:
        assert self.ledger().get("a" * 64) is None

    def test_round_trip_to_the_last_bit(self) -> None:
        ledger = self.ledger()
        samples = {
            "finished": sample(),
            "diverged": sample(status="diverged", seed=1),
            "no rows": sample(rows=0, seed=2),
            "no checkpoints": sample(points=0, outputs=1, seed=3),
        }
        for key, history in samples.items():
            ledger.put(key, history)
        for key, history in samples.items():
            got = ledger.get(key)
            assert got is not None
            assert_same(got, history)
        assert list(ledger.keys()) == sorted(samples)

    def test_putting_again_replaces(self) -> None:
        ledger = self.ledger()
        ledger.put("key", sample(seed=1))
        ledger.put("key", sample(seed=2))
        got = ledger.get("key")
        assert got is not None
        assert_same(got, sample(seed=2))
        assert list(ledger.keys()) == ["key"]

    def test_notes_come_back_and_are_no_results(self) -> None:
        ledger = self.ledger()
        assert ledger.note("budget") is None
        ledger.put_note("budget", "one")
        ledger.put_note("budget", "two ünï")
        assert ledger.note("budget") == "two ünï"
        assert list(ledger.keys()) == []

    def test_states_come_back_to_the_last_bit_and_are_no_results(self) -> None:
        ledger = self.ledger()
        assert ledger.state("key") is None
        ledger.put_state("key", sample_state(1))
        ledger.put_state("key", sample_state(2))
        assert_same_state(ledger.state("key"), sample_state(2))
        assert ledger.get("key") is None
        assert list(ledger.keys()) == []

    def test_a_result_takes_the_place_of_its_state_and_of_no_other(self) -> None:
        ledger = self.ledger()
        ledger.put_state("key", sample_state())
        ledger.put_state("other", sample_state(1))
        ledger.put("key", sample())
        assert ledger.state("key") is None
        assert_same_state(ledger.state("other"), sample_state(1))

    def test_a_state_may_stand_beside_a_result_put_before_it(self) -> None:
        ledger = self.ledger()
        ledger.put("key", sample())
        ledger.put_state("key", sample_state())
        assert_same_state(ledger.state("key"), sample_state())
        found = ledger.get("key")
        assert found is not None
        assert_same(found, sample())

    def test_what_comes_back_is_the_callers_own(self) -> None:
        ledger, history = self.ledger(), sample()
        ledger.put("key", history)
        history.predictions[:] = -1  # what was put must not change either
        got = ledger.get("key")
        assert got is not None
        got.predictions[:] = -2
        again = ledger.get("key")
        assert again is not None
        assert_same(again, sample())
