"""Choose among cocktails: cross-validated comparison and the defaults it starts from."""

from wellfit.select.compare import compare
from wellfit.select.defaults import default_cocktails, default_network, default_seeds, default_training
from wellfit.select.output import comparison_json, comparison_text

__all__ = [
    "compare",
    "comparison_json",
    "comparison_text",
    "default_cocktails",
    "default_network",
    "default_seeds",
    "default_training",
]
