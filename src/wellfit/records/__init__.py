"""What flows between rooms: frozen dataclasses of NumPy arrays and plain values."""

from wellfit.records.comparing import CocktailResult, Comparison, Difference, History, Interval
from wellfit.records.decomposition import BiasVariance, Decomposition
from wellfit.records.diagnosis import VERDICTS, Diagnosis, Evidence, LearningCurve, NextStep
from wellfit.records.frames import Boundary, Frames
from wellfit.records.hashing import hash_once
from wellfit.records.lessons import Samples, Taught
from wellfit.records.paths import Coefficients, Path, Simplest, WarmStarts
from wellfit.records.runs import Portrait, RunRecord
from wellfit.records.searching import Corrected, Part, SearchRecord, Trial
from wellfit.records.tables import (
    Array,
    Finding,
    Fold,
    FoldData,
    Kind,
    Scale,
    Split,
    Table,
    Task,
    TrainingData,
    inputs_of,
)
from wellfit.records.workings import Averaging, Workings

__all__ = [
    "VERDICTS",
    "Array",
    "Averaging",
    "BiasVariance",
    "Boundary",
    "CocktailResult",
    "Coefficients",
    "Comparison",
    "Corrected",
    "Decomposition",
    "Diagnosis",
    "Difference",
    "Evidence",
    "Finding",
    "Fold",
    "FoldData",
    "Frames",
    "History",
    "Interval",
    "Kind",
    "LearningCurve",
    "NextStep",
    "Part",
    "Path",
    "Portrait",
    "RunRecord",
    "Samples",
    "Scale",
    "SearchRecord",
    "Simplest",
    "Split",
    "Table",
    "Task",
    "Taught",
    "TrainingData",
    "Trial",
    "WarmStarts",
    "Workings",
    "hash_once",
    "inputs_of",
]
