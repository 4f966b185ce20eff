"""Fashion-MNIST: the tutorial's own training script beside wellfit's recipes for the same network, in one process.

    python benchmarks/images.py                          # the whole comparison: some minutes
    python benchmarks/images.py --seeds 0 1 2            # with several starts and orders of the images
    python benchmarks/images.py --recipes normalized     # other recipes of ours than fast and normalized
    python benchmarks/images.py --epochs 1               # the tutorial shortened: its time scaled up, its accuracy not

The peer is the tutorial as it is written: batches of 4 from a DataLoader, SGD at 0.001 with momentum 0.9, 5 epochs, in
float32, on as many threads as PyTorch likes. Ours is ``examples/fashion_mnist.py``, by wellfit's engine, on two: one
network after another. Both know the same 10,000 images at the end and learn from the same 58,000, or from as many of
them as a recipe of ours says. Needs WELLFIT_DATA.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

import wellfit as wf

EPOCHS = 5


class Tutorial(nn.Module):
    """The tutorial's network."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.pool, self.drop = nn.MaxPool2d(2, 2), nn.Dropout(rate)
        self.fc1, self.fc2 = nn.Linear(64 * 5 * 5, 128), nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ten logits."""
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.fc2(self.drop(torch.relu(self.fc1(x.flatten(1)))))


def tutorial(
    x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, epochs: int, seed: int
) -> tuple[float, float]:
    """Train as the tutorial does; return the seconds of training and the test accuracy."""
    torch.manual_seed(seed)
    images, labels = torch.from_numpy(x).float() / 127.5 - 1, torch.from_numpy(y)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), batch_size=4, shuffle=True)
    net, loss = Tutorial(0.0), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9)
    began = time.perf_counter()
    for _ in range(epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss(net(inputs), targets).backward()
            optimizer.step()
    seconds = time.perf_counter() - began
    net.eval()
    with torch.no_grad():
        out = torch.cat([net(part) for part in (torch.from_numpy(test_x).float() / 127.5 - 1).split(500)])
    return seconds, float((out.argmax(1).numpy() == test_y).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the tutorial's script (default %(default)s)")
    parser.add_argument("--recipes", nargs="+", default=["fast", "normalized"], help="of ours (default %(default)s)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of both (default %(default)s)")
    options = parser.parse_args()
    example = _example()
    table = wf.load("fashion-mnist")
    part = example.cut(table)
    sets = [(table.inputs[rows], table.target[rows]) for rows in (part.train, table.test_rows)]
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {len(part.train):,} images", flush=True)
    for seed in options.seeds:
        seconds, accuracy = tutorial(*sets[0], *sets[1], options.epochs, seed)
        peer = seconds * EPOCHS / options.epochs
        scaled = "" if options.epochs == EPOCHS else f" ({peer:.0f} s for {EPOCHS})"
        print(
            f"seed {seed}: tutorial, {options.epochs} epochs: {seconds:.1f} s{scaled}, accuracy {accuracy:.4f}",
            flush=True,
        )
        for recipe in options.recipes:
            made = example.RECIPES[recipe]
            for name, one in example.train(table, made, example.cut(table, made.rows), seed).items():
                told = f"{one.seconds:.1f} s, accuracy {one.accuracy.mean:.4f}, {peer / one.seconds:.1f} times as fast"
                print(f"seed {seed}: wellfit, {recipe} recipe, {name}: {told}", flush=True)
    return 0


def _example() -> ModuleType:
    here = Path(__file__).parents[1] / "examples" / "fashion_mnist.py"
    spec = importlib.util.spec_from_file_location("fashion_mnist", here)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = example
    spec.loader.exec_module(example)
    return example


if __name__ == "__main__":
    sys.exit(main())
