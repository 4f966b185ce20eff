"""What was found inside networks as plain values for a file: no timings, so that equal runs give equal files."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from wellfit.records import Workings
from wellfit.select.output import FORMAT, plain


def workings_json(found: Workings) -> dict[str, object]:
    """Return the fields of `Workings` as values that JSON can hold; NaN and infinity become None.

    Lists have one entry a point, the weakest first, and inside it one a fold or layer.
    """
    values: dict[str, object] = {"format": FORMAT}
    values |= {f.name: getattr(found, f.name) for f in fields(found) if f.name not in ("units", "averaging")}
    values["units"] = [dict(zip(("on", "off", "saturated"), shares, strict=True)) for shares in found.units]
    values["averaging"] = [None if a is None else asdict(a) for a in found.averaging]
    return {key: plain(value) for key, value in values.items()}


def workings_text(found: Workings) -> str:
    """Return what ``workings.json`` holds."""
    return json.dumps(workings_json(found), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
