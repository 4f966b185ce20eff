"""What a search's model and the network without regularization learned from: they differ in more than regularization.

The model averages several networks, and after questions asked of a sample it alone learns from all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from wellfit.messages import say
from wellfit.records import RunRecord
from wellfit.report.text import finite


class Sides(NamedTuple):
    """The two in words; ``sampled`` says what a sample makes of estimates, ``credit`` what the scores do not show.

    Both of these are sentences, "" where there is nothing to say.
    """

    model: str
    plain: str
    sampled: str
    credit: str


def sides(record: RunRecord) -> Sides | None:
    """Return what the two learned from, or None where nothing was searched: then one network stands against another."""
    none = record.summary.get("none")
    model, plain = _counts(record.summary), _counts(none if isinstance(none, Mapping) else {})
    if record.search is None or model is None or plain is None:
        return None
    apart = model[1] != plain[1]
    credit = "report.told_credit_rows" if apart else ""
    if record.search.trials[record.search.winner].cocktail == "none":
        credit = "report.told_credit_none"
    return Sides(
        _network(*model, apart=apart),
        _network(*plain, apart=apart),
        say("report.told_sampled", rows=plain[1], all=model[1]) if apart else "",
        say(credit) if credit else "",
    )


def _counts(part: Mapping[str, object]) -> tuple[int, int] | None:
    """Read ``{"learned": {"networks": n, "rows": m}}`` of a summary."""
    learned = part.get("learned")
    counts = [finite(learned.get(name)) for name in ("networks", "rows")] if isinstance(learned, Mapping) else [None]
    return None if None in counts else (int(counts[0] or 0), int(counts[1] or 0))


def _network(networks: int, rows: int, *, apart: bool) -> str:
    found = say("report.told_one_network") if networks == 1 else say("report.told_average", networks=networks)
    return say("report.told_trained_on", network=found, rows=rows) if apart else found
