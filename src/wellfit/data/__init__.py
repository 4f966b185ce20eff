"""From any source to a checked table, its splits and folds, and the design matrices that networks train on."""

from wellfit.data.checks import inspect, inspect_split
from wellfit.data.images import read_images
from wellfit.data.prepare import prepare
from wellfit.data.preprocess import Preprocessor
from wellfit.data.sources import load, read_features
from wellfit.data.splits import cross_validation_split, fold_rule, folds, holdout, inspect_folds

__all__ = [
    "Preprocessor",
    "cross_validation_split",
    "fold_rule",
    "folds",
    "holdout",
    "inspect",
    "inspect_folds",
    "inspect_split",
    "load",
    "prepare",
    "read_features",
    "read_images",
]
