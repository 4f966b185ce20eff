"""What a whole run found: all that a report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wellfit.records.comparing import Comparison, History
from wellfit.records.frames import Boundary, Frames
from wellfit.records.paths import Path, Simplest
from wellfit.records.searching import SearchRecord
from wellfit.records.showing import Shown
from wellfit.records.tables import Array, Finding


@dataclass(frozen=True, eq=False)
class Portrait:
    """One cocktail refitted on all development rows, to look at: its cost curve, weights and decision map.

    ``role`` is ``none``, ``l2``, ``dropout`` or ``winner``; ``weights`` holds one flat array per layer.
    """

    role: str
    cocktail: str
    history: History
    weights: tuple[Array, ...]
    boundary: Boundary | None


@dataclass(frozen=True, eq=False, repr=False)
class RunRecord(Shown):
    """All that a report shows. ``summary`` is what ``summary.json`` holds; each of ``paths`` gets a section.

    ``frames`` belong to the ``paths``, one by one; without them there is no knob to turn. ``codes`` holds
    the best network as a script for other libraries, by library.

    ``search`` is None where none was made: the winner of the comparison is then the model. ``simplest`` is None where
    the network was not compared with a linear model. ``headline`` is what the verdict comes to and ``signs`` are the
    clauses it rests on: the same as in ``verdict``, in parts. ``folder`` is where all of it was written.
    """

    summary: Mapping[str, object]
    verdict: str
    comparison: Comparison
    portraits: tuple[Portrait, ...]
    findings: tuple[Finding, ...]
    rules: tuple[str, ...]
    command: str
    versions: Mapping[str, str]
    paths: tuple[Path, ...] = ()
    search: SearchRecord | None = None
    simplest: Simplest | None = None
    frames: tuple[Frames, ...] = ()
    codes: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    signs: tuple[str, ...] = ()
    folder: str = ""
