"""Do the peers do the work? Their results against each other, in the same run of the same code that is timed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from peers.work import WORKS, Work, draw_data, draw_parameters

_STEPS, _MEMBERS = 20, 3


def check() -> list[str]:
    """Return one line for each comparison. Raises `SystemExit` where one fails."""
    import torch

    torch.set_num_threads(1)
    lines = []
    for work in WORKS:
        plain = replace(work, dropout=0.0, dropped=1.0)
        expected = _alone(plain)
        for way in ("by hand", "autograd", "tuned autograd", "torch.func"):
            found = _stacked(plain, way)
            lines.append(_line(f"{work.name}: stacked ({way}) against one at a time", found, expected, 1e-5))
        if work.batch is None:
            lines.append(_line(f"{work.name}: reference.py against one at a time", _textbook(plain), expected, 1e-5))
    lines.append(_gradients_with_dropout(WORKS[1]))
    lines.append(_masks())
    return lines


def _line(what: str, found: np.ndarray, expected: np.ndarray, within: float) -> str:
    error = float(np.abs(found - expected).max())
    line = f"{what}: largest difference {error:.1e}"
    if not error <= within:
        raise SystemExit(f"{line}, more than {within:g}")
    return line


def _alone(work: Work) -> np.ndarray:
    """Parameters of member 0, layer by layer, W then b."""
    import torch

    from peers.alone import Alone

    trainer = Alone(work, _MEMBERS, 0, shared=True)
    trainer.run(_STEPS)
    return torch.cat([p.detach().flatten() for p in trainer.nets[0][0].parameters()]).numpy()


def _stacked(work: Work, way: str) -> np.ndarray:
    import torch

    from peers.stacked import Stacked

    trainer = Stacked(work, _MEMBERS, 0, way=way, together=_MEMBERS, threads=1, shared=True)
    trainer.run(_STEPS)
    stack = trainer.stacks[0]
    pairs = zip(stack.weights, stack.biases, strict=True)
    return torch.cat([part[0].detach().flatten() for pair in pairs for part in pair]).numpy()


def _textbook(work: Work) -> np.ndarray:
    from wellfit import reference

    x, y = draw_data(work)
    x, y = x[: work.rows].T, y[: work.rows].T
    start = [(w[0].astype(float), b[0].astype(float)[:, None]) for w, b in draw_parameters(work, _MEMBERS, 0)]
    ended, _ = reference.train(x, y, start, learning_rate=work.learning_rate, iterations=_STEPS)
    return reference.flat(ended)


def _gradients_with_dropout(work: Work) -> str:
    """The gradient by hand and by autograd under the same masks."""
    import torch

    from peers.stacked import ByHand, ByTunedAutograd

    slopes = []
    for way in (ByHand, ByTunedAutograd):
        torch.manual_seed(5)
        stack = way(work, _MEMBERS, 0, 0.3, True)
        stack.run(1)
        slopes.append(stack.slope.numpy())
    return _line(f"{work.name}: gradients by hand and by autograd, dropout 0.3", slopes[0], slopes[1], 1e-6)


def _masks() -> str:
    import torch

    from peers.stacked import Masks

    torch.manual_seed(0)
    masks = Masks((16, 64, 128), 0.86)
    kept = np.array([masks.draw().mean((0, 1)).numpy() for _ in range(4)])
    return _line("dropout masks: share kept, by column, against 0.86", kept, np.full_like(kept, 0.86), 0.06)
