"""Figures as markup that the template may write as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wellfit.report.svg import inline_svg

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure


def picture(figure: Figure, label: str, prefix: str) -> Markup:
    """Return the figure as SVG markup: `inline_svg` has escaped every name in it."""
    from markupsafe import Markup

    return Markup(inline_svg(figure, label, prefix))
