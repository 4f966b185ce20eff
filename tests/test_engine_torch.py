"""The torch engine keeps the contract, one member at a time and stacked, and draws what the compiled engine draws."""

from __future__ import annotations

import numpy as np
import pytest

from wellfit.cocktail import as_cocktail
from wellfit.engines.base import Engine, Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.contract import EngineContract, assorted, finish, make_data
from wellfit.engines.contract.problems import TASKS
from wellfit.engines.torch import TorchEngine
from wellfit.nets import MLP, Training
from wellfit.records import Task

torch = pytest.importorskip("torch")


class TestTorchEngine(EngineContract):
    """One member at a time."""

    tolerance = 0.0

    @pytest.fixture
    def engine(self) -> Engine:
        return TorchEngine("cpu")


class TestStackedTorchEngine(EngineContract):
    """Stacks of members by `torch.func`: sums may be added in another order."""

    tolerance = 1e-5

    @pytest.fixture
    def engine(self) -> Engine:
        return TorchEngine("cpu", stacked=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
class TestTorchEngineOnGPU(EngineContract):
    """Stacks on a GPU."""

    tolerance = 1e-5

    @pytest.fixture
    def engine(self) -> Engine:
        return TorchEngine("cuda")


@pytest.mark.parametrize("task", TASKS)
def test_equals_the_compiled_engine_in_every_ingredient(task: Task) -> None:
    """Two programs that share no line of the passes: the same draws, float32 rounding apart."""
    data, members = make_data(task), assorted(task)
    ours, theirs = (finish(e, members, data) for e in (TorchEngine("cpu"), CompiledEngine()))
    for member, a, b in zip(members, ours, theirs, strict=True):
        assert (a.status, a.epoch, a.step, a.best_epoch) == (b.status, b.epoch, b.step, b.best_epoch), member
        np.testing.assert_allclose(a.kept, b.kept, atol=2e-4, err_msg=str(member))


def test_an_average_of_weights_is_made_only_for_those_who_ask() -> None:
    from wellfit.engines.torch.batches import Held
    from wellfit.engines.torch.stack import Stack

    data = make_data("binary")
    plain, averaged = (
        Member(MLP((4,)), as_cocktail(text), Training("sgd", 0.1, 4, 16), 0, 0) for text in ("none", "ema=0.9")
    )
    engine = TorchEngine("cpu", stacked=True)
    for ones in ([plain, plain], [plain, averaged]):
        stack = Stack(ones, engine.init(ones, data), data, Held(torch.device("cpu")))
        assert (stack.vectors.average is not None) == (averaged in ones)
        ended = stack.run([2, 4], np.inf)  # one leaves on the way
        total = ended[0].parameters.size
        assert [state.average.size for state in ended] == [total if one is averaged else 0 for one in ones]
        for one, state in zip(ones, finish(TorchEngine("cpu"), ones, data), strict=True):
            assert state.average.size == (total if one is averaged else 0)
