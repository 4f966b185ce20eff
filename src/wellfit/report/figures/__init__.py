"""Figures from records: each function computes nothing but where to draw, and returns a Matplotlib ``Figure``.

No figure touches ``pyplot`` or the user's Matplotlib settings, so they work in notebooks, in threads and on servers.
"""

from wellfit.report.figures.boundary import boundary_figure
from wellfit.report.figures.comparison import comparison_figure
from wellfit.report.figures.curves import cost_figure, cost_scale, curve_scale, curves_figure
from wellfit.report.figures.panels import Scale
from wellfit.report.figures.weights import weight_range, weights_figure

__all__ = [
    "Scale",
    "boundary_figure",
    "comparison_figure",
    "cost_figure",
    "cost_scale",
    "curve_scale",
    "curves_figure",
    "weight_range",
    "weights_figure",
]
