"""Augmentation beside Kornia's, the same pipelines side by side: milliseconds for a batch, one thread of the processor.

    python benchmarks/augmentation.py [--rounds 60]

Needs Kornia (``pip install --no-deps kornia kornia_rs``: of its other requirements these layers use PyTorch alone).
Each takes turns in every round; figures are the best and the median over the rounds. Kornia draws its random numbers
inside the call, so ours are drawn inside it too. Ranges are the same as far as the two have the same kinds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import warnings
from collections.abc import Callable
from time import perf_counter

import torch

from wellfit import rng
from wellfit.cocktail import Augment
from wellfit.engines.torch.augment import DRAWS, augmented

SHAPES = ((128, 1, 28, 28), (128, 3, 32, 32))


def pipelines(shape: tuple[int, ...]) -> dict[str, tuple[Augment, Callable]]:
    """Return by name our ingredient and Kornia's layers."""
    import kornia.augmentation as layers

    size, colour = shape[2:], shape[1] == 3
    crop = [layers.RandomCrop(size, padding=size[0] // 8, p=1.0), layers.RandomHorizontalFlip(p=0.5)]
    geometric = [
        layers.RandomPerspective(0.3, p=1.0),
        layers.RandomAffine(15.0, (0.1, 0.1), (1 / 1.2, 1.2), 10.0, p=1.0),
        layers.RandomResizedCrop(size, (0.7, 1.0), p=1.0),
    ]
    light = [layers.RandomBrightness((0.7, 1.3), p=1.0), layers.RandomContrast((0.7, 1.3), p=1.0)]
    tint = [layers.RandomSaturation((0.6, 1.4), p=1.0), layers.RandomHue((-0.1, 0.1), p=1.0)] if colour else []
    moves = {"horizontal_flip": 0.5, "crop": 0.125}
    warps = {"rotation": 15, "translation": 0.1, "scale": 0.2, "shear": 10, "resized_crop": 0.3, "perspective": 0.3}
    tones = {"brightness": 0.3, "contrast": 0.3, "colour": 0.4, "erasing": 0.5}
    return {
        "flip, crop": (Augment(**moves), layers.AugmentationSequential(*crop)),
        "all geometric kinds": (Augment(**moves, **warps), layers.AugmentationSequential(*geometric, *crop)),
        "colours, erasing": (
            Augment(**tones),
            layers.AugmentationSequential(*light, *tint, layers.RandomErasing(p=0.5)),
        ),
    }


def ours(asked: Augment, x: torch.Tensor) -> Callable[[], object]:
    """Return a call of our function on images in [0, 1], an epoch further each time."""
    images, epochs = 2 * x - 1, iter(range(10**9))
    amounts = torch.tensor([asked.amounts], dtype=torch.float64).expand(len(x), -1)

    def call() -> object:
        drawn = rng.uniform(0, rng.AUGMENT, len(x) * DRAWS, epoch=next(epochs)).reshape(len(x), DRAWS)
        return augmented(images, amounts, torch.from_numpy(drawn), lambda: torch.zeros_like(images))

    return call


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"load {os.getloadavg()[0]:.1f}, PyTorch {torch.__version__}")
    print("| images | pipeline | wellfit, ms best (median) | Kornia, ms best (median) |\n| --- | --- | --- | --- |")
    for shape in SHAPES:
        x = torch.from_numpy(rng.uniform(0, rng.DATA, torch.Size(shape).numel())).float().reshape(shape)
        for name, (asked, theirs) in pipelines(shape).items():
            calls, times = (ours(asked, x), lambda x=x, theirs=theirs: theirs(x)), ([], [])
            for turn in range(rounds + 5):
                for call, taken in zip(calls, times, strict=True):
                    start = perf_counter()
                    call()
                    if turn >= 5:
                        taken.append(1e3 * (perf_counter() - start))
            cells = " | ".join(f"{min(taken):.2f} ({statistics.median(taken):.2f})" for taken in times)
            print(f"| {' x '.join(map(str, shape))} | {name} | {cells} |")


if __name__ == "__main__":
    main()
