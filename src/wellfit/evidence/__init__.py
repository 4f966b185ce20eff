"""What the figures say and how sure that is: metrics, intervals, paired differences, the verdict."""

from wellfit.evidence.held_out import test_interval
from wellfit.evidence.intervals import difference, fold_interval, ratio_interval, rise_interval, trained_interval
from wellfit.evidence.metrics import METRICS, Metric, as_metric, default_metric
from wellfit.evidence.verdict import verdict

__all__ = [
    "METRICS",
    "Metric",
    "as_metric",
    "default_metric",
    "difference",
    "fold_interval",
    "ratio_interval",
    "rise_interval",
    "test_interval",
    "trained_interval",
    "verdict",
]
