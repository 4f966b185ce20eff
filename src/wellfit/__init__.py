"""wellfit: does a model overfit, which regularization cures it, and how strong must that be?

>>> import wellfit as wf
>>> str(wf.L2(1e-3) + wf.Dropout(0.2))
'l2=0.001 + dropout=0.2'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Each public name and the room it lives in. Rooms are imported when a name is first asked for: import stays cheap.
_HOMES = {
    "Cocktail": "cocktail",
    "Augment": "cocktail",
    "BatchNorm": "cocktail",
    "EMA": "cocktail",
    "GradientClipping": "cocktail",
    "GroupLasso": "cocktail",
    "InputDropout": "cocktail",
    "InputNoise": "cocktail",
    "LabelSmoothing": "cocktail",
    "MaxNorm": "cocktail",
    "Mixup": "cocktail",
    "Dropout": "cocktail",
    "EarlyStopping": "cocktail",
    "ElasticNet": "cocktail",
    "L1": "cocktail",
    "L2": "cocktail",
    "WeightDecay": "cocktail",
    "Linear": "nets",
    "MLP": "nets",
    "module": "nets.module",
    "Training": "nets",
    "Fitted": "nets.fitted",
    "lesson": "job.lesson",
    "load": "data",
    "augment": "job.augmenting",
    "bias_variance": "select.bias_variance",
    "compare": "select.compare",
    "diagnose": "select.diagnose",
    "path": "select.path",
    "search": "select.search",
    "sanity": "select.sanity",
    "simplest": "select.simplest",
    "workings": "select.workings",
    "run": "job",
    "speaking": "messages",
    "WellfitClassifier": "estimators",
    "WellfitRegressor": "estimators",
    "DataError": "errors",
    "MissingExtraError": "errors",
    "ModelFileError": "errors",
    "SettingError": "errors",
    "UnsupportedError": "errors",
    "WellfitError": "errors",
}

if TYPE_CHECKING:
    from wellfit.cocktail import (
        EMA,
        L1,
        L2,
        Augment,
        BatchNorm,
        Cocktail,
        Dropout,
        EarlyStopping,
        ElasticNet,
        GradientClipping,
        GroupLasso,
        InputDropout,
        InputNoise,
        LabelSmoothing,
        MaxNorm,
        Mixup,
        WeightDecay,
    )
    from wellfit.data import load
    from wellfit.errors import (
        DataError,
        MissingExtraError,
        ModelFileError,
        SettingError,
        UnsupportedError,
        WellfitError,
    )
    from wellfit.estimators import WellfitClassifier, WellfitRegressor
    from wellfit.job import run
    from wellfit.job.augmenting import augment
    from wellfit.job.lesson import lesson
    from wellfit.messages import speaking
    from wellfit.nets import MLP, Linear, Training
    from wellfit.nets.fitted import Fitted
    from wellfit.nets.module import module
    from wellfit.select.bias_variance import bias_variance
    from wellfit.select.compare import compare
    from wellfit.select.diagnose import diagnose
    from wellfit.select.path import path
    from wellfit.select.sanity import sanity
    from wellfit.select.search import search
    from wellfit.select.simplest import simplest
    from wellfit.select.workings import workings

__all__ = [
    "EMA",
    "L1",
    "L2",
    "MLP",
    "Augment",
    "BatchNorm",
    "Cocktail",
    "DataError",
    "Dropout",
    "EarlyStopping",
    "ElasticNet",
    "Fitted",
    "GradientClipping",
    "GroupLasso",
    "InputDropout",
    "InputNoise",
    "LabelSmoothing",
    "Linear",
    "MaxNorm",
    "MissingExtraError",
    "Mixup",
    "ModelFileError",
    "SettingError",
    "Training",
    "UnsupportedError",
    "WeightDecay",
    "WellfitClassifier",
    "WellfitError",
    "WellfitRegressor",
    "__version__",
    "augment",
    "bias_variance",
    "compare",
    "diagnose",
    "lesson",
    "load",
    "module",
    "path",
    "run",
    "sanity",
    "search",
    "simplest",
    "speaking",
    "workings",
]


# Rooms that users reach into by name: wf.executors.Ray(...), wf.torch.penalty(...).
_ROOMS = ("executors", "torch")
if TYPE_CHECKING:
    from wellfit import executors as executors
    from wellfit import torch as torch


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None and name in _ROOMS:
        return import_module(f"wellfit.{name}")
    if home is None:
        raise AttributeError(f"module 'wellfit' has no attribute {name!r}")
    value = getattr(import_module(f"wellfit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
