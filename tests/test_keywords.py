"""Slips in Python's arguments: the public function is named, and what to write instead."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import wellfit as wf

QUESTIONS = ("bias_variance", "compare", "diagnose", "path", "run", "sanity", "search", "simplest", "workings")


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_unknown_keyword_names_the_public_function(name):
    with pytest.raises(wf.SettingError, match=rf"^{name}\(\) has no argument fodls|^{name}\(\) has no argument tagret"):
        getattr(wf, name)("iris", **({"tagret": "species"} if name == "sanity" else {"fodls": 3}))
    assert "options" in inspect.signature(getattr(wf, name)).parameters, "the signature is the function's own"


def test_the_nearest_keyword_is_named():
    with pytest.raises(wf.SettingError, match=r"did you mean cocktails\?"):
        wf.compare("iris", cocktail="l2=0.1")
    with pytest.raises(wf.SettingError, match=r"did you mean target\?"):
        wf.compare("iris", tarket="species")
    with pytest.raises(wf.SettingError, match=r"compare\(\) has no argument xyz. It takes: source, cocktails"):
        wf.compare("iris", xyz=1)


@pytest.mark.parametrize("name", ["compare", "diagnose", "search", "run"])
def test_fields_of_the_training_are_shown_where_they_belong(name):
    with pytest.raises(wf.SettingError, match=r"give training=wf\.Training\(epochs=10\)"):
        getattr(wf, name)("iris", epochs=10)
    with pytest.raises(wf.SettingError, match=r"give training=wf\.Training\(optimizer='adam'\)"):
        getattr(wf, name)("iris", optimizer="adam")


def test_arrays_are_given_as_a_pair():
    x, y = np.zeros((8, 2)), np.arange(8) % 2
    with pytest.raises(wf.SettingError, match=r"give arrays as a pair, wf\.compare\(\(X, y\)\)"):
        wf.compare(x, y)
    with pytest.raises(wf.SettingError, match=r"path\(\) takes at most 2 arguments without a name"):
        wf.path(x, y, "l2")


def test_an_estimator_names_its_class():
    with pytest.raises(wf.SettingError, match=r"WellfitClassifier\(\) has no argument cocktails: did you mean"):
        wf.WellfitClassifier(cocktails="l2=0.1")
    with pytest.raises(wf.SettingError, match=r"WellfitRegressor\(\) .* training=wf\.Training\(epochs=3\)"):
        wf.WellfitRegressor(epochs=3)
    assert "cocktail" in inspect.signature(wf.WellfitClassifier).parameters
