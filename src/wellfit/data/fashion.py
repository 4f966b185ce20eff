"""Fashion-MNIST, built in by name: 70,000 grey images of 28 x 28 in ten classes (Xiao, Rasul & Vollgraf 2017,
*Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms*, arXiv:1708.07747; MIT licence).
"""

from __future__ import annotations

from dataclasses import replace

from wellfit.data.downloads import files_of
from wellfit.data.idx_files import read_idx_pair
from wellfit.data.raw import Raw
from wellfit.messages import say

NAME = "fashion-mnist"
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
# The second is not encrypted, which the checksums make up for.
MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def read_fashion_mnist() -> Raw:
    """Return the 60,000 training images with the 10,000 test images as test rows. Raises `DataError`."""
    files = files_of(NAME, CHECKSUMS, MIRRORS)

    def part(name: str) -> Raw:
        images, labels = (files[f"{name}-{kind}-ubyte.gz"] for kind in ("images-idx3", "labels-idx1"))
        raw = read_idx_pair(images, labels, NAME, CLASSES)
        return replace(raw, label=say("data.label_builtin", name=NAME))

    return replace(part("train"), test=part("t10k"))
