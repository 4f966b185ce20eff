"""Sanity checks: healthy networks pass, each thing that can be wrong trips its check, test rows are not looked at."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from test_compare import _table

import wellfit
from wellfit.cli import main
from wellfit.data import load
from wellfit.engines import independent
from wellfit.engines.base import Member
from wellfit.engines.compiled import CompiledEngine
from wellfit.engines.independent import Parts
from wellfit.errors import DataError, SettingError
from wellfit.executors import Threads
from wellfit.nets import MLP, Training
from wellfit.records import History, Table
from wellfit.select.output import sanity_text
from wellfit.select.sanity import STARTS, _conflicts, _data, _falls, _spread, sanity

NAMES = ("falls", "memorizes", "gradients", "start")
DEEP = ",".join(["4"] * 30)


def looks(found):
    return [check.name for check in found.checks if not check.ok]


def by_name(found):
    return {check.name: check for check in found.checks}


class Scaled(CompiledEngine):
    """Starts from weights ``factor`` times as large: what a bad initialization does."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def init(self, members, data):
        return [s.with_parameters(self.factor * s.parameters) for s in super().init(members, data)]


# Healthy -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["iris", "wine", "diabetes", "breast-cancer", "football"])
def test_healthy_networks_pass(name, seed):
    for network in (None, "20,8:tanh"):
        found = wellfit.sanity(network, name, seed=seed)
        assert looks(found) == [], str(found)
        assert found.ok
        assert tuple(check.name for check in found.checks) == NAMES
        assert all(line.startswith("ok    ") for line in str(found).splitlines())


def test_the_figures_of_a_classification():
    found = by_name(sanity("8", "iris"))
    assert found["start"].values["chance"] == pytest.approx(np.log(3))
    assert found["memorizes"].values == {"rows": 16, "conflicting_rows": 0, "accuracy": 1.0}
    falls = found["falls"].values
    assert falls["learning_rates"] == [1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
    assert falls["largest_falling_rate"] in falls["learning_rates"]
    assert len(falls["last_losses"]) == 6


def test_the_figures_of_a_regression_are_in_its_own_unit():
    table = _table("regression", rows=100)
    found = by_name(sanity("8", table))
    assert found["start"].values["chance"] == pytest.approx(table.target.var())
    assert found["falls"].values["first_losses"][0] > 50
    assert found["memorizes"].values["unexplained"] < 0.01
    assert "can be memorized" in found["memorizes"].text


def test_gradients_are_those_of_an_independent_implementation():
    table, net = _table("binary"), MLP((5, 4), "tanh")
    found = by_name(sanity(net, table))["gradients"].values
    data = _data(table, np.arange(80), 0)
    fold, norms = data.folds[0], []
    for seed in range(STARTS):
        member = Member(net, wellfit.Cocktail(), Training("gd", 1.0, 1, None), seed, 0)
        start = net.initialize(seed, 4, 1)
        masks = independent.masks_of(member, 80, 80, 0, 0)
        _, gradient = independent.objective(
            member, "binary", Parts.of(net, start, 4, 1), fold.x[fold.rows.train], fold.y[fold.rows.train], masks, None
        )
        norms.append([np.sqrt((w**2).sum() + (b**2).sum()) for w, b in net.unpack(gradient.flat(), 4, 1)])
    np.testing.assert_allclose(found["norms"], np.median(norms, axis=0), rtol=1e-9)


# What can be wrong ---------------------------------------------------------------------------------------------------


def test_a_deep_narrow_relu_network_is_dead():
    found = sanity(f"{DEEP}:relu", "iris")
    assert looks(found) == ["falls", "memorizes", "gradients"], str(found)
    told = by_name(found)
    assert told["gradients"].text.startswith("Gradients vanish at the start: their norm is 0 in the first layer")
    assert told["falls"].values["largest_falling_rate"] is None
    assert told["start"].values["loss"] == pytest.approx(np.log(3), rel=1e-3), "outputs of a dead network are all 0"


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_a_deep_narrow_tanh_network_vanishes_in_all_layers_at_once(name):
    found = by_name(sanity(f"{DEEP}:tanh", name))["gradients"]
    assert not found.ok
    first, last = found.values["norms"][0], found.values["norms"][-1]
    assert max(first, last) < 0.1
    assert first / last > 1e-3, "their ratio alone would not show it"


def test_large_initial_weights_trip_the_start_and_the_gradients():
    found = sanity("16,16,16,16", _table("regression"), engine=Scaled(10.0))
    assert {"gradients", "start"} <= set(looks(found)), str(found)
    assert "explode" in by_name(found)["gradients"].text
    assert "times the" in by_name(found)["start"].text
    beyond = sanity("16,16", _table("regression"), engine=Scaled(1e200))
    assert looks(beyond) == list(NAMES), str(beyond)
    assert "NaN" not in sanity_text(beyond)


def test_small_initial_weights_vanish():
    found = sanity("16,16,16", _table(), engine=Scaled(1e-3))
    assert "gradients" in looks(found)
    assert "vanish" in by_name(found)["gradients"].text


def test_a_linear_network_cannot_memorize_more_rows_than_it_has_weights():
    found = sanity("linear", "diabetes")
    assert looks(found) == ["memorizes"]
    assert "too small or too deep" in by_name(found)["memorizes"].text
    assert 0.01 < by_name(found)["memorizes"].values["unexplained"] < 1


def test_rates_that_diverge_are_named_and_rates_surround_a_given_descent():
    found = by_name(sanity("linear", _table("regression"), training=Training("gd", 3.0)))["falls"]
    assert found.values["learning_rates"] == [30.0, 9.0, 3.0, 0.9, 0.3, 0.09]
    assert set(found.values["diverging_rates"]) >= {30.0, 9.0, 3.0}
    assert found.text.endswith("3, 9, 30.")
    wild = by_name(sanity("linear", _table("regression"), training=Training("sgd", 300.0, momentum=0.9)))["falls"]
    assert not wild.ok
    assert wild.values["learning_rates"][2] == 3000
    assert "diverges at every learning rate from 90 to 30000" in wild.text


def test_a_rate_at_which_the_loss_rises_once_is_not_taken():
    curves = {1.0: [2.0, 1.0, 1.1, 0.1], 0.3: [2.0, 1.5, 1.2, 0.9], 0.1: [2.0, 1.9, 1.8, 1.7], 0.03: [2.0, 90.0, 3, 40]}
    members = [Member(MLP((2,)), wellfit.Cocktail(), Training("gd", rate), 0, 0) for rate in curves]
    pasts = [
        History("finished", 3, 3, 3, np.arange(4), {"train_loss": np.array(c)}, np.empty((0, 1)), (1.0,), 0, 1)
        for c in curves.values()
    ]
    found = _falls(members, pasts, chance=1.0)
    assert found.values["largest_falling_rate"] == 0.3
    assert found.values["diverging_rates"] == [0.03]
    rising = _falls(members[:1], pasts[:1], chance=1.0)
    assert not rising.ok
    assert "does not fall steadily" in rising.text


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_rows_that_contradict_each_other_are_counted(task):
    x = np.repeat(np.arange(10.0), 2)
    target = np.arange(20) % 2 if task == "binary" else np.where(x < 6, x, x + 3.0 * (np.arange(20) % 2))
    if task == "binary":
        target[:12] = np.repeat(np.arange(6) % 2, 2)
    table = Table("made", {"a": x}, {"a": "numeric"}, target, "y", task, ("no", "yes") if task == "binary" else ())
    rows = np.arange(4, 20)
    found = sanity("32,32", table, rows=rows)
    told = by_name(found)["memorizes"]
    assert not told.ok
    assert told.values["conflicting_rows"] == 8
    assert "8 of these rows have equal inputs and different targets" in told.text
    assert "learned all that can be learned" in told.text
    if task == "binary":
        assert told.values["accuracy"] == 0.75


def test_conflicts_are_counted_with_what_they_force():
    x, y = np.array([[1.0], [1], [1], [2], [3], [3]]), np.array([[0.0], [0], [1], [1], [1], [1]])
    assert _conflicts(x, y, "binary") == (3, pytest.approx(1 / 6))
    assert _conflicts(x, y, "regression") == (3, pytest.approx(2 / 3 / 6))


def test_losses_and_class_weights_of_a_training_are_used():
    table = _table("regression")
    scale = table.target.std()
    found = by_name(sanity("8", table, training=Training(loss="absolute")))["start"].values
    assert found["chance"] == pytest.approx(np.abs(table.target - table.target.mean()).mean())
    assert found["chance"] < scale
    assert sanity("8", _table(), training=Training(class_weights="balanced")).ok


# Rows and repetition -------------------------------------------------------------------------------------------------


def test_test_rows_change_nothing():
    table = _table(rows=80, test=20)
    poisoned = replace(table, columns={n: c.copy() for n, c in table.columns.items()}, target=table.target.copy())
    for column in poisoned.columns.values():
        column[60:] = 1e6
    poisoned.target[60:] = 1 - poisoned.target[60:]
    one, other = sanity("6", table), sanity("6", poisoned)
    assert sanity_text(one) == sanity_text(other)
    assert one.rows == 60


def test_equal_calls_give_equal_answers_on_any_number_of_threads():
    texts = {sanity_text(sanity("6", _table("multiclass"), executor=Threads(n))) for n in (1, 2)}
    assert len(texts) == 1
    assert sanity_text(sanity("6", _table("multiclass"), seed=1)) not in texts


def test_large_tables_are_drawn_from_and_rare_classes_kept():
    table = _table(rows=5000)
    rare = np.zeros(5000, dtype=np.int64)
    rare[7] = 1
    table = replace(table, target=rare)
    for count in (16, 2000):
        drawn = _spread(table, np.arange(5000), count, 0)
        assert len(np.unique(drawn)) == count
        assert 7 in drawn
    assert sanity("4", table).rows == 2000
    numbers = _spread(_table("regression", rows=500), np.arange(100, 500), 16, 0)
    assert len(np.unique(numbers)) == 16
    assert numbers.min() >= 100


# Refusals and the command line ---------------------------------------------------------------------------------------


def test_bad_settings_are_refused():
    with pytest.raises(SettingError, match="A network reads like"):
        sanity("wide", "iris")
    with pytest.raises(SettingError, match="options belong to reading data"):
        sanity(None, load("iris"), target="y")
    with pytest.raises(SettingError, match=r"wellfit\.Training, not 'adam'"):
        sanity(None, "iris", training="adam")
    with pytest.raises(SettingError, match="The seed is a whole number"):
        sanity(None, "iris", seed=-1)
    with pytest.raises(DataError, match="iris"):
        sanity(None, "irsi")


def call(*args):
    return CliRunner().invoke(main, list(args))


def test_the_command_prints_a_line_a_check():
    result = call("sanity", "iris", "--network", "8")
    assert result.exit_code == 0, result.output
    about, *lines = result.stdout.splitlines()
    assert about == "iris: multiclass, network 8, 150 rows, no regularization"
    assert [line[:6] for line in lines] == ["ok    "] * 4
    bad = call("sanity", "diabetes", "--network", "linear")
    assert bad.exit_code == 0
    assert [line[:6] for line in bad.stdout.splitlines()[1:]] == ["ok    ", "look  ", "ok    ", "ok    "]


def test_the_command_prints_json_alone(tmp_path):
    result = call("sanity", "iris", "--network", "8", "--json", "--seed", "3", "--threads", "1")
    told = json.loads(result.stdout)
    assert told == json.loads(sanity_text(sanity("8", "iris", seed=3)))
    assert [check["name"] for check in told["checks"]] == list(NAMES)
    assert told["ok"] is True


@pytest.mark.parametrize("args", [("iris", "--network", "wide"), ("irsi",), ("iris", "--seed", "-1")])
def test_bad_input_exits_with_2_and_one_line(args):
    result = call("sanity", *args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len([line for line in result.stderr.splitlines() if line.startswith("Error: ")]) == 1
