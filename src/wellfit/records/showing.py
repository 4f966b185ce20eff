"""Results that can show themselves: as a figure, and in a notebook."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Shown:
    """A record with a figure. The drawing is the report's, which is asked only when someone wants to see it."""

    def plot(self, **options: Any) -> Figure:
        """Return the figure of this result, a Matplotlib ``Figure``: ``result.plot().savefig("result.svg")``.

        ``options`` are those of the figure, such as ``measure="loss"`` for a comparison. Nothing touches ``pyplot``.
        """
        return _report().figure_of(self, **options)

    def _repr_html_(self) -> str:
        """Return the result as HTML: what a notebook shows."""
        return _report().html_of(self)


def _report() -> Any:
    # By name: records are below the report, and know nothing of it but that it can draw them.
    return import_module("wellfit.report.showing")
