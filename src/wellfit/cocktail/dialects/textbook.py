"""The textbook exercise (course notation): mean loss + lambda/(2m) sum W^2, dropout told as the share kept."""

from __future__ import annotations

from wellfit.cocktail.base import Strength
from wellfit.cocktail.dialects.base import REQUIRED, Answer, Dialect, Fit, Parts, active, mix, penalties
from wellfit.cocktail.mixing import Cocktail
from wellfit.cocktail.noise import Dropout
from wellfit.errors import SettingError


def _speak(parts: Parts, answer: Answer) -> None:
    parts = parts.coupled(answer.fit)
    answer.arguments["lambda_"] = answer.one(parts.l2, "l2") * answer.fit.need("rows")
    if active(parts.l1):
        answer.refuse("textbook_l1")
    if active(parts.weight_decay):
        answer.refuse("decoupled_only_plain")
    if active(parts.dropout):
        answer.arguments["keep_prob"] = _turn(parts.dropout)
    if parts.early_stopping:
        answer.refuse("no_early_stopping")


def _read(arguments: dict, fit: Fit) -> Cocktail:
    keep = arguments["keep_prob"]
    for value in keep if isinstance(keep, tuple | list) else (keep,):
        if not 0 < value <= 1:
            raise SettingError("dialects.bad_keep", value=value)
    _, l2 = penalties(0.0, arguments["lambda_"], (1.0, 1 / fit.need("rows")))
    return mix((l2, Dropout(_turn(tuple(keep) if isinstance(keep, list) else keep))))


def _turn(share: Strength) -> Strength:
    """Turn a rate into the share kept, and back; the rounding of 1 - 0.86 is taken off at the 15th digit."""
    if isinstance(share, tuple):
        return tuple(round(1 - s, 15) for s in share)
    return round(1 - share, 15)


TEXTBOOK = Dialect("textbook", {"lambda_": REQUIRED, "keep_prob": 1.0}, _speak, _read)
