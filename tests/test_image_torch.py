"""PyTorch's datasets and loaders as data: read once, in order, and nothing random left changed or frozen in."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from image_data import pictures
from PIL import Image
from test_image_files import kinds, refused
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from wellfit.data import load, read_images

X, Y = pictures(12), np.array([0, 1, 2] * 4)


class Items(Dataset):
    """Items made by a function of their number."""

    def __init__(self, make: Callable[[int], Any], count: int = 12, classes: list[str] | None = None) -> None:
        self.make, self.count, self.read = make, count, []
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return self.make(index)


def shoes(make: Callable[[int], Any] | None = None) -> Items:
    return Items(
        make or (lambda i: (torch.tensor(X[i][None] / 255).float(), int(Y[i]))), classes=["clog", "boot", "mule"]
    )


def test_a_dataset_is_read_in_order_and_names_its_classes() -> None:
    dataset = shoes()
    table = load(dataset)
    np.testing.assert_array_equal(table.inputs, (X[:, None] / 255).astype(np.float32))  # as it comes
    assert (table.inputs.dtype, table.scale, table.classes) == (np.float32, "given", ("clog", "boot", "mule"))
    assert (table.target.tolist(), table.name, table.target_name) == (Y.tolist(), "Items", "label")
    assert dataset.read[-12:] == list(range(12))
    both = load(dataset, test=Subset(dataset, [4, 2]))
    assert both.test_rows.tolist() == [12, 13]
    np.testing.assert_array_equal(both.inputs[12:], table.inputs[[4, 2]])
    assert both.target[12:].tolist() == [Y[4], Y[2]]
    # A network of such inputs predicts what the same dataset gives.
    np.testing.assert_array_equal(read_images(dataset, (1, 6, 5), table.scale), table.inputs)


def test_a_loader_is_its_dataset_without_shuffling_and_batches() -> None:
    dataset = shoes()
    want = load(dataset).inputs
    for options in ({"shuffle": True}, {"batch_size": 5, "drop_last": True}, {"sampler": SequentialSampler(dataset)}):
        table = load(DataLoader(dataset, **options))
        np.testing.assert_array_equal(table.inputs, want)
        assert table.findings == load(dataset).findings
    chosen = load(DataLoader(dataset, sampler=SubsetRandomSampler([7, 2, 6, 0, 9, 1])))
    np.testing.assert_array_equal(chosen.inputs, want[[0, 1, 2, 6, 7, 9]])
    weighted = load(DataLoader(dataset, sampler=WeightedRandomSampler([1.0] * 12, 12)))
    assert (kinds(weighted), weighted.rows) == (["assumed_order", "assumed_scale"], 12)


def test_a_loader_gives_the_items_that_its_sampler_can_give() -> None:
    """Checked against what the loader itself gives, in one pass."""
    dataset = TensorDataset(torch.tensor(X[:, None]), torch.arange(12) % 2)
    for options in (
        {"batch_sampler": BatchSampler(SubsetRandomSampler(range(2, 8)), 2, False)},
        {"batch_sampler": BatchSampler(SequentialSampler(range(5)), 2, False)},
        {"batch_sampler": [[4, 1], [8]]},
        {"sampler": SequentialSampler(range(5))},
        {"sampler": RandomSampler(range(6))},
        {"sampler": [9, 3, 3, -1, 0]},
        {"sampler": torch.tensor([9, 3, 0])},
        {"sampler": SubsetRandomSampler(torch.tensor([9, 3, 0]))},
        {"sampler": RandomSampler(dataset, num_samples=30)},
        {"sampler": BatchSampler(SequentialSampler(range(5)), 2, False), "batch_size": None},
    ):
        loader = DataLoader(dataset, **options)
        given = {image.tobytes() for images, _ in loader for image in images.numpy()}
        read = load(loader).inputs
        assert {image.tobytes() for image in read} == given
        assert len(read) == len(given)
    drawn = load(DataLoader(dataset, sampler=WeightedRandomSampler([0.0, 1, 2] * 4, 40)))
    assert (kinds(drawn), drawn.rows) == (["assumed_order"], 8)
    assert kinds(load(DataLoader(dataset, sampler=RandomSampler(dataset, replacement=True)))) == ["assumed_order"]


def test_a_loader_whose_items_nobody_can_know_is_refused() -> None:
    class Own(SequentialSampler):
        def __iter__(self) -> Any:
            return iter(range(3))

    dataset = shoes()
    for sampler in (
        RandomSampler(dataset, num_samples=5),
        WeightedRandomSampler([1.0] * 12, 5, replacement=False),
        DistributedSampler(dataset, num_replicas=2, rank=0),
        Own(dataset),
        [0, 12],
        ["a", "b"],
    ):
        refused(DataLoader(dataset, sampler=sampler), "pictures.sampler", type(sampler).__name__, "Subset")
    batches = BatchSampler(RandomSampler(dataset, num_samples=5), 2, False)
    refused(DataLoader(dataset, batch_sampler=batches), "pictures.sampler", "RandomSampler")


def test_tensor_datasets_tokens_columns_and_measurements() -> None:
    tokens = torch.arange(36).reshape(12, 3)
    table = load(TensorDataset(tokens, torch.tensor(Y)))
    assert (table.inputs.dtype, table.scale, table.task) == (np.int64, "tokens", "multiclass")
    np.testing.assert_array_equal(table.inputs, tokens.numpy())
    rows = torch.linspace(0, 1, 24).reshape(12, 2)
    columns = load(TensorDataset(rows, torch.linspace(3, 5, 12)[:, None]))
    assert (columns.inputs, list(columns.kinds), columns.task) == (None, ["x1", "x2"], "regression")
    np.testing.assert_array_equal(columns.columns["x2"], rows[:, 1].numpy())
    # Targets for a sigmoid are fractions, but two whole values are classes.
    assert load(TensorDataset(rows, torch.tensor(Y % 2).float())).task == "binary"
    assert load(TensorDataset(torch.tensor(X[:, None]), torch.tensor(Y))).scale == "bytes"
    np.testing.assert_array_equal(load((torch.tensor(X), torch.tensor(Y))).inputs[:, 0], X)


def test_images_words_and_numpy_as_items() -> None:
    table = load(Items(lambda i: (Image.fromarray(X[i]), "ab"[i % 2])))
    np.testing.assert_array_equal(table.inputs[:, 0], X)
    assert (table.inputs.dtype, table.classes) == (np.uint8, ("a", "b"))
    colour = pictures(12, (6, 5, 3))
    np.testing.assert_array_equal(
        load(Items(lambda i: (Image.fromarray(colour[i]), i % 2))).inputs, np.moveaxis(colour, 3, 1)
    )
    assert load(Items(lambda i: [np.full((2, 2, 2), i / 7), torch.tensor([i % 2])])).inputs.dtype == np.float32
    assert load(Items(lambda i: (torch.ones(1, 2, 2, dtype=torch.bfloat16) * i, i % 2))).inputs.max() == 11
    # Ages are whole numbers, and measurements where that is said.
    assert load(Items(lambda i: (X[i][None], 20 + i)), task="regression").target.tolist() == list(range(20, 32))


def _states() -> list[Any]:
    name, keys, place, *_ = np.random.get_state()  # noqa: NPY002
    return [random.getstate(), (name, keys.tolist(), place), torch.get_rng_state().tolist()]


def test_random_transforms_are_refused_and_global_generators_left_alone() -> None:
    before = _states()
    for noise in (lambda: torch.rand(1).item(), random.random, lambda: float(np.random.rand())):  # noqa: NPY002
        refused(shoes(lambda i, noise=noise: (torch.ones(1, 4, 4) * noise(), i % 2)), "images.random_items", "0")
    flips = shoes(
        lambda i: (torch.tensor(X[i][None]).flip(2) if random.random() < 0.5 else torch.tensor(X[i][None]), i % 2)
    )
    refused(flips, "images.random_items", "wf.Augment")
    load(shoes())
    load(DataLoader(shoes(), shuffle=True))
    assert _states() == before


def test_datasets_that_cannot_be_used_are_refused_with_the_item() -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            return iter([(X[0], 0)])

    refused(Stream(), "images.no_length", "Stream")
    refused(DataLoader(Stream()), "images.no_length", "Stream")
    refused(TensorDataset(torch.ones(4, 1, 2, 2)), "images.tensors", "1")
    refused(shoes(lambda i: (torch.ones(1, 6, 5 + (i == 9)), 0)), "images.item_shape", "9", "(1, 6, 6)", "(1, 6, 5)")
    refused(shoes(lambda i: (X[i][None] / 255 if i == 8 else X[i][None], 0)), "images.item_shape", "8", "float32")
    refused(shoes(lambda i: torch.ones(1, 2, 2)), "images.no_pair", "0", "Tensor")
    refused(shoes(lambda i: {"x": X[i]}), "images.no_pair", "dict")
    refused(shoes(lambda i: ("words", 0)), "images.no_numbers", "str")
    refused(shoes(lambda i: (X[i][None], np.eye(3)[Y[i]])), "images.item_target", "(3,)")
    refused(shoes(lambda i: (X[i][None], None)), "images.item_target", "0")
    refused(shoes(lambda i: (torch.ones(1, 2, 2) / (i != 5), i % 2)), "images.item_not_finite", "5")
    refused(shoes(lambda i: (X[i + 1][None], i % 2)), "images.item_failed", "11", "IndexError")
    refused(shoes(lambda i: (X[i][None], 3)), "images.code_without_name", "3")
    refused(Items(lambda i: (X[i], 0), count=0), "data.empty_table")
    refused(shoes(), "images.no_folder", image_size=28)
