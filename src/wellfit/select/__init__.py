"""Choose among cocktails: cross-validated comparison, the defaults it starts from, and sanity checks before."""

from wellfit.select.compare import compare
from wellfit.select.defaults import default_cocktails, default_network, default_seeds, default_training
from wellfit.select.output import comparison_json, comparison_text, sanity_json, sanity_text
from wellfit.select.sanity import Sanity, SanityCheck, sanity

__all__ = [
    "Sanity",
    "SanityCheck",
    "compare",
    "comparison_json",
    "comparison_text",
    "default_cocktails",
    "default_network",
    "default_seeds",
    "default_training",
    "sanity",
    "sanity_json",
    "sanity_text",
]
