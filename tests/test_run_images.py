"""A run, a path and a search on images: a module is the default, a sample answers, all rows train the last model."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from html_page import Page

import wellfit as wf
from wellfit import rng
from wellfit.job import thinning
from wellfit.records import Table
from wellfit.report.run_text import answer
from wellfit.select.defaults import default_cocktails, default_network
from wellfit.select.source import chosen_network, thinned
from wellfit.select.space import Space

TRAINING = wf.Training("adam", 3e-3, 2, 32)


@pytest.fixture(scope="module")
def table() -> Table:
    """Return 150 images of 12 x 12 in three classes, told by where a bar stands, and 30 more for the test."""
    draw = rng.generator(0, rng.DATA)
    labels = np.arange(180) % 3
    x = draw.integers(0, 120, (180, 1, 12, 12)).astype(np.uint8)
    for i, label in enumerate(labels):
        x[i, 0, :, 4 * label : 4 * label + 3] += 100
    test = np.arange(150, 180)
    names = ("left", "middle", "right")
    return Table("bars", {}, {}, labels.astype(np.int64), "bar", "multiclass", names, test_rows=test, inputs=x)


def test_images_get_the_convolutional_network_and_what_it_can_have(table: Table) -> None:
    net = chosen_network(table, np.arange(150), None)
    assert str(net) == str(default_network(table)) == "cnn"
    texts = {str(mix) for mix in default_cocktails(network=net)}
    assert {"none", "augment=1", "batch_norm", "dropout=0.5"} <= texts
    space = Space("multiclass", TRAINING, net)
    assert all(c.network is net for c in space.portfolio())
    plain = wf.module("plain", lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3)))
    bound = chosen_network(table, np.arange(150), plain)
    assert not any("dropout" in str(mix) for mix in default_cocktails(network=bound))
    assert not any("dropout" in str(c.cocktail) for c in Space("multiclass", TRAINING, bound).portfolio())


def test_flat_networks_take_images_as_rows(table: Table) -> None:
    """The compiled engine on 144 features, and the exact linear model, beside the module: the same folds."""
    scores = [
        wf.compare(table, network=net, training=TRAINING, cocktails="l2=1e-2", seeds=1, folds=3).results[1].score.mean
        for net in ("16", "linear", "cnn")
    ]
    assert min(scores) > 0.5


def test_a_path_along_augmentation_and_a_search(table: Table) -> None:
    path = wf.path(table, wf.Augment(rotation=20, crop=0.1), training=TRAINING, points=3, seeds=1, folds=2)
    assert path.cocktails[0] == "none"
    assert path.cocktails[-1] == "augment=1:rotation=20:crop=0.1"
    assert np.isfinite(path.losses).all()
    found = wf.search(table, budget=60_000, folds=2, training=replace(TRAINING, schedule="flat_cosine"))
    assert found.model.predict(table.inputs[150:]).shape == (30,)
    assert found.record.trials[found.record.winner].network == "cnn"


def test_a_sample_has_every_class_in_its_share(table: Table) -> None:
    some = thinned(table, np.arange(150), 31, seed=4)
    assert len(set(some)) == 31
    assert set(np.bincount(table.target[some])) <= {10, 11}
    assert np.array_equal(some, thinned(table, np.arange(150), 31, seed=4))
    assert np.array_equal(thinned(table, np.arange(150), 150, 0), np.arange(150))


@pytest.fixture(scope="module")
def a_run(table: Table, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    out = tmp_path_factory.mktemp("images") / "out"
    with pytest.MonkeyPatch.context() as patch:
        # As if the budget were so tight that not all images can be asked.
        patch.setattr(thinning, "LEAST_ROWS", 60)
        patch.setattr(thinning, "COMPARISON", 1e-9)
        told: list[str] = []
        record = wf.run(table, out=out, quick=True, folds=2, budget="20s", notice=told.append, training={"epochs": 2})
    return record, out, told


def test_a_run_answers_from_a_sample_and_trains_the_last_model_on_all(a_run: tuple, table: Table) -> None:
    record, out, told = a_run
    assert any("60 of the 150 rows" in sentence for sentence in told)
    assert any("on all 150 rows" in sentence for sentence in told)
    model = wf.Fitted.load(out)
    assert {part.rows for part in model.parts} == {150}
    assert len(record.comparison.rows) == 60
    summary = json.loads((out / "summary.json").read_text())
    outputs = model.outputs_on(table, table.test_rows)
    assert summary["test"]["score"] == np.mean(outputs.argmax(1) == table.target[150:])
    assert [path.over for path in record.paths] == ["dropout", "augment"]
    page = (out / "report.html").read_text()
    assert "augment" in page
    assert "60 of the 150 rows" in page


def test_the_answer_says_from_how_many_rows_each_learned(a_run: tuple) -> None:
    """The ensemble learns from all 150 rows and the network without regularization from the sample of 60."""
    record, out, _ = a_run
    sentences = answer(record)
    assert "networks trained on 150 rows), " in sentences[-1]
    assert "without regularization (one network trained on 60 rows)." in sentences[-1]
    assert "this difference does not show what regularization does." in sentences[-1]
    assert "That is told by 60 rows; the model was then trained on 150 rows" in sentences[1]
    assert any("trained anew on 150 rows" in rule for rule in record.rules)
    page = " ".join(Page((out / "report.html").read_text(encoding="utf-8")).text)
    for part in ("networks trained on 150 rows.", "One network trained on 60 rows.", "then trained on 150 rows"):
        assert part in page


def test_test_images_play_no_part_before_the_end(table: Table, tmp_path: object) -> None:
    """Poisoned test images and labels change nothing but the test's own figures."""
    inputs, target = table.inputs.copy(), table.target.copy()
    inputs[150:], target[150:] = 255 - inputs[150:], (target[150:] + 1) % 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "LEAST_ROWS", 60)
        patch.setattr(thinning, "COMPARISON", 1e-9)
        patch.setattr(thinning, "_slowness", lambda *_: 1.0)
        poisoned = replace(table, inputs=inputs, target=target)
        runs = [
            wf.run(t, out=tmp_path / name, quick=True, folds=2, budget="40000 steps", training={"epochs": 2})
            for name, t in (("clean", table), ("poisoned", poisoned))
        ]
    clean, other = ({k: v for k, v in r.summary.items() if k not in ("test", "none", "seconds")} for r in runs)
    assert clean == other
    assert runs[0].summary["test"] != runs[1].summary["test"]
    assert [np.array_equal(a.losses, b.losses) for a, b in zip(runs[0].paths, runs[1].paths, strict=True)] == [True] * 2


def test_a_folder_of_images_runs_from_the_command_line(table: Table, tmp_path: object) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from wellfit.cli import main

    for i in range(48):
        folder = tmp_path / "photos" / table.classes[table.target[i]]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(table.inputs[i, 0]).save(folder / f"{i}.png")
    (tmp_path / "photos" / "left" / "broken.png").write_bytes(b"\x89PNG\r\n")
    given = [
        "compare",
        str(tmp_path / "photos"),
        "--folds",
        "2",
        "--seeds",
        "1",
        "--cocktails",
        "augment",
        "--epochs",
        "1",
    ]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 2
    assert "broken.png" in result.output
    assert "Traceback" not in result.output
    result = CliRunner().invoke(main, [*given, "--skip-corrupt", "--json"])
    assert result.exit_code == 0, result.output
