"""How a page is made of a template: its style, its own scripts pinned by hash, its texts in every language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wellfit.messages import language, say
from wellfit.report.scripts import policy, script
from wellfit.report.theme import DARK, LIGHT, variables
from wellfit.report.words import collecting, mark, place

_TEMPLATES = Path(__file__).parent / "templates"


def rendered(
    template: str,
    context: Callable[[], Mapping[str, object]],
    *,
    parts: Mapping[str, bool],
    styles: Sequence[str] = ("style.css",),
    scripts: Sequence[str] = (),
) -> str:
    """Return the page that ``template`` makes of ``context()``, in the current language, ready for each other one.

    ``parts`` says which parts of the ``styles`` are needed. The page loads nothing, runs ``scripts`` only, the one of
    the languages before them, and treats every value as text that is not markup already.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=mark,
    )
    look = {"light": variables(LIGHT), "dark": variables(DARK), **parts}
    names = ("language.js", *scripts)
    own = {
        "language": language(),
        "style": Markup("\n".join(environment.get_template(name).render(look) for name in styles)),  # our own files
        "policy": Markup(policy(*names)),
        "scripts": [script(name)[0] for name in names],
        "words": place(),
    }
    with collecting() as words:
        page = environment.get_template(template).render(context(), t=say, **own)
        return words.settle(page)
