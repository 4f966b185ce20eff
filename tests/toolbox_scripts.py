"""Small training scripts for `wf.torch.lint`: for each rule one that breaks it and the same one mended, and clean ones.

Each really trains, on data made here, and returns the advice that it was given and its last loss.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split

import wellfit as wf
from wellfit.torch import Advice, lint, parameter_groups, penalty, set_dropout, watch

Found = tuple[list[Advice], float]
CLASSES, INPUTS = 3, 8


@pytest.fixture(autouse=True)
def own_draws():
    """Scripts draw from PyTorch's global generator: from the same place each time, and nobody else's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def rules(found) -> list[str]:
    return [advice.rule for advice in found]


def points(rows: int = 96, seed: int = 0) -> TensorDataset:
    """Three noisy classes in eight dimensions."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, INPUTS, generator=draw)
    return TensorDataset(x, torch.bucketize(x[:, 0] + 0.3 * x[:, 1], torch.tensor([-0.5, 0.5])))


class Pictures(Dataset):
    """Tiny pictures of bars, upright or lying, through a transform if there is one."""

    def __init__(self, transform=None, rows: int = 64) -> None:
        draw = torch.Generator().manual_seed(1)
        self.y = torch.arange(rows) % 2
        self.x = torch.randn(rows, 1, 8, 8, generator=draw) * 0.3
        for x, y in zip(self.x, self.y, strict=True):
            x[(..., 3) if y else (..., 3, slice(None))] += 1
        self.transform = transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i] if self.transform is None else self.transform(self.x[i])
        return x, self.y[i]


class RandomFlip:
    """Flips half of the pictures."""

    def __call__(self, x):
        return x.flip(-1) if torch.rand(()) < 0.5 else x


def fit(model, optimizer, loader, loss, *, term=None, epochs: int = 2) -> float:
    """Train as scripts do, and return the last loss."""
    value = torch.tensor(torch.nan)
    for _ in range(epochs):
        model.train()
        for *x, y in loader:
            optimizer.zero_grad()
            value = loss(model(*x), y)
            (value if term is None else value + term()).backward()
            optimizer.step()
    return value.item()


def accuracy(model, loader) -> float:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(x).argmax(1) == y for x, y in loader]).double().mean().item()


def mlp(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(INPUTS, 16), *between, nn.Linear(16, CLASSES))


# ---- for each rule a broken script and a mended one -------------------------------------------------------------


def decay_on_bias_or_norm(mended: bool) -> Found:
    model, loader, loss = mlp(nn.LayerNorm(16), nn.ReLU()), DataLoader(points(), 32), nn.CrossEntropyLoss()
    parameters = parameter_groups(model, 0.01) if mended else model.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.01)
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss)


def adam_weight_decay(mended: bool) -> Found:
    model, loader, loss = mlp(nn.ReLU()), DataLoader(points(), 32), nn.CrossEntropyLoss()
    kind = torch.optim.AdamW if mended else torch.optim.Adam
    optimizer = kind(parameter_groups(model, 0.01), lr=1e-2)
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss)


def adam_weight_decay_said_as_l2(mended: bool) -> Found:
    """Mended the other way: L2 was meant."""
    model, loader, loss = mlp(nn.ReLU()), DataLoader(points(), 32), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(parameter_groups(model, 0.0 if mended else 0.01), lr=1e-2)
    term = (lambda: penalty(model, "l2=0.01")) if mended else None
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss, term=term)


def decay_before_batch_norm(mended: bool) -> Found:
    model, loader, loss = mlp(nn.BatchNorm1d(16), nn.ReLU()), DataLoader(points(), 32), nn.CrossEntropyLoss()
    groups = parameter_groups(model, 5e-4, undecayed=["0.weight"] if mended else [])
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss)


def missing_eval(mended: bool) -> Found:
    """The evaluation is a function, so lint can call it."""
    model, loss = mlp(nn.ReLU(), nn.Dropout(0.5)), nn.CrossEntropyLoss()
    train, validation = (DataLoader(points(seed=s), 32) for s in (0, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def evaluate() -> float:
        if mended:
            model.eval()
        with torch.no_grad():
            return sum(loss(model(x), y).item() for x, y in validation)

    found = lint(model, optimizer, train, validation=validation, loss=loss, evaluate=evaluate)
    return found, fit(model, optimizer, train, loss) + 0 * evaluate()


def missing_eval_in_the_loop(mended: bool) -> Found:
    """The evaluation stands in the loop, without ``no_grad``: the script is watched."""
    model, loss = mlp(nn.BatchNorm1d(16), nn.ReLU()), nn.CrossEntropyLoss()
    train, validation = (DataLoader(points(seed=s), 32) for s in (0, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with watch(model, loss) as watching:
        for _ in range(2):
            model.train()
            for x, y in train:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
            if mended:
                model.eval()
            losses = [loss(model(x), y).item() for x, y in validation]
    return watching.advice, sum(losses)


def augmented_validation(mended: bool) -> Found:
    """``random_split`` gives both parts the one data set, and with it the one transform."""
    whole = Pictures(RandomFlip())
    split = torch.Generator().manual_seed(0)
    train_part, validation_part = random_split(whole, [48, 16], generator=split)
    if mended:
        validation_part = Subset(Pictures(), validation_part.indices)
    train, validation = DataLoader(train_part, 16), DataLoader(validation_part, 16)
    model, loss = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)), nn.CrossEntropyLoss()
    model(whole[0][0][None])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    found = lint(model, optimizer, train, validation=validation, loss=loss)
    return found, fit(model, optimizer, train, loss) + 0 * accuracy(model, validation)


def mixup_batch(items) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix a batch (Zhang et al. 2018): pairs of examples, and their labels alike."""
    x, y = torch.stack([x for x, _ in items]), one_hot(torch.stack([y for _, y in items]), CLASSES).float()
    return 0.7 * x + 0.3 * x.flip(0), 0.7 * y + 0.3 * y.flip(0)


def smoothed_mixup(mended: bool) -> Found:
    """The loader mixes, the loss smooths once more."""
    model, loader = mlp(nn.ReLU()), DataLoader(points(), 32, collate_fn=mixup_batch)
    loss = nn.CrossEntropyLoss(label_smoothing=0.0 if mended else 0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss)


def smoothed_mixup_in_the_loader(mended: bool) -> Found:
    """The loader does both, as some libraries' mixup does by default."""

    def collate(items) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = mixup_batch(items)
        return x, y if mended else 0.9 * y + 0.1 / CLASSES

    model, loader, loss = mlp(nn.ReLU()), DataLoader(points(), 32, collate_fn=collate), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss)


def smoothed_mixup_in_the_loop(mended: bool) -> Found:
    """The usual two losses of the same outputs; only a watch can see them."""
    model, loader = mlp(nn.ReLU()), DataLoader(points(), 32)
    loss = nn.CrossEntropyLoss(label_smoothing=0.0 if mended else 0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    value = torch.tensor(torch.nan)
    with watch(model, loss) as watching:
        for x, y in loader:
            outputs, other = model(0.8 * x + 0.2 * x.flip(0)), y.flip(0)
            optimizer.zero_grad()
            value = 0.8 * loss(outputs, y) + 0.2 * loss(outputs, other)
            value.backward()
            optimizer.step()
    return watching.advice, value.item()


def dropout_before_batch_norm(mended: bool) -> Found:
    model = nn.Sequential(
        nn.Linear(INPUTS, 16), nn.ReLU(), nn.Identity() if mended else nn.Dropout(0.2),
        nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES),
    )  # fmt: skip
    loader, loss = DataLoader(points(), 32), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return lint(model, optimizer, loader, loss=loss), fit(model, optimizer, loader, loss)


BROKEN = {
    decay_on_bias_or_norm: "decay_on_bias_or_norm",
    adam_weight_decay: "adam_weight_decay",
    adam_weight_decay_said_as_l2: "adam_weight_decay",
    decay_before_batch_norm: "decay_before_batch_norm",
    missing_eval: "missing_eval",
    missing_eval_in_the_loop: "missing_eval",
    augmented_validation: "augmented_validation",
    smoothed_mixup: "smoothed_mixup",
    smoothed_mixup_in_the_loader: "smoothed_mixup",
    smoothed_mixup_in_the_loop: "smoothed_mixup",
    dropout_before_batch_norm: "dropout_before_batch_norm",
}


# ---- clean scripts ----------------------------------------------------------------------------------------------


def clean_mlp() -> Found:
    """AdamW on grouped parameters, early stopping on validation rows."""
    model, loss = mlp(nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.1)), nn.CrossEntropyLoss(label_smoothing=0.05)
    train, validation = (DataLoader(points(seed=s), 32, shuffle=True) for s in (0, 1))
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.05), lr=1e-2)
    stop = wf.torch.EarlyStopping(model, patience=2, mode="max")
    evaluate = lambda: accuracy(model, validation)  # noqa: E731 (as in scripts)
    found = lint(model, optimizer, train, validation=validation, loss=loss, evaluate=evaluate)
    with watch(model, loss) as watching:
        for _ in range(3):
            last = fit(model, optimizer, train, loss, epochs=1)
            if stop(evaluate()):
                break
        stop.restore()
    return found + watching.advice, last


def clean_cnn() -> Found:
    """Batch norm, SGD without decay, augmentation on the training rows alone."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(4, 2),
    )  # fmt: skip
    train = DataLoader(Subset(Pictures(RandomFlip()), range(48)), 16, shuffle=True)
    validation = DataLoader(Subset(Pictures(), range(48, 64)), 16)
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    found = lint(
        model, optimizer, train, validation=validation, loss=loss, evaluate=lambda: accuracy(model, validation)
    )
    return found, fit(model, optimizer, train, loss)


def clean_dropout() -> Found:
    """Dropout and Adam, L1 by proximal steps, the rate turned up at the end."""
    model, loss = mlp(nn.ReLU(), nn.Dropout(0.2)), nn.CrossEntropyLoss()
    train, validation = (DataLoader(points(seed=s), 32) for s in (0, 1))
    optimizer = wf.torch.ProximalOptimizer(torch.optim.Adam(model.parameters(), lr=1e-2), l1=1e-3)
    found = lint(
        model, optimizer, train, validation=validation, loss=loss, evaluate=lambda: accuracy(model, validation)
    )
    set_dropout(model, 0.3)
    return found, fit(model, optimizer, train, loss)


class Encoder(nn.Module):
    """A small transformer encoder over rows of a picture, with a learned position."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 8, 16))
        self.lift, self.norm, self.head = nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 2)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        return self.head(self.norm(self.encoder(self.lift(x[:, 0]) + self.place)).mean(1))


def clean_transformer() -> Found:
    """LayerNorm and AdamW on groups, a warm-up."""
    model, loss = Encoder(), nn.CrossEntropyLoss(label_smoothing=0.1)
    train, validation = DataLoader(Pictures(), 16, shuffle=True), DataLoader(Pictures(), 16)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1, undecayed=["place"]), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2)
    found = lint(
        model, optimizer, train, validation=validation, loss=loss, evaluate=lambda: accuracy(model, validation)
    )
    last = fit(model, optimizer, train, loss)
    scheduler.step()
    return found, last


class Reader(nn.Module):
    """Embeds tokens, reads them with an LSTM, judges the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.lstm, self.head = nn.LSTM(8, 16, 2, batch_first=True, dropout=0.2), nn.Linear(16, 1)

    def forward(self, tokens):
        return self.head(self.lstm(self.embedding(tokens))[0][:, -1])[:, 0]


def clean_lstm() -> Found:
    """Binary targets in floating point, dropout between the layers of the LSTM, L2 in the loss."""
    draw = torch.Generator().manual_seed(2)
    tokens = torch.randint(20, (64, 6), generator=draw)
    rows = TensorDataset(tokens, (tokens[:, 0] > 9).float())
    train, model, loss = DataLoader(rows, 16, shuffle=True), Reader(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def evaluate() -> float:
        model.eval()
        with torch.inference_mode():
            return loss(model(tokens), rows.tensors[1]).item()

    found = lint(model, optimizer, train, validation=rows, loss=loss, evaluate=evaluate)
    return found, fit(model, optimizer, train, loss, term=lambda: penalty(model, "l2=1e-4"))


CLEAN = (clean_mlp, clean_cnn, clean_dropout, clean_transformer, clean_lstm)
