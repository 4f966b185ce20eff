"""The report: one self-contained HTML page made from a run's record."""

from __future__ import annotations

from wellfit.messages import say
from wellfit.records import RunRecord
from wellfit.report.answer import cards, told
from wellfit.report.knob import knob, payload
from wellfit.report.path_section import path_sections
from wellfit.report.rendering import rendered
from wellfit.report.search_section import search_section
from wellfit.report.sections import sections
from wellfit.report.table import forests, table
from wellfit.report.text import LACKING, clause, clean, finite, metric_name, number, printable, sentence, short

MAX_FINDINGS = 40
# A headline up to this many characters is set large, or at least as a headline; a longer one as a paragraph.
_LARGE, _MEDIUM = 60, 150


def render(record: RunRecord) -> str:
    """Return the report as one HTML page; equal records give equal pages.

    It begins in the current language (`wellfit.speaking`) and can be switched to each other one. The page loads nothing
    from anywhere, runs its own scripts only, follows the reader's light or dark scheme, and treats every name in the
    record as text. Write it as UTF-8.
    """
    parts = {"paths": bool(record.paths), "search": record.search is not None, "knob": bool(record.frames)}
    scripts = ("knob.js",) if record.frames else ()
    return rendered("page.html", lambda: _context(record), parts=parts, scripts=scripts)


def _context(record: RunRecord) -> dict[str, object]:
    """Return all that the template shows: text, numbers written out, and figures as markup."""
    summary, comparison = record.summary, record.comparison
    data = clean(comparison.data)
    headline = sentence(record.headline or record.verdict)
    turned = knob(record.paths, record.frames, comparison.task) if record.frames else None
    shown, paths, search = sections(record), path_sections(record.paths), search_section(record)
    findings = record.findings
    more = len(findings) - MAX_FINDINGS
    return {
        "title": say("report.title", data=data),
        "data": data,
        "task": say(f"report.task_{comparison.task}"),
        "size": say("report.size", rows=_count(summary.get("rows")), features=_count(summary.get("features"))),
        "headline": headline,
        "headline_class": "large" if len(headline) <= _LARGE else "medium" if len(headline) <= _MEDIUM else "long",
        "told": told(record),
        "clauses": [clause(sentence(sign)) for sign in record.signs],
        "codes": list(record.codes.items()),
        "knob": payload(turned) if turned else "",
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
