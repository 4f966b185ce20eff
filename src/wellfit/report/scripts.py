"""The page's own scripts: each stands in the page, and the page's policy allows these by their hashes and no other."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


@cache
def script(name: str) -> tuple[Markup, str]:
    """Return the element ``<script>`` that holds a file of the templates, and its source for the policy's script-src.

    Everything in it is ours: what belongs to a run reaches a script as JSON in an element of its own. Raises
    ``ValueError`` for a file that would end its own element.

    >>> element, source = script("language.js")
    >>> str(element)[:8], source[:8]
    ('<script>', "'sha256-")
    """
    from markupsafe import Markup

    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError(f"the script {name} holds the end of its own element")
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return Markup(f"<script>{text}</script>"), f"'sha256-{digest}'"


def policy(*names: str) -> str:
    """Return the page's Content-Security-Policy: nothing is loaded, and only these scripts run."""
    sources = " ".join(script(name)[1] for name in names)
    return f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:"
