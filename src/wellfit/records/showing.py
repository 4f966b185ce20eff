"""Results that can show themselves: as a figure, as text, and in a notebook."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# The texts of a result that say what it is of.
_ABOUT = ("data", "over", "network", "verdict", "winner", "status")
_LONGEST = 60


class Shown:
    """A record with a figure and a text; its dataclass leaves ``repr`` to this class.

    Drawing and telling are the report's, which is asked only when someone wants to see it.
    """

    def plot(self, **options: Any) -> Figure:
        """Return the figure of this result, a Matplotlib ``Figure``: ``result.plot().savefig("result.svg")``.

        ``options`` are those of the figure, such as ``measure="loss"`` for a comparison. Nothing touches ``pyplot``.
        """
        return _report("showing").figure_of(self, **options)

    def _repr_html_(self) -> str:
        """Return the result as HTML: what a notebook shows."""
        return _report("showing").html_of(self)

    def __str__(self) -> str:
        """Return the result as the text that the command line prints."""
        return _report("printed").text_of(self)

    def __repr__(self) -> str:
        """Return one line: the kind of result, and what it is of. What it holds are long arrays."""
        about = {name: getattr(self, name, None) for name in _ABOUT}
        told = [f"{name}={_cut(str(text))!r}" for name, text in about.items() if isinstance(text, str) and text]
        return f"<{' '.join([type(self).__name__, *told])}>"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _report(part: str) -> Any:
    # By name: records are below the report, and know nothing of it but that it can draw and tell them.
    return import_module(f"wellfit.report.{part}")
