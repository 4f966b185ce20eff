"""The report: one self-contained HTML page made from a run's record."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from wellfit.messages import say
from wellfit.records import RunRecord
from wellfit.report.answer import cards, metric_name, told
from wellfit.report.knob import knob, payload
from wellfit.report.path_section import path_sections
from wellfit.report.search_section import search_section
from wellfit.report.sections import sections
from wellfit.report.table import forests, table
from wellfit.report.text import LACKING, clean, finite, number, printable, sentence, short
from wellfit.report.theme import DARK, LIGHT, variables

LANGUAGE = "en"
MAX_FINDINGS = 40
_TEMPLATES = Path(__file__).parent / "templates"
# A headline up to this many characters is set large, or at least as a headline; a longer one as a paragraph.
_LARGE, _MEDIUM = 60, 150


def render(record: RunRecord) -> str:
    """Return the report as one HTML page; equal records give equal pages.

    The page loads nothing from anywhere, runs no script, follows the reader's light or dark scheme, and treats every
    name in the record as text. Write it as UTF-8.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    look = {
        "light": variables(LIGHT),
        "dark": variables(DARK),
        "paths": bool(record.paths),
        "search": record.search is not None,
        "knob": bool(record.frames),
    }
    style = Markup(environment.get_template("style.css").render(look))  # our own file and our own colours
    script = (_TEMPLATES / "knob.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    marks = {"style": style, "script": Markup(script), "script_hash": digest}  # our own files
    return environment.get_template("page.html").render(_context(record), **marks, t=say)


def _context(record: RunRecord) -> dict[str, object]:
    """Return all that the template shows: text, numbers written out, and figures as markup."""
    from markupsafe import Markup

    summary, comparison = record.summary, record.comparison
    data = clean(comparison.data)
    headline, clauses = _verdict(record.verdict)
    turned = knob(record.paths, record.frames, comparison.task) if record.frames else None
    shown, paths, search = sections(record), path_sections(record.paths), search_section(record)
    findings = record.findings
    more = len(findings) - MAX_FINDINGS
    return {
        "language": LANGUAGE,
        "title": say("report.title", data=data),
        "data": data,
        "task": say(f"report.task_{comparison.task}"),
        "size": say("report.size", rows=_count(summary.get("rows")), features=_count(summary.get("features"))),
        "headline": headline,
        "headline_class": "large" if len(headline) <= _LARGE else "medium" if len(headline) <= _MEDIUM else "long",
        "told": told(record),
        "clauses": clauses,
        "codes": [(library, text) for library, text in record.codes.items()],
        "knob": Markup(payload(turned)) if turned else "",  # escaped there
        "knob_maps": any(frame.boundaries for frame in record.frames),
        "cards": cards(record),
        "table": table(comparison),
        "forests": forests(comparison),
        "sections": shown,
        "paths": paths,
        "search": search,
        "contents": [
            *([("turn", say("knob.heading"))] if turned else []),
            ("comparison", say("report.comparison")),
            *((section["id"], section["name"]) for section in paths),
            *([(search["id"], search["name"])] if search else []),
            *((key, section["name"]) for key, section in shown),
            ("findings", say("report.findings")),
            ("how", say("report.how")),
        ],
        "findings": [sentence(f.text) for f in findings[:MAX_FINDINGS]],
        "findings_more": say("report.findings_more", count=more) if more > 0 else "",
        "rules": [sentence(rule) for rule in record.rules],
        "settings": _settings(record),
        "command": printable(record.command),
        "versions": [(clean(name), clean(version)) for name, version in sorted(record.versions.items())],
        "foot": say("report.foot", version=clean(summary.get("version", ""))),
    }


def _verdict(verdict: str) -> tuple[str, list[str]]:
    """Return the headline and the clauses it rests on: a verdict reads "word: sign; sign; sign."."""
    whole = sentence(verdict)
    head, colon, tail = whole.partition(": ")
    if not colon or len(head) > _MEDIUM or ";" not in tail:
        return whole, []
    clauses = [part.strip().removesuffix(".") for part in tail.split("; ")]
    return f"{head}.", [f"{part[:1].upper()}{part[1:]}." for part in clauses if part]


def _settings(record: RunRecord) -> list[tuple[str, str]]:
    """Return the names and values of what was set, and of what the intervals estimate."""
    comparison, summary = record.comparison, record.summary
    seconds = finite(summary.get("seconds"))
    pairs = [
        ("report.how_network", clean(comparison.network, 200)),
        ("report.how_training", clean(comparison.training, 200)),
        ("report.how_folds", say("report.how_folds_text", folds=comparison.folds, seeds=comparison.seeds)),
        ("report.how_members", _count(summary.get("members"))),
        ("report.how_metric", metric_name(comparison.metric)),
        ("report.how_seed", clean(comparison.seed)),
        (
            "report.how_seconds",
            say("report.how_seconds_text", seconds=number(seconds, 1)) if seconds is not None else "",
        ),
    ]
    measured = next((r for r in comparison.results if r.score and r.loss), None)
    if measured and measured.score and measured.loss:
        pairs.append(("report.how_interval_score", sentence(measured.score.estimates)))
        pairs.append(("report.how_interval_loss", sentence(measured.loss.estimates)))
    return [(say(key), value) for key, value in pairs if value]


def _count(value: object) -> str:
    """Return a count with its thousands apart; a list counts its members."""
    if isinstance(value, (list, tuple)):
        value = len(value)
    found = finite(value)
    return LACKING if found is None else short(found)
