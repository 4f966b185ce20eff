"""A Matplotlib figure as a small SVG element to stand in a page."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from wellfit.messages import Said
from wellfit.report.theme import DARK, LIGHT, drawing, variables
from wellfit.report.words import mark

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES = {value: f"var(--{name})" for name, value in LIGHT.items()}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
_GEOMETRY = ("d", "x", "y", "width", "height", "transform", "viewBox", "points")
_POINT = re.compile(r"([ML]) (\S+) (\S+)\s*")


def inline_svg(figure: Figure, label: str, prefix: str) -> str:
    """Return the figure as one ``<svg>`` element: text as text, colours as CSS variables, ``label`` for screen readers.

    ``prefix`` begins every id, so that several such elements can stand in one page. Equal figures give equal text.
    """
    root = ET.fromstring(_draw(figure))
    told = _told(figure)
    names: dict[str, str] = {}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        _attributes(element, names, prefix)
        if element.text:
            element.text = str(mark(told.get(element.text, element.text)))
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in names:
            element.set("id", names[name])
    _prune(root)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": str(mark(label)), "focusable": "false"})
    return ET.tostring(root, encoding="unicode")


def _told(figure: Figure) -> dict[str, Said]:
    """Return the figure's texts that are the catalogue's, and not also a name of the reader's that is the same."""
    from matplotlib.text import Text

    found = [text.get_text() for text in figure.findobj(Text)]
    names = {text for text in found if not isinstance(text, Said)}
    return {str.__str__(text): text for text in found if isinstance(text, Said) and text not in names}


def svg_file(figure: Figure, label: str, prefix: str) -> str:
    """Return the figure as an SVG file of its own, which follows the reader's light or dark scheme."""
    family = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue','Noto Sans','Liberation Sans',sans-serif"
    style = (
        f"<style>:root{{{variables(LIGHT)}}}@media (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}"
        f"text{{font-family:{family};white-space:pre}}</style>"
        '<rect width="100%" height="100%" style="fill:var(--paper)"/>'
    )
    head, _, rest = inline_svg(figure, label, prefix).partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'


def _draw(figure: Figure) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with drawing(), warnings.catch_warnings():
        # The reader's browser draws the text with its own fonts: a glyph that the measuring font lacks is no news.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support .* natively", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return buffer.getvalue()


def _attributes(element: ET.Element, names: dict[str, str], prefix: str) -> None:
    """Rewrite one element's attributes: short numbers, themed colours, ids that are used, links without a namespace."""
    for key in list(element.attrib):
        value = element.attrib.pop(key)
        key = key.rpartition("}")[2]
        if key == "style":
            value = _style(value)
        elif key == "d":
            value = _straight(value)
        elif key == "transform":
            value = re.sub(r"^rotate\(-?0(\.0*)? .*\)$", "", value)
        if key in _GEOMETRY:
            value = _NUMBER.sub(_round, value)
        if key == "href":
            value = "#" + names.setdefault(value[1:], f"{prefix}{len(names)}")
        elif key in ("clip-path", "mask", "fill") and value.startswith("url(#"):
            value = f"url(#{names.setdefault(value[5:-1], f'{prefix}{len(names)}')})"
        if value:
            element.set(key, value)


def _style(text: str) -> str:
    """Replace the light colours by their CSS variables, and leave the font's family to the page."""
    kept = []
    for part in text.split(";"):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        if name and name != "font-family":
            kept.append(f"{name}:{_VARIABLES.get(value, value)}")
    return ";".join(kept)


def _round(match: re.Match[str]) -> str:
    # Adding 0.0 turns a negative zero into a plain one.
    return f"{round(float(match[0]), 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _straight(path: str) -> str:
    """Drop the points of a path that lie on the straight line between their neighbours (the borders of maps)."""
    if re.search("[CQcq]", path):
        return " ".join(path.split())
    pieces: list[str] = []
    for part in re.split(r"(?=M )", path):
        points = [(float(x), float(y)) for _, x, y in _POINT.findall(part)]
        if not points:
            continue
        kept = points[:1]
        for i in range(1, len(points) - 1):
            (ax, ay), (bx, by), (cx, cy) = kept[-1], points[i], points[i + 1]
            cross = (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
            ahead = (bx - ax) * (cx - bx) + (by - ay) * (cy - by)
            if abs(cross) > 1e-3 or ahead <= 0:
                kept.append(points[i])
        kept += points[1:][-1:]
        line = "M" + "L".join(f"{x:.6f} {y:.6f}" for x, y in kept)
        pieces.append(line + ("z" if "z" in part else ""))
    return "".join(pieces)


def _prune(root: ET.Element) -> None:
    """Take out what a page does not need: global styles, metadata, empty places, groups that say nothing."""
    for parent in reversed(list(root.iter())):
        children: list[ET.Element] = []
        for child in _flat(parent):
            child.tail = None
            if child.tag in ("style", "metadata") or (child.tag in ("defs", "g") and len(child) == 0):
                continue
            children.append(child)
        parent[:] = children
        if parent.tag != "text":
            parent.text = None
    for group in root.iter("g"):
        _share(group)


def _flat(parent: ET.Element) -> list[ET.Element]:
    """Return the children with attribute-less groups replaced by what they hold, however deep."""
    found: list[ET.Element] = []
    for child in parent:
        found += _flat(child) if child.tag == "g" and not child.attrib else [child]
    return found


def _share(group: ET.Element) -> None:
    """Move a style that all marks of a group have in common to the group: hundreds of points, one style."""
    uses = list(group)
    styles = {use.get("style") for use in uses}
    if len(uses) > 2 and len(styles) == 1 and all(use.tag == "use" for use in uses) and not group.get("style"):
        group.set("style", styles.pop() or "")
        for use in uses:
            use.attrib.pop("style", None)
