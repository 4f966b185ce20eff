"""What a run leaves in its folder, also where it fails or is interrupted, and what it tells on the way."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
from small_runs import BRIEF, patients

import wellfit as wf
from wellfit import job
from wellfit.data import load
from wellfit.errors import DataError, SettingError
from wellfit.job import files, main, study
from wellfit.records import Finding


def test_nothing_is_written_where_the_report_fails(tmp_path, monkeypatch) -> None:
    from wellfit.report import page

    def fail(record):
        raise RuntimeError("the page")

    monkeypatch.setattr(page, "render", fail)
    with pytest.raises(RuntimeError, match="the page"):
        wf.run(patients(), out=tmp_path, **BRIEF)
    assert os.listdir(tmp_path) == [files.LEDGER]


def test_bad_data_and_settings_leave_no_folder(tmp_path) -> None:
    for source, options in (
        ({"a": [1.0, 2.0]}, {}),
        (patients(), {"network": "0"}),
        (patients(), {"metric": "r2"}),
        (patients(), {"cocktails": "dropout=(0.1, 0.2, 0.3)"}),
        (patients(), {"threads": 0}),
        (patients(), {"training": {"epochs": 0}}),
    ):
        with pytest.raises((DataError, SettingError)):
            wf.run(source, out=tmp_path / "out", **{**BRIEF, **options})
        assert not (tmp_path / "out").exists(), options


def test_an_interrupt_keeps_what_is_trained_and_the_same_call_continues(tmp_path, monkeypatch) -> None:
    from wellfit.engines.compiled import CompiledEngine

    trained = []
    real = CompiledEngine.init

    def init(self, members, data):
        trained.extend(members)
        return real(self, members, data)

    monkeypatch.setattr(CompiledEngine, "init", init)
    calls = []

    def stop(done, total):
        calls.append(done)
        if done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wf.run(patients(), out=tmp_path / "a", name="p", threads=1, progress=stop, **BRIEF)
    assert os.listdir(tmp_path / "a") == [files.LEDGER]
    began = len(trained)
    wf.run(patients(), out=tmp_path / "a", name="p", **BRIEF)
    continued = trained[began:]
    assert len(continued) < 9 + 3, "some were kept"
    wf.run(patients(), out=tmp_path / "b", name="p", **BRIEF)
    for name in (job.COMPARISON, job.MODEL, job.OUT_OF_FOLD):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_notices_come_before_the_training_and_are_bounded(tmp_path, monkeypatch) -> None:
    heard = []
    note = Finding("assumed_target", "The last one was taken.")
    many = (note, *(Finding("leak", f"Column {i} is odd.", (str(i),)) for i in range(30)))
    monkeypatch.setattr(study, "read_table", lambda source, seed, options: (load(source), many))
    monkeypatch.setattr(main, "read_table", study.read_table)

    def progress(done, total):
        heard.append("training")

    record = wf.run(patients(), out=tmp_path, notice=heard.append, progress=progress, **BRIEF)
    before = heard[: heard.index("training")]
    assert before[:2] == ["Warning: Column 0 is odd.", "Warning: Column 1 is odd."]
    assert "And 19 more warnings, listed in the report." in before
    assert record.findings == many


def test_assumptions_are_notes_and_come_last() -> None:
    heard = []
    note, leak = Finding("assumed_task", "Taken as classes."), Finding("leak", "Column a gives it away.")
    study.Asked(notice=heard.append).warn((note, leak))
    assert heard == ["Warning: Column a gives it away.", "Note: Taken as classes."]


def test_diverged_members_are_told_at_once_and_stand_in_the_report(tmp_path) -> None:
    heard = []
    # Gradient descent diverges where the learning rate times l2 is above 2: here at 3.
    brief = {**BRIEF, "cocktails": "none; l2=30", "training": {"optimizer": "gd", "learning_rate": 0.1, "epochs": 4000}}
    record = wf.run(patients(), out=tmp_path, notice=heard.append, **brief)
    told = [text for text in heard if "l2=30" in text]
    assert len(told) == 1
    assert told[0].startswith("Warning: ")
    assert re.search(r"at learning rate 0\.1, the first in epoch [1-9]", told[0])
    assert record.findings[-1].kind == "diverged"
    assert record.summary["cocktail"] == "none"


def test_numbers_that_json_lacks_become_null() -> None:
    values = {"a": float("nan"), "b": [np.float64("inf"), np.int64(3)], "c": {"d": (1.5, None)}, "e": "é"}
    text = job.as_json(values)
    assert json.loads(text) == {"a": None, "b": [None, 3], "c": {"d": [1.5, None]}, "e": "é"}
    assert text.isascii()
